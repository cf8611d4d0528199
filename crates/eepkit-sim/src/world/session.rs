//! The network's state of a session: its tunnels, its router's data about peers, and the queue of
//! its events.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
use eepkit_i2cp::Options;
use eepkit_link::{Direction, Event, LeaseId, LinkStage, PathChoice, Payload, TunnelId};
use eepkit_wire::{Destination, EncryptionType, Hash, Lease};
use tokio::time::{Duration, Instant};

use super::{
    SessionId,
    encryption::{Encryption, Policy},
    netdb::Record,
    tunnel::Tunnel,
};
use crate::log::HostId;

/// The content of a message, in the form of its sender's interface.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// From a direct link.
    Plain(Payload),
    /// From I2CP: a gzip member with the addressing in its header.
    Framed(Bytes),
}

impl Content {
    /// The size in bytes that counts for rates and limits.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(payload) => payload.body.len(),
            Self::Framed(bytes) => bytes.len(),
        }
    }
}

/// A message as a session submits it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// `None` if the sender requests no report about the message.
    pub(crate) token: Option<u64>,
    pub(crate) to: Destination,
    pub(crate) path: PathChoice,
    pub(crate) content: Content,
    pub(crate) deadline: Option<Instant>,
    /// Whether the sender's lease set is sent with the message.
    pub(crate) bundle: bool,
}

/// An item in the queue of a session.
#[derive(Debug)]
pub(crate) enum Notice {
    Event(Event),
    Received { content: Content, tunnel: TunnelId },
}

/// The form in which a session receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Direct,
    I2cp,
}

impl Interface {
    /// What the session's router does with encryption sessions that may be lost.
    pub(crate) const fn encryption_policy(self) -> Policy {
        match self {
            Self::Direct => Policy::Keeps,
            Self::I2cp => Policy::Replaces,
        }
    }
}

/// The number of tunnels that a session requests.
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
    /// The leases of the last signature request.
    pub(crate) asked_for: Vec<LeaseId>,
    pub(crate) asked_at: Option<Instant>,
    /// The leases of all signature requests, up to a limit, newest last.
    pub(crate) offered: VecDeque<Lease>,
    /// Whether a check of the leases is due at the end of this instant.
    pub(crate) lease_set_due: bool,
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) peers: Peers,
    pub(crate) inbox: Inbox,
    /// The number of messages that wait in the router for the uplink or a lease set.
    pub(crate) waiting: usize,
    /// The number of pending look-ups.
    pub(crate) lookups: usize,
    pub(crate) ready_waker: Option<Waker>,
    /// The session has ended. Only the queued events remain.
    pub(crate) over: bool,
}

impl Session {
    /// Whether the session may submit another command.
    pub(crate) fn is_ready(&self) -> bool {
        self.over
            || (self.waiting < MAX_WAITING
                && self.lookups < MAX_LOOKUPS
                && self.inbox.queue.len() < MAX_NOTICES / 2)
    }

    /// Whether events are still queued for the session. If a session sends without being ready and
    /// does not read the results, further events are lost at some point.
    pub(crate) fn listens(&self) -> bool {
        !self.over && self.inbox.queue.len() < 2 * MAX_NOTICES
    }

    /// The encryption types that this session can decrypt, and therefore encrypt to.
    pub(crate) fn encryption(&self) -> Vec<EncryptionType> {
        match &self.record {
            Some(record) => record.encryption.clone(),
            None => self.options.encryption_types(),
        }
    }

    /// Records leases of a signature request.
    pub(crate) fn offer(&mut self, leases: &[Lease]) {
        for lease in leases {
            if self.offered(lease).is_none() {
                self.offered.push_back(*lease);
            }
        }
        let surplus = self.offered.len().saturating_sub(MAX_OFFERED);
        self.offered.drain(..surplus);
    }

    /// Returns the recorded lease that corresponds to `lease`, if `lease` has the same end or an
    /// earlier one. Ends are whole seconds on the wire. The network continues with the exact end,
    /// so that its behaviour does not depend on the fraction of a second at which it was started.
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

/// Events that wait until a session reads them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Notice>,
    /// The size in bytes of the received messages in the queue.
    bytes: usize,
    /// Credits to report, by outbound tunnel.
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

    /// Discards the credits of a tunnel that has ended.
    pub(crate) fn forget(&mut self, tunnel: TunnelId) {
        self.credits.remove(&tunnel);
    }

    /// Returns the next event. Credits are last, so that the credits of many messages are reported
    /// together.
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

/// The data that a session's router has about its peers: lease sets that it looked up or that
/// arrived with messages, and the paths that it selected.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_hash: HashMap<Hash, Peer>,
    /// The keys for each peer. Not part of [`Peer`], because a router does not discard them while
    /// they are in use. Bounded by the number of destinations on the network.
    encryption: HashMap<Hash, Encryption>,
    uses: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) record: Option<Arc<Record>>,
    /// Every known lease that has not ended. A lease of an older lease set is usable until its end.
    known: Vec<Lease>,
    /// Messages that wait for the lease set.
    pub(crate) waiting: VecDeque<Message>,
    pub(crate) fetching: bool,
    pub(crate) choice: Option<Choice>,
    /// The lease set of the session that was last attached to a message to this peer, and when.
    submitted: Option<(u64, Instant)>,
    /// The newest lease set of the session that arrived at this peer.
    confirmed: Option<u64>,
    used: u64,
}

/// The path that a router selected for a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) outbound: TunnelId,
    pub(crate) lease: LeaseId,
    pub(crate) until: Instant,
}

impl Peers {
    /// Returns the entry of a peer. A new entry replaces the least recently used one if the table
    /// is full.
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

    /// The keys for a peer.
    pub(crate) fn encryption(&mut self, hash: Hash) -> &mut Encryption {
        self.encryption.entry(hash).or_default()
    }

    /// Handles the arrival of a lease set of the session at a peer, which confirms it.
    pub(crate) fn confirm(&mut self, hash: Hash, order: u64) {
        if let Some(peer) = self.by_hash.get_mut(&hash) {
            peer.confirmed = peer.confirmed.max(Some(order));
        }
    }

    /// Discards the lease set of a peer and the path that was selected for it.
    pub(crate) fn forget_lease_set(&mut self, hash: Hash) {
        if let Some(peer) = self.by_hash.get_mut(&hash) {
            peer.record = None;
            peer.choice = None;
        }
    }

    /// Removes and returns all messages that wait for lease sets, in no particular order.
    pub(crate) fn drain_waiting(&mut self) -> impl Iterator<Item = Message> {
        self.by_hash
            .values_mut()
            .flat_map(|peer| peer.waiting.drain(..))
    }
}

impl Peer {
    /// Stores a lease set unless a newer one is known.
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
        // The newest are last. A peer has at most sixteen leases in one set.
        let surplus = self.known.len().saturating_sub(MAX_KNOWN_LEASES);
        self.known.drain(..surplus);
        self.record = Some(Arc::clone(record));
    }

    /// Handles a message to this peer while `order` is the lease set of the session. Returns whether
    /// the path is left after it, because the peer has not confirmed that lease set in time.
    pub(crate) fn submit(&mut self, now: Instant, order: u64) -> bool {
        if self.confirmed >= Some(order) {
            return false;
        }
        match self.submitted {
            Some((submitted, at)) if submitted == order => {
                let is_late = now.saturating_duration_since(at) > CONFIRMATION;
                if is_late {
                    self.submitted = Some((order, now));
                }
                is_late
            }
            _ => {
                self.submitted = Some((order, now));
                false
            }
        }
    }

    /// Whether a lease of this peer is known and has not ended.
    pub(crate) fn knows(&self, lease: LeaseId, unix_ms: u64) -> bool {
        self.known
            .iter()
            .any(|known| LeaseId::of(known) == lease && known.end > unix_ms)
    }

    /// Returns the lease set if at least one of its leases has not ended.
    pub(crate) fn current(&self, unix_ms: u64) -> Option<&Arc<Record>> {
        self.record
            .as_ref()
            .filter(|record| record.is_current(unix_ms))
    }
}

/// How long a router waits for the confirmation of a lease set before it selects another path. Chosen
/// as i2pd's LEASESET_CONFIRMATION_TIMEOUT.
const CONFIRMATION: Duration = Duration::from_secs(4);

/// The number of messages waiting in a router at which a session is no longer ready. Chosen as the
/// default credits of four tunnels.
const MAX_WAITING: usize = 256;

/// The maximum number of pending look-ups of one session. Chosen far above the needs of an
/// application, and to keep the event queue small.
pub(crate) const MAX_LOOKUPS: usize = 256;

/// The maximum number of events in the queue of one session. Chosen to hold the first packets of
/// several thousand streams that start at the same instant, as on a network without delay.
const MAX_NOTICES: usize = 65_536;

/// The maximum size of the messages in the queue of one session, in bytes. Chosen as
/// [`MAX_NOTICES`].
const MAX_INBOX_BYTES: usize = 64 * 1024 * 1024;

/// The maximum number of peers in the table of a session's router. Chosen as the order of magnitude
/// of the lease set table of a busy i2pd.
const MAX_PEERS: usize = 1024;

/// The maximum number of leases that a session was asked to sign and may still use in its answer.
/// Chosen as four full sets.
const MAX_OFFERED: usize = 64;

/// The maximum number of known leases of one peer. Chosen as sixteen of the current set and as many
/// of the previous one.
const MAX_KNOWN_LEASES: usize = 32;
