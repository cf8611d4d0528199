//! The random numbers of links and simulated networks.
//!
//! Every part of a network that draws random numbers has a separate generator. Its seed is derived
//! from the seed of the network and the place of the part in it. Traffic on one link therefore does
//! not change the numbers that another link draws, and neither does a host that joins later.

use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A seeded generator. The algorithm is fixed (ChaCha8), so that the numbers are the same on every
/// platform and in every release.
#[derive(Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// A generator for the part of the network at `place`.
    pub fn new(seed: u64, place: &[u64]) -> Self {
        let mixed = place
            .iter()
            .fold(mix(seed), |state, part| mix(state ^ mix(*part)));
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// A generator with exactly this seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A generator with the same seed and another sequence, which does not depend on how many
    /// numbers this one has drawn.
    pub(crate) fn split(&self, sequence: u64) -> Self {
        let mut rng = self.0.clone();
        rng.set_stream(sequence);
        rng.set_word_pos(0);
        Self(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        // The mantissa of a double has 53 bits.
        (self.bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `0.0..=1.0`, in steps of 2^-32. Uses half as many random bits as
    /// [`unit`](Self::unit), because links draw several numbers for each message.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX)
    }

    /// Uniform in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of the modulo is 2^-50 for the small bounds that are used here.
        match u64::try_from(bound) {
            Ok(bound) if bound > 0 => usize::try_from(self.bits() % bound).unwrap_or(0),
            _ => 0,
        }
    }

    /// Exponentially distributed with this mean: the time between independent events.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        // `1 - unit` is in (0, 1], so the logarithm is finite; 36 means is the largest draw.
        let factor = -(1.0 - self.unit()).ln();
        Duration::try_from_secs_f64(mean.as_secs_f64() * factor).unwrap_or(Duration::MAX)
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng")
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators",
/// 2014), which derives unrelated numbers from neighbouring ones.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_determines_the_drawn_numbers() {
        let draw = |seed, place: &[u64]| {
            let mut rng = Rng::new(seed, place);
            [rng.bits(), rng.bits(), rng.bits()]
        };

        assert_eq!(draw(7, &[1, 2]), draw(7, &[1, 2]));
        assert_ne!(draw(7, &[1, 2]), draw(7, &[2, 1]));
        assert_ne!(draw(7, &[1, 2]), draw(8, &[1, 2]));
        assert_ne!(draw(7, &[]), draw(7, &[0]));
    }

    #[test]
    fn the_numbers_stay_the_same_between_releases() {
        let mut rng = Rng::new(7, &[1]);
        let drawn = [rng.bits(), rng.bits()];

        assert_eq!(
            drawn,
            [10_628_603_171_793_117_773, 1_235_749_007_610_749_272]
        );
    }

    #[test]
    fn exponential_draws_have_the_requested_mean() {
        let mut rng = Rng::new(1, &[]);
        let sum: Duration = (0..10_000)
            .map(|_| rng.exponential(Duration::from_secs(1)))
            .sum();

        let mean = sum.as_secs_f64() / 10_000.0;
        assert!((0.97..1.03).contains(&mean), "{mean}");
    }
}
