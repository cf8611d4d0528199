//! Arbitrary operations on a faulty link, and packets that no correct peer sends.

use eepkit_streaming::{EndpointConfig, Received, packet::Flags};
use proptest::prelude::*;

use super::*;

/// A step of an application or of the network.
#[derive(Debug, Clone)]
enum Step {
    WriteA(usize),
    WriteB(usize),
    ReadA(usize),
    ReadB(usize),
    FlushA,
    Wait(u64),
    Change {
        loss: u8,
        reorder: u8,
        duplicate: u8,
    },
    Outage(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_000_usize).prop_map(Step::WriteA),
        4 => (1..20_000_usize).prop_map(Step::WriteB),
        4 => (1..30_000_usize).prop_map(Step::ReadA),
        4 => (1..30_000_usize).prop_map(Step::ReadB),
        1 => Just(Step::FlushA),
        6 => (0..3_000_u64).prop_map(Step::Wait),
        2 => (0..20_u8, 0..30_u8, 0..10_u8).prop_map(|(loss, reorder, duplicate)| Step::Change { loss, reorder, duplicate }),
        1 => (0..20_000_u64).prop_map(Step::Outage),
    ]
}

fn write(
    side: &mut Side,
    now: std::time::Instant,
    id: StreamId,
    transfer: &mut Transfer,
    count: usize,
) {
    let bytes: Vec<u8> = (transfer.written..).take(count).map(pattern).collect();
    if let Ok(taken) = side.endpoint.write(now, id, &bytes) {
        transfer.written += taken as u64;
    }
}

fn read(
    side: &mut Side,
    now: std::time::Instant,
    id: StreamId,
    transfer: &mut Transfer,
    mut count: usize,
) {
    while count > 0 {
        let Ok(Read::Data(data)) = side.endpoint.read(now, id, count) else {
            return;
        };
        for (byte, position) in data.iter().zip(transfer.received..) {
            assert_eq!(*byte, pattern(position));
        }
        count -= data.len();
        transfer.received += data.len() as u64;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn bytes_arrive_once_and_in_order_over_any_link(steps in proptest::collection::vec(step(), 1..60), seed in any::<u8>()) {
        let config = EndpointConfig::default().with_stream(StreamConfig::default().with_receive_buffer(1).with_max_receive_buffer(1));
        let mut pair = Pair::with_config(LinkConfig::delay(MS(200)).jitter(MS(30)), config.clone(), config, seed);
        let (a, b) = pair.connect();
        let (mut there, mut back) = (Transfer::new(0), Transfer::new(0));
        for step in steps {
            let now = pair.now;
            match step {
                Step::WriteA(count) => write(&mut pair.a, now, a, &mut there, count),
                Step::WriteB(count) => write(&mut pair.b, now, b, &mut back, count),
                Step::ReadA(count) => read(&mut pair.a, now, a, &mut back, count),
                Step::ReadB(count) => read(&mut pair.b, now, b, &mut there, count),
                Step::FlushA => pair.a.endpoint.flush(now, a),
                Step::Wait(span) => pair.run(MS(span)),
                Step::Change { loss, reorder, duplicate } => {
                    for link in [&mut pair.ab.config, &mut pair.ba.config] {
                        link.loss = Loss::random(f64::from(loss) / 100.0);
                        link.reorder = f64::from(reorder) / 100.0;
                        link.reorder_by = MS(300);
                        link.duplicate = f64::from(duplicate) / 100.0;
                    }
                }
                Step::Outage(span) => {
                    let (ab, ba) = (pair.ab.config.loss, pair.ba.config.loss);
                    (pair.ab.config.loss, pair.ba.config.loss) = (Loss::ALL, Loss::ALL);
                    pair.run(MS(span));
                    (pair.ab.config.loss, pair.ba.config.loss) = (ab, ba);
                }
            }
            pair.drain();
        }
        pair.a.endpoint.shutdown(pair.now, a);
        pair.b.endpoint.shutdown(pair.now, b);
        (pair.ab.config.loss, pair.ba.config.loss) = (Loss::NONE, Loss::NONE);
        let done = pair.run_until(SECONDS(400), |pair| {
            read(&mut pair.a, pair.now, a, &mut back, usize::MAX);
            read(&mut pair.b, pair.now, b, &mut there, usize::MAX);
            let now = pair.now;
            pair.a.endpoint.read(now, a, 1) == Ok(Read::End) && pair.b.endpoint.read(now, b, 1) == Ok(Read::End)
        });
        prop_assert!(done, "{:?} {:?} {:?} {:?}", there, back, pair.a.endpoint.info(a), pair.b.endpoint.info(b));
        prop_assert_eq!((there.received, back.received), (there.written, back.written));
    }

    #[test]
    fn no_packet_makes_an_endpoint_panic_or_grow(
        packets in proptest::collection::vec((any::<[u8; 16]>(), 0..0x1000_u16, proptest::collection::vec(any::<u8>(), 0..80), any::<bool>()), 1..60),
    ) {
        let mut pair = pair();
        let (a, b) = pair.connect();
        pair.a.endpoint.write(pair.now, a, &[1; 9000]).unwrap();
        pair.drain();
        let known: Vec<(u32, u32)> = pair.ab.in_flight().filter_map(|transmit| {
            let packet = eepkit_streaming::packet::Packet::parse(&transmit.packet).ok()?;
            Some((packet.send_id(), packet.recv_id()))
        }).collect();
        for (mut head, flags, rest, to_stream) in packets {
            if let (true, Some((send, recv))) = (to_stream, known.last()) {
                head[..4].copy_from_slice(&send.to_be_bytes());
                head[4..8].copy_from_slice(&recv.to_be_bytes());
                head[8..10].fill(0);
                head[12..14].fill(0);
            }
            let mut packet = head.to_vec();
            packet.extend([0, 0]);
            packet.extend(flags.to_be_bytes());
            packet.extend(rest);
            pair.b.endpoint.handle_packet(pair.now, Received { from_port: 0, to_port: 0, packet: packet.into() });
            pair.run(MS(100));
        }
        let _ = pair.b.endpoint.read(pair.now, b, 10);
        prop_assert!(pair.b.endpoint.stream_count() <= 2);
        pair.run(SECONDS(200));
    }
}

#[test]
fn acknowledgements_of_unsent_packets_are_ignored() {
    let mut pair = pair();
    let (a, _) = pair.connect();
    pair.a.endpoint.write(pair.now, a, &[1; 9000]).unwrap();
    pair.drain();
    let bytes = pair.ab.in_flight().next().unwrap().packet.clone();
    let sent = eepkit_streaming::packet::Packet::parse(&bytes).unwrap();
    for through in [1000, u32::MAX] {
        let repr = Repr {
            send_id: sent.recv_id(),
            recv_id: sent.send_id(),
            ack_through: through,
            ..Repr::default()
        };
        let mut ack = Vec::new();
        repr.encode(&mut ack);
        let received = Received {
            from_port: 0,
            to_port: 0,
            packet: ack.into(),
        };
        pair.a.endpoint.handle_packet(pair.now, received);
    }
    assert_eq!(pair.a.endpoint.stats().bad_acks, 2);
    assert!(pair.a.endpoint.info(a).unwrap().in_flight > 0);
}

#[test]
fn packets_with_the_id_of_another_peer_are_ignored() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.write(pair.now, a, b"hello").unwrap();
    pair.drain();
    let bytes = pair.ab.in_flight().next().unwrap().packet.clone();
    let sent = eepkit_streaming::packet::Packet::parse(&bytes).unwrap();
    let repr = Repr {
        send_id: sent.send_id(),
        recv_id: sent.recv_id() ^ 1,
        seq: 1,
        payload: b"HELLO",
        ..Repr::default()
    };
    let mut forged = Vec::new();
    repr.encode(&mut forged);
    inject_b(&mut pair, forged);
    pair.run(SECONDS(1));
    assert_eq!(read_all(&mut pair.b, pair.now, b).0, b"hello");
}

#[test]
fn early_packets_of_streams_that_never_open_are_bounded_and_dropped() {
    let mut pair = pair();
    for id in 1..5000_u32 {
        let repr = Repr {
            recv_id: id,
            seq: 1,
            flags: Flags::NO_ACK,
            payload: &[7; 1000],
            ..Repr::default()
        };
        let mut packet = Vec::new();
        repr.encode(&mut packet);
        inject_b(&mut pair, packet);
    }
    let endpoint = format!("{:?}", pair.b.endpoint);
    assert!(endpoint.contains("streams: 0"), "{endpoint}");
    pair.run(SECONDS(11));
    assert_eq!(pair.sent.1, 0);
}

#[test]
fn time_running_backwards_is_tolerated() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let early = pair.now.checked_sub(MS(400)).unwrap();
    pair.a.endpoint.write(early, a, b"hello").unwrap();
    pair.a.endpoint.handle_timeout(early);
    let _ = pair.a.endpoint.poll_output(early);
    pair.run(SECONDS(5));
    assert_eq!(read_all(&mut pair.b, pair.now, b).0, b"hello");
}

#[test]
fn streams_that_the_peer_has_forgotten_do_not_stop_others_to_it() {
    let mut pair = pair();
    let dead: Vec<_> = (0..40).map(|_| pair.connect().0).collect();
    let (a, b) = pair.connect();
    pair.run(SECONDS(2));
    pair.filter_ab = Some(Box::new(|packet| packet.payload() != b"dead"));
    for id in dead {
        pair.a.endpoint.write(pair.now, id, b"dead").unwrap();
        pair.a.endpoint.flush(pair.now, id);
    }
    pair.run(SECONDS(20));
    let info = pair.a.endpoint.info(a).unwrap();
    assert!(info.cwnd < 40, "{info:?}");

    for count in 1..=3 {
        let began = pair.now;
        pair.a.endpoint.write(pair.now, a, b"alive").unwrap();
        pair.a.endpoint.flush(pair.now, a);
        let mut data = Vec::new();
        assert!(pair.run_until(SECONDS(10), |pair| {
            data.extend(read_all(&mut pair.b, pair.now, b).0);
            data == b"alive"
        }));
        let took = pair.now - began;
        assert!(took < SECONDS(1), "{count}: {took:?}");
    }
}
