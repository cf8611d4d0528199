//! Startup: the cwnd grows exponentially until the path is full.
//!
//! Startup doubles the cwnd per round, and grows more slowly the larger the cwnd is. It ends when the
//! delivery rate stops to grow (BBR), when a queue builds (HyStart++, RFC 9406), or when many packets of a
//! round are lost. The reference of the queue is the RTT of rounds that did not fill the path, because routers
//! that coalesce small segments delay sparse traffic more than dense traffic.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    super::{AckSample, CwndLimits},
    estimator::DelayEstimator,
};

/// The state of Startup.
#[derive(Debug, Default)]
pub(super) struct Startup {
    /// Packets delivered by a time, over the last quarter of a round trip.
    deliveries: VecDeque<(Instant, u64)>,
    /// The delivery rate after the last round that increased it by a quarter, and rounds since.
    full_rate: f64,
    rounds_without_growth: u32,
    /// The smallest RTT sample of this round.
    round_min_rtt: Option<Duration>,
    /// The highest mean delivery rate of a round, and the smallest RTT sample of that round.
    fastest_round: f64,
    fastest_round_min_rtt: Duration,
    /// The smallest RTT sample of the last round whose delivery rate a later round exceeded by a quarter.
    /// The path was not full in it.
    unfilled_min_rtt: Duration,
}

impl Startup {
    pub(super) fn on_rtt(&mut self, rtt: Duration) {
        self.round_min_rtt = Some(self.round_min_rtt.map_or(rtt, |min_rtt| min_rtt.min(rtt)));
    }

    /// Multiplies all delivery rates by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        self.deliveries.clear();
        self.full_rate *= factor;
        self.fastest_round *= factor;
    }

    /// The growth of the cwnd for an acknowledgement, in packets.
    pub(super) fn growth(sample: &AckSample, cwnd: f64, limits: &CwndLimits) -> f64 {
        if !sample.cwnd_limited {
            return 0.0;
        }
        let share = (MAX_DOUBLING_CWND / cwnd).sqrt().clamp(MIN_GROWTH, 1.0);
        f64::from(sample.acked) * share / limits.slow_start_factor.max(1.0)
    }

    /// The delivery rate over the last quarter of a round trip, once there are enough packets.
    ///
    /// Startup sends the packets of a round in half of it. A queue builds while the mean delivery rate of
    /// the round is still low.
    pub(super) fn delivery_rate(&mut self, sample: &AckSample) -> Option<f64> {
        let now = sample.now;
        self.deliveries.push_back((now, sample.delivered));
        let span = sample.smoothed_rtt / 4;
        while self.deliveries.len() > MAX_DELIVERIES
            || self
                .deliveries
                .get(1)
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= span)
        {
            self.deliveries.pop_front();
        }
        let (at, delivered) = *self.deliveries.front()?;
        let took = now.saturating_duration_since(at);
        let packets = u32::try_from(sample.delivered - delivered).unwrap_or(u32::MAX);
        (took >= span && packets >= MIN_RATE_SAMPLE_PACKETS)
            .then(|| f64::from(packets) / took.as_secs_f64().max(0.001))
    }

    /// Ends a round. `round_rate` is the mean delivery rate of the round, `max_rate` the filtered one.
    pub(super) fn on_round(&mut self, round_rate: f64, max_rate: f64, cwnd_limited: bool) {
        if round_rate > self.fastest_round {
            if round_rate >= self.fastest_round * FULL_RATE_GROWTH {
                self.unfilled_min_rtt = self.fastest_round_min_rtt;
            }
            self.fastest_round = round_rate;
            self.fastest_round_min_rtt = self.round_min_rtt.unwrap_or_default();
        }
        self.round_min_rtt = None;
        if !cwnd_limited {
            return;
        }
        if max_rate >= self.full_rate * FULL_RATE_GROWTH {
            self.full_rate = max_rate;
            self.rounds_without_growth = 0;
        } else {
            self.rounds_without_growth += 1;
        }
    }

    /// Whether three rounds increased the delivery rate by less than a quarter, as in BBR.
    pub(super) const fn has_full_rate(&self) -> bool {
        self.rounds_without_growth >= FULL_RATE_ROUNDS
    }

    /// Whether the newest RTT samples exceed those of rounds that did not fill the path.
    pub(super) fn has_queue(&self, delay: &DelayEstimator, cwnd: f64) -> bool {
        let Some(min_rtt) = delay.min_rtt() else {
            return false;
        };
        let base = min_rtt.max(self.unfilled_min_rtt);
        let growing = self.rounds_without_growth == 0;
        let margin = if growing && cwnd < MIN_FULL_CWND {
            base.min(delay.noise() * SPARSE_DELAY_PER_NOISE)
        } else {
            (delay.noise() * 2).max(base / 32)
        };
        delay.has_run_above(
            base + margin,
            delay.noise() * RUN_PER_NOISE,
            MIN_RUN_SAMPLES,
        )
    }
}

/// All RTT samples of this multiple of the noise must be late: one burst of late packets is no queue. Tuned:
/// with 2, Startup ends early on tunnels over TCP with Nagle's algorithm (row 20).
const RUN_PER_NOISE: u32 = 5;
/// The fewest consecutive late RTT samples that indicate a queue. Specified: `N_RTT_SAMPLE` of HyStart++
/// (RFC 9406, section 4.2).
const MIN_RUN_SAMPLES: usize = 8;
/// While the delivery rate grows and the cwnd is smaller than this number of packets, only a delay of this
/// multiple of the noise, or of a base RTT, indicates a queue. Tuned: routers that coalesce small segments
/// delay sparse traffic (row 20); with a larger multiple, senders that join later overfill the queue
/// (row 15).
const MIN_FULL_CWND: f64 = 160.0;
const SPARSE_DELAY_PER_NOISE: u32 = 8;
/// Startup doubles the cwnd up to this size in packets. Beyond, growth falls with the square root of the
/// cwnd. Derived: an acknowledgement describes at most 255 missing packets, which the overshoot must not
/// exceed.
const MAX_DOUBLING_CWND: f64 = 384.0;
/// The smallest growth of the cwnd, in packets per acknowledged packet. Tuned: rows 2 and 3.
const MIN_GROWTH: f64 = 0.5;
/// Specified: BBR ends Startup after three rounds that increased the delivery rate by less than a quarter.
const FULL_RATE_GROWTH: f64 = 1.25;
const FULL_RATE_ROUNDS: u32 = 3;
/// The fewest packets from which Startup estimates the delivery rate. Chosen because the error of a rate over
/// fewer packets exceeds an eighth.
const MIN_RATE_SAMPLE_PACKETS: u32 = 8;
/// Limit of the acknowledgements kept for this estimate. Chosen because only a peer that acknowledges every
/// packet sends more in a quarter of a round trip.
const MAX_DELIVERIES: usize = 512;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::{super::estimator::tests::take_all, *};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Reports an RTT sample every 20 ms, all of one round. Returns the time of the last one.
    fn take_round(
        delay: &mut DelayEstimator,
        startup: &mut Startup,
        from: Instant,
        rtts: impl IntoIterator<Item = u64> + Clone,
    ) -> Instant {
        for rtt in rtts.clone() {
            startup.on_rtt(MS(rtt));
        }
        take_all(delay, from, rtts)
    }

    fn new() -> (DelayEstimator, Startup, Instant) {
        let now = Instant::now();
        (DelayEstimator::new(now), Startup::default(), now)
    }

    #[test]
    fn sparse_late_traffic_is_no_queue_while_the_rate_grows() {
        let (mut delay, mut startup, now) = new();
        let now = take_round(&mut delay, &mut startup, now, [500; 3]);
        let late = (0..40).map(|number| 800 + number % 2 * 100);
        take_round(&mut delay, &mut startup, now, late);
        assert!(!startup.has_queue(&delay, 50.0));
        assert!(startup.has_queue(&delay, 200.0));
        startup.on_round(10.0, 10.0, true);
        startup.on_round(10.0, 10.0, true);
        assert!(startup.has_queue(&delay, 50.0));
    }

    #[test]
    fn a_burst_of_late_packets_is_no_queue() {
        let (mut delay, mut startup, now) = new();
        let now = take_round(&mut delay, &mut startup, now, [500; 40]);
        let now = take_round(&mut delay, &mut startup, now, [600; 7]);
        assert!(!startup.has_queue(&delay, 200.0));
        take_round(&mut delay, &mut startup, now, [600; 3]);
        assert!(startup.has_queue(&delay, 200.0));
    }

    #[test]
    fn the_delay_of_a_slower_round_is_no_queue() {
        let (mut delay, mut startup, now) = new();
        let now = take_round(&mut delay, &mut startup, now, [500]);
        startup.on_round(10.0, 10.0, true);
        let now = take_round(&mut delay, &mut startup, now, [600; 30]);
        assert!(startup.has_queue(&delay, 200.0));
        startup.on_round(20.0, 20.0, true);
        take_round(&mut delay, &mut startup, now, [610; 30]);
        startup.on_round(40.0, 40.0, true);
        assert!(!startup.has_queue(&delay, 200.0));
    }

    #[test]
    fn three_rounds_without_growth_fill_the_path() {
        let (_, mut startup, _) = new();
        startup.on_round(100.0, 100.0, true);
        for rounds in 1..=3 {
            assert!(!startup.has_full_rate(), "after {rounds}");
            startup.on_round(110.0, 110.0, true);
        }
        assert!(startup.has_full_rate());
    }
}
