//! The ways to one peer, where the router shows them: each a tunnel out and a lease of the peer in.
//!
//! One of them carries everything, because packets that take turns arrive out of order. The others
//! serve three purposes. A tail probe takes another tunnel, the next one another lease, and where a
//! probe is answered while the way in use is silent, that way is left. A way that is about to end gets
//! a successor, which carries some packets beforehand so that its round-trip time is known. And the
//! window learned on one way is taken along to the next.

use std::time::{Duration, Instant};

use crate::endpoint::Way;

/// The ways to one peer.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    known: Vec<Known>,
    /// The one in use, 0 where the router chooses.
    active: u64,
    /// Packets that could have gone over the successor.
    turn: u32,
    /// Since when the way in use has been suspect: a probe left then.
    probed: Option<Instant>,
    /// The way that was left last because it was silent, and how often that happened.
    pub(crate) dead: u64,
    pub(crate) failures: u32,
}

#[derive(Debug)]
struct Known {
    way: Way,
    /// The least round-trip time seen.
    rtt: Option<Duration>,
    /// Probes went out over it unanswered, or it fell silent.
    failed: Option<Instant>,
}

/// Another way is in use from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switched {
    /// Its round-trip time, where known.
    pub(crate) rtt: Option<Duration>,
}

impl Ways {
    pub(crate) const fn active(&self) -> u64 {
        self.active
    }

    /// Takes the ways that there are now.
    pub(crate) fn set(&mut self, now: Instant, ways: &[Way]) -> Option<Switched> {
        let known = ways.iter().take(MAX_WAYS).map(|way| {
            let old = self.known.iter().find(|old| old.way.id == way.id);
            Known {
                way: *way,
                rtt: old.and_then(|old| old.rtt),
                failed: old.and_then(|old| old.failed),
            }
        });
        self.known = known.collect();
        if self.get(self.active).is_some() {
            return None;
        }
        let best = self.best(now, |_| true);
        self.switch(best.map_or(0, |best| best.way.id))
    }

    fn get(&self, id: u64) -> Option<&Known> {
        self.known.iter().find(|known| known.way.id == id)
    }

    /// The way that fits, did not fail of late and lasts longest; the first of equals.
    fn best(&self, now: Instant, fits: impl Fn(&Known) -> bool) -> Option<&Known> {
        let failed = |known: &Known| {
            known
                .failed
                .filter(|at| now.saturating_duration_since(*at) < DISTRUST)
        };
        let lasts = |known: &Known| {
            known
                .way
                .expires
                .map_or(u64::MAX, |end| end.saturating_duration_since(now).as_secs())
        };
        self.known
            .iter()
            .filter(|known| fits(known) && !known.is_over(now))
            .rev()
            .max_by_key(|known| (failed(known).is_none(), lasts(known)))
    }

    fn switch(&mut self, to: u64) -> Option<Switched> {
        if to == self.active {
            return None;
        }
        self.active = to;
        self.probed = None;
        Some(Switched {
            rtt: self.get(to).and_then(|known| known.rtt),
        })
    }

    /// Where the way in use ends soon, its successor.
    fn successor(&self, now: Instant) -> Option<(&Known, Duration)> {
        let end = self.get(self.active)?.way.expires?;
        let left = end.saturating_duration_since(now);
        if left > WARM_UP {
            return None;
        }
        let next = self.best(now, |known| {
            known.way.id != self.active && known.way.expires.is_none_or(|other| other > end + LATE)
        })?;
        Some((next, left))
    }

    /// Leaves a way that is about to end for one that is known or, at the last moment, for any.
    pub(crate) fn renew(&mut self, now: Instant) -> Option<Switched> {
        let (next, left) = self.successor(now)?;
        let (id, known) = (next.way.id, next.rtt.is_some());
        (left < LATE || (known && left < WARM_UP / 2))
            .then(|| self.switch(id))
            .flatten()
    }

    /// The way of the next packet.
    pub(crate) fn next(&mut self, now: Instant) -> u64 {
        let Some((next, _)) = self.successor(now) else {
            return self.active;
        };
        let id = next.way.id;
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(WARM_UP_SHARE) {
            id
        } else {
            self.active
        }
    }

    /// The way of a tail probe; `attempt` counts from 1.
    pub(crate) fn probe(&mut self, now: Instant, attempt: u32) -> u64 {
        let Some(active) = self.get(self.active).map(|known| known.way) else {
            return self.active;
        };
        self.probed.get_or_insert(now);
        let other_lease = attempt.is_multiple_of(2);
        let other = self
            .best(now, |known| {
                if other_lease {
                    known.way.lease != active.lease
                } else {
                    known.way.outbound != active.outbound && known.way.lease == active.lease
                }
            })
            .or_else(|| self.best(now, |known| known.way.outbound != active.outbound))
            .or_else(|| self.best(now, |known| known.way.id != active.id));
        other.map_or(active.id, |other| other.way.id)
    }

    /// Takes note of an acknowledged packet that left over `path` at `sent`.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        path: u64,
        sent: Instant,
        rtt: Option<Duration>,
    ) -> Option<Switched> {
        let active = path == self.active;
        let known = self.known.iter_mut().find(|known| known.way.id == path)?;
        known.failed = None;
        if let Some(rtt) = rtt {
            known.rtt = Some(known.rtt.map_or(rtt, |least| least.min(rtt)));
        }
        if active {
            self.probed = None;
            return None;
        }
        // A probe came through while nothing else did.
        if self.probed.is_none_or(|probed| sent < probed) {
            return None;
        }
        self.leave(now, path)
    }

    /// Leaves the way in use, which seems dead, for another one. `false` where there is none.
    pub(crate) fn give_up(&mut self, now: Instant) -> Option<Switched> {
        let active = self.get(self.active)?.way;
        let other = self
            .best(now, |known| known.way.outbound != active.outbound)
            .or_else(|| self.best(now, |known| known.way.id != active.id))?
            .way
            .id;
        self.leave(now, other)
    }

    fn leave(&mut self, now: Instant, other: u64) -> Option<Switched> {
        let left = self.active;
        if let Some(known) = self.known.iter_mut().find(|known| known.way.id == left) {
            known.failed = Some(now);
        }
        self.dead = left;
        self.failures = self.failures.wrapping_add(1);
        self.switch(other)
    }
}

impl Known {
    fn is_over(&self, now: Instant) -> bool {
        self.way.expires.is_some_and(|end| end <= now)
    }
}

/// Pairs of tunnels and leases that are considered; more bring nothing, and bound the search.
const MAX_WAYS: usize = 16;
/// How long a way that failed is used only if there is no other.
const DISTRUST: Duration = Duration::from_secs(60);
/// How long before its end the successor of a way begins to carry packets, and the share that it does:
/// one of so many. Half of that time before the end it takes over.
const WARM_UP: Duration = Duration::from_secs(60);
const WARM_UP_SHARE: u32 = 16;
/// What leaves later may arrive when the way has ended.
const LATE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests;
