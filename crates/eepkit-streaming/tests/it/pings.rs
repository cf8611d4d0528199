//! Pings and their answers.

use eepkit_streaming::{Access, EndpointConfig, packet::Flags};

use super::*;

#[test]
fn a_pong_carries_the_payload_of_its_ping() {
    let mut pair = pair();
    let to = pair.address_b();
    let id = pair.a.endpoint.ping(
        pair.now,
        &to,
        Ports::default(),
        b"are you there?",
        SECONDS(10),
    );
    pair.run(SECONDS(1));
    let pong = Event::Pong {
        id,
        rtt: MS(500),
        payload: "are you there?".into(),
    };
    assert!(pair.a.saw(&pong), "{:?}", pair.a.events);
}

#[test]
fn a_pong_carries_at_most_32_bytes() {
    let mut pair = pair();
    let alice = keys(1);
    let repr = Repr {
        send_id: 5,
        flags: Flags::ECHO,
        from: Some(alice.destination()),
        payload: &[7; 100],
        ..Repr::default()
    };
    inject_b(&mut pair, sign(&repr, &alice));
    let pong = pair.ba.in_flight().next().unwrap().packet.clone();
    let pong = eepkit_streaming::packet::Packet::parse(&pong).unwrap();
    assert_eq!(
        (pong.send_id(), pong.recv_id(), pong.payload()),
        (0, 5, &[7; 32][..])
    );
    assert!(pong.from().is_none());
}

#[test]
fn an_unanswered_ping_times_out() {
    let config = EndpointConfig::default().with_answer_pings(false);
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(50)),
        EndpointConfig::default(),
        config,
        1,
    );
    let to = pair.address_b();
    let id = pair
        .a
        .endpoint
        .ping(pair.now, &to, Ports::default(), b"", SECONDS(3));
    pair.run(MS(2990));
    assert!(pair.a.events.is_empty());
    pair.run(MS(20));
    assert!(pair.a.saw(&Event::PingTimeout(id)));
}

#[test]
fn unsigned_pings_and_pings_of_denied_peers_are_not_answered() {
    let config = EndpointConfig::default()
        .with_access(Access::AllBut([keys(3).destination().hash()].into()));
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(50)),
        EndpointConfig::default(),
        config,
        1,
    );
    let alice = keys(1);
    let repr = Repr {
        send_id: 5,
        flags: Flags::ECHO,
        from: Some(alice.destination()),
        ..Repr::default()
    };
    let mut unsigned = Vec::new();
    repr.encode(&mut unsigned);
    inject_b(&mut pair, unsigned);
    inject_b(&mut pair, sign(&repr, &keys(9)));
    let denied = keys(3);
    let repr = Repr {
        from: Some(denied.destination()),
        ..repr
    };
    inject_b(&mut pair, sign(&repr, &denied));
    assert_eq!(pair.sent.1, 0);
}

#[test]
fn a_flood_of_pings_is_answered_in_part() {
    let mut pair = pair();
    let alice = keys(1);
    let repr = Repr {
        send_id: 5,
        flags: Flags::ECHO,
        from: Some(alice.destination()),
        ..Repr::default()
    };
    let packet = sign(&repr, &alice);
    for _ in 0..500 {
        inject_b(&mut pair, packet.clone());
    }
    assert_eq!(pair.sent.1, 100);
}

#[test]
fn a_peer_that_pings_or_opens_a_stream_was_heard() {
    let silent = || EndpointConfig::default().with_answer_pings(false);
    let link = LinkConfig::delay(MS(50));
    let mut pair = Pair::with_config(link, silent(), silent(), 1);
    let a = pair.address_a();
    assert_eq!(pair.b.endpoint.heard(&a.hash()), None, "not known");

    pair.b
        .endpoint
        .ping(pair.now, &a, Ports::default(), b"", SECONDS(1));
    pair.run(SECONDS(2));
    assert_eq!(pair.b.endpoint.heard(&a.hash()), None, "no answer");

    let before = pair.now;
    pair.connect();
    let heard = pair.b.endpoint.heard(&a.hash()).unwrap();
    assert!(heard > before);
}
