//! Selection of paths. The inputs are tunnels and leases; the outputs are the path of each packet
//! and requests for look-ups.
//!
//! A link that exposes its tunnels reports each of them with [`Endpoint::tunnel_up`] and
//! [`Endpoint::tunnel_down`]. The leases of a peer are the answer to [`Event::LeaseSetLookup`]. The
//! endpoint combines tunnels and leases into paths, selects one for each packet, and sets
//! [`Transmit::path`](crate::Transmit::path). Only acknowledgements show which paths work, so only
//! the endpoint can select.
//!
//! On a link that exposes no tunnels (I2CP), there is one anonymous path, [`PathId::ANY`]. If a
//! peer on it does not answer, the endpoint requests a look-up of its lease set as well. The router
//! then uses the new leases.

use std::time::{Duration, Instant};

use eepkit_wire::{Destination, Hash, LeaseId};

use super::{Endpoint, Event, entries::PeerEntry, keys::PeerKey};
#[cfg(feature = "_testing")]
use crate::path::Path;
use crate::path::{PathId, PeerLease, TunnelId};

impl Endpoint {
    /// Adds an outbound tunnel. Packets use it until [`Endpoint::tunnel_down`], or until `expires`
    /// if that is known. At most 32 tunnels are used; further ones are ignored.
    pub fn tunnel_up(&mut self, tunnel: TunnelId, expires: Option<Instant>) {
        self.tunnels.add(tunnel, expires);
    }

    /// Removes an outbound tunnel.
    pub fn tunnel_down(&mut self, tunnel: TunnelId) {
        self.tunnels.remove(tunnel);
    }

    /// Handles the result of [`Event::LeaseSetLookup`]. `leases` is empty on a link that exposes no
    /// tunnels. Streams that wait for an answer of `to` retransmit at once.
    pub fn lease_set_found(&mut self, now: Instant, to: &Hash, leases: &[PeerLease]) {
        let now = self.advance(now);
        self.lookups.retain(|hash| hash != to);
        let Some(key) = self.by_hash.get(to).copied() else {
            return;
        };
        let Some(entry) = self.peers.get_mut(key) else {
            return;
        };
        entry.peer.leases.on_found(now, leases);
        entry.peer.form_paths(now, &self.tunnels);
        for stream in self.streams_of(key) {
            self.with_stream(now, stream, |connection, cx, peer| {
                connection.on_leases_renewed(cx.now, peer)
            });
        }
    }

    /// The peers from which a packet arrived within the last `period`, at most `limit`, the most
    /// recent first.
    #[must_use]
    pub fn recent_peers(&self, now: Instant, period: Duration, limit: usize) -> Vec<Destination> {
        let age = |entry: &PeerEntry| Some(now.saturating_duration_since(entry.peer.heard?));
        let mut recent: Vec<_> = self
            .peers
            .values()
            .filter_map(|entry| Some((age(entry)?, entry)))
            .filter(|(age, _)| *age <= period)
            .collect();
        recent.sort_by_key(|(age, _)| *age);
        let recent = recent.into_iter().take(limit);
        recent
            .map(|(_, entry)| entry.peer.destination.clone())
            .collect()
    }

    /// When the last packet of this peer arrived, if one has.
    #[must_use]
    pub fn heard(&self, peer: &Hash) -> Option<Instant> {
        let peer = &self.peers.get(*self.by_hash.get(peer)?)?.peer;
        peer.heard.max(peer.contacted)
    }

    /// Whether this peer does not seem to receive what is sent: several repetitions in a row, of our
    /// data or of data of the peer that was acknowledged, had no effect within the last seconds.
    #[must_use]
    pub fn is_unheard(&self, now: Instant, peer: &Hash) -> bool {
        let entry = self.by_hash.get(peer).and_then(|key| self.peers.get(*key));
        entry.is_some_and(|entry| entry.peer.silence.is_unheard(now))
    }

    /// The destination of a peer that the endpoint knows.
    #[must_use]
    pub fn destination_of(&self, peer: &Hash) -> Option<&Destination> {
        let entry = self.peers.get(*self.by_hash.get(peer)?)?;
        Some(&entry.peer.destination)
    }

    /// Whether a stream to this peer is being opened, and no application uses another stream of the
    /// endpoint or waits for its data to arrive.
    #[must_use]
    pub fn is_only_connecting_to(&self, peer: &Hash) -> bool {
        let key = self.by_hash.get(peer);
        let mut used = self
            .streams
            .values()
            .filter(|entry| !entry.connection.is_only_ending())
            .peekable();
        used.peek().is_some()
            && used.all(|entry| Some(&entry.peer) == key && entry.connection.is_opening())
    }

    /// Handles an [`Event::LeaseSetLookup`] that found nothing, or that got no answer in time.
    pub fn lease_set_not_found(&mut self, to: &Hash) {
        self.lookups.retain(|hash| hash != to);
        let key = self.by_hash.get(to).copied();
        if let Some(entry) = key.and_then(|key| self.peers.get_mut(key)) {
            entry.peer.leases.on_not_found();
        }
    }

    /// Handles the report that the link dropped a packet to `to`, because the tunnel or the lease
    /// of its path does not exist any more. The lease set is looked up again.
    pub fn path_gone(&mut self, now: Instant, to: &Hash) {
        let now = self.advance(now);
        let key = self.by_hash.get(to).copied();
        if let Some(key) = key.filter(|_| !self.tunnels.is_empty()) {
            self.suspect_path(now, key);
        }
    }

    /// The tunnel and the lease of a path to `to`, if both still exist. With `None`, the router
    /// chooses them.
    #[must_use]
    pub fn resolve_path(
        &self,
        now: Instant,
        to: &Hash,
        path: PathId,
    ) -> Option<(TunnelId, LeaseId)> {
        let peer = &self.peers.get(*self.by_hash.get(to)?)?.peer;
        let path = peer.path(path)?;
        let exists = self.tunnels.contains(path.tunnel) && peer.leases.is_alive(now, path.lease);
        exists.then_some((path.tunnel, path.lease))
    }

    /// Replaces the paths to `to`, the best first. They are then not formed from tunnels and
    /// leases. Returns `false` if the peer is not known.
    #[cfg(feature = "_testing")]
    #[doc(hidden)]
    pub fn set_paths(&mut self, now: Instant, to: &Destination, paths: &[Path]) -> bool {
        let now = self.advance(now);
        let key = self.by_hash.get(&to.hash()).copied();
        let Some(entry) = key.and_then(|key| self.peers.get_mut(key)) else {
            return false;
        };
        entry.peer.leases.keep_paths(&self.tunnels);
        entry.peer.set_paths(now, paths);
        true
    }

    /// Forms the paths to a peer before a packet is sent, and requests a look-up if its leases
    /// expire soon.
    pub(super) fn update_paths(&mut self, now: Instant, key: PeerKey) {
        if let Some(entry) = self.peers.get_mut(key) {
            entry.peer.form_paths(now, &self.tunnels);
        }
        if !self.tunnels.is_empty() {
            self.look_up_if_due(now, key);
        }
    }

    /// Handles a peer that does not answer. Its lease set may be stale.
    pub(super) fn on_stall(&mut self, now: Instant, key: PeerKey) {
        if !self.tunnels.is_empty() {
            self.suspect_path(now, key);
        } else if self.lookups.len() < MAX_LOOKUPS
            && let Some(entry) = self.peers.get_mut(key)
            && entry.peer.leases.begin_refresh(now)
        {
            self.look_up(key);
        }
    }

    /// Tests or reports a peer that does not answer.
    pub(super) fn on_silence(&mut self, now: Instant, key: PeerKey) {
        let Some(entry) = self.peers.get_mut(key) else {
            return;
        };
        let wants_test = entry.peer.silence.take_test();
        if let Some(silence) = entry.peer.silence.take_report() {
            let peer = entry.peer.destination.clone();
            self.events.push_back(Event::PeerSilent { peer, silence });
        }
        if wants_test {
            self.test_silence(now, key);
        }
    }

    fn suspect_path(&mut self, now: Instant, key: PeerKey) {
        if let Some(entry) = self.peers.get_mut(key) {
            entry.peer.leases.suspect(now);
        }
        self.look_up_if_due(now, key);
    }

    fn look_up_if_due(&mut self, now: Instant, key: PeerKey) {
        if self.lookups.len() < MAX_LOOKUPS
            && let Some(entry) = self.peers.get_mut(key)
            && entry.peer.leases.begin_lookup(now)
        {
            self.look_up(key);
        }
    }

    fn look_up(&mut self, key: PeerKey) {
        if let Some(entry) = self.peers.get(key) {
            let to = entry.peer.destination.clone();
            self.lookups.push(to.hash());
            self.events.push_back(Event::LeaseSetLookup { to });
        }
    }
}

/// Concurrent look-ups. Chosen below the number that a router makes at a time for all sessions.
const MAX_LOOKUPS: usize = 32;
