//! Signatures that are made and checked outside of the endpoint.

use eepkit_streaming::{
    Endpoint, EndpointConfig, Output, Received,
    packet::{Flags, Packet},
};
use eepkit_testbed::UNIX_START;

use super::*;

fn received(packet: impl Into<bytes::Bytes>) -> Received {
    Received {
        from_port: 0,
        to_port: 0,
        packet: packet.into(),
    }
}

/// A packet that is in flight to `b` and has these flags.
fn captured(pair: &Pair, flags: Flags) -> bytes::Bytes {
    let mut packets = pair.ab.in_flight().map(|transmit| &transmit.packet);
    let wanted = |packet: &&bytes::Bytes| Packet::parse(packet).unwrap().flags().contains(flags);
    packets.find(wanted).unwrap().clone()
}

/// The first packet of a stream from `a`, in flight to `b`.
fn syn(pair: &mut Pair) -> Received {
    open(pair, &StreamConfig::default());
    received(captured(pair, Flags::SYN))
}

#[test]
fn a_syn_is_signed_apart_from_the_endpoint() {
    let mut pair = pair();
    let destination = pair.b.endpoint.destination().clone();
    let ours = keys(7);
    let start = pair.now;
    let mut endpoint = Endpoint::new(
        ours.clone(),
        EndpointConfig::default(),
        [7; 32],
        start,
        UNIX_START,
    );
    endpoint
        .connect(
            start,
            &destination,
            Ports::default(),
            &StreamConfig::default(),
        )
        .unwrap();
    let Output::Transmit(mut syn) = endpoint.poll_output(start) else {
        panic!("a SYN");
    };
    let verify = |packet: &[u8]| Packet::parse(packet).unwrap().verify(None, 0).is_ok();
    assert!(!verify(&syn.packet));
    let length = syn.packet.len();
    syn.sign(&ours);
    assert!(verify(&syn.packet));
    assert_eq!(syn.packet.len(), length);
    let signed = syn.packet.clone();
    syn.sign(&ours);
    assert_eq!(syn.packet, signed, "it is signed once");
    pair.b.endpoint.listen(0, 10).unwrap();
    let check = pair.b.endpoint.receive(pair.now, received(signed)).unwrap();
    pair.b.endpoint.receive_verified(pair.now, check.check());
    assert_eq!(pair.b.endpoint.stream_count(), 1);
}

#[test]
fn a_syn_is_checked_apart_from_the_endpoint_and_opens_a_stream() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let syn = syn(&mut pair);
    let check = pair.b.endpoint.receive(pair.now, syn).unwrap();
    assert_eq!(pair.b.endpoint.stream_count(), 0);
    pair.b.endpoint.receive_verified(pair.now, check.check());
    assert!(pair.b.endpoint.accept(pair.now, 0).is_some());
}

#[test]
fn a_forged_syn_is_dropped_and_counted() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let mut forged = syn(&mut pair).packet.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let check = pair.b.endpoint.receive(pair.now, received(forged)).unwrap();
    pair.b.endpoint.receive_verified(pair.now, check.check());
    assert_eq!(pair.b.endpoint.stats().bad_signatures, 1);
    assert_eq!(pair.b.endpoint.stream_count(), 0);
}

#[test]
fn packets_that_are_refused_earlier_need_no_check() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let (stranger, other) = (keys(9), keys(8));
    let unknown_stream = Repr {
        send_id: 77,
        recv_id: 78,
        flags: Flags::RESET,
        from: Some(stranger.destination()),
        ..Repr::default()
    };
    let guard = eepkit_streaming::packet::replay_guard(&other.destination().hash());
    let for_another = Repr {
        recv_id: 79,
        flags: Flags::SYN | Flags::NO_ACK,
        nacks: &guard,
        from: Some(stranger.destination()),
        ..Repr::default()
    };
    for repr in [unknown_stream, for_another] {
        let packet = received(sign(&repr, &stranger));
        assert!(pair.b.endpoint.receive(pair.now, packet).is_none());
    }
    assert_eq!(pair.b.endpoint.stats().unknown_stream, 1);
    assert_eq!(pair.b.endpoint.stats().replays, 1);
}

#[test]
fn data_needs_no_check_and_a_close_does() {
    let mut pair = pair();
    let (a, _) = pair.connect();
    pair.a.endpoint.write(pair.now, a, b"text").unwrap();
    pair.a.endpoint.flush(pair.now, a);
    pair.drain();
    let data = captured(&pair, Flags::DELAY);
    assert!(pair.b.endpoint.receive(pair.now, received(data)).is_none());
    pair.a.endpoint.shutdown(pair.now, a);
    pair.drain();
    let close = captured(&pair, Flags::CLOSE);
    assert!(pair.b.endpoint.receive(pair.now, received(close)).is_some());
}

#[test]
fn a_result_for_an_ended_stream_is_ignored() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.reset(pair.now, a);
    pair.drain();
    let reset = captured(&pair, Flags::RESET);
    let check = pair.b.endpoint.receive(pair.now, received(reset)).unwrap();
    pair.b.endpoint.reset(pair.now, b);
    pair.b.endpoint.release(pair.now, b);
    pair.b.endpoint.receive_verified(pair.now, check.check());
    pair.drain();
    assert_eq!(pair.b.endpoint.stats().bad_signatures, 0);
    assert!(!pair.b.saw(&closed(b, CloseReason::Reset)));
}

#[test]
fn a_result_applies_to_its_packet_only() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.reset(pair.now, a);
    pair.drain();
    let genuine = captured(&pair, Flags::RESET);
    let mut forged = genuine.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let check = pair
        .b
        .endpoint
        .receive(pair.now, received(genuine))
        .unwrap();
    // The forged packet is handled between the two steps of the genuine one.
    pair.b.endpoint.handle_packet(pair.now, received(forged));
    assert_eq!(pair.b.endpoint.stats().bad_signatures, 1);
    pair.b.endpoint.receive_verified(pair.now, check.check());
    pair.drain();
    assert!(pair.b.saw(&closed(b, CloseReason::Reset)));
}

#[test]
fn pings_beyond_the_limit_need_no_check() {
    let mut pair = pair();
    let stranger = keys(9);
    let ping = Repr {
        send_id: 5,
        flags: Flags::ECHO,
        from: Some(stranger.destination()),
        ..Repr::default()
    };
    let ping = bytes::Bytes::from(sign(&ping, &stranger));
    let checks: Vec<_> = (0..300)
        .filter_map(|_| pair.b.endpoint.receive(pair.now, received(ping.clone())))
        .collect();
    // The size of the token bucket for answers.
    assert_eq!(checks.len(), 100);
    let mut answers = 0;
    for check in checks {
        pair.b.endpoint.receive_verified(pair.now, check.check());
    }
    while let Output::Transmit(_) = pair.b.endpoint.poll_output(pair.now) {
        answers += 1;
    }
    assert_eq!(answers, 100);
}
