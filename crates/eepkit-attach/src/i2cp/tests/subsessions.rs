use eepkit_i2cp::{MessagePayload, RouterKind};
use eepkit_link::LostReason;
use eepkit_wire::gzip;

use super::*;

const SUB: SessionId = SessionId(0x4321);

/// Opens a session on Java I2P.
async fn java() -> (Box<dyn Link>, Peer<DuplexStream>) {
    let (router, mut connections) = in_memory(16 * 1024);
    let router = router.kind(RouterKind::Java);
    let accepting = async {
        let mut far = connections.recv().await.expect("a connection");
        assert!(matches!(far.recv().await, Some(Message::GetDate(_))));
        let date = u64::try_from(clock::unix_now().as_millis()).expect("fits");
        let version = Text::new(&ApiVersion::OURS.to_string());
        far.send(&Message::SetDate(SetDate { date, version })).await;
        assert!(matches!(far.recv().await, Some(Message::CreateSession(_))));
        far.send(&status(ID, SessionStatus::CREATED)).await;
        far
    };
    let (link, far) = tokio::join!(router.open(setup()), accepting);
    let mut link = link.expect("opened");
    assert!(matches!(
        next(&mut *link).await,
        Event::Stage(LinkStage::BuildingTunnels)
    ));
    (link, far)
}

fn status(session: SessionId, status: SessionStatus) -> Message {
    Message::SessionStatus { session, status }
}

fn setup_of(seed: u64) -> Setup {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    Setup {
        keys: Arc::new(keys),
        ..setup()
    }
}

fn payload_for(session: SessionId, body: &[u8]) -> Message {
    let header = gzip::Header::default();
    Message::MessagePayload(MessagePayload {
        session,
        message: 1,
        payload: gzip::encode(header, body, false).into(),
    })
}

async fn body(link: &mut dyn Link) -> Bytes {
    match next(link).await {
        Event::Received { payload, .. } => payload.body,
        other => panic!("{other:?}"),
    }
}

/// Opens a subsession, which the router accepts with this number.
async fn subsession(
    link: &dyn Link,
    far: &mut Peer<DuplexStream>,
    seed: u64,
    id: SessionId,
) -> Box<dyn Link> {
    let subsessions = link.subsessions().expect("over I2CP");
    let accepting = async {
        assert!(matches!(far.recv().await, Some(Message::CreateSession(_))));
        far.send(&status(id, SessionStatus::CREATED)).await;
    };
    let (sub, ()) = soon(async { tokio::join!(subsessions.open(setup_of(seed)), accepting) }).await;
    let mut sub = sub.expect("opened");
    assert!(matches!(
        next(&mut *sub).await,
        Event::Stage(LinkStage::BuildingTunnels)
    ));
    sub
}

#[tokio::test(start_paused = true)]
async fn each_session_has_its_own_messages_on_one_connection() {
    let (mut link, mut far) = java().await;
    let mut sub = subsession(&*link, &mut far, 5, SUB).await;
    assert!(sub.subsessions().is_none(), "there is one level of them");

    far.send(&payload_for(SUB, b"for the subsession")).await;
    far.send(&payload_for(ID, b"for the session")).await;
    assert_eq!(body(&mut *link).await.as_ref(), b"for the session");
    assert_eq!(body(&mut *sub).await.as_ref(), b"for the subsession");

    far.send(&Message::RequestVariableLeaseSet {
        session: SUB,
        leases: leases(),
    })
    .await;
    let Event::LeaseSetWanted { leases: wanted, .. } = next(&mut *sub).await else {
        panic!("no request")
    };
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let keys = setup_of(5).keys;
    let mut maker = LeaseSetMaker::new(keys, &Options::new(), &mut rng).expect("valid");
    let lease_set = maker.make(&wanted, clock::unix_now()).expect("made");
    submit(&mut *sub, Command::PublishLeaseSet(lease_set)).await;
    assert!(matches!(
        soon(far.recv()).await,
        Some(Message::CreateLeaseSet2(message)) if message.session == SUB
    ));
    submit(&mut *sub, send(1, b"hello")).await;
    assert!(matches!(
        soon(far.recv()).await,
        Some(Message::SendMessageExpires(sent)) if sent.message.session == SUB
    ));

    drop(sub);
    assert_eq!(soon(far.recv()).await, Some(Message::DestroySession(SUB)));
    far.send(&payload_for(ID, b"still there")).await;
    assert_eq!(body(&mut *link).await.as_ref(), b"still there");
}

#[tokio::test(start_paused = true)]
async fn subsessions_are_requested_one_after_the_other() {
    let (link, mut far) = java().await;
    let subsessions = link.subsessions().expect("over I2CP");
    let opening: Vec<_> = (5..8)
        .map(|seed| tokio::spawn(subsessions.open(setup_of(seed))))
        .collect();
    for (number, answer) in [
        (1, SessionStatus::CREATED),
        (2, SessionStatus::REFUSED),
        (3, SessionStatus::CREATED),
    ] {
        assert!(matches!(
            soon(far.recv()).await,
            Some(Message::CreateSession(_))
        ));
        let quiet = timeout(Duration::from_secs(1), far.recv()).await;
        assert!(quiet.is_err(), "the next waits for the answer");
        far.send(&status(SessionId(number), answer)).await;
    }
    let mut opened = Vec::new();
    for one in opening {
        match soon(one).await.expect("no panic") {
            Ok(sub) => opened.push(sub),
            Err(LinkError::Refused(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(opened.len(), 2);
    let twice = soon(subsessions.open(setup())).await;
    assert!(matches!(twice, Err(LinkError::Duplicate)), "{twice:?}");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_subsession_is_ended() {
    let (link, mut far) = java().await;
    let subsessions = link.subsessions().expect("over I2CP");
    let setup = Setup {
        timeout: Duration::from_secs(2),
        ..setup_of(5)
    };
    let error = soon(subsessions.open(setup)).await.expect_err("no answer");
    assert!(matches!(error, LinkError::Timeout(_)), "{error:?}");
    assert!(matches!(far.recv().await, Some(Message::CreateSession(_))));
    far.send(&status(SUB, SessionStatus::CREATED)).await;
    assert_eq!(soon(far.recv()).await, Some(Message::DestroySession(SUB)));
    // The destination is free again.
    subsession(&*link, &mut far, 5, SessionId(0x4322)).await;
}

#[tokio::test(start_paused = true)]
async fn all_sessions_are_lost_with_the_connection_and_one_with_its_own_end() {
    let (mut link, mut far) = java().await;
    let mut first = subsession(&*link, &mut far, 5, SessionId(1)).await;
    let mut second = subsession(&*link, &mut far, 6, SessionId(2)).await;
    far.send(&status(SessionId(1), SessionStatus::DESTROYED))
        .await;
    assert!(matches!(
        soon(next(&mut *first)).await,
        Event::Lost(LostReason::Closed(_))
    ));
    drop(far);
    for one in [&mut link, &mut second] {
        assert!(matches!(soon(next(&mut **one)).await, Event::Lost(_)));
    }
    let late = link.subsessions().expect("over I2CP").open(setup_of(7));
    assert!(matches!(soon(late).await, Err(LinkError::Refused(_))));
}
