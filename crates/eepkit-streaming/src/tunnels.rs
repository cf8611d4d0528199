//! The outbound tunnels of the session.

use std::{cmp::Reverse, time::Instant};

use crate::path::TunnelId;

/// The outbound tunnels that the link exposes. Empty on a link that exposes none.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    tunnels: Vec<Tunnel>,
    /// Counts the changes.
    version: u64,
}

/// An outbound tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) id: TunnelId,
    pub(crate) expires: Option<Instant>,
}

impl Tunnels {
    pub(crate) fn add(&mut self, id: TunnelId, expires: Option<Instant>) {
        if self.tunnels.len() < MAX_TUNNELS && !self.contains(id) {
            self.tunnels.push(Tunnel { id, expires });
            self.version += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: TunnelId) {
        let before = self.tunnels.len();
        self.tunnels.retain(|tunnel| tunnel.id != id);
        self.version += u64::from(self.tunnels.len() != before);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tunnels.is_empty()
    }

    /// Changes when the tunnels do.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn contains(&self, id: TunnelId) -> bool {
        self.tunnels.iter().any(|tunnel| tunnel.id == id)
    }

    /// The tunnels that have not expired, in descending order of their expiry. One tunnel of the
    /// first half, which `offset` selects, is moved to the front.
    pub(crate) fn ranked(&self, now: Instant, offset: usize) -> Vec<Tunnel> {
        let mut ranked: Vec<_> = self
            .tunnels
            .iter()
            .filter(|tunnel| tunnel.expires.is_none_or(|end| end > now))
            .copied()
            .collect();
        ranked.sort_by_key(|tunnel| (Reverse(tunnel.expires), tunnel.id));
        let better_half = ranked.len().div_ceil(2);
        if let Some(first) = offset.checked_rem(better_half) {
            ranked[..=first].rotate_right(1);
        }
        ranked
    }
}

/// The most outbound tunnels of a session: 16, and as many replacements.
const MAX_TUNNELS: usize = 32;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ids(tunnels: &Tunnels, now: Instant, offset: usize) -> Vec<u64> {
        let ranked = tunnels.ranked(now, offset);
        ranked.iter().map(|tunnel| tunnel.id.0).collect()
    }

    #[test]
    fn tunnels_that_expire_last_come_first_and_peers_begin_with_different_ones() {
        let now = Instant::now();
        let mut tunnels = Tunnels::default();
        for (id, seconds) in [(1, 600), (2, 300), (3, 500), (4, 0)] {
            tunnels.add(TunnelId(id), Some(now + Duration::from_secs(seconds)));
        }
        assert_eq!(ids(&tunnels, now, 0), [1, 3, 2]);
        assert_eq!(ids(&tunnels, now, 1), [3, 1, 2]);
        assert_eq!(ids(&tunnels, now, 2), [1, 3, 2]);
    }

    #[test]
    fn the_version_changes_with_the_tunnels_only() {
        let mut tunnels = Tunnels::default();
        tunnels.add(TunnelId(1), None);
        let version = tunnels.version();
        tunnels.add(TunnelId(1), None);
        tunnels.remove(TunnelId(2));
        assert_eq!(tunnels.version(), version);
        tunnels.remove(TunnelId(1));
        assert_ne!(tunnels.version(), version);
    }

    #[test]
    fn tunnels_are_bounded() {
        let mut tunnels = Tunnels::default();
        for id in 0..100 {
            tunnels.add(TunnelId(id), None);
        }
        assert_eq!(tunnels.tunnels.len(), MAX_TUNNELS);
    }
}
