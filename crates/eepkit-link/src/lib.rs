//! The contract between a session and a router, whatever router it is.
//!
//! A [`Connector`] is a router that sessions can be opened on. A [`Link`] is one session on it.
//!
//! * A link that exposes its tunnels (today the simulated network) reports [`Event::TunnelUp`],
//!   [`Event::TunnelDown`] and [`Event::Credit`], and sends over the path of [`PathChoice::Pinned`].
//! * A link that does not (I2CP) reports no tunnels and grants no credits. Its messages arrive through
//!   [`TunnelId::ANY`], and it treats every choice as [`PathChoice::Auto`].
//! * A link to a router that implements streams and datagrams itself (SAM) has another [`Layer`]: it
//!   carries no messages, but what is in [`streams`].
//!
//! Code above this crate does not know which router it uses.

pub mod clock;
pub mod first_contact;
mod router_stage;
pub mod status;
pub mod streams;

pub use eepkit_wire::LeaseId;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use eepkit_i2cp::{Options, SignedLeaseSet};
use eepkit_wire::{Destination, Hash, Lease, Mapping, PrivateKeys};
use tokio::time::Instant;

pub use router_stage::{
    RouterActivity, RouterFailure, RouterNotReady, RouterStage, RouterStatus, RouterWatch,
};

/// A router that sessions can be opened on.
///
/// Cheap to share: the library keeps one behind an [`Arc`] and opens every session of an
/// application, and every replacement of a lost session, through it.
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Opens a session for the destination of `setup`.
    ///
    /// The future is ready when the router has accepted the session; tunnels and lease set follow
    /// as events. It ends with [`LinkError::Timeout`] rather than waiting for longer than
    /// `setup.timeout`. Dropping it cancels the attempt and leaves nothing behind.
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>>;

    /// A short name for logs and progress lines, such as `i2cp://127.0.0.1:7654`.
    fn name(&self) -> String;

    /// What the links of this router carry; the same for all of them.
    fn layer(&self) -> Layer {
        Layer::Messages
    }

    /// Whether links of this router report their tunnels ([`Event::TunnelUp`]), so that packets can be
    /// sent over paths of the session's choice.
    fn exposes_tunnels(&self) -> bool {
        false
    }

    /// Follows the status of a router that runs in this process; `None` for one that runs elsewhere.
    fn router_watch(&self) -> Option<RouterWatch> {
        None
    }

    /// Stops the router where this connector owns it; otherwise does nothing.
    fn stop_router(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    /// Asks whether a router answers, for at most `limit`, by a question of its protocol that opens no
    /// session; `None` where the protocol has none.
    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<(), LinkError>>> {
        let _ = limit;
        None
    }
}

/// What a link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Messages: streams and datagrams are made on this side.
    Messages,
    /// Streams and datagrams, which the router makes; see [`streams`].
    Streams,
}

/// A future as [`Connector`] returns it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What a router needs to know to open a session.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The destination and its keys. An adapter signs with them in this process; the router never
    /// sees the signing key.
    pub keys: Arc<PrivateKeys>,
    /// Session options as I2CP names them (`inbound.length`, `i2cp.leaseSetEncType`, ...).
    pub options: Options,
    /// How long the router may take to accept the session.
    pub timeout: Duration,
}

/// One session on a router.
///
/// A link is driven by one task: it polls [`Link::poll_event`] until pending, submits commands
/// while [`Link::poll_ready`] allows it, and drops the link to end the session. After
/// [`Event::Lost`] no further event comes and commands are ignored.
pub trait Link: fmt::Debug + Send + 'static {
    /// Whether the link takes another command now; pending means backpressure from the router.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Hands one command to the router. Call only after [`Link::poll_ready`] was ready.
    fn submit(&mut self, command: Command);

    /// The next event of the router.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;

    /// Opens sessions of other destinations over the tunnels of this one, which end with it. `None`
    /// where links of this kind cannot.
    ///
    /// A subsession has to use the encryption keys of its session.
    fn subsessions(&self) -> Option<Arc<dyn Connector>> {
        None
    }

    /// Opens streams that the router makes; `None` unless the layer is [`Layer::Streams`].
    fn streams(&self) -> Option<Arc<dyn streams::Opener>> {
        None
    }
}

/// Identifies a tunnel of this session on a link that exposes its tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u64);

impl TunnelId {
    /// Stands for all tunnels of a link that does not expose them.
    pub const ANY: Self = Self(0);
}

/// The direction of messages through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the network to this session.
    Inbound,
    /// From this session to the network.
    Outbound,
}

/// The path of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathChoice {
    /// The router chooses.
    Auto,
    /// Out through this tunnel of ours, in through this lease of the peer. Where one of the two is
    /// gone the message is dropped with [`DropReason::NoTunnel`].
    Pinned {
        /// An outbound tunnel of this session.
        outbound: TunnelId,
        /// A lease of the peer, from [`LookupAnswer::leases`].
        lease: LeaseId,
    },
}

/// Application data with its addressing, before or after the framing of the router's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// I2CP protocol number: 6 streaming, 17-20 datagrams.
    pub protocol: u8,
    /// Port of the sender.
    pub from_port: u16,
    /// Port of the receiver.
    pub to_port: u16,
    /// The packet.
    pub body: Bytes,
}

/// A message to a peer.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Returned in [`Event::Sent`] or [`Event::Dropped`] by links that report a message's fate.
    pub token: u64,
    /// Who it is for.
    pub to: Destination,
    /// The path it takes.
    pub path: PathChoice,
    /// What it carries.
    pub payload: Payload,
    /// Whether deflating `payload.body` may pay off; already dense or encrypted bytes are framed
    /// as they are.
    pub compress: bool,
    /// The router may drop the message after this instant.
    pub deadline: Instant,
    /// How the router should treat it.
    pub options: SendOptions,
}

/// Per-message options; the default leaves every choice to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendOptions {
    /// Do not bundle this session's lease set (bit 8 of the SendMessageExpires flags).
    pub omit_lease_set: bool,
    /// Low-tag threshold, for ElGamal peers only (I2CP `crypto.lowTagThreshold`).
    pub tag_threshold: Option<u8>,
    /// Tags to send, for ElGamal peers only (I2CP `crypto.tagsToSend`).
    pub tags_to_send: Option<u8>,
}

/// What a session asks of its router.
#[derive(Debug)]
pub enum Command {
    /// Send a message.
    Send(Outgoing),
    /// The answer to [`Event::LeaseSetWanted`].
    PublishLeaseSet(SignedLeaseSet),
    /// Stop using this tunnel, which seems dead. Ignored by links that do not expose their tunnels.
    Retire(TunnelId),
    /// Ask for this many tunnels from now on.
    Quantity {
        /// Inbound tunnels, 1 to 16.
        inbound: u8,
        /// Outbound tunnels, 1 to 16.
        outbound: u8,
    },
    /// Look a name, a hash or a peer's lease set up; [`Event::LookupDone`] carries `id` back.
    Lookup {
        /// Chosen by the caller, unique among the lookups in flight.
        id: u32,
        /// What to look up.
        target: LookupTarget,
        /// The link answers with [`LinkLookupError::Timeout`] after this.
        timeout: Duration,
    },
    /// Take streams that come from now on, or no longer. At the layer [`Layer::Streams`] only.
    Listen(bool),
    /// Take and send datagrams of this format from now on. At the layer [`Layer::Streams`] only.
    OpenDatagrams(streams::DatagramFormat),
    /// Send a datagram. At the layer [`Layer::Streams`] only.
    SendDatagram(streams::OutgoingDatagram),
}

/// What to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupTarget {
    /// The destination with this hash (a `.b32.i2p` address).
    Hash(Hash),
    /// A host name of the router's address book.
    Name(String),
    /// The current lease set of a destination, fetched anew.
    LeaseSet(Destination),
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupAnswer {
    /// The destination.
    pub destination: Destination,
    /// Its leases, the one that ends first last; empty on links that do not expose their tunnels.
    pub leases: Vec<Lease>,
    /// Options of its lease set (service records); empty where the router does not tell them.
    pub options: Mapping,
}

/// What a router reports to its session.
#[derive(Debug)]
pub enum Event {
    /// The session got further; see [`LinkStage`].
    Stage(LinkStage),
    /// The router has inbound tunnels and wants a lease set signed for them.
    LeaseSetWanted(Vec<Lease>),
    /// A tunnel can be used.
    TunnelUp {
        /// Its name until [`Event::TunnelDown`].
        tunnel: TunnelId,
        /// Which way it goes.
        direction: Direction,
        /// When it ends if nothing else ends it earlier; `None` where the router does not tell.
        expires: Option<Instant>,
        /// The length of the tunnel in hops.
        hops: u8,
        /// The lease of an inbound tunnel, by which peers know it.
        lease: Option<LeaseId>,
    },
    /// A tunnel is gone.
    TunnelDown {
        /// The tunnel.
        tunnel: TunnelId,
        /// Why.
        reason: TunnelDownReason,
    },
    /// The router accepts this many more messages for a tunnel. A link that never sends this has no
    /// limit but [`Link::poll_ready`].
    Credit {
        /// The outbound tunnel.
        tunnel: TunnelId,
        /// Messages, in addition to what was granted before.
        messages: u32,
    },
    /// A message left through a tunnel.
    Sent {
        /// The token of the message.
        token: u64,
    },
    /// A message will not arrive, and the router knows it.
    Dropped {
        /// The token of the message.
        token: u64,
        /// Why.
        reason: DropReason,
    },
    /// A message from a peer. Who sent it is for the protocol above to prove.
    Received {
        /// What it carries.
        payload: Payload,
        /// The inbound tunnel it came through, or [`TunnelId::ANY`].
        tunnel: TunnelId,
    },
    /// The answer to [`Command::Lookup`].
    LookupDone {
        /// The id of the command.
        id: u32,
        /// What was found.
        result: Result<LookupAnswer, LinkLookupError>,
    },
    /// Somebody opened a stream to this session. At the layer [`Layer::Streams`] only.
    Incoming(streams::RouterStream),
    /// A datagram came. At the layer [`Layer::Streams`] only.
    Datagram(streams::IncomingDatagram),
    /// There will be no datagrams of this format. At the layer [`Layer::Streams`] only.
    NoDatagrams {
        /// The format.
        format: streams::DatagramFormat,
        /// What the router said.
        why: String,
    },
    /// The router does not open the session, and said so only now; nothing follows.
    Refused(LinkError),
    /// The session is over; nothing follows.
    Lost(LostReason),
}

/// How far a session has come. Stages only go up until the session is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkStage {
    /// The router accepted the session and builds its tunnels.
    BuildingTunnels,
    /// There are tunnels; the lease set was handed to the router to publish.
    LeaseSetHandedOver,
    /// Peers can reach this session, as far as the router can tell.
    Ready,
}

/// Why a tunnel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelDownReason {
    /// Its time (ten minutes) was up.
    Expired,
    /// A hop stopped forwarding.
    Failed,
    /// The session retired it.
    Retired,
}

/// Why a message will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Its deadline passed in the router.
    Expired,
    /// The peer's lease set could not be found.
    NoLeaseSet,
    /// The tunnel or lease of its route is gone, or the session has no tunnels.
    NoTunnel,
    /// The router's queue was full.
    Overflow,
    /// No encryption type in common with the peer's lease set.
    UnsupportedEncryption,
    /// The router refused it for a reason of its own.
    Refused,
}

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing answers at the router's address.
    #[error("cannot reach the router at {at}")]
    Unreachable {
        /// Where the router should be.
        at: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What answers there does not speak the router's protocol.
    #[error("{at} does not speak the protocol of its address: {why}")]
    NotARouter {
        /// Where.
        at: String,
        /// What it did instead.
        why: String,
    },
    /// User name or password are missing or wrong.
    #[error("the router refused the login: {0}")]
    Denied(String),
    /// The destination has a session on this router already.
    #[error("the destination has a session on this router already")]
    Duplicate,
    /// The router understood and said no.
    #[error("the router refused the session: {0}")]
    Refused(String),
    /// The router cannot do it.
    #[error("the router cannot open the session: {0}")]
    Unsupported(&'static str),
    /// An option has a value that cannot work.
    #[error("session option {key}: {why}")]
    BadOption {
        /// The option.
        key: String,
        /// What is wrong with its value.
        why: String,
    },
    /// The router did not answer in time.
    #[error("the router did not accept the session within {0:?}")]
    Timeout(Duration),
    /// The router in this process has stopped.
    #[error("the router has stopped")]
    Stopped,
}

/// Why a look-up found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LinkLookupError {
    /// No such name in the router's address book.
    #[error("the name is not in the router's address book")]
    NameNotFound,
    /// The network has no lease set for it: it is offline or does not exist.
    #[error("no lease set was found: the destination is offline or does not exist")]
    LeaseSetNotFound,
    /// The lease set is encrypted and needs a password or a key.
    #[error("the lease set is encrypted and needs a password or a key")]
    Locked,
    /// The router cannot look this kind of thing up.
    #[error("the router cannot look this up")]
    Unsupported,
    /// No answer in time.
    #[error("the router did not answer in time")]
    Timeout,
    /// The session ended first.
    #[error("the session ended")]
    SessionLost,
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The connection to the router broke.
    #[error("the connection to the router broke: {0}")]
    Connection(String),
    /// The router ended the session.
    #[error("the router ended the session: {0}")]
    Closed(String),
    /// The router sent something that is not its protocol.
    #[error("the router broke the protocol: {0}")]
    Protocol(String),
    /// The router in this process was stopped.
    #[error("the router was stopped")]
    Stopped,
}
