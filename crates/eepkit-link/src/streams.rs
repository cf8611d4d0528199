//! Streams and datagrams that the router makes: what a link carries at the layer
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
    /// Opens a stream. Dropping the future gives it up. There is a limit for what the router says
    /// nothing about, but the caller should have one of its own.
    fn open(&self, target: Target) -> BoxFuture<Result<RouterStream, StreamOpenError>>;
}

/// Where a stream goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The peer.
    pub peer: Destination,
    /// The port at the peer.
    pub peer_port: u16,
    /// The port on this side.
    pub local_port: u16,
}

/// A stream that the router carries.
pub struct RouterStream {
    /// The connection to the router that stands for it. What is written goes to the peer.
    pub socket: Box<dyn Duplex>,
    /// What had arrived before the connection became the stream, and comes before what is read.
    pub begun: Bytes,
    /// The peer, as the router says.
    pub peer: Destination,
    /// The port at the peer; 0 where the router does not tell.
    pub peer_port: u16,
    /// The port on this side; 0 where the router does not tell.
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

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// Why the router did not open a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamOpenError {
    /// The network has no lease set for the peer.
    #[error("no lease set was found: the destination is offline or does not exist")]
    NotFound,
    /// The peer does not answer, or does not want the stream: routers do not tell which.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The router said no.
    #[error("the router refused: {0}")]
    Refused(String),
    /// The router cannot do it.
    #[error("the router cannot do it: {0}")]
    Unsupported(&'static str),
    /// The router knows the session no more.
    #[error("the session ended")]
    SessionLost,
    /// The connection for the stream broke, or could not be made.
    #[error("no connection to the router: {0}")]
    Connection(String),
}

/// A format of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatagramFormat {
    /// The payload alone.
    Raw,
    /// Signed, the old way.
    Datagram1,
    /// Signed for one receiver.
    Datagram2,
    /// With the hash of a sender that proves nothing.
    Datagram3,
}

/// A datagram for the router to send.
#[derive(Debug, Clone)]
pub struct OutgoingDatagram {
    /// Returned in [`Event::Dropped`](super::Event::Dropped) where it cannot be sent.
    pub token: u64,
    /// Its format; the router signs it.
    pub format: DatagramFormat,
    /// Who it is for.
    pub to: Destination,
    /// The protocol of a raw datagram.
    pub protocol: u8,
    /// The port that it comes from.
    pub from_port: u16,
    /// The port that it goes to.
    pub to_port: u16,
    /// What it carries.
    pub payload: Bytes,
    /// The router may drop it after this instant.
    pub deadline: Instant,
    /// How the router should treat it.
    pub options: SendOptions,
}

/// A datagram that came, and that the router has checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingDatagram {
    /// Its format.
    pub format: DatagramFormat,
    /// What the router says of the sender.
    pub sender: Sender,
    /// The protocol; that of its format where the router does not tell.
    pub protocol: u8,
    /// The port that it comes from; 0 where the router does not tell.
    pub from_port: u16,
    /// The port that it came to; 0 where the router does not tell.
    pub to_port: u16,
    /// What it carries.
    pub payload: Bytes,
}

/// What a router says of the sender of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// Nothing.
    Unknown,
    /// This destination; the router has checked the signature.
    Verified(Destination),
    /// This hash is written in it, which anybody can write.
    Claimed(Hash),
}
