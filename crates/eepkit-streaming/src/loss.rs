//! Loss detection: distinguishes lost packets from reordered ones by time and order of sending
//! (after RFC 8985, RACK).
//!
//! A packet is declared lost if the peer reports it missing and a packet sent sufficiently later
//! over the same path was acknowledged. Counting reports ("two NACKs") does not work, because peers
//! send one or two acknowledgements per round trip, and tunnels reorder packets often.

use std::time::{Duration, Instant};

use crate::{path::PathId, sent_packet::SentPacket};

/// The decision about a packet that the peer reports missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The packet is lost.
    Lost,
    /// The packet may still arrive. The decision must be repeated at this instant.
    Wait(Instant),
    /// No packet that was sent later has arrived yet.
    Unknown,
}

/// Loss detection of one peer.
#[derive(Debug, Clone)]
pub(crate) struct LossDetector {
    /// The most recently sent transmission over the current path that was acknowledged.
    newest: Option<SentPacket>,
    /// The path in use.
    path: PathId,
    /// Round-trip time of `newest`.
    newest_rtt: Duration,
    /// The reordering threshold: if a packet that was sent this much later has arrived, the earlier
    /// packet is lost.
    window: Option<Duration>,
    /// Rounds since the last spurious retransmission.
    quiet_rounds: u32,
    /// The round ends when a transmission from here on is acknowledged.
    round_end: u64,
}

impl LossDetector {
    pub(crate) const fn new() -> Self {
        Self {
            newest: None,
            path: PathId::ANY,
            newest_rtt: Duration::ZERO,
            window: None,
            quiet_rounds: 0,
            round_end: 0,
        }
    }

    /// Records an acknowledged transmission. `next_order` is the order of the next transmission.
    pub(crate) fn on_acked(
        &mut self,
        now: Instant,
        sent: &SentPacket,
        next_order: u64,
        smoothed: Duration,
    ) {
        if sent.path == self.path && self.newest.is_none_or(|newest| sent.order > newest.order) {
            self.newest = Some(*sent);
            self.newest_rtt = now.saturating_duration_since(sent.sent_at);
        }
        if sent.order >= self.round_end {
            self.round_end = next_order;
            self.quiet_rounds += 1;
            if self.quiet_rounds >= QUIET_ROUNDS {
                self.quiet_rounds = 0;
                let initial = Self::initial_window(smoothed);
                self.window = self.window.map(|window| (window * 3 / 4).max(initial));
            }
        }
    }

    /// A retransmission was spurious: the packet declared lost was only late.
    pub(crate) fn on_spurious(&mut self, smoothed: Duration) {
        self.quiet_rounds = 0;
        let window = self.window(smoothed) + smoothed / 16;
        self.window = Some(window.min(smoothed.max(MIN_WINDOW)));
    }

    fn initial_window(smoothed: Duration) -> Duration {
        (smoothed / 16).max(MIN_WINDOW)
    }

    /// The reordering threshold.
    pub(crate) fn window(&self, smoothed: Duration) -> Duration {
        self.window
            .unwrap_or_else(|| Self::initial_window(smoothed))
    }

    /// Whether a later transmission over the current path has arrived.
    pub(crate) fn knows_later(&self, sent: &SentPacket) -> bool {
        self.newest.is_some_and(|newest| newest.order > sent.order)
    }

    /// Decides whether a transmission that the peer reports missing is lost. `acked_end` is one
    /// past the order of the newest transmission that was acknowledged over any path.
    pub(crate) fn classify(
        &self,
        now: Instant,
        sent: &SentPacket,
        smoothed: Duration,
        acked_end: u64,
    ) -> Verdict {
        let window = self.window(smoothed);
        if sent.path != self.path {
            // For another path, decide by time, and by whether any later transmission has arrived.
            let deadline = sent.sent_at + smoothed + smoothed / 4 + window;
            return match sent.order < acked_end {
                false => Verdict::Unknown,
                true if now >= deadline => Verdict::Lost,
                true => Verdict::Wait(deadline),
            };
        }
        let Some(newest) = self.newest.filter(|newest| newest.order > sent.order) else {
            return Verdict::Unknown;
        };
        let deadline = sent.sent_at + self.newest_rtt.max(smoothed) + window;
        if newest.sent_at.saturating_duration_since(sent.sent_at) >= window || now >= deadline {
            Verdict::Lost
        } else {
            Verdict::Wait(deadline)
        }
    }

    /// Handles a change of path. Arrivals over the old path are no evidence about packets on the
    /// new one.
    pub(crate) fn on_path_change(&mut self, path: PathId) {
        self.path = path;
        self.newest = None;
        self.window = None;
    }
}

/// Chosen because jitter over six hops is 10 to 30 ms even without reordering.
const MIN_WINDOW: Duration = Duration::from_millis(25);
/// RFC 8985 (7.2) keeps an increased threshold for 16 recoveries. Here rounds are counted.
const QUIET_ROUNDS: u32 = 16;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const RTT: Duration = Duration::from_millis(800);

    fn sent(start: Instant, order: u64, at: u64) -> SentPacket {
        SentPacket {
            sent_at: start + MS(at),
            order,
            delivered: 0,
            delivered_at: start,
            first_sent_at: start,
            path: PathId::ANY,
            state: 0,
            app_limited: false,
            asks: false,
            is_long: false,
        }
    }

    #[test]
    fn a_missing_packet_is_lost_once_a_much_later_one_arrived() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        let missing = sent(start, 0, 0);
        let now = start + MS(900);
        assert_eq!(loss.classify(now, &missing, RTT, 0), Verdict::Unknown);
        // RTT / 16 = 50 ms.
        loss.on_acked(now, &sent(start, 1, 49), 2, RTT);
        assert_eq!(
            loss.classify(start + MS(849), &missing, RTT, 10),
            Verdict::Wait(start + MS(901))
        );
        loss.on_acked(now, &sent(start, 2, 50), 3, RTT);
        assert_eq!(loss.classify(now, &missing, RTT, 10), Verdict::Lost);
    }

    #[test]
    fn a_missing_packet_is_lost_once_it_is_late_enough() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        loss.on_acked(start + MS(810), &sent(start, 1, 10), 2, RTT);
        let missing = sent(start, 0, 0);
        assert_eq!(
            loss.classify(start + MS(849), &missing, RTT, 10),
            Verdict::Wait(start + MS(850))
        );
        assert_eq!(
            loss.classify(start + MS(850), &missing, RTT, 10),
            Verdict::Lost
        );
    }

    #[test]
    fn packets_sent_earlier_prove_nothing() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        loss.on_acked(start + MS(810), &sent(start, 1, 10), 2, RTT);
        assert_eq!(
            loss.classify(start + MS(5000), &sent(start, 7, 500), RTT, 2),
            Verdict::Unknown
        );
    }

    #[test]
    fn packets_of_another_path_are_lost_by_time_alone() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        let missing = SentPacket {
            path: PathId(1),
            ..sent(start, 0, 0)
        };
        assert_eq!(
            loss.classify(start + MS(900), &missing, RTT, 0),
            Verdict::Unknown
        );
        loss.on_acked(start + MS(900), &sent(start, 9, 300), 10, RTT);
        let deadline = start + MS(800 + 200 + 50);
        assert_eq!(
            loss.classify(start + MS(900), &missing, RTT, 10),
            Verdict::Wait(deadline)
        );
        assert_eq!(loss.classify(deadline, &missing, RTT, 10), Verdict::Lost);
    }

    #[test]
    fn the_threshold_grows_with_spurious_losses_and_shrinks_without() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        assert_eq!(loss.window(RTT), MS(50));
        loss.on_spurious(RTT);
        loss.on_spurious(RTT);
        assert_eq!(loss.window(RTT), MS(150));
        for round in 0..16 {
            loss.on_acked(start, &sent(start, round, 0), round + 1, RTT);
        }
        assert!(loss.window(RTT) < MS(150));
        for _ in 0..100 {
            loss.on_spurious(RTT);
        }
        assert_eq!(loss.window(RTT), RTT);
    }
}
