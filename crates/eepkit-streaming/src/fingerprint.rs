//! Recognises peers that run this library by their behaviour. Their packets have no such field.
//!
//! The first packet of this library looks like Java's. Its behaviour differs later: it acknowledges
//! every second packet at the start of a stream, where Java waits at least an eighth of a round
//! trip; its initial cwnd is many times larger; and it retransmits its first packet sooner.

use std::time::{Duration, Instant};

/// Observations of the peer's behaviour on one stream.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint {
    /// When the newest packet covered by the last plain acknowledgement was sent, and when that
    /// acknowledgement arrived.
    last: Option<(Instant, Instant)>,
    /// Number of plain acknowledgements of new packets, and of those that followed the previous one
    /// sooner than Java's do.
    acks: u32,
    quick: u32,
    /// When a round trip began, and the number of plain acknowledgements of new packets since then.
    acks_in_round: Option<(Instant, u32)>,
    /// When a round trip began, and the sequence number that it began with.
    round: Option<(Instant, u32)>,
    /// When we first sent an acknowledgement.
    acked: Option<Instant>,
    /// When the peer's SYN first arrived, and whether it was retransmitted at our interval. Java's
    /// is nine seconds.
    opened: Option<Instant>,
    repeated: bool,
}

impl Fingerprint {
    /// Handles a plain acknowledgement of new packets. The newest of them was sent once, at `sent`.
    /// Returns whether the peer certainly runs this library.
    pub(crate) fn on_ack(&mut self, now: Instant, sent: Instant, rtt: Duration) -> bool {
        let waits = (rtt / 8).min(JAVA_MAX_ACK_DELAY) / 2;
        self.acks = self.acks.saturating_add(1);
        if let Some((last_sent, last)) = self.last.replace((sent, now))
            && sent.saturating_duration_since(last_sent) < waits
            && now.saturating_duration_since(last) < waits
        {
            self.quick = self.quick.saturating_add(1);
        }
        let (began, count) = self.acks_in_round.get_or_insert((now, 0));
        if now.saturating_duration_since(*began) > rtt {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        // One per acknowledgement delay, plus half as many, plus a few for duplicate packets.
        let delay = (rtt / 8).min(JAVA_MAX_ACK_DELAY).as_secs_f64().max(0.001);
        let many = f64::from(*count) > 1.5 * rtt.as_secs_f64() / delay + 4.0;
        many || (self.quick >= QUICK_ACKS && self.quick * 2 > self.acks)
    }

    /// Handles the report that the peer buffers `buffered` packets behind a missing one. Returns
    /// whether the peer certainly runs this library.
    pub(crate) const fn on_buffered(buffered: u32) -> bool {
        buffered > JAVA_MAX_BUFFERED_PACKETS + JAVA_MAX_BUFFERED_PACKETS / 4
    }

    /// Handles a SYN of the peer, the first or a retransmission.
    pub(crate) fn on_syn(&mut self, now: Instant) {
        let opened = *self.opened.get_or_insert(now);
        let after = now.saturating_duration_since(opened);
        self.repeated |= after.abs_diff(OUR_SYN_RETRANSMISSION) <= SYN_RETRANSMISSION_JITTER;
    }

    /// Records that an acknowledgement is sent.
    pub(crate) fn on_ack_sent(&mut self, now: Instant) {
        self.acked.get_or_insert(now);
    }

    /// Handles the arrival of packet `seq`. Returns whether the peer certainly runs this library:
    /// Java sends three packets before the first acknowledgement, and six more in the next round
    /// trip. `initiator` states whether this side opened the stream.
    ///
    /// Later, Java never sends more than its largest cwnd in a round trip.
    ///
    /// If the round trip is longer than the retransmission interval of SYN, our answer was sent
    /// twice and `rtt` is not known. Then the retransmission is the only evidence. It is used late.
    /// At that time, the peer has recognised this side by its acknowledgements, and this side can
    /// send fewer of them.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        seq: u32,
        rtt: Option<Duration>,
        initiator: bool,
    ) -> bool {
        let Some(rtt) = rtt else {
            return self.repeated && seq > RECOGNITION_PACKETS;
        };
        let (began, first) = *self.round.get_or_insert((now, seq));
        if now.saturating_duration_since(began) > rtt * 9 / 10 {
            self.round = Some((now, seq));
        } else if seq.saturating_sub(first) > JAVA_MAX_CWND + JAVA_MAX_CWND / 4 {
            return true;
        }
        // Packets that arrive until then were sent when the peer had only our answer to its SYN.
        let (most, unaware) = if initiator {
            (JAVA_INITIAL_CWND * 4, rtt * 9 / 10)
        } else {
            (JAVA_INITIAL_CWND * 5, rtt * 9 / 5)
        };
        self.acked
            .is_some_and(|acked| seq > most && now.saturating_duration_since(acked) < unaware)
    }
}

/// Upper bound of Java's delay of a requested acknowledgement, which is an eighth of a round trip.
const JAVA_MAX_ACK_DELAY: Duration = Duration::from_millis(120);
/// Java's initial cwnd.
const JAVA_INITIAL_CWND: u32 = 3;
/// When this library retransmits SYN: after a third of the initial timeout.
const OUR_SYN_RETRANSMISSION: Duration = Duration::from_secs(3);
/// The largest difference of the tunnel delays of two packets.
const SYN_RETRANSMISSION_JITTER: Duration = Duration::from_millis(600);
/// The number of packets after which a peer that runs this library has recognised this side. Chosen
/// as 1.5 times the number measured in the emulator at a round-trip time of 3 s and 2 % loss.
const RECOGNITION_PACKETS: u32 = 750;
/// Packets that Java buffers behind a missing one.
const JAVA_MAX_BUFFERED_PACKETS: u32 = 130;
/// Java's largest cwnd.
const JAVA_MAX_CWND: u32 = 128;
/// The required number of quick acknowledgements. One is not enough, because jitter moves some
/// acknowledgements closer together.
const QUICK_ACKS: u32 = 5;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const RTT: Duration = Duration::from_millis(800);

    fn certain_after(spacing: Duration) -> Option<u32> {
        let start = Instant::now();
        let mut fingerprint = Fingerprint::default();
        (0..30).find(|count| {
            let sent = start + spacing * *count;
            fingerprint.on_ack(sent + RTT, sent, RTT)
        })
    }

    #[test]
    fn acknowledging_every_second_packet_identifies_this_library() {
        assert_eq!(certain_after(MS(20)), Some(5));
        assert_eq!(certain_after(MS(90)), None);
    }

    #[test]
    fn repeating_syn_after_three_seconds_identifies_this_library() {
        let start = Instant::now();
        let table = [
            (0, false),
            (300, false),
            (2300, false),
            (2500, true),
            (3500, true),
            (3700, false),
            (9000, false),
        ];
        for (after, expected) in table {
            let mut fingerprint = Fingerprint::default();
            fingerprint.on_syn(start);
            fingerprint.on_syn(start + MS(after));
            let later = start + MS(30_000);
            assert!(
                !fingerprint.on_packet(later, RECOGNITION_PACKETS, None, false),
                "too soon"
            );
            let certain = fingerprint.on_packet(later, RECOGNITION_PACKETS + 1, None, false);
            assert_eq!(certain, expected, "{after}");
        }
    }

    #[test]
    fn a_large_initial_cwnd_identifies_this_library() {
        let start = Instant::now();
        let mut fingerprint = Fingerprint::default();
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
        let mut fingerprint = Fingerprint::default();
        assert!(!fingerprint.on_packet(start, 1000, Some(RTT), false));
        assert!(!fingerprint.on_packet(start + MS(700), 1160, Some(RTT), false));
        assert!(fingerprint.on_packet(start + MS(700), 1161, Some(RTT), false));
        assert!(!fingerprint.on_packet(start + MS(800), 1170, Some(RTT), false));
        assert!(!fingerprint.on_packet(start + MS(900), 1300, Some(RTT), false));
    }
}
