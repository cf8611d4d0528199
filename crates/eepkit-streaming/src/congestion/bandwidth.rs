//! A window that is steered by delay and bounded by a model of the path. The default of this crate.
//!
//! What decides here is how long packets wait in queues: the median round-trip time of the last round
//! trip above the least that it was. The window grows while that is short and shrinks while it is long. Loss
//! alone changes nothing, because busy healthy hops drop up to 2 % and tunnels reorder; the window
//! cannot run away all the same, because it is bounded by what is delivered. Only much loss, for two
//! rounds, means a queue that several senders keep full ([`OVERFLOW_LOSS`]).
//!
//! - Every sender keeps a few packets of its own waiting, whatever its share ([`QUEUED`]): who has less
//!   of the path bears a longer queue, so that shares become equal.
//! - That least is only true if the queue was empty then. It is confirmed again and
//!   again by leaving the queue empty for a moment ([`Mode::Settle`]). All senders on a path see that
//!   moment, count from it and so empty the queue together the next time: late-comers learn the truth.
//! - Start-up doubles, then grows more slowly the larger the window is, because what it overshoots by
//!   are packets, and more than 255 missing ones cannot be described by an acknowledgement. It ends when
//!   packets become late, but not later than in rounds that did not fill the path: where routers collect
//!   small segments, thin traffic is later than much of it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

mod delay;

use self::delay::Delay;
use super::{AckSample, Controller, ControllerFactory, LossEvent, WindowLimits, whole_packets};

/// Makes controllers that keep queues short and take loss for normal. The default of this crate.
#[derive(Debug, Clone, Default)]
pub struct BandwidthConfig {}

impl ControllerFactory for BandwidthConfig {
    fn build(self: Arc<Self>, now: Instant, limits: WindowLimits) -> Box<dyn Controller> {
        Box::new(Bandwidth {
            limits,
            mode: Mode::Startup,
            window: f64::from(limits.initial),
            rate: None,
            threshold: f64::INFINITY,
            bandwidth: MaxFilter::default(),
            delay: Delay::new(now),
            settles_missed: 0,
            round: 0,
            round_end: 0,
            round_acked: 0,
            round_lost: 0,
            round_began: now,
            deliveries: VecDeque::new(),
            full: 0.0,
            full_rounds: 0,
            short_rounds: 0,
            lossy_rounds: 0,
            bears_loss: None,
            long_from: None,
            before: None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// Growing fast until the path is full.
    Startup,
    /// Letting the queue of start-up run empty.
    Drain { since: Instant },
    /// Steering.
    Cruise,
    /// Letting the queue run empty for a round trip to see what that is without it.
    Settle {
        /// When the queue should be gone, and when it will have been for a round trip.
        empty: Option<(Instant, Instant)>,
        /// The window to go on with.
        resume: f64,
        /// The round-trip time that it had.
        level: Duration,
    },
}

#[derive(Debug)]
struct Bandwidth {
    limits: WindowLimits,
    mode: Mode,
    window: f64,
    /// Packets per second.
    rate: Option<f64>,
    /// Start-up ends at this window.
    threshold: f64,
    bandwidth: MaxFilter,
    delay: Delay,
    /// How often the queue was let run empty without seeing it.
    settles_missed: u32,
    round: u64,
    /// The round ends when a packet sent from here on is acknowledged.
    round_end: u64,
    round_acked: u32,
    round_lost: u32,
    round_began: Instant,
    /// What had been delivered when, over the last quarter of a round trip; in start-up only.
    deliveries: VecDeque<(Instant, u64)>,
    /// Bandwidth at the last round of start-up that brought a quarter more, and rounds since.
    full: f64,
    full_rounds: u32,
    /// Rounds in a row that hardly saw a queue.
    short_rounds: u32,
    /// Rounds in a row that lost too much.
    lossy_rounds: u32,
    /// Until when that is not answered again.
    bears_loss: Option<Instant>,
    /// The window when the queue became too long, if it is.
    long_from: Option<f64>,
    /// The round-trip time before the queue was let run empty, and until when that counts.
    before: Option<(Duration, Instant)>,
}

impl Bandwidth {
    /// The product of bandwidth and delay, in packets.
    fn product(&self) -> f64 {
        (self.bandwidth.get() * self.delay.base().as_secs_f64()).max(MIN_PRODUCT)
    }

    /// How long packets should wait in queues.
    fn target(&self) -> Duration {
        let rtt = (self.delay.base() + self.delay.queue()).as_secs_f64();
        let own = (QUEUED * rtt / self.window).min(MAX_OWN_QUEUE.as_secs_f64());
        self.delay.noise() + Duration::from_secs_f64(own)
    }

    /// Takes stock at the end of a round.
    fn on_round(&mut self, sample: &AckSample) {
        let took = sample.now.saturating_duration_since(self.round_began);
        let delivered = f64::from(self.round_acked) / took.as_secs_f64().max(0.001);
        let startup = self.mode == Mode::Startup;
        self.delay
            .end_round(startup, self.mode == Mode::Cruise, delivered);
        if self.mode == Mode::Cruise {
            self.answer_loss(sample.now);
        }
        self.round_began = sample.now;
        self.round_acked = 0;
        self.round_lost = 0;
        let (queue, target) = (self.delay.queue(), self.target());
        if startup && sample.window_limited {
            if self.bandwidth.get() >= self.full * FULL_GROWTH {
                self.full = self.bandwidth.get();
                self.full_rounds = 0;
            } else {
                self.full_rounds += 1;
            }
        }
        if self.mode == Mode::Cruise {
            if queue < target / 2 && sample.window_limited {
                self.short_rounds += 1;
            } else {
                self.short_rounds = 0;
            }
            if queue <= target {
                self.long_from = None;
            }
        }
    }

    /// Measures bandwidth over a quarter of a round trip: start-up sends a round's packets in half of
    /// it, so that a queue builds while the mean of the round is still low.
    fn measure_in_startup(&mut self, sample: &AckSample) {
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
        if let Some((at, delivered)) = self.deliveries.front().copied() {
            let took = now.saturating_duration_since(at);
            let packets = u32::try_from(sample.delivered - delivered).unwrap_or(u32::MAX);
            if took >= span && packets >= MIN_BURST {
                let rate = f64::from(packets) / took.as_secs_f64().max(0.001);
                self.bandwidth.insert(self.round, rate);
            }
        }
    }

    /// Grows by what is acknowledged, in packets.
    fn grow_in_startup(&mut self, sample: &AckSample) {
        if !sample.window_limited {
            return;
        }
        let slow = self.limits.slow_start_factor.max(1.0);
        let acked = f64::from(sample.acked) / slow;
        let share = (STARTUP_DOUBLES / self.window)
            .min(1.0)
            .sqrt()
            .max(STARTUP_GROWTH);
        self.window += acked * share;
    }

    /// Whether the round has lost so many packets, and more than such a share of all.
    fn loses(&self, packets: u32, share: f64) -> bool {
        let total = self.round_acked + self.round_lost;
        self.round_lost >= packets && f64::from(self.round_lost) > share * f64::from(total)
    }

    fn steer(&mut self, sample: &AckSample) {
        let now = sample.now;
        let (queue, target) = (
            self.delay.queue().as_secs_f64(),
            self.target().as_secs_f64(),
        );
        let rtt = self.delay.base().as_secs_f64() + queue;
        let acked = f64::from(sample.acked);
        if queue <= target {
            // A queue that was let run empty takes a round trip to be there again and to be seen. If
            // all senders on the path grew meanwhile, it would be longer than before.
            let queue = match self.before {
                Some((level, until)) if now < until => {
                    queue.max(level.saturating_sub(self.delay.base()).as_secs_f64())
                }
                _ => queue,
            };
            if sample.window_limited && queue < target {
                // After a few rounds without a queue there may be much more room.
                let hurry = match self.short_rounds.saturating_sub(PATIENCE) {
                    0 => 0.0,
                    rounds => HURRY * f64::from(1_u32 << rounds.min(8)),
                };
                let slow = self.limits.avoidance_factor.max(1.0);
                let step = (GAIN * (target - queue) / rtt).max(hurry) / slow;
                self.window += acked * step.min(MAX_STEP);
            }
        } else {
            self.window -= acked * (GAIN * (queue - target) / rtt).min(MAX_STEP);
            let from = *self.long_from.get_or_insert(self.window);
            // Less in flight and the queue as long: it is not ours, or the way has become longer.
            if self.window < from * HELPLESS {
                self.long_from = None;
                self.settles_missed = MAX_MISSED;
                self.settle();
                return;
            }
        }
        let lifetime = if self.delay.is_noisy() {
            BASE_LIFETIME / 2
        } else {
            BASE_LIFETIME
        };
        let patience = lifetime.max(self.delay.base() * 8);
        if now.saturating_duration_since(self.delay.seen()) > patience {
            self.settle();
        }
    }

    /// Where several senders believe that the queue is a part of the way, it is full, none sees it
    /// get longer, and only what is lost tells.
    fn answer_loss(&mut self, now: Instant) {
        if !self.loses(OVERFLOW_LOST, OVERFLOW_LOSS) {
            self.lossy_rounds = 0;
            if !self.loses(1, OVERFLOW_LOSS / 2.0) {
                // It helped.
                self.bears_loss = None;
            }
            return;
        }
        self.lossy_rounds += 1;
        let bears = self.bears_loss.is_some_and(|until| now < until);
        // In a full queue all wait as long. Where packets are held up at random, many that are late are
        // taken for lost.
        if self.lossy_rounds < OVERFLOW_ROUNDS || bears || self.delay.is_noisy() {
            return;
        }
        self.lossy_rounds = 0;
        self.bears_loss = Some(now + BASE_LIFETIME);
        let delivered = f64::from(self.round_acked);
        self.window = self.window.min(SETTLE * delivered);
        self.settle();
        self.window = self.window.min(OVERFLOW_SETTLE * delivered);
    }

    fn settle(&mut self) {
        self.mode = Mode::Settle {
            empty: None,
            resume: self.window,
            level: self.delay.base() + self.delay.queue(),
        };
        let base = self.delay.base().as_secs_f64();
        let rtt = base + self.delay.queue().as_secs_f64();
        self.window *= SETTLE * base / rtt.max(base);
    }

    fn next_mode(&mut self, sample: &AckSample) {
        let now = sample.now;
        let in_flight = f64::from(sample.in_flight);
        let base = self.delay.base();
        match self.mode {
            Mode::Startup => {
                self.grow_in_startup(sample);
                self.measure_in_startup(sample);
                let full = self.full_rounds >= FULL_ROUNDS;
                let late = self.round >= 2
                    && self
                        .delay
                        .fills_in_startup(self.window, self.full_rounds == 0);
                if full || late || self.loses(STARTUP_LOST, STARTUP_LOSS) {
                    self.mode = Mode::Drain { since: now };
                    self.window = DRAIN * self.product();
                } else if self.window >= self.threshold {
                    self.begin_cruise();
                }
            }
            Mode::Drain { since } => {
                self.window = DRAIN * self.product();
                let drained = now.saturating_duration_since(since);
                if (in_flight <= self.window && drained > base) || drained > base * 3 {
                    self.window = DRAINED * self.product();
                    self.begin_cruise();
                    self.short_rounds = PATIENCE + SURE;
                }
            }
            Mode::Cruise => self.steer(sample),
            Mode::Settle {
                mut empty,
                resume,
                level,
            } => {
                if empty.is_none() && in_flight <= self.window + 1.0 {
                    empty = Some((now + base, now + base * 2));
                }
                if empty.is_some_and(|(from, _)| now >= from) && self.window < resume {
                    // What left meanwhile comes back from now on; what leaves now may queue again.
                    self.window = resume;
                    self.delay.forget_recent();
                }
                self.mode = Mode::Settle {
                    empty,
                    resume,
                    level,
                };
                if empty.is_some_and(|(_, until)| now >= until) {
                    self.end_settle(now);
                    // Where packets are held up at random, what they waited before says little.
                    let holds = !self.delay.is_noisy();
                    self.before = holds.then(|| (level, now + sample.smoothed_rtt));
                }
            }
        }
    }

    fn begin_cruise(&mut self) {
        self.mode = Mode::Cruise;
        self.deliveries = VecDeque::new();
        self.threshold = f64::INFINITY;
        self.full = 0.0;
        self.full_rounds = 0;
        self.short_rounds = 0;
        self.long_from = None;
        self.delay.forget_recent();
    }

    fn end_settle(&mut self, now: Instant) {
        if self.delay.take_level(now) {
            self.settles_missed = 0;
        }
        if now.saturating_duration_since(self.delay.seen()) > self.delay.base() * 3 {
            self.settles_missed += 1;
            // Once is chance; where it is never seen again, the way has become longer. Where chance makes
            // the base, its luck is over at once.
            if self.settles_missed >= MAX_MISSED || self.delay.is_noisy() {
                self.delay.rebase();
                self.settles_missed = 0;
            }
            self.delay.look_again(now);
        }
        self.begin_cruise();
    }

    fn update(&mut self, sample: &AckSample) {
        let smoothed = sample.smoothed_rtt.as_secs_f64().max(0.001);
        if self.mode == Mode::Cruise {
            let bound = MODEL_BOUND * self.bandwidth.get() * smoothed + MODEL_SLACK;
            self.window = self.window.min(bound);
        }
        self.window = self
            .window
            .clamp(MIN_PRODUCT, f64::from(self.limits.max).max(MIN_PRODUCT));
        let own = self.window / smoothed;
        let rate = match self.mode {
            Mode::Startup => {
                // Few packets need not be spread over a round trip of seconds.
                let few = STARTUP_RATES[usize::from(self.round >= 2)];
                (STARTUP_PACE * own).max(few.min(4.0 * own))
            }
            _ if self.delay.is_noisy() => NOISY_PACE * own,
            _ => CRUISE_PACE * own,
        };
        self.rate = Some(rate.max(MIN_RATE));
    }
}

impl Controller for Bandwidth {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_acked += sample.acked;
        self.round_lost += sample.lost;
        if let Some(rtt) = sample.rtt
            && self.delay.take(sample.now, rtt, sample.smoothed_rtt)
        {
            self.settles_missed = 0;
        }
        let new_round = sample.acked > 0 && sample.newest_order >= self.round_end;
        if new_round {
            self.round += 1;
            self.round_end = sample.next_order;
        }
        if let Some(rate) = sample.rate
            && (!rate.app_limited || rate.packets_per_second > self.bandwidth.get())
        {
            self.bandwidth.insert(self.round, rate.packets_per_second);
        }
        self.next_mode(sample);
        if new_round {
            self.on_round(sample);
        }
        self.update(sample);
    }

    fn on_loss(&mut self, _loss: &LossEvent) {
        // Counted per round in `on_ack`; after start-up delay decides.
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.bandwidth.scale(0.5);
        // One outage is many timeouts: the first one tells what was before. A first packet that got lost
        // tells nothing of the path.
        if self.threshold.is_infinite() && !self.delay.base().is_zero() {
            self.threshold = (self.window / 2.0).max(MIN_PRODUCT);
        }
        self.window = f64::from(self.limits.initial).min(self.threshold);
        self.rate = self.rate.map(|rate| (rate * 0.5).max(MIN_RATE));
        self.mode = Mode::Startup;
    }

    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        self.bandwidth.scale(keep);
        self.window = (self.window * keep).max(f64::from(self.limits.initial));
        self.rate = self.rate.map(|rate| (rate * keep).max(MIN_RATE));
        self.delay.forget_recent();
        // The path may have changed meanwhile: measure it again soon.
        self.delay.look_again(now);
    }

    fn on_path_change(&mut self, now: Instant, rtt: Option<Duration>) {
        let old = self.delay.base();
        self.delay.change_way(now, rtt);
        let new = self.delay.base();
        if !old.is_zero() && !new.is_zero() {
            // The rate is kept: a longer way holds more.
            let ratio = new.as_secs_f64() / old.as_secs_f64().max(0.001);
            self.window *= ratio.clamp(0.25, 4.0);
        }
        self.settles_missed = 0;
        if let Mode::Settle { .. } = self.mode {
            self.begin_cruise();
        }
        self.long_from = None;
    }

    fn window(&self) -> u32 {
        whole_packets(self.window, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        self.rate
    }
}

/// The maximum of the last [`BANDWIDTH_ROUNDS`] rounds.
#[derive(Debug, Default)]
struct MaxFilter {
    /// Candidates, falling in value and rising in round.
    candidates: VecDeque<(u64, f64)>,
    last: f64,
}

impl MaxFilter {
    fn insert(&mut self, round: u64, value: f64) {
        while self
            .candidates
            .back()
            .is_some_and(|(_, later)| *later <= value)
        {
            self.candidates.pop_back();
        }
        if self.candidates.back().is_none_or(|(at, _)| *at != round) {
            self.candidates.push_back((round, value));
        }
        while self
            .candidates
            .front()
            .is_some_and(|(at, _)| at + BANDWIDTH_ROUNDS < round)
        {
            self.candidates.pop_front();
        }
        self.last = self.candidates.front().map_or(value, |(_, value)| *value);
    }

    fn get(&self) -> f64 {
        self.last
    }

    fn scale(&mut self, factor: f64) {
        self.last *= factor;
        for (_, value) in &mut self.candidates {
            *value *= factor;
        }
    }
}

/// Packets that each sender keeps waiting at the narrowest hop. Ten senders on a path of a megabyte per
/// second cause a queue of a tenth of a second by it.
const QUEUED: f64 = 5.0;
/// The most that these packets may take: a slow path would bear queues of seconds.
const MAX_OWN_QUEUE: Duration = Duration::from_millis(200);
/// How much of a deviation from the target is corrected in a round. What is done shows a round later
/// and is measured over one more: above a half it would swing.
const GAIN: f64 = 0.6;
/// The most that the window changes in a round, as a share.
const MAX_STEP: f64 = 0.25;
/// Rounds without a queue after which the window grows by this share, and twice that each round.
const PATIENCE: u32 = 2;
const HURRY: f64 = 0.05;
/// Rounds beyond patience that the end of start-up counts for: what it measured is seldom too much and
/// often too little.
const SURE: u32 = 3;
/// The window may hold so much more than is delivered in a round trip.
const MODEL_BOUND: f64 = 1.25;
const MODEL_SLACK: f64 = 8.0;
/// A window reduced to this share without any effect on the queue shows that the queue is not ours.
const HELPLESS: f64 = 0.7;
/// Share of the path that is used while the queue runs empty.
const SETTLE: f64 = 0.9;
/// The same while the queue of start-up does, and what to go on with: a little more than the product,
/// as acknowledgements come late.
const DRAIN: f64 = 0.92;
const DRAINED: f64 = 1.05;
/// How long a base round-trip time is believed without being seen again, or eight of them if that is
/// longer. Half as long where chance plays a large part in it.
const BASE_LIFETIME: Duration = Duration::from_secs(12);
/// After so many attempts to see it again it is given up.
const MAX_MISSED: u32 = 3;
/// Pacing above the window's own rate: what is acknowledged in bunches must leave within a round.
const CRUISE_PACE: f64 = 1.15;
const NOISY_PACE: f64 = 1.3;
const STARTUP_PACE: f64 = 2.0;
/// Packets per second that start-up may send in any case, in the first round trip and after that.
const STARTUP_RATES: [f64; 2] = [45.0, 120.0];
/// Fewer packets say nothing about bandwidth.
const MIN_BURST: u32 = 8;
/// Up to this window start-up doubles; beyond, growth falls with the root of the window.
const STARTUP_DOUBLES: f64 = 384.0;
/// Growth of start-up never falls below this.
const STARTUP_GROWTH: f64 = 0.5;
/// Start-up also ends after three rounds that brought less than a quarter more, as in BBR.
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
/// BBRv3 keeps ten rounds; as many here, because a round is long and tunnels change slowly.
const BANDWIDTH_ROUNDS: u64 = 10;
/// Packets: below this, acknowledgement delay would dominate.
const MIN_PRODUCT: f64 = 4.0;
/// Packets per second, so that something always leaves.
const MIN_RATE: f64 = 1.0;
/// A lossy path loses a few per cent always, and more in bursts; so much of a round means an overflowing
/// queue: it is what growth by half sends in excess.
const STARTUP_LOSS: f64 = 0.3;
/// One packet of a small first round proves nothing.
const STARTUP_LOST: u32 = 8;
/// While cruising, so much in two rounds in a row is more than the hops and tunnels of a usable way lose.
/// Where answering it does not help, it is borne for [`BASE_LIFETIME`]: a way that does lose as much is
/// used all the same.
const OVERFLOW_LOSS: f64 = 0.1;
const OVERFLOW_LOST: u32 = 4;
const OVERFLOW_ROUNDS: u32 = 2;
/// Of what a round delivers, so much lets a queue of a third of the round trip run empty.
const OVERFLOW_SETTLE: f64 = 0.7;
/// Acknowledgements per round trip that can matter; more come only from peers that ack every packet.
const MAX_DELIVERIES: usize = 512;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests;
