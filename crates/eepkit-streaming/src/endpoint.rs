//! All streams of one destination.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::{Destination, Hash, PrivateKeys};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    CloseReason, ConnectError, EndpointConfig, ListenError, StreamConfig, StreamError,
    connection::{Built, Connection, Cx, Notices, Opening, Phase},
    kind::PeerKind,
    packet::Identity,
    peer::{Gate, Peer},
};

mod ended;
mod incoming;
mod limits;
mod ping;
mod slots;

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
    timers: BinaryHeap<Reverse<(Instant, Wake)>>,
    /// Streams with something to send that does not wait for a window.
    control: VecDeque<u32>,
    /// Streams with something to tell the application.
    noticed: VecDeque<u32>,
    /// Peers with something to send and, as far as known, room for it.
    active: VecDeque<u32>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    /// Memory that received data takes.
    receive_cost: usize,
    stats: Stats,
    closing: bool,
}

/// Who wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Stream { slot: u32, generation: u32 },
    Peer { slot: u32, generation: u32 },
}

/// Names a stream of an [`Endpoint`]; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    slot: u32,
    generation: u32,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Names a ping of an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PingId(u32);

/// The two ports of a stream. I2P ports are 0 to 65,535; 0 is "any" and the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

/// A packet from the network.
#[derive(Debug, Clone)]
pub struct Received {
    /// Port of the sender.
    pub from_port: u16,
    /// Port that it is for.
    pub to_port: u16,
    /// The packet. Payloads are handed on without copying, so it should not be part of a much larger
    /// buffer.
    pub packet: Bytes,
    /// The way it came; 0 where the router does not tell.
    pub path: u64,
}

/// A packet for the network.
#[derive(Debug, Clone)]
#[must_use]
pub struct Transmit {
    /// Who it is for.
    pub to: Destination,
    /// Our port.
    pub from_port: u16,
    /// Port that it is for.
    pub to_port: u16,
    /// The packet.
    pub packet: Bytes,
    /// Whether deflating it may pay off.
    pub compress: bool,
    /// It opens or answers a stream: our lease set should travel along.
    pub first: bool,
    /// The way to take, as given to [`Endpoint::set_path`]; 0 leaves it to the router.
    pub path: u64,
    /// It is of no use after this instant.
    pub deadline: Instant,
}

/// What the endpoint wants next.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Send this packet.
    Transmit(Transmit),
    /// Tell the application.
    Event(Event),
    /// Nothing until this instant, if any.
    Timeout(Option<Instant>),
}

/// What the application should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer answered: an outgoing stream is established.
    Connected(StreamId),
    /// A stream waits to be accepted.
    Incoming {
        /// Our port.
        port: u16,
    },
    /// After [`Read::Pending`], there is something to read, or the end.
    Readable(StreamId),
    /// After a write took less than all, there is room again.
    Writable(StreamId),
    /// The peer has everything that was written.
    Flushed(StreamId),
    /// The stream is over. What arrived before can still be read, unless it was reset.
    Closed {
        /// The stream.
        id: StreamId,
        /// Why.
        reason: CloseReason,
    },
    /// A ping was answered.
    Pong {
        /// The ping.
        id: PingId,
        /// How long it took.
        rtt: Duration,
        /// What came back: at most 32 bytes of what was sent, nothing from old peers.
        payload: Bytes,
    },
    /// A ping was not answered in time.
    PingTimeout(PingId),
    /// A peer does not answer; its lease set should be looked up anew.
    PeerStalled {
        /// The peer.
        to: Destination,
    },
}

/// What a read returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next bytes, at least one.
    Data(Bytes),
    /// Nothing now; [`Event::Readable`] follows.
    Pending,
    /// The peer closed its side and everything was read.
    End,
}

/// An accepted stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The stream.
    pub id: StreamId,
    /// Who opened it, proven by signature.
    pub peer: Destination,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

/// A stream's state, for people and for tests.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The peer.
    pub peer: Destination,
    /// Which software the peer seems to run.
    pub peer_kind: PeerKind,
    /// The ports.
    pub ports: Ports,
    /// We opened it.
    pub initiator: bool,
    /// Both sides know of it.
    pub established: bool,
    /// Why it is over, if it is.
    pub closed: Option<CloseReason>,
    /// Smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Packets that may be on their way to the peer, of all its streams.
    pub window: u32,
    /// Packets per second that leave at most, once known.
    pub pacing_rate: Option<f64>,
    /// Packets of this stream on their way.
    pub in_flight: u32,
    /// Largest payload of a packet in bytes.
    pub mtu: usize,
    /// The peer has no room for data.
    pub choked: bool,
    /// Bytes written that were never sent.
    pub unsent: usize,
    /// Memory held for the reader, in bytes.
    pub unread: usize,
    /// Bytes taken from the writer.
    pub bytes_written: u64,
    /// Bytes given to the reader.
    pub bytes_read: u64,
    /// Packets sent that have sequence numbers, retransmissions included.
    pub packets_sent: u64,
    /// Retransmissions.
    pub packets_resent: u64,
    /// Packets received.
    pub packets_received: u64,
}

/// Counters of what was dropped or refused, for people and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that are not streaming packets, or make no sense.
    pub malformed: u64,
    /// Missing or wrong signatures where one is required.
    pub bad_signatures: u64,
    /// First packets that were made for another destination.
    pub replays: u64,
    /// Packets of no stream.
    pub unknown_stream: u64,
    /// Acknowledgements of packets never sent.
    pub bad_acks: u64,
    /// Packets that had arrived before.
    pub duplicates: u64,
    /// Packets dropped because the reader was too slow.
    pub no_room: u64,
    /// Incoming streams of peers that may not connect.
    pub denied: u64,
    /// Incoming streams beyond a limit.
    pub limited: u64,
    /// Incoming streams to ports where nobody listens, or with a full queue.
    pub refused: u64,
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
            timers: BinaryHeap::new(),
            control: VecDeque::new(),
            noticed: VecDeque::new(),
            active: VecDeque::new(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            receive_cost: 0,
            stats: Stats::default(),
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
        self.config = config;
    }

    /// Changes the configuration of a stream. What only matters for connecting, and the congestion
    /// control of a peer that is known, stay as they are.
    ///
    /// # Errors
    ///
    /// [`StreamError::Unknown`].
    pub fn set_stream_config(
        &mut self,
        id: StreamId,
        config: StreamConfig,
    ) -> Result<(), StreamError> {
        let connection = self
            .streams
            .get_mut(id.slot, id.generation)
            .ok_or(StreamError::Unknown)?;
        let peer = connection.peer;
        connection.reconfigure(Arc::new(config));
        let config = Arc::clone(&connection.config);
        if let Some(peer) = self.peers.at_mut(peer) {
            peer.configure(&config);
        }
        Ok(())
    }

    // Handling.

    /// Takes a packet from the network.
    pub fn handle_packet(&mut self, now: Instant, received: Received) {
        let now = self.advance(now);
        self.dispatch(now, &received);
    }

    /// Acts on what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(Reverse((at, wake))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            match wake {
                Wake::Stream { slot, generation } => self.wake_stream(now, slot, generation),
                Wake::Peer { slot, generation } => {
                    if self.peers.get(slot, generation).is_some() {
                        self.list_peer(slot);
                    }
                }
            }
        }
        for id in self.pings.expire(now) {
            self.events.push_back(Event::PingTimeout(id));
        }
        self.early.expire(now);
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
        let timers = self.timers.peek().map(|Reverse((at, _))| *at);
        [
            timers,
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
            let gate = peer.gate(now);
            if gate == Gate::Open
                && let Some(stream) = peer.ready.pop_front()
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
                Gate::Open => peer.on_app_limited(),
                Gate::At(at) => self
                    .timers
                    .push(Reverse((at, Wake::Peer { slot, generation }))),
                Gate::Full => {}
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

    fn address(&self, now: Instant, slot: u32, built: Built) -> Option<Transmit> {
        let (_, connection) = self.streams.entry(slot)?;
        let (_, peer) = self.peers.entry(connection.peer)?;
        Some(Transmit {
            to: peer.destination.clone(),
            from_port: connection.local_port,
            to_port: connection.remote_port,
            packet: built.packet,
            compress: built.compress,
            first: built.first,
            path: peer.path(),
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
            connection.notices = Notices::default();
        }
        if !connection.notices.is_empty() && !connection.listed_notice {
            connection.listed_notice = true;
            self.noticed.push_back(slot);
        }
        if connection.wants_control() && !connection.listed_control {
            connection.listed_control = true;
            self.control.push_back(slot);
        }
        if let Some(at) = connection.timers.next()
            && connection.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            connection.scheduled = Some(at);
            self.timers
                .push(Reverse((at, Wake::Stream { slot, generation })));
        }
        let peer_slot = connection.peer;
        if let Some(peer) = self.peers.at_mut(peer_slot) {
            if !connection.listed_ready && connection.wants_data(now, peer) {
                connection.listed_ready = true;
                peer.ready.push_back(slot);
            }
            if !peer.ready.is_empty() {
                self.list_peer(peer_slot);
            }
        }
        self.dispose(slot);
    }

    fn list_peer(&mut self, slot: u32) {
        if let Some(peer) = self.peers.at_mut(slot)
            && !peer.listed
            && !peer.ready.is_empty()
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
            peer.ready.retain(|ready| *ready != slot);
            peer.streams = peer.streams.saturating_sub(1);
            peer.idle_since = self.now;
            self.ended.insert(self.now, &connection);
        }
    }

    /// The slot of the path to `destination`.
    fn peer_slot(&mut self, now: Instant, destination: &Destination, config: &StreamConfig) -> u32 {
        let hash = destination.hash();
        if let Some(slot) = self.by_hash.get(&hash).copied()
            && let Some(peer) = self.peers.at_mut(slot)
        {
            let stale =
                peer.streams == 0 && now.saturating_duration_since(peer.idle_since) > PEER_MEMORY;
            if stale {
                *peer = Peer::new(now, destination.clone(), config);
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
        }
        let slot = self
            .peers
            .insert(Peer::new(now, destination.clone(), config))
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

    // Application side.

    /// Opens a stream to `to`. [`Event::Connected`] or [`Event::Closed`] follows; data may be
    /// written at once.
    ///
    /// # Errors
    ///
    /// Too many streams, a peer whose signatures cannot be checked, or the endpoint was closed.
    pub fn connect(
        &mut self,
        now: Instant,
        to: &Destination,
        ports: Ports,
        config: &StreamConfig,
    ) -> Result<StreamId, ConnectError> {
        let now = self.advance(now);
        if self.closing {
            return Err(ConnectError::EndpointClosed);
        }
        if !to.signature_type().is_supported() {
            return Err(ConnectError::UnsupportedPeer(to.signature_type()));
        }
        let limit = self.config.stream_limit();
        if self.streams.len() >= limit {
            return Err(ConnectError::TooManyStreams { limit });
        }
        let peer = self.peer_slot(now, to, config);
        let local_id = self.new_local_id();
        let id = self.add_stream(
            now,
            Opening {
                initiator: true,
                local_id,
                remote_id: 0,
                peer,
                local_port: ports.local,
                remote_port: ports.remote,
                config: Arc::new(config.clone()),
                identity: Identity::new(to.clone()),
            },
        );
        self.with_stream(now, id.slot, |connection, cx, _| connection.open(cx.now));
        Ok(id)
    }

    /// Lets peers connect to `port`; 0 stands for all ports that nobody else listens on. At most
    /// `backlog` streams wait to be accepted, at least one.
    ///
    /// # Errors
    ///
    /// The port is taken, there are too many listeners, or the endpoint was closed.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), ListenError> {
        if self.closing {
            return Err(ListenError::EndpointClosed);
        }
        if self.listeners.contains_key(&port) {
            return Err(ListenError::PortTaken(port));
        }
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(ListenError::TooManyListeners(MAX_LISTENERS));
        }
        self.listeners.insert(port, Listener::new(backlog));
        Ok(())
    }

    /// Stops listening. Streams that wait to be accepted are refused.
    pub fn unlisten(&mut self, now: Instant, port: u16) {
        let now = self.advance(now);
        let Some(listener) = self.listeners.remove(&port) else {
            return;
        };
        for id in listener.into_queue() {
            self.end_stream(now, id, CloseReason::NotAccepted);
        }
    }

    /// Takes a stream that waits on `port`, as given to [`Endpoint::listen`].
    pub fn accept(&mut self, now: Instant, port: u16) -> Option<Incoming> {
        let now = self.advance(now);
        while let Some(id) = self.listeners.get_mut(&port)?.pop() {
            let Some(connection) = self.streams.get(id.slot, id.generation) else {
                continue;
            };
            if connection.phase != Phase::Offered {
                continue;
            }
            let incoming = Incoming {
                id,
                peer: connection.identity().destination.clone(),
                local_port: connection.local_port,
                remote_port: connection.remote_port,
            };
            self.with_stream(now, id.slot, |connection, cx, _| connection.accept(cx.now));
            return Some(incoming);
        }
        None
    }

    /// Takes up to `max` bytes that arrived, at least one, without copying.
    ///
    /// # Errors
    ///
    /// The stream is over and not by its regular end, which is [`Read::End`]; or unknown.
    pub fn read(&mut self, now: Instant, id: StreamId, max: usize) -> Result<Read, StreamError> {
        self.on_stream(now, id, |connection, cx, peer| {
            connection.read(cx.now, max, &peer.rtt)
        })
        .and_then(|read| {
            Ok(match read? {
                Some(data) if data.is_empty() => Read::End,
                Some(data) => Read::Data(data),
                None => Read::Pending,
            })
        })
    }

    /// Takes as much of `data` as there is room for, and returns how much; [`Event::Writable`]
    /// follows where that was not all.
    ///
    /// # Errors
    ///
    /// The stream is over, was shut down, has no sequence numbers left, or is unknown.
    pub fn write(&mut self, now: Instant, id: StreamId, data: &[u8]) -> Result<usize, StreamError> {
        self.on_stream(now, id, |connection, cx, _| connection.write(cx.now, data))?
    }

    /// Sends what was written without waiting for more.
    pub fn flush(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist has nothing to flush.
        let _ = self.on_stream(now, id, |connection, _, _| connection.flush());
    }

    /// Whether the peer has everything that was written so far; true of unknown streams.
    /// [`Event::Flushed`] tells when it becomes true.
    pub fn is_acked(&self, id: StreamId) -> bool {
        self.streams
            .get(id.slot, id.generation)
            .is_none_or(|connection| connection.is_acked())
    }

    /// Ends our side behind what was written; the peer can still send.
    ///
    /// i2pd ends both sides when it hears of this: where the peer may be i2pd, wait for its answer
    /// first.
    pub fn shutdown(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist is shut down.
        let _ = self.on_stream(now, id, |connection, _, _| connection.shutdown());
    }

    /// Ends the stream at once; what is in flight is lost.
    pub fn reset(&mut self, now: Instant, id: StreamId) {
        self.end_stream(now, id, CloseReason::LocalReset);
    }

    fn end_stream(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        // A stream that does not exist is over.
        let _ = self.on_stream(now, id, |connection, _, peer| {
            connection.reset(peer, reason)
        });
    }

    /// The application's handle is gone. What was written is still sent and the stream closed in the
    /// background, within the linger time of its configuration; the id means nothing any more.
    pub fn release(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist is released.
        let _ = self.on_stream(now, id, |connection, cx, peer| {
            connection.release(cx.now, peer)
        });
    }

    fn on_stream<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>, &mut Peer) -> T,
    ) -> Result<T, StreamError> {
        let now = self.advance(now);
        let known = self
            .streams
            .get(id.slot, id.generation)
            .is_some_and(|connection| !connection.released);
        if !known {
            return Err(StreamError::Unknown);
        }
        self.with_stream(now, id.slot, work)
            .ok_or(StreamError::Unknown)
    }

    /// The state of a stream.
    pub fn info(&self, id: StreamId) -> Option<StreamInfo> {
        let connection = self.streams.get(id.slot, id.generation)?;
        let (_, peer) = self.peers.entry(connection.peer)?;
        Some(StreamInfo {
            peer: peer.destination.clone(),
            peer_kind: peer.kind,
            ports: Ports {
                local: connection.local_port,
                remote: connection.remote_port,
            },
            initiator: connection.initiator,
            established: connection.phase == Phase::Open,
            closed: match connection.phase {
                Phase::Done(reason) => Some(reason),
                _ => None,
            },
            rtt: peer.rtt.smoothed(),
            rto: peer.rtt.rto(),
            window: peer.window(),
            pacing_rate: peer.pacing_rate(),
            in_flight: connection.in_flight(),
            mtu: connection.mtu(),
            choked: connection.choked(),
            unsent: connection.unsent(),
            unread: connection.unread(),
            bytes_written: connection.bytes_written,
            bytes_read: connection.bytes_read,
            packets_sent: connection.packets_sent,
            packets_resent: connection.packets_resent,
            packets_received: connection.packets_received,
        })
    }

    /// Counters of what was dropped or refused.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Streams that exist, those closing in the background included.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Sends packets to `to` this way from now on; returned in [`Transmit::path`]. The round-trip
    /// time and window learned so far are kept.
    pub fn set_path(&mut self, to: &Destination, path: u64) {
        if let Some(slot) = self.by_hash.get(&to.hash())
            && let Some(peer) = self.peers.at_mut(*slot)
        {
            peer.set_path(path);
        }
    }

    /// Closes all streams as [`Endpoint::shutdown`] does and takes no new ones. Those that have not
    /// finished after their linger time are reset; [`Endpoint::is_idle`] tells when all have.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.closing = true;
        let ports: Vec<_> = self.listeners.keys().copied().collect();
        for port in ports {
            self.unlisten(now, port);
        }
        let slots: Vec<_> = self.streams.iter().map(|(slot, _, _)| slot).collect();
        for slot in slots {
            self.with_stream(now, slot, |connection, cx, _| connection.close_all(cx.now));
        }
    }

    /// Resets every stream that is not over. Follows [`Endpoint::close`] where there is no more time,
    /// or where what was written has arrived and the peers still write.
    pub fn abort(&mut self, now: Instant) {
        let now = self.advance(now);
        let slots: Vec<_> = self.streams.iter().map(|(slot, _, _)| slot).collect();
        for slot in slots {
            self.with_stream(now, slot, |connection, _, peer| {
                connection.reset(peer, CloseReason::EndpointClosed)
            });
        }
    }

    /// Whether peers have everything that was written, and no packet waits to be sent.
    pub fn is_delivered(&self) -> bool {
        self.transmits.is_empty()
            && self.control.is_empty()
            && self.streams.iter().all(|(_, _, connection)| {
                let over = matches!(connection.phase, Phase::Done(_));
                (over || connection.is_acked()) && !connection.wants_control()
            })
    }

    /// Whether no stream has anything left to do.
    pub fn is_idle(&self) -> bool {
        self.transmits.is_empty()
            && self.control.is_empty()
            && self.streams.iter().all(|(_, _, connection)| {
                matches!(connection.phase, Phase::Done(_)) && !connection.wants_control()
            })
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

/// Paths without streams are remembered up to this number; each takes about a kilobyte.
const MAX_IDLE_PEERS: usize = 1024;
/// How long a path without streams is remembered: Java keeps its control blocks as long, and tunnels
/// do not live longer.
const PEER_MEMORY: Duration = Duration::from_secs(600);
/// Ports listened on; far more than applications use, and a bound for the table.
const MAX_LISTENERS: usize = 1024;

#[cfg(test)]
mod tests;
