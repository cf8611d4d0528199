//! Errors of datagram sockets.

use std::{io, sync::Arc};

use eepkit_datagram::{Format, SealError};

use super::{AddressError, ErrorKind, LookupError, OpenError, TimedOut};

/// Why a datagram socket could not be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The session has another socket with this protocol number and port.
    #[error("protocol {protocol} has a socket on port {port} already")]
    InUse {
        /// The protocol number.
        protocol: u8,
        /// The port.
        port: u16,
    },
    /// Datagrams cannot have this protocol number.
    #[error("protocol {0} is not for datagrams: 1 to 254 are, but not 6")]
    Protocol(u8),
    /// The requested length of the queue is invalid.
    #[error("a queue of {0} datagrams is not possible, allowed is 1 to 65536")]
    Queue(usize),
    /// The keys of the session are offline keys, which this format has no field for.
    #[error("{0} has no place for offline keys, use Datagram2")]
    OfflineKeys(Format),
    /// The router builds the datagrams (SAM) and does not support this.
    #[error("over SAM, {0}")]
    Unsupported(&'static str),
    /// The session's limit of datagram sockets is reached.
    #[error(
        "the session has {0} datagram sockets, which is the most; a subsession has sockets of its own"
    )]
    TooMany(usize),
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
}

impl BindError {
    /// The coarse kind of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::AddressInUse,
            Self::Protocol(_) | Self::Queue(_) => ErrorKind::BadInput,
            Self::OfflineKeys(_) | Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::TooMany(_) => ErrorKind::Limit,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The address could not be parsed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The peer's destination could not be found.
    #[error("the peer was not found")]
    Lookup(#[source] LookupError),
    /// The network has no lease set for the peer.
    #[error("the network has no lease set for the peer: it is offline or does not exist")]
    LeaseSetNotFound,
    /// The payload is too long for a datagram of this format.
    #[error("{len} bytes are too long for this datagram, the limit is {limit}")]
    TooLong {
        /// Length of the payload and the options, in bytes.
        len: usize,
        /// The longest payload and options together, in bytes.
        limit: usize,
    },
    /// The format has no field for one of the options.
    #[error(transparent)]
    Format(SealError),
    /// Datagrams cannot have this protocol number.
    #[error("protocol {0} is not for datagrams: 1 to 254 are, but not 6")]
    Protocol(u8),
    /// The router builds the datagrams (SAM) and does not support this.
    #[error("the router cannot send such a datagram: {0}")]
    Unsupported(String),
    /// The datagram to reply to does not state its sender.
    #[error("a raw datagram does not say who sent it")]
    NoSender,
    /// The session had no tunnels before the time limit.
    #[error("the session had no tunnels within {0}")]
    NoTunnels(TimedOut),
    /// The router did not accept the datagrams queued before this one in time.
    #[error("the datagrams before it were not sent within {0}")]
    Full(TimedOut),
    /// The session has no link to its router, and the link was not restored in time.
    #[error("the session is offline")]
    Offline(#[source] OpenError),
    /// The session was closed, or could not be restored.
    #[error("the session is closed")]
    Closed,
}

impl SendError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::LeaseSetNotFound => ErrorKind::LeaseSetNotFound,
            Self::TooLong { .. } | Self::Protocol(_) | Self::NoSender => ErrorKind::BadInput,
            Self::Format(_) | Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::NoTunnels(_) => ErrorKind::NoTunnels,
            Self::Full(_) => ErrorKind::Limit,
            Self::Offline(error) => error.kind(),
            Self::Closed => ErrorKind::Closed,
        }
    }
}

impl From<SealError> for SendError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLong { len, limit, .. } => Self::TooLong { len, limit },
            other => Self::Format(other),
        }
    }
}

/// Why no further datagram will be received.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The session was closed.
    #[error("the session is closed")]
    Closed,
    /// The router builds the datagrams (SAM) and does not support this format.
    #[error("the router has no such datagrams: {0}")]
    Unsupported(String),
    /// The session could not be restored.
    #[error("the session failed")]
    SessionFailed(#[source] Arc<OpenError>),
}

impl ReceiveError {
    /// The coarse kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::Closed,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::SessionFailed(error) => error.kind(),
        }
    }
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::new(error.kind().io_kind(), error)
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        Self::new(error.kind().io_kind(), error)
    }
}

impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        Self::new(error.kind().io_kind(), error)
    }
}
