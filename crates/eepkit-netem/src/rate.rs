//! Data rates.

use std::time::Duration;

/// A data rate. The caller defines what counts as a byte, because [`Netem`](crate::Netem) counts
/// the given lengths. The resolution is a thousandth of a byte per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// Thousandths of a byte per second; at least 1.
    millibytes: u64,
}

impl Rate {
    /// Bytes per second; at least 1, at most 2^64 / 1000.
    pub fn bytes_per_second(bytes: u64) -> Self {
        Self {
            millibytes: bytes.max(1).saturating_mul(1000),
        }
    }

    /// Bytes per second, with a fractional part; at least 1/1000.
    pub fn bytes_per_second_f64(bytes: f64) -> Self {
        Self {
            // The conversion saturates, and converts NaN to zero.
            millibytes: ((bytes * 1000.0).round() as u64).max(1),
        }
    }

    /// Units of 1024 bytes per second; at least 1.
    pub fn kib_per_second(kib: u64) -> Self {
        Self::bytes_per_second(kib.saturating_mul(1024))
    }

    /// Units of 1024 * 1024 bytes per second; at least 1.
    pub fn mib_per_second(mib: u64) -> Self {
        Self::kib_per_second(mib.saturating_mul(1024))
    }

    /// The rate in bytes per second, rounded down.
    pub fn as_bytes_per_second(self) -> u64 {
        self.millibytes / 1000
    }

    /// The time to transmit this many bytes, to the nearest nanosecond.
    pub fn time_of(self, bytes: usize) -> Duration {
        let rate = u128::from(self.millibytes);
        let nanos = (bytes as u128 * PER_SECOND + rate / 2) / rate;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whether more than `bytes` bytes are transmitted in `time`.
    pub(crate) fn exceeds(self, bytes: u64, time: Duration) -> bool {
        let transmitted = time.as_nanos().saturating_mul(u128::from(self.millibytes));
        transmitted > u128::from(bytes) * PER_SECOND
    }
}

/// Nanoseconds per second times thousandths per byte.
const PER_SECOND: u128 = 1_000_000_000_000;
