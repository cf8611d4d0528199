//! Pings and their answers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

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

#[test]
fn data_that_was_not_acknowledged_is_sent_again_when_a_ping_is_answered() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.run(SECONDS(2));
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    pair.filter_ab = Some(Box::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        false
    }));
    pair.a.endpoint.write(pair.now, a, b"data").unwrap();
    pair.a.endpoint.flush(pair.now, a);
    pair.run(SECONDS(15));
    // The path is back right after a retransmission. The next one would be seconds later.
    let before = dropped.load(Ordering::Relaxed);
    assert!(pair.run_until(SECONDS(10), |_| dropped.load(Ordering::Relaxed) > before));
    pair.run(MS(10));
    pair.filter_ab = None;
    let to = pair.address_b();
    pair.a
        .endpoint
        .ping(pair.now, &to, Ports::default(), b"", SECONDS(10));
    let asked = pair.now;
    pair.b.events.clear();
    assert!(pair.run_until(SECONDS(10), |pair| pair.b.saw(&Event::Readable(b))));
    let took = pair.now - asked;
    assert!(took < SECONDS(1), "{took:?}");
    assert_eq!(read_all(&mut pair.b, pair.now, b).0, b"data");
}
