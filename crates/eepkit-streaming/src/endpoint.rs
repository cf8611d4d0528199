//! All streams of one destination.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use eepkit_wire::{Destination, Hash, PrivateKeys};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    ConnectionError, EndpointConfig, StreamConfig,
    connection::{Built, Connection, Cx, Notices, Opening, Phase, Turn},
    path_state::CanSend,
    peer::Peer,
    rate_limiter::RateLimiter,
    stats::Stats,
};

mod application;
mod ended;
mod first_contact;
mod incoming;
mod limits;
mod ping;
mod slots;
mod types;
mod verification;

pub use self::types::{
    Event, Incoming, Output, PingId, Ports, Read, Received, StreamId, StreamInfo, Transmit,
};
pub use self::verification::{Verification, Verified};
use self::{
    ended::Ended,
    incoming::{EarlyPackets, Listener},
    limits::{Bucket, Limiter},
    ping::Pings,
    slots::Slots,
};

/// All streams of one destination, incoming and outgoing.
///
/// Does no I/O and reads no clock. The caller drives it:
///
/// 1. Whenever a packet arrives: [`Endpoint::handle_packet`].
/// 2. Whenever the time of the last [`Output::Timeout`] comes: [`Endpoint::handle_timeout`].
/// 3. After each of these, and after every call of another `&mut self` method:
///    [`Endpoint::poll_output`], again and again, acting on each output, until it returns
///    [`Output::Timeout`]. Then wait for one of the two.
///
/// Time is an argument of every call. It should not run backwards; where it does, the endpoint goes
/// on with the latest time it has seen.
///
/// Nothing in here panics on what a peer sends, and everything that a peer can make grow is bounded.
pub struct Endpoint {
    keys: Arc<PrivateKeys>,
    config: EndpointConfig,
    /// The default configuration of streams, shared by those that have no other.
    stream_config: Arc<StreamConfig>,
    /// Chooses stream ids: they must not be guessable.
    rng: ChaCha8Rng,
    start: Instant,
    unix_start: Duration,
    /// The latest time seen.
    now: Instant,
    streams: Slots<Box<Connection>>,
    by_local: HashMap<u32, u32>,
    /// Incoming streams by the id that their peer chose. Ids of different peers may be the same.
    by_remote: HashMap<u32, Vec<u32>>,
    peers: Slots<Peer>,
    by_hash: HashMap<Hash, u32>,
    listeners: HashMap<u16, Listener>,
    early: EarlyPackets,
    ended: Ended,
    limiter: Limiter,
    pings: Pings,
    /// Resets and pongs that answer packets of nobody's stream.
    answers: Bucket,
    /// One entry for each stream that waits, and one for each peer whose pacing does.
    timers: BTreeSet<(Instant, Wake)>,
    /// Streams with something to send that does not wait for a window.
    control: VecDeque<u32>,
    /// Streams with something to tell the application.
    noticed: VecDeque<u32>,
    /// Peers with something to send and, as far as known, room for it.
    active: VecDeque<u32>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    /// What may be sent to all peers together.
    rate_limiter: RateLimiter,
    /// Memory that received data takes.
    receive_cost: usize,
    stats: Stats,
    /// The packet in hand, where its signature was checked before.
    verified: Option<Verified>,
    closing: bool,
}

/// Who wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Stream { slot: u32, generation: u32 },
    Peer { slot: u32, generation: u32 },
}

impl Endpoint {
    /// An endpoint for the destination of `keys`.
    ///
    /// `seed` must be random: stream ids are drawn from it. `unix_now` is the wall time at `now`,
    /// since the epoch; offline signatures are checked against it.
    pub fn new(
        keys: Arc<PrivateKeys>,
        config: EndpointConfig,
        seed: [u8; 32],
        now: Instant,
        unix_now: Duration,
    ) -> Self {
        Self {
            keys,
            stream_config: Arc::new(config.stream.clone()),
            rate_limiter: RateLimiter::new(now, config.max_send_rate),
            config,
            rng: ChaCha8Rng::from_seed(seed),
            start: now,
            unix_start: unix_now,
            now,
            streams: Slots::new(),
            by_local: HashMap::new(),
            by_remote: HashMap::new(),
            peers: Slots::new(),
            by_hash: HashMap::new(),
            listeners: HashMap::new(),
            early: EarlyPackets::default(),
            ended: Ended::default(),
            limiter: Limiter::new(now),
            pings: Pings::default(),
            answers: Bucket::new(now),
            timers: BTreeSet::new(),
            control: VecDeque::new(),
            noticed: VecDeque::new(),
            active: VecDeque::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            receive_cost: 0,
            stats: Stats::default(),
            verified: None,
            closing: false,
        }
    }

    /// The destination.
    pub fn destination(&self) -> &Destination {
        self.keys.destination()
    }

    /// The configuration.
    pub const fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Changes the configuration. Limits and access rules hold from now on; streams that exist keep
    /// theirs, see [`Endpoint::set_stream_config`].
    pub fn set_config(&mut self, config: EndpointConfig) {
        self.stream_config = Arc::new(config.stream.clone());
        self.rate_limiter.set(config.max_send_rate);
        self.config = config;
    }

    /// Changes the configuration of a stream. What only matters for connecting, and the congestion
    /// control of a peer that is known, stay as they are.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Unknown`].
    pub fn set_stream_config(
        &mut self,
        id: StreamId,
        config: StreamConfig,
    ) -> Result<(), ConnectionError> {
        let connection = self
            .streams
            .get_mut(id.slot, id.generation)
            .ok_or(ConnectionError::Unknown)?;
        let peer = connection.peer;
        connection.reconfigure(Arc::new(config));
        let config = Arc::clone(&connection.config);
        if let Some(peer) = self.peers.at_mut(peer) {
            peer.configure(&config);
        }
        Ok(())
    }

    // Handling.

    /// Handles a packet from the network. [`Endpoint::receive`] does the same in two steps, so that
    /// its signature can be checked elsewhere.
    pub fn handle_packet(&mut self, now: Instant, received: Received) {
        if let Some(check) = self.receive(now, received) {
            self.receive_verified(now, check.check());
        }
    }

    /// Acts on what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some((at, wake)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match wake {
                Wake::Stream { slot, generation } => self.wake_stream(now, slot, generation),
                Wake::Peer { slot, generation } => {
                    if let Some(peer) = self.peers.get_mut(slot, generation) {
                        peer.wake = None;
                        self.list_peer(slot);
                    }
                }
            }
        }
        for id in self.pings.expire(now) {
            self.events.push_back(Event::PingTimeout(id));
        }
        self.early.expire(now);
        self.repeat_resets(now);
        self.ended.expire(now);
    }

    fn wake_stream(&mut self, now: Instant, slot: u32, generation: u32) {
        if let Some(connection) = self.streams.get_mut(slot, generation) {
            connection.scheduled = None;
            self.with_stream(now, slot, |connection, cx, peer| {
                connection.handle_timeout(cx, peer)
            });
        }
    }

    /// Takes note of the time; it never runs backwards.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn unix_now(&self, now: Instant) -> u32 {
        let unix = self.unix_start + now.saturating_duration_since(self.start);
        u32::try_from(unix.as_secs()).unwrap_or(u32::MAX)
    }

    // Polling.

    /// What to do next. Call again until it returns [`Output::Timeout`].
    pub fn poll_output(&mut self, now: Instant) -> Output {
        let now = self.advance(now);
        loop {
            if let Some(event) = self.poll_event() {
                return Output::Event(event);
            }
            if let Some(transmit) = self.transmits.pop_front() {
                return Output::Transmit(transmit);
            }
            if let Some(transmit) = self.poll_control(now) {
                return Output::Transmit(transmit);
            }
            if let Some(transmit) = self.poll_data(now) {
                return Output::Transmit(transmit);
            }
            // Sending may have given a writer room.
            if !self.noticed.is_empty() {
                continue;
            }
            match self.next_timeout() {
                Some(at) if at <= now => self.handle_timeout(now),
                at => return Output::Timeout(at),
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let timers = self.timers.first().map(|(at, _)| *at);
        let limited = self
            .rate_limiter
            .wait(self.now)
            .filter(|_| !self.active.is_empty());
        [
            timers,
            limited,
            self.pings.next(),
            self.early.next(),
            self.ended.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the application should know, if anything; part of [`Endpoint::poll_output`]. A driver
    /// whose router takes no packets at the moment polls this instead, so that readers go on.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(slot) = self.noticed.front().copied() {
            if let Some((id, connection)) = self.streams.entry_mut(slot) {
                let id = StreamId {
                    slot,
                    generation: id,
                };
                if let Some(event) = next_event(id, connection, &self.peers) {
                    return Some(event);
                }
                connection.listed_notice = false;
            }
            self.noticed.pop_front();
            self.dispose(slot);
        }
        None
    }

    fn poll_control(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(slot) = self.control.front().copied() {
            if self.is_gated(now, slot) {
                self.control.pop_front();
                if let Some((_, connection)) = self.streams.entry_mut(slot) {
                    connection.listed_control = false;
                }
                continue;
            }
            let built = self.with_stream(now, slot, |connection, cx, peer| {
                connection.poll_control(cx, peer)
            });
            if let Some(Some(built)) = built {
                return self.address(now, slot, built);
            }
            self.control.pop_front();
            if let Some((_, connection)) = self.streams.entry_mut(slot) {
                connection.listed_control = false;
            }
            self.dispose(slot);
        }
        None
    }

    /// Sends data, peer by peer and stream by stream in turn.
    fn poll_data(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(slot) = self.active.front().copied() {
            let Some((generation, peer)) = self.peers.entry_mut(slot) else {
                self.active.pop_front();
                continue;
            };
            let gate = peer.can_send(now);
            if gate == CanSend::Now && peer.has_ready() && self.rate_limiter.wait(now).is_some() {
                // What is sent now says nothing about the network.
                peer.on_app_limited();
                return None;
            }
            if gate == CanSend::Now
                && let Some(stream) = peer.pop_ready()
            {
                self.active.rotate_left(1);
                if let Some(transmit) = self.poll_stream(now, stream) {
                    return Some(transmit);
                }
                continue;
            }
            peer.listed = false;
            self.active.pop_front();
            match gate {
                CanSend::Now => peer.on_app_limited(),
                CanSend::At(at) => {
                    let wake = Wake::Peer { slot, generation };
                    if let Some(earlier) = peer.wake.replace(at) {
                        self.timers.remove(&(earlier, wake));
                    }
                    self.timers.insert((at, wake));
                }
                CanSend::CwndFull => {}
            }
        }
        None
    }

    fn poll_stream(&mut self, now: Instant, slot: u32) -> Option<Transmit> {
        let (_, connection) = self.streams.entry_mut(slot)?;
        connection.listed_ready = false;
        let built = self.with_stream(now, slot, |connection, cx, peer| {
            connection.poll_data(cx, peer)
        })??;
        self.address(now, slot, built)
    }

    fn address(&mut self, now: Instant, slot: u32, built: Built) -> Option<Transmit> {
        let (_, connection) = self.streams.entry(slot)?;
        let (_, peer) = self.peers.entry_mut(connection.peer)?;
        self.rate_limiter.on_sent(now, built.packet.len());
        peer.rate_limiter.on_sent(now, built.packet.len());
        Some(Transmit {
            to: peer.destination.clone(),
            from_port: connection.local_port,
            to_port: connection.remote_port,
            packet: built.packet,
            compress: built.compress,
            first: built.first,
            path: built.path,
            deadline: now + built.lifetime,
        })
    }

    // Book-keeping.

    /// Lets a stream work, and then lists it wherever it belongs.
    fn with_stream<T>(
        &mut self,
        now: Instant,
        slot: u32,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>, &mut Peer) -> T,
    ) -> Option<T> {
        let unix_now = self.unix_now(now);
        let (_, connection) = self.streams.entry_mut(slot)?;
        let (_, peer) = self.peers.entry_mut(connection.peer)?;
        let mut cx = Cx {
            now,
            unix_now,
            keys: &self.keys,
            stats: &mut self.stats,
            verified: self.verified.as_ref(),
            receive_memory: self.config.receive_memory.saturating_sub(self.receive_cost),
            dampening: self.config.window_dampening,
        };
        let result = work(connection, &mut cx, peer);
        self.update(now, slot);
        Some(result)
    }

    /// Lists a stream in the queues in which it belongs.
    fn update(&mut self, now: Instant, slot: u32) {
        let Some((generation, connection)) = self.streams.entry_mut(slot) else {
            return;
        };
        let cost = connection.cost();
        self.receive_cost = (self.receive_cost + cost).saturating_sub(connection.reported_cost);
        connection.reported_cost = cost;
        if matches!(connection.phase, Phase::Done(_)) && !connection.accepted {
            // It never had a handle that could be dropped.
            connection.released = true;
        }
        if connection.released {
            // Nobody listens to the stream any more, but a dead way concerns all streams to the peer.
            let stalled = connection.notices.take(Notices::STALLED);
            connection.notices = Notices::default();
            if stalled {
                connection.notices.add(Notices::STALLED);
            }
        }
        if !connection.notices.is_empty() && !connection.listed_notice {
            connection.listed_notice = true;
            self.noticed.push_back(slot);
        }
        if connection.wants_control()
            && !connection.listed_control
            && connection.turn != Turn::Waits
        {
            connection.listed_control = true;
            self.control.push_back(slot);
        }
        if let Some(at) = connection.timers.next()
            && connection.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            // A later one stays until it is due, and is then found to be early: acknowledgements move
            // timers back all the time.
            let wake = Wake::Stream { slot, generation };
            if let Some(scheduled) = connection.scheduled.replace(at) {
                self.timers.remove(&(scheduled, wake));
            }
            self.timers.insert((at, wake));
        }
        let peer_slot = connection.peer;
        if let Some(peer) = self.peers.at_mut(peer_slot) {
            if !connection.listed_ready && connection.wants_data(now, peer) {
                connection.listed_ready = true;
                peer.push_ready(slot, connection.unsent() <= SPARSE);
            }
            if peer.has_ready() {
                self.list_peer(peer_slot);
            }
        }
        self.release_gated(slot, generation);
        self.dispose(slot);
    }

    fn list_peer(&mut self, slot: u32) {
        if let Some(peer) = self.peers.at_mut(slot)
            && !peer.listed
            && peer.has_ready()
        {
            peer.listed = true;
            self.active.push_back(slot);
        }
    }

    /// Forgets a stream that is over, but for a short record.
    fn dispose(&mut self, slot: u32) {
        let Some((generation, connection)) = self.streams.entry(slot) else {
            return;
        };
        if !connection.is_disposable() || connection.listed_control || connection.listed_notice {
            return;
        }
        let Some(connection) = self.streams.remove(slot, generation) else {
            return;
        };
        self.receive_cost = self.receive_cost.saturating_sub(connection.reported_cost);
        if let Some(scheduled) = connection.scheduled {
            self.timers
                .remove(&(scheduled, Wake::Stream { slot, generation }));
        }
        self.by_local.remove(&connection.local_id);
        if !connection.initiator
            && let Some(slots) = self.by_remote.get_mut(&connection.remote_id)
        {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_remote.remove(&connection.remote_id);
            }
        }
        if let Some(peer) = self.peers.at_mut(connection.peer) {
            if connection.listed_ready {
                peer.drop_ready(slot);
            }
            peer.streams = peer.streams.saturating_sub(1);
            peer.idle_since = self.now;
            self.ended.insert(self.now, &connection);
        }
    }

    /// The slot of the path to `destination`.
    fn peer_slot(&mut self, now: Instant, destination: &Destination, config: &StreamConfig) -> u32 {
        let hash = destination.hash();
        let max_active = usize::from(self.config.max_paths);
        if let Some(slot) = self.by_hash.get(&hash).copied()
            && let Some(peer) = self.peers.at_mut(slot)
        {
            let stale =
                peer.streams == 0 && now.saturating_duration_since(peer.idle_since) > PEER_MEMORY;
            if stale {
                let old = std::mem::replace(
                    peer,
                    Peer::new(now, destination.clone(), config, max_active),
                );
                peer.inherit(old);
            }
            return slot;
        }
        if self.peers.len() >= MAX_IDLE_PEERS
            && let Some((slot, generation)) = self
                .peers
                .iter()
                .filter(|(_, _, peer)| peer.streams == 0)
                .min_by_key(|(_, _, peer)| peer.idle_since)
                .map(|(s, g, _)| (s, g))
            && let Some(peer) = self.peers.remove(slot, generation)
        {
            self.by_hash.remove(&peer.destination.hash());
            if let Some(at) = peer.wake {
                self.timers.remove(&(at, Wake::Peer { slot, generation }));
            }
        }
        let slot = self
            .peers
            .insert(Peer::new(now, destination.clone(), config, max_active))
            .0;
        self.by_hash.insert(hash, slot);
        slot
    }

    /// A stream id that is neither zero nor taken.
    fn new_local_id(&mut self) -> u32 {
        loop {
            let id = self.rng.next_u32();
            if id != 0 && !self.by_local.contains_key(&id) && self.ended.get(id).is_none() {
                return id;
            }
        }
    }

    fn add_stream(&mut self, now: Instant, opening: Opening) -> StreamId {
        let (local_id, remote_id, peer_slot, initiator) = (
            opening.local_id,
            opening.remote_id,
            opening.peer,
            opening.initiator,
        );
        let (slot, generation) = self.streams.insert(Box::new(Connection::new(now, opening)));
        self.by_local.insert(local_id, slot);
        if !initiator {
            self.by_remote.entry(remote_id).or_default().push(slot);
        }
        if let Some(peer) = self.peers.at_mut(peer_slot) {
            peer.streams += 1;
        }
        StreamId { slot, generation }
    }
}

#[cfg(feature = "_testing")]
impl Endpoint {
    /// Checks what must hold between any two calls.
    ///
    /// # Panics
    ///
    /// Something does not hold.
    #[doc(hidden)]
    pub fn assert_consistent(&self) {
        let mut in_flight = HashMap::new();
        let mut cost = 0;
        for (slot, generation, connection) in self.streams.iter() {
            *in_flight.entry(connection.peer).or_insert(0) += connection.in_flight();
            cost += connection.cost();
            let next = connection.timers.next();
            let scheduled = connection.scheduled;
            assert!(
                next.is_none() || scheduled.is_some_and(|at| Some(at) <= next),
                "timer"
            );
            let entry = scheduled.map(|at| (at, Wake::Stream { slot, generation }));
            assert!(
                entry.is_none_or(|entry| self.timers.contains(&entry)),
                "timer entry"
            );
            assert_eq!(self.by_local.get(&connection.local_id), Some(&slot));
        }
        for (slot, _, peer) in self.peers.iter() {
            assert_eq!(
                peer.in_flight(),
                in_flight.get(&slot).copied().unwrap_or(0),
                "in flight"
            );
        }
        assert_eq!(cost, self.receive_cost, "memory");
        assert_eq!(self.by_local.len(), self.streams.len());
        assert!(self.timers.len() <= self.streams.len() + self.peers.len());
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("destination", self.destination())
            .field("streams", &self.streams.len())
            .field("peers", &self.peers.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// The next thing that the application should hear of a stream.
fn next_event(id: StreamId, connection: &mut Connection, peers: &Slots<Peer>) -> Option<Event> {
    let notices = &mut connection.notices;
    if notices.take(Notices::OFFERED) {
        return Some(Event::Incoming {
            port: connection.local_port,
        });
    }
    if notices.take(Notices::CONNECTED) {
        return Some(Event::Connected(id));
    }
    if notices.take(Notices::READABLE) {
        return Some(Event::Readable(id));
    }
    if notices.take(Notices::WRITABLE) {
        return Some(Event::Writable(id));
    }
    if notices.take(Notices::FLUSHED) {
        return Some(Event::Flushed(id));
    }
    if notices.take(Notices::STALLED) {
        let (_, peer) = peers.entry(connection.peer)?;
        return Some(Event::PeerStalled {
            to: peer.destination.clone(),
        });
    }
    if notices.take(Notices::CLOSED)
        && let Phase::Done(reason) = connection.phase
    {
        return Some(Event::Closed { id, reason });
    }
    None
}

/// A stream with no more bytes than this to send goes before others: a request or a line of text.
const SPARSE: usize = 2048;
/// Paths without streams are remembered up to this number; each takes about a kilobyte.
const MAX_IDLE_PEERS: usize = 1024;
/// How long a path without streams is remembered: Java keeps its control blocks as long, and tunnels
/// do not live longer.
const PEER_MEMORY: Duration = Duration::from_secs(600);
