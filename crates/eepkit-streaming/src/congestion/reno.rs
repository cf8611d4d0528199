//! The algorithm of the streaming documentation: slow start, then one packet per round trip, halved
//! by a loss (RFC 5681, in packets).

use std::{sync::Arc, time::Instant};

use super::{
    AckSample, Controller, ControllerFactory, LossEvent, MIN_WINDOW, WindowLimits, whole_packets,
};

/// Makes Reno controllers.
#[derive(Debug, Clone, Default)]
pub struct RenoConfig {}

impl ControllerFactory for RenoConfig {
    fn build(self: Arc<Self>, _now: Instant, limits: WindowLimits) -> Box<dyn Controller> {
        Box::new(Reno {
            limits,
            window: f64::from(limits.initial),
            threshold: f64::INFINITY,
            recovery_end: 0,
            before_loss: None,
            round_trip: None,
        })
    }
}

#[derive(Debug)]
struct Reno {
    limits: WindowLimits,
    window: f64,
    threshold: f64,
    /// Losses of packets sent before this belong to the loss that was answered already.
    recovery_end: u64,
    /// Window and threshold before the last loss, to go back to if there was none.
    before_loss: Option<(f64, f64)>,
    /// Seconds, to spread the window over.
    round_trip: Option<f64>,
}

impl Controller for Reno {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_trip = Some(sample.smoothed_rtt.as_secs_f64().max(0.001));
        if sample.newest_order < self.recovery_end || !sample.window_limited {
            return;
        }
        let acked = f64::from(sample.acked);
        if self.window < self.threshold {
            self.window += acked / self.limits.slow_start_factor.max(1.0);
        } else {
            self.window += acked / (self.window * self.limits.avoidance_factor.max(1.0));
        }
        self.window = self.window.min(f64::from(self.limits.max));
    }

    fn on_loss(&mut self, loss: &LossEvent) {
        if loss.newest_lost < self.recovery_end {
            return;
        }
        self.before_loss = Some((self.window, self.threshold));
        self.recovery_end = loss.next_order;
        self.window = (self.window / 2.0).max(f64::from(MIN_WINDOW));
        self.threshold = self.window;
    }

    fn on_spurious_loss(&mut self, _now: Instant) {
        if let Some((window, threshold)) = self.before_loss.take() {
            self.window = self.window.max(window);
            self.threshold = threshold;
        }
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.before_loss = None;
        self.threshold = (self.window / 2.0).max(f64::from(MIN_WINDOW));
        self.window = f64::from(MIN_WINDOW);
    }

    fn on_idle_restart(&mut self, _now: Instant, keep: f64) {
        let initial = f64::from(self.limits.initial);
        if self.window > initial {
            self.window = initial + (self.window - initial) * keep;
        }
    }

    fn window(&self) -> u32 {
        whole_packets(self.window, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        // The gains of Linux TCP: double in slow start, a fifth more than the window after it.
        let gain = if self.window < self.threshold {
            2.0
        } else {
            1.2
        };
        self.round_trip
            .map(|round_trip| gain * self.window / round_trip)
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
    fn the_window_doubles_per_round_until_a_loss_halves_it() {
        let now = Instant::now();
        let mut reno = reno(now);
        assert_eq!(reno.window(), 6);
        reno.on_ack(&ack(now, 6, 6, RTT));
        assert_eq!(reno.window(), 12);
        reno.on_ack(&ack(now, 18, 12, RTT));
        assert_eq!(reno.window(), 24);
        reno.on_loss(&loss(now, 19, 42));
        assert_eq!(reno.window(), 12);
        // The rest of the same window changes nothing.
        reno.on_loss(&loss(now, 30, 44));
        reno.on_ack(&ack(now, 41, 10, RTT));
        assert_eq!(reno.window(), 12);
        reno.on_ack(&ack(now, 50, 12, RTT));
        assert_eq!(reno.window(), 13);
    }

    #[test]
    fn a_loss_that_was_none_is_undone() {
        let now = Instant::now();
        let mut reno = reno(now);
        reno.on_ack(&ack(now, 6, 6, RTT));
        reno.on_loss(&loss(now, 7, 20));
        assert_eq!(reno.window(), 6);
        reno.on_spurious_loss(now);
        assert_eq!(reno.window(), 12);
    }

    #[test]
    fn an_idle_application_does_not_inflate_the_window() {
        let now = Instant::now();
        let mut reno = reno(now);
        let mut sample = ack(now, 6, 6, RTT);
        sample.window_limited = false;
        reno.on_ack(&sample);
        assert_eq!(reno.window(), 6);
    }

    #[test]
    fn a_timeout_starts_over() {
        let now = Instant::now();
        let mut reno = reno(now);
        reno.on_ack(&ack(now, 6, 60, RTT));
        reno.on_timeout(now);
        assert_eq!(reno.window(), MIN_WINDOW);
    }

    #[test]
    fn growth_factors_slow_growth_down() {
        let now = Instant::now();
        let limits = WindowLimits {
            slow_start_factor: 2.0,
            ..LIMITS
        };
        let mut reno = Arc::new(RenoConfig::default()).build(now, limits);
        reno.on_ack(&ack(now, 6, 6, RTT));
        assert_eq!(reno.window(), 9);
    }

    #[test]
    fn stays_within_its_bounds() {
        keeps_to_its_bounds(Arc::new(RenoConfig::default()), Instant::now());
    }
}
