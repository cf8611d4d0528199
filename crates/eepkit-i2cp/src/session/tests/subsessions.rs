//! Tests of subsessions.

use super::*;

pub(super) const SUB: Handle = Handle(5);

pub(super) fn open_subsession(handle: Handle) -> Command {
    Command::OpenSubsession {
        session: handle,
        keys: keys_of(SignatureType::DSA_SHA1, 3),
        options: Options::new(),
    }
}

/// An open session on Java I2P.
fn java() -> Bench {
    let mut bench = Bench::with_keys(keys(), &[], Some(RouterKind::Java));
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.accept();
    bench
}

#[test]
fn a_subsession_shares_the_connection() {
    let mut bench = java();
    let id = SessionId(0x4321);
    bench.command(open_subsession(SUB));
    assert!(matches!(
        bench.sent().as_slice(),
        [Message::CreateSession(_)]
    ));
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::CREATED,
    });
    assert!(matches!(bench.events().as_slice(), [Event::Opened(SUB)]));
    bench.router(&lease_set_request(id));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::LeaseSetWanted { session: SUB, .. }]
    ));
    bench.command(publish(SUB));
    bench.pass(LEASE_SET_DELAY);
    assert!(matches!(
        bench.sent().as_slice(),
        [Message::CreateLeaseSet2(message)] if message.session == id
    ));
    bench.events();
    bench.router(&Message::MessagePayload(MessagePayload {
        session: id,
        message: 1,
        payload: Bytes::new(),
    }));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Received { session: SUB, .. }]
    ));

    bench.command(Command::Close(SUB));
    assert_eq!(bench.sent(), [Message::DestroySession(id)]);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed {
            session: SUB,
            reason: SessionCloseReason::Local
        }]
    ));
    assert!(!bench.session.is_closed());
}

#[test]
fn subsessions_are_opened_one_at_a_time_and_only_on_java() {
    let refused = |bench: &mut Bench, handle| {
        bench.command(open_subsession(handle));
        assert_eq!(bench.sent(), []);
        matches!(
            bench.events().as_slice(),
            [Event::SubsessionClosed {
                session,
                reason: SessionCloseReason::Refused(_) | SessionCloseReason::Unsupported(_)
            }] if *session == handle
        )
    };
    let mut bench = Bench::new(&[]);
    bench.sent();
    assert!(refused(&mut bench, SUB), "the primary session is not open");

    let mut bench = java();
    assert!(refused(&mut bench, Handle::PRIMARY), "the handle is in use");
    bench.command(open_subsession(SUB));
    bench.sent();
    assert!(refused(&mut bench, Handle(6)), "another is being opened");
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::REFUSED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed { session: SUB, .. }]
    ));
    bench.command(open_subsession(SUB));
    assert_eq!(bench.sent().len(), 1, "a second attempt is possible");

    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.accept();
    assert!(
        refused(&mut bench, SUB),
        "emissary has one session per connection"
    );
    let mut bench = Bench::ready("0.9.66");
    assert!(
        refused(&mut bench, SUB),
        "the router may be i2pd, whose session would become unusable"
    );
}

#[test]
fn the_primary_session_survives_the_end_of_a_subsession() {
    let mut bench = java();
    let id = SessionId(0x4321);
    bench.command(open_subsession(SUB));
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::CREATED,
    });
    bench.events();
    bench.router(&Message::SessionStatus {
        session: id,
        status: SessionStatus::DESTROYED,
    });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubsessionClosed {
            session: SUB,
            reason: SessionCloseReason::Destroyed
        }]
    ));
    assert!(!bench.session.is_closed());
}
