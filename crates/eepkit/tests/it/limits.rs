//! Limits of a session: their errors, and what peers that do not reach them notice.

use std::{sync::Arc, time::Duration};

use eepkit::{ConnectError, Error, ErrorKind};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use crate::lab::{Lab, Link, join, over_both_links};

over_both_links!(
    one_peer_cannot_use_up_the_streams_of_a_session,
    an_error_states_the_limit_and_its_option,
    hundreds_of_new_streams_do_not_delay_a_standing_one,
);

async fn one_peer_cannot_use_up_the_streams_of_a_session(link: Link) {
    let lab = Lab::new(link);
    let builder = lab
        .builder()
        .option("i2p.streaming.maxConcurrentStreamsPerPeer", 3);
    let server = builder.open().await.expect("opens");
    let listener = server.listen(1).expect("free");
    let (greedy, modest) = lab.pair().await;
    let to = (server.destination(), 1);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(join(&greedy, to, &listener).await);
    }
    let error = greedy.connect(to).await.map(drop).expect_err("too many");
    assert!(
        matches!(error, ConnectError::Refused { port: 1 }),
        "{error:?}"
    );
    held.push(join(&modest, to, &listener).await);
    // The place of a stream that ended is free.
    drop(held.swap_remove(0));
    tokio::time::sleep(Duration::from_secs(60)).await;
    held.push(join(&greedy, to, &listener).await);
}

async fn an_error_states_the_limit_and_its_option(link: Link) {
    let lab = Lab::new(link);
    for (option, text) in [
        (
            "i2p.streaming.maxConcurrentStreams",
            "the session has 1 streams, the most that i2p.streaming.maxConcurrentStreams allows",
        ),
        (
            "i2p.streaming.maxConcurrentStreamsPerPeer",
            "the session has 1 streams with the destination, the most that \
             i2p.streaming.maxConcurrentStreamsPerPeer allows",
        ),
    ] {
        let client = lab.builder().option(option, 1).open().await.expect("opens");
        let server = lab.session().await;
        let listener = server.listen(1).expect("free");
        let to = (server.destination(), 1);
        let _held = join(&client, to, &listener).await;
        let error = client.connect(to).await.map(drop).expect_err("too many");
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.to_string(), text);
    }
}

async fn hundreds_of_new_streams_do_not_delay_a_standing_one(link: Link) {
    const STREAMS: usize = 900;
    let lab = Lab::new(link);
    let builder = |lab: &Lab| {
        lab.builder()
            .backlog(STREAMS)
            .option("i2p.streaming.maxConcurrentStreams", 2 * STREAMS)
            .option("i2p.streaming.maxConcurrentStreamsPerPeer", 2 * STREAMS)
    };
    let server = builder(&lab).open().await.expect("opens");
    let client = Arc::new(builder(&lab).open().await.expect("opens"));
    let listener = server.listen(1).expect("free");
    let to = (server.destination().clone(), 1);
    let (mut near, mut far) = join(&client, to.clone(), &listener).await;
    // The round-trip time is known then.
    for _ in 0..5 {
        near.write_all(b"question").await.expect("writes");
        far.read_exact(&mut [0; 8]).await.expect("reads");
        far.write_all(b"answer").await.expect("writes");
        near.read_exact(&mut [0; 6]).await.expect("reads");
    }

    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (client, to) = (client.clone(), to.clone());
        opening.spawn(async move { client.connect(to).await.expect("connects") });
    }
    let mut accepted = Vec::new();
    while accepted.len() < STREAMS {
        accepted.push(listener.accept().await.expect("accepts"));
    }
    let began = Instant::now();
    near.write_all(b"question").await.expect("writes");
    far.read_exact(&mut [0; 8]).await.expect("reads");
    far.write_all(b"answer").await.expect("writes");
    near.read_exact(&mut [0; 6]).await.expect("reads");
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    let opened = opening.join_all().await;
    assert_eq!(opened.len(), STREAMS);
}
