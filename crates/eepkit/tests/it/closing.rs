//! Closing and dropping sessions.

use std::time::Duration;

use eepkit::{ConnectError, SessionStage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Link, over_both_links, receive, send, within};

over_both_links!(
    close_delivers_written_data,
    close_ends_in_bounded_time_when_the_peer_is_dead,
    dropping_a_session_closes_it_at_the_router,
    a_stream_keeps_its_session_open,
    calls_of_a_closed_session_fail,
    shutting_a_router_down_closes_its_sessions,
);

async fn close_delivers_written_data(link: Link) {
    let ends = Lab::new(link).stream().await;
    let (mut near, mut far) = (ends.near, ends.far);
    let sending = async {
        send(&mut near, 60_000).await.expect("sends");
        ends.client.close().await;
        near
    };
    let (received, mut near) = within(Duration::from_secs(30), async {
        tokio::join!(receive(&mut far), sending)
    })
    .await;
    assert_eq!(received.expect("receives"), 60_000);
    assert_eq!(ends.client.status().stage(), SessionStage::Closed);
    near.write_all(b"x")
        .await
        .expect_err("the session is closed");
    near.read_u8().await.expect_err("the session is closed");
}

async fn close_ends_in_bounded_time_when_the_peer_is_dead(link: Link) {
    let lab = Lab::new(link);
    let mut ends = lab.stream().await;
    lab.net.cut_off(ends.server.destination());
    send(&mut ends.near, 10_000).await.expect("fits the buffer");
    within(Duration::from_secs(32), ends.client.close()).await;
    assert_eq!(ends.client.status().stage(), SessionStage::Closed);
}

async fn dropping_a_session_closes_it_at_the_router(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let watch = session.watch();
    let destination = session.destination().clone();
    assert!(!lab.net.tunnels(&destination).is_empty());
    drop(session);
    watch
        .reached(SessionStage::Closed, Duration::from_secs(60))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lab.net.tunnels(&destination).is_empty());
}

async fn a_stream_keeps_its_session_open(link: Link) {
    let ends = Lab::new(link).stream().await;
    let (mut near, mut far) = (ends.near, ends.far);
    drop(ends.client);
    drop(ends.server);
    tokio::time::sleep(Duration::from_secs(120)).await;
    near.write_all(b"still here").await.expect("writes");
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.expect("reads");
    assert_eq!(text, "still here");
}

async fn calls_of_a_closed_session_fail(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    client.close().await;
    let error = within(
        Duration::from_secs(1),
        client.connect((server.destination(), 1)),
    )
    .await
    .expect_err("closed");
    assert!(matches!(error, ConnectError::Closed), "{error:?}");
    let error = client.ping(server.destination()).await.expect_err("closed");
    assert_eq!(error.kind(), eepkit::ErrorKind::Closed);
    let error = client.lookup("name.i2p").await.expect_err("closed");
    assert_eq!(error, eepkit::LookupError::Closed);
    // Closing twice is not an error.
    within(Duration::from_secs(1), client.close()).await;
}

async fn shutting_a_router_down_closes_its_sessions(link: Link) {
    let lab = Lab::new(link);
    let router = lab.router();
    let first = router.session().open().await.expect("opens");
    let second = router.clone().session().open().await.expect("opens");
    within(Duration::from_secs(35), router.shutdown()).await;
    for session in [first, second] {
        assert_eq!(session.status().stage(), SessionStage::Closed);
    }
}
