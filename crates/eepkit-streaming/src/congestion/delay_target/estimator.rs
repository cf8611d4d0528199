//! The estimator of the queueing delay.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Estimates base RTT, noise and queueing delay from RTT samples.
///
/// The median RTT of a round trip is used, not its minimum. Tunnels over TCP delay some packets by a
/// hundred milliseconds, and the minimum of hundreds of samples is an exception that the next hundreds do
/// not repeat.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    /// RTT samples of the last round trip.
    recent: VecDeque<(Instant, Duration)>,
    /// Their median, and when it was computed.
    median: Option<Duration>,
    median_at: Instant,
    base: BaseRtt,
    /// When the median was last near the base RTT.
    base_measured_at: Instant,
    /// Smoothed difference between consecutive RTT samples, and the last sample.
    jitter: Duration,
    last_sample: Option<Duration>,
    /// Smoothed difference between the medians of consecutive rounds, and the last one.
    variation: Duration,
    last_median: Option<Duration>,
    /// The smallest RTT sample on this path.
    min_rtt: Option<Duration>,
}

impl DelayEstimator {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            recent: VecDeque::new(),
            median: None,
            median_at: now,
            base: BaseRtt::default(),
            base_measured_at: now,
            jitter: Duration::ZERO,
            last_sample: None,
            variation: Duration::ZERO,
            last_median: None,
            min_rtt: None,
        }
    }

    /// Adds an RTT sample.
    pub(super) fn on_rtt(&mut self, now: Instant, rtt: Duration, smoothed_rtt: Duration) {
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min_rtt| min_rtt.min(rtt)));
        if let Some(last) = self.last_sample.replace(rtt) {
            self.jitter = (self.jitter * 15 + last.abs_diff(rtt)) / 16;
        }
        let age = |at: Instant| now.saturating_duration_since(at);
        let spacing = smoothed_rtt / MAX_MEDIAN_SAMPLES;
        if self.recent.back().is_none_or(|(at, _)| age(*at) >= spacing) {
            self.recent.push_back((now, rtt));
        }
        while self.recent.len() > 1
            && self
                .recent
                .front()
                .is_some_and(|(at, _)| age(*at) > smoothed_rtt)
        {
            self.recent.pop_front();
        }
        if self.median.is_none() || age(self.median_at) >= smoothed_rtt / 4 {
            self.update_median(now);
        }
    }

    /// Ends a round of the steady state.
    pub(super) fn end_steady_round(&mut self) {
        if let (Some(last), Some(median)) = (self.last_median, self.median) {
            self.variation = (self.variation * 7 + last.abs_diff(median)) / 8;
        }
        self.last_median = self.median;
    }

    /// Ends a probe of the base RTT. `futile` says that a smaller cwnd did not reduce the delay.
    pub(super) fn end_probe(&mut self, now: Instant, futile: bool) {
        self.update_median(now);
        if futile && self.median_rtt() > self.base_rtt() + BASE_TOLERANCE {
            self.base = BaseRtt::default();
        }
        self.base.end_probe(self.median);
        self.base_measured_at = now;
    }

    /// Postpones the next measurement of the base RTT.
    pub(super) const fn restart_probe_timer(&mut self, now: Instant) {
        self.base_measured_at = now;
    }

    /// Discards the samples of the last round trip: the next packets were sent under other conditions.
    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
        self.last_median = None;
    }

    /// Starts again on another path with this min RTT, if it is known. The noise is kept.
    pub(super) fn migrate(&mut self, now: Instant, rtt: Option<Duration>) {
        let random = self
            .base_rtt()
            .saturating_sub(self.min_rtt.unwrap_or_default());
        *self = Self {
            min_rtt: rtt,
            jitter: self.jitter,
            ..Self::new(now)
        };
        if let Some(rtt) = rtt {
            self.base.insert(rtt + random);
        }
    }

    /// The base RTT: the median RTT without a queue. Zero before the first sample.
    pub(super) fn base_rtt(&self) -> Duration {
        self.base.get().unwrap_or_default()
    }

    /// When the base RTT was last measured.
    pub(super) const fn base_measured_at(&self) -> Instant {
        self.base_measured_at
    }

    /// The median RTT of the last round trip. Zero before the first sample.
    pub(super) fn median_rtt(&self) -> Duration {
        self.median.unwrap_or_default()
    }

    /// How much the median RTT may exceed the base RTT by chance.
    pub(super) fn noise(&self) -> Duration {
        let variation = self
            .variation
            .min(self.jitter * MAX_VARIATION_PER_JITTER)
            .min(self.base_rtt().mul_f64(MAX_VARIATION_PER_BASE));
        (self.jitter * NOISE_PER_JITTER.0 / NOISE_PER_JITTER.1)
            .clamp(MIN_NOISE, MAX_JITTER_NOISE)
            .max(variation)
    }

    /// The smoothed difference between consecutive RTT samples, as a share of the base RTT.
    pub(super) fn jitter_share(&self) -> f64 {
        self.jitter.as_secs_f64() / self.base_rtt().as_secs_f64().max(0.001)
    }

    /// The noise beyond that of a path whose delays are constant.
    pub(super) fn random_delay(&self) -> Duration {
        self.noise().saturating_sub(MIN_NOISE)
    }

    /// The queueing delay in seconds: median RTT minus base RTT minus noise. Negative where the queue is
    /// shorter than noise can hide.
    pub(super) fn queueing_delay(&self) -> f64 {
        let above_base = self.median_rtt().saturating_sub(self.base_rtt());
        above_base.as_secs_f64() - self.noise().as_secs_f64()
    }

    /// The smallest RTT sample on this path.
    pub(super) const fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }

    /// Whether all RTT samples of the last `span` exceed `limit`, and at least `count` in a row do.
    pub(super) fn has_run_above(&self, limit: Duration, span: Duration, count: usize) -> bool {
        let Some((newest, _)) = self.recent.back() else {
            return false;
        };
        let run = self.recent.iter().rev().take_while(|(_, rtt)| *rtt > limit);
        let length = run.clone().count();
        let covered = run.last().map_or(Duration::ZERO, |(at, _)| {
            newest.saturating_duration_since(*at)
        });
        length >= count && (covered >= span || length == self.recent.len())
    }

    /// Computes the median of the last round trip, and updates the base RTT.
    fn update_median(&mut self, now: Instant) {
        self.median_at = now;
        let Some(median) = median(self.recent.iter().map(|(_, rtt)| *rtt)) else {
            return;
        };
        self.median = Some(median);
        let base = self.base.get();
        if base.is_none_or(|base| median <= base + BASE_TOLERANCE) {
            self.base_measured_at = now;
        }
        // With random delays, the smallest of many medians is low by chance. Only a probe, or a median that is
        // lower by more than the noise, reduces the base RTT there.
        let random = self.random_delay();
        if base.is_none_or(|base| median + random < base) {
            self.base.insert(median);
        }
    }
}

/// The base RTT: the minimum of the median RTTs since the last [`BASE_PROBES`] probes.
#[derive(Debug, Default)]
struct BaseRtt {
    /// The minimum since the last probe, then the minima of the intervals before it.
    minima: [Option<Duration>; BASE_PROBES],
}

impl BaseRtt {
    fn insert(&mut self, median: Duration) {
        let current = &mut self.minima[0];
        *current = Some(current.map_or(median, |current| current.min(median)));
    }

    fn end_probe(&mut self, median: Option<Duration>) {
        self.minima.rotate_right(1);
        self.minima[0] = median;
    }

    fn get(&self) -> Option<Duration> {
        self.minima.iter().flatten().min().copied()
    }
}

fn median(values: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut values: Vec<Duration> = values.collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

/// The most RTT samples of a round trip from which the median is computed. Chosen to bound the memory.
const MAX_MEDIAN_SAMPLES: u32 = 256;
/// A median up to this much above the base RTT counts as a measurement of it. Tuned: with less, senders probe
/// although the queue is empty (row 14).
const BASE_TOLERANCE: Duration = Duration::from_millis(8);
/// Probes over which the minimum is taken. Derived: one probe may miss the empty queue by chance; three that
/// miss it mean that the path has become longer.
const BASE_PROBES: usize = 3;
/// The noise is this multiple of the jitter, within these bounds. Derived: if delays are uniformly
/// distributed, the median exceeds the smallest sample by one and a half times the mean difference of two
/// samples; a tenth is added. Tuned: the bounds (rows 4 and 22).
const NOISE_PER_JITTER: (u32, u32) = (5, 3);
const MIN_NOISE: Duration = Duration::from_millis(20);
const MAX_JITTER_NOISE: Duration = Duration::from_millis(80);
/// The variation of the median from round to round counts as noise up to this multiple of the jitter.
/// Derived: the packets of competing senders vary from round to round, but little from packet to packet.
const MAX_VARIATION_PER_JITTER: u32 = 3;
/// The same as a share of the base RTT. Tuned: row 22.
const MAX_VARIATION_PER_BASE: f64 = 0.35;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
pub(super) mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Reports an RTT sample every 20 ms. Returns the time of the last one.
    pub(in super::super) fn take_all(
        delay: &mut DelayEstimator,
        from: Instant,
        rtts: impl IntoIterator<Item = u64>,
    ) -> Instant {
        let mut now = from;
        for rtt in rtts {
            now += MS(20);
            delay.on_rtt(now, MS(rtt), MS(500));
        }
        now
    }

    fn above_noise(delay: &DelayEstimator) -> f64 {
        delay.queueing_delay() + delay.noise().as_secs_f64()
    }

    #[test]
    fn one_fast_packet_does_not_set_the_base_rtt() {
        let mut delay = DelayEstimator::new(Instant::now());
        let rtts = (0..100).map(|number| if number == 50 { 300 } else { 500 });
        take_all(&mut delay, Instant::now(), rtts);
        assert_eq!(delay.base_rtt(), MS(500));
        assert!(above_noise(&delay).abs() < 1e-9);
    }

    #[test]
    fn the_queueing_delay_is_that_of_most_packets() {
        let mut delay = DelayEstimator::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 50]);
        take_all(&mut delay, now, [620; 50]);
        assert!((above_noise(&delay) - 0.12).abs() < 1e-9);
    }

    #[test]
    fn a_longer_path_is_accepted_after_three_probes() {
        let mut delay = DelayEstimator::new(Instant::now());
        let mut now = take_all(&mut delay, Instant::now(), [500; 50]);
        for expected in [500, 500, 620] {
            now = take_all(&mut delay, now, [620; 50]);
            delay.end_probe(now, false);
            assert_eq!(delay.base_rtt(), MS(expected));
        }
    }

    #[test]
    fn a_longer_path_is_accepted_after_one_futile_probe() {
        let mut delay = DelayEstimator::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 50]);
        let now = take_all(&mut delay, now, [620; 50]);
        delay.end_probe(now, true);
        assert_eq!(delay.base_rtt(), MS(620));
    }

    #[test]
    fn variation_without_jitter_is_no_noise() {
        let mut quiet = DelayEstimator::new(Instant::now());
        let mut now = Instant::now();
        for round in 0..20 {
            now = take_all(&mut quiet, now, [500 + round % 2 * 200; 25]);
            quiet.end_steady_round();
        }
        assert!(quiet.noise() < MS(60), "{:?}", quiet.noise());
        let mut noisy = DelayEstimator::new(Instant::now());
        for round in 0..20 {
            let rtts = (0..25).map(|number| 500 + round % 2 * 200 + number % 2 * 60);
            now = take_all(&mut noisy, now, rtts);
            noisy.end_steady_round();
        }
        assert!(noisy.noise() > MS(80), "{:?}", noisy.noise());
    }
}
