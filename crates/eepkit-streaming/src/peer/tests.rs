#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn peer(now: Instant) -> Peer {
    let keys =
        PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha8Rng::from_seed([1; 32])).unwrap();
    Peer::new(now, keys.destination().clone(), &StreamConfig::default(), 1)
}

fn acknowledge(peer: &mut Peer, now: Instant, stamp: Stamp, transmissions: u8, was_lost: bool) {
    let mut batch = peer.begin();
    let packet = AckedPacket {
        stamp,
        transmissions,
        was_lost,
    };
    peer.acked(&mut batch, now, &packet);
    peer.finish(now, &batch);
}

#[test]
fn the_initial_window_closes_the_gate_and_an_acknowledgement_opens_it() {
    let now = Instant::now();
    let mut peer = peer(now);
    let stamps: Vec<_> = (0..16).map(|_| peer.on_sent(now, 1.0)).collect();
    assert_eq!(peer.gate(now), Gate::Full);
    acknowledge(&mut peer, now + MS(400), stamps[0], 1, false);
    assert_eq!(peer.in_flight(), 15);
    assert_ne!(peer.gate(now + MS(400)), Gate::Full);
    assert_eq!(peer.rtt.smoothed(), Some(MS(400)));
}

#[test]
fn retransmitted_packets_give_no_round_trip_time() {
    let now = Instant::now();
    let mut peer = peer(now);
    let stamp = peer.on_sent(now, 1.0);
    acknowledge(&mut peer, now + MS(400), stamp, 2, false);
    assert_eq!(peer.rtt.smoothed(), None);
}

#[test]
fn a_packet_that_was_only_late_widens_the_reordering_window() {
    let now = Instant::now();
    let mut peer = peer(now);
    let first = peer.on_sent(now, 1.0);
    let stamp = peer.on_sent(now, 1.0);
    acknowledge(&mut peer, now + MS(400), first, 1, false);
    let before = peer.lanes[0].loss.window(peer.rtt.estimate());
    let mut batch = peer.begin();
    peer.lost(&mut batch, &stamp);
    peer.finish(now + MS(400), &batch);
    assert_eq!(peer.in_flight(), 0);
    acknowledge(&mut peer, now + MS(420), stamp, 1, true);
    assert_eq!(peer.in_flight(), 0);
    assert!(peer.lanes[0].loss.window(peer.rtt.estimate()) > before);
}

#[test]
fn loss_is_remembered_for_a_minute() {
    let now = Instant::now();
    let mut peer = peer(now);
    let stamp = peer.on_sent(now, 1.0);
    assert!(!peer.is_lossy(now));
    let mut batch = peer.begin();
    peer.lost(&mut batch, &stamp);
    peer.finish(now, &batch);
    assert!(peer.is_lossy(now + MS(59_000)));
    assert!(!peer.is_lossy(now + MS(61_000)));
}

#[test]
fn a_stall_is_reported_once_in_a_while() {
    let now = Instant::now();
    let mut peer = peer(now);
    assert!(peer.report_stall(now));
    assert!(!peer.report_stall(now + MS(2000)));
    assert!(peer.report_stall(now + MS(4000)));
}

#[test]
fn streams_that_time_out_together_are_one_event() {
    let now = Instant::now();
    let mut peer = peer(now);
    for _ in 0..6 {
        peer.on_sent(now, 1.0);
    }
    peer.on_timeout(now + MS(9000), &[3, 0, 0, 0]);
    let window = peer.window();
    peer.on_timeout(now + MS(9001), &[3, 0, 0, 0]);
    assert_eq!(peer.window(), window);
    assert_eq!(peer.in_flight(), 0);
}
