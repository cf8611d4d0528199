//! The state of a session that its lock protects.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use eepkit_link::{Command, Connector, Layer, Link, LookupTarget, LostReason};
use eepkit_streaming::{Endpoint, Event, PingId, Ports};
use eepkit_wire::{Destination, Hash};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    commands::Commands,
    datagrams::{Datagrams, Mailbox, router_format},
    lifecycle::{Gone, Lifecycle},
    listeners::Listeners,
    lookups::{LookupResult, Lookups},
    pings::Pings,
    sockets::{Draining, SocketKey, Sockets},
    streams::Streams,
    waker::DriverWaker,
};
use crate::{
    error::{BindError, ListenError, OpenError, ReceiveError, StreamError},
    socket::Socket,
};

/// A session was opened anew because a peer did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Reopened {
    pub(crate) peer: Hash,
    pub(crate) at: Instant,
    /// How often, without an answer of the peer in between.
    pub(crate) times: u32,
}

/// The last of several pings of a peer by the session itself.
#[derive(Debug, Clone)]
struct Greeting {
    peer: Destination,
    /// The number of the ping, from 1.
    attempt: u32,
    /// When the first ping was sent.
    begun: Instant,
    /// Whether the router tries other paths meanwhile.
    searches: bool,
    /// Whether the session was opened anew because of this peer.
    persists: bool,
}

impl Greeting {
    const fn new(now: Instant, peer: Destination) -> Self {
        Self {
            peer,
            attempt: 1,
            begun: now,
            searches: false,
            persists: false,
        }
    }

    /// How long the answer is awaited before the next ping.
    ///
    /// In a search, chosen just above the 4 s in which i2pd waits for the confirmation of a lease set
    /// over a path. Otherwise chosen so that a router in this process is reached within ten seconds,
    /// and that the last ping is sent after 26 s.
    fn timeout(&self) -> Duration {
        match self.searches {
            true => Duration::from_millis(4100),
            false => Duration::from_secs(1 << self.attempt.saturating_sub(2).clamp(1, 3)),
        }
    }

    /// The number of pings. Chosen because a router that was just started loses many messages, and
    /// because peers that have gone do not answer; in a search, because routers replace failed
    /// tunnels within about half a minute; and so that the session can be opened anew several times.
    const fn most_attempts(&self) -> u32 {
        match (self.searches, self.persists) {
            (true, _) => 9,
            (false, true) => 40,
            (false, false) => 7,
        }
    }
}

/// The state of a session that its lock protects.
pub(crate) struct Core {
    /// What the links of the session carry.
    layer: Layer,
    /// `None` while there is no link.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) streams: Streams,
    pub(crate) listeners: Listeners,
    pub(crate) sockets: Sockets,
    pub(crate) datagrams: Datagrams,
    pub(crate) pings: Pings,
    pub(crate) lookups: Lookups,
    pub(crate) commands: Commands,
    /// The numbers of tunnels that the application requested on this link.
    quantity: Option<(u8, u8)>,
    /// The number of tunnels in each direction while the session is idle.
    reduced: Option<u8>,
    /// The peers of previous links, and when they were last known to be there, in that order. They
    /// are pinged over the next link.
    recent_peers: Vec<(Destination, Instant)>,
    /// The pings of the session itself that were not answered yet.
    greetings: HashMap<PingId, Greeting>,
    /// Whether the lease set is to be published again: a peer was reached over another path.
    pub(crate) found_path: bool,
    /// The last time that the session was opened anew because a peer did not answer.
    pub(crate) reopened: Option<Reopened>,
    /// The connector with which the link opens subsessions, if it supports them.
    subsessions: Option<Arc<dyn Connector>>,
    driver: Arc<DriverWaker>,
}

impl Core {
    pub(super) fn new(layer: Layer, driver: Arc<DriverWaker>) -> Self {
        Self {
            layer,
            endpoint: None,
            lifecycle: Lifecycle::new(),
            streams: Streams::default(),
            listeners: Listeners::default(),
            sockets: Sockets::new(driver.clone()),
            datagrams: Datagrams::default(),
            pings: Pings::default(),
            lookups: Lookups::default(),
            commands: Commands::default(),
            quantity: None,
            reduced: None,
            recent_peers: Vec::new(),
            greetings: HashMap::new(),
            found_path: false,
            reopened: None,
            subsessions: None,
            driver,
        }
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    /// Starts to use a new link. Listeners and datagram sockets continue; there are no streams yet.
    pub(crate) fn begin_epoch(&mut self, mut endpoint: Endpoint, link: &dyn Link) {
        for (port, backlog) in self.listeners.ports() {
            // Cannot fail: the endpoint is new, so no port is in use, and the backlogs are valid.
            let _ = endpoint.listen(port, backlog);
        }
        self.endpoint = Some(endpoint);
        self.lifecycle.begin_epoch();
        self.subsessions = link.subsessions();
        self.sockets.set_opener(link.streams());
        if self.layer == Layer::Streams {
            if !self.listeners.is_empty() {
                self.commands.push(Command::Listen(true));
            }
            for format in self.datagrams.formats() {
                self.commands.push(Command::OpenDatagrams(format));
            }
        }
    }

    /// Stops using a link: its streams, pings and look-ups fail because of `reason`.
    pub(crate) fn end_epoch(&mut self, reason: LostReason) {
        let why = StreamError::SessionLost(reason.clone());
        self.lifecycle.end_epoch(reason);
        self.greetings.clear();
        self.found_path = false;
        if let Some(endpoint) = &self.endpoint {
            let now = Instant::now();
            let recent = endpoint.recent_peers(now.into_std(), RECENT, MAX_RECENT);
            for peer in recent.into_iter().rev() {
                remember(&mut self.recent_peers, now, peer);
            }
        }
        self.datagrams.end_epoch();
        self.end_link(&why);
    }

    /// Pings the peers of the last link, after the session was restored on a new one.
    ///
    /// The routers of the peers still have the lease set of the lost session and the encryption
    /// session with it. A message replaces both, because it carries the new lease set and begins a
    /// new encryption session. Otherwise i2pd and Java I2P would send to the lost session until its
    /// lease set expires, which takes up to ten minutes.
    pub(crate) fn greet_recent_peers(&mut self, now: Instant) {
        self.recent_peers.retain(|(_, at)| now - *at < RECENT);
        let recent = self.recent_peers.iter().rev().take(MAX_RECENT);
        let recent: Vec<_> = recent.map(|(peer, _)| peer.clone()).collect();
        for peer in recent {
            let hash = peer.hash();
            let mut greeting = Greeting::new(now, peer);
            greeting.persists = self.reopened.as_ref().is_some_and(|last| last.peer == hash);
            self.greet(now, greeting);
        }
    }

    /// Pings a peer that has been silent for long, more often than streams repeat their packets.
    ///
    /// If our router has begun a new encryption session, repeated messages in it are the evidence
    /// with which the router of the peer discards its own.
    pub(crate) fn on_silence(&mut self, peer: Destination, silence: Duration) {
        if silence >= LONG_SILENCE && !self.is_greeted(&peer) {
            let now = Instant::now();
            self.greet(now, Greeting::new(now, peer));
        }
    }

    /// Pings a peer while the router tries one path to it after another. Returns whether this has
    /// begun. It has not if the peer is pinged for this reason already.
    pub(crate) fn search_path(&mut self, now: Instant, peer: Destination) -> bool {
        let mut greetings = self.greetings.values();
        if greetings.any(|one| one.peer == peer && one.searches) {
            return false;
        }
        let mut greeting = Greeting::new(now, peer);
        greeting.searches = true;
        self.greet(now, greeting);
        true
    }

    fn is_greeted(&self, peer: &Destination) -> bool {
        self.greetings.values().any(|one| one.peer == *peer)
    }

    fn greet(&mut self, now: Instant, greeting: Greeting) {
        if let Some(endpoint) = &mut self.endpoint {
            let timeout = greeting.timeout();
            let mut ping = || {
                endpoint.ping(
                    now.into_std(),
                    &greeting.peer,
                    Ports::default(),
                    &[],
                    timeout,
                )
            };
            if greeting.searches {
                // i2pd leaves a path after the message with which it notices that a lease set was
                // not confirmed. Only the next one is sent over another path.
                ping();
            }
            let id = ping();
            self.greetings.insert(id, greeting);
            self.wake_driver();
        }
    }

    /// Handles the answer to a greeting, or the lack of one. Returns whether the ping was one.
    fn on_greeting(&mut self, event: &Event) -> bool {
        let (id, answered) = match event {
            Event::Pong { id, .. } => (id, true),
            Event::PingTimeout(id) => (id, false),
            _ => return false,
        };
        let Some(mut greeting) = self.greetings.remove(id) else {
            return false;
        };
        let now = Instant::now();
        if answered {
            self.found_path |= greeting.searches && greeting.attempt > 1;
            remember(&mut self.recent_peers, now, greeting.peer);
            return true;
        }
        let hash = greeting.peer.hash();
        let heard = self.endpoint.as_ref().and_then(|own| own.heard(&hash));
        let silence = now.saturating_duration_since(greeting.begun);
        let silence = heard.map_or(silence, |heard| {
            silence.min(now.into_std().saturating_duration_since(heard))
        });
        let attempt = greeting.attempt;
        tracing::debug!(peer = %hash, attempt, ?silence, "a ping was not answered");
        if attempt < greeting.most_attempts() {
            // The router may have found a lease set that the peer has replaced since.
            self.commands.push(Command::Renew {
                peer: hash,
                silence,
            });
            greeting.attempt += 1;
            self.greet(now, greeting);
        }
        true
    }

    /// Starts to close the session. The caller must close the returned sockets without the lock.
    pub(super) fn begin_close(&mut self, end: Instant) -> Vec<(Arc<Socket>, Draining)> {
        if !self.lifecycle.is_open() {
            return Vec::new();
        }
        self.lifecycle.flush_until(end);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.close(Instant::now().into_std());
        }
        self.listeners.notify();
        self.datagrams.close(&ReceiveError::Closed);
        self.wake_driver();
        self.sockets.drain()
    }

    /// Ends the session.
    pub(super) fn end(&mut self, failure: Option<Arc<OpenError>>) {
        self.datagrams.end(&match &failure {
            Some(failure) => ReceiveError::SessionFailed(failure.clone()),
            None => ReceiveError::Closed,
        });
        self.lifecycle.end(failure);
        self.end_link(&StreamError::SessionClosed);
        self.listeners.notify();
    }

    /// Drops everything that belongs to a link, and wakes all tasks that wait for it.
    fn end_link(&mut self, why: &StreamError) {
        self.endpoint = None;
        self.sockets.end(why);
        self.listeners.clear_queues();
        self.subsessions = None;
        self.quantity = None;
        self.reduced = None;
        self.commands.clear();
        self.lookups.clear();
        self.streams.clear();
        self.pings.clear();
        self.wake_driver();
    }

    /// The endpoint, if the link of `epoch` is still in use.
    pub(crate) fn endpoint_of(&mut self, epoch: u64) -> Result<&mut Endpoint, Gone> {
        match &mut self.endpoint {
            Some(endpoint) if epoch == self.lifecycle.epoch() => Ok(endpoint),
            _ => Err(self.lifecycle.why_gone(epoch)),
        }
    }

    /// The endpoint for new streams. `None` while the session is closing or has no link.
    pub(crate) fn endpoint(&mut self) -> Option<&mut Endpoint> {
        match self.lifecycle.is_open() {
            true => self.endpoint.as_mut(),
            false => None,
        }
    }

    /// The connector with which the link opens subsessions, if it supports them.
    pub(crate) fn subsessions(&self) -> Option<Arc<dyn Connector>> {
        self.subsessions.clone()
    }

    /// Starts to listen on a port. Returns the notification of incoming streams.
    pub(crate) fn listen(&mut self, port: u16, backlog: usize) -> Result<Arc<Notify>, ListenError> {
        if !self.lifecycle.is_open() {
            return Err(ListenError::Closed);
        }
        self.listeners.check(port, backlog)?;
        if let Some(endpoint) = &mut self.endpoint {
            endpoint
                .listen(port, backlog)
                .map_err(|_| ListenError::InUse(port))?;
        }
        self.tell_listening(true);
        Ok(self.listeners.add(port, backlog))
    }

    /// Stops listening on a port, and refuses the streams that wait in its backlog.
    pub(crate) fn unlisten(&mut self, port: u16) {
        self.listeners.remove(port);
        self.tell_listening(false);
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.unlisten(Instant::now().into_std(), port);
        }
        self.wake_driver();
    }

    /// If the router makes the streams: requests that it starts to accept streams, for the first
    /// listener, or that it stops, after the last one.
    fn tell_listening(&mut self, listening: bool) {
        if self.layer == Layer::Streams && self.listeners.is_empty() && self.endpoint.is_some() {
            self.commands.set_listening(listening);
            self.wake_driver();
        }
    }

    /// Adds a datagram socket, which then receives.
    pub(crate) fn bind(&mut self, mailbox: &Arc<Mailbox>) -> Result<(), BindError> {
        if !self.lifecycle.is_open() {
            return Err(BindError::Closed);
        }
        self.datagrams.bind(mailbox)?;
        if self.layer == Layer::Streams && self.endpoint.is_some() {
            let format = router_format(mailbox.format());
            self.commands.push(Command::OpenDatagrams(format));
            self.wake_driver();
        }
        Ok(())
    }

    /// Adds a stream that the router made on the link of `epoch`. `None` if that link is lost.
    pub(crate) fn add_socket(&mut self, epoch: u64, socket: &Arc<Socket>) -> Option<SocketKey> {
        if epoch != self.lifecycle.epoch() || !self.lifecycle.is_open() {
            return None;
        }
        self.sockets.add(socket)
    }

    /// Requests a look-up from the link. The channel returns the answer, or closes if the link is
    /// lost before.
    pub(crate) fn lookup(
        &mut self,
        target: LookupTarget,
        timeout: Duration,
    ) -> oneshot::Receiver<LookupResult> {
        if self.endpoint.is_none() {
            // The sender is dropped, so the channel is closed.
            return oneshot::channel().1;
        }
        let (id, receiver) = self.lookups.begin();
        self.commands.push(Command::Lookup {
            id,
            target,
            timeout,
        });
        self.wake_driver();
        receiver
    }

    /// Requests other numbers of tunnels from the link. The newest request replaces older ones.
    pub(crate) fn set_quantity(&mut self, inbound: u8, outbound: u8) {
        if self.endpoint.is_some() {
            self.quantity = Some((inbound, outbound));
            self.send_quantity((inbound, outbound));
        } else {
            self.commands.cancel_quantity();
        }
    }

    /// Requests at most `tunnels` in each direction, because the session is idle. `None` restores
    /// the numbers that the application requested, or those of its options.
    pub(crate) fn reduce_quantity(&mut self, tunnels: Option<u8>, of_options: (u8, u8)) {
        if self.endpoint.is_some() && self.reduced != tunnels {
            self.reduced = tunnels;
            self.send_quantity(self.quantity.unwrap_or(of_options));
        }
    }

    fn send_quantity(&mut self, (inbound, outbound): (u8, u8)) {
        let most = self.reduced.unwrap_or(u8::MAX);
        self.commands
            .set_quantity(inbound.min(most), outbound.min(most));
        self.wake_driver();
    }

    /// Passes an event of the endpoint to the handle that waits for it.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::Incoming { .. } => self.listeners.notify(),
            Event::Pong { .. } | Event::PingTimeout(_) => {
                if !self.on_greeting(&event) {
                    self.pings.on_event(event);
                }
            }
            _ => self.streams.on_event(&event),
        }
    }
}

/// Peers that were silent for longer than this before the link was lost are not pinged. Chosen as
/// the lifetime of a lease set, after which routers look it up again.
const RECENT: Duration = Duration::from_secs(600);
/// The most peers that are pinged. Chosen so that the pings of a server with many clients take only
/// a small part of its tunnels. The other clients look the lease set up when they time out.
const MAX_RECENT: usize = 64;
/// The silence of a peer after which it is pinged as well. Chosen because most look-ups and
/// migrations of streams to other paths have ended by then.
const LONG_SILENCE: Duration = Duration::from_secs(10);

/// Adds a peer to a list that is ordered by time, or updates its time.
fn remember(peers: &mut Vec<(Destination, Instant)>, now: Instant, peer: Destination) {
    peers.retain(|(other, _)| *other != peer);
    if peers.len() == MAX_RECENT {
        peers.remove(0);
    }
    peers.push((peer, now));
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("lifecycle", &self.lifecycle)
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
