//! Scenarios for the streaming protocol in virtual time: endpoints and models of other
//! implementations on emulated links. For tests and benchmarks; not published.
//!
//! Everything is seeded, so that a scenario gives the same result every time. An hour of virtual
//! time takes as long as the computation of its packets.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use eepkit_streaming::{
    Endpoint, EndpointConfig, Event, Incoming, Output, Path, PathId, Ports, Read, Received,
    StreamConfig, StreamId, Transmit, TunnelId, packet::Packet,
};
use eepkit_wire::{Destination, Hash, LeaseId, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

pub mod foreign;
pub mod fuzzing;
mod link;
pub mod scenario;
mod signatures;
mod tcp;
mod udp;
mod waits;

pub use eepkit_netem::Loss;
pub use link::{Link, LinkConfig, messages};
pub use tcp::TcpConfig;
pub use udp::UdpConfig;
pub use waits::Waits;

/// Keys that depend on `seed` only. They are generated once in a process.
///
/// # Panics
///
/// Never: Ed25519 keys can always be generated.
pub fn keys(seed: u8) -> Arc<PrivateKeys> {
    static KEYS: [OnceLock<Arc<PrivateKeys>>; 256] = [const { OnceLock::new() }; 256];
    let generate = || {
        let mut rng = ChaCha8Rng::from_seed([seed; 32]);
        #[expect(clippy::unwrap_used, reason = "Ed25519 keys can always be made")]
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).unwrap();
        Arc::new(keys)
    };
    KEYS[usize::from(seed)].get_or_init(generate).clone()
}

/// The instant at which scenarios begin.
pub fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests need some instant to count from; only differences matter"
    )]
    Instant::now()
}

/// Wall time at [`start`], since the epoch: 2025-01-01.
pub const UNIX_START: Duration = Duration::from_secs(1_735_689_600);

/// One endpoint of a [`Pair`] and the events that it reported.
#[derive(Debug)]
pub struct Side {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Events in order. Tests remove those that they have handled.
    pub events: Vec<Event>,
    pub(crate) timeout: Option<Instant>,
    keys: Arc<PrivateKeys>,
    /// The number of drains, which decides when the state is checked.
    drains: u64,
    /// Whether signatures of packets are made and checked once for all runs.
    remembers: bool,
}

impl Side {
    /// An endpoint for `keys`.
    pub fn new(keys: Arc<PrivateKeys>, config: EndpointConfig, seed: u8, now: Instant) -> Self {
        Self {
            endpoint: Endpoint::new(keys.clone(), config, [seed; 32], now, UNIX_START),
            events: Vec::new(),
            timeout: None,
            keys,
            drains: 0,
            remembers: false,
        }
    }

    /// Makes and checks the signature of each packet once for all runs ([`signatures`]).
    pub(crate) fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }

    /// Passes a packet to the endpoint.
    pub(crate) fn receive(&mut self, now: Instant, received: Received) {
        match self.remembers {
            true => signatures::receive(&mut self.endpoint, now, received),
            false => self.endpoint.handle_packet(now, received),
        }
    }

    pub(crate) fn drain(&mut self, now: Instant, mut send: impl FnMut(Transmit)) {
        loop {
            match self.endpoint.poll_output(now) {
                Output::Transmit(mut transmit) => {
                    match self.remembers {
                        true => signatures::sign(&mut transmit, &self.keys),
                        false => transmit.sign(&self.keys),
                    }
                    send(transmit);
                }
                Output::Event(event) => self.events.push(event),
                Output::Timeout(at) => {
                    self.drains += 1;
                    // Not every time, because the check visits every stream. Not in benchmarks.
                    if cfg!(debug_assertions) && self.drains.is_multiple_of(CHECK_EVERY) {
                        self.endpoint.assert_consistent();
                    }
                    self.timeout = at;
                    return;
                }
            }
        }
    }

    /// Removes an event and returns whether it was there.
    pub fn saw(&mut self, event: &Event) -> bool {
        let found = self.events.iter().position(|seen| seen == event);
        found.map(|index| self.events.remove(index)).is_some()
    }
}

/// An endpoint's state is checked once in this many drains.
const CHECK_EVERY: u64 = 16;

/// Decides whether a packet enters the link: `false` drops it.
pub type Filter = Box<dyn FnMut(&Packet<'_>) -> bool + Send>;

/// Two endpoints and the links between them.
pub struct Pair {
    /// The time.
    pub now: Instant,
    /// One endpoint, by convention the one that opens streams.
    pub a: Side,
    /// The other one.
    pub b: Side,
    /// From `a` to `b`.
    pub ab: Link<Transmit>,
    /// From `b` to `a`.
    pub ba: Link<Transmit>,
    /// Called with every packet from `a` before it enters the link.
    pub filter_ab: Option<Filter>,
    /// Called with every packet from `b` before it enters the link.
    pub filter_ba: Option<Filter>,
    /// Packets sent, by `a` and by `b`.
    pub sent: (u64, u64),
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("a", &self.a)
            .field("b", &self.b)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// Two endpoints with the default configuration, joined by such links.
    pub fn new(link: LinkConfig) -> Self {
        Self::with_config(
            link,
            EndpointConfig::default(),
            EndpointConfig::default(),
            1,
        )
    }

    /// Two endpoints joined by such links. `seed` decides the fate of packets.
    pub fn with_config(link: LinkConfig, a: EndpointConfig, b: EndpointConfig, seed: u8) -> Self {
        let now = start();
        Self {
            now,
            a: Side::new(keys(1), a, seed, now),
            b: Side::new(keys(2), b, seed.wrapping_add(1), now),
            ab: Link::new(link.clone(), u64::from(seed)),
            ba: Link::new(link, u64::from(seed) + 1000),
            filter_ab: None,
            filter_ba: None,
            sent: (0, 0),
        }
    }

    /// Makes and checks the signature of each packet once for all runs.
    pub(crate) fn remembering(self) -> Self {
        Self {
            a: self.a.remembering(),
            b: self.b.remembering(),
            ..self
        }
    }

    /// The destination of `a`.
    pub fn address_a(&self) -> Destination {
        self.a.endpoint.destination().clone()
    }

    /// The destination of `b`.
    pub fn address_b(&self) -> Destination {
        self.b.endpoint.destination().clone()
    }

    /// Handles all output that both endpoints have at this time.
    pub fn drain(&mut self) {
        let Self {
            now,
            a,
            b,
            ab,
            ba,
            filter_ab,
            filter_ba,
            sent,
            ..
        } = self;
        a.drain(*now, |transmit| {
            sent.0 += 1;
            pass(ab, filter_ab, *now, transmit);
        });
        b.drain(*now, |transmit| {
            sent.1 += 1;
            pass(ba, filter_ba, *now, transmit);
        });
    }

    /// Advances to the next event, but not beyond `limit`. Returns whether there was one.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.drain();
        let next = [
            self.ab.next(),
            self.ba.next(),
            self.a.timeout,
            self.b.timeout,
        ]
        .into_iter()
        .flatten()
        .min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(next);
        while let Some(transmit) = self.ab.receive(self.now) {
            self.b.receive(self.now, arrive(transmit));
        }
        while let Some(transmit) = self.ba.receive(self.now) {
            self.a.receive(self.now, arrive(transmit));
        }
        for side in [&mut self.a, &mut self.b] {
            if side.timeout.is_some_and(|at| at <= self.now) {
                side.endpoint.handle_timeout(self.now);
            }
        }
        self.drain();
        true
    }

    /// Advances by this time.
    pub fn run(&mut self, span: Duration) {
        let limit = self.now + span;
        while self.step(limit) {}
    }

    /// Advances until `done`, by at most `span`. Returns whether it was done.
    pub fn run_until(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let limit = self.now + span;
        loop {
            self.drain();
            if done(self) {
                return true;
            }
            if !self.step(limit) {
                return done(self);
            }
        }
    }

    /// Opens a stream from `a` to `b` and accepts it there.
    ///
    /// # Panics
    ///
    /// The stream was not established within two minutes.
    pub fn connect(&mut self) -> (StreamId, StreamId) {
        self.connect_with(&StreamConfig::default())
    }

    /// As [`Pair::connect`], with a configuration.
    ///
    /// # Panics
    ///
    /// As [`Pair::connect`].
    pub fn connect_with(&mut self, config: &StreamConfig) -> (StreamId, StreamId) {
        // An error means that it listens already.
        let _ = self.b.endpoint.listen(0, 1024);
        let to = self.address_b();
        #[expect(clippy::unwrap_used, reason = "a scenario of a test")]
        let a = self
            .a
            .endpoint
            .connect(self.now, &to, Ports::default(), config)
            .unwrap();
        let mut accepted = None;
        let connected = self.run_until(Duration::from_secs(120), |pair| {
            if accepted.is_none() {
                accepted = pair.accept();
            }
            accepted.is_some() && pair.a.saw(&Event::Connected(a))
        });
        assert!(
            connected,
            "not connected: {:?} {:?}",
            self.a.events, self.b.events
        );
        #[expect(clippy::unwrap_used, reason = "connected means accepted")]
        let b = accepted.unwrap().id;
        (a, b)
    }

    /// Accepts a stream at `b`.
    pub fn accept(&mut self) -> Option<Incoming> {
        let accepted = self.b.endpoint.accept(self.now, 0);
        self.drain();
        accepted
    }

    /// Sends `length` bytes from `a` to `b`, compares what arrives, and returns the duration.
    ///
    /// # Panics
    ///
    /// Not all bytes arrived within `span`, or other bytes than were sent.
    pub fn transfer(&mut self, ids: (StreamId, StreamId), length: u64, span: Duration) -> Duration {
        let began = self.now;
        let mut transfer = Transfer::new(length);
        let done = self.run_until(span, |pair| {
            transfer.write(&mut pair.a.endpoint, pair.now, ids.0);
            transfer.read(&mut pair.b.endpoint, pair.now, ids.1);
            transfer.received == length
        });
        assert!(
            done,
            "{} of {length} bytes in {span:?}: {:?} {:?}",
            transfer.received,
            self.a.endpoint.info(ids.0),
            self.b.endpoint.info(ids.1)
        );
        self.now.saturating_duration_since(began)
    }
}

fn pass(link: &mut Link<Transmit>, filter: &mut Option<Filter>, now: Instant, transmit: Transmit) {
    if let Some(filter) = filter
        && let Ok(packet) = Packet::parse(&transmit.packet)
        && !filter(&packet)
    {
        return;
    }
    link.send(now, transmit);
}

/// The path with this number, over the tunnel of the same number and a lease of the peer.
pub fn tunnel_path(number: u64, lease: u64, expires: Option<Instant>) -> Path {
    Path {
        id: PathId(number),
        tunnel: TunnelId(number),
        lease: LeaseId {
            gateway: Hash::new([0; 32]),
            tunnel: u32::try_from(lease).unwrap_or(u32::MAX),
        },
        expires,
    }
}

/// Converts a sent packet to a received one.
pub fn arrive(transmit: Transmit) -> Received {
    Received {
        from_port: transmit.from_port,
        to_port: transmit.to_port,
        packet: transmit.packet,
    }
}

/// A transfer of bytes in one direction of a stream. The position determines the value of a byte.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Bytes in total.
    pub length: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes read and compared.
    pub received: u64,
}

impl Transfer {
    /// A transfer of `length` bytes.
    pub const fn new(length: u64) -> Self {
        Self {
            length,
            written: 0,
            received: 0,
        }
    }

    /// Writes as much as the endpoint accepts.
    ///
    /// # Panics
    ///
    /// The stream has ended.
    pub fn write(&mut self, endpoint: &mut Endpoint, now: Instant, id: StreamId) {
        while self.written < self.length {
            let count = usize::try_from(self.length - self.written).unwrap_or(usize::MAX);
            let bytes = run(self.written);
            let bytes = &bytes[..bytes.len().min(count)];
            #[expect(clippy::unwrap_used, reason = "a scenario of a test")]
            let taken = endpoint.write(now, id, bytes).unwrap();
            self.written += taken as u64;
            if taken < bytes.len() {
                return;
            }
        }
    }

    /// Reads all data that is available and compares it.
    ///
    /// # Panics
    ///
    /// It differs from the data that was written.
    pub fn read(&mut self, endpoint: &mut Endpoint, now: Instant, id: StreamId) {
        while let Ok(Read::Data(data)) = endpoint.read(now, id, usize::MAX) {
            let mut rest = &data[..];
            let mut position = self.received;
            while !rest.is_empty() {
                let expected = run(position);
                let (now, later) = rest.split_at(rest.len().min(expected.len()));
                assert_eq!(now, &expected[..now.len()], "from {position}");
                position += now.len() as u64;
                rest = later;
            }
            self.received += data.len() as u64;
        }
        assert!(self.received <= self.written, "more than was written");
    }
}

/// The value of the byte at a position. It differs between neighbours, pages and packets.
pub fn pattern(position: u64) -> u8 {
    run(position)[0]
}

/// The bytes from a position on, at least 64 KiB.
fn run(position: u64) -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let value = |index: u64| {
            (index % PERIOD)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .to_be_bytes()[0]
        };
        (0..2 * PERIOD).map(value).collect()
    });
    let start = usize::try_from(position % PERIOD).unwrap_or(0);
    &bytes[start..]
}

/// A prime number, so that it is not a multiple of a packet or buffer size.
const PERIOD: u64 = 65_537;
