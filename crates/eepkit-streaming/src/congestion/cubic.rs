//! CUBIC (RFC 9438), in packets. Kept for comparison: 1 % of random loss keeps its cwnd near the minimum.

use std::{sync::Arc, time::Instant};

use super::{
    AckSample, Controller, ControllerFactory, CwndLimits, LossEvent, MIN_CWND, whole_packets,
};

/// Makes CUBIC controllers.
#[derive(Debug, Clone, Default)]
pub struct CubicConfig {}

impl ControllerFactory for CubicConfig {
    fn build(self: Arc<Self>, _now: Instant, limits: CwndLimits) -> Box<dyn Controller> {
        Box::new(Cubic {
            limits,
            state: State {
                cwnd: f64::from(limits.initial),
                threshold: f64::INFINITY,
                max: 0.0,
                epoch: None,
            },
            recovery_end: 0,
            before_loss: None,
            round_trip: None,
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    cwnd: f64,
    threshold: f64,
    /// The cwnd before the last reduction.
    max: f64,
    /// The time from which the cubic function is counted.
    epoch: Option<Instant>,
}

#[derive(Debug)]
struct Cubic {
    limits: CwndLimits,
    state: State,
    recovery_end: u64,
    before_loss: Option<State>,
    round_trip: Option<f64>,
}

impl Cubic {
    fn grow_in_avoidance(&mut self, sample: &AckSample) {
        let state = &mut self.state;
        let acked = f64::from(sample.acked);
        let epoch = *state.epoch.get_or_insert(sample.now);
        let elapsed = (sample.now.saturating_duration_since(epoch) + sample.min_rtt).as_secs_f64();
        // RFC 9438 (4.2): W_cubic(t) = C (t - K)^3 + W_max, K the time to reach W_max again.
        let to_max = ((state.max - state.max * BETA).max(0.0) / C).cbrt();
        let target = C.mul_add((elapsed - to_max).powi(3), state.max.max(state.cwnd));
        let growth = if target > state.cwnd {
            (acked * (target - state.cwnd) / state.cwnd).min(acked / 2.0)
        } else {
            // RFC 9438 (4.3): never slower than Reno would be.
            acked / state.cwnd
        };
        state.cwnd += growth / self.limits.avoidance_factor.max(1.0);
    }
}

impl Controller for Cubic {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_trip = Some(sample.smoothed_rtt.as_secs_f64().max(0.001));
        if sample.newest_order < self.recovery_end || !sample.cwnd_limited {
            return;
        }
        if self.state.cwnd < self.state.threshold {
            self.state.cwnd += f64::from(sample.acked) / self.limits.slow_start_factor.max(1.0);
        } else {
            self.grow_in_avoidance(sample);
        }
        self.state.cwnd = self.state.cwnd.min(f64::from(self.limits.max));
    }

    fn on_loss(&mut self, loss: &LossEvent) {
        if loss.newest_lost < self.recovery_end {
            return;
        }
        self.before_loss = Some(self.state);
        self.recovery_end = loss.next_order;
        let state = &mut self.state;
        // RFC 9438 (4.7), fast convergence.
        state.max = if state.cwnd < state.max {
            state.cwnd * (1.0 + BETA) / 2.0
        } else {
            state.cwnd
        };
        state.cwnd = (state.cwnd * BETA).max(f64::from(MIN_CWND));
        state.threshold = state.cwnd;
        state.epoch = None;
    }

    fn on_spurious_loss(&mut self, _now: Instant) {
        if let Some(before) = self.before_loss.take()
            && before.cwnd > self.state.cwnd
        {
            self.state = before;
        }
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.before_loss = None;
        self.state.threshold = (self.state.cwnd * BETA).max(f64::from(MIN_CWND));
        self.state.max = self.state.cwnd;
        self.state.cwnd = f64::from(MIN_CWND);
        self.state.epoch = None;
    }

    fn on_idle_restart(&mut self, _now: Instant, keep: f64) {
        let initial = f64::from(self.limits.initial);
        if self.state.cwnd > initial {
            self.state.cwnd = initial + (self.state.cwnd - initial) * keep;
        }
        self.state.epoch = None;
    }

    fn cwnd(&self) -> u32 {
        whole_packets(self.state.cwnd, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        let gain = if self.state.cwnd < self.state.threshold {
            2.0
        } else {
            1.2
        };
        self.round_trip
            .map(|round_trip| gain * self.state.cwnd / round_trip)
    }
}

/// RFC 9438 (4.6): multiplicative decrease factor.
const BETA: f64 = 0.7;
/// RFC 9438 (4.1): aggressiveness, packets per second cubed.
const C: f64 = 0.4;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use std::time::Duration;

    use super::{
        super::tests::{LIMITS, ack, keeps_to_its_bounds, loss},
        *,
    };

    const RTT: Duration = Duration::from_millis(500);

    #[test]
    fn returns_to_the_old_cwnd_slowly_and_then_probes_beyond() {
        let start = Instant::now();
        let mut cubic = Arc::new(CubicConfig::default()).build(start, LIMITS);
        cubic.on_ack(&ack(start, 6, 58, RTT));
        assert_eq!(cubic.cwnd(), 64);
        cubic.on_loss(&loss(start, 7, 70));
        assert_eq!(cubic.cwnd(), 44);
        let (mut now, mut order) = (start, 70);
        let mut cwnds = Vec::new();
        for _ in 0..40 {
            now += RTT;
            order += u64::from(cubic.cwnd());
            cubic.on_ack(&ack(now, order, cubic.cwnd(), RTT));
            cwnds.push(cubic.cwnd());
        }
        assert!(cwnds.is_sorted());
        assert!(cwnds[4] >= 55 && cwnds[4] <= 75, "{cwnds:?}");
        assert_eq!(*cwnds.last().unwrap(), LIMITS.max);
    }

    #[test]
    fn a_spurious_loss_is_undone() {
        let now = Instant::now();
        let mut cubic = Arc::new(CubicConfig::default()).build(now, LIMITS);
        cubic.on_ack(&ack(now, 6, 30, RTT));
        cubic.on_loss(&loss(now, 7, 50));
        cubic.on_spurious_loss(now);
        assert_eq!(cubic.cwnd(), 36);
    }

    #[test]
    fn stays_within_its_bounds() {
        keeps_to_its_bounds(Arc::new(CubicConfig::default()), Instant::now());
    }
}
