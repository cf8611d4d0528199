//! The timers of one stream, as a table.

use std::time::Instant;

/// A timer of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// When to send a delayed acknowledgement.
    Ack,
    /// When to send a tail loss probe, or to declare all packets in flight lost.
    Probe,
    /// When packets that were reported missing count as lost rather than reordered.
    Reorder,
    /// When to probe whether a choking peer has room again.
    Persist,
    /// When to repeat to the peer that there is room again.
    Unchoke,
    /// When to stop waiting for more data after a small write, or for data before the answer to
    /// SYN.
    Coalesce,
    /// When to end the connection attempt.
    Connect,
    /// When to refuse an incoming stream that was not accepted.
    Accept,
    /// When to act on a stream on which nothing was sent or received.
    Inactivity,
    /// When to free a released stream, finished or not.
    Linger,
}

impl Timer {
    const COUNT: usize = Self::Linger as usize + 1;
    const ALL: [Self; Self::COUNT] = [
        Self::Ack,
        Self::Probe,
        Self::Reorder,
        Self::Persist,
        Self::Unchoke,
        Self::Coalesce,
        Self::Connect,
        Self::Accept,
        Self::Inactivity,
        Self::Linger,
    ];
}

/// When each timer expires, if it runs.
#[derive(Debug, Default, Clone)]
pub(crate) struct TimerTable([Option<Instant>; Timer::COUNT]);

impl TimerTable {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Sets the timer unless it runs already and expires earlier.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let slot = &mut self.0[timer as usize];
        *slot = Some(slot.map_or(at, |running| running.min(at)));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    pub(crate) fn is_running(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    /// When the first of the running timers expires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops and returns a timer that has expired, in the order of [`Timer::ALL`].
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL
            .into_iter()
            .find(|timer| self.get(*timer).is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_timer_has_its_own_slot() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }

    #[test]
    fn timers_expire_once_and_when_due() {
        let start = Instant::now();
        let mut timers = TimerTable::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Probe, start + Duration::from_secs(2));
        timers.set(Timer::Ack, start + Duration::from_secs(1));
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(timers.expire(start), None);
        assert_eq!(
            timers.expire(start + Duration::from_secs(3)),
            Some(Timer::Ack)
        );
        assert_eq!(
            timers.expire(start + Duration::from_secs(3)),
            Some(Timer::Probe)
        );
        assert_eq!(timers.expire(start + Duration::from_secs(3)), None);
    }

    #[test]
    fn set_earlier_never_postpones() {
        let start = Instant::now();
        let mut timers = TimerTable::default();
        timers.set_earlier(Timer::Ack, start + Duration::from_secs(2));
        timers.set_earlier(Timer::Ack, start + Duration::from_secs(5));
        assert_eq!(timers.get(Timer::Ack), Some(start + Duration::from_secs(2)));
        timers.set_earlier(Timer::Ack, start + Duration::from_secs(1));
        assert_eq!(timers.get(Timer::Ack), Some(start + Duration::from_secs(1)));
    }
}
