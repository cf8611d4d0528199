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

use super::{SessionId, netdb::Record, tunnel::Tunnel};
use crate::log::HostId;

/// What a message carries, in the form its sender's interface has it.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// From a direct link.
    Plain(Payload),
    /// From I2CP: a gzip member with the addressing in its header.
    Framed(Bytes),
}

impl Content {
    /// What counts against rates and limits.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(payload) => payload.body.len(),
            Self::Framed(bytes) => bytes.len(),
        }
    }
}

/// A message as a session hands it over.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// `None` if its sender does not want to know its fate.
    pub(crate) token: Option<u64>,
    pub(crate) to: Destination,
    pub(crate) path: PathChoice,
    pub(crate) content: Content,
    pub(crate) deadline: Option<Instant>,
    /// Whether the sender's lease set travels along.
    pub(crate) bundle: bool,
}

/// What a session reads.
#[derive(Debug)]
pub(crate) enum Notice {
    Event(Event),
    Received { content: Content, tunnel: TunnelId },
}

/// Which form of messages a session reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Direct,
    I2cp,
}

/// How many tunnels a session wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) inbound: usize,
    pub(crate) outbound: usize,
}

impl Wanted {
    pub(crate) fn of(&self, direction: Direction) -> usize {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) host: HostId,
    pub(crate) interface: Interface,
    pub(crate) options: Options,
    pub(crate) wanted: Wanted,
    pub(crate) stage: LinkStage,
    pub(crate) tunnels: BTreeMap<TunnelId, Tunnel>,
    /// The leases that the session was last asked to sign.
    pub(crate) asked_for: Vec<LeaseId>,
    pub(crate) asked_at: Option<Instant>,
    /// The leases it was ever asked to sign, as far as memory goes; the newest last.
    pub(crate) offered: VecDeque<Lease>,
    /// Whether a look at the leases is due at the end of this instant.
    pub(crate) lease_set_due: bool,
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) peers: Peers,
    pub(crate) inbox: Inbox,
    /// Messages that wait in the router: for the uplink or a lease set.
    pub(crate) waiting: usize,
    /// Pending look-ups.
    pub(crate) lookups: usize,
    pub(crate) ready_waker: Option<Waker>,
    /// Nothing follows but the events that wait.
    pub(crate) over: bool,
}

impl Session {
    /// Whether the session may hand another command over.
    pub(crate) fn is_ready(&self) -> bool {
        self.over
            || (self.waiting < MAX_WAITING
                && self.lookups < MAX_LOOKUPS
                && self.inbox.queue.len() < MAX_NOTICES / 2)
    }

    /// Whether events are still kept for the session. One that sends without being ready and
    /// without reading what became of its messages loses the news at some point.
    pub(crate) fn listens(&self) -> bool {
        !self.over && self.inbox.queue.len() < 2 * MAX_NOTICES
    }

    /// Encryption types that this session can read, and therefore write to.
    pub(crate) fn encryption(&self) -> Vec<EncryptionType> {
        match &self.record {
            Some(record) => record.encryption.clone(),
            None => self.options.encryption_types(),
        }
    }

    /// Remembers leases that the session is asked to sign.
    pub(crate) fn offer(&mut self, leases: &[Lease]) {
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
    pub(crate) fn offered(&self, lease: &Lease) -> Option<Lease> {
        let offered = self.offered.iter().find(|offered| {
            LeaseId::of(offered) == LeaseId::of(lease) && lease.end <= offered.end
        })?;
        Some(match offered.end / 1000 == lease.end / 1000 {
            true => *offered,
            false => *lease,
        })
    }

    /// Tunnels of one direction that are up, in the order in which they were built.
    pub(crate) fn up(&self, direction: Direction) -> impl Iterator<Item = &Tunnel> {
        self.tunnels
            .values()
            .filter(move |tunnel| tunnel.direction == direction && tunnel.is_up())
    }
}

/// Events that wait for a session to read them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Notice>,
    /// Bytes of received messages in the queue.
    bytes: usize,
    /// Credits to hand out, by outbound tunnel.
    credits: BTreeMap<TunnelId, u32>,
    pub(crate) waker: Option<Waker>,
}

impl Inbox {
    /// Whether there is room for a message of this size.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        self.queue.len() < MAX_NOTICES && self.bytes + bytes <= MAX_INBOX_BYTES
    }

    pub(crate) fn push(&mut self, notice: Notice) {
        if let Notice::Received { content, .. } = &notice {
            self.bytes += content.len();
        }
        self.queue.push_back(notice);
    }

    pub(crate) fn grant(&mut self, tunnel: TunnelId, messages: u32) {
        *self.credits.entry(tunnel).or_default() += messages;
    }

    /// Forgets credits of a tunnel that is gone.
    pub(crate) fn forget(&mut self, tunnel: TunnelId) {
        self.credits.remove(&tunnel);
    }

    /// The next event; credits come last, so that those of many messages come at once.
    pub(crate) fn pop(&mut self) -> Option<Notice> {
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
/// messages, and the paths it chose.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_hash: HashMap<Hash, Peer>,
    uses: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) record: Option<Arc<Record>>,
    /// Every lease seen that has not ended: one of an older lease set stays good to its end.
    known: Vec<Lease>,
    /// Messages that wait for the lease set.
    pub(crate) waiting: VecDeque<Message>,
    pub(crate) fetching: bool,
    pub(crate) choice: Option<Choice>,
    used: u64,
}

/// The path that a router chose for a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) outbound: TunnelId,
    pub(crate) lease: LeaseId,
    pub(crate) until: Instant,
}

impl Peers {
    /// What is known of a peer; the one used least recently makes room for a new one.
    pub(crate) fn entry(&mut self, hash: Hash) -> &mut Peer {
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
    pub(crate) fn drain_waiting(&mut self) -> impl Iterator<Item = Message> {
        self.by_hash
            .values_mut()
            .flat_map(|peer| peer.waiting.drain(..))
    }
}

impl Peer {
    /// Takes a lease set over unless a newer one is known.
    pub(crate) fn learn(&mut self, record: &Arc<Record>, unix_ms: u64) {
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
    pub(crate) fn knows(&self, lease: LeaseId, unix_ms: u64) -> bool {
        self.known
            .iter()
            .any(|known| LeaseId::of(known) == lease && known.end > unix_ms)
    }

    /// The lease set, if any lease of it has not ended.
    pub(crate) fn current(&self, unix_ms: u64) -> Option<&Arc<Record>> {
        self.record
            .as_ref()
            .filter(|record| record.is_current(unix_ms))
    }
}

/// Messages that wait in a router for one session. Four tunnels' worth of the default credits:
/// beyond it the session is not ready for more.
const MAX_WAITING: usize = 256;

/// Pending look-ups of one session. Chosen to be far above what an application does and to keep
/// the schedule small.
pub(crate) const MAX_LOOKUPS: usize = 256;

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
