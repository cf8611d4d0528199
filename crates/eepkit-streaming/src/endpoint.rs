//! All streams of one destination.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use eepkit_wire::{Destination, Hash, PrivateKeys};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use slotmap::SlotMap;

use crate::{
    ConnectionError, EndpointConfig, StreamConfig,
    connection::{Built, Connection, Notices, Phase},
    path_state::CanSend,
    rate_limiter::RateLimiter,
    received::{Received, Verified},
    stats::Stats,
    tunnels::Tunnels,
};

mod application;
mod early;
mod ended;
mod entries;
mod first_contact;
mod incoming;
mod keys;
mod limits;
mod listener;
mod paths;
mod ping;
mod pings;
mod scheduling;
mod types;
mod verification;

pub use self::types::{Event, Incoming, Output, PingId, Read, StreamId, Transmit};
use self::{
    early::EarlyPackets,
    ended::Ended,
    entries::{PeerEntry, StreamEntry, Wake},
    keys::{PeerKey, StreamKey},
    limits::{Bucket, Limiter},
    listener::Listener,
    pings::Pings,
};

/// All streams of one destination, incoming and outgoing.
///
/// An endpoint does no I/O and reads no clock. The caller drives it:
///
/// 1. Call [`Endpoint::handle_packet`] when a packet arrives.
/// 2. Call [`Endpoint::handle_timeout`] at the time of the last [`Output::Timeout`].
/// 3. After each of these, and after every call of another `&mut self` method, call
///    [`Endpoint::poll_output`] and handle its output repeatedly, until it returns
///    [`Output::Timeout`]. Then wait for the next packet or for the timeout.
///
/// Time is an argument of every call. It should not run backwards. If it does, the endpoint uses
/// the latest time that it has received.
///
/// No packet causes a panic. All state that a peer can make grow is bounded.
pub struct Endpoint {
    keys: Arc<PrivateKeys>,
    config: EndpointConfig,
    /// The default configuration of streams, shared by all streams that use it.
    stream_config: Arc<StreamConfig>,
    /// Generates stream ids, which must be unpredictable.
    rng: ChaCha8Rng,
    start: Instant,
    unix_start: Duration,
    /// The latest time of any call.
    now: Instant,
    streams: SlotMap<StreamKey, StreamEntry>,
    by_local: HashMap<u32, StreamKey>,
    /// Incoming streams by the id that their peer chose. Different peers may choose the same id.
    by_remote: HashMap<u32, Vec<StreamKey>>,
    peers: SlotMap<PeerKey, PeerEntry>,
    by_hash: HashMap<Hash, PeerKey>,
    tunnels: Tunnels,
    /// Selects the tunnel of the next new peer's first path.
    tunnel_offset: usize,
    /// Peers whose lease sets are being looked up.
    lookups: Vec<Hash>,
    listeners: HashMap<u16, Listener>,
    early: EarlyPackets,
    ended: Ended,
    limiter: Limiter,
    pings: Pings,
    /// Limits resets and pongs that answer packets outside of streams.
    answers: Bucket,
    /// One entry for each stream with a timer, and one for each peer that waits for its pacing.
    timers: BTreeSet<(Instant, Wake)>,
    /// Streams with packets to send that do not wait for cwnd.
    control: VecDeque<StreamKey>,
    /// Streams with events for the application.
    noticed: VecDeque<StreamKey>,
    /// Peers with data to send that may have room in cwnd.
    active: VecDeque<PeerKey>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    /// Limits the rate to all peers together.
    rate_limiter: RateLimiter,
    /// Memory of received data.
    receive_cost: usize,
    stats: Stats,
    /// The current packet, if its signature was checked before.
    verified: Option<Verified>,
    closing: bool,
}

impl Endpoint {
    /// An endpoint for the destination of `keys`.
    ///
    /// `seed` must be random, because stream ids are generated from it. `unix_now` is the wall time
    /// at `now`, since the epoch. It is used to check the expiry of offline signatures.
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
            streams: SlotMap::with_key(),
            by_local: HashMap::new(),
            by_remote: HashMap::new(),
            peers: SlotMap::with_key(),
            by_hash: HashMap::new(),
            tunnels: Tunnels::default(),
            tunnel_offset: 0,
            lookups: Vec::new(),
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

    /// Changes the configuration. Limits and access rules apply from now on. Existing streams keep
    /// their configuration, which [`Endpoint::set_stream_config`] changes.
    pub fn set_config(&mut self, config: EndpointConfig) {
        self.stream_config = Arc::new(config.stream.clone());
        self.rate_limiter.set(config.max_send_rate);
        self.config = config;
    }

    /// Changes the configuration of a stream. Settings of the handshake, and the congestion control
    /// of a known peer, do not change.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Unknown`] if the stream does not exist.
    pub fn set_stream_config(
        &mut self,
        id: StreamId,
        config: StreamConfig,
    ) -> Result<(), ConnectionError> {
        let entry = self.streams.get_mut(id.0).ok_or(ConnectionError::Unknown)?;
        let config = Arc::new(config);
        entry.connection.reconfigure(Arc::clone(&config));
        if let Some(entry) = self.peers.get_mut(entry.peer) {
            entry.peer.configure(&config);
        }
        Ok(())
    }

    // Handling.

    /// Handles a packet from the network. [`Endpoint::receive`] does the same in two steps, so that
    /// the caller can check the signature without access to the endpoint.
    pub fn handle_packet(&mut self, now: Instant, received: Received) {
        if let Some(check) = self.receive(now, received) {
            self.receive_verified(now, check.check());
        }
    }

    /// Handles all timers that have expired at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some((at, wake)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match wake {
                Wake::Stream(key) => self.wake_stream(now, key),
                Wake::Peer(key) => {
                    if let Some(entry) = self.peers.get_mut(key) {
                        entry.wake = None;
                        self.list_peer(key);
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

    fn wake_stream(&mut self, now: Instant, key: StreamKey) {
        if let Some(entry) = self.streams.get_mut(key) {
            entry.wake = None;
            self.with_stream(now, key, |connection, cx, peer| {
                connection.handle_timeout(cx, peer)
            });
        }
    }

    /// Advances the time, which never runs backwards, and returns it.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn unix_now(&self, now: Instant) -> u32 {
        let unix = self.unix_start + now.saturating_duration_since(self.start);
        u32::try_from(unix.as_secs()).unwrap_or(u32::MAX)
    }

    // Polling.

    /// Returns the next output. Must be called until it returns [`Output::Timeout`].
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
            // Sending may have made room for a writer.
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

    /// Returns the next event for the application, if there is one. [`Endpoint::poll_output`]
    /// returns the same events. While its router accepts no packets, a driver polls this method
    /// instead, so that readers still receive data.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(key) = self.noticed.front().copied() {
            if let Some(entry) = self.streams.get_mut(key) {
                if let Some(event) = next_event(StreamId(key), &mut entry.connection) {
                    return Some(event);
                }
                entry.in_noticed = false;
            }
            self.noticed.pop_front();
            self.dispose(key);
        }
        None
    }

    /// Sends packets that do not wait for cwnd.
    fn poll_control(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(key) = self.control.front().copied() {
            if self.waits_at_gate(now, key) {
                self.unlist_control(key);
                continue;
            }
            if let Some(entry) = self.streams.get(key) {
                self.update_paths(now, entry.peer);
            }
            let built = self.with_stream(now, key, |connection, cx, peer| {
                connection.poll_control(cx, peer)
            });
            if let Some(Some(built)) = built {
                return self.address(now, key, built);
            }
            self.unlist_control(key);
            self.dispose(key);
        }
        None
    }

    /// Sends data, peer by peer and stream by stream in turn.
    fn poll_data(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(key) = self.active.front().copied() {
            self.update_paths(now, key);
            let beyond = self.beyond_cwnd(now, key);
            let Some(PeerEntry { peer, ready, .. }) = self.peers.get_mut(key) else {
                self.active.pop_front();
                continue;
            };
            let can_send = match beyond {
                Some(_) => peer
                    .rate_limiter
                    .wait(now)
                    .map_or(CanSend::Now, CanSend::At),
                None => peer.can_send(now),
            };
            if can_send == CanSend::Now
                && !ready.is_empty()
                && self.rate_limiter.wait(now).is_some()
            {
                // A delivery rate measured now would be that of the limiter, not of the network.
                peer.on_app_limited();
                return None;
            }
            if can_send == CanSend::Now
                && let Some(stream) = beyond.or_else(|| ready.pop())
            {
                if beyond.is_some() {
                    ready.remove(stream);
                }
                self.active.rotate_left(1);
                if let Some(transmit) = self.poll_stream(now, stream) {
                    return Some(transmit);
                }
                continue;
            }
            self.deactivate(key, can_send);
        }
        None
    }

    /// A stream that may send a packet although cwnd is used up.
    ///
    /// The packets of streams that time out may fill cwnd for as long as these streams exist, and
    /// their probes use up the pacing rate. A stream with nothing in flight may send a packet then,
    /// as it may send a SYN, so that these do not stop it.
    fn beyond_cwnd(&self, now: Instant, key: PeerKey) -> Option<StreamKey> {
        let PeerEntry { peer, ready, .. } = self.peers.get(key)?;
        if !peer.has_timed_out(now) || peer.can_send(now) != CanSend::CwndFull {
            return None;
        }
        ready.find(|id| {
            let stream = self.streams.get(id);
            stream.is_some_and(|entry| entry.connection.has_nothing_in_flight())
        })
    }

    /// The peer at the front of the queue cannot send now, or has nothing to send.
    fn deactivate(&mut self, key: PeerKey, can_send: CanSend) {
        self.active.pop_front();
        let Some(entry) = self.peers.get_mut(key) else {
            return;
        };
        entry.in_active = false;
        match can_send {
            CanSend::Now => entry.peer.on_app_limited(),
            CanSend::At(at) => {
                if let Some(earlier) = entry.wake.replace(at) {
                    self.timers.remove(&(earlier, Wake::Peer(key)));
                }
                self.timers.insert((at, Wake::Peer(key)));
            }
            CanSend::CwndFull => {}
        }
    }

    fn poll_stream(&mut self, now: Instant, key: StreamKey) -> Option<Transmit> {
        let entry = self.streams.get_mut(key)?;
        entry.in_ready = false;
        let built = self.with_stream(now, key, |connection, cx, peer| {
            connection.poll_data(cx, peer)
        })??;
        self.address(now, key, built)
    }

    fn address(&mut self, now: Instant, key: StreamKey, built: Built) -> Option<Transmit> {
        let entry = self.streams.get(key)?;
        let peer = &mut self.peers.get_mut(entry.peer)?.peer;
        self.rate_limiter.on_sent(now, built.packet.bytes.len());
        peer.rate_limiter.on_sent(now, built.packet.bytes.len());
        peer.on_path_used(built.path);
        Some(Transmit {
            to: peer.destination.clone(),
            from_port: entry.connection.local_port,
            to_port: entry.connection.remote_port,
            packet: built.packet.bytes,
            unsigned: built.packet.unsigned,
            compress: built.compress,
            first: built.first,
            path: built.path,
            deadline: now + built.lifetime,
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

/// The next event of a stream for the application.
fn next_event(id: StreamId, connection: &mut Connection) -> Option<Event> {
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
    if notices.take(Notices::CLOSED)
        && let Phase::Done(reason) = connection.phase
    {
        return Some(Event::Closed { id, reason });
    }
    None
}
