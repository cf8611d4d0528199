//! Round-trip time and the timeouts computed from it (RFC 6298, with the bounds of the I2P
//! streaming documentation, "Other Parameters").

use std::time::{Duration, Instant};

/// Estimates the round-trip time to one peer.
#[derive(Debug, Clone)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
    variance: Duration,
    min: WindowedMin,
    initial_rto: Duration,
}

impl Rtt {
    /// `initial_rto` is the timeout while there is no sample (`i2p.streaming.initialRTO`).
    pub(crate) const fn new(initial_rto: Duration) -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            min: WindowedMin::new(),
            initial_rto,
        }
    }

    /// Adds a sample. The caller follows Karn's rule: no samples from retransmitted packets.
    pub(crate) fn sample(&mut self, now: Instant, rtt: Duration) {
        let rtt = rtt.clamp(GRANULARITY, MAX_RTT);
        self.min.insert(now, rtt);
        match self.smoothed {
            // RFC 6298 (2.2): SRTT <- R, RTTVAR <- R/2.
            None => {
                self.smoothed = Some(rtt);
                self.variance = rtt / 2;
            }
            // RFC 6298 (2.3): beta = 1/4, alpha = 1/8.
            Some(smoothed) => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
    }

    /// Packets take another path from now on, with this RTT. The RTT variance is kept.
    pub(crate) fn on_path_change(&mut self, rtt: Duration) {
        self.smoothed = Some(rtt.clamp(GRANULARITY, MAX_RTT));
        self.min = WindowedMin::new();
    }

    /// The smoothed round-trip time, once there was a sample.
    pub(crate) const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The smoothed round-trip time, or a default before the first sample. It scales delays.
    pub(crate) fn estimate(&self) -> Duration {
        self.smoothed.unwrap_or(GUESS)
    }

    /// The minimum RTT over about the last 30 seconds.
    pub(crate) fn min(&self) -> Option<Duration> {
        self.min.get()
    }

    pub(crate) fn set_initial_rto(&mut self, initial_rto: Duration) {
        self.initial_rto = initial_rto;
    }

    /// The retransmission timeout, without backoff. RFC 6298 (2.2-2.5), K = 4.
    pub(crate) fn rto(&self) -> Duration {
        match self.smoothed {
            None => self.initial_rto,
            Some(smoothed) => {
                (smoothed + (self.variance * 4).max(GRANULARITY)).clamp(MIN_RTO, MAX_RTO)
            }
        }
    }

    /// The probe timeout: how long to wait for an acknowledgement before a tail loss probe.
    ///
    /// It is `1.25 SRTT + 4 RTTVAR + peer_ack_delay`.
    pub(crate) fn probe_timeout(&self, peer_ack_delay: Duration) -> Duration {
        match self.smoothed {
            None => self.initial_rto,
            Some(smoothed) => {
                (smoothed + smoothed / 4 + (self.variance * 4).max(GRANULARITY) + peer_ack_delay)
                    .clamp(MIN_RTO, MAX_RTO)
            }
        }
    }

    /// `base` doubled `expiries` times, at most [`MAX_RTO`]. RFC 6298 (5.5).
    pub(crate) fn backed_off(base: Duration, expiries: u32) -> Duration {
        base.checked_mul(1 << expiries.min(16))
            .map_or(MAX_RTO, |timeout| timeout.min(MAX_RTO))
    }
}

/// The minimum over a sliding window, which is kept in two halves.
#[derive(Debug, Clone)]
struct WindowedMin {
    /// Start of the current half and the minima of the current and the previous one.
    halves: Option<(Instant, Duration, Duration)>,
}

impl WindowedMin {
    const fn new() -> Self {
        Self { halves: None }
    }

    fn insert(&mut self, now: Instant, rtt: Duration) {
        self.halves = Some(match self.halves {
            None => (now, rtt, rtt),
            Some((start, current, previous)) => {
                let age = now.saturating_duration_since(start);
                if age >= MIN_RTT_WINDOW {
                    (now, rtt, rtt)
                } else if age >= MIN_RTT_WINDOW / 2 {
                    (now, rtt, current)
                } else {
                    (start, current.min(rtt), previous)
                }
            }
        });
    }

    fn get(&self) -> Option<Duration> {
        self.halves
            .map(|(_, current, previous)| current.min(previous))
    }
}

/// Clock granularity G of RFC 6298: tokio's timers and the protocol's delays count milliseconds.
pub(crate) const GRANULARITY: Duration = Duration::from_millis(1);
/// Streaming documentation, "Other Parameters": MIN_RESEND_DELAY.
pub(crate) const MIN_RTO: Duration = Duration::from_millis(100);
/// Streaming documentation, "Other Parameters": MAX_RESEND_DELAY.
pub(crate) const MAX_RTO: Duration = Duration::from_secs(45);
/// Streaming documentation, "Other Parameters": maximum RTT estimate.
const MAX_RTT: Duration = Duration::from_secs(60);
/// The estimate before the first sample. Chosen because a typical round trip over three hops in
/// each direction takes half a second to two seconds.
const GUESS: Duration = Duration::from_secs(1);
/// The window of the minimum. Chosen because tunnels last ten minutes and queues drain in seconds.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(30);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn estimator() -> (Rtt, Instant) {
        (Rtt::new(MS(9000)), Instant::now())
    }

    #[test]
    fn the_initial_timeout_holds_until_the_first_sample() {
        let (rtt, _) = estimator();
        assert_eq!(rtt.rto(), MS(9000));
        assert_eq!(rtt.probe_timeout(MS(200)), MS(9000));
        assert_eq!(rtt.smoothed(), None);
    }

    #[test]
    fn the_first_sample_sets_mean_and_half_of_it_as_variance() {
        let (mut rtt, now) = estimator();
        rtt.sample(now, MS(800));
        assert_eq!(rtt.smoothed(), Some(MS(800)));
        // 800 + 4 * 400
        assert_eq!(rtt.rto(), MS(2400));
    }

    #[test]
    fn later_samples_are_smoothed_as_in_rfc_6298() {
        let (mut rtt, now) = estimator();
        rtt.sample(now, MS(800));
        rtt.sample(now, MS(1600));
        // variance = (3 * 400 + 800) / 4 = 500, mean = (7 * 800 + 1600) / 8 = 900
        assert_eq!(rtt.smoothed(), Some(MS(900)));
        assert_eq!(rtt.rto(), MS(2900));
    }

    #[test]
    fn timeouts_stay_within_their_bounds() {
        let (mut rtt, now) = estimator();
        rtt.sample(now, Duration::from_nanos(1));
        assert_eq!(rtt.rto(), MIN_RTO);
        let (mut rtt, now) = estimator();
        rtt.sample(now, Duration::from_secs(3600));
        assert_eq!(rtt.smoothed(), Some(MAX_RTT));
        assert_eq!(rtt.rto(), MAX_RTO);
    }

    #[test]
    fn backoff_doubles_up_to_the_maximum() {
        let table = [
            (0, 500),
            (1, 1000),
            (2, 2000),
            (6, 32_000),
            (7, 45_000),
            (200, 45_000),
        ];
        for (expiries, expected) in table {
            assert_eq!(
                Rtt::backed_off(MS(500), expiries),
                MS(expected),
                "after {expiries}"
            );
        }
    }

    #[test]
    fn the_minimum_covers_recent_samples_only() {
        let (mut rtt, start) = estimator();
        rtt.sample(start, MS(100));
        rtt.sample(start + MS(16_000), MS(300));
        assert_eq!(rtt.min(), Some(MS(100)));
        rtt.sample(start + MS(32_000), MS(400));
        assert_eq!(rtt.min(), Some(MS(300)));
        rtt.sample(start + MS(90_000), MS(500));
        assert_eq!(rtt.min(), Some(MS(500)));
    }
}
