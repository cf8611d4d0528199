//! Opening streams: loss, reordering, replay, refusal, timeouts and offline keys.

use eepkit_streaming::{EndpointConfig, packet::Flags};

use super::*;

#[test]
fn a_stream_is_established_after_one_round_trip() {
    let mut pair = pair();
    pair.b.endpoint.listen(80, 10).unwrap();
    let to = pair.address_b();
    let ports = Ports {
        local: 1234,
        remote: 80,
    };
    let began = pair.now;
    let a = pair
        .a
        .endpoint
        .connect(pair.now, &to, ports, &StreamConfig::default())
        .unwrap();
    assert!(pair.run_until(SECONDS(1), |pair| pair.b.saw(&Event::Incoming { port: 80 })));
    let incoming = pair.b.endpoint.accept(pair.now, 80).unwrap();
    assert_eq!(incoming.peer, pair.address_a());
    assert_eq!((incoming.local_port, incoming.remote_port), (80, 1234));
    assert!(pair.run_until(SECONDS(1), |pair| pair.a.saw(&Event::Connected(a))));
    assert!(pair.now - began <= MS(510), "{:?}", pair.now - began);
    let info = pair.a.endpoint.info(a).unwrap();
    assert_eq!(info.mtu, 1812);
    // The first packet is like that of Java.
    assert_eq!(info.peer_kind, eepkit_streaming::PeerKind::Java);
    assert!(info.rtt.unwrap() >= MS(500) && info.rtt.unwrap() <= MS(510));
}

#[test]
fn this_library_is_recognised_by_its_behaviour() {
    for (loss, reorder) in [(0.0, 0.0), (0.02, 0.0), (0.01, 1.0)] {
        let link = LinkConfig::delay(MS(400))
            .jitter(MS(20))
            .loss(loss)
            .reorder(reorder, MS(100));
        let mut pair = Pair::new(link);
        let ids = pair.connect();
        pair.transfer(ids, 2 << 20, SECONDS(60));
        let kind = |side: &Side, id| side.endpoint.info(id).unwrap().peer_kind;
        assert_eq!(
            kind(&pair.a, ids.0),
            eepkit_streaming::PeerKind::Eepkit,
            "{loss}"
        );
        assert_eq!(
            kind(&pair.b, ids.1),
            eepkit_streaming::PeerKind::Eepkit,
            "{loss}"
        );
    }
}

#[test]
fn a_lost_first_packet_is_sent_again() {
    let mut pair = pair();
    let mut lost = 0;
    pair.filter_ab = Some(Box::new(move |packet| {
        lost += u32::from(packet.flags().is_syn());
        !packet.flags().is_syn() || lost > 2
    }));
    let ids = pair.connect();
    pair.transfer(ids, 10_000, SECONDS(60));
}

#[test]
fn a_lost_answer_is_sent_again_and_makes_no_second_stream() {
    let mut pair = pair();
    let mut lost = 0;
    pair.filter_ba = Some(Box::new(move |packet| {
        lost += u32::from(packet.flags().is_syn());
        !packet.flags().is_syn() || lost > 2
    }));
    let ids = pair.connect();
    pair.transfer(ids, 10_000, SECONDS(60));
    assert!(pair.accept().is_none());
    assert_eq!(pair.b.endpoint.stream_count(), 1);
}

#[test]
fn data_is_sent_with_the_first_packet_and_answered_with_the_second() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let config = StreamConfig::default().with_connect_delay(SECONDS(1));
    let a = open(&mut pair, &config);
    assert_eq!(pair.sent.0, 0);
    pair.a.endpoint.write(pair.now, a, b"request").unwrap();
    pair.a.endpoint.shutdown(pair.now, a);
    let mut b = None;
    assert!(pair.run_until(MS(260), |pair| {
        b = pair.accept();
        b.is_some()
    }));
    let b = b.unwrap().id;
    assert_eq!(
        read_all(&mut pair.b, pair.now, b),
        (b"request".to_vec(), true)
    );
    pair.b.endpoint.write(pair.now, b, b"response").unwrap();
    pair.b.endpoint.shutdown(pair.now, b);
    assert!(pair.run_until(MS(260), |pair| pair.a.saw(&Event::Readable(a))));
    assert_eq!(
        read_all(&mut pair.a, pair.now, a),
        (b"response".to_vec(), true)
    );
    assert!(pair.a.saw(&closed(a, CloseReason::Finished)));
    assert!(pair.run_until(MS(260), |pair| {
        pair.b.saw(&closed(b, CloseReason::Finished))
    }));
    // One packet in each direction, and the last acknowledgement.
    assert_eq!(pair.sent, (2, 1));
}

#[test]
fn data_written_before_the_answer_leaves_before_it() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let a = open(&mut pair, &StreamConfig::default());
    pair.a.endpoint.write(pair.now, a, &[7; 30_000]).unwrap();
    pair.drain();
    // The first packet and five more, which all implementations buffer.
    assert_eq!(pair.sent.0, 6);
    pair.run(MS(251));
    let b = pair.accept().unwrap().id;
    assert_eq!(read_all(&mut pair.b, pair.now, b).0.len(), 5 * 1730);
}

#[test]
fn packets_that_overtake_the_first_one_are_kept() {
    let mut pair = Pair::new(LinkConfig::delay(MS(250)).reorder(0.7, MS(200)));
    pair.b.endpoint.listen(0, 10).unwrap();
    for _ in 0..20 {
        let a = open(&mut pair, &StreamConfig::default());
        pair.a.endpoint.write(pair.now, a, &[7; 5000]).unwrap();
        let mut b = None;
        let mut read = 0;
        assert!(pair.run_until(SECONDS(30), |pair| {
            b = b.clone().or_else(|| pair.accept());
            if let Some(b) = &b {
                read += read_all(&mut pair.b, pair.now, b.id).0.len();
            }
            read == 5000
        }));
    }
}

#[test]
fn a_smaller_maximum_size_of_either_side_applies_to_both() {
    for (theirs, ours) in [(512, 1812), (1812, 512), (1730, 4000)] {
        let config = |size| {
            EndpointConfig::default()
                .with_stream(StreamConfig::default().with_max_message_size(size))
        };
        let mut pair =
            Pair::with_config(LinkConfig::delay(MS(50)), config(ours), config(theirs), 1);
        pair.filter_ab = Some(Box::new(move |packet| {
            assert!(
                packet.flags().is_syn() || packet.payload().len() <= usize::from(theirs.min(ours))
            );
            true
        }));
        let stream = config(ours).stream().clone();
        let ids = pair.connect_with(&stream);
        pair.transfer(ids, 50_000, SECONDS(60));
        for info in [pair.a.endpoint.info(ids.0), pair.b.endpoint.info(ids.1)] {
            assert_eq!(info.unwrap().mtu, usize::from(theirs.min(ours)));
        }
    }
}

#[test]
fn a_first_packet_for_another_destination_is_dropped() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let somebody = keys(9);
    let mut repr = Repr {
        recv_id: 5,
        flags: Flags::SYN | Flags::NO_ACK,
        ..Repr::default()
    };
    let alice = keys(1);
    repr.from = Some(alice.destination());
    let guard = eepkit_streaming::packet::replay_guard(&somebody.destination().hash());
    repr.nacks = &guard;
    inject_b(&mut pair, sign(&repr, &alice));
    assert_eq!(pair.b.endpoint.stats().replays, 1);
    // Peers before 0.9.58 send no guard. Such a packet is accepted.
    repr.nacks = &[];
    inject_b(&mut pair, sign(&repr, &alice));
    assert!(pair.accept().is_some());
}

#[test]
fn first_packets_without_or_with_a_wrong_signature_are_dropped() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let alice = keys(1);
    let repr = Repr {
        recv_id: 5,
        flags: Flags::SYN | Flags::NO_ACK,
        from: Some(alice.destination()),
        ..Repr::default()
    };
    let mut unsigned = Vec::new();
    repr.encode(&mut unsigned);
    inject_b(&mut pair, unsigned);
    inject_b(&mut pair, sign(&repr, &keys(9)));
    let mut changed = sign(&repr, &alice);
    changed[7] ^= 1;
    inject_b(&mut pair, changed);
    assert_eq!(pair.b.endpoint.stats().bad_signatures, 3);
    assert_eq!(pair.b.endpoint.stream_count(), 0);
    assert_eq!(pair.sent.1, 0);
}

#[test]
fn the_same_first_packet_twice_makes_one_stream_even_after_its_end() {
    let mut pair = pair();
    let captured = std::sync::Arc::new(std::sync::Mutex::new(None));
    let copy = captured.clone();
    pair.b.endpoint.listen(0, 10).unwrap();
    let a = open(&mut pair, &StreamConfig::default());
    if let Some(transmit) = pair.ab.in_flight().next() {
        *copy.lock().unwrap() = Some(transmit.packet.to_vec());
    }
    pair.run(SECONDS(1));
    let b = pair.accept().unwrap().id;
    let syn = captured.lock().unwrap().clone().unwrap();
    inject_b(&mut pair, syn.clone());
    assert!(pair.accept().is_none());
    pair.run(SECONDS(2));
    pair.a.endpoint.release(pair.now, a);
    pair.b.endpoint.release(pair.now, b);
    pair.run(SECONDS(5));
    assert_eq!(pair.b.endpoint.stream_count(), 0);
    inject_b(&mut pair, syn);
    assert!(pair.accept().is_none());
    assert_eq!(pair.b.endpoint.stream_count(), 0);
}

#[test]
fn connecting_to_a_silent_peer_ends_after_the_timeout() {
    let mut pair = pair();
    pair.filter_ab = Some(Box::new(|_| false));
    let config = StreamConfig::default().with_connect_timeout(Some(SECONDS(20)));
    let a = open(&mut pair, &config);
    let began = pair.now;
    assert!(pair.run_until(SECONDS(60), |pair| {
        pair.a.saw(&closed(a, CloseReason::ConnectTimeout))
    }));
    assert_eq!(pair.now - began, SECONDS(20));
    let to = pair.address_b();
    assert!(pair.a.saw(&Event::LeaseSetLookup { to }));
    assert!(pair.a.endpoint.write(pair.now, a, b"x").is_err());
    assert!(pair.a.endpoint.read(pair.now, a, 1).is_err());
}

/// Whether this event reports that a peer is silent.
fn is_silence(event: &Event) -> bool {
    matches!(event, Event::PeerSilent { silence, .. } if !silence.is_zero())
}

#[test]
fn a_known_peer_that_answers_neither_syn_nor_ping_is_reported() {
    let mut pair = pair();
    let config = StreamConfig::default();
    pair.connect_with(&config);
    pair.run(SECONDS(2));
    pair.filter_ab = Some(Box::new(|_| false));
    open(&mut pair, &config);
    assert!(pair.run_until(SECONDS(60), |pair| pair.a.events.iter().any(is_silence)));
}

#[test]
fn a_peer_that_answers_pings_and_does_not_accept_is_not_reported() {
    let mut pair = pair();
    let config = StreamConfig::default();
    pair.connect_with(&config);
    pair.run(SECONDS(2));
    open(&mut pair, &config);
    assert!(!pair.run_until(SECONDS(60), |pair| pair.a.events.iter().any(is_silence)));
}

/// A packet with our stream id and another one than that of the peer, as anybody can guess or
/// remember it.
fn garbage(id: u32, flags: Flags) -> eepkit_streaming::Received {
    let mut packet = Vec::new();
    let repr = Repr {
        send_id: id,
        recv_id: 77,
        seq: 1,
        flags,
        ..Repr::default()
    };
    repr.encode(&mut packet);
    eepkit_streaming::Received {
        from_port: 0,
        to_port: 0,
        packet: packet.into(),
    }
}

#[test]
fn packets_that_are_not_of_the_peer_do_not_delay_the_report_of_its_silence() {
    let reported = |with_garbage: bool| {
        let ids = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
        let seen = ids.clone();
        let mut pair = pair();
        pair.filter_ab = Some(Box::new(move |packet| {
            seen.lock().unwrap().insert(packet.recv_id());
            true
        }));
        let config = StreamConfig::default();
        pair.connect_with(&config);
        pair.run(SECONDS(2));
        let seen = ids.clone();
        pair.filter_ab = Some(Box::new(move |packet| {
            seen.lock().unwrap().insert(packet.recv_id());
            false
        }));
        open(&mut pair, &config);
        let began = pair.now;
        assert!(pair.run_until(SECONDS(120), |pair| {
            let ids = ids.lock().unwrap().clone();
            for id in ids.into_iter().filter(|_| with_garbage) {
                for flags in [Flags::empty(), Flags::RESET, Flags::SYN] {
                    pair.a.endpoint.handle_packet(pair.now, garbage(id, flags));
                }
            }
            pair.a.events.iter().any(is_silence)
        }));
        pair.now - began
    };
    assert_eq!(reported(true), reported(false));
}

#[test]
fn connecting_without_a_timeout_ends_with_the_resends() {
    let mut pair = pair();
    pair.filter_ab = Some(Box::new(|_| false));
    let config = StreamConfig::default()
        .with_connect_timeout(None)
        .with_max_resends(3);
    let a = open(&mut pair, &config);
    assert!(pair.run_until(SECONDS(600), |pair| {
        pair.a.saw(&closed(a, CloseReason::ConnectTimeout))
    }));
    // Four first packets, and a reset in case one of them arrived.
    assert_eq!(pair.sent.0, 5);
}

#[test]
fn a_port_without_a_listener_refuses() {
    let mut pair = pair();
    pair.b.endpoint.listen(80, 10).unwrap();
    let a = open(&mut pair, &StreamConfig::default());
    assert!(pair.run_until(SECONDS(2), |pair| {
        pair.a.saw(&closed(a, CloseReason::Refused))
    }));
    assert_eq!(pair.b.endpoint.stats().refused, 1);
}

#[test]
fn a_refusal_that_is_not_signed_by_the_peer_is_ignored() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let a = open(&mut pair, &StreamConfig::default());
    let syn = pair.ab.in_flight().next().unwrap().packet.clone();
    let id = eepkit_streaming::packet::Packet::parse(&syn)
        .unwrap()
        .recv_id();
    let repr = Repr {
        send_id: id,
        flags: Flags::RESET,
        ..Repr::default()
    };
    let mut bare = Vec::new();
    repr.encode(&mut bare);
    for forged in [bare, sign(&repr, &keys(9))] {
        let received = eepkit_streaming::Received {
            from_port: 0,
            to_port: 0,
            packet: forged.into(),
        };
        pair.a.endpoint.handle_packet(pair.now, received);
    }
    assert_eq!(pair.a.endpoint.stats().bad_signatures, 2);
    pair.run(MS(260));
    assert!(pair.accept().is_some());
    assert!(pair.run_until(SECONDS(1), |pair| pair.a.saw(&Event::Connected(a))));
}

#[test]
fn a_stream_that_is_not_accepted_is_refused_after_a_while() {
    let mut pair = pair();
    pair.b.endpoint.listen(0, 10).unwrap();
    let a = open(&mut pair, &StreamConfig::default());
    assert!(pair.run_until(SECONDS(12), |pair| {
        pair.a.saw(&closed(a, CloseReason::Refused))
    }));
    assert_eq!(pair.b.endpoint.stream_count(), 0);
    assert!(pair.accept().is_none());
}

#[test]
fn offline_keys_work_on_both_sides() {
    let mut rng =
        <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::from_seed([5; 32]);
    let expires = u32::try_from(UNIX_START.as_secs()).unwrap() + 3600;
    let mut pair = pair();
    let now = pair.now;
    let mut offline = |seed| {
        let keys = keys(seed)
            .with_transient(expires, eepkit_wire::SignatureType::ED25519, &mut rng)
            .unwrap();
        Side::new(
            std::sync::Arc::new(keys),
            EndpointConfig::default(),
            seed,
            now,
        )
    };
    pair.a = offline(1);
    pair.b = offline(2);
    let ids = pair.connect();
    pair.transfer(ids, 100_000, SECONDS(60));
    pair.a.endpoint.shutdown(pair.now, ids.0);
    pair.b.endpoint.shutdown(pair.now, ids.1);
    assert!(pair.run_until(SECONDS(5), |pair| {
        pair.a.saw(&closed(ids.0, CloseReason::Finished))
    }));
    // After the transient key has expired, new streams are not accepted.
    pair.run(SECONDS(3700));
    let a = open(&mut pair, &StreamConfig::default());
    assert!(pair.run_until(SECONDS(100), |pair| {
        pair.a.saw(&closed(a, CloseReason::ConnectTimeout))
    }));
    assert!(pair.b.endpoint.stats().bad_signatures > 0);
}

#[test]
fn a_destination_can_connect_to_itself() {
    let mut pair = pair();
    let now = pair.now;
    pair.b = Side::new(keys(1), EndpointConfig::default(), 1, now);
    pair.a.endpoint.listen(0, 4).unwrap();
    let to = pair.address_a();
    // All packets that `a` sends are delivered to `a`.
    let id = pair
        .a
        .endpoint
        .connect(pair.now, &to, Ports::default(), &StreamConfig::default())
        .unwrap();
    let mut accepted = None;
    for _ in 0..100 {
        pair.drain();
        if let Some(transmit) = pair.ab.next().and_then(|at| pair.ab.receive(at)) {
            pair.now += MS(1);
            pair.a.endpoint.handle_packet(pair.now, arrive(transmit));
        }
        accepted = accepted.or_else(|| pair.a.endpoint.accept(pair.now, 0));
        pair.now += MS(5);
        pair.a.endpoint.handle_timeout(pair.now);
    }
    assert!(accepted.is_some());
    assert!(pair.a.saw(&Event::Connected(id)));
}
