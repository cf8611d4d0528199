//! Tests of sent and received messages.

use super::*;

#[test]
fn messages_are_sent_with_flags_and_deadline() {
    let mut bench = Bench::ready("0.9.66");
    bench.pass(Duration::from_secs(5).saturating_sub(LEASE_SET_DELAY));
    bench.command(send(&bench, 42));
    match bench.sent().as_slice() {
        [
            Message::SendMessageExpires(SendMessageExpires {
                message,
                flags,
                expires,
            }),
        ] => {
            assert_eq!(message.session, ID);
            assert_eq!(message.to, peer());
            let payload = gzip::decode(&message.payload, 100).expect("framed");
            assert_eq!(payload, (HEADER, b"payload".into()));
            assert_eq!(message.nonce, 42);
            assert!(flags.omit_lease_set());
            assert_eq!(u128::from(*expires), UNIX_NOW.as_millis() + 25_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nonce_is_0_on_the_wire_if_no_report_is_requested() {
    let mut bench = Bench::ready("0.9.66");
    let Command::Send(mut outgoing) = send(&bench, 42) else {
        unreachable!()
    };
    outgoing.report = false;
    bench.command(Command::Send(outgoing));
    match bench.sent().as_slice() {
        [Message::SendMessageExpires(sent)] => assert_eq!(sent.message.nonce, 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_are_received() {
    let mut bench = Bench::ready("0.9.66");
    let payload = Bytes::from_static(b"hello");
    bench.router(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 9,
        payload: payload.clone(),
    }));
    match bench.events().as_slice() {
        [
            Event::Received {
                session: Handle::PRIMARY,
                payload: got,
            },
        ] => assert_eq!(*got, payload),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.sent(), [], "fast receive needs no confirmation");
}

#[test]
fn without_fast_receive_messages_are_requested_and_confirmed() {
    let mut bench = Bench::new(&[("i2cp.fastReceive", "false")]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.accept();
    bench.router(&Message::MessageStatus(MessageStatus {
        session: ID,
        message: 9,
        status: DeliveryStatus::AVAILABLE,
        size: 5,
        nonce: 0,
    }));
    assert_eq!(
        bench.sent(),
        [Message::ReceiveMessageBegin {
            session: ID,
            message: 9
        }]
    );
    bench.router(&Message::MessagePayload(MessagePayload {
        session: ID,
        message: 9,
        payload: Bytes::from_static(b"hello"),
    }));
    assert_eq!(
        bench.sent(),
        [Message::ReceiveMessageEnd {
            session: ID,
            message: 9
        }]
    );
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Received { .. }]
    ));
}

#[test]
fn a_message_status_with_a_nonce_is_reported() {
    let mut bench = Bench::ready("0.9.66");
    let report = |nonce| {
        Message::MessageStatus(MessageStatus {
            session: ID,
            message: 1,
            status: DeliveryStatus::NO_LEASE_SET,
            size: 0,
            nonce,
        })
    };
    bench.router(&report(0));
    assert!(bench.events().is_empty());
    bench.router(&report(42));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 42,
            status: DeliveryStatus::NO_LEASE_SET,
            ..
        }]
    ));
}

#[test]
fn sending_before_there_are_tunnels_fails_at_once() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.router(&Message::SessionStatus {
        session: ID,
        status: SessionStatus::CREATED,
    });
    bench.sent();
    bench.events();
    bench.command(send(&bench, 7));
    assert_eq!(bench.sent(), []);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 7,
            status: DeliveryStatus::NO_LOCAL_TUNNELS,
            ..
        }]
    ));
}

#[test]
fn a_message_that_is_too_long_fails_and_the_session_stays_open() {
    let mut bench = Bench::ready("0.9.66");
    let Command::Send(mut outgoing) = send(&bench, 7) else {
        unreachable!()
    };
    outgoing.body = vec![0; 70_000].into();
    bench.command(Command::Send(outgoing));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::MessageStatus {
            nonce: 7,
            status: DeliveryStatus::BAD_MESSAGE,
            ..
        }]
    ));
    assert!(!bench.session.is_closed());
}

#[test]
fn messages_for_another_session_are_ignored() {
    let mut bench = Bench::ready("0.9.66");
    let session = SessionId(999);
    bench.router(&lease_set_request(session));
    bench.router(&Message::MessagePayload(MessagePayload {
        session,
        message: 9,
        payload: Bytes::new(),
    }));
    assert!(bench.events().is_empty());
}

#[test]
fn unknown_messages_and_those_of_a_client_are_ignored() {
    let mut bench = Bench::ready("0.9.66");
    bench.receive(&[0, 0, 0, 1, 99, 0]);
    bench.router(&Message::GetBandwidthLimits);
    bench.router(&Message::DestroySession(ID));
    assert!(!bench.session.is_closed());
    assert!(bench.events().is_empty());
}

#[test]
fn a_malformed_message_ends_the_connection() {
    let mut bench = Bench::ready("0.9.66");
    bench.receive(&[0, 0, 0, 1, 31, 0]);
    match bench.closed() {
        SessionCloseReason::Protocol(why) => {
            assert_eq!(why, "message of type 31: input ended inside session id");
        }
        other => panic!("{other:?}"),
    }
}
