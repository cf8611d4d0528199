//! A queue with a limited rate.

use std::time::{Duration, Instant};

use crate::Rate;

/// The limit of the queue at a bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// A message may wait for this long.
    Time(Duration),
    /// At most this many bytes may wait, not counting the offered message.
    Bytes(u64),
}

impl Queue {
    /// This limit, or `most` if it is a longer time.
    pub(crate) fn clamped(self, most: Duration) -> Self {
        match self {
            Self::Time(time) => Self::Time(time.min(most)),
            Self::Bytes(_) => self,
        }
    }

    fn is_exceeded(self, rate: Rate, queueing_delay: Duration) -> bool {
        match self {
            Self::Time(limit) => queueing_delay > limit,
            Self::Bytes(limit) => rate.exceeds(limit, queueing_delay),
        }
    }
}

impl Default for Queue {
    /// 333 ms: Java routers drop all transit traffic beyond this (SyntheticREDQueue).
    fn default() -> Self {
        Self::Time(Duration::from_millis(333))
    }
}

impl From<Duration> for Queue {
    /// Converts to [`Queue::Time`].
    fn from(limit: Duration) -> Self {
        Self::Time(limit)
    }
}

/// A bottleneck: transmits messages one after the other at a limited rate, and drops those for
/// which its queue is too long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bottleneck {
    /// The time at which the transmission of the last accepted message ends.
    free_at: Option<Instant>,
}

impl Bottleneck {
    /// How long a message would wait before its transmission begins if it were offered now.
    pub fn queueing_delay(&self, now: Instant) -> Duration {
        self.free_at.map_or(Duration::ZERO, |free_at| {
            free_at.saturating_duration_since(now)
        })
    }

    /// The time at which the transmission of a message would end if it were offered now and
    /// accepted. Does not change the state.
    pub fn leaves(&self, rate: Option<Rate>, now: Instant, bytes: usize) -> Instant {
        match rate {
            Some(rate) => now + self.queueing_delay(now) + rate.time_of(bytes),
            None => now,
        }
    }

    /// Accepts a message and returns the time at which its transmission ends. Returns `None` if the
    /// queue is longer than `queue`. Without a rate, a message leaves immediately.
    pub fn offer(
        &mut self,
        rate: Option<Rate>,
        queue: impl Into<Queue>,
        now: Instant,
        bytes: usize,
    ) -> Option<Instant> {
        let Some(limit) = rate else {
            return Some(now);
        };
        if queue.into().is_exceeded(limit, self.queueing_delay(now)) {
            return None;
        }
        let leaves = self.leaves(rate, now, bytes);
        self.free_at = Some(leaves);
        Some(leaves)
    }
}
