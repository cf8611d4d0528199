//! The leases of one peer: which ones can be used, and when they must be looked up.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::{Lease, LeaseId};

use crate::{
    path::{Path, PathId, PeerLease, TunnelId},
    path_table::{MAX_PATHS, PathTable},
    tunnels::{Tunnel, Tunnels},
};

/// The leases of one peer.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: Vec<PeerLease>,
    /// The version of the tunnels from which the paths were formed. `None` if the paths must be
    /// formed again.
    formed_with: Option<u64>,
    /// The last id given to a path.
    last_id: u64,
    /// Selects the tunnel of the first path, so that peers start with different tunnels.
    offset: usize,
    /// The tunnels and leases of the paths that carried packets last, the last one first.
    recent: VecDeque<(TunnelId, LeaseId)>,
    /// The lease whose path seems to have failed, and when, until a look-up finds other leases.
    suspect: Option<(LeaseId, Instant)>,
    /// A look-up is in progress.
    pub(crate) is_looking_up: bool,
    /// When the last look-up began.
    looked_up: Option<Instant>,
}

impl Leases {
    pub(crate) fn new(offset: usize) -> Self {
        Self {
            offset,
            ..Self::default()
        }
    }

    /// The paths to the peer, the best first, if they may have changed. A path in `table` keeps its
    /// id.
    pub(crate) fn form_paths(
        &mut self,
        now: Instant,
        tunnels: &Tunnels,
        table: &PathTable,
    ) -> Option<Vec<Path>> {
        if self.formed_with == Some(tunnels.version()) {
            return None;
        }
        self.keep_paths(tunnels);
        let tunnels = tunnels.ranked(now, self.offset);
        let leases = self.usable(now);
        let mut pairs = Vec::with_capacity(leases.len() * tunnels.len());
        // Consecutive paths share neither tunnel nor lease.
        for shift in 0..leases.len() {
            for (index, tunnel) in tunnels.iter().enumerate() {
                pairs.push((*tunnel, leases[(index + shift) % leases.len()]));
            }
        }
        if pairs.len() > MAX_PATHS {
            // Paths in use stay. The path states migrate away from them later.
            pairs.sort_by_key(|(tunnel, lease)| !self.recent.contains(&(tunnel.id, lease.id)));
            pairs.truncate(MAX_PATHS);
        }
        let path = |(tunnel, lease): (Tunnel, PeerLease)| Path {
            id: table.id_of(tunnel.id, lease.id).unwrap_or_else(|| {
                self.last_id += 1;
                PathId(self.last_id)
            }),
            tunnel: tunnel.id,
            lease: lease.id,
            expires: Some(
                tunnel
                    .expires
                    .map_or(lease.expires, |end| end.min(lease.expires)),
            ),
        };
        Some(pairs.into_iter().map(path).collect())
    }

    /// Keeps the current paths until the tunnels or leases change.
    pub(crate) fn keep_paths(&mut self, tunnels: &Tunnels) {
        self.formed_with = Some(tunnels.version());
    }

    /// Records that a packet is sent over this path.
    pub(crate) fn on_used(&mut self, path: &Path) {
        let used = (path.tunnel, path.lease);
        if self.recent.front() != Some(&used) {
            self.recent.retain(|recent| *recent != used);
            self.recent.push_front(used);
            self.recent.truncate(MAX_RECENT);
        }
    }

    /// Handles the apparent failure of the path used last: its lease becomes suspect, and a look-up
    /// is due.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if let Some((_, lease)) = self.recent.front() {
            self.suspect = Some((*lease, now));
            self.formed_with = None;
        }
        self.looked_up = None;
    }

    /// Begins a look-up if one is due, on a link that exposes its tunnels: if the leases are
    /// unknown, suspect, or expire soon. Returns whether it was due.
    pub(crate) fn begin_lookup(&mut self, now: Instant) -> bool {
        let soon = now + LEASE_MARGIN;
        let is_due = self.is_suspect(now)
            || self.looked_up.is_none()
            || !self.known.iter().any(|lease| lease.expires > soon);
        is_due && self.begin(now, LOOKUP_SPACING)
    }

    /// Begins a look-up if one is due, for a peer that does not answer on a link that exposes no
    /// tunnels. There, the router may continue to use leases that do not work any more. Returns
    /// whether it was due.
    pub(crate) fn begin_refresh(&mut self, now: Instant) -> bool {
        self.begin(now, REFRESH_SPACING)
    }

    fn begin(&mut self, now: Instant, spacing: Duration) -> bool {
        let recent = self
            .looked_up
            .is_some_and(|at| now.saturating_duration_since(at) < spacing);
        if self.is_looking_up || recent {
            return false;
        }
        self.is_looking_up = true;
        self.looked_up = Some(now);
        true
    }

    /// Handles the result of a look-up.
    pub(crate) fn on_found(&mut self, now: Instant, found: &[PeerLease]) {
        self.is_looking_up = false;
        let before = std::mem::replace(
            &mut self.known,
            found.iter().take(Lease::MAX_IN_SET).copied().collect(),
        );
        // A lease that expires soon is not published any more, but stays valid until its end. It is
        // used until the round-trip time over a new lease is known.
        if self.suspect.is_none() {
            for lease in before {
                let is_new = self.known.iter().all(|known| known.id != lease.id);
                if is_new && lease.expires > now && self.known.len() < Lease::MAX_IN_SET {
                    self.known.push(lease);
                }
            }
        }
        // For some time, the network may return the lease set of a session that has ended.
        self.suspect = self
            .suspect
            .filter(|(suspect, _)| self.known.iter().all(|lease| lease.id == *suspect));
        self.formed_with = None;
    }

    /// Handles a look-up without a result.
    pub(crate) fn on_not_found(&mut self) {
        self.is_looking_up = false;
    }

    /// Whether the lease is known and has not expired.
    pub(crate) fn is_alive(&self, now: Instant, id: LeaseId) -> bool {
        self.alive(now).any(|lease| lease.id == id)
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = PeerLease> {
        let alive = move |lease: &&PeerLease| lease.expires > now;
        self.known.iter().filter(alive).copied()
    }

    fn is_suspect(&self, now: Instant) -> bool {
        self.suspect
            .is_some_and(|(_, at)| now.saturating_duration_since(at) < SUSPICION)
    }

    /// The leases to use: all that have not expired, with a suspect lease last. Empty if the
    /// suspect lease is the only one, because the router may have another.
    fn usable(&self, now: Instant) -> Vec<PeerLease> {
        let mut leases: Vec<_> = self.alive(now).collect();
        if self.is_suspect(now) {
            if leases.len() < 2 {
                return Vec::new();
            }
            leases.sort_by_key(|lease| self.suspect.is_some_and(|(id, _)| id == lease.id));
        }
        leases
    }
}

/// Paths that the path states may use: one for each active path, and their successors.
const MAX_RECENT: usize = 8;
/// A look-up begins when no lease is valid for longer than this. Chosen above the sum of the minute
/// in which a successor carries packets before a migration, and the duration of a look-up.
const LEASE_MARGIN: Duration = Duration::from_secs(90);
/// How long a lease is suspect if no other is found. Chosen above the propagation time of a new
/// lease set.
const SUSPICION: Duration = Duration::from_secs(60);
/// Least time between two look-ups of a peer, unless its path seems to have failed.
const LOOKUP_SPACING: Duration = Duration::from_secs(5);
/// The same on a link that exposes no tunnels. Chosen longer, because there every silent peer is
/// looked up, and most of them are offline.
const REFRESH_SPACING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
