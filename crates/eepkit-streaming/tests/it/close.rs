//! Closing, resetting and releasing streams, and closing the endpoint.

use eepkit_streaming::{ConnectionError, InactivityAction, packet::Flags};

use super::*;

#[test]
fn a_half_closed_stream_still_carries_the_other_direction() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.write(pair.now, a, b"request").unwrap();
    pair.a.endpoint.shutdown(pair.now, a);
    pair.run(SECONDS(2));
    assert_eq!(
        read_all(&mut pair.b, pair.now, b),
        (b"request".to_vec(), true)
    );
    assert_eq!(
        pair.a.endpoint.write(pair.now, a, b"more"),
        Err(ConnectionError::WriteShutDown)
    );
    let mut transfer = Transfer::new(300_000);
    assert!(pair.run_until(SECONDS(60), |pair| {
        transfer.write(&mut pair.b.endpoint, pair.now, b);
        transfer.read(&mut pair.a.endpoint, pair.now, a);
        transfer.received == transfer.length
    }));
    pair.b.endpoint.shutdown(pair.now, b);
    assert!(pair.run_until(SECONDS(2), |pair| {
        pair.a.saw(&closed(a, CloseReason::Finished))
    }));
    assert!(pair.run_until(SECONDS(2), |pair| {
        pair.b.saw(&closed(b, CloseReason::Finished))
    }));
}

#[test]
fn both_sides_may_close_at_once() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.write(pair.now, a, b"from a").unwrap();
    pair.b.endpoint.write(pair.now, b, b"from b").unwrap();
    pair.a.endpoint.shutdown(pair.now, a);
    pair.b.endpoint.shutdown(pair.now, b);
    assert!(pair.run_until(SECONDS(3), |pair| {
        pair.a.saw(&closed(a, CloseReason::Finished))
    }));
    assert!(pair.run_until(SECONDS(3), |pair| {
        pair.b.saw(&closed(b, CloseReason::Finished))
    }));
    assert_eq!(
        read_all(&mut pair.a, pair.now, a),
        (b"from b".to_vec(), true)
    );
    assert_eq!(
        read_all(&mut pair.b, pair.now, b),
        (b"from a".to_vec(), true)
    );
}

#[test]
fn a_lost_close_is_sent_again() {
    for direction in 0..2 {
        let mut pair = pair();
        let (a, b) = pair.connect();
        let mut lost = 0;
        let filter: Filter = Box::new(move |packet| {
            lost += u32::from(packet.flags().is_close());
            !packet.flags().is_close() || lost > 2
        });
        if direction == 0 {
            pair.filter_ab = Some(filter)
        } else {
            pair.filter_ba = Some(filter)
        }
        pair.a.endpoint.shutdown(pair.now, a);
        pair.b.endpoint.shutdown(pair.now, b);
        assert!(pair.run_until(SECONDS(60), |pair| {
            pair.a.saw(&closed(a, CloseReason::Finished))
        }));
        assert!(pair.run_until(SECONDS(60), |pair| {
            pair.b.saw(&closed(b, CloseReason::Finished))
        }));
    }
}

#[test]
fn the_last_acknowledgement_is_repeated_after_the_stream_is_freed() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.shutdown(pair.now, a);
    pair.run(SECONDS(2));
    // From now on, all packets from `a` to `b` are lost.
    pair.filter_ab = Some(Box::new(|_| false));
    pair.b.endpoint.shutdown(pair.now, b);
    assert!(pair.run_until(SECONDS(2), |pair| {
        pair.a.saw(&closed(a, CloseReason::Finished))
    }));
    pair.a.endpoint.release(pair.now, a);
    pair.drain();
    assert_eq!(pair.a.endpoint.stream_count(), 0);
    pair.filter_ab = None;
    assert!(pair.run_until(SECONDS(30), |pair| {
        pair.b.saw(&closed(b, CloseReason::Finished))
    }));
}

#[test]
fn a_close_that_is_not_signed_by_the_peer_is_ignored() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.write(pair.now, a, b"hello").unwrap();
    pair.drain();
    let bytes = pair.ab.in_flight().next().unwrap().packet.clone();
    let data = eepkit_streaming::packet::Packet::parse(&bytes).unwrap();
    let repr = Repr {
        send_id: data.send_id(),
        recv_id: data.recv_id(),
        seq: data.seq() + 1,
        ack_through: data.ack_through(),
        flags: Flags::CLOSE,
        ..Repr::default()
    };
    let mut bare = Vec::new();
    repr.encode(&mut bare);
    inject_b(&mut pair, bare);
    inject_b(&mut pair, sign(&repr, &keys(9)));
    assert_eq!(pair.b.endpoint.stats().bad_signatures, 2);
    pair.run(SECONDS(1));
    assert_eq!(
        read_all(&mut pair.b, pair.now, b),
        (b"hello".to_vec(), false)
    );
    // The same packet, signed by the peer, ends the stream.
    inject_b(&mut pair, sign(&repr, &keys(1)));
    assert_eq!(read_all(&mut pair.b, pair.now, b), (Vec::new(), true));
}

#[test]
fn a_reset_ends_the_stream_at_once_and_discards() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.write(pair.now, a, &[1; 20_000]).unwrap();
    pair.run(SECONDS(1));
    pair.a.endpoint.reset(pair.now, a);
    assert!(pair.run_until(MS(300), |pair| pair.b.saw(&closed(b, CloseReason::Reset))));
    assert_eq!(
        pair.b.endpoint.read(pair.now, b, 100),
        Err(CloseReason::Reset.into())
    );
    assert_eq!(
        pair.b.endpoint.write(pair.now, b, b"x"),
        Err(CloseReason::Reset.into())
    );
    assert_eq!(
        pair.a.endpoint.read(pair.now, a, 100),
        Err(CloseReason::LocalReset.into())
    );
    let sent = pair.sent;
    pair.run(SECONDS(200));
    // No reset is answered with a reset.
    assert_eq!(pair.sent, sent);
}

#[test]
fn a_reset_in_the_middle_of_a_transfer_frees_everything() {
    let mut pair = Pair::new(LinkConfig::delay(MS(250)).loss(0.05));
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(1 << 20);
    for _ in 0..300 {
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        pair.run(MS(10));
        transfer.read(&mut pair.b.endpoint, pair.now, b);
    }
    pair.b.endpoint.reset(pair.now, b);
    pair.b.endpoint.release(pair.now, b);
    assert!(pair.run_until(SECONDS(20), |pair| {
        pair.a.saw(&closed(a, CloseReason::Reset))
    }));
    pair.a.endpoint.release(pair.now, a);
    pair.run(SECONDS(1));
    assert_eq!(
        (
            pair.a.endpoint.stream_count(),
            pair.b.endpoint.stream_count()
        ),
        (0, 0)
    );
    let ids = pair.connect();
    pair.transfer(ids, 100_000, SECONDS(60));
}

#[test]
fn a_lost_reset_is_repeated_when_the_peer_continues_to_send() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.filter_ba = Some(Box::new(|packet| !packet.flags().is_reset()));
    pair.b.endpoint.reset(pair.now, b);
    pair.b.endpoint.release(pair.now, b);
    pair.drain();
    assert_eq!(pair.b.endpoint.stream_count(), 0);
    pair.filter_ba = None;
    pair.a.endpoint.write(pair.now, a, b"hello?").unwrap();
    assert!(pair.run_until(SECONDS(5), |pair| {
        pair.a.saw(&closed(a, CloseReason::Reset))
    }));
}

#[test]
fn data_written_before_a_release_still_arrives() {
    let mut pair = Pair::new(LinkConfig::delay(MS(250)).loss(0.05));
    let (a, b) = pair.connect();
    let data: Vec<u8> = (0..60_000).map(pattern).collect();
    assert_eq!(pair.a.endpoint.write(pair.now, a, &data), Ok(data.len()));
    pair.a.endpoint.release(pair.now, a);
    assert_eq!(
        pair.a.endpoint.write(pair.now, a, b"x"),
        Err(ConnectionError::Unknown)
    );
    let mut arrived = Vec::new();
    assert!(pair.run_until(SECONDS(60), |pair| {
        let (bytes, end) = read_all(&mut pair.b, pair.now, b);
        arrived.extend(bytes);
        end
    }));
    assert_eq!(arrived, data);
    pair.b.endpoint.release(pair.now, b);
    pair.run(SECONDS(60));
    assert_eq!(
        (
            pair.a.endpoint.stream_count(),
            pair.b.endpoint.stream_count()
        ),
        (0, 0)
    );
}

#[test]
fn a_released_stream_is_freed_even_if_the_peer_never_answers() {
    let mut pair = pair();
    let (a, _) = pair.connect();
    pair.filter_ab = Some(Box::new(|_| false));
    pair.a.endpoint.write(pair.now, a, &[1; 5000]).unwrap();
    pair.a.endpoint.release(pair.now, a);
    pair.run(SECONDS(61));
    assert_eq!(pair.a.endpoint.stream_count(), 0);
}

#[test]
fn a_peer_that_sends_to_a_released_stream_is_reset() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    pair.a.endpoint.release(pair.now, a);
    pair.run(SECONDS(2));
    pair.b.endpoint.write(pair.now, b, &[1; 5000]).unwrap();
    assert!(pair.run_until(SECONDS(5), |pair| {
        pair.b.saw(&closed(b, CloseReason::Reset))
    }));
    pair.run(SECONDS(1));
    assert_eq!(pair.a.endpoint.stream_count(), 0);
}

#[test]
fn a_stream_to_a_vanished_peer_fails_after_the_last_retransmission() {
    let mut pair = pair();
    // The silence of the peer would end the stream sooner.
    let config = StreamConfig::default().with_inactivity_action(InactivityAction::Nothing);
    let (a, _) = pair.connect_with(&config);
    pair.run(SECONDS(2));
    pair.filter_ab = Some(Box::new(|_| false));
    pair.filter_ba = Some(Box::new(|_| false));
    let before = pair.a.endpoint.info(a).unwrap().packets_sent;
    pair.a
        .endpoint
        .write(pair.now, a, b"anybody there?")
        .unwrap();
    assert!(pair.run_until(SECONDS(600), |pair| {
        pair.a.saw(&closed(a, CloseReason::ResendLimit))
    }));
    let info = pair.a.endpoint.info(a).unwrap();
    // Nine attempts. The later ones send a probe every five seconds.
    assert!(
        (20..=45).contains(&(info.packets_sent - before)),
        "{info:?}"
    );
    let to = pair.address_b();
    assert!(pair.a.saw(&Event::LeaseSetLookup { to }));
    assert_eq!(info.closed, Some(CloseReason::ResendLimit));
}

#[test]
fn closing_the_endpoint_delivers_written_data() {
    let mut pair = pair();
    let (a, b) = pair.connect();
    let data: Vec<u8> = (0..50_000).map(pattern).collect();
    pair.a.endpoint.write(pair.now, a, &data).unwrap();
    pair.a.endpoint.close(pair.now);
    assert!(!pair.a.endpoint.is_idle());
    let to = pair.address_b();
    assert!(
        pair.a
            .endpoint
            .connect(pair.now, &to, Ports::default(), &StreamConfig::default())
            .is_err()
    );
    let mut arrived = Vec::new();
    pair.run_until(SECONDS(30), |pair| {
        let (bytes, end) = read_all(&mut pair.b, pair.now, b);
        arrived.extend(bytes);
        end
    });
    assert_eq!(arrived, data);
    pair.b.endpoint.shutdown(pair.now, b);
    assert!(pair.run_until(SECONDS(5), |pair| pair.a.endpoint.is_idle()));
}

#[test]
fn an_endpoint_that_closes_waits_no_longer_than_the_linger_time() {
    let mut pair = pair();
    let (a, _) = pair.connect();
    pair.a.endpoint.close(pair.now);
    assert!(pair.run_until(SECONDS(62), |pair| pair.a.endpoint.is_idle()));
    assert!(pair.a.saw(&closed(a, CloseReason::LingerTimeout)));
}

#[test]
fn unknown_streams_are_errors_and_never_panic() {
    let mut pair = pair();
    let (a, _) = pair.connect();
    pair.a.endpoint.reset(pair.now, a);
    pair.a.endpoint.release(pair.now, a);
    pair.drain();
    assert_eq!(
        pair.a.endpoint.read(pair.now, a, 1),
        Err(ConnectionError::Unknown)
    );
    assert_eq!(
        pair.a.endpoint.write(pair.now, a, b"x"),
        Err(ConnectionError::Unknown)
    );
    pair.a.endpoint.flush(pair.now, a);
    pair.a.endpoint.shutdown(pair.now, a);
    pair.a.endpoint.reset(pair.now, a);
    pair.a.endpoint.release(pair.now, a);
    assert!(pair.a.endpoint.info(a).is_none());
    assert!(pair.a.endpoint.is_acked(a));
}

#[test]
fn closing_the_endpoint_cancels_connection_attempts() {
    let mut pair = pair();
    pair.filter_ab = Some(Box::new(|_| false));
    let a = open(&mut pair, &StreamConfig::default());
    pair.a.endpoint.close(pair.now);
    pair.drain();
    assert!(pair.a.saw(&closed(a, CloseReason::EndpointClosed)));
    assert!(pair.a.endpoint.is_idle());
}
