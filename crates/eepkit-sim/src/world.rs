//! The network as a state machine. Commands and time are inputs, and events are outputs.
//!
//! The world has no task, clock or socket. Its owner passes the time with every call, after it has
//! called [`World::advance`]. Time must not go backwards.

mod encryption;
mod lookup;
mod netdb;
pub(crate) mod session;
mod traffic;
pub(crate) mod tunnel;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use eepkit_i2cp::Options;
use eepkit_link::{Direction, Event, LeaseId, LinkError, LinkStage, LostReason, TunnelId};
use eepkit_netem::{Bottleneck, LinkModel, Rng};
use eepkit_wire::{Destination, Hash};
use tokio::time::{Duration, Instant};

use crate::{
    config::Config,
    log::{Happening, HostId, Log},
    schedule::Schedule,
    stats::{Cause, Stats},
};
use lookup::Lookup;
use netdb::Record;
use session::{Inbox, Interface, Notice, Peers, Session, Wanted};
use traffic::Flight;
use tunnel::Gateway;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    start: Instant,
    start_unix: Duration,
    /// Indexed by host number minus one.
    hosts: Vec<Host>,
    by_hash: HashMap<Hash, HostId>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Inbound tunnels by their leases.
    pub(crate) gateways: HashMap<LeaseId, Gateway>,
    pub(crate) netdb: HashMap<Hash, Arc<Record>>,
    pub(crate) names: BTreeMap<String, Destination>,
    /// Destinations whose lease sets are encrypted.
    pub(crate) encrypted: HashSet<Hash>,
    /// Pairs of hosts that cannot reach each other. The smaller number is first.
    pub(crate) partitions: HashSet<(HostId, HostId)>,
    /// Link models for one direction between two hosts, instead of the network's.
    pub(crate) links: HashMap<(HostId, HostId), LinkModel>,
    pub(crate) schedule: Schedule<Due>,
    pub(crate) stats: Stats,
    pub(crate) in_flight_bytes: usize,
    pub(crate) log: Log,
    next_session: u64,
    pub(crate) next_path: u64,
    next_keys: u64,
    wakers: Vec<Waker>,
    stopped: bool,
}

/// Identifies a session during the lifetime of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// A destination that has or had a session on this network.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) destination: Destination,
    pub(crate) session: Option<SessionId>,
    pub(crate) uplink: Bottleneck,
    pub(crate) downlink: Bottleneck,
    pub(crate) cut_off: bool,
    pub(crate) paused_until: Option<Instant>,
    pub(crate) tunnels_built: u64,
    /// For the tunnels and paths of this host.
    pub(crate) rng: Rng,
}

/// An event that is due at some time.
#[derive(Debug)]
pub(crate) enum Due {
    Tunnel(SessionId, TunnelId, TunnelDue),
    /// A check of the leases, after all other events of this instant.
    LeaseSet(SessionId),
    Published(SessionId, Arc<Record>),
    /// The look-up of a lease set that messages wait for completed.
    Fetched(SessionId, Destination),
    Lookup(SessionId, Lookup),
    /// A message has passed its sender's uplink.
    Leave(Box<Flight>),
    /// The deadline of a message passes while it waits for the uplink.
    TooLate(Box<Flight>),
    Arrive(Box<Flight>),
    /// A message has passed its receiver's downlink.
    Deliver(Box<Flight>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TunnelDue {
    Built,
    Replace,
    Expire,
    Break { noticed: bool },
    Notice,
}

impl World {
    pub(crate) fn new(config: Config, now: Instant, unix: Duration) -> Self {
        Self {
            log: Log::new(config.log),
            config,
            start: now,
            // Leases end at whole milliseconds; see `Session::offered`.
            start_unix: Duration::from_millis(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)),
            hosts: Vec::new(),
            by_hash: HashMap::new(),
            sessions: BTreeMap::new(),
            gateways: HashMap::new(),
            netdb: HashMap::new(),
            names: BTreeMap::new(),
            encrypted: HashSet::new(),
            partitions: HashSet::new(),
            links: HashMap::new(),
            schedule: Schedule::new(),
            stats: Stats::default(),
            in_flight_bytes: 0,
            next_session: 0,
            next_path: 0,
            next_keys: 0,
            wakers: Vec::new(),
            stopped: false,
        }
    }

    /// Processes all events that are due by `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some((at, due)) = self.schedule.take_due(now) {
            match due {
                Due::Tunnel(session, tunnel, due) => self.tunnel_due(at, session, tunnel, due),
                Due::LeaseSet(session) => self.ask_for_lease_set(at, session),
                Due::Published(session, record) => self.published(at, session, record),
                Due::Fetched(session, destination) => self.fetched(at, session, &destination),
                Due::Lookup(session, lookup) => self.lookup_done(at, session, lookup),
                Due::Leave(flight) => self.leave(at, flight),
                Due::TooLate(flight) => self.too_late(flight, at),
                Due::Arrive(flight) => self.arrive(at, flight),
                Due::Deliver(flight) => self.deliver(at, flight),
            }
        }
    }

    /// The time of the next call of [`World::advance`].
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// Returns the wakers of tasks whose event has occurred. Wake them after the world is unlocked.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    pub(crate) fn unix(&self, now: Instant) -> Duration {
        self.start_unix
            .saturating_add(now.saturating_duration_since(self.start))
    }

    pub(crate) fn unix_ms(&self, now: Instant) -> u64 {
        u64::try_from(self.unix(now).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn write_log(&mut self, now: Instant, what: Happening) {
        let at = now.saturating_duration_since(self.start);
        self.log.write(at, what);
    }

    /// Returns the number of a destination, which is assigned at the first call.
    ///
    /// # Errors
    ///
    /// If there are too many destinations on this network.
    pub(crate) fn host_id(&mut self, destination: &Destination) -> Result<HostId, LinkError> {
        let hash = destination.hash();
        if let Some(known) = self.by_hash.get(&hash) {
            return Ok(*known);
        }
        if self.hosts.len() >= MAX_HOSTS {
            return Err(LinkError::Refused(format!(
                "a simulated network has at most {MAX_HOSTS} destinations"
            )));
        }
        // MAX_HOSTS is far below `u32::MAX`.
        let number = u32::try_from(self.hosts.len() + 1).unwrap_or(u32::MAX);
        let rng = Rng::new(self.config.seed, &[u64::from(number)]);
        self.hosts.push(Host {
            rng,
            destination: destination.clone(),
            session: None,
            uplink: Bottleneck::default(),
            downlink: Bottleneck::default(),
            cut_off: false,
            paused_until: None,
            tunnels_built: 0,
        });
        let id = HostId(number);
        self.by_hash.insert(hash, id);
        Ok(id)
    }

    pub(crate) fn known_host(&self, hash: &Hash) -> Option<HostId> {
        self.by_hash.get(hash).copied()
    }

    pub(crate) fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(usize::try_from(id.0).ok()?.checked_sub(1)?)
    }

    pub(crate) fn host_mut(&mut self, id: HostId) -> Option<&mut Host> {
        self.hosts
            .get_mut(usize::try_from(id.0).ok()?.checked_sub(1)?)
    }

    /// The current session of a destination.
    pub(crate) fn session_of(&self, destination: &Destination) -> Option<SessionId> {
        self.host(self.known_host(&destination.hash())?)?.session
    }

    /// Whether two hosts cannot exchange messages.
    pub(crate) fn parted(&self, a: HostId, b: HostId) -> bool {
        let cut_off = |id| self.host(id).is_some_and(|host| host.cut_off);
        cut_off(a) || cut_off(b) || self.partitions.contains(&(a.min(b), a.max(b)))
    }

    /// Opens a session and starts to build its tunnels.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        destination: &Destination,
        options: Options,
        interface: Interface,
    ) -> Result<SessionId, LinkError> {
        if self.stopped {
            return Err(LinkError::Stopped);
        }
        let host = self.host_id(destination)?;
        let id = SessionId(self.next_session);
        match self.host_mut(host) {
            Some(host) if host.session.is_none() => host.session = Some(id),
            _ => return Err(LinkError::Duplicate),
        }
        self.next_session += 1;
        self.stats.sessions += 1;
        self.write_log(now, Happening::Opened { host });

        let wanted = Wanted {
            inbound: usize::from(options.inbound_quantity()),
            outbound: usize::from(options.outbound_quantity()),
        };
        self.sessions.insert(
            id,
            Session {
                id,
                host,
                interface,
                options,
                wanted,
                stage: LinkStage::BuildingTunnels,
                tunnels: BTreeMap::new(),
                asked_for: Vec::new(),
                asked_at: None,
                offered: VecDeque::new(),
                lease_set_due: false,
                record: None,
                peers: Peers::default(),
                inbox: Inbox::default(),
                waiting: 0,
                lookups: 0,
                ready_waker: None,
                over: false,
            },
        );
        self.push_event(id, Event::Stage(LinkStage::BuildingTunnels));
        self.fill(now, id, Direction::Inbound);
        self.fill(now, id, Direction::Outbound);
        Ok(id)
    }

    /// Ends a session that is no longer read.
    pub(crate) fn close(&mut self, now: Instant, id: SessionId) {
        self.end(now, id);
        self.sessions.remove(&id);
    }

    /// Ends a session and reports this to it. It can still read the events in its queue.
    pub(crate) fn lose(&mut self, now: Instant, id: SessionId, reason: LostReason) {
        if self.sessions.get(&id).is_some_and(|session| !session.over) {
            self.push_event(id, Event::Lost(reason));
            self.end(now, id);
        }
    }

    /// Ends every session and refuses new ones.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopped = true;
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for id in sessions {
            self.lose(now, id, LostReason::Stopped);
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn end(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.over) else {
            return;
        };
        session.over = true;
        session.waiting = 0;
        let host = session.host;
        let tunnels: Vec<_> = session.tunnels.keys().copied().collect();
        let waiting: Vec<_> = session.peers.drain_waiting().collect();
        session.peers = Peers::default();
        self.wakers.extend(session.ready_waker.take());
        for tunnel in tunnels {
            self.remove_tunnel(id, tunnel);
        }
        for message in waiting {
            self.drop_message(
                now,
                host,
                None,
                None,
                message.content.len(),
                Cause::SessionEnded,
            );
        }
        if let Some(host) = self.host_mut(host)
            && host.session == Some(id)
        {
            host.session = None;
        }
        self.write_log(now, Happening::Closed { host });
    }

    /// Adds an event to the queue of a session.
    pub(crate) fn push_event(&mut self, id: SessionId, event: Event) {
        self.notify(id, Notice::Event(event));
    }

    pub(crate) fn notify(&mut self, id: SessionId, notice: Notice) {
        if let Some(session) = self
            .sessions
            .get_mut(&id)
            .filter(|session| session.listens())
        {
            session.inbox.push(notice);
            self.wakers.extend(session.inbox.waker.take());
        }
    }

    pub(crate) fn grant(&mut self, id: SessionId, tunnel: TunnelId, messages: u32) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.over) {
            session.inbox.grant(tunnel, messages);
            self.wakers.extend(session.inbox.waker.take());
        }
    }

    /// Wakes the task that waits to submit commands to a session, if the session is ready.
    pub(crate) fn wake_if_ready(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.is_ready()
        {
            self.wakers.extend(session.ready_waker.take());
        }
    }

    pub(crate) fn poll_ready(&mut self, id: SessionId, cx: &Context<'_>) -> Poll<()> {
        match self.sessions.get_mut(&id) {
            Some(session) if !session.is_ready() => {
                session.ready_waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    pub(crate) fn poll_notice(&mut self, id: SessionId, cx: &Context<'_>) -> Poll<Notice> {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Poll::Pending;
        };
        match session.inbox.pop() {
            Some(notice) => {
                self.wake_if_ready(id);
                Poll::Ready(notice)
            }
            None => {
                session.inbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Raises the stage. Stages never decrease.
    pub(crate) fn reach(&mut self, id: SessionId, stage: LinkStage) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.stage < stage
        {
            session.stage = stage;
            self.push_event(id, Event::Stage(stage));
        }
    }
}

/// The maximum number of destinations of a network. Chosen above the needs of any test, and to
/// limit the memory that I2CP clients can allocate (about 200 bytes for each).
const MAX_HOSTS: usize = 65_536;
