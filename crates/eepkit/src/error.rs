//! Errors: one enum for each operation, and one coarse [`ErrorKind`] for all of them.
//!
//! A function returns the error enum of its operation, so that a program can match the possible
//! causes. Programs that only forward errors collect them in [`Error`]. Bridges, proxies and
//! bindings map [`ErrorKind`] to their own codes, and ignore all other details.

mod kind;

use std::{fmt, io, sync::Arc, time::Duration};

use eepkit_link::{self as link, RouterNotReady, RouterStage};
use eepkit_streaming::CloseReason;
use eepkit_wire::SignatureType;

use crate::stage::SessionStage;

mod datagram;

pub use datagram::{BindError, ReceiveError, SendError};

pub use kind::ErrorKind;

/// Any error of this library.
///
/// Every error of an operation converts into it with `?`. The message does not contain that of the
/// cause, which [`source`](std::error::Error::source) returns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be parsed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Waiting for incoming streams ended.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// A router address could not be parsed.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A datagram socket could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A stream could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A port could not be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A name or destination could not be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A router did not become ready.
    #[error(transparent)]
    NotReady(#[from] RouterNotReady),
    /// A session could not be opened, or did not become ready.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A peer could not be pinged.
    #[error(transparent)]
    Ping(#[from] PingError),
    /// Waiting for datagrams ended.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// A datagram was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A router in this process did not start.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Start(#[from] eepkit_router::StartError),
    /// An open stream failed.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The number of tunnels was not changed.
    #[error(transparent)]
    TunnelQuantity(#[from] TunnelQuantityError),
    /// Reading or writing failed. If the error contains a [`StreamError`], it has the kind of that.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Accept(error) => error.kind(),
            Self::Attach(error) => error.kind(),
            Self::Bind(error) => error.kind(),
            Self::Connect(error) => error.kind(),
            Self::Listen(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::NotReady(error) => match error.status().stage() {
                RouterStage::Failed => ErrorKind::RouterRefused,
                RouterStage::Stopped => ErrorKind::Closed,
                _ => ErrorKind::NoTunnels,
            },
            Self::Open(error) => error.kind(),
            Self::Ping(error) => error.kind(),
            Self::Receive(error) => error.kind(),
            Self::Send(error) => error.kind(),
            #[cfg(feature = "embedded")]
            Self::Start(error) => start_kind(error),
            Self::Stream(error) => error.kind(),
            Self::TunnelQuantity(error) => error.kind(),
            Self::Io(error) => StreamError::of(error).map_or(ErrorKind::Io, StreamError::kind),
        }
    }

    /// What a user can do about it, in one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Address(error) => error.hint(),
            other => other.kind().hint(),
        }
    }
}

#[cfg(feature = "embedded")]
const fn start_kind(error: &eepkit_router::StartError) -> ErrorKind {
    use eepkit_router::StartError;

    match error {
        StartError::Bind { .. } => ErrorKind::AddressInUse,
        StartError::BadOption { .. } => ErrorKind::BadInput,
        StartError::State(_) => ErrorKind::Io,
        StartError::Reseed(_) => ErrorKind::NetworkUnreachable,
        StartError::NotReady(_) => ErrorKind::NoTunnels,
        StartError::Stopped => ErrorKind::Closed,
        _ => ErrorKind::RouterRefused,
    }
}

/// A time limit that passed, and the state of the session at that moment.
///
/// Its text has both: `60s (the session was building tunnels for 60s, waiting for ...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOut {
    after: Duration,
    session: Option<String>,
}

impl TimedOut {
    /// `session` is the account of its status.
    pub(crate) const fn new(after: Duration, session: String) -> Self {
        Self {
            after,
            session: Some(session),
        }
    }

    /// The time limit.
    pub const fn after(&self) -> Duration {
        self.after
    }

    /// The stage of the session, the time since it was reached, and what it waited for, in one
    /// line. `None` if the session had no part in it.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }
}

impl From<Duration> for TimedOut {
    /// A time limit that passed without a session.
    fn from(after: Duration) -> Self {
        Self {
            after,
            session: None,
        }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.after)?;
        match &self.session {
            Some(session) => write!(f, " (the session was {session})"),
            None => Ok(()),
        }
    }
}

/// Why text is not an address on I2P.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text has the form of a base64 destination, and cannot be decoded.
    #[error("this is not a destination in I2P base64: {0}")]
    Destination(String),
    /// The text ends in `.b32.i2p`, and the label before it is not a hash.
    #[error("this is not a .b32.i2p address: {0}")]
    Base32(String),
    /// The address of an encrypted lease set (b33), which requires a different kind of look-up.
    #[error("addresses of encrypted lease sets (b33) are not supported")]
    EncryptedLeaseSet,
    /// The host name does not end in `.i2p`.
    #[error("{0:?} is not a name on I2P")]
    NotI2p(String),
    /// The host name has invalid characters or an invalid length.
    #[error("{name:?} is not a host name: {why}")]
    Name {
        /// The name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The text after the colon is not a port.
    #[error("{0:?} is not a port (0 to 65535)")]
    Port(String),
    /// The address is an empty string.
    #[error("the address is empty")]
    Empty,
}

impl AddressError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::EncryptedLeaseSet => ErrorKind::Unsupported,
            _ => ErrorKind::BadInput,
        }
    }

    /// What a user can do about it, in one sentence.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::EncryptedLeaseSet => Some("ask the peer for its full destination"),
            _ => Some(
                "give a destination in base64, a .b32.i2p address, or a name ending in .i2p, each with :port if wanted",
            ),
        }
    }
}

/// Why a router cannot be attached to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The text is not the address of a router.
    #[error("this is not the address of a router")]
    Address(#[from] eepkit_attach::RouterAddressError),
    /// The value of an environment variable is not the address of a router.
    #[error("the environment variable {name} is not the address of a router")]
    Variable {
        /// The name of the variable.
        name: &'static str,
        /// The rule that the value breaks.
        source: eepkit_attach::RouterAddressError,
    },
}

impl AttachError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        let (Self::Address(source) | Self::Variable { source, .. }) = self;
        match source {
            eepkit_attach::RouterAddressError::Unsupported(_) => ErrorKind::Unsupported,
            _ => ErrorKind::BadInput,
        }
    }
}

/// Why a session could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The router did not accept the session.
    #[error("the router did not open the session")]
    Router(#[source] Arc<link::LinkError>),
    /// The key file cannot be used.
    #[error("cannot use the key file {path}")]
    KeyFile {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The transient key of the destination's offline keys has expired. Nobody accepts its signatures
    /// any more.
    #[error(
        "the transient key of the destination expired {ago:?} ago by {clock}: make new offline keys, \
         or set the clock if it is wrong"
    )]
    TransientKeyExpired {
        /// The time since then.
        ago: Duration,
        /// The clock that was used.
        clock: &'static str,
    },
    /// A session option has an invalid value.
    #[error("session option {key}: {why}")]
    Option {
        /// The option.
        key: String,
        /// What is wrong with its value.
        why: String,
    },
    /// The router does not support one of the options.
    #[error("the router cannot do it: {0}")]
    Unsupported(&'static str),
    /// The router accepted the session and built no tunnels for it in time.
    #[error("the router accepted the session and built no tunnels within {0:?}")]
    NoTunnels(Duration),
    /// The router accepted the session, and peers cannot reach it for now, for this reason.
    #[error("the router accepted the session, and peers cannot reach it: {0}")]
    Unreachable(String),
    /// The session did not become ready in time.
    #[error("the session was not ready after {after:?}: {account}")]
    Timeout {
        /// The time limit that passed.
        after: Duration,
        /// The last stage that the session reached.
        reached: SessionStage,
        /// The stage, the time since it was reached, and what it waited for, in one line
        /// ([`Status::account`](link::status::Status::account)).
        account: String,
    },
    /// The link to the router broke before the session was ready.
    #[error("the session was lost before it was ready")]
    Lost(#[source] link::LostReason),
    /// The router or the session was closed during the operation.
    #[error("the session was closed")]
    Closed,
}

impl OpenError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Router(error) => match **error {
                link::LinkError::Unreachable { .. } | link::LinkError::Stopped => {
                    ErrorKind::RouterUnreachable
                }
                link::LinkError::NotARouter { .. } => ErrorKind::Protocol,
                link::LinkError::Denied(_) => ErrorKind::Denied,
                link::LinkError::Duplicate => ErrorKind::AddressInUse,
                link::LinkError::BadOption { .. } => ErrorKind::BadInput,
                link::LinkError::Timeout(_) => ErrorKind::Timeout,
                link::LinkError::Unsupported(_) => ErrorKind::Unsupported,
                _ => ErrorKind::RouterRefused,
            },
            Self::KeyFile { .. } => ErrorKind::Io,
            Self::TransientKeyExpired { .. } | Self::Option { .. } => ErrorKind::BadInput,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::NoTunnels(_) => ErrorKind::NoTunnels,
            Self::Unreachable(_) => ErrorKind::NoTunnels,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Lost(_) => ErrorKind::SessionLost,
            Self::Closed => ErrorKind::Closed,
        }
    }

    /// What a user can do about it, in one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        self.kind().hint()
    }
}

impl From<link::LinkError> for OpenError {
    fn from(error: link::LinkError) -> Self {
        Self::Router(Arc::new(error))
    }
}

/// Why a stream could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address could not be parsed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The address could not be looked up.
    #[error("cannot find the destination")]
    Lookup(#[source] LookupError),
    /// The network has no lease set for the destination.
    #[error("the destination is offline or does not exist: the network has no lease set for it")]
    LeaseSetNotFound,
    /// The session and the peer's lease set have no encryption type in common.
    #[error("no encryption type in common with the destination")]
    IncompatibleEncryption,
    /// The session has no tunnels.
    #[error("the session had no tunnels for {0}")]
    NoTunnels(TimedOut),
    /// The session has no link to its router, and the link was not restored in time.
    #[error("the session is not connected to its router")]
    Offline(#[source] OpenError),
    /// The peer refused: it has no listener on the port, or it rejects this destination.
    #[error(
        "the destination refused the stream: it does not listen on port {port}, or rejects the caller"
    )]
    Refused {
        /// The requested port.
        port: u16,
    },
    /// The peer did not answer any retransmission.
    #[error("the destination does not answer")]
    PeerUnreachable,
    /// The peer did not answer in time.
    #[error("the destination did not answer within {0}")]
    Timeout(TimedOut),
    /// The session lost its router during the operation.
    #[error("the session was lost while connecting")]
    SessionLost(#[source] link::LostReason),
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
    /// The session's limit of open streams is reached.
    #[error(
        "the session has {limit} streams, the most that i2p.streaming.maxConcurrentStreams allows"
    )]
    TooManyStreams {
        /// The largest number of open streams.
        limit: usize,
    },
    /// The session's limit of open streams with one peer is reached.
    #[error(
        "the session has {limit} streams with the destination, the most that \
         i2p.streaming.maxConcurrentStreamsPerPeer allows"
    )]
    TooManyWithPeer {
        /// The largest number of open streams with one peer.
        limit: usize,
    },
    /// The destination has a signature type that this library cannot verify.
    #[error("signatures of the destination's type {0} cannot be checked")]
    UnsupportedPeer(SignatureType),
    /// A connector for plain streams was given a URI whose scheme is not `http`.
    #[error("{0:?} is not http, and the stream would carry no TLS")]
    Scheme(String),
    /// The router implements the streams (SAM), and refused to open this one.
    #[error("the router did not open the stream: {0}")]
    Router(String),
    /// The router implements the streams (SAM), and does not support such a stream.
    #[error("the router cannot open such a stream: {0}")]
    Unsupported(&'static str),
}

impl ConnectError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::Offline(error) => error.kind(),
            Self::LeaseSetNotFound => ErrorKind::LeaseSetNotFound,
            Self::IncompatibleEncryption => ErrorKind::IncompatibleEncryption,
            Self::NoTunnels(_) => ErrorKind::NoTunnels,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::PeerUnreachable => ErrorKind::PeerUnreachable,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::SessionLost(_) => ErrorKind::SessionLost,
            Self::Closed => ErrorKind::Closed,
            Self::TooManyStreams { .. } | Self::TooManyWithPeer { .. } => ErrorKind::Limit,
            Self::Router(_) => ErrorKind::RouterRefused,
            Self::Scheme(_) => ErrorKind::BadInput,
            Self::UnsupportedPeer(_) | Self::Unsupported(_) => ErrorKind::Unsupported,
        }
    }

    /// What a user can do about it, in one sentence.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Address(error) => error.hint(),
            other => other.kind().hint(),
        }
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        Self::new(error.kind().io_kind(), error)
    }
}

/// Why a port could not be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The session already listens on the port.
    #[error("port {0} is listened on already")]
    InUse(u16),
    /// The backlog is zero or above the limit.
    #[error("a backlog of {0} streams is outside 1 to 4096")]
    Backlog(usize),
    /// The session's limit of listening ports is reached.
    #[error(
        "the session listens on {0} ports, which is the most; other ports share a listener on port 0"
    )]
    TooMany(usize),
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
}

impl ListenError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse(_) => ErrorKind::AddressInUse,
            Self::Backlog(_) => ErrorKind::BadInput,
            Self::TooMany(_) => ErrorKind::Limit,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Why no further stream will be accepted.
///
/// A lost link is not reported: the listener waits until the session is restored.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The session was closed.
    #[error("the session is closed")]
    Closed,
    /// The session could not be restored.
    #[error("the session failed")]
    SessionFailed(#[source] Arc<OpenError>),
}

impl AcceptError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::Closed,
            Self::SessionFailed(error) => error.kind(),
        }
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> Self {
        Self::new(error.kind().io_kind(), error)
    }
}

/// Why a look-up found nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The address could not be parsed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No address book contains the name.
    #[error("{0:?} is in no address book")]
    NameNotFound(String),
    /// The network has no lease set for the destination.
    #[error("the network has no lease set for it: it is offline or does not exist")]
    LeaseSetNotFound,
    /// The lease set is encrypted, and requires a password or a key.
    #[error("its lease set is encrypted and needs a password or a key")]
    Locked,
    /// The address book cannot be read.
    #[error("the address book cannot be used: {0}")]
    NameSource(String),
    /// The router does not support look-ups of this kind.
    #[error("the router cannot look this up")]
    Unsupported,
    /// No answer in time.
    #[error("no answer within {0}")]
    Timeout(TimedOut),
    /// The session has no link to a router at the moment.
    #[error("the session is not connected to its router")]
    SessionLost,
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
}

impl LookupError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::NameNotFound(_) => ErrorKind::NameNotFound,
            Self::LeaseSetNotFound => ErrorKind::LeaseSetNotFound,
            Self::Locked => ErrorKind::Locked,
            Self::NameSource(_) => ErrorKind::Io,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::SessionLost => ErrorKind::SessionLost,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Why an open stream failed.
///
/// Reads and writes through tokio's traits return it inside an [`io::Error`].
/// [`StreamError::of`] extracts it from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset the stream. Data in flight in both directions may be lost.
    #[error("the peer reset the stream")]
    Reset,
    /// The stream was used after this side had reset or closed it.
    #[error("the stream is closed")]
    Closed,
    /// The peer stopped acknowledging, because it is down or because the tunnels to it are down.
    #[error("the peer does not answer any more")]
    PeerUnreachable,
    /// Neither side sent anything for the stream's inactivity timeout.
    #[error("the stream was idle for too long")]
    Idle,
    /// The link between the session and its router was lost. The session reconnects, but does not
    /// restore the stream.
    #[error("the session was lost")]
    SessionLost(#[source] link::LostReason),
    /// The session was closed.
    #[error("the session is closed")]
    SessionClosed,
    /// A read or write reached the time limit in the stream's options.
    #[error("not done within {0:?}")]
    Timeout(Duration),
    /// The stream has used all sequence numbers.
    #[error("the stream has sent as many packets as a stream can")]
    Exhausted,
}

impl StreamError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Reset => ErrorKind::Reset,
            Self::Closed | Self::SessionClosed => ErrorKind::Closed,
            Self::PeerUnreachable => ErrorKind::PeerUnreachable,
            Self::Idle | Self::Timeout(_) => ErrorKind::Timeout,
            Self::SessionLost(_) => ErrorKind::SessionLost,
            Self::Exhausted => ErrorKind::Limit,
        }
    }

    /// The stream error inside an [`io::Error`] that a stream returned.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            // A TCP socket also returns it for a write after shutdown.
            StreamError::Closed => io::ErrorKind::BrokenPipe,
            ref other => other.kind().io_kind(),
        };
        Self::new(kind, error)
    }
}

/// Why a ping got no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The address could not be parsed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The address could not be looked up.
    #[error("cannot find the destination")]
    Lookup(#[source] LookupError),
    /// The payload is longer than peers echo.
    #[error("a ping carries at most {limit} bytes, not {len}")]
    TooLong {
        /// Length of the payload, in bytes.
        len: usize,
        /// The longest payload that peers echo completely, in bytes.
        limit: usize,
    },
    /// The session's limit of unanswered pings is reached.
    #[error("the session waits for the answers to {0} pings, which is the most")]
    TooMany(usize),
    /// No answer in time. Peers may be configured not to answer pings.
    #[error("no answer within {0}")]
    Timeout(TimedOut),
    /// The session has no tunnels.
    #[error("the session had no tunnels for {0}")]
    NoTunnels(TimedOut),
    /// The session has no link to its router, and the link was not restored in time.
    #[error("the session is not connected to its router")]
    Offline(#[source] OpenError),
    /// The session lost its router during the operation.
    #[error("the session was lost")]
    SessionLost(#[source] link::LostReason),
    /// The router implements the streams (SAM). SAM has no pings.
    #[error("a router that is reached over SAM does not ping peers")]
    Unsupported,
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
}

impl PingError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Offline(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::TooLong { .. } => ErrorKind::BadInput,
            Self::TooMany(_) => ErrorKind::Limit,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::NoTunnels(_) => ErrorKind::NoTunnels,
            Self::SessionLost(_) => ErrorKind::SessionLost,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Why the number of a session's tunnels was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelQuantityError {
    /// The number of tunnels is invalid.
    #[error("{0} tunnels are outside 1 to 16")]
    OutOfRange(u8),
    /// Over SAM, the number of tunnels of an open session cannot be changed.
    #[error("a router that is reached over SAM does not change the tunnels of an open session")]
    Unsupported,
}

impl TunnelQuantityError {
    /// The coarse kind of the error.
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::OutOfRange(_) => ErrorKind::BadInput,
            Self::Unsupported => ErrorKind::Unsupported,
        }
    }
}

impl From<eepkit_streaming::ConnectionError> for StreamError {
    fn from(error: eepkit_streaming::ConnectionError) -> Self {
        match error {
            eepkit_streaming::ConnectionError::Closed(reason) => reason.into(),
            eepkit_streaming::ConnectionError::Exhausted => Self::Exhausted,
            // The endpoint removes streams some time after they have ended.
            _ => Self::Closed,
        }
    }
}

impl From<CloseReason> for StreamError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Refused | CloseReason::Reset => Self::Reset,
            CloseReason::ConnectTimeout | CloseReason::ResendLimit | CloseReason::LingerTimeout => {
                Self::PeerUnreachable
            }
            CloseReason::Inactive => Self::Idle,
            CloseReason::EndpointClosed => Self::SessionClosed,
            // This side finished, reset or did not accept the stream.
            _ => Self::Closed,
        }
    }
}

impl From<eepkit_streaming::DialError> for ConnectError {
    fn from(error: eepkit_streaming::DialError) -> Self {
        match error {
            eepkit_streaming::DialError::TooManyStreams { limit } => Self::TooManyStreams { limit },
            eepkit_streaming::DialError::TooManyWithPeer { limit } => {
                Self::TooManyWithPeer { limit }
            }
            eepkit_streaming::DialError::UnsupportedPeer(kind) => Self::UnsupportedPeer(kind),
            _ => Self::Closed,
        }
    }
}
