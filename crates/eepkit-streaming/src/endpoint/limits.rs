//! Counts incoming streams against limits per minute, hour and day.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use eepkit_wire::Hash;

use crate::config::RateLimits;

/// Counts recent incoming streams.
#[derive(Debug)]
pub(super) struct Limiter {
    total: Counters,
    peers: HashMap<Hash, Counters>,
}

/// The relation of an incoming stream to the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Within,
    Over,
    /// More than three times a limit. Such streams get no answer.
    FarOver,
}

impl Limiter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            total: Counters::new(now),
            peers: HashMap::new(),
        }
    }

    /// Counts an incoming stream of `peer`.
    pub(super) fn count(
        &mut self,
        now: Instant,
        peer: &Hash,
        per_peer: RateLimits,
        total: RateLimits,
    ) -> Standing {
        let mut standing = self.total.count(now, total);
        if per_peer != RateLimits::default() {
            if !self.peers.contains_key(peer) && self.peers.len() >= MAX_PEERS {
                self.peers.retain(|_, counters| !counters.is_over(now));
                if self.peers.len() >= MAX_PEERS {
                    // The table is full. A peer that cannot be counted is not refused.
                    return standing;
                }
            }
            let counters = self
                .peers
                .entry(*peer)
                .or_insert_with(|| Counters::new(now));
            standing = standing.worse(counters.count(now, per_peer));
        }
        standing
    }
}

impl Standing {
    fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::FarOver, _) | (_, Self::FarOver) => Self::FarOver,
            (Self::Over, _) | (_, Self::Over) => Self::Over,
            (Self::Within, Self::Within) => Self::Within,
        }
    }
}

#[derive(Debug)]
struct Counters {
    spans: [(Instant, u32); 3],
}

impl Counters {
    const fn new(now: Instant) -> Self {
        Self {
            spans: [(now, 0); 3],
        }
    }

    fn count(&mut self, now: Instant, limits: RateLimits) -> Standing {
        let limits = [limits.per_minute, limits.per_hour, limits.per_day];
        let mut standing = Standing::Within;
        for ((since, count), (length, limit)) in
            self.spans.iter_mut().zip(SPANS.into_iter().zip(limits))
        {
            if now.saturating_duration_since(*since) >= length {
                (*since, *count) = (now, 0);
            }
            *count = count.saturating_add(1);
            if limit > 0 && *count > limit {
                let far = *count > limit.saturating_mul(3);
                standing = standing.worse(if far {
                    Standing::FarOver
                } else {
                    Standing::Over
                });
            }
        }
        standing
    }

    /// Whether all time spans of the counters have passed.
    fn is_over(&self, now: Instant) -> bool {
        self.spans
            .iter()
            .zip(SPANS)
            .all(|((since, _), length)| now.saturating_duration_since(*since) >= length)
    }
}

/// A token bucket: allows a number of events per second, and some at once.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            tokens: BUCKET_SIZE,
            filled: now,
        }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned =
            now.saturating_duration_since(self.filled).as_millis() / BUCKET_INTERVAL.as_millis();
        if earned > 0 {
            self.tokens = self
                .tokens
                .saturating_add(u32::try_from(earned).unwrap_or(u32::MAX))
                .min(BUCKET_SIZE);
            self.filled = now;
        }
        let any = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        any
    }
}

const SPANS: [Duration; 3] = [
    Duration::from_secs(60),
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
];
/// The most peers that are counted. Each uses about 100 bytes.
const MAX_PEERS: usize = 16_384;
/// Time between two answers. Signing an answer takes about 20 microseconds, and sending it takes
/// several tunnel messages. Chosen because 50 answers per second are enough for honest peers and no
/// significant load.
const BUCKET_INTERVAL: Duration = Duration::from_millis(20);
const BUCKET_SIZE: u32 = 100;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    const NONE: RateLimits = RateLimits {
        per_minute: 0,
        per_hour: 0,
        per_day: 0,
    };

    fn count(
        limiter: &mut Limiter,
        now: Instant,
        peer: u8,
        per_peer: RateLimits,
        total: RateLimits,
    ) -> Standing {
        limiter.count(now, &Hash::from([peer; 32]), per_peer, total)
    }

    #[test]
    fn limits_hold_per_span_and_per_peer() {
        let start = Instant::now();
        let mut limiter = Limiter::new(start);
        let two = RateLimits {
            per_minute: 2,
            ..NONE
        };
        let mut results = |peer, now| count(&mut limiter, now, peer, two, NONE);
        assert_eq!(results(1, start), Standing::Within);
        assert_eq!(results(1, start), Standing::Within);
        assert_eq!(results(1, start), Standing::Over);
        assert_eq!(results(2, start), Standing::Within);
        assert_eq!(
            results(1, start + Duration::from_secs(60)),
            Standing::Within
        );
    }

    #[test]
    fn three_times_the_limit_is_far_over() {
        let now = Instant::now();
        let mut limiter = Limiter::new(now);
        let total = RateLimits { per_day: 2, ..NONE };
        let standings: Vec<_> = (0..7)
            .map(|peer| count(&mut limiter, now, peer, NONE, total))
            .collect();
        assert_eq!(standings[1], Standing::Within);
        assert!(
            standings[2..6]
                .iter()
                .all(|standing| *standing == Standing::Over)
        );
        assert_eq!(standings[6], Standing::FarOver);
    }

    #[test]
    fn the_bucket_refills_with_time() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        let taken = (0..1000).filter(|_| bucket.take(now)).count();
        assert_eq!(taken, BUCKET_SIZE as usize);
        let later = now + BUCKET_INTERVAL * 5;
        assert_eq!((0..1000).filter(|_| bucket.take(later)).count(), 5);
    }
}
