//! What round-trip times tell of the queues on the way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The level of round-trip times, what it is without a queue, and how steady both are.
///
/// The level is the median of a round trip, not its minimum: tunnels over TCP hold packets up for a
/// hundred milliseconds here and there, and the least of hundreds of packets is an exception that the
/// next hundreds will not repeat.
#[derive(Debug)]
pub(super) struct Delay {
    /// Round-trip times of the last round trip.
    recent: VecDeque<(Instant, Duration)>,
    /// The median of them, and when it was taken.
    level: Option<Duration>,
    taken: Instant,
    /// The level a round ago, and how much it changes from round to round.
    last_level: Option<Duration>,
    sway: Duration,
    /// The level without a queue, and when it was last seen.
    base: Option<Duration>,
    seen: Instant,
    /// Smoothed difference between consecutive round-trip times.
    jitter: Duration,
    /// The newest round-trip times, for start-up.
    newest: [Duration; STARTUP_SAMPLES],
    samples: usize,
    /// The least round-trip time of all.
    least: Option<Duration>,
    /// The same of this round.
    round_least: Option<Duration>,
    /// The most that a round of start-up delivered, in packets per second, and its least round-trip time.
    most: f64,
    most_least: Duration,
    /// The least round-trip time of a round that delivered less than a later one: the path was not full.
    unfilled: Duration,
}

impl Delay {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            recent: VecDeque::new(),
            level: None,
            taken: now,
            last_level: None,
            sway: Duration::ZERO,
            base: None,
            seen: now,
            jitter: Duration::ZERO,
            newest: [Duration::ZERO; STARTUP_SAMPLES],
            samples: 0,
            least: None,
            round_least: None,
            most: 0.0,
            most_least: Duration::ZERO,
            unfilled: Duration::ZERO,
        }
    }

    /// The level without a queue; zero before anything is known.
    pub(super) fn base(&self) -> Duration {
        self.base.unwrap_or_default()
    }

    /// When the base was last seen.
    pub(super) const fn seen(&self) -> Instant {
        self.seen
    }

    /// Counts from now how long the base was not seen.
    pub(super) const fn look_again(&mut self, now: Instant) {
        self.seen = now;
    }

    /// How long packets wait in queues.
    pub(super) fn queue(&self) -> Duration {
        match (self.level, self.base) {
            (Some(level), Some(base)) => level.saturating_sub(base),
            _ => Duration::ZERO,
        }
    }

    /// How much of that may be chance.
    pub(super) fn noise(&self) -> Duration {
        let sway = self
            .sway
            .min(self.jitter * NOISE_OF_JITTER)
            .min(self.base().mul_f64(MAX_NOISE));
        (self.jitter * 5 / 3)
            .clamp(LEAST_NOISE, MAX_JITTER)
            .max(sway)
    }

    /// Takes a round-trip time; `smoothed` is how long a round trip is. Returns whether the base was seen.
    pub(super) fn take(&mut self, now: Instant, rtt: Duration, smoothed: Duration) -> bool {
        self.round_least = Some(self.round_least.map_or(rtt, |least| least.min(rtt)));
        self.least = Some(self.least.map_or(rtt, |least| least.min(rtt)));
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
            .is_none_or(|(at, _)| age(*at) >= smoothed / MAX_RECENT)
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
        let due = self.level.is_none() || age(self.taken) >= smoothed / 4;
        due && self.take_level(now)
    }

    /// Takes the median of the last round trip. Returns whether that is the base.
    pub(super) fn take_level(&mut self, now: Instant) -> bool {
        self.taken = now;
        let Some(level) = median(self.recent.iter().map(|(_, rtt)| *rtt)) else {
            return false;
        };
        self.level = Some(level);
        let near = self.base.is_none_or(|base| level <= base + BASE_TOLERANCE);
        self.base = Some(self.base.map_or(level, |base| base.min(level)));
        if near {
            self.seen = now;
        }
        near
    }

    /// Gives up the base: the level is what it is without a queue.
    pub(super) const fn rebase(&mut self) {
        self.base = self.level;
    }

    /// Forgets what was measured of late: what comes next was sent under other conditions.
    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
    }

    /// Starts again on another way with this least round-trip time, if one is known.
    pub(super) fn change_way(&mut self, now: Instant, rtt: Option<Duration>) {
        // The level is above the least by what chance adds, and that goes along.
        let chance = self.base().saturating_sub(self.least.unwrap_or_default());
        *self = Self {
            base: rtt.map(|rtt| rtt + chance),
            least: rtt,
            jitter: self.jitter,
            ..Self::new(now)
        };
    }

    /// Takes stock at the end of a round that delivered so many packets per second.
    pub(super) fn end_round(&mut self, startup: bool, steady: bool, delivered: f64) {
        if startup && delivered > self.most {
            if delivered >= self.most * super::FULL_GROWTH {
                self.unfilled = self.most_least;
            }
            self.most = delivered;
            self.most_least = self.round_least.unwrap_or_default();
        }
        self.round_least = None;
        if let (true, Some(last), Some(level)) = (steady, self.last_level, self.level) {
            self.sway = (self.sway * 7 + last.abs_diff(level)) / 8;
        }
        self.last_level = self.level.filter(|_| steady);
    }

    /// Whether packets are held up at random so much that the base is a stroke of luck.
    pub(super) fn is_noisy(&self) -> bool {
        self.jitter > NOISY
    }

    /// Whether start-up, at this window, has filled the path. `growing` tells that each round still brings
    /// more.
    ///
    /// What is late must be so above rounds that did not fill the path.
    pub(super) fn fills_in_startup(&self, window: f64, growing: bool) -> bool {
        let Some(least) = self.least else {
            return false;
        };
        let base = least.max(self.unfilled);
        let uneven = self.jitter > STARTUP_QUEUE / 2;
        if uneven && window < STARTUP_SMALL && growing {
            return false;
        }
        // Where packets overtake each other, some late ones in a row are nothing unusual: there the whole
        // round must be late, and have enough of them.
        let (needed, jitter) = if uneven {
            let least = self.recent.iter().map(|(_, rtt)| *rtt).min();
            if least.is_none_or(|least| least < base + self.jitter.max(STARTUP_QUEUE)) {
                return false;
            }
            (STARTUP_SAMPLES, self.jitter)
        } else {
            (STARTUP_SAMPLES / 3, self.jitter * 3)
        };
        // One lucky packet among the first few makes all others late.
        let least = match window < STARTUP_FEW && growing {
            true => base / 4,
            false => base / 32,
        };
        let limit = base + jitter.max(STARTUP_QUEUE).max(least);
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

/// Round-trip times of a round trip that its median is taken of.
const MAX_RECENT: u32 = 256;
/// What counts as seeing the base again.
const BASE_TOLERANCE: Duration = Duration::from_millis(8);
/// Jitter looks like a queue: five thirds of its mean step from packet to packet count as chance, within
/// these bounds.
const LEAST_NOISE: Duration = Duration::from_millis(20);
const MAX_JITTER: Duration = Duration::from_millis(80);
/// Where the level sways from round to round, and not because senders take turns (the jitter would be
/// small), that much counts, up to this multiple of the jitter and this share of the base.
const NOISE_OF_JITTER: u32 = 3;
const MAX_NOISE: f64 = 0.35;
/// One sender at a narrow link stays below it; hops over TCP with losses, and leases of different
/// length in turns, do not.
const NOISY: Duration = Duration::from_millis(35);
/// How many round-trip times in a row must show a queue to end start-up; a third of them where the
/// path keeps the order.
const STARTUP_SAMPLES: usize = 12;
/// Chosen because jitter over six hops stays below it.
const STARTUP_QUEUE: Duration = Duration::from_millis(40);
/// While it is smaller, the window must also grow in vain, where packets come unevenly: thin traffic is
/// delayed where routers collect small segments, and the delay goes away with more of it.
const STARTUP_SMALL: f64 = 160.0;
/// Two rounds of start-up: fewer packets say little of what is usual.
const STARTUP_FEW: f64 = 40.0;

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
            delay.take(now, MS(rtt), MS(500));
        }
        now
    }

    #[test]
    fn one_fast_packet_does_not_make_a_base() {
        let mut delay = Delay::new(Instant::now());
        let rtts = (0..100).map(|number| if number == 50 { 300 } else { 500 });
        take_all(&mut delay, Instant::now(), rtts);
        assert_eq!(delay.base(), MS(500));
        assert_eq!(delay.queue(), Duration::ZERO);
    }

    #[test]
    fn a_queue_is_what_most_packets_wait() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 50]);
        take_all(&mut delay, now, [620; 50]);
        assert_eq!(delay.queue(), MS(120));
        delay.rebase();
        assert_eq!(delay.queue(), Duration::ZERO);
    }

    #[test]
    fn thin_uneven_traffic_does_not_fill_a_path_while_it_grows() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500; 3]);
        let late = (0..40).map(|number| 800 + number % 2 * 100);
        take_all(&mut delay, now, late);
        assert!(!delay.fills_in_startup(50.0, true));
        assert!(delay.fills_in_startup(50.0, false));
        assert!(delay.fills_in_startup(200.0, true));
    }

    #[test]
    fn a_lucky_first_packet_does_not_end_start_up() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500]);
        take_all(&mut delay, now, [580; 20]);
        assert!(!delay.fills_in_startup(30.0, true));
        assert!(delay.fills_in_startup(30.0, false));
        assert!(delay.fills_in_startup(60.0, true));
    }

    #[test]
    fn what_a_slower_round_waited_is_no_queue() {
        let mut delay = Delay::new(Instant::now());
        let now = take_all(&mut delay, Instant::now(), [500]);
        delay.end_round(true, false, 10.0);
        let now = take_all(&mut delay, now, [600; 30]);
        assert!(delay.fills_in_startup(200.0, true));
        delay.end_round(true, false, 20.0);
        take_all(&mut delay, now, [610; 30]);
        delay.end_round(true, false, 40.0);
        assert!(!delay.fills_in_startup(200.0, true));
    }

    #[test]
    fn sway_without_jitter_is_no_noise() {
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
