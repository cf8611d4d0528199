//! Models of loss.

use crate::{Rng, probability};

/// The loss of a link: a Gilbert-Elliott model, of which random loss and loss in bursts are special
/// cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Probability that a good state turns bad, per message.
    worsen: f64,
    /// Probability that a bad state turns good, per message.
    recover: f64,
    /// Probability that a message is lost in the good state.
    good: f64,
    /// Probability that a message is lost in the bad state.
    bad: f64,
}

impl Loss {
    /// No message is lost.
    pub const NONE: Self = Self {
        worsen: 0.0,
        recover: 1.0,
        good: 0.0,
        bad: 0.0,
    };

    /// Every message is lost.
    pub const ALL: Self = Self {
        good: 1.0,
        bad: 1.0,
        ..Self::NONE
    };

    /// Each message is lost with this probability, independently of the others.
    pub fn random(share: f64) -> Self {
        Self {
            good: probability(share),
            ..Self::NONE
        }
    }

    /// Loss in bursts: this share of all messages is lost, in runs of `length` messages on average
    /// (at least 1).
    ///
    /// This is the simple Gilbert model; see [`Loss::gilbert_elliott`] for the general one. If the
    /// share is too high for bursts of this length, the bursts become longer.
    pub fn bursts(share: f64, length: f64) -> Self {
        let share = probability(share);
        let recover = if length > 1.0 { 1.0 / length } else { 1.0 };
        if share >= 1.0 {
            return Self::ALL;
        }
        // Balance of the two states: share = worsen / (worsen + recover).
        let worsen = recover * share / (1.0 - share);
        let (worsen, recover) = if worsen > 1.0 {
            (1.0, (1.0 - share) / share)
        } else {
            (worsen, recover)
        };
        Self::gilbert_elliott(worsen, recover, 0.0, 1.0)
    }

    /// The Gilbert-Elliott model (E. O. Elliott, "Estimates of Error Rates for Codes on Burst-Noise
    /// Channels", 1963). A link is in a good or a bad state. Before each message it turns from good
    /// to bad with probability `worsen`, and from bad to good with probability `recover`. A message
    /// is lost with probability `good` or `bad`, depending on the state.
    pub fn gilbert_elliott(worsen: f64, recover: f64, good: f64, bad: f64) -> Self {
        Self {
            worsen: probability(worsen),
            recover: probability(recover),
            good: probability(good),
            bad: probability(bad),
        }
    }
}

impl From<f64> for Loss {
    /// Converts to [`Loss::random`].
    fn from(share: f64) -> Self {
        Self::random(share)
    }
}

/// Whether a link is in the bad state of its [`Loss`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LossState {
    bad: bool,
}

impl LossState {
    /// Draws whether a message of this many units ([`crate::LinkModel::loss_unit`]) is lost.
    pub(crate) fn loses(&mut self, loss: &Loss, units: f64, rng: &mut Rng) -> bool {
        let draw = rng.fraction();
        if loss.worsen > 0.0 || self.bad {
            let change = if self.bad { loss.recover } else { loss.worsen };
            if is_below(rng.fraction(), change) {
                self.bad = !self.bad;
            }
        }
        let one = if self.bad { loss.bad } else { loss.good };
        let lost = if units > 1.0 {
            1.0 - (1.0 - one).powf(units)
        } else {
            one
        };
        is_below(draw, lost)
    }
}

/// Whether an event of this probability happens. A draw may be 1, and an event with probability 1
/// happens then too.
pub(crate) fn is_below(draw: f64, probability: f64) -> bool {
    draw < probability || probability >= 1.0
}
