//! An emulator of one-way network links.
//!
//! [`LinkModel`] describes the behaviour of a link: delay, jitter, loss, rate, queue, reordering
//! and duplication. [`Netem`] is one link with this behaviour. The emulator stores no messages, and
//! uses no clock and no sockets. Its inputs are the time and the length of each message, and its
//! output is the message's [`Fate`]. The caller stores the message until it arrives.
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
//! let mut link = Netem::new(7);
//!
//! # #[expect(clippy::disallowed_methods, reason = "there is no other source of an Instant")]
//! let now = std::time::Instant::now();
//! match link.offer(&model, now, 1024) {
//!     // 1 KiB takes 1/64 s to leave, and 200 ms from there.
//!     Fate::Arrives { at, .. } => assert_eq!(at - now, Duration::from_micros(215_625)),
//!     Fate::Dropped(cause) => println!("{cause:?}"),
//! }
//! ```
//!
//! # Randomness
//!
//! A link draws all numbers from one seeded generator. Links with the same seed, the same models
//! and the same messages have the same fates on every platform. Every message that the bottleneck
//! accepts draws the same numbers in the same order, whether or not the model uses them: loss (and,
//! for loss in bursts, the change of state), duplication, and for each copy jitter and reordering.
//! A change of delay, jitter, rate or queue therefore does not change which messages are lost as
//! long as the queue accepts the same messages. A lost message draws no further numbers.

mod bottleneck;
mod link;
mod loss;
mod model;
mod rate;
mod rng;

pub use bottleneck::{Bottleneck, Queue};
pub use link::{Fate, LinkDrop, Netem};
pub use loss::Loss;
pub use model::LinkModel;
pub use rate::Rate;
pub use rng::Rng;

/// Restricts a number to 0..=1. NaN becomes 0, because `clamp` would return it, and every
/// comparison of it with a drawn number is false.
fn probability(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests;
