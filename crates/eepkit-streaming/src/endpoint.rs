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
    streams: SlotMap<StreamKey, StreamEntry>,
    by_local: HashMap<u32, StreamKey>,
    /// Incoming streams by the id that their peer chose. Ids of different peers may be the same.
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
    /// Resets and pongs that answer packets of nobody's stream.
    answers: Bucket,
    /// One entry for each stream that waits, and one for each peer whose pacing does.
    timers: BTreeSet<(Instant, Wake)>,
    /// Streams with something to send that does not wait for a window.
    control: VecDeque<StreamKey>,
    /// Streams with something to tell the application.
    noticed: VecDeque<StreamKey>,
    /// Peers with something to send and, as far as known, room for it.
    active: VecDeque<PeerKey>,
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

    /// Sends what does not wait for cwnd.
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
            let Some(PeerEntry { peer, ready, .. }) = self.peers.get_mut(key) else {
                self.active.pop_front();
                continue;
            };
            let can_send = peer.can_send(now);
            if can_send == CanSend::Now
                && !ready.is_empty()
                && self.rate_limiter.wait(now).is_some()
            {
                // A rate measured now would be that of the limiter, not of the network.
                peer.on_app_limited();
                return None;
            }
            if can_send == CanSend::Now
                && let Some(stream) = ready.pop()
            {
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
        self.rate_limiter.on_sent(now, built.packet.len());
        peer.rate_limiter.on_sent(now, built.packet.len());
        peer.on_path_used(built.path);
        Some(Transmit {
            to: peer.destination.clone(),
            from_port: entry.connection.local_port,
            to_port: entry.connection.remote_port,
            packet: built.packet,
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

/// The next thing that the application should hear of a stream.
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
