//! Streams and datagrams that the router implements, at the layer
//! [`Layer::Streams`](super::Layer::Streams).

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{Destination, Hash};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{BoxFuture, SendOptions};

/// Opens streams through the router.
pub trait Opener: fmt::Debug + Send + Sync + 'static {
    /// Opens a stream. Dropping the future cancels the attempt.
    ///
    /// The attempt has a time limit, in case the router does not answer. The caller should set a
    /// limit of its own.
    fn open(&self, target: Target) -> BoxFuture<Result<RouterStream, StreamOpenError>>;
}

/// The target of a stream.
#[derive(Debug, Clone)]
pub struct Target {
    /// The peer.
    pub peer: Destination,
    /// The port at the peer.
    pub peer_port: u16,
    /// The port on this side.
    pub local_port: u16,
}

/// A stream that the router implements.
pub struct RouterStream {
    /// The connection to the router over which the data of the stream is sent and received.
    pub socket: Box<dyn Duplex>,
    /// The first bytes of the stream, which arrived together with the router's answer. They precede
    /// the bytes that are read from `socket`.
    pub begun: Bytes,
    /// The peer, as reported by the router.
    pub peer: Destination,
    /// The port at the peer; 0 if the router does not report it.
    pub peer_port: u16,
    /// The port on this side; 0 if the router does not report it.
    pub local_port: u16,
}

impl fmt::Debug for RouterStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterStream")
            .field("peer", &self.peer)
            .field("peer_port", &self.peer_port)
            .field("local_port", &self.local_port)
            .finish_non_exhaustive()
    }
}

/// A connection on which bytes can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// The reason why the router did not open a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamOpenError {
    /// The network has no lease set for the peer.
    #[error("no lease set was found: the destination is offline or does not exist")]
    NotFound,
    /// The peer does not answer, or refuses the stream. Routers do not report which.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The router refused to open the stream.
    #[error("the router refused: {0}")]
    Refused(String),
    /// The router does not support the request.
    #[error("not supported by the router: {0}")]
    Unsupported(&'static str),
    /// The session no longer exists on the router.
    #[error("the session ended")]
    SessionLost,
    /// The connection for the stream broke, or could not be established.
    #[error("no connection to the router: {0}")]
    Connection(String),
}

/// A format of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatagramFormat {
    /// The payload without a sender.
    Raw,
    /// Signed by the sender.
    Datagram1,
    /// Signed by the sender for one receiver.
    Datagram2,
    /// With the hash of the sender, which nothing proves.
    Datagram3,
}

/// A datagram for the router to send.
#[derive(Debug, Clone)]
pub struct OutgoingDatagram {
    /// The token in [`Event::Dropped`](super::Event::Dropped), if the datagram cannot be sent.
    pub token: u64,
    /// The format. The router signs the datagram.
    pub format: DatagramFormat,
    /// The destination of the peer.
    pub to: Destination,
    /// The protocol number of a raw datagram.
    pub protocol: u8,
    /// The port of the sender.
    pub from_port: u16,
    /// The port of the receiver.
    pub to_port: u16,
    /// The payload.
    pub payload: Bytes,
    /// The time after which the router may drop the datagram.
    pub deadline: Instant,
    /// Options of the datagram.
    pub options: SendOptions,
}

/// A received datagram, which the router has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingDatagram {
    /// The format.
    pub format: DatagramFormat,
    /// The sender, as reported by the router.
    pub sender: Sender,
    /// The protocol number; that of the format if the router does not report it.
    pub protocol: u8,
    /// The port of the sender; 0 if the router does not report it.
    pub from_port: u16,
    /// The port of the receiver; 0 if the router does not report it.
    pub to_port: u16,
    /// The payload.
    pub payload: Bytes,
}

/// The sender of a datagram, as reported by a router.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// The datagram does not contain its sender.
    Unknown,
    /// The sender is this destination. The router has verified the signature.
    Verified(Destination),
    /// The datagram claims the destination with this hash as its sender. Nothing proves it.
    Claimed(Hash),
}
