//! Requests, answers and outputs exchanged between the machine and its driver.

use bytes::Bytes;
use eepkit_wire::{Destination, Host, PrivateKeys, SignatureType};

use super::super::exchange::{ConnectStream, OpenSession, SendDatagram, SessionKey};
use crate::{datagram::Received, result::Failure, style::Style};

/// Identifies a stream for the lifetime of its connection.
///
/// It is not the ID that the client uses. The client can reuse an ID while data of the earlier
/// stream is still being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub(super) u64);

/// An action of the driver. Actions are executed in their order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write these bytes to the socket.
    Send(Bytes),
    /// Execute this request.
    Request(Request),
    /// Close the socket after all earlier bytes are written.
    Close,
}

/// A request to the router, or to the store of keys.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Return the keys that are stored under a name. If there are none, generate keys of this type
    /// and store them. The answer is [`Answer::Keys`].
    Keys {
        /// The name.
        name: String,
        /// The type of new keys.
        kind: SignatureType,
    },
    /// Put a destination online. The answer is [`Answer::Opened`].
    Open(OpenSession),
    /// Close the session. There is no answer.
    Close(SessionKey),
    /// Open a stream. The answer is [`Answer::Connected`].
    Connect {
        /// The stream.
        stream: StreamKey,
        /// What to connect to.
        connect: ConnectStream,
    },
    /// Close a stream. All of its data is written. There is no answer.
    Finish(StreamKey),
    /// Look up a name. The answer is [`Answer::Found`].
    LookUp {
        /// The session of this socket, whose tunnels are used, if it has one.
        session: Option<SessionKey>,
        /// The name or address to look up.
        target: Host,
    },
    /// Send a datagram. There is no answer.
    Send(SendDatagram),
}

/// The answer to a [`Request`], or an event of the router.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The keys of a name, or the reason why there are none.
    Keys(Result<Box<PrivateKeys>, Failure>),
    /// The session is online, or failed to open.
    Opened(Result<(), Failure>),
    /// The peer accepted the stream, or connecting failed.
    Connected {
        /// The stream.
        stream: StreamKey,
        /// The result.
        result: Result<(), Failure>,
    },
    /// The result of a look-up.
    Found(Result<Destination, Failure>),
    /// A datagram arrived.
    Received {
        /// The style of the session.
        style: Style,
        /// The datagram.
        datagram: Received,
    },
    /// The session has ended.
    SessionEnded(Failure),
}
