//! Large transfers, many streams, and lossy networks.

use std::time::Duration;

use eepkit::{Preset, sim::SimNet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Link, join, over_both_links, receive, send, within};

over_both_links!(
    a_hundred_mebibytes_arrive_intact_without_loss,
    a_hundred_mebibytes_arrive_intact_at_1_percent_loss,
    a_hundred_mebibytes_arrive_intact_at_5_percent_loss,
    a_hundred_mebibytes_arrive_intact_at_10_percent_loss,
    a_thousand_streams_at_once_each_get_their_own_answer,
    a_transfer_survives_tunnels_that_are_replaced_every_few_seconds,
    a_transfer_survives_tunnels_that_die_without_notice,
    both_directions_transfer_at_once,
);

async fn a_hundred_mebibytes_arrive_intact_without_loss(link: Link) {
    transfer(link, 0.0).await;
}

async fn a_hundred_mebibytes_arrive_intact_at_1_percent_loss(link: Link) {
    transfer(link, 0.01).await;
}

async fn a_hundred_mebibytes_arrive_intact_at_5_percent_loss(link: Link) {
    transfer(link, 0.05).await;
}

async fn a_hundred_mebibytes_arrive_intact_at_10_percent_loss(link: Link) {
    transfer(link, 0.10).await;
}

async fn transfer(link: Link, loss: f64) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .seed(1)
            .delay(Duration::from_millis(50))
            .jitter(Duration::from_millis(5))
            .loss(loss)
            .reorder(0.02, Duration::from_millis(30))
            .duplicate(0.01),
    );
    let server = lab
        .builder()
        .preset(Preset::Bulk)
        .open()
        .await
        .expect("opens");
    let client = lab
        .builder()
        .preset(Preset::Bulk)
        .open()
        .await
        .expect("opens");
    let listener = server.listen(0).expect("free");
    let (mut near, mut far) = join(&client, server.destination(), &listener).await;

    let sending = async {
        send(&mut near, SIZE).await.expect("sends");
        near.shutdown().await.expect("shuts down");
    };
    let (received, ()) = within(Duration::from_secs(4 * 3600), async {
        tokio::join!(receive(&mut far), sending)
    })
    .await;
    assert_eq!(received.expect("receives"), SIZE);
}

async fn a_thousand_streams_at_once_each_get_their_own_answer(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen_with(0, 1024).expect("free");
    let serving = tokio::spawn(async move {
        let mut answers = Vec::new();
        for _ in 0..STREAMS {
            let mut stream = listener.accept().await.expect("accepts");
            answers.push(tokio::spawn(async move {
                let number = stream.read_u32().await.expect("reads");
                stream
                    .write_u32(number.wrapping_mul(3))
                    .await
                    .expect("writes");
                stream.shutdown().await.expect("shuts down");
                // Waits until the peer has closed as well, so that nothing is cut off.
                assert_eq!(stream.read(&mut [0]).await.expect("ends"), 0);
            }));
        }
        for answer in answers {
            answer.await.expect("answers");
        }
    });
    let destination = server.destination().clone();
    let mut asking = Vec::new();
    for number in 0..STREAMS {
        let (client, destination) = (client.clone(), destination.clone());
        asking.push(tokio::spawn(async move {
            let mut stream = client.connect(&destination).await.expect("connects");
            stream.write_u32(number).await.expect("writes");
            let answer = stream.read_u32().await.expect("reads");
            assert_eq!(answer, number.wrapping_mul(3));
            stream.shutdown().await.expect("shuts down");
        }));
    }
    within(Duration::from_secs(300), async {
        for one in asking {
            one.await.expect("asks");
        }
        serving.await.expect("serves");
    })
    .await;
}

async fn a_transfer_survives_tunnels_that_are_replaced_every_few_seconds(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .seed(2)
            .delay(Duration::from_millis(100))
            .tunnel_lifetime(Duration::from_secs(4)),
    );
    slow_transfer(&lab).await;
}

async fn a_transfer_survives_tunnels_that_die_without_notice(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .seed(3)
            .delay(Duration::from_millis(100))
            .tunnel_lifetime(Duration::from_secs(60))
            .tunnel_blackholes(Duration::from_secs(180)),
    );
    slow_transfer(&lab).await;
}

/// Transfers two mebibytes in about a minute.
async fn slow_transfer(lab: &Lab) {
    let server = lab
        .builder()
        .tunnel_quantity(2)
        .open()
        .await
        .expect("opens");
    let client = lab
        .builder()
        .tunnel_quantity(2)
        .open()
        .await
        .expect("opens");
    let listener = server.listen(0).expect("free");
    let (mut near, mut far) = join(&client, server.destination(), &listener).await;
    let sending = async {
        let mut bytes = Vec::new();
        send(&mut bytes, 2 * MIB).await.expect("a vector takes all");
        for chunk in bytes.chunks(32 * 1024) {
            near.write_all(chunk).await.expect("sends");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        near.shutdown().await.expect("shuts down");
    };
    let (received, ()) = within(Duration::from_secs(1800), async {
        tokio::join!(receive(&mut far), sending)
    })
    .await;
    assert_eq!(received.expect("receives"), 2 * MIB);
}

async fn both_directions_transfer_at_once(link: Link) {
    let ends = Lab::new(link).stream().await;
    let (mut near_read, mut near_write) = ends.near.into_split();
    let (mut far_read, mut far_write) = ends.far.into_split();
    let there = async {
        send(&mut near_write, 3 * MIB).await.expect("sends");
        near_write.shutdown().await.expect("shuts down");
    };
    let back = async {
        send(&mut far_write, 5 * MIB).await.expect("sends");
        far_write.shutdown().await.expect("shuts down");
    };
    let (received_far, received_near, (), ()) = within(Duration::from_secs(600), async {
        tokio::join!(receive(&mut far_read), receive(&mut near_read), there, back)
    })
    .await;
    assert_eq!(received_far.expect("receives"), 3 * MIB);
    assert_eq!(received_near.expect("receives"), 5 * MIB);
}

const MIB: u64 = 1024 * 1024;
const SIZE: u64 = 100 * MIB;
const STREAMS: u32 = 1000;
