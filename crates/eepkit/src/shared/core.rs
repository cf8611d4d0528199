//! The state of a session that its lock protects.

use std::{fmt, sync::Arc, time::Duration};

use eepkit_link::{Command, Connector, Layer, Link, LookupTarget, LostReason};
use eepkit_streaming::{Endpoint, Event};
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
        self.datagrams.end_epoch();
        self.end_link(&why);
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
            Event::Pong { .. } | Event::PingTimeout(_) => self.pings.on_event(event),
            _ => self.streams.on_event(&event),
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("lifecycle", &self.lifecycle)
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
