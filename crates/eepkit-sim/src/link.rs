//! The direct link: sessions to which the network's tunnels are exposed.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use eepkit_i2cp::Options;
use eepkit_link::{
    BoxFuture, Command, Connector, Direction, Event, Link, LinkError, LookupTarget, RouterIdentity,
    Setup, TunnelDownReason, TunnelId,
};
use eepkit_wire::{Destination, Hash};
use tokio::time::Duration;

use super::{
    Shared,
    world::{
        SessionId,
        session::{Content, Interface, Message, Notice, Session, Wanted},
    },
};

/// A router on a simulated network, from [`SimNet::router`](super::SimNet::router). Cheap to clone.
///
/// Its links expose their tunnels: each is reported with [`Event::TunnelUp`] and
/// [`Event::TunnelDown`], and messages may select a path
/// ([`PathChoice::Pinned`](eepkit_link::PathChoice::Pinned)). A session is accepted immediately.
#[derive(Debug, Clone)]
pub struct SimRouter {
    shared: Arc<Shared>,
}

impl SimRouter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Connector for SimRouter {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            setup.progress.connected(RouterIdentity {
                program: Some("simulated network".to_owned()),
                ..RouterIdentity::default()
            });
            let destination = setup.keys.destination();
            let port = Port::open(shared, destination, setup.options, Interface::Direct)?;
            Ok(Box::new(SimLink { port }) as Box<dyn Link>)
        })
    }

    fn name(&self) -> String {
        "sim".to_owned()
    }

    fn exposes_tunnels(&self) -> bool {
        true
    }
}

/// A session on a simulated network. Dropping it ends the session.
pub struct SimLink {
    port: Port,
}

impl Link for SimLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.port.poll_ready(cx)
    }

    fn submit(&mut self, command: Command) {
        let port = &self.port;
        match command {
            Command::Send(outgoing) => port.send(Message {
                token: Some(outgoing.token),
                to: outgoing.to,
                path: outgoing.path,
                content: Content::Plain(outgoing.payload),
                deadline: Some(outgoing.deadline),
                bundle: !outgoing.options.omit_lease_set,
            }),
            Command::PublishLeaseSet(signed) => {
                port.publish(signed.store_type.code(), &signed.bytes);
            }
            Command::Retire(tunnel) => port.retire(tunnel),
            Command::Quantity { inbound, outbound } => port.quantity(inbound, outbound),
            Command::Lookup {
                id,
                target,
                timeout,
            } => port.lookup(id, target, timeout),
            Command::Renew { peer, silence } => port.renew(peer, silence),
            // The commands of stream links do not apply to this link.
            Command::Listen(_) | Command::OpenDatagrams(_) | Command::SendDatagram(_) => {}
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match ready!(self.port.poll_notice(cx)) {
                Notice::Event(event) => return Poll::Ready(event),
                Notice::Received {
                    content: Content::Plain(payload),
                    tunnel,
                } => return Poll::Ready(Event::Received { payload, tunnel }),
                // Messages for this interface are decoded when they are delivered.
                Notice::Received {
                    content: Content::Framed(_),
                    ..
                } => {}
            }
        }
    }
}

impl fmt::Debug for SimLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLink")
            .field("session", &self.port.id)
            .finish()
    }
}

/// A handle to a session for its interface to the application. Dropping it ends the session.
#[derive(Debug)]
pub(super) struct Port {
    shared: Arc<Shared>,
    id: SessionId,
}

impl Port {
    pub(super) fn open(
        shared: Arc<Shared>,
        destination: &Destination,
        options: Options,
        interface: Interface,
    ) -> Result<Self, LinkError> {
        let id = shared.with(|world, now| world.open(now, destination, options, interface))?;
        Ok(Self { shared, id })
    }

    /// The session's number, reduced to 16 bits. Never the number that means "no session".
    pub(super) fn number(&self) -> u16 {
        u16::try_from(self.id.0 % u64::from(u16::MAX)).unwrap_or(0)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.shared.with(|world, _| {
            let session = world.sessions.get(&self.id);
            session.is_none_or(Session::is_ready)
        })
    }

    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.shared.with(|world, _| world.poll_ready(self.id, cx))
    }

    pub(super) fn poll_notice(&self, cx: &Context<'_>) -> Poll<Notice> {
        self.shared.with(|world, _| world.poll_notice(self.id, cx))
    }

    pub(super) fn send(&self, message: Message) {
        self.shared
            .with(|world, now| world.send(now, self.id, message));
    }

    pub(super) fn publish(&self, kind: u8, bytes: &[u8]) {
        self.shared
            .with(|world, now| world.publish(now, self.id, kind, bytes));
    }

    fn retire(&self, tunnel: TunnelId) {
        self.shared.with(|world, now| {
            world.take_down(now, self.id, tunnel, TunnelDownReason::Retired);
        });
    }

    pub(super) fn quantity(&self, inbound: u8, outbound: u8) {
        let tunnels = |wanted: u8| usize::from(wanted.clamp(1, MAX_TUNNELS));
        self.shared.with(|world, now| {
            if let Some(session) = world.sessions.get_mut(&self.id) {
                session.wanted = Wanted {
                    inbound: tunnels(inbound),
                    outbound: tunnels(outbound),
                };
            }
            world.fill(now, self.id, Direction::Inbound);
            world.fill(now, self.id, Direction::Outbound);
            world.look_at_leases(now, self.id);
        });
    }

    fn renew(&self, peer: Hash, silence: Duration) {
        self.shared
            .with(|world, now| world.renew(now, self.id, peer, silence));
    }

    pub(super) fn lookup(&self, id: u32, target: LookupTarget, timeout: Duration) {
        self.shared
            .with(|world, now| world.lookup(now, self.id, id, target, timeout));
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.shared.with(|world, now| world.close(now, self.id));
    }
}

/// The maximum number of tunnels per direction (I2CP, `inbound.quantity`).
const MAX_TUNNELS: u8 = 16;
