//! The ways to one peer, where the router shows them: each a tunnel out and a lease of the peer in.
//!
//! One of them carries everything, because packets that take turns arrive out of order, unless several
//! are asked for. The others serve three purposes. A tail probe takes another tunnel and another lease,
//! and where it is answered while the way in use is silent, that way is left. A way that is about to end
//! gets a successor, which carries some packets beforehand so that its round-trip time is known. And the
//! window learned on one way is taken along to the next.

use std::time::{Duration, Instant};

use crate::endpoint::Way;

/// The ways to one peer.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    known: Vec<Known>,
    /// The way that was left last because it was silent, and how often that happened.
    pub(crate) dead: u64,
    pub(crate) failures: u32,
}

/// Which of the ways one lane takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// The one in use, 0 where the router chooses.
    active: u64,
    /// Packets that could have gone over the successor.
    turn: u32,
    /// Since when the way in use has been suspect: a probe left then.
    probed: Option<Instant>,
}

impl Cursor {
    pub(crate) const fn active(&self) -> u64 {
        self.active
    }

    pub(crate) const fn probed(&self) -> Option<Instant> {
        self.probed
    }

    /// A probe asks whether the way in use still works.
    pub(crate) fn suspect(&mut self, now: Instant) {
        self.probed.get_or_insert(now);
    }
}

/// The tunnels and leases that other lanes use: a second lane over either would share its narrowest hop.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    pairs: [Option<(u64, u64)>; MAX_LANES],
}

impl Taken {
    fn clashes(&self, way: &Way) -> bool {
        self.pairs
            .iter()
            .flatten()
            .any(|(outbound, lease)| *outbound == way.outbound || *lease == way.lease)
    }
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
    /// It was silent when it was last used.
    pub(crate) failed: bool,
}

impl Ways {
    /// Takes the ways that there are now.
    pub(crate) fn set(&mut self, ways: &[Way]) {
        let known = ways.iter().take(MAX_WAYS).map(|way| {
            let old = self.known.iter().find(|old| old.way.id == way.id);
            Known {
                way: *way,
                rtt: old.and_then(|old| old.rtt),
                failed: old.and_then(|old| old.failed),
            }
        });
        self.known = known.collect();
    }

    /// What the lanes of these cursors use.
    pub(crate) fn taken<'a>(&self, cursors: impl Iterator<Item = &'a Cursor>) -> Taken {
        let mut taken = Taken::default();
        for (slot, cursor) in taken.pairs.iter_mut().zip(cursors) {
            *slot = self
                .get(cursor.active)
                .map(|known| (known.way.outbound, known.way.lease));
        }
        taken
    }

    /// Takes another way if that in use is no longer there; none if all are taken.
    pub(crate) fn follow(
        &self,
        now: Instant,
        cursor: &mut Cursor,
        taken: &Taken,
    ) -> Option<Switched> {
        if self.get(cursor.active).is_some() {
            return None;
        }
        let best = self.best(now, taken, |_| true);
        self.switch(cursor, best.map_or(0, |best| best.way.id))
    }

    /// Takes a way for a lane that has none, but not one that failed of late.
    pub(crate) fn begin(
        &self,
        now: Instant,
        cursor: &mut Cursor,
        taken: &Taken,
    ) -> Option<Switched> {
        let id = self
            .best(now, taken, |known| !known.is_distrusted(now))?
            .way
            .id;
        self.switch(cursor, id)
    }

    fn get(&self, id: u64) -> Option<&Known> {
        self.known.iter().find(|known| known.way.id == id)
    }

    /// The way that fits, did not fail of late and lasts longest; the first of equals.
    fn best(&self, now: Instant, taken: &Taken, fits: impl Fn(&Known) -> bool) -> Option<&Known> {
        let lasts = |known: &Known| {
            known
                .way
                .expires
                .map_or(u64::MAX, |end| end.saturating_duration_since(now).as_secs())
        };
        self.known
            .iter()
            .filter(|known| fits(known) && !known.is_over(now) && !taken.clashes(&known.way))
            .rev()
            .max_by_key(|known| (!known.is_distrusted(now), lasts(known)))
    }

    fn switch(&self, cursor: &mut Cursor, to: u64) -> Option<Switched> {
        if to == cursor.active {
            return None;
        }
        cursor.active = to;
        cursor.probed = None;
        let known = self.get(to);
        Some(Switched {
            rtt: known.and_then(|known| known.rtt),
            failed: known.is_some_and(|known| known.failed.is_some()),
        })
    }

    /// Where the way in use ends soon, its successor.
    fn successor(
        &self,
        now: Instant,
        cursor: &Cursor,
        taken: &Taken,
    ) -> Option<(&Known, Duration)> {
        let end = self.get(cursor.active)?.way.expires?;
        let left = end.saturating_duration_since(now);
        if left > WARM_UP {
            return None;
        }
        let next = self.best(now, taken, |known| {
            known.way.id != cursor.active
                && known.way.expires.is_none_or(|other| other > end + LATE)
        })?;
        Some((next, left))
    }

    /// Leaves a way that is about to end for one that is known or, at the last moment, for any.
    pub(crate) fn renew(
        &self,
        now: Instant,
        cursor: &mut Cursor,
        taken: &Taken,
    ) -> Option<Switched> {
        let (next, left) = self.successor(now, cursor, taken)?;
        let (id, known) = (next.way.id, next.rtt.is_some());
        (left < LATE || (known && left < WARM_UP / 2))
            .then(|| self.switch(cursor, id))
            .flatten()
    }

    /// The way of the next packet.
    pub(crate) fn next(&self, now: Instant, cursor: &mut Cursor, taken: &Taken) -> u64 {
        let Some((next, _)) = self.successor(now, cursor, taken) else {
            return cursor.active;
        };
        cursor.turn = cursor.turn.wrapping_add(1);
        if cursor.turn.is_multiple_of(WARM_UP_SHARE) {
            next.way.id
        } else {
            cursor.active
        }
    }

    /// The way of a tail probe; `attempt` counts from 1. Whichever of the two ends of the way in use is
    /// dead, one that shares neither gets through.
    pub(crate) fn probe(&self, now: Instant, cursor: &mut Cursor, attempt: u32) -> u64 {
        let Some(active) = self.get(cursor.active).map(|known| known.way) else {
            return cursor.active;
        };
        cursor.suspect(now);
        let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
        let mut others: Vec<&Known> = self
            .known
            .iter()
            .filter(|known| known.way.id != active.id && !known.is_over(now))
            .collect();
        others.sort_by_key(|known| {
            let tunnel = known.way.outbound == active.outbound;
            let lease = known.way.lease == active.lease;
            (known.is_distrusted(now), tunnel, lease)
        });
        let other = turn
            .checked_rem(others.len())
            .and_then(|turn| others.get(turn));
        other.map_or(active.id, |other| other.way.id)
    }

    /// Takes note of an acknowledged packet that left over `path` at `sent`.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        cursor: &mut Cursor,
        path: u64,
        sent: Instant,
        rtt: Option<Duration>,
    ) -> Option<Switched> {
        let known = self.known.iter_mut().find(|known| known.way.id == path)?;
        known.failed = None;
        if let Some(rtt) = rtt {
            known.rtt = Some(known.rtt.map_or(rtt, |least| least.min(rtt)));
        }
        if path == cursor.active {
            cursor.probed = None;
            return None;
        }
        // A probe came through while nothing else did.
        if cursor.probed.is_none_or(|probed| sent < probed) {
            return None;
        }
        self.leave(now, cursor, path)
    }

    /// Leaves the way in use, which seems dead, for another one if there is one.
    pub(crate) fn give_up(
        &mut self,
        now: Instant,
        cursor: &mut Cursor,
        taken: &Taken,
    ) -> Option<Switched> {
        let active = self.get(cursor.active)?.way;
        let other = self
            .best(now, taken, |known| known.way.outbound != active.outbound)
            .or_else(|| self.best(now, taken, |known| known.way.id != active.id))?
            .way
            .id;
        self.leave(now, cursor, other)
    }

    /// Leaves the way in use, which seems dead, for one that nobody uses, or for none.
    pub(crate) fn abandon(
        &mut self,
        now: Instant,
        cursor: &mut Cursor,
        taken: &Taken,
    ) -> Option<Switched> {
        let left = cursor.active;
        let other = self.best(now, taken, |known| {
            known.way.id != left && !known.is_distrusted(now)
        });
        let other = other.map_or(0, |other| other.way.id);
        self.leave(now, cursor, other)
    }

    fn leave(&mut self, now: Instant, cursor: &mut Cursor, other: u64) -> Option<Switched> {
        let left = cursor.active;
        if let Some(known) = self.known.iter_mut().find(|known| known.way.id == left) {
            known.failed = Some(now);
        }
        self.dead = left;
        self.failures = self.failures.wrapping_add(1);
        self.switch(cursor, other)
    }
}

impl Known {
    fn is_over(&self, now: Instant) -> bool {
        self.way.expires.is_some_and(|end| end <= now)
    }

    /// Whether it failed of late.
    fn is_distrusted(&self, now: Instant) -> bool {
        self.failed
            .is_some_and(|at| now.saturating_duration_since(at) < DISTRUST)
    }
}

/// Pairs of tunnels and leases that are considered; more bring nothing, and bound the search.
const MAX_WAYS: usize = 16;
/// Ways that carry the packets of a peer at once. More tunnels than this towards one peer are rare, and
/// each tells more hops of the transfer.
pub(crate) const MAX_LANES: usize = 4;
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
