//! The response to a bottleneck whose queue is always full.
//!
//! Several senders that measured their base RTT while the queue was full keep it full. None of them observes
//! a rising delay, and loss is the only signal. A response is only useful if the loss is the senders' own. If
//! it remains with a smaller cwnd, the path loses packets at random, and further responses are rarer.

use std::time::{Duration, Instant};

/// Counts rounds that lose as much as an overflowing queue.
#[derive(Debug)]
pub(super) struct Overflow {
    /// Consecutive rounds with such a loss.
    rounds: u32,
    /// Loss is tolerated until then.
    tolerated_until: Option<Instant>,
    /// How long loss is tolerated after the next response.
    tolerance: Duration,
}

impl Overflow {
    pub(super) const fn new() -> Self {
        Self {
            rounds: 0,
            tolerated_until: None,
            tolerance: MIN_TOLERANCE,
        }
    }

    /// Ends a round in which `acked` packets were acknowledged and `lost` were lost. Returns whether the queue
    /// overflows.
    ///
    /// `late_share` is the share of packets that may have been declared lost because they were late,
    /// `smoothed_loss` the smoothed share of lost packets.
    pub(super) fn on_round(
        &mut self,
        now: Instant,
        acked: u32,
        lost: u32,
        late_share: f64,
        smoothed_loss: f64,
    ) -> bool {
        let share = f64::from(lost) / f64::from((acked + lost).max(1));
        if lost < MIN_LOST_PACKETS || share <= LOSS_SHARE + late_share {
            self.rounds = 0;
            if smoothed_loss <= LOSS_SHARE / 2.0 {
                self.tolerated_until = None;
                self.tolerance = MIN_TOLERANCE;
            }
            return false;
        }
        self.rounds += 1;
        if self.rounds < ROUNDS || self.tolerated_until.is_some_and(|until| now < until) {
            return false;
        }
        self.rounds = 0;
        self.tolerated_until = Some(now + self.tolerance);
        self.tolerance = (self.tolerance * 2).min(MAX_TOLERANCE);
        true
    }
}

/// The loss rate that indicates a full queue if it lasts for [`ROUNDS`] rounds. Tuned: hops and tunnels of a
/// usable path lose less (rows 6 and 15).
const LOSS_SHARE: f64 = 0.1;
/// The fewest lost packets of a round that indicate a full queue. Chosen because one or two lost packets of a
/// small round prove nothing.
const MIN_LOST_PACKETS: u32 = 4;
const ROUNDS: u32 = 2;
/// How long loss is tolerated after a response, doubled if the response has no effect. Tuned: row 15, and the
/// test of random loss: responses every 12 s cost more than the loss itself.
const MIN_TOLERANCE: Duration = Duration::from_secs(12);
const MAX_TOLERANCE: Duration = Duration::from_secs(48);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    /// The seconds after which the controller responds to this loss in every round of a second.
    fn responses(lost: u32, seconds: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut overflow = Overflow::new();
        (0..seconds)
            .filter(|second| {
                overflow.on_round(
                    start + Duration::from_secs(*second),
                    100 - lost,
                    lost,
                    0.0,
                    f64::from(lost) / 100.0,
                )
            })
            .collect()
    }

    #[test]
    fn responses_to_loss_that_remains_are_rare() {
        assert_eq!(responses(20, 100), [1, 13, 37, 85]);
    }

    #[test]
    fn usual_loss_causes_no_response() {
        assert!(responses(9, 100).is_empty());
    }

    #[test]
    fn loss_after_a_response_with_effect_is_responded_to_at_once() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut overflow = Overflow::new();
        let lost = [20, 20, 0, 20, 20];
        let responded: Vec<bool> = (0..)
            .zip(lost)
            .map(|(second, lost)| {
                overflow.on_round(at(second), 100 - lost, lost, 0.0, f64::from(lost) / 100.0)
            })
            .collect();
        assert_eq!(responded, [false, true, false, false, true]);
    }

    #[test]
    fn loss_that_late_packets_explain_causes_no_response() {
        let mut overflow = Overflow::new();
        let now = Instant::now();
        assert!((0..10).all(|_| !overflow.on_round(now, 80, 20, 0.15, 0.2)));
    }
}
