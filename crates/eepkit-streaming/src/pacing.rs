//! Pacing: spreads packets over the round trip, so that no hop receives a burst.
//!
//! If the transport queue of an I2P hop exceeds a few hundred messages, the hop drops messages, or
//! closes the connection to the next hop. Bursts therefore do more harm than on the Internet.

use std::time::{Duration, Instant};

/// A token bucket that counts packets.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    /// When the next packet may leave.
    next: Instant,
    /// Packets per second; `None` means no limit.
    rate: Option<f64>,
}

impl Pacer {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            next: now,
            rate: None,
        }
    }

    /// Sets the rate in packets per second.
    ///
    /// Some packets do not wait, such as the first ones of many streams, and the next ones wait for
    /// longer instead. Packets that have arrived are in no queue any more, so that the wait is at
    /// most that for the packets in flight.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: Option<f64>, in_flight: u32) {
        self.rate = rate.map(|rate| rate.clamp(MIN_RATE, MAX_RATE));
        if let Some(rate) = self.rate {
            let most = Duration::from_secs_f64(f64::from(in_flight.max(1)) / rate);
            self.next = self.next.min(now + most);
        }
    }

    /// When the next packet may leave, if that is after `now`.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        (self.rate.is_some() && self.next > now).then_some(self.next)
    }

    /// Accounts for a packet that leaves at `now`.
    pub(crate) fn on_sent(&mut self, now: Instant) {
        let Some(rate) = self.rate else {
            self.next = now;
            return;
        };
        // Unused time up to the quantum may be used in one burst, because timers expire late.
        let quantum = QUANTUM.max(Duration::from_secs_f64(f64::from(BURST - 1) / rate));
        let earliest = now.checked_sub(quantum).unwrap_or(now);
        self.next = self.next.max(earliest) + Duration::from_secs_f64(1.0 / rate);
    }
}

/// The most unused time that may be caught up in one burst. Chosen because timers of a busy process
/// are a few milliseconds late. On the fastest measured path, 10 ms are about 50 packets, which is
/// far below the number at which a first hop drops packets.
pub(crate) const QUANTUM: Duration = Duration::from_millis(10);
/// Packets that may be sent at once after a pause, at any rate. Chosen so that a small request or
/// answer is not spread over the round trip.
pub(crate) const BURST: u32 = 4;
/// Bounds of the rate in packets per second, which keep the divisions finite.
const MIN_RATE: f64 = 0.01;
const MAX_RATE: f64 = 1_000_000.0;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;

    fn sent_within(pacer: &mut Pacer, start: Instant, span: Duration) -> u32 {
        let (mut now, mut sent) = (start, 0);
        while now < start + span {
            match pacer.wait(now) {
                Some(at) => now = at,
                None => {
                    pacer.on_sent(now);
                    sent += 1;
                }
            }
        }
        sent
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let now = Instant::now();
        let mut pacer = Pacer::new(now);
        for _ in 0..100 {
            assert_eq!(pacer.wait(now), None);
            pacer.on_sent(now);
        }
    }

    #[test]
    fn the_rate_is_kept() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(start, Some(200.0), 1);
        let sent = sent_within(&mut pacer, start, Duration::from_secs(10));
        assert!((1998..=2008).contains(&sent), "{sent}");
    }

    #[test]
    fn idle_time_is_not_saved_up_beyond_the_quantum() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(start, Some(1000.0), 1);
        pacer.on_sent(start);
        let later = start + Duration::from_secs(60);
        let mut burst = 0;
        while pacer.wait(later).is_none() {
            pacer.on_sent(later);
            burst += 1;
        }
        assert!((10..=12).contains(&burst), "{burst}");
    }

    #[test]
    fn packets_that_did_not_wait_delay_others_until_they_have_arrived() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(start, Some(100.0), 1);
        for _ in 0..1000 {
            pacer.on_sent(start);
        }
        let wait = |pacer: &Pacer| pacer.wait(start).map(|at| at - start);
        assert!(wait(&pacer) > Some(Duration::from_secs(9)));
        pacer.set_rate(start, Some(100.0), 10);
        assert_eq!(wait(&pacer), Some(Duration::from_millis(100)));
        pacer.set_rate(start, Some(10_000.0), 10);
        assert_eq!(wait(&pacer), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_late_timer_does_not_slow_the_rate_down() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(start, Some(1000.0), 1);
        let (mut now, mut sent) = (start, 0_u32);
        while now < start + Duration::from_secs(1) {
            while pacer.wait(now).is_none() {
                pacer.on_sent(now);
                sent += 1;
            }
            now += Duration::from_millis(5);
        }
        assert!((990..=1014).contains(&sent), "{sent}");
    }
}
