//! Hold times of session locks, for measurements. Requires the feature `lock_tracking`.
//!
//! All sessions of the process are counted together. Times are real even if tokio's clock is
//! paused.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The holds of session locks for one purpose.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Holds {
    /// The purpose for which the lock was acquired.
    pub purpose: &'static str,
    /// The number of holds.
    pub count: u64,
    /// The longest hold.
    pub longest: Duration,
    /// The sum of all holds.
    pub total: Duration,
    /// Holds by duration: element `n` counts those of 2ⁿ to 2ⁿ⁺¹ nanoseconds.
    buckets: [u64; BUCKETS],
}

impl Holds {
    const fn new(purpose: &'static str) -> Self {
        Self {
            purpose,
            count: 0,
            longest: Duration::ZERO,
            total: Duration::ZERO,
            buckets: [0; BUCKETS],
        }
    }

    /// An upper bound of the quantile `share` (0 to 1) of the hold times. It is at most twice the
    /// exact quantile.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (exponent, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(2 << exponent).min(self.longest);
            }
        }
        self.longest
    }

    fn add(&mut self, held: Duration) {
        self.count += 1;
        self.total += held;
        self.longest = self.longest.max(held);
        let nanos = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        let exponent = nanos.checked_ilog2().unwrap_or(0) as usize;
        if let Some(bucket) = self.buckets.get_mut(exponent) {
            *bucket += 1;
        }
    }
}

/// Returns the holds since the last call, by purpose, and resets the counters.
pub fn take() -> Vec<Holds> {
    std::mem::take(&mut *table()).into_values().collect()
}

pub(crate) fn record(purpose: &'static str, held: Duration) {
    let mut table = table();
    let holds = table.entry(purpose).or_insert_with(|| Holds::new(purpose));
    holds.add(held);
}

fn table() -> MutexGuard<'static, BTreeMap<&'static str, Holds>> {
    // Nothing panics while it is held.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One entry for each purpose. Bounded because purposes are literals in this crate.
static TABLE: Mutex<BTreeMap<&'static str, Holds>> = Mutex::new(BTreeMap::new());

/// Up to 2⁴⁰ nanoseconds, which is 18 minutes.
const BUCKETS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_up_to_a_factor_of_two() {
        let mut holds = Holds::new("test");
        for micros in 1..=100 {
            holds.add(Duration::from_micros(micros));
        }
        let median = holds.quantile(0.5);
        assert!(median >= Duration::from_micros(50) && median <= Duration::from_micros(100));
        assert_eq!(holds.quantile(1.0), Duration::from_micros(100));
        assert_eq!(holds.longest, Duration::from_micros(100));
    }
}
