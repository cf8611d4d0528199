#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use proptest::prelude::*;

use super::*;
use crate::sent_packet::SentPacket;

const MS: fn(u64) -> Duration = Duration::from_millis;
const RTT: Duration = Duration::from_millis(800);

fn packet(start: Instant, sent_at: Instant, asks: bool) -> AckedPacket {
    AckedPacket {
        sent: SentPacket {
            sent_at,
            order: 0,
            delivered: 0,
            delivered_at: start,
            first_sent_at: start,
            path: PathId::ANY,
            state: 0,
            app_limited: false,
            asks,
            is_long: false,
        },
        transmissions: 1,
        was_lost: false,
    }
}

/// How a peer acknowledges.
#[derive(Debug, Clone, Copy)]
enum Acks {
    /// So long after a packet that asks, and half a second after another.
    Java(Duration),
    /// Every second packet.
    EverySecond,
}

/// Sends `count` packets of which every `asking`th asks, and returns after how many packets the
/// peer was recognised.
fn recognised_after(
    acks: Acks,
    rtt: Duration,
    spacing: Duration,
    asking: usize,
    count: usize,
) -> Option<usize> {
    let start = Instant::now();
    let mut fingerprint = Fingerprint::default();
    let mut covered = Covered::default();
    let mut pending = 0;
    let mut due: Option<Instant> = None;
    let mut send = |covered: &mut Covered, at: Instant| {
        fingerprint.on_ack(at + rtt / 2, &std::mem::take(covered), true)
    };
    for index in 0..count {
        let sent = start + spacing * u32::try_from(index).unwrap();
        let arrives = sent + rtt / 2;
        if let Some(at) = due.filter(|at| *at < arrives) {
            due = None;
            if send(&mut covered, at) {
                return Some(index);
            }
        }
        let asks = index % asking == 0;
        covered.add(&packet(start, sent, asks));
        pending += 1;
        let at = match acks {
            Acks::Java(delay) => arrives + if asks { delay } else { MS(500) },
            Acks::EverySecond if pending == 2 => arrives,
            Acks::EverySecond => continue,
        };
        pending = 0;
        due = Some(due.map_or(at, |due| due.min(at)));
    }
    None
}

proptest! {
    /// Java's delay follows its own estimate of the round trip, which it may have from an earlier
    /// stream over another path. So any delay up to the largest is possible at any round trip.
    #[test]
    fn java_is_not_recognised_by_its_acknowledgements(
        delay in 0_u64..=120,
        rtt in 1_u64..4000,
        spacing in 1_u64..200,
        asking in 1_usize..40,
    ) {
        let java = Acks::Java(MS(delay));
        prop_assert_eq!(recognised_after(java, MS(rtt), MS(spacing), asking, 400), None);
    }

    /// Whatever window Java remembers, up to three in this case: with every acknowledgement it sends
    /// as many packets more as were acknowledged, and one for each.
    #[test]
    fn java_is_not_recognised_by_its_packets(
        rtt in 20_u64..3000,
        error in 0_u64..250,
        late in 0_u64..120,
        initiator: bool,
        first in 1_u32..=3,
    ) {
        let start = Instant::now();
        let mut fingerprint = Fingerprint::default();
        let rtt = MS(rtt);
        // The application accepts up to two and a half round trips late.
        let smoothed = if initiator { rtt + rtt.mul_f64(error as f64 / 100.0) } else { rtt + MS(late).min(rtt / 8) };
        if !initiator {
            let mut covered = Covered::default();
            covered.add(&packet(start, start, true));
            fingerprint.on_ack(start + smoothed, &covered, false);
        }
        fingerprint.on_ack_sent(start);
        let (mut window, mut seq) = (first, 1);
        for round in 0..12 {
            // All of them at the first moment at which they can be here.
            let now = start + rtt * (round + u32::from(!initiator));
            for _ in 0..window {
                prop_assert!(!fingerprint.on_packet(now, seq, Some(smoothed), initiator), "{seq} in {round}");
                seq += 1;
            }
            window = (window * 2).min(128);
        }
    }
}

#[test]
fn acknowledging_every_second_packet_identifies_this_library() {
    for asking in [3, 5, 9] {
        let after = recognised_after(Acks::EverySecond, RTT, MS(20), asking, 64);
        assert!(
            after.is_some_and(|count| count <= 32),
            "{asking}: {after:?}"
        );
    }
    // Where every second packet asks, Java would do the same.
    assert_eq!(
        recognised_after(Acks::EverySecond, RTT, MS(20), 2, 64),
        None
    );
}

#[test]
fn acknowledgements_of_retransmissions_and_of_other_paths_identify_nothing() {
    let start = Instant::now();
    let mut fingerprint = Fingerprint::default();
    let mut asked = Covered::default();
    asked.add(&packet(start, start, true));
    fingerprint.on_ack(start + RTT, &asked, true);
    for index in 0..50 {
        let sent = start + MS(20) * index;
        let mut resent = packet(start, sent, false);
        resent.transmissions = 2;
        let mut elsewhere = packet(start, sent, false);
        elsewhere.sent.path = PathId(7);
        for packet in [resent, elsewhere] {
            let mut covered = Covered::default();
            covered.add(&packet);
            assert!(!fingerprint.on_ack(sent + RTT, &covered, true));
        }
    }
}

#[test]
fn repeating_syn_after_three_seconds_identifies_this_library() {
    let start = Instant::now();
    let table = [
        (0, true, false),
        (300, true, false),
        (2300, true, false),
        (2500, true, true),
        // Java, whose timeout may be anything if it remembers the round trip.
        (2500, false, false),
        (3500, true, true),
        (3700, true, false),
        (9000, true, false),
    ];
    for (after, asks, expected) in table {
        let mut fingerprint = Fingerprint::default();
        fingerprint.on_syn(start, true);
        fingerprint.on_syn(start + MS(after), asks);
        let later = start + MS(30_000);
        assert!(
            !fingerprint.on_packet(later, RECOGNITION_PACKETS, None, false),
            "too soon"
        );
        let certain = fingerprint.on_packet(later, RECOGNITION_PACKETS + 1, None, false);
        assert_eq!(certain, expected, "{after}");
    }
}

/// A stream on which the path was measured by a packet that asked.
fn measured(start: Instant) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    let mut covered = Covered::default();
    covered.add(&packet(start, start, true));
    // As much later as Java may be.
    fingerprint.on_ack(start + RTT + JAVA_MAX_ACK_DELAY, &covered, false);
    fingerprint
}

#[test]
fn a_large_initial_cwnd_identifies_this_library() {
    let start = Instant::now();
    let mut fingerprint = measured(start);
    assert!(
        !fingerprint.on_packet(start, 40, Some(RTT), true),
        "nothing is known"
    );
    fingerprint.on_ack_sent(start);
    assert!(!fingerprint.on_packet(start + MS(700), 12, Some(RTT), true));
    assert!(fingerprint.on_packet(start + MS(700), 13, Some(RTT), true));
    assert!(
        !fingerprint.on_packet(start + MS(730), 13, Some(RTT), true),
        "too late"
    );
    assert!(!fingerprint.on_packet(start + MS(1400), 15, Some(RTT), false));
    assert!(fingerprint.on_packet(start + MS(1400), 16, Some(RTT), false));
}

#[test]
fn more_than_128_packets_in_a_round_trip_identify_this_library() {
    let start = Instant::now();
    let mut fingerprint = measured(start);
    let smoothed = Some(RTT + JAVA_MAX_ACK_DELAY);
    assert!(!fingerprint.on_packet(start, 1000, smoothed, false));
    assert!(!fingerprint.on_packet(start + MS(700), 1160, smoothed, false));
    assert!(fingerprint.on_packet(start + MS(700), 1161, smoothed, false));
    assert!(!fingerprint.on_packet(start + MS(810), 1170, smoothed, false));
    assert!(!fingerprint.on_packet(start + MS(900), 1300, smoothed, false));
}

#[test]
fn an_application_that_accepts_late_identifies_nothing() {
    let start = Instant::now();
    let mut fingerprint = Fingerprint::default();
    fingerprint.on_ack_sent(start);
    // The answer took four round trips, three of them in the application.
    let smoothed = Some(RTT * 4);
    assert!(!fingerprint.on_packet(start + RTT, 13, smoothed, true));
    assert!(fingerprint.on_packet(start + MS(700), 13, smoothed, true));
}
