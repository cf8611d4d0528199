//! The sessions of a connection: the sources of their commands and the receivers of their events.

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll},
};

use eepkit_i2cp::Handle;
use eepkit_link::{Command, Event, LinkStage, Outgoing, first_contact::Gate};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::Instant,
};
use tokio_util::sync::PollSender;

use super::reports::Reports;

/// The connection task's end of one session's link.
pub(super) struct Port {
    session: Handle,
    commands: mpsc::Receiver<Command>,
    events: PollSender<Event>,
    /// Events that wait for capacity in the channel to the link.
    delivery: VecDeque<Event>,
    pub(super) reports: Reports,
    pub(super) gate: Gate<u32>,
    has_lease_set: bool,
}

impl Port {
    /// Creates the port of a session that the router has just accepted.
    pub(super) fn new(
        session: Handle,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            session,
            commands,
            events: PollSender::new(events),
            delivery: VecDeque::from([Event::Stage(LinkStage::BuildingTunnels)]),
            reports: Reports::default(),
            gate: Gate::default(),
            has_lease_set: false,
        }
    }

    pub(super) fn session(&self) -> Handle {
        self.session
    }

    pub(super) fn push(&mut self, event: Event) {
        self.delivery.push_back(event);
    }

    /// Records that a lease set was submitted. Returns whether it is the first, or the
    /// first after peers could not reach the session.
    pub(super) fn got_lease_set(&mut self) -> bool {
        !std::mem::replace(&mut self.has_lease_set, true)
    }

    /// Reports that peers cannot reach the session until the next lease set was submitted.
    pub(super) fn became_unreachable(&mut self, reason: String) {
        self.has_lease_set = false;
        self.push(Event::Unreachable(reason));
    }
}

/// The ports of a connection. An event that waits for one port delays the others, because nothing
/// is read from the router until it is delivered.
pub(super) struct Ports {
    /// The primary session is first. Limited by the session machine's limit of subsessions.
    ports: Vec<Port>,
    /// The index of the port that is polled first for a command.
    turn: usize,
    /// Pending look-ups by their number on the connection, with the session and its own number.
    /// Limited by the session machine, which rejects look-ups above its limit.
    lookups: HashMap<u32, (Handle, u32)>,
    next_lookup: u32,
}

/// The result of polling the ports.
pub(super) enum Turn {
    /// An event was delivered.
    Delivered,
    /// The receiver of events was dropped, and its events were discarded.
    Dropped(Handle),
    /// A command. `None` means that the link was dropped.
    Command(Handle, Option<Command>),
}

impl Ports {
    pub(super) fn new(primary: Port) -> Self {
        Self {
            ports: vec![primary],
            turn: 0,
            lookups: HashMap::new(),
            next_lookup: 0,
        }
    }

    pub(super) fn add(&mut self, port: Port) {
        self.ports.push(port);
    }

    pub(super) fn remove(&mut self, session: Handle) {
        self.ports.retain(|port| port.session != session);
    }

    pub(super) fn of(&mut self, session: Handle) -> Option<&mut Port> {
        self.ports.iter_mut().find(|port| port.session == session)
    }

    /// Adds an event to all sessions.
    pub(super) fn push_to_all(&mut self, event: impl Fn() -> Event) {
        for port in &mut self.ports {
            port.push(event());
        }
    }

    /// The next time at which messages have waited too long for the first one to their peer.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let timeouts = self.ports.iter().map(|port| port.gate.next_timeout());
        timeouts.flatten().min()
    }

    /// Returns the messages of one session that have waited too long.
    pub(super) fn expired(&mut self, now: Instant) -> Option<(Handle, VecDeque<Outgoing>)> {
        let port = self.ports.iter_mut().find(|port| {
            let timeout = port.gate.next_timeout();
            timeout.is_some_and(|at| at <= now)
        })?;
        Some((port.session, port.gate.expired(now)))
    }

    /// The number of events that wait to be delivered.
    pub(super) fn events(&self) -> usize {
        self.ports.iter().map(|port| port.delivery.len()).sum()
    }

    pub(super) fn have_events(&self) -> bool {
        self.ports.iter().any(|port| !port.delivery.is_empty())
    }

    /// Returns a number for a look-up of a session that no other session uses.
    pub(super) fn lookup(&mut self, session: Handle, id: u32) -> u32 {
        self.next_lookup = self.next_lookup.wrapping_add(1);
        self.lookups.insert(self.next_lookup, (session, id));
        self.next_lookup
    }

    /// Returns the session that requested a look-up, and the session's number of it.
    pub(super) fn answered(&mut self, number: u32) -> Option<(&mut Port, u32)> {
        let (session, id) = self.lookups.remove(&number)?;
        Some((self.of(session)?, id))
    }

    /// Returns a queued command, from each session in turn.
    pub(super) fn try_command(&mut self) -> Option<(Handle, Option<Command>)> {
        self.in_turn(|port| match port.commands.try_recv() {
            Ok(command) => Some(Some(command)),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        })
    }

    /// Delivers an event, or accepts a command if that is allowed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, may_command: bool) -> Poll<Turn> {
        for port in self
            .ports
            .iter_mut()
            .filter(|port| !port.delivery.is_empty())
        {
            match port.events.poll_reserve(cx) {
                Poll::Ready(Ok(())) => {
                    if let Some(event) = port.delivery.pop_front() {
                        // Fails only if the link has been dropped since.
                        let _ = port.events.send_item(event);
                    }
                    return Poll::Ready(Turn::Delivered);
                }
                Poll::Ready(Err(_)) => {
                    port.delivery.clear();
                    return Poll::Ready(Turn::Dropped(port.session));
                }
                Poll::Pending => {}
            }
        }
        if !may_command {
            return Poll::Pending;
        }
        let command = self.in_turn(|port| match port.commands.poll_recv(cx) {
            Poll::Ready(command) => Some(command),
            Poll::Pending => None,
        });
        match command {
            Some((session, command)) => Poll::Ready(Turn::Command(session, command)),
            None => Poll::Pending,
        }
    }

    /// Returns the first result of `take`, starting with another session at each call.
    fn in_turn<T>(&mut self, mut take: impl FnMut(&mut Port) -> Option<T>) -> Option<(Handle, T)> {
        let count = self.ports.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let port = &mut self.ports[at];
            if let Some(taken) = take(port) {
                let session = port.session;
                self.turn = at + 1;
                return Some((session, taken));
            }
        }
        None
    }
}
