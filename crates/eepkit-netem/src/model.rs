//! What a link does to messages.

use std::time::Duration;

use crate::{Loss, Queue, Rate, probability};

/// The behaviour of a one-way link.
///
/// The default is a link without faults: no delay, no loss, no limit. Each setter takes the value and
/// returns the changed model. Probabilities are restricted to 0..=1 (NaN counts as 0), times to one
/// day.
///
/// A message passes the parts of the model in this order: queue and rate of the bottleneck, loss,
/// duplication, then for each copy delay, jitter and reordering. A lost message has therefore used its
/// share of the rate, as one that is lost behind the bottleneck does.
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

/// How much later a reordered message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldBack {
    /// By this time.
    By(Duration),
    /// By a uniformly distributed time between zero and this.
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
    /// once, uniformly from `delay - spread` to `delay + spread`, and not below zero. Default: zero,
    /// all links are equally long.
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread.min(MAX_TIME);
        self
    }

    /// The difference between the delays of messages on one link. Each message takes up to this much
    /// longer, uniformly distributed. The order of messages is kept, so of many messages sent at once
    /// all but the first few take nearly the full jitter. Default: zero.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter.min(MAX_TIME);
        self
    }

    /// Which messages are lost. Default: none.
    pub fn loss(mut self, loss: impl Into<Loss>) -> Self {
        self.loss = loss.into();
        self
    }

    /// The length in bytes that the probability of loss refers to. A longer message is lost if one of
    /// the pieces of this length is lost of which it consists. A shorter message is lost as often as
    /// one of this length. Default: `None`, the length does not matter.
    pub fn loss_unit(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.loss_unit = bytes.into().map(|bytes| bytes.max(1));
        self
    }

    /// The rate of the bottleneck. Default: no limit.
    pub fn rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// The limit of the queue at the bottleneck, as a time or in bytes. A message that finds the queue
    /// longer than this is dropped (tail drop). Without a [`rate`](Self::rate) there is no queue.
    /// Default: 333 ms, the limit at which Java routers drop everything.
    pub fn queue(mut self, limit: impl Into<Queue>) -> Self {
        self.queue = limit.into().clamped(MAX_TIME);
        self
    }

    /// Reordering: with this probability a message arrives `by` later than the rest of the model says,
    /// and later messages overtake it. Default: never.
    pub fn reorder(mut self, share: f64, by: Duration) -> Self {
        self.reorder = probability(share);
        self.hold_back = HoldBack::By(by.min(MAX_TIME));
        self
    }

    /// As [`reorder`](Self::reorder), with a time that is uniformly distributed between zero and `most`
    /// and drawn for each reordered message.
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

/// The longest time in a model. Chosen because it is beyond any use, and far from where the sum of
/// times would overflow.
const MAX_TIME: Duration = Duration::from_secs(86_400);
