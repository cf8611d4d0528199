//! The estimate of the queueing delay from round-trip times.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The median RTT, the base RTT and their variation. The queueing delay is the median minus the base.
///
/// The median of a round trip is used, not its minimum: tunnels over TCP delay some packets by a hundred
/// milliseconds, and the minimum of hundreds of packets is an exception that the next hundreds do not
/// repeat.
#[derive(Debug)]
pub(super) struct Delay {
    /// RTT samples of the last round trip.
    recent: VecDeque<(Instant, Duration)>,
    /// Their median, and when it was computed.
    median: Option<Duration>,
    median_at: Instant,
    /// The median of the last round, and the smoothed change of the median from round to round.
    last_median: Option<Duration>,
    variation: Duration,
    /// The median without a queue, and when it was last measured.
    base: Option<Duration>,
    base_measured_at: Instant,
    /// Smoothed difference between consecutive RTT samples.
    jitter: Duration,
    /// The newest RTT samples, for Startup.
    newest: [Duration; STARTUP_SAMPLES],
    samples: usize,
    /// The smallest RTT sample of all.
    min_rtt: Option<Duration>,
    /// The smallest RTT sample of this round.
    round_min_rtt: Option<Duration>,
    /// The highest delivery rate of a round of Startup, in packets per second, and the smallest RTT sample of
    /// that round.
    max_delivered: f64,
    min_rtt_at_max: Duration,
    /// The smallest RTT sample of the last round whose delivery rate a later round exceeded by a quarter.
    /// The path was not full in it.
    unfilled_min_rtt: Duration,
}

impl Delay {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            recent: VecDeque::new(),
            median: None,
            median_at: now,
            last_median: None,
            variation: Duration::ZERO,
            base: None,
            base_measured_at: now,
            jitter: Duration::ZERO,
            newest: [Duration::ZERO; STARTUP_SAMPLES],
            samples: 0,
            min_rtt: None,
            round_min_rtt: None,
            max_delivered: 0.0,
            min_rtt_at_max: Duration::ZERO,
            unfilled_min_rtt: Duration::ZERO,
        }
    }

    /// The base RTT: the median without a queue. Zero before the first sample.
    pub(super) fn base(&self) -> Duration {
        self.base.unwrap_or_default()
    }

    /// When the base RTT was last measured.
    pub(super) const fn base_measured_at(&self) -> Instant {
        self.base_measured_at
    }

    /// Restarts the time since the last measurement of the base RTT.
    pub(super) const fn restart_base_timer(&mut self, now: Instant) {
        self.base_measured_at = now;
    }

    /// The queueing delay.
    pub(super) fn queueing_delay(&self) -> Duration {
        match (self.median, self.base) {
            (Some(median), Some(base)) => median.saturating_sub(base),
            _ => Duration::ZERO,
        }
    }

    /// The part of the queueing delay that may be random.
    pub(super) fn noise(&self) -> Duration {
        let variation = self
            .variation
            .min(self.jitter * MAX_VARIATION_PER_JITTER)
            .min(self.base().mul_f64(MAX_VARIATION_PER_BASE));
        (self.jitter * 5 / 3)
            .clamp(MIN_NOISE, MAX_JITTER_NOISE)
            .max(variation)
    }

    /// Adds an RTT sample; `smoothed` is the smoothed RTT. Returns whether the base RTT was measured again.
    pub(super) fn on_rtt(&mut self, now: Instant, rtt: Duration, smoothed: Duration) -> bool {
        self.round_min_rtt = Some(self.round_min_rtt.map_or(rtt, |min_rtt| min_rtt.min(rtt)));
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min_rtt| min_rtt.min(rtt)));
        if self.samples > 0 {
            let previous = self.newest[(self.samples - 1) % STARTUP_SAMPLES];
            self.jitter = (self.jitter * 15 + previous.abs_diff(rtt)) / 16;
        }
        self.newest[self.samples % STARTUP_SAMPLES] = rtt;
        self.samples += 1;
        let age = |at: Instant| now.saturating_duration_since(at);
        if self
            .recent
            .back()
            .is_none_or(|(at, _)| age(*at) >= smoothed / MAX_MEDIAN_SAMPLES)
        {
            self.recent.push_back((now, rtt));
        }
        while self.recent.len() > 1
            && self
                .recent
                .front()
                .is_some_and(|(at, _)| age(*at) > smoothed)
        {
            self.recent.pop_front();
        }
        let due = self.median.is_none() || age(self.median_at) >= smoothed / 4;
        due && self.update_median(now)
    }

    /// Computes the median of the last round trip. Returns whether it is (nearly) the base RTT.
    pub(super) fn update_median(&mut self, now: Instant) -> bool {
        self.median_at = now;
        let Some(median) = median(self.recent.iter().map(|(_, rtt)| *rtt)) else {
            return false;
        };
        self.median = Some(median);
        let near = self.base.is_none_or(|base| median <= base + BASE_TOLERANCE);
        self.base = Some(self.base.map_or(median, |base| base.min(median)));
        if near {
            self.base_measured_at = now;
        }
        near
    }

    /// Gives up the base RTT and takes the current median for it.
    pub(super) const fn rebase(&mut self) {
        self.base = self.median;
    }

    /// Discards the samples of the last round trip: the next packets were sent under other conditions.
    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
    }

    /// Starts again on another path with this min RTT, if it is known.
    pub(super) fn migrate(&mut self, now: Instant, rtt: Option<Duration>) {
        // The median exceeds the min RTT by the random delay, which is assumed to stay.
        let random = self.base().saturating_sub(self.min_rtt.unwrap_or_default());
        *self = Self {
            base: rtt.map(|rtt| rtt + random),
            min_rtt: rtt,
            jitter: self.jitter,
            ..Self::new(now)
        };
    }

    /// Ends a round with this delivery rate, in packets per second.
    pub(super) fn end_round(&mut self, startup: bool, steady: bool, delivered: f64) {
        if startup && delivered > self.max_delivered {
            if delivered >= self.max_delivered * super::FULL_BANDWIDTH_GROWTH {
                self.unfilled_min_rtt = self.min_rtt_at_max;
            }
            self.max_delivered = delivered;
            self.min_rtt_at_max = self.round_min_rtt.unwrap_or_default();
        }
        self.round_min_rtt = None;
        if let (true, Some(last), Some(median)) = (steady, self.last_median, self.median) {
            self.variation = (self.variation * 7 + last.abs_diff(median)) / 8;
        }
        self.last_median = self.median.filter(|_| steady);
    }

    /// Whether delays are so random that a low base RTT is chance.
    pub(super) fn is_noisy(&self) -> bool {
        self.jitter > NOISY_JITTER
    }

    /// Whether Startup has filled the path, with this cwnd. `growing` says that the bandwidth still
    /// increases from round to round.
    ///
    /// The path is full if the RTT is above that of rounds that did not fill it.
    pub(super) fn has_filled_path(&self, cwnd: f64, growing: bool) -> bool {
        let Some(min_rtt) = self.min_rtt else {
            return false;
        };
        let base = min_rtt.max(self.unfilled_min_rtt);
        let uneven = self.jitter > STARTUP_QUEUEING_DELAY / 2;
        if uneven && cwnd < SMALL_STARTUP_CWND && growing {
            return false;
        }
        // With random delays, a few late packets in a row are normal. There, all samples of the round must
        // be late, and there must be enough of them.
        let (needed, jitter) = if uneven {
            let min_rtt = self.recent.iter().map(|(_, rtt)| *rtt).min();
            if min_rtt
                .is_none_or(|min_rtt| min_rtt < base + self.jitter.max(STARTUP_QUEUEING_DELAY))
            {
                return false;
            }
            (STARTUP_SAMPLES, self.jitter)
        } else {
            (STARTUP_SAMPLES / 3, self.jitter * 3)
        };
        // If one of the first few packets was fast by chance, all others look late.
        let margin = match cwnd < TINY_STARTUP_CWND && growing {
            true => base / 4,
            false => base / 32,
        };
        let limit = base + jitter.max(STARTUP_QUEUEING_DELAY).max(margin);
        let newest = self.samples.saturating_sub(needed)..self.samples;
        self.samples >= needed
            && newest
                .into_iter()
                .all(|sample| self.newest[sample % STARTUP_SAMPLES] > limit)
    }
}

fn median(values: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut values: Vec<Duration> = values.collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

/// The most RTT samples of a round trip from which the median is computed.
const MAX_MEDIAN_SAMPLES: u32 = 256;
/// A median up to this much above the base RTT counts as a new measurement of it.
const BASE_TOLERANCE: Duration = Duration::from_millis(8);
/// Jitter looks like queueing delay. Five thirds of the mean difference between consecutive samples count
/// as random delay, within these bounds.
const MIN_NOISE: Duration = Duration::from_millis(20);
const MAX_JITTER_NOISE: Duration = Duration::from_millis(80);
/// The variation of the median from round to round counts as random delay, up to this multiple of the
/// jitter and this share of the base RTT. The bound by the jitter excludes variation that is caused by
/// competing senders: their packets vary from round to round, but little from packet to packet.
const MAX_VARIATION_PER_JITTER: u32 = 3;
const MAX_VARIATION_PER_BASE: f64 = 0.35;
/// The jitter above which delays are random. One sender at a slow link stays below it. Hops over TCP with
/// loss, and packets that alternate between leases of different delay, exceed it.
const NOISY_JITTER: Duration = Duration::from_millis(35);
/// Consecutive RTT samples that must show a queue to end Startup; a third of them if the path keeps the
/// order.
const STARTUP_SAMPLES: usize = 12;
/// The queueing delay that ends Startup. Chosen because the jitter over six hops stays below it.
const STARTUP_QUEUEING_DELAY: Duration = Duration::from_millis(40);
/// With random delays and a cwnd below this number of packets, Startup only ends if the bandwidth does not
/// increase. Routers that coalesce small segments delay sparse traffic, and the delay disappears when more
/// is sent.
const SMALL_STARTUP_CWND: f64 = 160.0;
/// Two rounds of Startup, in packets of cwnd: with fewer, the usual RTT is not known.
const TINY_STARTUP_CWND: f64 = 40.0;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn take_all(delay: &mut Delay, from: Instant, rtts: impl IntoIterator<Item = u64>) -> Instant {
        let mut now = from;
        for rtt in rtts {
            now += MS(20);
            delay.on_rtt(now, MS(rtt), MS(500));
        }
        now
    }

    #[test]
    fn one_fast_packet_does_not_set_the_base_rtt() {
        let mut delay = Delay::new(Instant::now());
        let rtts = (0..100).map(|number| if number == 50 { 300 } else { 500 });
        take_all(&mut delay, Instant::now(), rtts);
        assert_eq!(delay.base(), MS(500));
        assert_eq!(delay.queueing_delay(), Duration::ZERO);
    }

    #[test]
    fn the_queueing_delay_is_that_of_most_packets() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 50]);
        take_all(&mut delay, now, [620; 50]);
        assert_eq!(delay.queueing_delay(), MS(120));
        delay.rebase();
        assert_eq!(delay.queueing_delay(), Duration::ZERO);
    }

    #[test]
    fn sparse_uneven_traffic_does_not_fill_a_path_while_it_grows() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 3]);
        let late = (0..40).map(|number| 800 + number % 2 * 100);
        take_all(&mut delay, now, late);
        assert!(!delay.has_filled_path(50.0, true));
        assert!(delay.has_filled_path(50.0, false));
        assert!(delay.has_filled_path(200.0, true));
    }

    #[test]
    fn a_fast_first_packet_does_not_end_startup() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500]);
        take_all(&mut delay, now, [580; 20]);
        assert!(!delay.has_filled_path(30.0, true));
        assert!(delay.has_filled_path(30.0, false));
        assert!(delay.has_filled_path(60.0, true));
    }

    #[test]
    fn the_delay_of_a_slower_round_is_no_queue() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500]);
        delay.end_round(true, false, 10.0);
        let now = take_all(&mut delay, now, [600; 30]);
        assert!(delay.has_filled_path(200.0, true));
        delay.end_round(true, false, 20.0);
        take_all(&mut delay, now, [610; 30]);
        delay.end_round(true, false, 40.0);
        assert!(!delay.has_filled_path(200.0, true));
    }

    #[test]
    fn variation_without_jitter_is_no_noise() {
        let mut steady = Delay::new(Instant::now());
        let mut now = Instant::now();
        for round in 0..20 {
            now = take_all(&mut steady, now, [500 + round % 2 * 200; 25]);
            steady.end_round(false, true, 50.0);
        }
        assert!(steady.noise() < MS(60), "{:?}", steady.noise());
        let mut uneven = Delay::new(Instant::now());
        for round in 0..20 {
            let rtts = (0..25).map(|number| 500 + round % 2 * 200 + number % 2 * 60);
            now = take_all(&mut uneven, now, rtts);
            uneven.end_round(false, true, 50.0);
        }
        assert!(uneven.noise() > MS(80), "{:?}", uneven.noise());
    }
}
