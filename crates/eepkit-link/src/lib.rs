//! The contract between a session and a router of any implementation.
//!
//! A [`Connector`] represents a router on which sessions can be opened. A [`Link`] is one session
//! on it.
//!
//! * A link that exposes its tunnels (today the simulated network) reports [`Event::TunnelUp`],
//!   [`Event::TunnelDown`] and [`Event::Credit`], and sends over the path of
//!   [`PathChoice::Pinned`].
//! * A link that does not expose its tunnels (I2CP) reports no tunnels and grants no credits. Its
//!   messages arrive through [`TunnelId::ANY`], and it treats every choice as [`PathChoice::Auto`].
//! * A link to a router that implements streams and datagrams itself (SAM) has another [`Layer`]:
//!   it carries the streams and datagrams of the module [`streams`], and no messages.
//!
//! Code above this crate does not depend on which router it uses.

pub mod changes;
pub mod clock;
pub mod first_contact;
mod log_limit;
mod router_stage;
pub mod status;
pub mod streams;

pub use eepkit_wire::LeaseId;
pub use log_limit::LogLimit;

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

/// A router on which sessions can be opened.
///
/// The library holds one connector in an [`Arc`]. It uses it to open every session of an
/// application, and to replace sessions that were lost.
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Opens a session for the destination of `setup`.
    ///
    /// The future is ready when the router has accepted the session. Tunnels and lease set follow
    /// as events. After `setup.timeout`, the future returns [`LinkError::Timeout`]. Dropping the
    /// future cancels the attempt and releases everything that it holds.
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>>;

    /// A short name for logs and progress lines, such as `i2cp://127.0.0.1:7654`.
    fn name(&self) -> String;

    /// The layer of the links of this router. All links have the same.
    fn layer(&self) -> Layer {
        Layer::Messages
    }

    /// Whether links of this router report their tunnels ([`Event::TunnelUp`]). The session can
    /// then select the path of each packet.
    fn exposes_tunnels(&self) -> bool {
        false
    }

    /// A handle that follows the status of the router, or `None` if the router does not run in this
    /// process.
    fn router_watch(&self) -> Option<RouterWatch> {
        None
    }

    /// Stops the router if this connector owns it. Otherwise has no effect.
    fn stop_router(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    /// Checks whether the router answers, within at most `limit`, by a request of its protocol that
    /// opens no session. Returns `None` if the protocol has no such request.
    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<RouterIdentity, LinkError>>> {
        let _ = limit;
        None
    }
}

/// The protocol layer at which a link works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The link carries messages. The session implements streams and datagrams.
    Messages,
    /// The link carries streams and datagrams, which the router implements; see [`streams`].
    Streams,
}

/// What a router reports about itself when a program connects to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterIdentity {
    /// The program, such as `i2pd`, as far as it was recognised.
    pub program: Option<String>,
    /// The version of the protocol that the router reported, such as `0.9.66` for I2CP.
    pub version: Option<String>,
    /// By how many milliseconds the router's clock is ahead of ours; `None` if the protocol does
    /// not report it.
    pub clock_ahead_ms: Option<i64>,
}

impl fmt::Display for RouterIdentity {
    /// Writes the program and the version, or `a router`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program.as_deref().unwrap_or("a router"))?;
        match &self.version {
            Some(version) => write!(f, ", version {version}"),
            None => Ok(()),
        }
    }
}

/// Receives the progress of [`Connector::open`] before the link exists. The default ignores it.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(RouterIdentity) + Send + Sync>>);

impl Progress {
    /// Calls `connected` when the router has answered, before it accepts the session.
    pub fn new(connected: impl Fn(RouterIdentity) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(connected)))
    }

    /// Reports that the router has answered.
    pub fn connected(&self, router: RouterIdentity) {
        if let Some(report) = &self.0 {
            report(router);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

/// The type of futures that [`Connector`] returns.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The parameters of a new session.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The destination and its keys. An I2CP adapter signs with them in this process, and the
    /// router does not get the signing key. A SAM adapter sends all keys to the router.
    pub keys: Arc<PrivateKeys>,
    /// Session options under their I2CP names (`inbound.length`, `i2cp.leaseSetEncType`, ...).
    pub options: Options,
    /// The time within which the router has to accept the session.
    pub timeout: Duration,
    /// Receives the progress of the opening.
    pub progress: Progress,
}

/// One session on a router.
///
/// One task drives a link: it polls [`Link::poll_event`] until pending, submits commands while
/// [`Link::poll_ready`] is ready, and drops the link to end the session. After [`Event::Lost`] the
/// link returns no further event and ignores commands.
pub trait Link: fmt::Debug + Send + 'static {
    /// Whether the link accepts another command now. Pending means backpressure from the router.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Submits one command to the router. Call this only after [`Link::poll_ready`] was ready.
    fn submit(&mut self, command: Command);

    /// The next event of the router.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;

    /// A connector that opens subsessions: sessions of other destinations over the tunnels of this
    /// session. Subsessions end with this session. `None` if the link does not support subsessions.
    ///
    /// A subsession has to use the encryption keys of its session.
    fn subsessions(&self) -> Option<Arc<dyn Connector>> {
        None
    }

    /// Whether a session that is restored on this router should have new encryption keys.
    ///
    /// With new keys, i2pd and Java I2P at the peers begin a new encryption session as soon as they
    /// have the new lease set. emissary at a peer learns new keys only from the network database,
    /// and not from the message in which the restored session sends its lease set.
    fn wants_new_keys(&self) -> bool {
        true
    }

    /// Opens streams that the router implements; `None` unless the layer is [`Layer::Streams`].
    fn streams(&self) -> Option<Arc<dyn streams::Opener>> {
        None
    }
}

/// Identifies a tunnel of this session on a link that exposes its tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u64);

impl TunnelId {
    /// Any tunnel, on a link that does not expose its tunnels.
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
    /// The router selects the path.
    Auto,
    /// The path of this outbound tunnel and this lease of the peer. If one of the two no longer
    /// exists, the message is dropped with [`DropReason::NoTunnel`].
    Pinned {
        /// An outbound tunnel of this session.
        outbound: TunnelId,
        /// A lease of the peer, from [`LookupAnswer::leases`].
        lease: LeaseId,
    },
}

/// Application data with protocol number and ports, without the framing of the router's protocol.
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
    /// The token in [`Event::Sent`] or [`Event::Dropped`], if the link reports the delivery status
    /// of messages.
    pub token: u64,
    /// The destination of the peer.
    pub to: Destination,
    /// The path of the message.
    pub path: PathChoice,
    /// The payload.
    pub payload: Payload,
    /// Whether to compress `payload.body` if that makes it shorter. False for data that does not
    /// compress, such as encrypted data.
    pub compress: bool,
    /// The time after which the router may drop the message.
    pub deadline: Instant,
    /// Options of the message.
    pub options: SendOptions,
}

/// Options of a message. With the default, the router uses the settings of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendOptions {
    /// Whether the router must not bundle this session's lease set (bit 8 of the SendMessageExpires
    /// flags).
    pub omit_lease_set: bool,
    /// Low-tag threshold, for ElGamal peers only (I2CP `crypto.lowTagThreshold`).
    pub tag_threshold: Option<u8>,
    /// Number of tags to send, for ElGamal peers only (I2CP `crypto.tagsToSend`).
    pub tags_to_send: Option<u8>,
}

/// A command of a session to its router.
#[derive(Debug)]
pub enum Command {
    /// Sends a message.
    Send(Outgoing),
    /// Publishes a lease set. This is the answer to [`Event::LeaseSetWanted`].
    PublishLeaseSet(SignedLeaseSet),
    /// Stops using this tunnel, because it has probably failed. Ignored by links that do not expose
    /// their tunnels.
    Retire(TunnelId),
    /// Changes the number of tunnels.
    Quantity {
        /// Number of inbound tunnels, 1 to 16.
        inbound: u8,
        /// Number of outbound tunnels, 1 to 16.
        outbound: u8,
    },
    /// Looks up a name, a hash or a peer's lease set. [`Event::LookupDone`] with the same `id` is
    /// the answer.
    Lookup {
        /// An id that the caller chooses. It must be unique among the look-ups in progress.
        id: u32,
        /// The target of the look-up.
        target: LookupTarget,
        /// The time after which the look-up fails with [`LinkLookupError::Timeout`].
        timeout: Duration,
    },
    /// Discards what the router holds about a peer that does not answer: its lease set, and the
    /// encryption session with it. The peer's router may have restarted and lost the keys of that
    /// session. Messages that are on their way under them are lost.
    ///
    /// The router decides whether the evidence suffices. A link to a router that offers no such
    /// operation answers with [`Event::NotRenewed`].
    Renew {
        /// The hash of the peer's destination.
        peer: Hash,
        /// How long the peer has not answered. Zero if the peer does not seem to receive the
        /// answers to its messages, which alone is not sufficient.
        silence: Duration,
    },
    /// Starts or stops accepting incoming streams. Only at the layer [`Layer::Streams`].
    Listen(bool),
    /// Starts sending and receiving datagrams of this format. Only at the layer [`Layer::Streams`].
    OpenDatagrams(streams::DatagramFormat),
    /// Sends a datagram. Only at the layer [`Layer::Streams`].
    SendDatagram(streams::OutgoingDatagram),
}

/// The target of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupTarget {
    /// The destination with this hash (a `.b32.i2p` address).
    Hash(Hash),
    /// A host name in the router's address book.
    Name(String),
    /// The current lease set of a destination, fetched from the network database again.
    LeaseSet(Destination),
}

/// The result of a successful look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupAnswer {
    /// The destination.
    pub destination: Destination,
    /// The leases of the destination, sorted by expiration with the latest first. Empty on links
    /// that do not expose their tunnels.
    pub leases: Vec<Lease>,
    /// The options of its lease set (service records). Empty if the router does not report them.
    pub options: Mapping,
}

/// An event that a router reports to its session.
#[derive(Debug)]
pub enum Event {
    /// The session reached a stage; see [`LinkStage`].
    Stage(LinkStage),
    /// The router offers no operation for [`Command::Renew`].
    NotRenewed {
        /// The hash of the peer's destination, as in the command.
        peer: Hash,
        /// How long the peer has not answered, as in the command.
        silence: Duration,
        /// Whether the router sends through other tunnels if the peer does not confirm a lease set
        /// that is published now.
        reroutes: bool,
    },
    /// The router has inbound tunnels and requests a signed lease set for them.
    LeaseSetWanted {
        /// The tunnels.
        leases: Vec<Lease>,
        /// The time since 1970 on the router's clock, which is the clock of the leases.
        router_time: Duration,
    },
    /// Peers cannot reach the session for now, for this reason. The session continues, and a later
    /// [`LinkStage::Ready`] reports that peers can reach it again.
    Unreachable(String),
    /// A tunnel can be used.
    TunnelUp {
        /// The id of the tunnel, valid until [`Event::TunnelDown`].
        tunnel: TunnelId,
        /// The direction of the tunnel.
        direction: Direction,
        /// The time at which the tunnel expires; `None` if the router does not report it. The
        /// tunnel may fail earlier.
        expires: Option<Instant>,
        /// The number of hops.
        hops: u8,
        /// The lease of an inbound tunnel, through which peers reach it.
        lease: Option<LeaseId>,
    },
    /// A tunnel can no longer be used.
    TunnelDown {
        /// The tunnel.
        tunnel: TunnelId,
        /// The reason.
        reason: TunnelDownReason,
    },
    /// The router accepts more messages for a tunnel. If a link never reports this,
    /// [`Link::poll_ready`] is the only limit.
    Credit {
        /// The outbound tunnel.
        tunnel: TunnelId,
        /// The number of messages, in addition to those granted before.
        messages: u32,
    },
    /// A message was sent through a tunnel.
    Sent {
        /// The token of the message.
        token: u64,
    },
    /// The router reports that it dropped a message.
    Dropped {
        /// The token of the message.
        token: u64,
        /// The reason.
        reason: DropReason,
    },
    /// A message from a peer. The message does not identify its sender; the protocol of the payload
    /// does.
    Received {
        /// The payload.
        payload: Payload,
        /// The inbound tunnel through which the message arrived, or [`TunnelId::ANY`].
        tunnel: TunnelId,
    },
    /// The answer to [`Command::Lookup`].
    LookupDone {
        /// The id of the command.
        id: u32,
        /// The result.
        result: Result<LookupAnswer, LinkLookupError>,
    },
    /// A peer opened a stream to this session. Only at the layer [`Layer::Streams`].
    Incoming(streams::RouterStream),
    /// A datagram was received. Only at the layer [`Layer::Streams`].
    Datagram(streams::IncomingDatagram),
    /// Datagrams of this format cannot be sent or received. Only at the layer [`Layer::Streams`].
    NoDatagrams {
        /// The format.
        format: streams::DatagramFormat,
        /// The router's error message.
        why: String,
    },
    /// The router refused the session after [`Connector::open`] had returned the link. No event
    /// follows.
    Refused(LinkError),
    /// The session ended. No event follows.
    Lost(LostReason),
}

/// The progress of a session. A stage never decreases until the session is lost or
/// [`Event::Unreachable`] is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkStage {
    /// The router accepted the session and builds its tunnels.
    BuildingTunnels,
    /// The session has tunnels, and its lease set was sent to the router.
    LeaseSetSent,
    /// Peers can reach this session, as far as the router reports.
    Ready,
}

/// The reason why a tunnel can no longer be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelDownReason {
    /// The tunnel expired. Tunnels have a lifetime of ten minutes.
    Expired,
    /// A hop stopped forwarding.
    Failed,
    /// The session retired the tunnel with [`Command::Retire`].
    Retired,
}

/// The reason why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The deadline of the message passed in the router.
    Expired,
    /// The peer's lease set was not found.
    NoLeaseSet,
    /// The tunnel or lease of the path no longer exists, or the session has no tunnels.
    NoTunnel,
    /// The router's queue was full.
    Overflow,
    /// The peer's lease set has no encryption type that this session supports.
    UnsupportedEncryption,
    /// The router refused the message for another reason.
    Refused,
}

/// The reason why a session could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A connection to the router's address failed.
    #[error("cannot reach the router at {at}")]
    Unreachable {
        /// The address of the router.
        at: String,
        /// The error that the system reported.
        #[source]
        source: std::io::Error,
    },
    /// The program at the router's address does not use the protocol of that address.
    #[error("{at} does not use the protocol of its address: {why}")]
    NotARouter {
        /// The address.
        at: String,
        /// The unexpected behaviour.
        why: String,
    },
    /// The user name or the password is missing or wrong.
    #[error("the router refused the login: {0}")]
    Denied(String),
    /// The destination already has a session on this router.
    #[error("the destination has a session on this router already")]
    Duplicate,
    /// The router refused the session.
    #[error("the router refused the session: {0}")]
    Refused(String),
    /// The router does not support the session.
    #[error("the router cannot open the session: {0}")]
    Unsupported(&'static str),
    /// An option has a value that is not allowed.
    #[error("session option {key}: {why}")]
    BadOption {
        /// The option.
        key: String,
        /// The reason why the value is not allowed.
        why: String,
    },
    /// The router did not accept the session within the timeout.
    #[error("the router did not accept the session within {0:?}")]
    Timeout(Duration),
    /// The router in this process has stopped.
    #[error("the router has stopped")]
    Stopped,
}

/// The reason why a look-up failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LinkLookupError {
    /// The name is not in the router's address book.
    #[error("the name is not in the router's address book")]
    NameNotFound,
    /// The network has no lease set of the destination, which is offline or does not exist.
    #[error("no lease set was found: the destination is offline or does not exist")]
    LeaseSetNotFound,
    /// The lease set is encrypted and needs a password or a key.
    #[error("the lease set is encrypted and needs a password or a key")]
    Locked,
    /// The router does not support look-ups of this kind.
    #[error("the router cannot look this up")]
    Unsupported,
    /// The router did not answer within the timeout.
    #[error("the router did not answer in time")]
    Timeout,
    /// The session ended before the answer arrived.
    #[error("the session ended")]
    SessionLost,
}

/// The reason why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The connection to the router broke.
    #[error("the connection to the router broke: {0}")]
    Connection(String),
    /// The router ended the session.
    #[error("the router ended the session: {0}")]
    Closed(String),
    /// The router sent data that violates the protocol.
    #[error("the router broke the protocol: {0}")]
    Protocol(String),
    /// Peers could not reach the session, and the router did not change that in time.
    #[error("peers could not reach the session: {0}")]
    Unreachable(String),
    /// The session is opened anew, although the connection works. The text has the reason.
    #[error("the session is opened anew, because {0}")]
    Reopened(String),
    /// The router in this process was stopped.
    #[error("the router was stopped")]
    Stopped,
}
