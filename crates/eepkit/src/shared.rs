//! What the handles of a session and its driver share.
//!
//! The streams of a session live in one [`Endpoint`], which neither waits nor knows tokio. Handles
//! call it under the lock of [`Core`] and leave a waker where they would have to wait; the driver
//! ([`crate::driver`]) moves packets between the endpoint and the link and wakes them. No lock is
//! held across an await.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use eepkit_link::{
    self as link, Command, Connector, Layer, LookupAnswer, LostReason,
    status::Reporter,
    streams::{Opener, RouterStream},
};
use eepkit_streaming::{CloseReason, Endpoint, Event, PingId, StreamId};
use eepkit_wire::{Hash, PrivateKeys, Zeroizing};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::Instant,
};

use crate::{
    datagram::{Datagrams, ReceiveError},
    error::{AcceptError, OpenError, StreamError},
    names::Names,
    session::SessionConfig,
    socket::Socket,
    stage::SessionStage,
    status::{SessionProblem, SessionWatch},
};

/// Shared by the handles of a session, its supervisor and its driver.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: Arc<PrivateKeys>,
    pub(crate) encryption_keys: Secret,
    pub(crate) config: SessionConfig,
    pub(crate) names: Names,
    /// What the links of the session carry.
    pub(crate) layer: Layer,
    /// Admits as many look-ups as may be under way at a time.
    pub(crate) lookup_permits: Semaphore,
    core: Mutex<Core>,
    pub(crate) status: Reporter<SessionStage>,
    /// Tells the supervisor, wherever it waits, that the session is to end.
    pub(crate) closing: Notify,
}

/// The part under the lock.
pub(crate) struct Core {
    /// `None` until the first link is up.
    pub(crate) endpoint: Option<Endpoint>,
    /// Counts the links of this session. A stream belongs to the link on which it was opened.
    pub(crate) epoch: u64,
    losses: VecDeque<(u64, LostReason)>,
    pub(crate) slots: HashMap<StreamId, Slot>,
    /// Streams whose peer has not answered yet.
    pub(crate) attempts: HashMap<StreamId, Attempt>,
    pub(crate) listeners: HashMap<u16, Port>,
    pub(crate) datagrams: Datagrams,
    pub(crate) pings: HashMap<PingId, Ping>,
    pub(crate) lookups: HashMap<u32, oneshot::Sender<Result<LookupAnswer, link::LinkLookupError>>>,
    next_lookup: u32,
    /// Commands for the link besides packets. Bounded by [`Shared::lookup_permits`] and by what
    /// the driver itself adds for events of the link.
    pub(crate) commands: VecDeque<Command>,
    pub(crate) driver: Option<Waker>,
    /// Where the link opens streams, if the router makes them.
    pub(crate) streams: Option<Arc<dyn Opener>>,
    /// Streams that the router makes, of this link. Bounded by the connections that the process may
    /// have.
    sockets: HashMap<u64, Arc<Socket>>,
    next_socket: u64,
    /// Those of them that were closed and still deliver what was written.
    draining: usize,
    /// Where the link opens subsessions, if it can.
    pub(crate) subsessions: Option<Arc<dyn Connector>>,
    pub(crate) ending: Ending,
}

/// Whether and how the session ends.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// It does not.
    No,
    /// What was written is still sent, until this instant at the latest.
    Flushing(Instant),
    /// It ended: closed, or failed for the reason given.
    Over(Option<Arc<OpenError>>),
}

/// What a handle waits for on one stream; one waker for each direction, as a stream has one
/// reader and one writer at a time.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) connected: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) connect: Option<Waker>,
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
    pub(crate) acked: Option<Waker>,
}

/// What the link said about the first packets of a stream.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) to: Hash,
    /// How often it reported that the peer has no lease set.
    pub(crate) not_found: u8,
    pub(crate) incompatible: bool,
}

/// A port that is listened on.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) backlog: usize,
    pub(crate) incoming: Arc<Notify>,
    /// Streams that the router made, at most `backlog`.
    pub(crate) queue: VecDeque<RouterStream>,
}

/// A ping under way.
#[derive(Debug, Default)]
pub(crate) struct Ping {
    pub(crate) answer: Option<Option<(Duration, Bytes)>>,
    pub(crate) waker: Option<Waker>,
}

impl Shared {
    pub(crate) fn new(
        keys: Arc<PrivateKeys>,
        encryption_keys: Secret,
        config: SessionConfig,
        layer: Layer,
    ) -> Self {
        Self {
            keys,
            layer,
            encryption_keys,
            names: Names::new(config.hosts.clone()),
            config,
            lookup_permits: Semaphore::new(MAX_LOOKUPS),
            core: Mutex::new(Core::new()),
            status: Reporter::new(),
            closing: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a bug of ours; the other streams need not die of it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hash of the session's own destination.
    pub(crate) fn own_hash(&self) -> Hash {
        self.keys.destination().hash()
    }

    pub(crate) fn watch(&self) -> SessionWatch {
        self.status.watch()
    }

    pub(crate) fn stage(&self) -> SessionStage {
        self.status.stage()
    }

    /// Starts the end of the session: new calls fail, what was written is sent for at most
    /// `linger`.
    pub(crate) fn begin_close(&self, linger: Duration) {
        let mut core = self.lock();
        if !matches!(core.ending, Ending::No) {
            return;
        }
        let now = Instant::now();
        core.ending = Ending::Flushing(now + linger);
        if let Some(endpoint) = &mut core.endpoint {
            endpoint.close(now.into_std());
        }
        core.notify_listeners();
        core.datagrams.close(&ReceiveError::Closed);
        let sockets = core.begin_draining();
        core.wake_driver();
        drop(core);
        for socket in sockets {
            socket.close(StreamError::SessionClosed, linger);
        }
        self.closing.notify_one();
    }

    /// Ends the session, for `failure` or because it was closed; everything that waits is woken.
    pub(crate) fn end(&self, failure: Option<Arc<OpenError>>) {
        let mut core = self.lock();
        core.datagrams.end(&match &failure {
            Some(failure) => ReceiveError::SessionFailed(failure.clone()),
            None => ReceiveError::Closed,
        });
        core.ending = Ending::Over(failure.clone());
        core.endpoint = None;
        core.end_sockets(&StreamError::SessionClosed);
        core.subsessions = None;
        core.commands.clear();
        core.lookups.clear();
        core.notify_listeners();
        core.wake_everyone();
        drop(core);
        match failure {
            None => self.status.enter(SessionStage::Closed),
            Some(failure) => {
                let problem = SessionProblem::Failed(failure);
                self.status.interrupt(SessionStage::Failed, problem, None);
            }
        }
    }
}

impl Core {
    fn new() -> Self {
        Self {
            endpoint: None,
            epoch: 0,
            losses: VecDeque::new(),
            slots: HashMap::new(),
            attempts: HashMap::new(),
            listeners: HashMap::new(),
            datagrams: Datagrams::default(),
            pings: HashMap::new(),
            lookups: HashMap::new(),
            next_lookup: 0,
            commands: VecDeque::new(),
            driver: None,
            streams: None,
            sockets: HashMap::new(),
            next_socket: 0,
            draining: 0,
            subsessions: None,
            ending: Ending::No,
        }
    }

    pub(crate) fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Begins the life of a new link: listeners carry on, streams start anew.
    pub(crate) fn begin_epoch(&mut self, mut endpoint: Endpoint) {
        for (&port, listener) in &self.listeners {
            // The endpoint is new: no port is taken and the backlogs were checked before.
            let _ = endpoint.listen(port, listener.backlog);
        }
        self.endpoint = Some(endpoint);
        self.epoch += 1;
    }

    /// Ends the life of a link: its streams, pings and look-ups fail for `reason`.
    pub(crate) fn end_epoch(&mut self, reason: LostReason) {
        self.endpoint = None;
        self.end_sockets(&StreamError::SessionLost(reason.clone()));
        if self.losses.len() == REMEMBERED_LOSSES {
            self.losses.pop_front();
        }
        self.losses.push_back((self.epoch, reason));
        self.commands.clear();
        self.lookups.clear();
        self.datagrams.end_epoch();
        self.subsessions = None;
        self.wake_everyone();
    }

    /// Tells a link of the layer of streams, which is new, what there is to receive.
    pub(crate) fn begin_receiving(&mut self) {
        if !self.listeners.is_empty() {
            self.commands.push_back(Command::Listen(true));
        }
        for format in self.datagrams.formats() {
            self.commands.push_back(Command::OpenDatagrams(format));
        }
    }

    /// Tells a link of the layer of streams whether there is anybody to listen. To be called where a
    /// listener comes (before) or goes (after).
    pub(crate) fn set_listening(&mut self, shared: &Shared, listening: bool) {
        if shared.layer == Layer::Streams && self.listeners.is_empty() && self.endpoint.is_some() {
            self.commands
                .retain(|command| !matches!(command, Command::Listen(_)));
            self.commands.push_back(Command::Listen(listening));
            self.wake_driver();
        }
    }

    /// Takes a stream that the router made, until it is closed or the link is lost. `None` where the
    /// link is lost already.
    pub(crate) fn add_socket(&mut self, epoch: u64, socket: &Arc<Socket>) -> Option<u64> {
        if epoch != self.epoch || self.streams.is_none() || !matches!(self.ending, Ending::No) {
            return None;
        }
        self.next_socket += 1;
        self.sockets.insert(self.next_socket, socket.clone());
        Some(self.next_socket)
    }

    /// Takes a stream out that its owner is done with. Tells whether what was written is to be
    /// delivered: then [`Core::end_draining`] has to follow.
    pub(crate) fn remove_socket(&mut self, number: u64) -> bool {
        let removed = self.sockets.remove(&number).is_some();
        self.draining += usize::from(removed);
        removed
    }

    /// Takes all streams out that the router made; each is to be closed.
    fn begin_draining(&mut self) -> Vec<Arc<Socket>> {
        let sockets: Vec<_> = self.sockets.drain().map(|(_, socket)| socket).collect();
        self.draining += sockets.len();
        sockets
    }

    /// A stream that was closed has delivered what was written.
    pub(crate) fn end_draining(&mut self) {
        self.draining = self.draining.saturating_sub(1);
        self.wake_driver();
    }

    /// Whether streams that were closed still deliver what was written.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining > 0
    }

    fn end_sockets(&mut self, why: &StreamError) {
        self.streams = None;
        for (_, socket) in self.sockets.drain() {
            socket.end(why.clone());
        }
        for port in self.listeners.values_mut() {
            port.queue.clear();
        }
    }

    /// Gives a stream that the router made to the listener of its port, else to that of all ports.
    /// Where the router does not tell the port, a listener that is alone gets it. Without a
    /// listener, or with a full one, the stream ends.
    pub(crate) fn on_incoming(&mut self, stream: RouterStream) {
        let alone = match (stream.local_port, self.listeners.len()) {
            (0, 1) => self.listeners.keys().next().copied(),
            _ => None,
        };
        let ports = [Some(stream.local_port), Some(0), alone];
        let port = ports
            .into_iter()
            .flatten()
            .find(|port| self.listeners.contains_key(port));
        if let Some(port) = port.and_then(|port| self.listeners.get_mut(&port))
            && port.queue.len() < port.backlog
        {
            port.queue.push_back(stream);
            port.incoming.notify_waiters();
        }
    }

    /// The endpoint, if the link of `epoch` still stands.
    pub(crate) fn endpoint_of(&mut self, epoch: u64) -> Result<&mut Endpoint, Gone> {
        if let Ending::Over(_) = self.ending {
            return Err(Gone::Ended);
        }
        if epoch == self.epoch
            && let Some(endpoint) = &mut self.endpoint
        {
            return Ok(endpoint);
        }
        let reason = self
            .losses
            .iter()
            .find_map(|(lost, reason)| (*lost == epoch).then(|| reason.clone()));
        Err(Gone::Lost(reason.unwrap_or_else(|| {
            LostReason::Connection("some time ago".to_owned())
        })))
    }

    /// The endpoint for new streams: none while the session ends or has no link.
    pub(crate) fn endpoint(&mut self) -> Option<&mut Endpoint> {
        match self.ending {
            Ending::No => self.endpoint.as_mut(),
            _ => None,
        }
    }

    /// Asks the link to look something up; the answer comes through the channel, which closes when
    /// the link breaks first.
    pub(crate) fn lookup(
        &mut self,
        target: link::LookupTarget,
        timeout: Duration,
    ) -> oneshot::Receiver<Result<LookupAnswer, link::LinkLookupError>> {
        let (sender, receiver) = oneshot::channel();
        if self.endpoint.is_some() {
            let id = self.next_lookup_id();
            self.lookups.insert(id, sender);
            self.commands.push_back(Command::Lookup {
                id,
                target,
                timeout,
            });
            self.wake_driver();
        }
        receiver
    }

    /// Asks the link for other numbers of tunnels; the newest wish replaces older ones.
    pub(crate) fn set_quantity(&mut self, inbound: u8, outbound: u8) {
        let is_wish = |command: &Command| matches!(command, Command::Quantity { .. });
        self.commands.retain(|command| !is_wish(command));
        if self.endpoint.is_some() {
            self.commands.push_back(Command::Quantity {
                inbound: inbound.clamp(1, MAX_TUNNELS),
                outbound: outbound.clamp(1, MAX_TUNNELS),
            });
            self.wake_driver();
        }
    }

    /// A number for a look-up. The driver's own take the same row.
    pub(crate) fn next_lookup_id(&mut self) -> u32 {
        self.next_lookup = self.next_lookup.wrapping_add(1);
        self.next_lookup
    }

    /// Passes an event of the endpoint on to who waits for it.
    pub(crate) fn on_event(&mut self, event: Event) {
        let wake = |waker: &mut Option<Waker>| {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        };
        match event {
            Event::Connected(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.connected = true;
                    wake(&mut slot.connect);
                }
            }
            Event::Incoming { .. } => self.notify_listeners(),
            Event::Readable(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    wake(&mut slot.read);
                }
            }
            Event::Writable(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    wake(&mut slot.write);
                }
            }
            Event::Flushed(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    wake(&mut slot.acked);
                }
            }
            Event::Closed { id, reason } => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.closed = Some(reason);
                    slot.wake();
                }
            }
            Event::Pong { id, rtt, payload } => self.end_ping(id, Some((rtt, payload))),
            Event::PingTimeout(id) => self.end_ping(id, None),
            _ => {}
        }
    }

    /// Passes on what the link said about a packet to a peer that may be the first of a stream.
    pub(crate) fn on_attempt(&mut self, to: &Hash, note: impl Fn(&mut Attempt)) {
        for (id, attempt) in self.attempts.iter_mut().filter(|(_, one)| one.to == *to) {
            note(attempt);
            if let Some(waker) = self.slots.get_mut(id).and_then(|slot| slot.connect.take()) {
                waker.wake();
            }
        }
    }

    fn end_ping(&mut self, id: PingId, answer: Option<(Duration, Bytes)>) {
        if let Some(ping) = self.pings.get_mut(&id) {
            ping.answer = Some(answer);
            if let Some(waker) = ping.waker.take() {
                waker.wake();
            }
        }
    }

    /// Why accepting has to stop, if it has to.
    pub(crate) fn accept_error(&self) -> Option<AcceptError> {
        match &self.ending {
            Ending::No => None,
            Ending::Flushing(_) | Ending::Over(None) => Some(AcceptError::Closed),
            Ending::Over(Some(failure)) => Some(AcceptError::SessionFailed(failure.clone())),
        }
    }

    pub(crate) fn notify_listeners(&self) {
        for port in self.listeners.values() {
            port.incoming.notify_waiters();
        }
    }

    fn wake_everyone(&mut self) {
        self.attempts.clear();
        for (_, mut slot) in self.slots.drain() {
            slot.wake();
        }
        for (_, mut ping) in self.pings.drain() {
            if let Some(waker) = ping.waker.take() {
                waker.wake();
            }
        }
        self.wake_driver();
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("epoch", &self.epoch)
            .field("streams", &self.slots.len())
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn wake(&mut self) {
        for waker in [
            self.connect.take(),
            self.read.take(),
            self.write.take(),
            self.acked.take(),
        ]
        .into_iter()
        .flatten()
        {
            waker.wake();
        }
    }
}

/// The encryption keys of the session's lease sets, in the form of `i2cp.leaseSetPrivateKey`.
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why the link that a stream belongs to is not there any more.
#[derive(Debug)]
pub(crate) enum Gone {
    /// It broke.
    Lost(LostReason),
    /// The session ended.
    Ended,
}

impl From<Gone> for StreamError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Lost(reason) => Self::SessionLost(reason),
            Gone::Ended => Self::SessionClosed,
        }
    }
}

/// Counts the handles of a session: when the last session, listener, stream and socket handle is dropped,
/// the session closes in the background.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.begin_close(self.shared.config.linger);
    }
}

/// Tunnels each way (I2CP overview, `inbound.quantity`).
const MAX_TUNNELS: u8 = 16;

/// Look-ups under way at a time; more wait for their turn. Chosen because routers answer names at
/// once and search the network for a few tens of hashes at a time.
const MAX_LOOKUPS: usize = 64;

/// Lost links whose reason is kept for streams that were open on them. Chosen because a stream
/// that nobody touched through 16 losses will not miss the exact reason.
const REMEMBERED_LOSSES: usize = 16;
