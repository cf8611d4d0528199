//! The sending rate that the application allows.

use std::time::{Duration, Instant};

use crate::pacing::{BURST, QUANTUM};

/// A limit in bytes per second.
///
/// Only data waits for the limit. Packets that cannot wait, such as acknowledgements, are sent at
/// once. They count towards the limit, so that data is delayed accordingly.
#[derive(Debug, Clone)]
pub(crate) struct RateLimiter {
    /// When data may be sent again.
    next: Instant,
    /// Bytes per second; `None` is no limit.
    rate: Option<f64>,
}

impl RateLimiter {
    pub(crate) fn new(now: Instant, bytes_per_second: Option<u64>) -> Self {
        let mut limiter = Self {
            next: now,
            rate: None,
        };
        limiter.set(bytes_per_second);
        limiter
    }

    /// Sets the limit.
    #[expect(
        clippy::cast_precision_loss,
        reason = "speeds are far below 2^52 bytes per second"
    )]
    pub(crate) fn set(&mut self, bytes_per_second: Option<u64>) {
        self.rate = bytes_per_second.map(|rate| rate.max(1) as f64);
    }

    /// When data may be sent, if that is after `now`.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        (self.rate.is_some() && self.next > now).then_some(self.next)
    }

    /// Counts a packet of `bytes`.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let time = |bytes: f64| Duration::from_secs_f64((bytes / rate).min(MAX_DEBT.as_secs_f64()));
        let burst = f64::from(BURST - 1) * PACKET_BYTES;
        let earliest = now.checked_sub(QUANTUM.max(time(burst))).unwrap_or(now);
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.next = (self.next.max(earliest) + time(bytes)).min(now + MAX_DEBT);
    }
}

/// Size of a full packet.
const PACKET_BYTES: f64 = 1836.0;
/// The longest delay of data because of earlier packets.
const MAX_DEBT: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    #[test]
    fn data_makes_room_for_packets_that_cannot_wait() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(start, Some(100_000));
        let (mut now, mut data, mut rest) = (start, 0, 0);
        for tick in 0..10_000_u32 {
            now = start + Duration::from_millis(u64::from(tick));
            if tick % 10 == 0 {
                limiter.on_sent(now, 200);
                rest += 200;
            }
            if limiter.wait(now).is_none() {
                limiter.on_sent(now, 1000);
                data += 1000;
            }
        }
        let most = now.saturating_duration_since(start).as_secs_f64() * 100_000.0 + 6_000.0;
        let sent = f64::from(data + rest);
        assert!(sent <= most && sent > 0.98 * most, "{sent} of {most}");
        assert_eq!(rest, 200_000);
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(now, None);
        limiter.on_sent(now, 1_000_000);
        assert_eq!(limiter.wait(now), None);
    }
}
