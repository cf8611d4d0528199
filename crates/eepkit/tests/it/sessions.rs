//! Opening, losing and restoring sessions.

use std::time::Duration;

use eepkit::{
    ConnectOptions, ErrorKind, OpenError, Preset, Router, SessionStage, StreamError, sim::SimNet,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{Lab, Link, join, over_both_links, within};

over_both_links!(
    stages_are_reported_in_order_with_their_times,
    a_lost_session_is_restored_with_the_same_destination,
    streams_in_flight_end_with_the_reason_when_the_link_breaks,
    connecting_waits_until_a_lost_session_is_restored,
    a_stopped_router_is_reported_as_the_problem,
    a_session_without_tunnels_reports_it,
    many_sessions_share_a_process,
    the_number_of_tunnels_can_be_changed,
    sessions_with_the_same_keys_have_the_same_destination,
);

async fn stages_are_reported_in_order_with_their_times(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .build_time(Duration::from_secs(3))
            .publish_time(Duration::from_secs(1)),
    );
    let session = lab.builder().start().expect("starts");
    let mut watch = session.watch();
    let mut seen = vec![watch.current().stage()];
    while !seen.contains(&SessionStage::Ready) {
        let state = within(Duration::from_secs(60), watch.changed())
            .await
            .expect("lives");
        seen.push(state.stage());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.contains(&SessionStage::BuildingTunnels), "{seen:?}");
    let state = session.status();
    assert!(state.reached_after() >= Duration::from_secs(3), "{state:?}");
    assert_eq!(state.attempt(), 1);
    session
        .watch()
        .ready(Duration::ZERO)
        .await
        .expect("ready already");
}

async fn a_lost_session_is_restored_with_the_same_destination(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let destination = server.destination().clone();
    let listener = server.listen(1).expect("free");
    for _ in 0..5 {
        let watch = server.watch();
        assert!(lab.net.lose_session(&destination));
        let lost = watch
            .reached(SessionStage::Lost, Duration::from_secs(5))
            .await;
        assert_eq!(lost.stage(), SessionStage::Lost);
        assert!(lost.problem().is_some() && lost.retry_in().is_some());
        server
            .watch()
            .ready(Duration::from_secs(30))
            .await
            .expect("comes back");
        // The listener survived.
        let joining = join(&client, (&destination, 1), &listener);
        let (mut near, mut far) = within(Duration::from_secs(30), joining).await;
        near.write_all(b"x").await.expect("writes");
        assert_eq!(far.read_u8().await.expect("reads"), b'x');
    }
    assert_eq!(server.destination(), &destination);
}

async fn streams_in_flight_end_with_the_reason_when_the_link_breaks(link: Link) {
    let lab = Lab::new(link);
    let mut ends = lab.stream().await;
    assert!(lab.net.lose_session(ends.client.destination()));
    let error = within(Duration::from_secs(5), ends.near.read_u8())
        .await
        .expect_err("lost");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(
        matches!(StreamError::of(&error), Some(StreamError::SessionLost(_))),
        "{error:?}"
    );
    let error = ends.near.write_all(b"x").await.expect_err("lost");
    assert_eq!(eepkit::Error::from(error).kind(), ErrorKind::SessionLost);
    assert!(ends.near.info().is_none());
    // A stream of the old link stays lost after the session is restored.
    ends.client
        .watch()
        .ready(Duration::from_secs(30))
        .await
        .expect("comes back");
    ends.near.write_all(b"x").await.expect_err("still lost");
}

async fn connecting_waits_until_a_lost_session_is_restored(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(1).expect("free");
    let watch = client.watch();
    assert!(lab.net.lose_session(client.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    assert_eq!(client.status().stage(), SessionStage::Lost);
    // Connecting succeeds after the session is restored.
    let joining = join(&client, (server.destination(), 1), &listener);
    within(Duration::from_secs(30), joining).await;
}

async fn a_stopped_router_is_reported_as_the_problem(link: Link) {
    let lab = Lab::new(link);
    let mut ends = lab.stream().await;
    lab.net.stop();
    let error = within(Duration::from_secs(5), ends.far.read_u8())
        .await
        .expect_err("over");
    assert!(
        matches!(StreamError::of(&error), Some(StreamError::SessionLost(_))),
        "{error:?}"
    );
    let waiting = ends.server.watch().ready(Duration::from_secs(20));
    let error = within(Duration::from_secs(21), waiting)
        .await
        .expect_err("gone");
    let error = OpenError::from(error);
    assert_eq!(error.kind(), ErrorKind::RouterUnreachable, "{error:?}");
    let options = ConnectOptions::new().timeout(Duration::from_secs(5));
    let connecting = ends
        .server
        .connect_with(ends.client.destination(), &options);
    let error = within(Duration::from_secs(6), connecting)
        .await
        .expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::RouterUnreachable, "{error:?}");
    within(Duration::from_secs(5), ends.server.close()).await;
}

async fn a_session_without_tunnels_reports_it(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder().build_time(Duration::from_secs(3600)),
    );
    let limit = Duration::from_secs(90);
    let error = within(
        limit + Duration::from_secs(1),
        lab.builder().open_timeout(limit).open(),
    )
    .await
    .expect_err("no tunnels");
    assert!(matches!(error, OpenError::NoTunnels(_)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::NoTunnels);
    assert!(error.hint().is_some());
}

async fn many_sessions_share_a_process(link: Link) {
    let lab = Lab::new(link);
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let session = lab.session().await;
        let listener = session.listen(1).expect("free");
        sessions.push((session, listener));
    }
    for (number, (session, _)) in sessions.iter().enumerate() {
        let (next, listener) = &sessions[(number + 7) % sessions.len()];
        let (_, far) = join(session, (next.destination(), 1), listener).await;
        assert_eq!(far.peer(), session.destination());
    }
    lab.router().shutdown().await;
}

async fn the_number_of_tunnels_can_be_changed(link: Link) {
    let lab = Lab::new(link);
    let session = lab
        .builder()
        .tunnel_quantity(2)
        .open()
        .await
        .expect("opens");
    assert_eq!(lab.net.tunnels(session.destination()).len(), 4);
    session.set_tunnel_quantity(3, 4).expect("it can");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.net.tunnels(session.destination()).len(), 7);
}

async fn sessions_with_the_same_keys_have_the_same_destination(link: Link) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys.dat");
    let lab = Lab::new(link);
    let first = lab
        .builder()
        .key_file(&path)
        .open()
        .await
        .expect("makes keys");
    let destination = first.destination().clone();
    let error = lab
        .builder()
        .key_file(&path)
        .open()
        .await
        .expect_err("online already");
    assert_eq!(error.kind(), ErrorKind::AddressInUse, "{error:?}");
    first.close().await;
    let second = lab
        .builder()
        .key_file(&path)
        .open()
        .await
        .expect("loads keys");
    assert_eq!(second.destination(), &destination);
    std::fs::write(&path, b"not keys").expect("writes");
    let error = lab
        .builder()
        .key_file(&path)
        .open()
        .await
        .expect_err("no keys");
    assert!(matches!(error, OpenError::KeyFile { .. }), "{error:?}");
}

/// Runs in real time, because the socket does not follow a paused clock.
#[tokio::test]
async fn a_router_is_attached_to_over_tcp() {
    let net = SimNet::builder().start();
    let at = net.i2cp_listen("127.0.0.1:0").await.expect("listens");
    let router = Router::attach(&format!("i2cp://{at}")).expect("an address");
    let server = router.session().open().await.expect("opens");
    let client = router.session().open().await.expect("opens");
    let listener = server.listen(1).expect("free");
    let joining = join(&client, (server.destination(), 1), &listener);
    let (mut near, mut far) = within(Duration::from_secs(30), joining).await;
    near.write_all(b"over tcp").await.expect("writes");
    near.shutdown().await.expect("shuts down");
    let mut text = String::new();
    far.read_to_string(&mut text).await.expect("reads");
    assert_eq!(text, "over tcp");
    within(Duration::from_secs(35), router.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn presets_have_names() {
    for preset in Preset::ALL {
        assert_eq!(preset.to_string().parse(), Ok(preset));
    }
    assert!("fast".parse::<Preset>().is_err());
}
