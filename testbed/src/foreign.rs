//! Models of other implementations, which run against this one in virtual time.
//!
//! There are three models, of i2pd ([`Software::I2pd`], 2.58), Java I2P ([`Software::Java`], 2.8.0)
//! and emissary ([`Software::Emissary`], 0.4.0). Each is a sender and a receiver of one stream and
//! uses the real wire format. They reproduce what determines rate, fairness and interoperation:
//! growth and reduction of the cwnd, the times of packets and acknowledgements, the contents of
//! acknowledgements, retransmission, drops, and choking.
//!
//! No model includes:
//!
//! - Routers. There are no tunnels, leases or sessions. A model that would change them counts this
//!   ([`Counters::path_changes`]) and resets its cwnd if the original does.
//! - The end of streams. Nothing is closed, and CLOSE takes a sequence number like data.
//! - Verification of signatures. Models sign correctly, because this implementation verifies.
//! - Several streams between the same two destinations, and the state that they share.
//! - Processing time.
//!
//! The module of each model lists its further properties and omissions. [`Network`] joins models
//! and real [`Endpoint`]s by a bottleneck.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use eepkit_wire::{Destination, PrivateKeys};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

#[cfg(doc)]
use eepkit_streaming::Endpoint;
use eepkit_streaming::packet::{Flags, Packet, Repr, replay_guard};

mod emissary;
mod i2pd;
mod java;
mod network;

pub use network::{Flow, Network, Party, Plan};

/// The implementation that a [`Foreign`] models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Software {
    /// i2pd 2.58.
    I2pd,
    /// Java I2P 2.8.0.
    Java,
    /// emissary 0.4.0.
    Emissary,
}

impl Software {
    /// All implementations.
    pub const ALL: [Self; 3] = [Self::I2pd, Self::Java, Self::Emissary];
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I2pd => "i2pd",
            Self::Java => "Java",
            Self::Emissary => "emissary",
        })
    }
}

/// Counters of a stream of a [`Foreign`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets with sequence numbers that were sent, including retransmissions.
    pub sent: u64,
    /// Retransmissions.
    pub resent: u64,
    /// Plain acknowledgements sent.
    pub acks_sent: u64,
    /// Packets with sequence numbers that arrived.
    pub received: u64,
    /// Received packets that had arrived before.
    pub duplicates: u64,
    /// Received packets for which the buffer had no space.
    pub dropped: u64,
    /// Sent packets that choke.
    pub chokes_sent: u64,
    /// Received packets that choke, by the rules of the implementation.
    pub chokes_received: u64,
    /// Changes of the outbound tunnel or of the lease of the peer.
    pub path_changes: u64,
    /// Acknowledgements that could not be encoded: Java counts missing packets in one byte without
    /// a limit.
    pub malformed_acks: u64,
}

/// One stream of another implementation.
///
/// Times are relative to a common start.
#[derive(Debug)]
pub struct Foreign {
    software: Software,
    model: Box<dyn Model>,
}

impl Foreign {
    /// A stream in its initial state. The first packet opens it as incoming, [`Foreign::open`] as
    /// outgoing. `seed` determines the random numbers that the original uses.
    pub fn new(software: Software, keys: Arc<PrivateKeys>, seed: u64) -> Self {
        let wire = Wire::new(keys, seed);
        let model: Box<dyn Model> = match software {
            Software::I2pd => Box::new(i2pd::I2pd::new(wire)),
            Software::Java => Box::new(java::Java::new(wire)),
            Software::Emissary => Box::new(emissary::Emissary::new(wire)),
        };
        Self { software, model }
    }

    /// The implementation that it models.
    pub const fn software(&self) -> Software {
        self.software
    }

    /// The destination.
    pub fn destination(&self) -> &Destination {
        self.model.wire().keys.destination()
    }

    /// Begins with this window, in packets, and this RTT, from earlier streams between the two
    /// destinations. Only Java remembers a window.
    pub fn remember(&mut self, window: u32, rtt: Duration) {
        self.model.remember(window, rtt);
    }

    /// Opens the stream.
    pub fn open(&mut self, now: Duration, to: &Destination) {
        self.model.wire_mut().peer = Some(to.clone());
        self.model.open(now);
    }

    /// Handles a packet. A packet that cannot be decoded is dropped.
    pub fn handle_packet(&mut self, now: Duration, bytes: &[u8]) {
        if self.is_dead() {
            return;
        }
        if let Ok(packet) = Packet::parse(bytes) {
            self.model.on_packet(now, &packet);
        }
    }

    /// Handles all timers that have expired.
    pub fn handle_timeout(&mut self, now: Duration) {
        if !self.is_dead() {
            self.model.on_timers(now);
        }
    }

    /// When [`Foreign::handle_timeout`] should be called.
    pub fn next_timeout(&self) -> Option<Duration> {
        if self.is_dead() {
            return None;
        }
        self.model.next_timer()
    }

    /// The next packet to send.
    pub fn transmit(&mut self) -> Option<Bytes> {
        self.model.wire_mut().out.pop_front()
    }

    /// Accepts as much of `data` as fits the send buffer of 64 KiB. Returns the number of bytes.
    pub fn write(&mut self, now: Duration, data: &[u8]) -> usize {
        let unsent = &mut self.model.wire_mut().unsent;
        let room = SEND_BUFFER.saturating_sub(unsent.len());
        let taken = data.len().min(room);
        unsent.extend(&data[..taken]);
        if taken > 0 && !self.is_dead() {
            self.model.on_written(now);
        }
        taken
    }

    /// The next payload in order.
    pub fn read(&mut self) -> Option<Bytes> {
        self.model.wire_mut().inbox.ready.pop_front()
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.model.wire().counters
    }

    /// Whether both stream IDs are known.
    pub fn is_open(&self) -> bool {
        self.model.wire().remote_id != 0 && !self.is_dead()
    }

    /// Whether the stream has failed.
    pub fn is_dead(&self) -> bool {
        self.model.wire().dead
    }

    /// The cwnd in packets, without other limits.
    pub fn window(&self) -> f64 {
        self.model.window()
    }

    /// Delays the acceptance of an incoming stream, if the original separates it from the
    /// handshake.
    pub fn accept_at(&mut self, at: Duration) {
        self.model.accept_at(at);
    }
}

/// The interface of the models.
trait Model: fmt::Debug + Send {
    fn wire(&self) -> &Wire;
    fn wire_mut(&mut self) -> &mut Wire;
    /// Sends the first packet.
    fn open(&mut self, now: Duration);
    fn on_packet(&mut self, now: Duration, packet: &Packet<'_>);
    /// Handles all timers that have expired at `now`.
    fn on_timers(&mut self, now: Duration);
    fn next_timer(&self) -> Option<Duration>;
    /// Handles new data from the application.
    fn on_written(&mut self, now: Duration);
    fn window(&self) -> f64;
    /// Sets the time at which the application accepts the incoming stream.
    fn accept_at(&mut self, _at: Duration) {}
    /// Begins with what earlier streams measured, before anything is sent.
    fn remember(&mut self, _window: u32, _rtt: Duration) {}
}

/// The state that all models share: identity, stream IDs, buffers.
#[derive(Debug)]
struct Wire {
    keys: Arc<PrivateKeys>,
    /// Known from [`Foreign::open`], or from the SYN of the peer.
    peer: Option<Destination>,
    local_id: u32,
    /// 0 until known.
    remote_id: u32,
    initiator: bool,
    dead: bool,
    out: VecDeque<Bytes>,
    /// Written data that is not in a packet yet.
    unsent: VecDeque<u8>,
    inbox: Inbox,
    counters: Counters,
    rng: ChaCha8Rng,
}

impl Wire {
    fn new(keys: Arc<PrivateKeys>, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let local_id = rng.next_u32() | 1;
        Self {
            keys,
            peer: None,
            local_id,
            remote_id: 0,
            initiator: false,
            dead: false,
            out: VecDeque::new(),
            unsent: VecDeque::new(),
            inbox: Inbox::default(),
            counters: Counters::default(),
            rng,
        }
    }

    /// A number below `limit`.
    fn random(&mut self, limit: u32) -> u32 {
        self.rng.next_u32() % limit.max(1)
    }

    /// Removes up to `max` bytes from the data that was written.
    fn take(&mut self, max: usize) -> Vec<u8> {
        let count = self.unsent.len().min(max);
        self.unsent.drain(..count).collect()
    }

    /// Sets the stream IDs and encodes the packet.
    fn encode(&self, repr: Repr<'_>) -> Bytes {
        let repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            ..repr
        };
        let mut out = Vec::with_capacity(HEADER_ROOM + repr.nacks.len() * 4 + repr.payload.len());
        repr.encode(&mut out);
        out.into()
    }

    /// The first packet of the stream, or the answer to that of the peer.
    fn encode_syn(&self, repr: Repr<'_>) -> Bytes {
        let guard = self.peer.as_ref().map(|peer| replay_guard(&peer.hash()));
        let guard = guard.filter(|_| self.initiator);
        let repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            flags: repr.flags | Flags::SYN,
            nacks: guard.as_ref().map_or(repr.nacks, |guard| &guard[..]),
            from: Some(self.keys.destination()),
            ..repr
        };
        repr.sign(&self.keys).into()
    }

    /// Sends a packet that takes a sequence number.
    fn send(&mut self, packet: Bytes, again: bool) {
        self.counters.sent += 1;
        self.counters.resent += u64::from(again);
        self.out.push_back(packet);
    }

    /// Sends a plain acknowledgement.
    fn send_ack(&mut self, repr: Repr<'_>) {
        self.counters.acks_sent += 1;
        let packet = self.encode(repr);
        self.out.push_back(packet);
    }

    /// Takes the identity of the peer from its first packet.
    fn meet(&mut self, packet: &Packet<'_>) {
        if self.remote_id == 0 && packet.flags().is_syn() {
            self.remote_id = packet.recv_id();
            if self.peer.is_none() {
                self.peer = packet.from().cloned();
            }
        }
    }
}

/// Payloads by sequence number. The limits are those of each model.
#[derive(Debug, Default)]
struct Inbox {
    /// The sequence number expected next.
    next: u32,
    early: BTreeMap<u32, Bytes>,
    ready: VecDeque<Bytes>,
    /// The packets of `early` that requested an immediate acknowledgement.
    asked: Vec<u32>,
}

/// The classification of a packet by an [`Inbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    InOrder,
    Early,
    Duplicate,
}

impl Inbox {
    /// The classification of a packet.
    fn classify(&self, seq: u32) -> Arrival {
        if seq < self.next || self.early.contains_key(&seq) {
            Arrival::Duplicate
        } else if seq == self.next {
            Arrival::InOrder
        } else {
            Arrival::Early
        }
    }

    fn put(&mut self, seq: u32, payload: &[u8]) -> Arrival {
        let arrival = self.classify(seq);
        match arrival {
            Arrival::Duplicate => {}
            Arrival::Early => {
                self.early.insert(seq, Bytes::copy_from_slice(payload));
            }
            Arrival::InOrder => {
                self.push(Bytes::copy_from_slice(payload));
                self.next += 1;
                while let Some(payload) = self.early.remove(&self.next) {
                    self.push(payload);
                    self.next += 1;
                }
            }
        }
        arrival
    }

    fn push(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.ready.push_back(payload);
        }
    }

    /// The highest packet that has arrived.
    fn highest(&self) -> Option<u32> {
        let early = self.early.last_key_value().map(|(seq, _)| *seq);
        early.or_else(|| self.next.checked_sub(1))
    }

    /// The number of missing packets below the highest.
    fn missing_count(&self) -> u32 {
        let Some((highest, _)) = self.early.last_key_value() else {
            return 0;
        };
        let arrived = u32::try_from(self.early.len()).unwrap_or(u32::MAX);
        highest - self.next + 1 - arrived
    }

    /// The first `limit` missing packets below the highest.
    fn missing(&self, limit: usize) -> Vec<u32> {
        let mut missing = Vec::new();
        let mut next = self.next;
        for seq in self.early.keys() {
            for gap in next..*seq {
                if missing.len() >= limit {
                    return missing;
                }
                missing.push(gap);
            }
            next = seq + 1;
        }
        missing
    }
}

fn earliest(timers: &[Option<Duration>]) -> Option<Duration> {
    timers.iter().flatten().min().copied()
}

/// Stops a timer and returns whether it had expired.
fn due(timer: &mut Option<Duration>, now: Duration) -> bool {
    timer.take_if(|at| *at <= now).is_some()
}

/// The send buffer of SAM and tunnels of i2pd, and one read of emissary, in bytes. Java buffers one
/// packet, and its writers refill it at once.
const SEND_BUFFER: usize = 65_536;
/// Header and delay option, in bytes.
const HEADER_ROOM: usize = 24;

#[cfg(test)]
mod tests;
