//! The behaviour of a link.

use std::time::Duration;

use crate::{Loss, Queue, Rate, probability};

/// The behaviour of a one-way link.
///
/// The default is a link without faults: no delay, no loss, no limit. Each setter takes the value
/// and returns the changed model. Probabilities are restricted to 0..=1 (NaN counts as 0), times to
/// one day.
///
/// The parts of the model apply to a message in this order: queue and rate of the bottleneck, loss,
/// duplication, then for each copy delay, jitter and reordering. A lost message therefore uses the
/// rate of the bottleneck, like a message that is lost behind a real one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    pub(crate) delay: Duration,
    pub(crate) spread: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: Loss,
    pub(crate) loss_unit: Option<usize>,
    pub(crate) rate: Option<Rate>,
    pub(crate) queue: Queue,
    pub(crate) reorder: f64,
    pub(crate) hold_back: HoldBack,
    pub(crate) duplicate: f64,
}

/// The additional delay of a reordered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldBack {
    /// This time.
    By(Duration),
    /// A uniformly distributed time between zero and this.
    UpTo(Duration),
}

impl Default for LinkModel {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            spread: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::NONE,
            loss_unit: None,
            rate: None,
            queue: Queue::default(),
            reorder: 0.0,
            hold_back: HoldBack::By(Duration::ZERO),
            duplicate: 0.0,
        }
    }
}

impl LinkModel {
    /// The one-way delay. Default: zero.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(MAX_TIME);
        self
    }

    /// The difference between the delays of links. Each [`Netem`](crate::Netem) draws its own delay
    /// once, uniformly from `delay - spread` to `delay + spread`, and not below zero. Default:
    /// zero, all links are equally long.
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread.min(MAX_TIME);
        self
    }

    /// The range of the additional delays of messages on one link, uniformly distributed between
    /// zero and this. The order of messages is preserved. Of many messages that are sent at the
    /// same time, all but the first few therefore have nearly the full jitter. Default: zero.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter.min(MAX_TIME);
        self
    }

    /// The loss of messages. Default: none.
    pub fn loss(mut self, loss: impl Into<Loss>) -> Self {
        self.loss = loss.into();
        self
    }

    /// The length in bytes to which the probability of loss applies. A longer message consists of
    /// pieces of this length, and is lost if one of them is lost. A shorter message is lost with
    /// the probability of one piece. Default: `None`, loss does not depend on the length.
    pub fn loss_unit(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.loss_unit = bytes.into().map(|bytes| bytes.max(1));
        self
    }

    /// The rate of the bottleneck. Default: no limit.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// The limit of the queue at the bottleneck, as a time or in bytes. A message that finds the
    /// queue longer than this is dropped (tail drop). Without a [`rate`](Self::rate) there is no
    /// queue. Default: 333 ms, the limit at which Java routers drop everything.
    pub fn queue(mut self, limit: impl Into<Queue>) -> Self {
        self.queue = limit.into().clamped(MAX_TIME);
        self
    }

    /// The reordering of messages. With this probability a message arrives `by` later than
    /// otherwise, and later messages overtake it. Default: never.
    pub fn reorder(mut self, share: f64, by: Duration) -> Self {
        self.reorder = probability(share);
        self.hold_back = HoldBack::By(by.min(MAX_TIME));
        self
    }

    /// Like [`reorder`](Self::reorder), with a time that is drawn for each reordered message,
    /// uniformly distributed between zero and `most`.
    pub fn reorder_up_to(mut self, share: f64, most: Duration) -> Self {
        self.reorder = probability(share);
        self.hold_back = HoldBack::UpTo(most.min(MAX_TIME));
        self
    }

    /// The probability that a message arrives twice. The second copy draws its own jitter and
    /// reordering. Default: 0.
    pub fn duplicate(mut self, share: f64) -> Self {
        self.duplicate = probability(share);
        self
    }
}

/// The longest time in a model. Chosen because it is longer than any use needs, and sums of such
/// times do not overflow.
const MAX_TIME: Duration = Duration::from_secs(86_400);
