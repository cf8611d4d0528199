//! Tells lost packets from reordered ones, by time and order of sending (after RFC 8985, RACK).
//!
//! A packet counts as lost when the peer reports it missing and a packet sent sufficiently later
//! over the same path was acknowledged. Counting reports ("two NACKs") does not work here: peers
//! send one or two acknowledgements per round trip, and tunnels reorder all the time.

use std::time::{Duration, Instant};

/// What is remembered about one transmission of a packet until its fate is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// When it left.
    pub(crate) sent: Instant,
    /// Position among all transmissions to this peer.
    pub(crate) order: u64,
    /// Packets the peer had acknowledged by then.
    pub(crate) delivered: u64,
    /// When the last of those was acknowledged.
    pub(crate) delivered_at: Instant,
    /// When the oldest packet of the flight it belongs to left.
    pub(crate) first_sent: Instant,
    /// The way it took; packets of different ways say nothing about each other.
    pub(crate) path: u64,
    /// The lane it is counted in.
    pub(crate) lane: u8,
    /// Whether the application, not the network, set the pace then.
    pub(crate) app_limited: bool,
}

/// What is known about a packet that the peer reports missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It will not arrive.
    Lost,
    /// It may still arrive; ask again at this instant.
    Wait(Instant),
    /// Nothing sent later has arrived yet.
    Unknown,
}

/// Loss detection of one peer.
#[derive(Debug, Clone)]
pub(crate) struct LossDetector {
    /// The acknowledged transmission over the way in use that was sent last.
    newest: Option<Stamp>,
    /// The way in use.
    path: u64,
    /// Round-trip time of `newest`.
    newest_rtt: Duration,
    /// How much later a packet must have been sent to prove an earlier one lost.
    window: Option<Duration>,
    /// Rounds since the window was last found too small.
    quiet_rounds: u32,
    /// The round ends when a transmission from here on is acknowledged.
    round_end: u64,
}

impl LossDetector {
    pub(crate) const fn new() -> Self {
        Self {
            newest: None,
            path: 0,
            newest_rtt: Duration::ZERO,
            window: None,
            quiet_rounds: 0,
            round_end: 0,
        }
    }

    /// Takes note of an acknowledged transmission. `next_order` is that of the next one to be made.
    pub(crate) fn on_acked(
        &mut self,
        now: Instant,
        stamp: &Stamp,
        next_order: u64,
        smoothed: Duration,
    ) {
        if stamp.path == self.path && self.newest.is_none_or(|newest| stamp.order > newest.order) {
            self.newest = Some(*stamp);
            self.newest_rtt = now.saturating_duration_since(stamp.sent);
        }
        if stamp.order >= self.round_end {
            self.round_end = next_order;
            self.quiet_rounds += 1;
            if self.quiet_rounds >= QUIET_ROUNDS {
                self.quiet_rounds = 0;
                let initial = Self::initial_window(smoothed);
                self.window = self.window.map(|window| (window * 3 / 4).max(initial));
            }
        }
    }

    /// A packet taken for lost had only been late.
    pub(crate) fn on_spurious(&mut self, smoothed: Duration) {
        self.quiet_rounds = 0;
        let window = self.window(smoothed) + smoothed / 16;
        self.window = Some(window.min(smoothed.max(MIN_WINDOW)));
    }

    fn initial_window(smoothed: Duration) -> Duration {
        (smoothed / 16).max(MIN_WINDOW)
    }

    /// How much reordering is tolerated.
    pub(crate) fn window(&self, smoothed: Duration) -> Duration {
        self.window
            .unwrap_or_else(|| Self::initial_window(smoothed))
    }

    /// Whether a transmission over the way in use arrived that was made later.
    pub(crate) fn knows_later(&self, stamp: &Stamp) -> bool {
        self.newest.is_some_and(|newest| newest.order > stamp.order)
    }

    /// What became of a transmission that the peer reports missing. `acked_end` is one past the position
    /// of the last transmission that was acknowledged, over whatever way.
    pub(crate) fn judge(
        &self,
        now: Instant,
        stamp: &Stamp,
        smoothed: Duration,
        acked_end: u64,
    ) -> Verdict {
        let window = self.window(smoothed);
        if stamp.path != self.path {
            // Of another way only time tells, and that something sent later has arrived.
            let deadline = stamp.sent + smoothed + smoothed / 4 + window;
            return match stamp.order < acked_end {
                false => Verdict::Unknown,
                true if now >= deadline => Verdict::Lost,
                true => Verdict::Wait(deadline),
            };
        }
        let Some(newest) = self.newest.filter(|newest| newest.order > stamp.order) else {
            return Verdict::Unknown;
        };
        let deadline = stamp.sent + self.newest_rtt.max(smoothed) + window;
        if newest.sent.saturating_duration_since(stamp.sent) >= window || now >= deadline {
            Verdict::Lost
        } else {
            Verdict::Wait(deadline)
        }
    }

    /// The path changed: what arrived over the old one proves nothing about the new one.
    pub(crate) fn on_path_change(&mut self, path: u64) {
        self.path = path;
        self.newest = None;
        self.window = None;
    }
}

/// Chosen because jitter over six hops is 10 to 30 ms even without reordering.
const MIN_WINDOW: Duration = Duration::from_millis(25);
/// RFC 8985 (7.2) persists a widened window for 16 recoveries; here rounds are counted.
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

    fn stamp(start: Instant, order: u64, at: u64) -> Stamp {
        Stamp {
            sent: start + MS(at),
            order,
            delivered: 0,
            delivered_at: start,
            first_sent: start,
            path: 0,
            lane: 0,
            app_limited: false,
        }
    }

    #[test]
    fn a_missing_packet_is_lost_once_a_much_later_one_arrived() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        let missing = stamp(start, 0, 0);
        let now = start + MS(900);
        assert_eq!(loss.judge(now, &missing, RTT, 0), Verdict::Unknown);
        // RTT / 16 = 50 ms.
        loss.on_acked(now, &stamp(start, 1, 49), 2, RTT);
        assert_eq!(
            loss.judge(start + MS(849), &missing, RTT, 10),
            Verdict::Wait(start + MS(901))
        );
        loss.on_acked(now, &stamp(start, 2, 50), 3, RTT);
        assert_eq!(loss.judge(now, &missing, RTT, 10), Verdict::Lost);
    }

    #[test]
    fn a_missing_packet_is_lost_once_it_is_late_enough() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        loss.on_acked(start + MS(810), &stamp(start, 1, 10), 2, RTT);
        let missing = stamp(start, 0, 0);
        assert_eq!(
            loss.judge(start + MS(849), &missing, RTT, 10),
            Verdict::Wait(start + MS(850))
        );
        assert_eq!(
            loss.judge(start + MS(850), &missing, RTT, 10),
            Verdict::Lost
        );
    }

    #[test]
    fn packets_sent_earlier_prove_nothing() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        loss.on_acked(start + MS(810), &stamp(start, 1, 10), 2, RTT);
        assert_eq!(
            loss.judge(start + MS(5000), &stamp(start, 7, 500), RTT, 2),
            Verdict::Unknown
        );
    }

    #[test]
    fn packets_of_another_path_are_lost_by_time_alone() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        let missing = Stamp {
            path: 1,
            ..stamp(start, 0, 0)
        };
        assert_eq!(
            loss.judge(start + MS(900), &missing, RTT, 0),
            Verdict::Unknown
        );
        loss.on_acked(start + MS(900), &stamp(start, 9, 300), 10, RTT);
        let deadline = start + MS(800 + 200 + 50);
        assert_eq!(
            loss.judge(start + MS(900), &missing, RTT, 10),
            Verdict::Wait(deadline)
        );
        assert_eq!(loss.judge(deadline, &missing, RTT, 10), Verdict::Lost);
    }

    #[test]
    fn the_window_grows_with_false_alarms_and_shrinks_when_quiet() {
        let start = Instant::now();
        let mut loss = LossDetector::new();
        assert_eq!(loss.window(RTT), MS(50));
        loss.on_spurious(RTT);
        loss.on_spurious(RTT);
        assert_eq!(loss.window(RTT), MS(150));
        for round in 0..16 {
            loss.on_acked(start, &stamp(start, round, 0), round + 1, RTT);
        }
        assert!(loss.window(RTT) < MS(150));
        for _ in 0..100 {
            loss.on_spurious(RTT);
        }
        assert_eq!(loss.window(RTT), RTT);
    }
}
