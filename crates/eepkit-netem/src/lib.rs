//! The link model: what happens to a message on its way.
//!
//! [`LinkModel`] says how a way behaves; [`Netem`] is one way that behaves so. It holds no
//! messages, no clock and no sockets: told when a message is offered and how long it is, it
//! answers with the message's [`Fate`], and whoever asked keeps the message until then.
//!
//! ```
//! use std::time::Duration;
//! use eepkit_netem::{Fate, LinkModel, Loss, Netem, Rate};
//!
//! let model = LinkModel::default()
//!     .delay(Duration::from_millis(200))
//!     .loss(Loss::random(0.01))
//!     .rate(Rate::kib_per_second(64))
//!     .queue(Duration::from_millis(500));
//! let mut way = Netem::new(7);
//!
//! let now = Instant::now();
//! match way.offer(&model, now, 1024) {
//!     // 1 KiB takes 1/64 s to leave, and 200 ms from there.
//!     Fate::Arrives { at, .. } => assert_eq!(at - now, Duration::from_micros(215_625)),
//!     Fate::Dropped(cause) => println!("{cause:?}"),
//! }
//! ```

mod rng;

use std::time::{Duration, Instant};

pub use rng::Rng;

/// How a one-way way between two destinations behaves.
///
/// The default is a way without faults: no delay, no loss, no limit. Each setter takes the value
/// and returns the changed model. Probabilities are clamped to 0..=1 (not a number counts as 0),
/// times to a day.
///
/// A message passes the parts of the model in this order: the queue and the rate of the
/// bottleneck, loss, delay with its jitter, reordering, duplication. So a lost message has used up
/// its share of the rate, as one that is lost behind the bottleneck does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    delay: Duration,
    spread: Duration,
    jitter: Duration,
    loss: Loss,
    rate: Option<Rate>,
    queue: Duration,
    reorder: f64,
    reorder_by: Duration,
    duplicate: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            spread: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::NONE,
            rate: None,
            queue: DEFAULT_QUEUE,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            duplicate: 0.0,
        }
    }
}

impl LinkModel {
    /// How long a message takes from end to end, one way. Default: nothing.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(LONGEST);
        self
    }

    /// How far ways differ from each other: each draws its own delay once, uniformly from
    /// `delay - spread` to `delay + spread` (not below nothing). Default: nothing, all are alike.
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread.min(LONGEST);
        self
    }

    /// How far messages of one way differ: each takes up to this much longer, uniformly. The order
    /// of messages is kept, so of many sent at once all but the first few take nearly the whole of
    /// it. Default: nothing.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter.min(LONGEST);
        self
    }

    /// Which messages are lost. Default: none.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// The rate of the bottleneck. Default: no limit.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// How long a message may wait at the bottleneck; one that would wait longer is dropped (tail
    /// drop). Only with a [`rate`](Self::rate). Default: 333 ms, the limit at which Java routers
    /// drop everything.
    pub fn queue(mut self, longest: Duration) -> Self {
        self.queue = longest.min(LONGEST);
        self
    }

    /// Reordering: with this probability a message takes `by` longer and is overtaken by those
    /// behind it. Default: never.
    pub fn reorder(mut self, probability: f64, by: Duration) -> Self {
        self.reorder = probability_of(probability);
        self.reorder_by = by.min(LONGEST);
        self
    }

    /// The probability that a message arrives twice, the second time right behind the first.
    /// Default: 0.
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability_of(probability);
        self
    }
}

/// Which messages a way loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Probability of a good state turning bad, per message.
    worsen: f64,
    /// Probability of a bad state turning good, per message.
    recover: f64,
    /// Probability of losing a message in the good state.
    good: f64,
    /// Probability of losing a message in the bad state.
    bad: f64,
}

impl Loss {
    /// Nothing is lost.
    pub const NONE: Self = Self {
        worsen: 0.0,
        recover: 1.0,
        good: 0.0,
        bad: 0.0,
    };

    /// Each message is lost with this probability, whatever became of the one before.
    pub fn random(probability: f64) -> Self {
        Self {
            good: probability_of(probability),
            ..Self::NONE
        }
    }

    /// Loss in bursts: of all messages this share is lost, in runs of `length` messages on
    /// average (at least 1).
    ///
    /// This is the simple Gilbert model; see [`Loss::gilbert_elliott`] for the general one.
    pub fn bursts(share: f64, length: f64) -> Self {
        let share = probability_of(share);
        let recover = if length > 1.0 { 1.0 / length } else { 1.0 };
        if share >= 1.0 {
            return Self::random(1.0);
        }
        // Balance of the two states: share = worsen / (worsen + recover). Where that asks for more
        // than certainty (short bursts, high share) the bursts become longer than asked for.
        let worsen = recover * share / (1.0 - share);
        let (worsen, recover) = if worsen > 1.0 {
            (1.0, (1.0 - share) / share)
        } else {
            (worsen, recover)
        };
        Self::gilbert_elliott(worsen, recover, 0.0, 1.0)
    }

    /// The Gilbert-Elliott model (E. O. Elliott, "Estimates of Error Rates for Codes on
    /// Burst-Noise Channels", 1963): a way is good or bad; before each message it turns from good
    /// to bad with probability `worsen` and back with probability `recover`; messages are lost
    /// with probability `good` or `bad`, after its state.
    pub fn gilbert_elliott(worsen: f64, recover: f64, good: f64, bad: f64) -> Self {
        Self {
            worsen: probability_of(worsen),
            recover: probability_of(recover),
            good: probability_of(good),
            bad: probability_of(bad),
        }
    }
}

impl From<f64> for Loss {
    /// [`Loss::random`].
    fn from(probability: f64) -> Self {
        Self::random(probability)
    }
}

/// A data rate. Counted are the bytes that applications hand over (message bodies), without the
/// overhead that a real network adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Bytes per second; at least 1.
    pub fn bytes_per_second(bytes: u64) -> Self {
        Self(bytes.max(1))
    }

    /// Units of 1024 bytes per second; at least 1.
    pub fn kib_per_second(kib: u64) -> Self {
        Self::bytes_per_second(kib.saturating_mul(1024))
    }

    /// Units of 1024 * 1024 bytes per second; at least 1.
    pub fn mib_per_second(mib: u64) -> Self {
        Self::kib_per_second(mib.saturating_mul(1024))
    }

    /// The rate in bytes per second.
    pub fn as_bytes_per_second(self) -> u64 {
        self.0
    }

    /// How long this many bytes take.
    fn time_of(self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// When it arrives a second time, if it is duplicated.
        again: Option<Instant>,
        /// Whether it was held back for others to overtake it.
        reordered: bool,
    },
    /// It is lost.
    Dropped(LinkDrop),
}

/// Why a way lost a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkDrop {
    /// Loss, random or in a burst.
    Loss,
    /// The queue at the bottleneck was full.
    Queue,
}

/// One way and its state: the queue at its bottleneck, the burst of loss it may be in, the
/// delay it drew.
#[derive(Debug, Clone)]
pub struct Netem {
    rng: Rng,
    /// This way's place in the spread of delays, -1.0 to 1.0.
    place: f64,
    bottleneck: Bottleneck,
    bad: bool,
    /// When the latest message arrives that was not held back: none arrives before it.
    latest: Option<Instant>,
}

impl Netem {
    /// A way with no traffic on it. Ways of one seed and one history of traffic do the same.
    pub fn new(seed: u64) -> Self {
        Self::with_rng(Rng::new(seed, &[]))
    }

    /// A path that draws its numbers from `rng`.
    pub fn with_rng(mut rng: Rng) -> Self {
        Self {
            place: rng.unit() * 2.0 - 1.0,
            rng,
            bottleneck: Bottleneck::default(),
            bad: false,
            latest: None,
        }
    }

    /// Decides over a message of `bytes` bytes that is offered `now`.
    ///
    /// `now` must not run backwards between calls. The model may differ from call to call, as a
    /// network's behaviour may change under traffic.
    pub fn offer(&mut self, model: &LinkModel, now: Instant, bytes: usize) -> Fate {
        let Some(leaves) = self.bottleneck.offer(model.rate, model.queue, now, bytes) else {
            return Fate::Dropped(LinkDrop::Queue);
        };
        if self.loses(&model.loss) {
            return Fate::Dropped(LinkDrop::Loss);
        }

        let mut at = leaves + self.base_delay(model);
        if !model.jitter.is_zero() {
            at += self.rng.up_to(model.jitter);
        }
        let reordered = model.reorder > 0.0 && self.rng.chance(model.reorder);
        if let Some(latest) = self.latest {
            at = at.max(latest);
        }
        if reordered {
            at += model.reorder_by;
        } else {
            self.latest = Some(at);
        }
        let duplicated = model.duplicate > 0.0 && self.rng.chance(model.duplicate);
        Fate::Arrives {
            at,
            again: duplicated.then_some(at),
            reordered,
        }
    }

    /// The delay this way drew from the model's spread, without jitter.
    fn base_delay(&self, model: &LinkModel) -> Duration {
        let offset = model.spread.mul_f64(self.place.abs());
        if self.place < 0.0 {
            model.delay.saturating_sub(offset)
        } else {
            model.delay.saturating_add(offset)
        }
    }

    fn loses(&mut self, loss: &Loss) -> bool {
        if loss.worsen > 0.0 || self.bad {
            let turn = if self.bad { loss.recover } else { loss.worsen };
            if self.rng.chance(turn) {
                self.bad = !self.bad;
            }
        }
        let probability = if self.bad { loss.bad } else { loss.good };
        probability > 0.0 && self.rng.chance(probability)
    }
}

/// A place that lets messages through one after the other, at a rate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bottleneck {
    free_at: Option<Instant>,
}

impl Bottleneck {
    /// When a message would have left, were it offered now. Nothing changes.
    pub fn leaves(&self, rate: Option<Rate>, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = rate else {
            return now;
        };
        let starts = self.free_at.map_or(now, |free_at| free_at.max(now));
        starts + rate.time_of(bytes)
    }

    /// Takes a message in and says when it will have left; `None` if it would have to wait for
    /// longer than `queue`.
    pub fn offer(
        &mut self,
        rate: Option<Rate>,
        queue: Duration,
        now: Instant,
        bytes: usize,
    ) -> Option<Instant> {
        if rate.is_none() {
            return Some(now);
        }
        let waits = self.free_at.map_or(Duration::ZERO, |free_at| {
            free_at.saturating_duration_since(now)
        });
        if waits > queue {
            return None;
        }
        let leaves = self.leaves(rate, now, bytes);
        self.free_at = Some(leaves);
        Some(leaves)
    }
}

fn probability_of(value: f64) -> f64 {
    // `clamp` keeps NaN, which no comparison with a drawn number would ever reach.
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0)
    }
}

/// No time in a model is longer than this. Chosen because it is beyond any use, and far from where
/// adding times up would overflow.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Java routers drop all transit traffic beyond 333 ms of queue (SyntheticREDQueue).
const DEFAULT_QUEUE: Duration = Duration::from_millis(333);

#[cfg(test)]
mod tests;
