//! Requests and answers exchanged between a connection's machine and its driver.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use eepkit_wire::{Destination, Host, PrivateKeys, Zeroizing};

use crate::{
    datagram::{Received, SendOptions},
    result::Failure,
    session::SessionParams,
    style::Style,
    version::Version,
};

/// Identifies a session or subsession for the lifetime of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub(super) u64);

/// A request to the router.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Put a destination online. The answer is [`Answer::Opened`].
    Open(OpenSession),
    /// Add a subsession. The answer is [`Answer::Added`].
    Add {
        /// The primary session.
        primary: SessionKey,
        /// The subsession.
        session: SessionKey,
        /// The parameters.
        params: SessionParams,
        /// The protocol version of the connection.
        version: Version,
    },
    /// Close a subsession, or a session with its subsessions. There is no answer.
    Close(SessionKey),
    /// Open a stream. The answer is [`Answer::Connected`].
    Connect(ConnectStream),
    /// Wait for a stream. The answer is [`Answer::Accepted`].
    Accept {
        /// The session that a peer connects to.
        session: SessionKey,
    },
    /// Forward every stream that peers open, for the lifetime of the connection. The answer is
    /// [`Answer::Forwarding`], and [`Answer::SessionEnded`] when forwarding ends.
    Forward(ForwardStreams),
    /// Look up a name. The answer is [`Answer::Found`].
    LookUp {
        /// The session of this socket, whose tunnels are used, if it has one.
        session: Option<SessionKey>,
        /// The name or address to look up.
        target: Host,
        /// Whether the options of the lease set are requested.
        options: bool,
    },
    /// Send a datagram. There is no answer.
    Send(SendDatagram),
    /// Check a user's password. The answer is [`Answer::Authenticated`].
    Authenticate {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Change the users of the bridge. The answer is [`Answer::AuthChanged`].
    ChangeAuth(AuthChange),
}

/// A session to open.
#[derive(Debug)]
pub struct OpenSession {
    /// The session.
    pub session: SessionKey,
    /// Its keys.
    pub keys: Box<PrivateKeys>,
    /// The parameters.
    pub params: SessionParams,
    /// The protocol version of the connection.
    pub version: Version,
}

/// A stream to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectStream {
    /// The session that opens it.
    pub session: SessionKey,
    /// The peer.
    pub to: Host,
    /// The port on this side.
    pub from_port: u16,
    /// The port at the peer.
    pub to_port: u16,
}

/// Streams to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardStreams {
    /// The session whose streams are forwarded.
    pub session: SessionKey,
    /// The address to which they are forwarded.
    pub address: SocketAddr,
    /// The host as the client sent it, with which a certificate is compared.
    pub host: String,
    /// Whether to use TLS to that address.
    pub tls: bool,
    /// Whether to omit the line that names the peer.
    pub silent: bool,
    /// The protocol version, which determines the content of that line.
    pub version: Version,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendDatagram {
    /// The session that sends it.
    pub session: SessionKey,
    /// The format.
    pub style: Style,
    /// The receiver.
    pub to: Host,
    /// The port on this side.
    pub from_port: u16,
    /// The port at the peer.
    pub to_port: u16,
    /// The I2CP protocol number.
    pub protocol: u8,
    /// Further options of the datagram. Ports and protocol are in the fields above.
    pub options: SendOptions,
    /// The payload.
    pub payload: Bytes,
}

/// A change of the users of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthChange {
    /// From now on clients need a name and a password.
    Enable,
    /// From now on clients need neither.
    Disable,
    /// Add a user.
    Add {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Remove a user.
    Remove {
        /// The name.
        user: String,
    },
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The answer to a [`Request`], or an event of the router.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The session is online, or failed to open.
    Opened(Result<(), Failure>),
    /// The subsession is added, or was refused.
    Added(Result<(), Failure>),
    /// The peer accepted the stream, or connecting failed.
    Connected(Result<(), Failure>),
    /// A peer opened a stream, or accepting failed.
    Accepted(Result<Peer, Failure>),
    /// From now on streams are forwarded, or forwarding failed.
    Forwarding(Result<(), Failure>),
    /// The result of a look-up.
    Found(Result<Found, Failure>),
    /// Whether the name and the password are correct.
    Authenticated(bool),
    /// The change is made, or failed.
    AuthChanged(Result<(), Failure>),
    /// A datagram arrived for a session of this connection that delivers datagrams on the socket.
    Received {
        /// The style of the session.
        style: Style,
        /// The datagram.
        datagram: Received,
    },
    /// The session of this connection has ended, or the session on which this connection waits.
    SessionEnded(Failure),
}

/// The peer that opened a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer.
    pub destination: Destination,
    /// The peer's port.
    pub from_port: u16,
    /// The port on this side.
    pub to_port: u16,
}

/// The result of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The destination.
    pub destination: Destination,
    /// The options of its lease set, if requested.
    pub options: Vec<(String, String)>,
}
