//! The paths to one peer, and the choice among them.
//!
//! One path carries all packets unless the application allows several, because packets that
//! alternate between paths arrive out of order. The other paths have two uses:
//!
//! * A tail loss probe takes a path with another tunnel and another lease. If it is acknowledged
//!   while the active path is silent, the peer migrates to the path of the probe.
//! * A path that expires soon gets a successor. The successor carries some of the packets before
//!   the migration, so that its round-trip time is known by then.
//!
//! A migration keeps cwnd.

use std::time::{Duration, Instant};

use eepkit_wire::LeaseId;

use crate::path::{Path, PathId, TunnelId};

/// The paths to one peer.
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    entries: Vec<Entry>,
    /// The path that failed last, and the number of failures.
    pub(crate) last_failed: PathId,
    pub(crate) failures: u32,
}

/// The path that one path state uses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ActivePath {
    id: PathId,
    /// Packets that the successor was eligible for.
    eligible: u32,
    /// When the first probe was sent that tests whether the path still works.
    probed: Option<Instant>,
}

impl ActivePath {
    /// The id of the path; [`PathId::ANY`] if the router chooses tunnel and lease.
    pub(crate) const fn id(&self) -> PathId {
        self.id
    }

    pub(crate) const fn probed(&self) -> Option<Instant> {
        self.probed
    }

    /// Records that a probe is sent that tests whether the path still works.
    pub(crate) fn suspect(&mut self, now: Instant) {
        self.probed.get_or_insert(now);
    }
}

/// The tunnels and leases of the other active paths. Another path over one of them would share a
/// bottleneck.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InUse {
    paths: [Option<(TunnelId, LeaseId)>; MAX_ACTIVE_PATHS],
}

impl InUse {
    fn overlaps(&self, path: &Path) -> bool {
        self.paths
            .iter()
            .flatten()
            .any(|(tunnel, lease)| *tunnel == path.tunnel || *lease == path.lease)
    }
}

#[derive(Debug)]
struct Entry {
    path: Path,
    /// The shortest round-trip time measured.
    rtt: Option<Duration>,
    /// When it last failed: only the probe over another path was acknowledged.
    failed: Option<Instant>,
    /// The probes since anything was acknowledged.
    probes: u32,
}

/// A migration to another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Migration {
    /// The round-trip time of the new path, if it was measured before.
    pub(crate) rtt: Option<Duration>,
    /// Whether the new path failed when it was last active.
    pub(crate) failed: bool,
}

impl PathTable {
    /// Replaces the paths. Paths that stay keep their measurements.
    pub(crate) fn set(&mut self, paths: &[Path]) {
        let entries = paths.iter().take(MAX_PATHS).map(|path| {
            let old = self.entries.iter().find(|old| old.path.id == path.id);
            Entry {
                path: *path,
                rtt: old.and_then(|old| old.rtt),
                failed: old.and_then(|old| old.failed),
                probes: old.map_or(0, |old| old.probes),
            }
        });
        self.entries = entries.collect();
    }

    /// The tunnels and leases of these active paths.
    pub(crate) fn in_use<'a>(&self, actives: impl Iterator<Item = &'a ActivePath>) -> InUse {
        let mut in_use = InUse::default();
        for (slot, active) in in_use.paths.iter_mut().zip(actives) {
            *slot = self
                .get(active.id)
                .map(|entry| (entry.path.tunnel, entry.path.lease));
        }
        in_use
    }

    /// Migrates to another path if the active one does not exist any more, or to [`PathId::ANY`] if
    /// there is no other path.
    pub(crate) fn replace_gone(
        &self,
        now: Instant,
        active: &mut ActivePath,
        in_use: &InUse,
    ) -> Option<Migration> {
        if self.get(active.id).is_some() {
            return None;
        }
        let best = self.best(now, in_use, |_| true);
        self.migrate(active, best.map_or(PathId::ANY, |best| best.path.id))
    }

    /// Chooses a path for a path state that has none, but not one that failed recently.
    pub(crate) fn assign(
        &self,
        now: Instant,
        active: &mut ActivePath,
        in_use: &InUse,
    ) -> Option<Migration> {
        let best = self.best(now, in_use, |entry| !entry.failed_recently(now))?;
        self.migrate(active, best.path.id)
    }

    /// The path with this id.
    pub(crate) fn path(&self, id: PathId) -> Option<&Path> {
        self.get(id).map(|entry| &entry.path)
    }

    /// The id of the path over this tunnel and lease.
    pub(crate) fn id_of(&self, tunnel: TunnelId, lease: LeaseId) -> Option<PathId> {
        let same = |entry: &&Entry| entry.path.tunnel == tunnel && entry.path.lease == lease;
        self.entries.iter().find(same).map(|entry| entry.path.id)
    }

    fn get(&self, id: PathId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.id == id)
    }

    /// The path among those that `fits` accepts that did not fail recently and expires last. The
    /// first one among equals.
    fn best(&self, now: Instant, in_use: &InUse, fits: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let lifetime = |entry: &Entry| {
            entry
                .path
                .expires
                .map_or(u64::MAX, |end| end.saturating_duration_since(now).as_secs())
        };
        self.entries
            .iter()
            .filter(|entry| fits(entry) && !entry.has_expired(now) && !in_use.overlaps(&entry.path))
            .rev()
            .max_by_key(|entry| (!entry.failed_recently(now), lifetime(entry)))
    }

    fn migrate(&self, active: &mut ActivePath, to: PathId) -> Option<Migration> {
        if to == active.id {
            return None;
        }
        active.id = to;
        active.probed = None;
        let entry = self.get(to);
        Some(Migration {
            rtt: entry.and_then(|entry| entry.rtt),
            failed: entry.is_some_and(|entry| entry.failed.is_some()),
        })
    }

    /// The successor of the active path if that expires soon, and the time left.
    fn successor(
        &self,
        now: Instant,
        active: &ActivePath,
        in_use: &InUse,
    ) -> Option<(&Entry, Duration)> {
        let end = self.get(active.id)?.path.expires?;
        let left = end.saturating_duration_since(now);
        if left > WARM_UP {
            return None;
        }
        let next = self.best(now, in_use, |entry| {
            entry.path.id != active.id
                && entry
                    .path
                    .expires
                    .is_none_or(|other| other > end + EXPIRY_MARGIN)
        })?;
        Some((next, left))
    }

    /// Migrates to the successor once its round-trip time is known, or shortly before the active
    /// path expires.
    pub(crate) fn renew(
        &self,
        now: Instant,
        active: &mut ActivePath,
        in_use: &InUse,
    ) -> Option<Migration> {
        let (next, left) = self.successor(now, active, in_use)?;
        let (id, measured) = (next.path.id, next.rtt.is_some());
        (left < EXPIRY_MARGIN || (measured && left < WARM_UP / 2))
            .then(|| self.migrate(active, id))
            .flatten()
    }

    /// The path of the next packet: the active one, or for some packets its successor.
    pub(crate) fn next(&self, now: Instant, active: &mut ActivePath, in_use: &InUse) -> PathId {
        let Some((next, _)) = self.successor(now, active, in_use) else {
            return active.id;
        };
        active.eligible = active.eligible.wrapping_add(1);
        if active.eligible.is_multiple_of(WARM_UP_SHARE) {
            next.path.id
        } else {
            active.id
        }
    }

    /// The path of a tail loss probe. Either the tunnel or the lease of the active path may have
    /// failed, so paths that share neither are used first. Several tunnels may have failed, so that
    /// the next probe takes a tunnel and a lease over which the fewest probes were sent.
    pub(crate) fn probe(&mut self, now: Instant, active: &mut ActivePath) -> PathId {
        let Some(current) = self.get(active.id).map(|entry| entry.path) else {
            return active.id;
        };
        active.suspect(now);
        let probe = self
            .entries
            .iter()
            .filter(|entry| entry.path.id != current.id && !entry.has_expired(now))
            .min_by_key(|entry| {
                let path = &entry.path;
                let same_tunnel = path.tunnel == current.tunnel;
                let same_lease = path.lease == current.lease;
                let probes =
                    self.probes_like(path) + u32::from(same_tunnel) + u32::from(same_lease);
                (entry.failed_recently(now), probes, same_tunnel, same_lease)
            })
            .map_or(current.id, |entry| entry.path.id);
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.path.id == probe) {
            entry.probes = entry.probes.saturating_add(1);
        }
        probe
    }

    /// The number of unanswered probes over the tunnel of this path, over its lease, and over both.
    fn probes_like(&self, path: &Path) -> u32 {
        self.entries
            .iter()
            .map(|entry| {
                let shared = u32::from(entry.path.tunnel == path.tunnel)
                    + u32::from(entry.path.lease == path.lease)
                    + u32::from(entry.path.id == path.id);
                entry.probes.saturating_mul(shared)
            })
            .fold(0, u32::saturating_add)
    }

    /// Handles the acknowledgement of a packet that was sent over `path` at `sent_at`.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        active: &mut ActivePath,
        path: PathId,
        sent_at: Instant,
        rtt: Option<Duration>,
    ) -> Option<Migration> {
        for entry in &mut self.entries {
            entry.probes = 0;
        }
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.path.id == path)?;
        entry.failed = None;
        if let Some(rtt) = rtt {
            entry.rtt = Some(entry.rtt.map_or(rtt, |least| least.min(rtt)));
        }
        if path == active.id {
            active.probed = None;
            return None;
        }
        // A probe was acknowledged while the active path was silent.
        if active.probed.is_none_or(|probed| sent_at < probed) {
            return None;
        }
        self.fail(now, active, path)
    }

    /// Handles the failure of the active path: migrates to another path if there is one.
    pub(crate) fn give_up(
        &mut self,
        now: Instant,
        active: &mut ActivePath,
        in_use: &InUse,
    ) -> Option<Migration> {
        let current = self.get(active.id)?.path;
        // Either the tunnel or the lease has failed.
        let shares_nothing = |entry: &Entry| {
            entry.path.tunnel != current.tunnel && entry.path.lease != current.lease
        };
        let other = self
            .best(now, in_use, |entry| {
                shares_nothing(entry) && !entry.failed_recently(now)
            })
            .or_else(|| self.best(now, in_use, |entry| entry.path.id != current.id))?
            .path
            .id;
        self.fail(now, active, other)
    }

    /// Handles the failure of the active path: migrates to a path that is not in use, or to none.
    pub(crate) fn abandon(
        &mut self,
        now: Instant,
        active: &mut ActivePath,
        in_use: &InUse,
    ) -> Option<Migration> {
        let failed = active.id;
        let other = self.best(now, in_use, |entry| {
            entry.path.id != failed && !entry.failed_recently(now)
        });
        let other = other.map_or(PathId::ANY, |other| other.path.id);
        self.fail(now, active, other)
    }

    /// Records the failure of the active path, and migrates to `other`.
    fn fail(&mut self, now: Instant, active: &mut ActivePath, other: PathId) -> Option<Migration> {
        let failed = active.id;
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.path.id == failed)
        {
            entry.failed = Some(now);
        }
        self.last_failed = failed;
        self.failures = self.failures.wrapping_add(1);
        self.migrate(active, other)
    }
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        self.path.expires.is_some_and(|end| end <= now)
    }

    fn failed_recently(&self, now: Instant) -> bool {
        self.failed
            .is_some_and(|at| now.saturating_duration_since(at) < FAILURE_MEMORY)
    }
}

/// The most paths to a peer. Chosen because more paths have no benefit, and so that searches stay
/// short.
pub(crate) const MAX_PATHS: usize = 16;
/// The most active paths to a peer. Chosen because a peer rarely has more tunnels, and because each
/// path reveals the transfer to more hops.
pub(crate) const MAX_ACTIVE_PATHS: usize = 4;
/// How long a path that failed is used only if there is no other path.
const FAILURE_MEMORY: Duration = Duration::from_secs(60);
/// Time before the expiry of a path at which its successor begins to carry packets. The migration
/// follows after half of that time.
const WARM_UP: Duration = Duration::from_secs(60);
/// One of this many packets is sent over the successor.
const WARM_UP_SHARE: u32 = 16;
/// A packet that is sent less than this before its path expires may arrive too late.
const EXPIRY_MARGIN: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests;
