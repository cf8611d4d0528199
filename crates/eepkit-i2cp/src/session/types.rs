//! The inputs and outputs of a session machine.

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

/// The configuration of a session machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// The destination of the primary session and its keys.
    pub keys: Arc<PrivateKeys>,
    /// Options of the primary session. `i2cp.username` and `i2cp.password` are the login.
    pub options: Options,
    /// The router's program, if the caller knows it. If `None`, the machine tries to detect it.
    pub router: Option<RouterKind>,
    /// The time within which the router has to accept the session, counted from the creation of the
    /// machine. Values above one day have the effect of one day.
    pub open_timeout: Duration,
}

/// An input of a session machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The router sent bytes, which the driver appended to this buffer. The machine removes
    /// complete frames from its start. It leaves an incomplete frame, so the driver must keep the
    /// buffer.
    Receive(&'a mut BytesMut),
    /// The router closed the connection, or the connection broke.
    Eof,
    /// The driver is not reading, because its application accepts no events. The router does not
    /// count as silent meanwhile. Pass it with every [`Input::Timeout`] of such a time, before it.
    NotReading,
    /// The clock of the system was set, or the system was suspended. The machine reads the router's
    /// clock again.
    ClockChanged,
    /// The time of [`Output::Timeout`] was reached. A call at any other time is allowed.
    Timeout,
    /// A command of the application.
    Command(Command),
}

/// An output of a session machine.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Output {
    /// An event for the application.
    Event(Event),
    /// There is no other output. Pass [`Input::Timeout`] at this time, if there is one and no other
    /// input comes before it.
    Timeout(Option<Instant>),
}

/// Identifies a session on the connection. The application chooses the handles of subsessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

impl Handle {
    /// The session that the connection was opened for.
    pub const PRIMARY: Self = Self(0);
}

/// A command of the application to a session machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Sends a message.
    Send(Outgoing),
    /// Sends the lease set that [`Event::LeaseSetWanted`] requested. i2pd requires it within 10
    /// seconds.
    PublishLeaseSet {
        /// The session.
        session: Handle,
        /// The lease set and the private keys of its encryption keys.
        lease_set: SignedLeaseSet,
    },
    /// Changes options of a session. Routers apply at most the tunnel options.
    /// [`Event::Reconfigured`] is the answer.
    Reconfigure {
        /// The session.
        session: Handle,
        /// The options that change.
        options: Options,
    },
    /// Looks up a target. [`Event::LookupDone`] with the same `id` is the answer.
    Lookup {
        /// An id that the application chooses.
        id: u32,
        /// The target.
        target: LookupTarget,
        /// The time after which the look-up fails, at most one day.
        timeout: Duration,
    },
    /// Requests that the router discards what it holds about a peer that does not answer: the
    /// encryption session and the lease set. Has an effect on embedded routers only, because I2CP
    /// has no message for it. There is no answer.
    Renew {
        /// The session whose peer it is.
        session: Handle,
        /// The hash of the peer's destination.
        peer: Hash,
        /// How long the peer has not answered. Zero if it does not seem to receive answers.
        silence: Duration,
    },
    /// Requests the router's limits. [`Event::BandwidthLimits`] is the answer.
    GetBandwidthLimits,
    /// Sends the parameters of a blinded destination to the router. Has no effect with routers
    /// before 0.9.43.
    Blinding {
        /// The blinded destination.
        endpoint: Endpoint,
        /// The time after which the router may discard the parameters, in seconds since 1970.
        expires: u32,
        /// The key with which this client can read the lease set, if it needs one.
        client: Option<ClientAuthentication>,
        /// The password of the address.
        password: Option<Text>,
    },
    /// Opens a subsession, which shares tunnels and encryption keys with the primary session.
    ///
    /// Only one subsession can be in the process of being opened. [`Event::Opened`] or
    /// [`Event::SubsessionClosed`] is the answer.
    OpenSubsession {
        /// The handle for the subsession; no other session may have it.
        session: Handle,
        /// The destination of the subsession and its keys.
        keys: Arc<PrivateKeys>,
        /// The options of the subsession.
        options: Options,
    },
    /// Ends a session. Ending the primary session ends the connection, which the driver then has to
    /// close.
    Close(Handle),
}

/// A message to a peer.
#[derive(Clone)]
pub struct Outgoing {
    /// The session that sends the message.
    pub session: Handle,
    /// The destination of the peer.
    pub to: Destination,
    /// The protocol number and the ports.
    pub header: gzip::Header,
    /// The payload. Encoding adds the gzip framing.
    pub body: Bytes,
    /// Whether the payload is compressed, if that makes it shorter.
    pub compress: bool,
    /// The nonce in [`Event::MessageStatus`]. No status is reported if it is 0.
    pub nonce: u32,
    /// Whether to request the delivery status from the router. If false, a status is reported only
    /// if the message could not be sent to the router.
    pub report: bool,
    /// Flags for the router.
    pub flags: SendFlags,
    /// The time after which the router may drop the message.
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

/// The target of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupTarget {
    /// The destination with this hash.
    Hash(Hash),
    /// A host name in the router's address book, or a `.b32.i2p` name. Case does not matter.
    Name(String),
    /// The lease set of a destination.
    LeaseSet(Destination),
}

/// The result of a successful look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The destination.
    pub destination: Destination,
    /// The options of its lease set; empty if the router does not report them.
    pub options: Mapping,
}

/// The reason why a look-up failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LookupFailure {
    /// The name is not in the router's address book, or its destination is offline. Routers do not
    /// report which.
    #[error("the name is not in the router's address book, or its destination is offline")]
    NameNotFound,
    /// No lease set was found.
    #[error("no lease set was found")]
    LeaseSetNotFound,
    /// The lease set needs a password or a key.
    #[error("the lease set is encrypted and needs a password or a key")]
    Locked,
    /// The router does not support look-ups of this kind.
    #[error("the router cannot look this up")]
    Unsupported,
    /// Too many look-ups are waiting for an answer.
    #[error("too many look-ups are waiting for an answer")]
    Busy,
    /// The router did not answer within the timeout.
    #[error("the router did not answer in time")]
    Timeout,
    /// The session ended before the answer arrived.
    #[error("the session ended")]
    Closed,
}

/// An event that a session machine reports to its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The version and the program of the router were determined.
    Connected {
        /// The router's API version.
        version: ApiVersion,
        /// The router's program.
        router: RouterKind,
    },
    /// The router accepted a session and builds its tunnels.
    Opened(Handle),
    /// The router has tunnels and requests a lease set for them.
    LeaseSetWanted {
        /// The session.
        session: Handle,
        /// The inbound tunnels. At least one of them has not ended.
        leases: Vec<Lease>,
        /// The time since 1970 on the router's clock, which is the clock of the leases.
        router_time: Duration,
    },
    /// Peers cannot reach a session for now. [`Event::LeaseSetSent`] reports that they can again.
    Unreachable {
        /// The session.
        session: Handle,
        /// The reason.
        reason: UnreachableReason,
    },
    /// The lease set was sent to the router. From now on messages can be sent.
    LeaseSetSent(Handle),
    /// A message from a peer.
    Received {
        /// The session that received the message.
        session: Handle,
        /// The payload, with gzip framing.
        payload: Bytes,
    },
    /// The delivery status of a message; see [`Outgoing::report`].
    MessageStatus {
        /// The session that sent the message.
        session: Handle,
        /// The nonce of the message.
        nonce: u32,
        /// The status.
        status: DeliveryStatus,
    },
    /// The answer to [`Command::Lookup`].
    LookupDone {
        /// The id of the command.
        id: u32,
        /// The result.
        result: Result<Found, LookupFailure>,
    },
    /// The answer to [`Command::Reconfigure`].
    Reconfigured {
        /// The session.
        session: Handle,
        /// Whether the router accepted the options.
        accepted: bool,
    },
    /// The answer to [`Command::GetBandwidthLimits`].
    BandwidthLimits(BandwidthLimits),
    /// The router reported its clock: the time since 1970 when the input was received.
    RouterClock(Duration),
    /// A subsession was refused or has ended.
    SubsessionClosed {
        /// The session.
        session: Handle,
        /// The reason.
        reason: SessionCloseReason,
    },
    /// The connection has ended. No event follows. The driver sends the remaining output, and then
    /// closes the connection.
    Closed(SessionCloseReason),
}

/// The reason why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionCloseReason {
    /// The other side of the connection is not an I2CP router.
    #[error("not an I2CP router: {0}")]
    NotI2cp(String),
    /// The router sent a message that violates the protocol.
    #[error("the router broke the protocol: {0}")]
    Protocol(String),
    /// The user name or the password is missing or wrong.
    #[error("the router refused the login: {0}")]
    LoginRefused(String),
    /// The destination already has a session on this router.
    #[error("the destination has a session on this router already")]
    Duplicate,
    /// The router refused to open the session.
    #[error("the router refused the session: {0}")]
    Refused(String),
    /// The router is not known to support the request, which was therefore not sent.
    #[error("not supported by the router: {0}")]
    Unsupported(&'static str),
    /// An option cannot have the value with this router.
    #[error("session option {key}: {why}")]
    BadOption {
        /// The option.
        key: String,
        /// The reason why the value is not allowed.
        why: String,
    },
    /// The router ended the connection, with this text.
    #[error("the router closed the connection: {0}")]
    Disconnected(String),
    /// The router ended the session.
    #[error("the router ended the session")]
    Destroyed,
    /// The connection broke.
    #[error("the connection to the router ended")]
    Eof,
    /// The router exceeded the time limit stated in the text.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The router sent nothing for this time, not even an answer to a request.
    #[error("the router has not answered for {0:?}")]
    Silent(Duration),
    /// Peers could not reach the session, and the router did not change that in time.
    #[error("peers could not reach the session: {0}")]
    Unreachable(UnreachableReason),
    /// The application ended the session.
    #[error("the session was closed")]
    Local,
}

/// The reason why peers cannot reach a session whose router is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UnreachableReason {
    /// The last lease set expired, and the router requested no other.
    #[error("the last lease set expired and the router has requested no other")]
    LeaseSetExpired,
    /// All tunnels of the last request had ended when it was received. The router's clock was set,
    /// or this process was stopped for longer than the tunnels lasted.
    #[error(
        "the router requested a lease set for tunnels that ended {ago_s} s before, by its own clock"
    )]
    TunnelsEnded {
        /// The time since the last tunnel ended, in seconds.
        ago_s: u64,
    },
}
