//! One link and its state.

use std::time::{Duration, Instant};

use crate::{
    Bottleneck, LinkModel, Rng,
    loss::{LossState, is_below},
    model::HoldBack,
};

/// The fate of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// The message arrives.
    Arrives {
        /// The time of arrival.
        at: Instant,
        /// The time at which the duplicate arrives, if there is one.
        again: Option<Instant>,
        /// Whether the message or its duplicate was delayed so that others overtake it.
        reordered: bool,
    },
    /// The message is lost.
    Dropped(LinkDrop),
}

/// The reason why a link lost a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkDrop {
    /// Loss, random or in a burst.
    Loss,
    /// The queue at the bottleneck was full.
    Queue,
}

/// One link and its state: the queue at its bottleneck, the state of its loss model, and its
/// position in the spread of delays.
#[derive(Debug, Clone)]
pub struct Netem {
    rng: Rng,
    /// -1.0 to 1.0.
    spread_position: f64,
    bottleneck: Bottleneck,
    loss: LossState,
    /// The arrival time of the last message that was not reordered. Later ones do not arrive before
    /// it.
    latest: Option<Instant>,
}

impl Netem {
    /// A link without traffic. The same `seed`, models and messages give the same fates.
    pub fn new(seed: u64) -> Self {
        Self::with_rng(Rng::from_seed(seed))
    }

    /// A link without traffic that draws its numbers from `rng`.
    pub fn with_rng(rng: Rng) -> Self {
        Self {
            // From a separate sequence, so that it does not shift the numbers that messages draw.
            spread_position: rng.split(SPREAD_SEQUENCE).unit() * 2.0 - 1.0,
            rng,
            bottleneck: Bottleneck::default(),
            loss: LossState::default(),
            latest: None,
        }
    }

    /// Determines the fate of a message of `bytes` bytes that is sent at `now`.
    ///
    /// `now` must not go backwards between calls. The model may differ between calls. A stall is a
    /// model with [`Loss::ALL`](crate::Loss::ALL), and a change of the rate is a model with another
    /// rate. Messages in flight are not affected.
    pub fn offer(&mut self, model: &LinkModel, now: Instant, bytes: usize) -> Fate {
        let offered = self.bottleneck.offer(model.rate, model.queue, now, bytes);
        let Some(leaves) = offered else {
            return Fate::Dropped(LinkDrop::Queue);
        };
        let units = model
            .loss_unit
            .map_or(1.0, |unit| bytes as f64 / unit as f64);
        if self.loss.loses(&model.loss, units, &mut self.rng) {
            return Fate::Dropped(LinkDrop::Loss);
        }
        let duplicated = is_below(self.rng.fraction(), model.duplicate);
        let (at, mut reordered) = self.arrival(model, leaves);
        let again = duplicated.then(|| {
            let (again, held_back) = self.arrival(model, leaves);
            reordered |= held_back;
            again
        });
        Fate::Arrives {
            at,
            again,
            reordered,
        }
    }

    /// How long a message would wait at the bottleneck if it were sent at `now`. Zero if the rate
    /// was never limited.
    pub fn queueing_delay(&self, now: Instant) -> Duration {
        self.bottleneck.queueing_delay(now)
    }

    /// Returns the arrival time of a copy of a message that leaves the bottleneck at `leaves`, and
    /// whether it is reordered.
    fn arrival(&mut self, model: &LinkModel, leaves: Instant) -> (Instant, bool) {
        let jitter = model.jitter.mul_f64(self.rng.fraction());
        let at = leaves + self.base_delay(model) + jitter;
        if is_below(self.rng.fraction(), model.reorder) {
            let later = match model.hold_back {
                HoldBack::By(time) => time,
                HoldBack::UpTo(most) => most.mul_f64(self.rng.fraction()),
            };
            return (at + later, true);
        }
        let at = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(at);
        (at, false)
    }

    /// The delay of this link, without jitter.
    fn base_delay(&self, model: &LinkModel) -> Duration {
        let offset = model.spread.mul_f64(self.spread_position.abs());
        if self.spread_position < 0.0 {
            model.delay.saturating_sub(offset)
        } else {
            model.delay.saturating_add(offset)
        }
    }
}

/// The sequence of the generator from which the position in the spread is drawn. Messages draw from
/// sequence 0.
const SPREAD_SEQUENCE: u64 = 1;
