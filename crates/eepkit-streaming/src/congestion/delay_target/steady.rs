//! Steady: the cwnd follows the queueing delay by the law of FAST TCP.

use std::time::{Duration, Instant};

use super::{
    super::{AckSample, CwndLimits},
    estimator::DelayEstimator,
};

/// The state of Steady.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// The queueing delay before the last probe, and until when it is assumed to be the current one.
    assumed_delay: Option<(f64, Instant)>,
    /// Consecutive rounds in which the RTT exceeded the base RTT by less than half of what is tolerated.
    rounds_without_queue: u32,
    /// The cwnd at which the queueing delay exceeded the target, while it does.
    cwnd_above_target: Option<f64>,
}

/// What Steady decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// Continue with this cwnd.
    Cwnd(f64),
    /// Continue with this cwnd. A smaller cwnd did not reduce the delay, so the base RTT is in doubt.
    Futile(f64),
}

impl Steady {
    /// Steady after Startup.
    pub(super) fn after_drain() -> Self {
        Self {
            rounds_without_queue: ROUNDS_BEFORE_ACCELERATION + CREDIT_ROUNDS,
            ..Self::default()
        }
    }

    /// Steady after ProbeRtt. It takes a round trip until the queue is back and measured. If all senders on
    /// the path grew in the meantime, the queue would become longer than before.
    pub(super) fn after_probe(&self, queueing_delay: f64, until: Instant) -> Self {
        Self {
            assumed_delay: Some((queueing_delay, until)),
            rounds_without_queue: self.rounds_without_queue,
            ..Self::default()
        }
    }

    /// Multiplies the cwnd by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        self.cwnd_above_target = self.cwnd_above_target.map(|cwnd| cwnd * factor);
    }

    /// Applies an acknowledgement.
    pub(super) fn step(
        &mut self,
        sample: &AckSample,
        delay: &DelayEstimator,
        cwnd: f64,
        limits: &CwndLimits,
    ) -> Step {
        let rtt = delay.median_rtt().as_secs_f64().max(0.001);
        let target = target_delay(delay, cwnd);
        let queueing_delay = delay.queueing_delay();
        let acked = f64::from(sample.acked);
        if queueing_delay > target {
            let decrease = GAIN * (queueing_delay - target) / rtt;
            let cwnd = cwnd - acked * decrease.min(MAX_CHANGE_PER_ROUND);
            let from = *self.cwnd_above_target.get_or_insert(cwnd);
            return if cwnd < from * FUTILE_CWND_SHARE {
                Step::Futile(cwnd)
            } else {
                Step::Cwnd(cwnd)
            };
        }
        let queueing_delay = match self.assumed_delay {
            Some((assumed, until)) if sample.now < until => queueing_delay.max(assumed),
            _ => queueing_delay,
        };
        if !sample.cwnd_limited || queueing_delay >= target {
            return Step::Cwnd(cwnd);
        }
        let increase = (GAIN * (target - queueing_delay) / rtt).max(self.acceleration());
        let increase = increase / limits.avoidance_factor.max(1.0);
        Step::Cwnd(cwnd + acked * increase.min(MAX_CHANGE_PER_ROUND))
    }

    /// Ends a round.
    pub(super) fn on_round(&mut self, delay: &DelayEstimator, cwnd: f64, cwnd_limited: bool) {
        let target = target_delay(delay, cwnd);
        let queueing_delay = delay.queueing_delay();
        let noise = delay.noise().as_secs_f64();
        if cwnd_limited && queueing_delay + noise < (target + noise) / 2.0 {
            self.rounds_without_queue += 1;
        } else {
            self.rounds_without_queue = 0;
        }
        if queueing_delay <= target {
            self.cwnd_above_target = None;
        }
    }

    /// The growth per round, as a share, after several rounds without a queue. There may be much unused
    /// capacity then.
    fn acceleration(&self) -> f64 {
        match self
            .rounds_without_queue
            .saturating_sub(ROUNDS_BEFORE_ACCELERATION)
        {
            0 => 0.0,
            rounds => ACCELERATED_GROWTH * f64::from(1_u32 << rounds.min(8)),
        }
    }
}

/// The target of the queueing delay in seconds: the time that the bottleneck needs for
/// [`OWN_QUEUE_PACKETS`] packets at the rate of this sender.
fn target_delay(delay: &DelayEstimator, cwnd: f64) -> f64 {
    let own = OWN_QUEUE_PACKETS * delay.median_rtt().as_secs_f64() / cwnd;
    own.min(MAX_OWN_DELAY.as_secs_f64())
}

/// alpha: packets that each sender keeps in the queue of the bottleneck. Derived: with fewer, the share of a
/// sender depends on single packets; ten senders on a path of 1 MB/s cause a queueing delay of 0.1 s.
const OWN_QUEUE_PACKETS: f64 = 5.0;
/// The longest delay that these packets may cause. Chosen because it would be seconds on a slow path.
const MAX_OWN_DELAY: Duration = Duration::from_millis(200);
/// gamma: the share of the error that is corrected per round. Derived: a change takes effect one round later
/// and is measured over another one, so a gain near 1 oscillates.
const GAIN: f64 = 0.6;
/// The largest change of the cwnd in a round, as a share. Tuned: rows 15 and 16.
const MAX_CHANGE_PER_ROUND: f64 = 0.25;
/// Rounds without a queue after which growth accelerates. Derived: an increase is measured two rounds later,
/// and one of those that follow a decrease. Tuned: with 2, the queue oscillates, and senders of i2pd on a
/// path with loss get a fifth less (row 16).
const ROUNDS_BEFORE_ACCELERATION: u32 = 4;
/// The growth in the first round of acceleration, as a share. It doubles in each further one.
const ACCELERATED_GROWTH: f64 = 0.05;
/// Rounds of acceleration with which Steady begins after Startup. Tuned: Startup underestimates the capacity
/// more often than it overestimates it (rows 5 and 7).
const CREDIT_ROUNDS: u32 = 3;
/// A cwnd that was reduced to this share without effect on the delay is evidence that the queue is not our
/// own. Tuned: rows 14 and 16.
const FUTILE_CWND_SHARE: f64 = 0.7;
