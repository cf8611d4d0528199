//! Queueing delays at a bottleneck.

use std::time::Duration;

/// A histogram of queueing delays, in whole milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    counts: Vec<u32>,
    total: u64,
}

impl Waits {
    pub(crate) fn add(&mut self, wait: Duration) {
        let ms = usize::try_from(wait.as_millis()).map_or(MAX_WAIT_MS, |ms| ms.min(MAX_WAIT_MS));
        if self.counts.len() <= ms {
            self.counts.resize(ms + 1, 0);
        }
        self.counts[ms] += 1;
        self.total += 1;
    }

    /// The mean, or zero if there are none.
    pub fn mean(&self) -> Duration {
        let sum: u64 = (0_u64..)
            .zip(&self.counts)
            .map(|(ms, count)| ms * u64::from(*count))
            .sum();
        Duration::from_micros((sum * 1000).checked_div(self.total).unwrap_or(0))
    }

    /// The delay that `percent` of the packets did not exceed.
    pub fn percentile(&self, percent: u64) -> Duration {
        let mut left = self.total * percent / 100;
        for (ms, count) in (0_u64..).zip(&self.counts) {
            let count = u64::from(*count);
            if left < count {
                return Duration::from_millis(ms);
            }
            left -= count;
        }
        Duration::from_millis(self.counts.len().saturating_sub(1) as u64)
    }
}

/// Longer delays are counted as this. Chosen because no scenario has a queue of this length.
const MAX_WAIT_MS: usize = 20_000;
