//! Scheduling of streams in the queues of the endpoint, and the creation and removal of streams and
//! peers.

use std::time::{Duration, Instant};

use eepkit_wire::Destination;
use rand_chacha::rand_core::Rng;

use super::{
    Endpoint, StreamId,
    entries::{Gate, PeerEntry, StreamEntry, Wake},
    first_contact,
    keys::{PeerKey, StreamKey},
};
use crate::{
    StreamConfig,
    connection::{Connection, Cx, Handle, Notices, Opening},
    peer::Peer,
};

impl Endpoint {
    /// Calls `work` with a stream, and then updates the stream's place in the queues.
    pub(super) fn with_stream<T>(
        &mut self,
        now: Instant,
        key: StreamKey,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>, &mut Peer) -> T,
    ) -> Option<T> {
        let unix_now = self.unix_now(now);
        let entry = self.streams.get_mut(key)?;
        let peer = self.peers.get_mut(entry.peer)?;
        let mut cx = Cx {
            now,
            unix_now,
            keys: &self.keys,
            stats: &mut self.stats,
            verified: self.verified.as_ref(),
            receive_memory: self.config.receive_memory.saturating_sub(self.receive_cost),
            dampening: self.config.window_dampening,
        };
        let result = work(&mut entry.connection, &mut cx, &mut peer.peer);
        self.update(now, key);
        Some(result)
    }

    /// Lists a stream in the queues that it belongs to.
    fn update(&mut self, now: Instant, key: StreamKey) {
        let Some(entry) = self.streams.get_mut(key) else {
            return;
        };
        let connection = &mut entry.connection;
        let cost = connection.cost();
        self.receive_cost = (self.receive_cost + cost).saturating_sub(entry.receive_cost);
        entry.receive_cost = cost;
        if connection.is_over() && connection.handle == Handle::Unclaimed {
            // There was no handle that could be dropped.
            connection.handle = Handle::Released;
        }
        if connection.handle == Handle::Released {
            connection.notices = Notices::default();
        }
        if !connection.notices.is_empty() && !entry.in_noticed {
            entry.in_noticed = true;
            self.noticed.push_back(key);
        }
        if let Some(at) = connection.timers.next()
            && entry.wake.is_none_or(|wake| at < wake)
        {
            // If a timer moves to a later time, its entry stays, and the stream is woken once too
            // early. This is cheaper, because each acknowledgement moves timers to later times.
            if let Some(wake) = entry.wake.replace(at) {
                self.timers.remove(&(wake, Wake::Stream(key)));
            }
            self.timers.insert((at, Wake::Stream(key)));
        }
        let peer_key = entry.peer;
        if let Some(peer) = self.peers.get_mut(peer_key) {
            if !entry.in_ready && connection.wants_data(now, &peer.peer) {
                entry.in_ready = true;
                peer.ready.push(key, connection.unsent() <= SPARSE);
            }
            if peer.peer.take_stall() {
                self.on_stall(now, peer_key);
            }
            self.on_silence(now, peer_key);
        }
        self.list_control(key);
        self.list_peer(peer_key);
        self.release_first_contact(key);
        self.dispose(key);
    }

    fn list_control(&mut self, key: StreamKey) {
        if let Some(entry) = self.streams.get_mut(key)
            && entry.connection.wants_control()
            && !entry.in_control
            && (entry.gate != Gate::Waiting || entry.connection.is_over())
        {
            entry.in_control = true;
            self.control.push_back(key);
        }
    }

    pub(super) fn unlist_control(&mut self, key: StreamKey) {
        self.control.pop_front();
        if let Some(entry) = self.streams.get_mut(key) {
            entry.in_control = false;
        }
    }

    pub(super) fn list_peer(&mut self, key: PeerKey) {
        if let Some(entry) = self.peers.get_mut(key)
            && !entry.in_active
            && !entry.ready.is_empty()
        {
            entry.in_active = true;
            self.active.push_back(key);
        }
    }

    /// Whether the first packet of a stream has to wait at the first-contact gate of its peer.
    pub(super) fn waits_at_gate(&mut self, now: Instant, key: StreamKey) -> bool {
        let Some(entry) = self.streams.get_mut(key) else {
            return false;
        };
        if entry.gate == Gate::Passed || !entry.connection.is_about_to_open() {
            return false;
        }
        let Some(peer) = self.peers.get_mut(entry.peer) else {
            return false;
        };
        if first_contact::is_recent(now, peer.peer.heard) || peer.first_contact.admit(key) {
            return false;
        }
        entry.gate = Gate::Waiting;
        true
    }

    /// Releases the streams that wait for this one at the gate, if it was answered, has ended, or
    /// had to be retransmitted.
    fn release_first_contact(&mut self, key: StreamKey) {
        let Some(entry) = self.streams.get(key) else {
            return;
        };
        if entry.connection.is_opening_for_the_first_time() {
            return;
        }
        let Some(peer) = self.peers.get_mut(entry.peer) else {
            return;
        };
        for released in peer.first_contact.release(key) {
            if let Some(entry) = self.streams.get_mut(released) {
                entry.gate = Gate::Passed;
                self.list_control(released);
            }
        }
    }

    /// Removes a stream that has ended, and keeps a short record of it.
    pub(super) fn dispose(&mut self, key: StreamKey) {
        let Some(entry) = self.streams.get(key) else {
            return;
        };
        if !entry.connection.is_disposable() || entry.in_control || entry.in_noticed {
            return;
        }
        let Some(entry) = self.streams.remove(key) else {
            return;
        };
        let connection = entry.connection;
        self.receive_cost = self.receive_cost.saturating_sub(entry.receive_cost);
        if let Some(wake) = entry.wake {
            self.timers.remove(&(wake, Wake::Stream(key)));
        }
        self.by_local.remove(&connection.local_id);
        if !connection.initiator
            && let Some(keys) = self.by_remote.get_mut(&connection.remote_id)
        {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_remote.remove(&connection.remote_id);
            }
        }
        if let Some(peer) = self.peers.get_mut(entry.peer) {
            if entry.in_ready {
                peer.ready.remove(key);
            }
            peer.peer.streams = peer.peer.streams.saturating_sub(1);
            peer.peer.idle_since = self.now;
            self.ended.insert(self.now, &connection);
        }
    }

    /// The key of a peer. Adds the peer if it is new.
    pub(super) fn peer_key(
        &mut self,
        now: Instant,
        destination: &Destination,
        config: &StreamConfig,
    ) -> PeerKey {
        let hash = destination.hash();
        let max_paths = usize::from(self.config.max_paths);
        if let Some(key) = self.by_hash.get(&hash).copied()
            && let Some(PeerEntry { peer, .. }) = self.peers.get_mut(key)
        {
            let idle = now.saturating_duration_since(peer.idle_since);
            if peer.streams == 0 && idle > PEER_MEMORY {
                peer.restart(now, config, max_paths);
            }
            return key;
        }
        if self.peers.len() >= MAX_IDLE_PEERS {
            self.forget_idle_peer();
        }
        self.tunnel_offset = self.tunnel_offset.wrapping_add(1);
        let destination = destination.clone();
        let peer = Peer::new(now, destination, config, max_paths, self.tunnel_offset);
        let key = self.peers.insert(PeerEntry::new(peer));
        self.by_hash.insert(hash, key);
        key
    }

    /// Removes the peer that has been without streams for the longest time.
    fn forget_idle_peer(&mut self) {
        let idle = self
            .peers
            .iter()
            .filter(|(_, entry)| entry.peer.streams == 0)
            .min_by_key(|(_, entry)| entry.peer.idle_since);
        let Some(key) = idle.map(|(key, _)| key) else {
            return;
        };
        if let Some(entry) = self.peers.remove(key) {
            self.by_hash.remove(&entry.peer.destination.hash());
            if let Some(at) = entry.wake {
                self.timers.remove(&(at, Wake::Peer(key)));
            }
        }
    }

    /// A random stream id that is neither zero nor in use.
    pub(super) fn new_local_id(&mut self) -> u32 {
        loop {
            let id = self.rng.next_u32();
            if id != 0 && !self.by_local.contains_key(&id) && self.ended.get(id).is_none() {
                return id;
            }
        }
    }

    pub(super) fn add_stream(
        &mut self,
        now: Instant,
        peer_key: PeerKey,
        opening: Opening,
    ) -> StreamId {
        let (local_id, remote_id, initiator) =
            (opening.local_id, opening.remote_id, opening.initiator);
        let entry = StreamEntry::new(Connection::new(now, opening), peer_key);
        let key = self.streams.insert(entry);
        self.by_local.insert(local_id, key);
        if !initiator {
            self.by_remote.entry(remote_id).or_default().push(key);
        }
        if let Some(entry) = self.peers.get_mut(peer_key) {
            entry.peer.streams += 1;
        }
        StreamId(key)
    }

    /// The streams to a peer.
    pub(super) fn streams_of(&self, peer: PeerKey) -> Vec<StreamKey> {
        self.streams
            .iter()
            .filter(|(_, entry)| entry.peer == peer)
            .map(|(key, _)| key)
            .collect()
    }
}

#[cfg(feature = "_testing")]
impl Endpoint {
    /// Checks the invariants that hold between any two calls.
    ///
    /// # Panics
    ///
    /// If an invariant does not hold.
    #[doc(hidden)]
    pub fn assert_consistent(&self) {
        let mut in_flight = std::collections::HashMap::new();
        let mut cost = 0;
        for (key, entry) in &self.streams {
            let connection = &entry.connection;
            *in_flight.entry(entry.peer).or_insert(0) += connection.in_flight();
            cost += connection.cost();
            let next = connection.timers.next();
            assert!(
                next.is_none() || entry.wake.is_some_and(|at| Some(at) <= next),
                "timer"
            );
            let timer = entry.wake.map(|at| (at, Wake::Stream(key)));
            assert!(
                timer.is_none_or(|timer| self.timers.contains(&timer)),
                "timer entry"
            );
            assert_eq!(self.by_local.get(&connection.local_id), Some(&key));
        }
        for (key, entry) in &self.peers {
            assert_eq!(
                entry.peer.in_flight(),
                in_flight.get(&key).copied().unwrap_or(0),
                "in flight"
            );
        }
        assert_eq!(cost, self.receive_cost, "memory");
        assert_eq!(self.by_local.len(), self.streams.len());
        assert!(self.timers.len() <= self.streams.len() + self.peers.len());
    }
}

/// A stream with at most this many bytes to send has priority. Chosen as the size of a request or a
/// line of text.
const SPARSE: usize = 2048;
/// The number of peers above which peers without streams are removed. Each uses about a kilobyte.
const MAX_IDLE_PEERS: usize = 1024;
/// How long the measurements of a peer without streams are kept. Chosen as the time for which Java
/// keeps its control blocks, which is the lifetime of tunnels.
const PEER_MEMORY: Duration = Duration::from_secs(600);
