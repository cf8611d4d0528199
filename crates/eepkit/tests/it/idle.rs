//! Idle sessions keep fewer tunnels, or are closed until their next use.

use std::time::Duration;

use eepkit::{DatagramOptions, Format, Session, SessionBuilder, SessionStage};
use tokio::time::{Instant, sleep};

use crate::lab::{Lab, Link, join, over_both_links, within};

over_both_links!(
    an_idle_session_keeps_fewer_tunnels_until_it_is_used,
    a_requested_number_of_tunnels_is_restored,
    an_idle_session_is_closed_and_its_next_stream_opens_it,
    every_use_opens_a_closed_session,
    messages_of_peers_are_use,
    a_session_with_an_open_stream_is_not_closed,
    a_session_can_be_opened_by_its_first_use,
    an_idle_session_can_be_closed_for_good,
    sessions_are_not_idle_without_the_options,
);

/// The shortest time that the options allow.
const IDLE: Duration = Duration::from_secs(300);

fn reducing(lab: &Lab) -> SessionBuilder {
    lab.builder()
        .tunnel_quantity(3)
        .option("i2cp.reduceOnIdle", true)
        .option("i2cp.reduceIdleTime", IDLE.as_millis())
        .option("i2cp.reduceQuantity", 1)
}

fn closing(lab: &Lab) -> SessionBuilder {
    lab.builder()
        .option("i2cp.closeOnIdle", true)
        .option("i2cp.closeIdleTime", IDLE.as_millis())
}

/// The number of tunnels in both directions.
fn tunnels(lab: &Lab, session: &Session) -> usize {
    lab.net.tunnels(session.destination()).len()
}

async fn reaches(session: &Session, stage: SessionStage) {
    let reached = session.watch().reached(stage, Duration::from_secs(60));
    assert_eq!(reached.await.stage(), stage);
}

async fn an_idle_session_keeps_fewer_tunnels_until_it_is_used(link: Link) {
    let lab = Lab::new(link);
    let session = reducing(&lab).open().await.expect("opens");
    let peer = lab.session().await;
    let listener = peer.listen(1).expect("free");
    assert_eq!(tunnels(&lab, &session), 6);
    sleep(IDLE / 10 * 9).await;
    assert!(!session.status().activity().tunnels_reduced);

    // The tunnels above the number end within their lifetime.
    sleep(IDLE * 3).await;
    let status = session.status();
    assert!(status.activity().tunnels_reduced && status.is_ready());
    assert_eq!(status.to_string(), "ready (idle, with fewer tunnels)");
    assert_eq!(tunnels(&lab, &session), 2);

    let ends = join(&session, (peer.destination(), 1), &listener).await;
    sleep(Duration::from_secs(30)).await;
    assert!(!session.status().activity().tunnels_reduced);
    assert_eq!(tunnels(&lab, &session), 6);
    drop(ends);
}

async fn a_requested_number_of_tunnels_is_restored(link: Link) {
    let lab = Lab::new(link);
    let session = reducing(&lab).open().await.expect("opens");
    session.set_tunnel_quantity(2, 4).expect("in range");
    sleep(IDLE * 4).await;
    assert_eq!(tunnels(&lab, &session), 2);
    session.ping(session.destination()).await.ok();
    let peer = lab.session().await;
    session.ping(peer.destination()).await.expect("answers");
    sleep(Duration::from_secs(30)).await;
    assert_eq!(tunnels(&lab, &session), 6);
}

async fn an_idle_session_is_closed_and_its_next_stream_opens_it(link: Link) {
    let lab = Lab::new(link);
    let session = closing(&lab).open().await.expect("opens");
    let peer = lab.session().await;
    let listener = peer.listen(1).expect("free");
    drop(join(&session, (peer.destination(), 1), &listener).await);
    for _ in 0..3 {
        sleep(IDLE / 2).await;
        assert_eq!(session.status().stage(), SessionStage::Ready);
        reaches(&session, SessionStage::Ready).await;
        sleep(IDLE * 2).await;
        let status = session.status();
        assert_eq!(status.stage(), SessionStage::Idle);
        assert!(status.problem().is_none());
        assert!(
            status.account().ends_with("waiting for its next use"),
            "{}",
            status.account()
        );
        assert_eq!(tunnels(&lab, &session), 0);

        let began = Instant::now();
        let (near, far) = join(&session, (peer.destination(), 1), &listener).await;
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(far.peer(), session.destination());
        assert!(session.status().is_ready());
        drop((near, far));
    }
}

async fn every_use_opens_a_closed_session(link: Link) {
    let lab = Lab::new(link);
    let session = closing(&lab).open().await.expect("opens");
    let socket = session.datagrams(Format::Datagram1).bind(7).expect("free");
    let peer = lab.session().await;
    let other = peer.datagrams(Format::Datagram1).bind(7).expect("free");
    lab.net.add_name("peer.i2p", peer.destination());
    for way in 0..4 {
        sleep(IDLE * 4).await;
        assert_eq!(session.status().stage(), SessionStage::Idle, "{way}");
        match way {
            0 => {
                let pinging = session.ping(peer.destination());
                pinging.await.map(drop).expect("answers");
            }
            1 => {
                session.lookup("peer.i2p").await.map(drop).expect("known");
            }
            2 => {
                let sending = socket.send_to(b"hello", (peer.destination(), 7));
                sending.await.expect("is sent");
                within(Duration::from_secs(60), other.recv_from())
                    .await
                    .expect("arrives");
            }
            _ => {
                let queued =
                    socket.send_now(b"again", peer.destination(), 7, &DatagramOptions::new());
                queued.expect("is queued");
                within(Duration::from_secs(60), other.recv_from())
                    .await
                    .expect("arrives");
            }
        }
        reaches(&session, SessionStage::Ready).await;
    }
}

async fn messages_of_peers_are_use(link: Link) {
    let lab = Lab::new(link);
    let session = closing(&lab).open().await.expect("opens");
    let peer = lab.session().await;
    for _ in 0..8 {
        sleep(IDLE / 2).await;
        let pinging = peer.ping(session.destination());
        pinging.await.map(drop).expect("answers");
    }
    assert!(session.status().is_ready());
}

async fn a_session_with_an_open_stream_is_not_closed(link: Link) {
    let lab = Lab::new(link);
    let session = closing(&lab).open().await.expect("opens");
    let peer = lab.session().await;
    let listener = peer.listen(1).expect("free");
    let ends = join(&session, (peer.destination(), 1), &listener).await;
    sleep(IDLE * 10).await;
    assert!(session.status().is_ready());
    drop(ends);
    sleep(IDLE * 2).await;
    assert_eq!(session.status().stage(), SessionStage::Idle);
}

async fn a_session_can_be_opened_by_its_first_use(link: Link) {
    let lab = Lab::new(link);
    let delayed = closing(&lab).option("i2cp.delayOpen", true);
    let session = within(Duration::from_secs(1), delayed.open());
    let session = session.await.expect("opens");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(session.status().stage(), SessionStage::Idle);
    assert_eq!(lab.net.stats().sessions, 0);
    let peer = lab.session().await;
    let listener = peer.listen(1).expect("free");
    drop(join(&session, (peer.destination(), 1), &listener).await);
    assert!(session.status().is_ready());
}

async fn an_idle_session_can_be_closed_for_good(link: Link) {
    let lab = Lab::new(link);
    let session = closing(&lab).open().await.expect("opens");
    sleep(IDLE * 2).await;
    assert_eq!(session.status().stage(), SessionStage::Idle);
    within(Duration::from_secs(5), session.close()).await;
    assert_eq!(session.status().stage(), SessionStage::Closed);
    session
        .connect("a.i2p")
        .await
        .map(drop)
        .expect_err("closed");
}

async fn sessions_are_not_idle_without_the_options(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let before = tunnels(&lab, &session);
    sleep(Duration::from_secs(24 * 3600)).await;
    assert!(session.status().is_ready());
    assert!(!session.status().activity().tunnels_reduced);
    assert!(tunnels(&lab, &session) >= before);
}
