//! Subsessions, which only routers over I2CP support.

use std::time::Duration;

use eepkit::{ErrorKind, Format, Router, RouterKind, Session, SessionStage, SignatureType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

use crate::lab::{Lab, Link, join, within};

/// A router whose kind is set to Java I2P.
fn java(lab: &Lab) -> Router {
    Router::new(lab.net.i2cp_router().kind(RouterKind::Java))
}

async fn session(lab: &Lab) -> Session {
    let builder = java(lab).session().preset(eepkit::Preset::Test).seed(77);
    builder.open().await.expect("opens")
}

async fn subsession(of: &Session, seed: u64) -> Session {
    let builder = of.subsession().seed(seed);
    builder.open().await.expect("opens")
}

/// Exchanges a stream and a datagram.
async fn talk(client: &Session, server: &Session) {
    let listener = server.listen(1).expect("free");
    let joining = join(client, (server.destination(), 1), &listener);
    let (mut near, mut far) = within(Duration::from_secs(30), joining).await;
    near.write_all(b"x").await.expect("writes");
    assert_eq!(far.read_u8().await.expect("reads"), b'x');
    assert_eq!(far.peer(), client.destination());
    far.write_all(b"y").await.expect("writes");
    assert_eq!(near.read_u8().await.expect("reads"), b'y');

    let near = client.datagrams(Format::Datagram2).bind(0).expect("free");
    let far = server.datagrams(Format::Datagram2).bind(0).expect("free");
    near.send_to(b"hello", server.destination())
        .await
        .expect("sends");
    let received = within(Duration::from_secs(5), far.recv_from()).await;
    let received = received.expect("open");
    assert_eq!(received.sender(), Some(client.destination()));
}

#[tokio::test(start_paused = true)]
async fn a_subsession_has_its_own_destination() {
    let lab = Lab::new(Link::Direct);
    let peer = lab.session().await;
    let session = session(&lab).await;
    let first = subsession(&session, 100).await;
    let builder = session.subsession().seed(101);
    let second = builder
        .signature_type(SignatureType::ECDSA_SHA256_P256)
        .open()
        .await
        .expect("opens");
    assert_ne!(first.destination(), session.destination());
    for one in [&session, &first, &second] {
        talk(one, &peer).await;
        talk(&peer, one).await;
    }
    talk(&first, &second).await;
    talk(&second, &session).await;
    let found = first
        .lookup(peer.destination().hash())
        .await
        .expect("is online");
    assert_eq!(&found, peer.destination());
}

#[tokio::test(start_paused = true)]
async fn sessions_and_subsessions_work_at_the_same_time() {
    let lab = Lab::new(Link::Direct);
    let peer = lab.session().await;
    let session = session(&lab).await;
    let mut subsessions = Vec::new();
    for seed in 100..110 {
        subsessions.push(subsession(&session, seed).await);
    }
    let talking: Vec<_> = subsessions
        .iter()
        .chain([&session])
        .map(|one| {
            let (one, peer) = (one.clone(), peer.clone());
            tokio::spawn(async move {
                let listener = one.listen(9).expect("free");
                let (mut near, mut far) = join(&peer, (one.destination(), 9), &listener).await;
                let sending = async {
                    crate::lab::send(&mut near, 300_000).await?;
                    near.shutdown().await
                };
                let (sent, received) = tokio::join!(sending, crate::lab::receive(&mut far));
                sent.expect("sends");
                assert_eq!(received.expect("receives"), 300_000);
            })
        })
        .collect();
    for one in talking {
        within(Duration::from_secs(60), one).await.expect("talks");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_subsession_leaves_the_others() {
    let lab = Lab::new(Link::Direct);
    let peer = lab.session().await;
    let session = session(&lab).await;
    let (first, second) = (
        subsession(&session, 100).await,
        subsession(&session, 101).await,
    );
    within(Duration::from_secs(5), first.close()).await;
    talk(&peer, &session).await;
    talk(&second, &peer).await;
    // The destination of a closed subsession can be used again.
    let again = subsession(&session, 100).await;
    assert_eq!(again.destination(), first.destination());
    talk(&peer, &again).await;
}

#[tokio::test(start_paused = true)]
async fn subsessions_are_lost_and_restored_with_their_session() {
    let lab = Lab::new(Link::Direct);
    let peer = lab.session().await;
    let session = session(&lab).await;
    let sub = subsession(&session, 100).await;
    let (watch, sub_watch) = (session.watch(), sub.watch());
    assert!(lab.net.lose_session(session.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    sub_watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    for one in [&session, &sub] {
        one.watch()
            .ready(Duration::from_secs(60))
            .await
            .expect("comes back");
        talk(&peer, one).await;
    }
    // A subsession that is lost alone is restored alone.
    assert!(lab.net.lose_session(sub.destination()));
    sub_watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    assert_eq!(session.status().stage(), SessionStage::Ready);
    sub.watch()
        .ready(Duration::from_secs(60))
        .await
        .expect("comes back");
    talk(&sub, &peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_subsession_keeps_its_session_open() {
    let lab = Lab::new(Link::Direct);
    let peer = lab.session().await;
    let session = session(&lab).await;
    let watch = session.watch();
    let sub = subsession(&session, 100).await;
    drop(session);
    sleep(Duration::from_secs(60)).await;
    talk(&peer, &sub).await;
    within(Duration::from_secs(60), sub.close()).await;
    drop(sub);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(watch.current().stage(), SessionStage::Closed);
}

#[tokio::test(start_paused = true)]
async fn opening_a_subsession_fails_if_the_router_does_not_support_it() {
    for link in [Link::Direct, Link::I2cp] {
        let lab = Lab::new(link);
        let session = lab.session().await;
        let error = session.subsession().open().await.expect_err("cannot");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        let peer = lab.session().await;
        talk(&session, &peer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_has_one_subsession() {
    let lab = Lab::new(Link::Direct);
    let session = session(&lab).await;
    let sub = subsession(&session, 100).await;
    let error = session.subsession().seed(100).open().await;
    assert_eq!(
        error.expect_err("there already").kind(),
        ErrorKind::AddressInUse
    );
    drop(sub);
}
