use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::path::PathId;

const MTU: usize = 10;

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn transmission() -> SentPacket {
    let now = Instant::now();
    SentPacket {
        sent_at: now,
        order: 0,
        delivered: 0,
        delivered_at: now,
        first_sent_at: now,
        path: PathId::ANY,
        state: 0,
        app_limited: false,
        asks: false,
        is_long: false,
    }
}

fn buffer() -> SendBuffer {
    SendBuffer::new(MTU, 1000)
}

/// A buffer whose SYN was sent and acknowledged.
fn established() -> SendBuffer {
    let mut buffer = buffer();
    buffer.on_sent(0, transmission());
    ack(&mut buffer, 0, &[]);
    buffer
}

fn send_all(buffer: &mut SendBuffer) -> Vec<u32> {
    let mut sent = Vec::new();
    while let Some(seq) = buffer.next_to_send() {
        buffer.on_sent(seq, transmission());
        sent.push(seq);
    }
    sent
}

fn ack(buffer: &mut SendBuffer, through: u32, nacks: &[u32]) -> Option<Acked> {
    buffer.on_ack(through, nacks, |_| {})
}

fn payload(buffer: &SendBuffer, seq: u32) -> &[u8] {
    buffer.segment(seq).unwrap().payload()
}

#[test]
fn the_first_packet_is_the_syn_and_may_carry_data() {
    let mut buffer = buffer();
    assert_eq!(buffer.next_to_send(), Some(0));
    assert_eq!(buffer.write(b"hello world"), 11);
    assert_eq!(payload(&buffer, 0), b"hello worl");
    assert_eq!(payload(&buffer, 1), b"d");
    assert!(buffer.segment(0).unwrap().syn);
}

#[test]
fn writing_stops_at_the_limit_of_unsent_bytes() {
    let mut buffer = SendBuffer::new(MTU, 25);
    assert_eq!(buffer.write(&[1; 40]), 25);
    assert_eq!(buffer.write(&[1; 40]), 0);
    buffer.on_sent(0, transmission());
    assert_eq!(buffer.room(), 10);
    assert_eq!(buffer.write(&[1; 40]), 10);
}

#[test]
fn a_packet_that_is_not_full_waits_while_others_are_in_flight() {
    let mut buffer = established();
    buffer.write(b"ab");
    assert_eq!(send_all(&mut buffer), [1]);
    buffer.write(b"cd");
    assert!(buffer.is_coalescing());
    assert_eq!(send_all(&mut buffer), []);
    buffer.write(b"ef");
    buffer.flush();
    assert_eq!(send_all(&mut buffer), [2]);
    assert_eq!(payload(&buffer, 2), b"cdef");
    buffer.write(b"gh");
    ack(&mut buffer, 2, &[]);
    assert_eq!(send_all(&mut buffer), [3]);
}

#[test]
fn close_is_sent_with_the_last_packet_or_alone() {
    let mut buffer = established();
    buffer.write(b"ab");
    buffer.close();
    assert_eq!(send_all(&mut buffer), [1]);
    assert!(buffer.segment(1).unwrap().close);
    assert_eq!(buffer.write(b"more"), 0);

    let mut buffer = established();
    buffer.close();
    buffer.close();
    assert_eq!(send_all(&mut buffer), [1]);
    assert!(!buffer.is_close_acked());
    ack(&mut buffer, 1, &[]);
    assert!(buffer.is_close_acked());
}

#[test]
fn acknowledged_packets_are_removed_and_missing_ones_kept() {
    let mut buffer = established();
    buffer.write(&[7; 80]);
    assert_eq!(send_all(&mut buffer).len(), 8);
    let outcome = ack(&mut buffer, 6, &[2, 4]).unwrap();
    assert_eq!(
        outcome,
        Acked {
            packets: 4,
            advanced: true
        }
    );
    assert_eq!(buffer.in_flight(), 4);
    assert_eq!(buffer.holes().collect::<Vec<_>>(), [2, 4]);
    assert_eq!(buffer.oldest(), 2);
    // An older acknowledgement changes nothing.
    assert_eq!(ack(&mut buffer, 3, &[2]).unwrap().packets, 0);
    let outcome = ack(&mut buffer, 8, &[4]).unwrap();
    assert_eq!(outcome.packets, 3);
    assert_eq!(buffer.oldest(), 4);
    ack(&mut buffer, 8, &[]);
    assert!(buffer.is_all_acked());
    assert_eq!(buffer.in_flight(), 0);
}

#[test]
fn unsent_packets_cannot_be_acknowledged() {
    let mut buffer = established();
    buffer.write(&[7; 30]);
    buffer.on_sent(1, transmission());
    assert_eq!(ack(&mut buffer, 2, &[]), None);
    assert_eq!(ack(&mut buffer, u32::MAX, &[1]), None);
    assert_eq!(buffer.in_flight(), 1);
}

#[test]
fn invalid_nacks_are_ignored() {
    let mut buffer = established();
    buffer.write(&[7; 30]);
    send_all(&mut buffer);
    // NACKs of packets that were acknowledged before, repeated, or never sent.
    let outcome = ack(&mut buffer, 2, &[0, 1, 1, 9]).unwrap();
    assert_eq!(outcome.packets, 1);
    assert_eq!(buffer.holes().collect::<Vec<_>>(), [1]);
}

#[test]
fn lost_packets_are_sent_before_new_ones_in_order() {
    let mut buffer = established();
    buffer.write(&[7; 50]);
    for seq in 1..=4 {
        buffer.on_sent(seq, transmission());
    }
    ack(&mut buffer, 4, &[1, 3]);
    assert!(buffer.mark_lost(3));
    assert!(buffer.mark_lost(1));
    assert!(!buffer.mark_lost(1));
    assert_eq!(buffer.in_flight(), 0);
    assert_eq!(send_all(&mut buffer), [1, 3, 5]);
    assert_eq!(buffer.segment(1).unwrap().transmissions, 2);
}

#[test]
fn a_lost_packet_that_arrives_late_is_not_retransmitted() {
    let mut buffer = established();
    buffer.write(&[7; 20]);
    send_all(&mut buffer);
    ack(&mut buffer, 2, &[1]);
    buffer.mark_lost(1);
    let mut late = 0;
    buffer.on_ack(2, &[], |packet| late += u32::from(packet.was_lost));
    assert_eq!(late, 1);
    assert_eq!(buffer.next_to_send(), None);
}

#[test]
fn a_smaller_mtu_resegments_unsent_data() {
    let mut buffer = established();
    buffer.write(&(0..25).collect::<Vec<u8>>());
    buffer.on_sent(1, transmission());
    buffer.close();
    buffer.set_mtu(4);
    assert_eq!(send_all(&mut buffer), [2, 3, 4, 5]);
    assert_eq!(payload(&buffer, 2), [10, 11, 12, 13]);
    assert_eq!(payload(&buffer, 5), [22, 23, 24]);
    assert!(buffer.segment(5).unwrap().close);
    assert!(!buffer.segment(4).unwrap().close);
}

#[test]
fn a_trial_lengthens_the_next_packets_only() {
    let mut buffer = established();
    buffer.set_mtu(4);
    buffer.write(&[1; 6]);
    buffer.lengthen(MTU, 2);
    buffer.write(&[2; 2 * MTU + 9]);
    let lengths = |buffer: &SendBuffer| [1, 2, 3, 4, 5].map(|seq| payload(buffer, seq).len());
    assert_eq!(lengths(&buffer), [4, 4, MTU, MTU, 4]);
    buffer.lengthen(MTU, 2);
    buffer.set_mtu(4);
    buffer.write(&[3; MTU]);
    assert_eq!(lengths(&buffer), [4; 5], "another size ends the trial");
}

#[test]
fn the_header_is_written_in_front_of_the_payload_without_copying_it() {
    let mut buffer = established();
    buffer.write(&[9; MTU]);
    let segment = buffer.segment_mut(1).unwrap();
    let address = segment.payload().as_ptr();
    let first = segment.packet(&[1; 22]);
    assert_eq!((&first[..22], &first[22..]), (&[1; 22][..], &[9; MTU][..]));
    assert_eq!(first[22..].as_ptr(), address);
    // The first packet is still waiting to be sent. The retransmission must not change it.
    let second = segment.packet(&[2; 24]);
    assert_eq!(first[..22], [1; 22]);
    assert_eq!(
        (&second[..24], &second[24..]),
        (&[2; 24][..], &[9; MTU][..])
    );
    drop((first, second));
    let address = segment.payload().as_ptr();
    assert_eq!(segment.packet(&[3; 22])[22..].as_ptr(), address);
}

proptest! {
    #[test]
    fn every_byte_is_in_exactly_one_packet(writes in proptest::collection::vec(1..40_usize, 1..40), mtu in 1..30_usize) {
        let mut buffer = SendBuffer::new(mtu, usize::MAX);
        buffer.on_sent(0, transmission());
        let mut written = Vec::new();
        for (index, length) in writes.iter().enumerate() {
            let bytes: Vec<u8> = (0..*length).map(|byte| (byte + index) as u8).collect();
            prop_assert_eq!(buffer.write(&bytes), bytes.len());
            written.extend(bytes);
            if index % 4 == 0 {
                buffer.set_mtu(1 + (mtu + index) % 30);
            }
        }
        buffer.close();
        let read: Vec<u8> = send_all(&mut buffer).iter().flat_map(|seq| payload(&buffer, *seq).to_vec()).collect();
        prop_assert_eq!(read, written);
        prop_assert_eq!(buffer.unsent(), 0);
    }

    #[test]
    fn counts_stay_consistent_under_any_acknowledgements(acks in proptest::collection::vec((0..60_u32, proptest::collection::vec(0..60_u32, 0..20), 0..60_u32), 0..40)) {
        let mut buffer = SendBuffer::new(MTU, usize::MAX);
        buffer.write(&[1; 500]);
        for (through, mut nacks, lost) in acks {
            if let Some(seq) = buffer.next_to_send() {
                buffer.on_sent(seq, transmission());
            }
            nacks.sort_unstable();
            ack(&mut buffer, through, &nacks);
            buffer.mark_lost(lost);
            let states: Vec<_> = (buffer.ring.first()..buffer.ring.end()).filter_map(|seq| buffer.segment(seq)).map(|s| s.state).collect();
            prop_assert_eq!(buffer.in_flight() as usize, states.iter().filter(|s| **s == State::InFlight).count());
            prop_assert_eq!(buffer.lost.len(), states.iter().filter(|s| **s == State::Lost).count());
            prop_assert!(buffer.lost.iter().is_sorted() && buffer.holes.iter().is_sorted());
            prop_assert!(buffer.holes.iter().all(|seq| buffer.segment(*seq).is_some_and(|s| matches!(s.state, State::InFlight | State::Lost))));
        }
    }
}

#[test]
fn a_partial_last_packet_behind_full_ones_is_coalesced_too() {
    let mut buffer = established();
    buffer.write(&[1; MTU * 2 + 1]);
    assert!(buffer.is_coalescing());
    buffer.flush();
    assert!(!buffer.is_coalescing());
    assert_eq!(send_all(&mut buffer), [1, 2, 3]);
    buffer.write(&[1; MTU * 2]);
    assert!(!buffer.is_coalescing());
}

#[test]
fn a_single_arrival_implies_nothing_about_earlier_packets() {
    let mut buffer = established();
    buffer.write(&[1; MTU * 4]);
    assert_eq!(send_all(&mut buffer), [1, 2, 3, 4]);
    let mut arrived = 0;
    buffer.on_arrived(3, |_| arrived += 1);
    buffer.on_arrived(3, |_| arrived += 1);
    buffer.on_arrived(9, |_| arrived += 1);
    assert_eq!((arrived, buffer.in_flight()), (1, 3));
    assert!(!buffer.has_holes());
    ack(&mut buffer, 4, &[2]);
    assert_eq!(buffer.holes().collect::<Vec<_>>(), [2]);
    assert_eq!(buffer.in_flight(), 1);
}
