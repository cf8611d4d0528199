//! What goes into a session machine and what comes out of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use eepkit_wire::{Destination, Hash, Lease, Mapping, PrivateKeys, gzip};

use crate::{
    lease_set::SignedLeaseSet,
    message::{BandwidthLimits, ClientAuthentication, DeliveryStatus, Endpoint, SendFlags, Text},
    options::Options,
    quirks::RouterKind,
    version::ApiVersion,
};

/// What a session machine needs to know at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The destination of the primary session and its keys.
    pub keys: Arc<PrivateKeys>,
    /// Options of the primary session. `i2cp.username` and `i2cp.password` are the login.
    pub options: Options,
    /// Which router it is, where the caller knows; else it is found out.
    pub router: Option<RouterKind>,
    /// How long the router may take to accept the session, counted from the start.
    pub open_timeout: Duration,
}

/// What happens to a session machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The router sent bytes, which the driver appended to this buffer. The machine takes complete
    /// frames from its start and leaves an incomplete one, so the driver must keep the buffer.
    Receive(&'a mut BytesMut),
    /// The connection was closed by the other side or broke.
    Eof,
    /// The time of [`Output::Timeout`] has come, or any time has passed.
    Timeout,
    /// The application wants something.
    Command(Command),
}

/// What a session machine wants.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Output {
    /// Tell the application.
    Event(Event),
    /// Nothing more for now; call with [`Input::Timeout`] at this time if nothing comes earlier.
    Timeout(Option<Instant>),
}

/// Names a session on the connection; chosen by the application for subsessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

impl Handle {
    /// The session that the connection was opened for.
    pub const PRIMARY: Self = Self(0);
}

/// What an application wants from a session machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Send a message.
    Send(Outgoing),
    /// Here is the lease set for [`Event::LeaseSetWanted`]. i2pd wants it within 10 seconds.
    PublishLeaseSet {
        /// Whose it is.
        session: Handle,
        /// The lease set and the private keys of its encryption keys.
        lease_set: SignedLeaseSet,
    },
    /// Change options of a session. Routers heed the tunnel options at most.
    Reconfigure {
        /// The session.
        session: Handle,
        /// The options that change.
        options: Options,
    },
    /// Look something up; [`Event::LookupDone`] carries `id` back.
    Lookup {
        /// Chosen by the application.
        id: u32,
        /// What to look up.
        target: LookupTarget,
        /// When to give up.
        timeout: Duration,
    },
    /// Ask for the router's limits.
    GetBandwidthLimits,
    /// Tell the router how to reach a blinded destination. Ignored by routers before 0.9.43.
    Blinding {
        /// Which destination.
        endpoint: Endpoint,
        /// When the router may forget this, seconds since 1970.
        expires: u32,
        /// Proof of being one of the clients that can read the lease set.
        client: Option<ClientAuthentication>,
        /// The password of the address.
        password: Option<Text>,
    },
    /// Open a subsession, which shares tunnels and encryption keys with the primary session.
    /// One at a time; [`Event::Opened`] or [`Event::SubsessionClosed`] answers.
    OpenSubsession {
        /// The name for it, not that of another session.
        session: Handle,
        /// Its destination and keys.
        keys: Arc<PrivateKeys>,
        /// Its options.
        options: Options,
    },
    /// End a session. Ending the primary session ends the connection; close it then.
    Close(Handle),
}

/// A message to a peer.
#[derive(Clone)]
pub struct Outgoing {
    /// The session it comes from.
    pub session: Handle,
    /// Who it is for.
    pub to: Destination,
    /// The protocol number and the ports.
    pub header: gzip::Header,
    /// The payload, which is framed while it is encoded.
    pub body: Bytes,
    /// Whether the payload is compressed, if that makes it shorter.
    pub compress: bool,
    /// Returned in [`Event::MessageStatus`], if it is not 0.
    pub nonce: u32,
    /// Whether the router is asked what became of it. If not, only a message that could not be
    /// handed to the router is reported.
    pub report: bool,
    /// How the router should treat it.
    pub flags: SendFlags,
    /// The router may drop it after this.
    pub deadline: Instant,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("session", &self.session)
            .field("to", &self.to)
            .field("body_len", &self.body.len())
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

/// What to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupTarget {
    /// The destination with this hash.
    Hash(Hash),
    /// A host name of the router's address book, or a `.b32.i2p` name.
    Name(String),
    /// The lease set of a destination.
    LeaseSet(Destination),
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The destination.
    pub destination: Destination,
    /// Options of its lease set; empty where the router does not tell them.
    pub options: Mapping,
}

/// Why a look-up found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LookupFailure {
    /// The router's address book does not have the name, or its destination is offline: routers
    /// do not tell which.
    #[error("the name is not in the router's address book, or its destination is offline")]
    NameNotFound,
    /// No lease set is found.
    #[error("no lease set was found")]
    LeaseSetNotFound,
    /// The lease set needs a password or a key.
    #[error("the lease set is encrypted and needs a password or a key")]
    Locked,
    /// The router cannot look this kind of thing up.
    #[error("the router cannot look this up")]
    Unsupported,
    /// Too many look-ups wait already.
    #[error("too many look-ups wait already")]
    Busy,
    /// No answer in time.
    #[error("the router did not answer in time")]
    Timeout,
    /// The session ended first.
    #[error("the session ended")]
    Closed,
}

/// What a session machine tells its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The router has introduced itself.
    Connected {
        /// Its API version.
        version: ApiVersion,
        /// Which program it is, as far as it matters.
        router: RouterKind,
    },
    /// The router accepted a session and builds its tunnels.
    Opened(Handle),
    /// The router has tunnels and wants a lease set for them.
    LeaseSetWanted {
        /// The session.
        session: Handle,
        /// The inbound tunnels.
        leases: Vec<Lease>,
    },
    /// The lease set was handed to the router; from now on messages can be sent.
    LeaseSetSent(Handle),
    /// A message from a peer.
    Received {
        /// The session it is for.
        session: Handle,
        /// What it carries, in gzip framing.
        payload: Bytes,
    },
    /// What became of a message; see [`Outgoing::report`].
    MessageStatus {
        /// The session it came from.
        session: Handle,
        /// Its nonce.
        nonce: u32,
        /// What became of it.
        status: DeliveryStatus,
    },
    /// The answer to [`Command::Lookup`].
    LookupDone {
        /// The id of the command.
        id: u32,
        /// What was found.
        result: Result<Found, LookupFailure>,
    },
    /// The answer to [`Command::Reconfigure`].
    Reconfigured {
        /// The session.
        session: Handle,
        /// Whether the router took the options.
        accepted: bool,
    },
    /// The answer to [`Command::GetBandwidthLimits`].
    BandwidthLimits(BandwidthLimits),
    /// The router's clock is ahead of ours by this many milliseconds.
    ClockOffset(i64),
    /// A subsession was refused or has ended.
    SubsessionClosed {
        /// The session.
        session: Handle,
        /// Why.
        reason: CloseReason,
    },
    /// The connection is over; nothing follows but bytes to send. Close it once they are sent.
    Closed(CloseReason),
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// What answers is no I2CP router.
    #[error("it does not speak I2CP: {0}")]
    NotI2cp(String),
    /// The router broke the protocol.
    #[error("the router broke the protocol: {0}")]
    Protocol(String),
    /// User name or password are missing or wrong.
    #[error("the router refused the login: {0}")]
    LoginRefused(String),
    /// The destination has a session on this router already.
    #[error("the destination has a session on this router already")]
    Duplicate,
    /// The router does not open the session.
    #[error("the router refused the session: {0}")]
    Refused(String),
    /// The router cannot do it, as far as is known; it was not asked.
    #[error("the router cannot do it: {0}")]
    Unsupported(&'static str),
    /// An option cannot have the value with this router.
    #[error("session option {key}: {why}")]
    BadOption {
        /// The option.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The router ended the connection, with these words.
    #[error("the router closed the connection: {0}")]
    Disconnected(String),
    /// The router ended the session.
    #[error("the router ended the session")]
    Destroyed,
    /// The connection broke.
    #[error("the connection to the router ended")]
    Eof,
    /// The router did not do this in time.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The application ended it.
    #[error("the session was closed")]
    Local,
}
