use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Opens a session on a router that answers the greeting and then answers CreateSession with
/// `answer`.
async fn refused_with(answer: Message) -> LinkError {
    let (router, mut connections) = in_memory(4096);
    let refusing = async {
        let mut peer = connections.recv().await.expect("a connection");
        peer.recv().await;
        let version = Text::new("0.9.66");
        peer.send(&Message::SetDate(SetDate { date: 0, version }))
            .await;
        peer.recv().await;
        peer.send(&Message::BandwidthLimits(BandwidthLimits::default()))
            .await;
        assert!(matches!(peer.recv().await, Some(Message::CreateSession(_))));
        peer.send(&answer).await;
        assert_eq!(soon(peer.recv()).await, None, "the connection is closed");
    };
    tokio::join!(open_error(&router), refusing).0
}

#[tokio::test(start_paused = true)]
async fn an_opened_session_becomes_ready() {
    soon(ready(4096)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_one_byte_is_enough() {
    soon(ready(1)).await;
}

#[tokio::test(start_paused = true)]
async fn every_session_has_its_own_connection() {
    let (router, mut connections) = in_memory(4096);
    let router: Arc<dyn Connector> = Arc::new(router);
    let accepting = async {
        for _ in 0..2 {
            let mut peer = connections.recv().await.expect("a connection");
            peer.accept().await;
            drop(peer);
        }
    };
    let opening = async {
        drop(router.open(setup()).await.expect("opened"));
        drop(router.open(setup()).await.expect("opened"));
    };
    soon(async { tokio::join!(opening, accepting) }).await;
}

#[tokio::test(start_paused = true)]
async fn opening_ends_in_time() {
    let (router, mut connections) = in_memory(4096);
    let started = Instant::now();
    assert!(
        matches!(open_error(&router).await, LinkError::Timeout(limit) if limit == setup().timeout)
    );
    assert_eq!(started.elapsed(), setup().timeout);
    let mut peer = connections.recv().await.expect("a connection");
    assert!(matches!(peer.recv().await, Some(Message::GetDate(_))));
    assert_eq!(peer.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn connecting_ends_in_time_too() {
    let router = I2cpRouter::in_process("memory", || async {
        std::future::pending::<()>().await;
        Ok(tokio::io::empty())
    });
    assert!(matches!(open_error(&router).await, LinkError::Timeout(_)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_attempt_closes_the_connection() {
    let (router, mut connections) = in_memory(4096);
    let attempt = timeout(Duration::from_secs(1), router.open(setup())).await;
    assert!(attempt.is_err());
    let mut peer = connections.recv().await.expect("a connection");
    assert!(matches!(peer.recv().await, Some(Message::GetDate(_))));
    assert_eq!(soon(peer.recv()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_router_is_reported_as_stopped() {
    let (router, connections) = in_memory(4096);
    drop(connections);
    assert!(matches!(open_error(&router).await, LinkError::Stopped));

    let (router, mut connections) = in_memory(4096);
    let stopping = async { drop(connections.recv().await) };
    let (error, ()) = tokio::join!(open_error(&router), stopping);
    assert!(matches!(error, LinkError::Stopped), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restartable_router_is_unreachable_until_it_has_stopped_permanently() {
    let (router, connections) = in_memory(4096);
    let gone = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&gone);
    let router = router.stopped_when(move || asked.load(Ordering::Relaxed));
    drop(connections);

    let error = open_error(&router).await;
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
    gone.store(true, Ordering::Relaxed);
    assert!(matches!(open_error(&router).await, LinkError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn refusals_have_their_own_errors() {
    let status = |status| Message::SessionStatus {
        session: SessionId::NONE,
        status,
    };
    let error = refused_with(status(SessionStatus::INVALID)).await;
    assert!(matches!(error, LinkError::Duplicate), "{error:?}");
    let error = refused_with(status(SessionStatus::REFUSED)).await;
    assert!(matches!(error, LinkError::Refused(_)), "{error:?}");
    let goodbye = |words| Message::Disconnect(Text::truncated(words));
    let error = refused_with(goodbye("Authorization failed")).await;
    assert!(matches!(error, LinkError::Denied(_)), "{error:?}");
    let error = refused_with(goodbye("too many sessions")).await;
    assert!(matches!(&error, LinkError::Refused(words) if words == "too many sessions"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_a_router_has_its_own_error() {
    let (router, mut connections) = in_memory(4096);
    let other = async {
        let mut peer = connections.recv().await.expect("a connection");
        peer.stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("open");
        peer.recv().await;
    };
    let (error, ()) = tokio::join!(open_error(&router), other);
    assert!(matches!(error, LinkError::NotARouter { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_login_of_the_router_is_sent_unless_the_session_has_its_own() {
    let login = async |setup: Setup| {
        let (router, mut connections) = in_memory(4096);
        let router = router.login("me", "sesame");
        let greeting = async {
            let mut peer = connections.recv().await.expect("a connection");
            peer.recv().await
        };
        let (_, greeting) = tokio::join!(router.open(setup), greeting);
        match greeting {
            Some(Message::GetDate(greeting)) => greeting.login,
            other => panic!("{other:?}"),
        }
    };
    let options = login(setup()).await;
    assert_eq!(options.get("i2cp.username"), Some("me"));
    assert_eq!(options.get("i2cp.password"), Some("sesame"));
    let mut own = setup();
    own.options.set("i2cp.username", "other").expect("valid");
    assert_eq!(login(own).await.get("i2cp.username"), Some("other"));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_does_not_fit_is_a_bad_option() {
    let (router, _connections) = in_memory(4096);
    let router = router.login("x".repeat(20_000), "");
    let error = open_error(&router).await;
    assert!(matches!(&error, LinkError::BadOption { key, .. } if key == "i2cp.username"));
}

#[tokio::test(start_paused = true)]
async fn a_destination_has_one_session_at_a_time() {
    let (router, mut connections) = in_memory(4096);
    let accept = async |connections: &mut mpsc::Receiver<Peer<DuplexStream>>| {
        let mut peer = connections.recv().await.expect("a connection");
        peer.accept().await;
        peer
    };
    let (link, peer) = tokio::join!(router.open(setup()), accept(&mut connections));
    let mut link = link.expect("opened");
    let again = router.clone();
    assert!(matches!(open_error(&again).await, LinkError::Duplicate));

    // A lost session frees its destination before its link is dropped.
    drop(peer);
    while !matches!(next(&mut *link).await, Event::Lost(_)) {}
    let (second, _peer) = tokio::join!(again.open(setup()), accept(&mut connections));
    let second = second.expect("opened");
    drop(link);
    assert!(matches!(open_error(&router).await, LinkError::Duplicate));

    // A dropped link and a dropped attempt do the same.
    drop(second);
    assert!(
        timeout(Duration::from_secs(1), router.open(setup()))
            .await
            .is_err()
    );
    connections.recv().await.expect("a connection");
    let (third, _peer) = tokio::join!(router.open(setup()), accept(&mut connections));
    third.expect("opened");
}
