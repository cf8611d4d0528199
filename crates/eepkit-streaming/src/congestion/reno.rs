//! The algorithm of the streaming documentation (RFC 5681, in packets): slow start, then growth by one
//! packet per round trip. A loss halves the cwnd.

use std::{sync::Arc, time::Instant};

use super::{
    AckSample, Controller, ControllerFactory, CwndLimits, LossEvent, MIN_CWND, whole_packets,
};

/// Makes Reno controllers.
#[derive(Debug, Clone, Default)]
pub struct RenoConfig {}

impl ControllerFactory for RenoConfig {
    fn build(self: Arc<Self>, _now: Instant, limits: CwndLimits) -> Box<dyn Controller> {
        Box::new(Reno {
            limits,
            cwnd: f64::from(limits.initial),
            threshold: f64::INFINITY,
            recovery_end: 0,
            before_loss: None,
            round_trip: None,
        })
    }
}

#[derive(Debug)]
struct Reno {
    limits: CwndLimits,
    cwnd: f64,
    threshold: f64,
    /// A loss of packets that were sent before this one belongs to the last loss event.
    recovery_end: u64,
    /// The cwnd and the threshold before the last loss, restored if it was spurious.
    before_loss: Option<(f64, f64)>,
    /// Smoothed RTT in seconds.
    round_trip: Option<f64>,
}

impl Controller for Reno {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_trip = Some(sample.smoothed_rtt.as_secs_f64().max(0.001));
        if sample.newest_order < self.recovery_end || !sample.cwnd_limited {
            return;
        }
        let acked = f64::from(sample.acked);
        if self.cwnd < self.threshold {
            self.cwnd += acked / self.limits.slow_start_factor.max(1.0);
        } else {
            self.cwnd += acked / (self.cwnd * self.limits.avoidance_factor.max(1.0));
        }
        self.cwnd = self.cwnd.min(f64::from(self.limits.max));
    }

    fn on_loss(&mut self, loss: &LossEvent) {
        if loss.newest_lost < self.recovery_end {
            return;
        }
        self.before_loss = Some((self.cwnd, self.threshold));
        self.recovery_end = loss.next_order;
        self.cwnd = (self.cwnd / 2.0).max(f64::from(MIN_CWND));
        self.threshold = self.cwnd;
    }

    fn on_spurious_loss(&mut self, _now: Instant) {
        if let Some((cwnd, threshold)) = self.before_loss.take() {
            self.cwnd = self.cwnd.max(cwnd);
            self.threshold = threshold;
        }
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.before_loss = None;
        self.threshold = (self.cwnd / 2.0).max(f64::from(MIN_CWND));
        self.cwnd = f64::from(MIN_CWND);
    }

    fn on_idle_restart(&mut self, _now: Instant, keep: f64) {
        let initial = f64::from(self.limits.initial);
        if self.cwnd > initial {
            self.cwnd = initial + (self.cwnd - initial) * keep;
        }
    }

    fn cwnd(&self) -> u32 {
        whole_packets(self.cwnd, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        // The pacing gains of Linux TCP: 2 in slow start, 1.2 after it.
        let gain = if self.cwnd < self.threshold { 2.0 } else { 1.2 };
        self.round_trip
            .map(|round_trip| gain * self.cwnd / round_trip)
    }
}

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

    fn reno(now: Instant) -> Box<dyn Controller> {
        Arc::new(RenoConfig::default()).build(now, LIMITS)
    }

    #[test]
    fn the_cwnd_doubles_per_round_until_a_loss_halves_it() {
        let now = Instant::now();
        let mut reno = reno(now);
        assert_eq!(reno.cwnd(), 6);
        reno.on_ack(&ack(now, 6, 6, RTT));
        assert_eq!(reno.cwnd(), 12);
        reno.on_ack(&ack(now, 18, 12, RTT));
        assert_eq!(reno.cwnd(), 24);
        reno.on_loss(&loss(now, 19, 42));
        assert_eq!(reno.cwnd(), 12);
        // Further losses of the same cwnd change nothing.
        reno.on_loss(&loss(now, 30, 44));
        reno.on_ack(&ack(now, 41, 10, RTT));
        assert_eq!(reno.cwnd(), 12);
        reno.on_ack(&ack(now, 50, 12, RTT));
        assert_eq!(reno.cwnd(), 13);
    }

    #[test]
    fn a_spurious_loss_is_undone() {
        let now = Instant::now();
        let mut reno = reno(now);
        reno.on_ack(&ack(now, 6, 6, RTT));
        reno.on_loss(&loss(now, 7, 20));
        assert_eq!(reno.cwnd(), 6);
        reno.on_spurious_loss(now);
        assert_eq!(reno.cwnd(), 12);
    }

    #[test]
    fn an_idle_application_does_not_inflate_the_cwnd() {
        let now = Instant::now();
        let mut reno = reno(now);
        let mut sample = ack(now, 6, 6, RTT);
        sample.cwnd_limited = false;
        reno.on_ack(&sample);
        assert_eq!(reno.cwnd(), 6);
    }

    #[test]
    fn a_timeout_starts_over() {
        let now = Instant::now();
        let mut reno = reno(now);
        reno.on_ack(&ack(now, 6, 60, RTT));
        reno.on_timeout(now);
        assert_eq!(reno.cwnd(), MIN_CWND);
    }

    #[test]
    fn growth_factors_slow_growth_down() {
        let now = Instant::now();
        let limits = CwndLimits {
            slow_start_factor: 2.0,
            ..LIMITS
        };
        let mut reno = Arc::new(RenoConfig::default()).build(now, limits);
        reno.on_ack(&ack(now, 6, 6, RTT));
        assert_eq!(reno.cwnd(), 9);
    }

    #[test]
    fn stays_within_its_bounds() {
        keeps_to_its_bounds(Arc::new(RenoConfig::default()), Instant::now());
    }
}
