//! Flow control: slow readers, memory limits, profiles, idle streams and rate limits.

use std::sync::{Arc, Mutex};

use eepkit_streaming::{EndpointConfig, InactivityAction, Profile};
use eepkit_testbed::scenario::World;

use super::*;

fn small_receiver(bytes: usize) -> EndpointConfig {
    EndpointConfig::default().with_stream(
        StreamConfig::default()
            .with_receive_buffer(bytes)
            .with_max_receive_buffer(bytes),
    )
}

#[test]
fn a_stopped_reader_chokes_the_sender_until_it_reads_again() {
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(100)),
        EndpointConfig::default(),
        small_receiver(256 << 10),
        1,
    );
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(2 << 20);
    pair.run_until(SECONDS(60), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.a.endpoint.info(a).unwrap().choked
    });
    assert!(pair.a.endpoint.info(a).unwrap().choked);
    let unread = pair.b.endpoint.info(b).unwrap().unread;
    assert!(unread <= 256 << 10, "{unread}");
    // Minutes without reads do not end the stream.
    pair.run(SECONDS(200));
    assert_eq!(pair.a.endpoint.info(a).unwrap().closed, None);
    assert!(pair.run_until(SECONDS(120), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        transfer.received == transfer.length
    }));
}

#[test]
fn lost_unchoke_packets_only_delay() {
    let link = LinkConfig::delay(MS(100)).loss(0.3);
    let mut pair = Pair::with_config(
        link,
        EndpointConfig::default(),
        small_receiver(256 << 10),
        3,
    );
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(1 << 20);
    for _ in 0..20 {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.run(SECONDS(5));
        transfer.read(&mut pair.b.endpoint, pair.now, b);
    }
    assert!(pair.run_until(SECONDS(2000), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        transfer.received == transfer.length
    }));
}

/// A stream whose receiver has choked the sender, with a large transfer that is not read.
fn choked() -> (Pair, (StreamId, StreamId), Transfer) {
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(100)),
        EndpointConfig::default(),
        small_receiver(256 << 10),
        3,
    );
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(1 << 20);
    assert!(pair.run_until(SECONDS(60), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.a.endpoint.info(a).unwrap().choked
    }));
    (pair, (a, b), transfer)
}

/// Reads and writes until everything is transferred. Returns how long that takes.
fn finish(pair: &mut Pair, (a, b): (StreamId, StreamId), mut transfer: Transfer) -> Duration {
    let start = pair.now;
    assert!(pair.run_until(SECONDS(60), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        transfer.received == transfer.length
    }));
    pair.now - start
}

#[test]
fn a_sender_resumes_if_all_packets_that_report_room_are_lost() {
    let (mut pair, ids, transfer) = choked();
    pair.filter_ba = Some(Box::new(|packet| packet.delay() != Some(1)));
    let took = finish(&mut pair, ids, transfer);
    assert!(took < SECONDS(5), "{took:?}");
}

#[test]
fn data_that_arrives_as_the_reader_resumes_does_not_hide_that_there_is_room() {
    let (mut pair, ids, mut transfer) = choked();
    let delayed = Arc::new(Mutex::new(Vec::new()));
    let probe = delayed.clone();
    pair.filter_ab = Some(Box::new(move |packet| {
        let repr = Repr {
            send_id: packet.send_id(),
            recv_id: packet.recv_id(),
            seq: packet.seq(),
            ack_through: packet.ack_through(),
            payload: packet.payload(),
            ..Repr::default()
        };
        let mut bytes = probe.lock().unwrap();
        bytes.clear();
        repr.encode(&mut bytes);
        false
    }));
    pair.run(SECONDS(3));
    pair.filter_ab = None;
    let delays = Arc::new(Mutex::new(Vec::new()));
    let seen = delays.clone();
    pair.filter_ba = Some(Box::new(move |packet| {
        seen.lock().unwrap().push(packet.delay());
        true
    }));
    transfer.read(&mut pair.b.endpoint, pair.now, ids.1);
    let probe = delayed.lock().unwrap().clone();
    inject_b(&mut pair, probe);
    assert_eq!(*delays.lock().unwrap(), [Some(1)]);
    let took = finish(&mut pair, ids, transfer);
    assert!(took < SECONDS(4), "{took:?}");
}

#[test]
fn a_slow_reader_receives_everything() {
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(50)).loss(0.02),
        EndpointConfig::default(),
        small_receiver(250 << 10),
        1,
    );
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(3 << 20);
    while transfer.received < transfer.length {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.run(MS(40));
        for _ in 0..4 {
            if let Ok(Read::Data(data)) = pair.b.endpoint.read(pair.now, b, 4096) {
                for (byte, position) in data.iter().zip(transfer.received..) {
                    assert_eq!(*byte, pattern(position));
                }
                transfer.received += data.len() as u64;
            }
        }
        assert!(pair.b.endpoint.info(b).unwrap().unread <= 600 << 10);
    }
}

#[test]
fn memory_for_received_data_is_bounded_for_the_endpoint() {
    let config = EndpointConfig::default().with_receive_memory(400 << 10);
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(20)),
        EndpointConfig::default(),
        config,
        1,
    );
    let ids: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    let mut transfers: Vec<_> = ids.iter().map(|_| Transfer::new(200_000)).collect();
    for _ in 0..500 {
        for (transfer, (a, _)) in transfers.iter_mut().zip(&ids) {
            transfer.write(&mut pair.a.endpoint, pair.now, *a);
        }
        pair.run(MS(20));
    }
    let held: usize = ids
        .iter()
        .map(|(_, b)| pair.b.endpoint.info(*b).unwrap().unread)
        .sum();
    assert!(held <= (400 << 10) + 8 * 4096, "{held}");
    assert!(pair.run_until(SECONDS(300), |pair| {
        for (transfer, (a, b)) in transfers.iter_mut().zip(&ids) {
            transfer.write(&mut pair.a.endpoint, pair.now, *a);
            transfer.read(&mut pair.b.endpoint, pair.now, *b);
        }
        transfers
            .iter()
            .all(|transfer| transfer.received == transfer.length)
    }));
}

#[test]
fn an_event_reports_room_for_writing() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let mut taken = 0;
    loop {
        let count = pair.a.endpoint.write(pair.now, a, &[1; 10_000]).unwrap();
        taken += count;
        if count < 10_000 {
            break;
        }
    }
    assert_eq!(taken, 65_536);
    pair.a.events.clear();
    assert!(pair.run_until(SECONDS(5), |pair| pair.a.saw(&Event::Writable(a))));
    assert!(pair.a.endpoint.write(pair.now, a, &[1; 10_000]).unwrap() > 0);
    assert!(!pair.a.endpoint.is_acked(a));
    assert!(pair.run_until(SECONDS(30), |pair| {
        read_all(&mut pair.b, pair.now, b);
        pair.a.saw(&Event::Flushed(a))
    }));
    assert!(pair.a.endpoint.is_acked(a));
}

#[test]
fn tiny_writes_share_packets_unless_flushed() {
    for (flush, most) in [(false, 60), (true, 1100)] {
        let mut pair = pair();
        let (a, b) = pair.connect();
        pair.run(SECONDS(2));
        let before = pair.a.endpoint.info(a).unwrap().packets_sent;
        let mut arrived = 0;
        for _ in 0..1000 {
            pair.a.endpoint.write(pair.now, a, b"x").unwrap();
            if flush {
                pair.a.endpoint.flush(pair.now, a);
            }
            pair.run(Duration::from_micros(200));
            arrived += read_all(&mut pair.b, pair.now, b).0.len();
        }
        pair.run(SECONDS(20));
        arrived += read_all(&mut pair.b, pair.now, b).0.len();
        assert_eq!(arrived, 1000);
        let sent = pair.a.endpoint.info(a).unwrap().packets_sent - before;
        assert!(sent <= most, "{sent}");
    }
}

#[test]
fn the_interactive_profile_does_not_wait() {
    let mut pair = pair();
    let config = StreamConfig::default().with_profile(Profile::Interactive);
    let (a, _) = pair.connect_with(&config);
    pair.run(SECONDS(2));
    let before = pair.sent.0;
    pair.a.endpoint.write(pair.now, a, b"x").unwrap();
    pair.drain();
    pair.a.endpoint.write(pair.now, a, b"y").unwrap();
    pair.drain();
    assert_eq!(pair.sent.0, before + 2);
}

#[test]
fn an_idle_stream_is_kept_alive() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.run(SECONDS(5));
    let before = pair.sent;
    pair.run(SECONDS(600));
    let (from_a, from_b) = (pair.sent.0 - before.0, pair.sent.1 - before.1);
    assert!((5..=14).contains(&(from_a + from_b)), "{from_a} {from_b}");
    assert_eq!(pair.a.endpoint.info(a).unwrap().closed, None);
    assert_eq!(pair.b.endpoint.info(b).unwrap().closed, None);
}

#[test]
fn an_idle_stream_is_left_alone_or_ended_as_configured() {
    for action in [InactivityAction::Nothing, InactivityAction::Disconnect] {
        let stream = StreamConfig::default()
            .with_inactivity_action(action)
            .with_inactivity_timeout(SECONDS(30));
        let quiet = EndpointConfig::default()
            .with_stream(StreamConfig::default().with_inactivity_action(InactivityAction::Nothing));
        let mut pair = Pair::with_config(
            LinkConfig::delay(MS(100)),
            EndpointConfig::default(),
            quiet,
            1,
        );
        let (a, b) = pair.connect_with(&stream);
        pair.run(SECONDS(5));
        let before = pair.sent;
        pair.run(SECONDS(100));
        let ended = pair.a.saw(&closed(a, CloseReason::Inactive));
        assert_eq!(ended, action == InactivityAction::Disconnect);
        assert_eq!(ended, pair.b.saw(&closed(b, CloseReason::Reset)));
        assert_eq!(pair.sent == before, action == InactivityAction::Nothing);
    }
}

/// A pair with an idle stream, whose side B asks for no sign of life.
fn idle_pair() -> (Pair, StreamId, StreamId) {
    let quiet = EndpointConfig::default()
        .with_stream(StreamConfig::default().with_inactivity_action(InactivityAction::Nothing));
    let mut pair = Pair::with_config(
        LinkConfig::delay(MS(100)),
        EndpointConfig::default(),
        quiet,
        1,
    );
    let (a, b) = pair.connect_with(&StreamConfig::default());
    pair.run(SECONDS(5));
    (pair, a, b)
}

fn cut(pair: &mut Pair) {
    pair.filter_ab = Some(Box::new(|_| false));
    pair.filter_ba = Some(Box::new(|_| false));
}

#[test]
fn an_idle_stream_to_a_living_peer_stays_open_for_hours_and_still_carries_data() {
    let (mut pair, a, b) = idle_pair();
    let before = pair.sent;
    pair.run(SECONDS(2 * 3600));
    assert_eq!(pair.a.endpoint.info(a).unwrap().closed, None);
    let packets = (pair.sent.0 - before.0, pair.sent.1 - before.1);
    assert_eq!(packets, (79, 79), "a packet and its answer in 90.2 s");
    let mut transfer = Transfer::new(100_000);
    let complete = pair.run_until(SECONDS(60), |pair| {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        transfer.received == transfer.length
    });
    assert!(complete);
}

#[test]
fn a_peer_that_vanished_from_an_idle_stream_is_noticed_after_three_minutes() {
    let (mut pair, a, _) = idle_pair();
    cut(&mut pair);
    pair.run(SECONDS(170));
    assert!(!pair.a.saw(&closed(a, CloseReason::Inactive)));
    pair.run(SECONDS(12));
    assert!(pair.a.saw(&closed(a, CloseReason::Inactive)));
}

#[test]
fn a_peer_that_vanished_before_it_answered_is_noticed_after_three_minutes() {
    let (mut pair, a, _) = idle_pair();
    cut(&mut pair);
    let now = pair.now;
    pair.a.endpoint.write(now, a, b"request").unwrap();
    pair.run(SECONDS(182));
    assert!(pair.a.endpoint.info(a).unwrap().closed.is_some());
}

#[test]
fn a_peer_that_vanished_after_our_close_is_noticed_and_one_that_lives_is_not() {
    for lives in [true, false] {
        let (mut pair, a, _) = idle_pair();
        let now = pair.now;
        pair.a.endpoint.shutdown(now, a);
        pair.run(SECONDS(10));
        if !lives {
            cut(&mut pair);
        }
        pair.run(SECONDS(600));
        let closed = pair.a.endpoint.info(a).unwrap().closed;
        let expected = (!lives).then_some(CloseReason::Inactive);
        assert_eq!(closed, expected);
    }
}

#[test]
fn the_outbound_speed_is_kept() {
    let mut pair = Pair::new(LinkConfig::delay(MS(50)));
    let config = StreamConfig::default().with_max_outbound_speed(Some(20_000));
    let ids = pair.connect_with(&config);
    let took = pair.transfer(ids, 200_000, SECONDS(60));
    assert!(took >= SECONDS(9) && took <= SECONDS(13), "{took:?}");
}

#[test]
fn the_send_rate_is_kept_over_all_peers_and_shared_between_them() {
    let mut world = World::new(3);
    let config = EndpointConfig::default().with_max_send_rate(Some(100_000));
    let sender = world.side(config);
    let there = world.link(LinkConfig::delay(MS(100)));
    let back = world.link(LinkConfig::delay(MS(100)));
    world.route(sender, 0, there);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let receiver = world.side(EndpointConfig::default());
        world.route(receiver, 0, back);
        world.sides[receiver].endpoint.listen(0, 1).unwrap();
        let id = world.connect(sender, receiver, &StreamConfig::default());
        streams.push((id, receiver, Transfer::new(u64::MAX), None));
    }
    let end = world.now + SECONDS(60);
    world.drain(sender);
    world.run(end, |world, side| {
        for (id, receiver, transfer, accepted) in &mut streams {
            let now = world.now;
            if side == sender {
                transfer.write(&mut world.sides[sender].endpoint, now, *id);
                world.drain(sender);
            } else if side == *receiver {
                let endpoint = &mut world.sides[side].endpoint;
                if let Some(incoming) = endpoint.accept(now, 0) {
                    *accepted = Some(incoming.id);
                }
                if let Some(id) = *accepted {
                    transfer.read(endpoint, now, id);
                }
                world.sides[side].events.clear();
                world.drain(side);
            }
        }
    });
    let sent: Vec<u64> = streams
        .iter()
        .map(|(id, ..)| world.sides[sender].endpoint.info(*id).unwrap().packets_sent)
        .collect();
    let bytes: u64 = sent.iter().sum::<u64>() * (1812 + 24);
    assert!((5_700_000..=6_100_000).contains(&bytes), "{bytes}");
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(most - least < most / 10, "{sent:?}");
}

/// Ten exchanges of a short question and a short answer, which begins `thinking` after the question
/// has arrived. Returns the packets that each exchange took, and the RTT at the end.
fn exchanges(thinking: Duration) -> (Vec<u64>, Duration) {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let mut packets = Vec::new();
    for _ in 0..10 {
        let before = pair.sent.0 + pair.sent.1;
        for from_a in [true, false] {
            pair.run(thinking);
            let now = pair.now;
            let (sender, id) = if from_a {
                (&mut pair.a, a)
            } else {
                (&mut pair.b, b)
            };
            sender.endpoint.write(now, id, b"a message").unwrap();
            pair.drain();
            assert!(pair.run_until(SECONDS(2), |pair| {
                let now = pair.now;
                let (receiver, id) = if from_a {
                    (&mut pair.b, b)
                } else {
                    (&mut pair.a, a)
                };
                read_all(receiver, now, id).0 == b"a message"
            }));
        }
        packets.push(pair.sent.0 + pair.sent.1 - before);
    }
    (packets, pair.a.endpoint.info(a).unwrap().rtt.unwrap())
}

#[test]
fn short_exchanges_take_one_packet_each_way() {
    let (packets, rtt) = exchanges(MS(3));
    assert_eq!(packets, [2; 10]);
    assert!(rtt < MS(506), "{rtt:?}");
}

#[test]
fn an_application_that_takes_its_time_does_not_delay_acknowledgements() {
    let (packets, rtt) = exchanges(MS(100));
    assert_eq!(packets[1..], [4; 9]);
    assert!(rtt < MS(502), "{rtt:?}");
}
