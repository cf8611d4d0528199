#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use std::sync::{Arc, Mutex};

use eepkit_wire::{Hash, LeaseId, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    congestion::{AckSample, Controller, ControllerFactory, CwndLimits},
    path::{Path, TunnelId},
};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

fn peer(now: Instant) -> Peer {
    peer_with(now, 1)
}

fn peer_with(now: Instant, states: usize) -> Peer {
    peer_of(now, &StreamConfig::default(), states)
}

fn peer_of(now: Instant, config: &StreamConfig, states: usize) -> Peer {
    let keys =
        PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha8Rng::from_seed([1; 32])).unwrap();
    let to = keys.destination().clone();
    Peer::new(now, to, config, states, 0)
}

fn path(number: u64) -> Path {
    Path {
        id: PathId(number),
        tunnel: TunnelId(number),
        lease: LeaseId {
            gateway: Hash::new([0; 32]),
            tunnel: u32::try_from(number).unwrap(),
        },
        expires: None,
    }
}

/// A peer with two active paths, with RTTs of half a second and of `longer`, and no packet in
/// flight.
fn two_paths(start: Instant, longer: Duration) -> (Peer, Instant) {
    let mut peer = peer_with(start, 4);
    peer.set_paths(start, &[path(1), path(2)]);
    let first = peer.on_sent(start, 1.0);
    assert_eq!(
        (first.state, first.path),
        (0, PathId(1)),
        "before anything is known"
    );
    let mut now = start + MS(500);
    acknowledge(&mut peer, now, first, 1, false);
    // When the cwnd of one path is full, the other path is used.
    for _ in 0..3 {
        let mut packets = Vec::new();
        while peer.can_send(now) != CanSend::CwndFull {
            match peer.can_send(now) {
                CanSend::At(at) => now = at,
                _ => packets.push(peer.on_sent(now, 1.0)),
            }
        }
        for sent in packets {
            let arrives = sent.sent_at
                + if sent.path == PathId(1) {
                    MS(500)
                } else {
                    longer
                };
            now = now.max(arrives);
            acknowledge(&mut peer, arrives, sent, 1, false);
        }
    }
    (peer, now + SECONDS(1))
}

fn acknowledge(peer: &mut Peer, now: Instant, sent: SentPacket, transmissions: u8, was_lost: bool) {
    let mut batch = peer.begin();
    let packet = AckedPacket {
        sent,
        transmissions,
        was_lost,
    };
    peer.acked(&mut batch, now, &packet);
    peer.finish(now, &batch);
}

#[test]
fn the_initial_cwnd_limits_sending_until_an_acknowledgement() {
    let now = Instant::now();
    let mut peer = peer(now);
    let packets: Vec<_> = (0..24).map(|_| peer.on_sent(now, 1.0)).collect();
    assert_eq!(peer.can_send(now), CanSend::CwndFull);
    acknowledge(&mut peer, now + MS(400), packets[0], 1, false);
    assert_eq!(peer.in_flight(), 23);
    assert_ne!(peer.can_send(now + MS(400)), CanSend::CwndFull);
    assert_eq!(peer.rtt.smoothed(), Some(MS(400)));
}

#[test]
fn retransmitted_packets_give_no_round_trip_time() {
    let now = Instant::now();
    let mut peer = peer(now);
    let sent = peer.on_sent(now, 1.0);
    acknowledge(&mut peer, now + MS(400), sent, 2, false);
    assert_eq!(peer.rtt.smoothed(), None);
}

/// Paces at the highest delivery rate that was measured.
#[derive(Debug)]
struct AtDeliveryRate(Option<f64>);

impl Controller for AtDeliveryRate {
    fn on_ack(&mut self, sample: &AckSample) {
        if let Some(rate) = sample.delivery_rate {
            let highest = self.0.unwrap_or_default();
            self.0 = Some(rate.packets_per_second.max(highest));
        }
    }

    fn cwnd(&self) -> u32 {
        100
    }

    fn pacing_rate(&self) -> Option<f64> {
        self.0
    }
}

#[derive(Debug)]
struct MakeAtDeliveryRate;

impl ControllerFactory for MakeAtDeliveryRate {
    fn build(self: Arc<Self>, _: Instant, _: CwndLimits) -> Box<dyn Controller> {
        Box::new(AtDeliveryRate(None))
    }
}

#[test]
fn originals_that_arrive_after_their_retransmission_do_not_raise_the_delivery_rate() {
    let start = Instant::now();
    let config = StreamConfig::default().with_congestion(Arc::new(MakeAtDeliveryRate));
    let mut peer = peer_of(start, &config, 1);
    let arrives = start + MS(500);
    for sent in [0; 20].map(|_| peer.on_sent(start, 1.0)) {
        acknowledge(&mut peer, arrives, sent, 1, false);
    }
    assert_eq!(peer.states[0].pacing_rate(), Some(40.0));

    // The originals are late. The retransmissions cannot have arrived within 15 ms.
    let again = start + SECONDS(1);
    for sent in [0; 20].map(|_| peer.on_sent(again, 1.0)) {
        acknowledge(&mut peer, again + MS(15), sent, 2, false);
    }
    assert_eq!(peer.states[0].pacing_rate(), Some(40.0));
}

/// Records the newest transmission that each acknowledgement reports.
#[derive(Debug, Clone, Default)]
struct NewestOrders(Arc<Mutex<Vec<u64>>>);

impl Controller for NewestOrders {
    fn on_ack(&mut self, sample: &AckSample) {
        self.0.lock().unwrap().push(sample.newest_order);
    }

    fn cwnd(&self) -> u32 {
        100
    }

    fn pacing_rate(&self) -> Option<f64> {
        None
    }
}

impl ControllerFactory for NewestOrders {
    fn build(self: Arc<Self>, _: Instant, _: CwndLimits) -> Box<dyn Controller> {
        Box::new(Self::clone(&self))
    }
}

#[test]
fn a_retransmission_that_cannot_have_arrived_does_not_end_a_round() {
    let start = Instant::now();
    let orders = NewestOrders::default();
    let config = StreamConfig::default().with_congestion(Arc::new(orders.clone()));
    let mut peer = peer_of(start, &config, 1);
    let [_, second] = [0; 2].map(|_| peer.on_sent(start, 1.0));
    acknowledge(&mut peer, start + MS(500), second, 1, false);
    let again = start + SECONDS(1);
    let [third, fourth] = [0; 2].map(|_| peer.on_sent(again, 1.0));
    acknowledge(&mut peer, again + MS(15), third, 2, false);
    acknowledge(&mut peer, again + MS(500), fourth, 2, false);
    assert_eq!(*orders.0.lock().unwrap(), [1, 0, 3]);
}

#[test]
fn a_spurious_loss_raises_the_reordering_threshold() {
    let now = Instant::now();
    let mut peer = peer(now);
    let first = peer.on_sent(now, 1.0);
    let sent = peer.on_sent(now, 1.0);
    acknowledge(&mut peer, now + MS(400), first, 1, false);
    let before = peer.states[0].loss.window(peer.rtt.estimate());
    let mut batch = peer.begin();
    peer.lost(&mut batch, &sent);
    peer.finish(now + MS(400), &batch);
    assert_eq!(peer.in_flight(), 0);
    acknowledge(&mut peer, now + MS(420), sent, 1, true);
    assert_eq!(peer.in_flight(), 0);
    assert!(peer.states[0].loss.window(peer.rtt.estimate()) > before);
}

#[test]
fn a_loss_counts_as_recent_for_a_minute() {
    let now = Instant::now();
    let mut peer = peer(now);
    let sent = peer.on_sent(now, 1.0);
    assert!(!peer.is_lossy(now));
    let mut batch = peer.begin();
    peer.lost(&mut batch, &sent);
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
    let cwnd = peer.cwnd();
    peer.on_timeout(now + MS(9001), &[3, 0, 0, 0]);
    assert_eq!(peer.cwnd(), cwnd);
    assert_eq!(peer.in_flight(), 0);
}

#[test]
fn a_packet_takes_the_shortest_path_that_has_room() {
    let (mut peer, mut now) = two_paths(Instant::now(), MS(600));
    assert_eq!(peer.on_sent(now, 1.0).path, PathId(1));
    let mut paths = Vec::new();
    while peer.can_send(now) != CanSend::CwndFull {
        match peer.can_send(now) {
            CanSend::At(at) => now = at,
            _ => paths.push(peer.on_sent(now, 1.0).path),
        }
    }
    assert!(
        paths.contains(&PathId(1)) && paths.contains(&PathId(2)),
        "{paths:?}"
    );
    assert_eq!(peer.in_flight(), peer.cwnd());
}

#[test]
fn a_much_longer_path_carries_one_packet_at_a_time() {
    let (mut peer, mut now) = two_paths(Instant::now(), SECONDS(20));
    let mut paths = Vec::new();
    for _ in 0..100 {
        match peer.can_send(now) {
            CanSend::At(at) => now = at,
            CanSend::Now => paths.push(peer.on_sent(now, 1.0).path),
            CanSend::CwndFull => break,
        }
    }
    let few = paths.iter().filter(|path| **path == PathId(2)).count();
    assert!(paths.len() > 20 && few <= 1, "{paths:?}");
}

#[test]
fn packets_of_a_silent_path_are_lost_by_timeout_and_it_fails_after_three() {
    let (mut peer, mut now) = two_paths(Instant::now(), MS(600));
    let mut packets = Vec::new();
    while peer.can_send(now) != CanSend::CwndFull {
        match peer.can_send(now) {
            CanSend::At(at) => now = at,
            _ => packets.push(peer.on_sent(now, 1.0)),
        }
    }
    let (heard, silent): (Vec<SentPacket>, Vec<SentPacket>) =
        packets.into_iter().partition(|sent| sent.path == PathId(1));
    assert!(silent.len() > 3);
    let last = heard.last().copied().unwrap();
    acknowledge(&mut peer, last.sent_at + MS(500), last, 1, false);
    let missing = silent[0];
    let Verdict::Wait(at) = peer.classify(missing.sent_at + MS(600), &missing) else {
        panic!("it may still come");
    };
    assert!(
        at < missing.sent_at + SECONDS(2),
        "{:?}",
        at - missing.sent_at
    );
    assert_eq!(peer.classify(at, &missing), Verdict::Lost);
    let mut batch = peer.begin();
    for sent in &silent[..3] {
        peer.lost(&mut batch, sent);
    }
    let before = peer.failures().0;
    peer.finish(at, &batch);
    assert_eq!(peer.failures(), (before + 1, PathId(2)));
    let mut batch = peer.begin();
    for sent in &silent[3..] {
        peer.lost(&mut batch, sent);
    }
    peer.finish(at, &batch);
    // There is no other path, so the first one carries everything. After a minute, the second path
    // is tried again.
    assert_eq!(peer.on_sent(at, 1.0).path, PathId(1));
    let later = at + SECONDS(61);
    peer.on_sent(later, 1.0);
    let tried = (0..40)
        .filter(|_| peer.on_sent(later, 1.0).path == PathId(2))
        .count();
    assert_eq!(tried, 2, "carefully");
}
