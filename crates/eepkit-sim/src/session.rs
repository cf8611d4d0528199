//! A session as the network keeps it: its tunnels, what it knows of its peers, and the events
//! that wait to be read.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
use eepkit_i2cp::Options;
use eepkit_link::{Direction, Event, LeaseId, LinkStage, PathChoice, Payload, TunnelId};
use eepkit_wire::{Destination, EncryptionType, Hash, Lease};
use tokio::time::Instant;

use super::{log::HostId, netdb::Record, tunnel::Tunnel};

/// Names a session for as long as the network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// What a message carries, in the form its sender's interface has it.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// From a direct link.
    Plain(Payload),
    /// From I2CP: a gzip member with the addressing in its header.
    Framed(Bytes),
}

impl Content {
    /// What counts against rates and limits.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(payload) => payload.body.len(),
            Self::Framed(bytes) => bytes.len(),
        }
    }
}

/// A message as a session hands it over.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// `None` if its sender does not want to know its fate.
    pub(super) token: Option<u64>,
    pub(super) to: Destination,
    pub(super) path: PathChoice,
    pub(super) content: Content,
    pub(super) deadline: Option<Instant>,
    /// Whether the sender's lease set travels along.
    pub(super) bundle: bool,
}

/// What a session reads.
#[derive(Debug)]
pub(super) enum Notice {
    Event(Event),
    Received { content: Content, tunnel: TunnelId },
}

/// Which form of messages a session reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    Direct,
    I2cp,
}

/// How many tunnels a session wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) inbound: usize,
    pub(super) outbound: usize,
}

impl Wanted {
    pub(super) fn of(&self, direction: Direction) -> usize {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) host: HostId,
    pub(super) interface: Interface,
    pub(super) options: Options,
    pub(super) wanted: Wanted,
    pub(super) stage: LinkStage,
    pub(super) tunnels: BTreeMap<TunnelId, Tunnel>,
    /// The leases that the session was last asked to sign.
    pub(super) asked_for: Vec<LeaseId>,
    pub(super) asked_at: Option<Instant>,
    /// The leases it was ever asked to sign, as far as memory goes; the newest last.
    pub(super) offered: VecDeque<Lease>,
    /// Whether a look at the leases is due at the end of this instant.
    pub(super) lease_set_due: bool,
    pub(super) record: Option<Arc<Record>>,
    pub(super) peers: Peers,
    pub(super) inbox: Inbox,
    /// Messages that wait in the router: for the uplink or a lease set.
    pub(super) waiting: usize,
    /// Look-ups under way.
    pub(super) lookups: usize,
    pub(super) ready_waker: Option<Waker>,
    /// Nothing follows but the events that wait.
    pub(super) over: bool,
}

impl Session {
    /// Whether the session may hand another command over.
    pub(super) fn is_ready(&self) -> bool {
        self.over
            || (self.waiting < MAX_WAITING
                && self.lookups < MAX_LOOKUPS
                && self.inbox.queue.len() < MAX_NOTICES / 2)
    }

    /// Whether events are still kept for the session. One that sends without being ready and
    /// without reading what became of its messages loses the news at some point.
    pub(super) fn listens(&self) -> bool {
        !self.over && self.inbox.queue.len() < 2 * MAX_NOTICES
    }

    /// Encryption types that this session can read, and therefore write to.
    pub(super) fn encryption(&self) -> Vec<EncryptionType> {
        match &self.record {
            Some(record) => record.encryption.clone(),
            None => self.options.encryption_types(),
        }
    }

    /// Remembers leases that the session is asked to sign.
    pub(super) fn offer(&mut self, leases: &[Lease]) {
        for lease in leases {
            if self.offered(lease).is_none() {
                self.offered.push_back(*lease);
            }
        }
        let surplus = self.offered.len().saturating_sub(MAX_OFFERED);
        self.offered.drain(..surplus);
    }

    /// The lease that the session was asked to sign, where it has kept its end or named an earlier
    /// one. Ends are whole seconds on the wire; the network goes on with the exact one, so that
    /// what happens does not depend on the part of a second that it was started in.
    pub(super) fn offered(&self, lease: &Lease) -> Option<Lease> {
        let offered = self.offered.iter().find(|offered| {
            LeaseId::of(offered) == LeaseId::of(lease) && lease.end <= offered.end
        })?;
        Some(match offered.end / 1000 == lease.end / 1000 {
            true => *offered,
            false => *lease,
        })
    }

    /// Tunnels of one direction that are up, in the order in which they were built.
    pub(super) fn up(&self, direction: Direction) -> impl Iterator<Item = &Tunnel> {
        self.tunnels
            .values()
            .filter(move |tunnel| tunnel.direction == direction && tunnel.is_up())
    }
}

/// Events that wait for a session to read them.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Notice>,
    /// Bytes of received messages in the queue.
    bytes: usize,
    /// Credits to hand out, by outbound tunnel.
    credits: BTreeMap<TunnelId, u32>,
    pub(super) waker: Option<Waker>,
}

impl Inbox {
    /// Whether there is room for a message of this size.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.queue.len() < MAX_NOTICES && self.bytes + bytes <= MAX_INBOX_BYTES
    }

    pub(super) fn push(&mut self, notice: Notice) {
        if let Notice::Received { content, .. } = &notice {
            self.bytes += content.len();
        }
        self.queue.push_back(notice);
    }

    pub(super) fn grant(&mut self, tunnel: TunnelId, messages: u32) {
        *self.credits.entry(tunnel).or_default() += messages;
    }

    /// Forgets credits of a tunnel that is gone.
    pub(super) fn forget(&mut self, tunnel: TunnelId) {
        self.credits.remove(&tunnel);
    }

    /// The next event; credits come last, so that those of many messages come at once.
    pub(super) fn pop(&mut self) -> Option<Notice> {
        if let Some(notice) = self.queue.pop_front() {
            if let Notice::Received { content, .. } = &notice {
                self.bytes -= content.len();
            }
            return Some(notice);
        }
        let (tunnel, messages) = self.credits.pop_first()?;
        Some(Notice::Event(Event::Credit { tunnel, messages }))
    }
}

/// What a session's router knows of its peers: lease sets it looked up or that came with
/// messages, and the ways it chose.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_hash: HashMap<Hash, Peer>,
    uses: u64,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) record: Option<Arc<Record>>,
    /// Every lease seen that has not ended: one of an older lease set stays good to its end.
    known: Vec<Lease>,
    /// Messages that wait for the lease set.
    pub(super) waiting: VecDeque<Message>,
    pub(super) fetching: bool,
    pub(super) choice: Option<Choice>,
    used: u64,
}

/// The way that a router chose for a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) outbound: TunnelId,
    pub(super) lease: LeaseId,
    pub(super) until: Instant,
}

impl Peers {
    /// What is known of a peer; the one used least recently makes room for a new one.
    pub(super) fn entry(&mut self, hash: Hash) -> &mut Peer {
        self.uses += 1;
        if self.by_hash.len() >= MAX_PEERS && !self.by_hash.contains_key(&hash) {
            let oldest = self
                .by_hash
                .iter()
                .filter(|(_, peer)| !peer.fetching)
                .min_by_key(|(_, peer)| peer.used)
                .map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                self.by_hash.remove(&oldest);
            }
        }
        let peer = self.by_hash.entry(hash).or_default();
        peer.used = self.uses;
        peer
    }

    /// Messages that wait for lease sets, in no particular order.
    pub(super) fn drain_waiting(&mut self) -> impl Iterator<Item = Message> {
        self.by_hash
            .values_mut()
            .flat_map(|peer| peer.waiting.drain(..))
    }
}

impl Peer {
    /// Takes a lease set over unless a newer one is known.
    pub(super) fn learn(&mut self, record: &Arc<Record>, unix_ms: u64) {
        match &self.record {
            Some(known) if Arc::ptr_eq(known, record) => return,
            Some(known) if known.order > record.order && known.is_current(unix_ms) => {
                return;
            }
            _ => {}
        }
        self.known.retain(|lease| {
            lease.end > unix_ms
                && !record
                    .leases
                    .iter()
                    .any(|new| LeaseId::of(new) == LeaseId::of(lease))
        });
        self.known.extend(record.leases.iter().cloned());
        // The newest are last; a peer has at most sixteen leases in one set.
        let surplus = self.known.len().saturating_sub(MAX_KNOWN_LEASES);
        self.known.drain(..surplus);
        self.record = Some(Arc::clone(record));
    }

    /// Whether a lease of this peer has been seen and has not ended.
    pub(super) fn knows(&self, lease: LeaseId, unix_ms: u64) -> bool {
        self.known
            .iter()
            .any(|known| LeaseId::of(known) == lease && known.end > unix_ms)
    }

    /// The lease set, if any lease of it has not ended.
    pub(super) fn current(&self, unix_ms: u64) -> Option<&Arc<Record>> {
        self.record
            .as_ref()
            .filter(|record| record.is_current(unix_ms))
    }
}

/// Messages that wait in a router for one session. Four tunnels' worth of the default credits:
/// beyond it the session is not ready for more.
const MAX_WAITING: usize = 256;

/// Look-ups of one session under way. Chosen to be far above what an application does and to keep
/// the schedule small.
pub(super) const MAX_LOOKUPS: usize = 256;

/// Events that wait for one session. Chosen to hold the first flight of several thousand streams
/// that start in one instant, as on a network without delay.
const MAX_NOTICES: usize = 65_536;

/// Bytes of messages that wait for one session; as [`MAX_NOTICES`].
const MAX_INBOX_BYTES: usize = 64 * 1024 * 1024;

/// Peers that a session's router remembers. Chosen as the order of a busy i2pd's lease set table.
const MAX_PEERS: usize = 1024;

/// Leases that a session was asked to sign and may still answer with: four full sets.
const MAX_OFFERED: usize = 64;

/// Leases of one peer remembered: sixteen of the current set and as many of the one before.
const MAX_KNOWN_LEASES: usize = 32;
