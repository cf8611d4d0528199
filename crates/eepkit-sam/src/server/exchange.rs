//! What goes between a connection's machine and its driver.

use std::{fmt, net::SocketAddr, time::Instant};

use bytes::Bytes;
use eepkit_wire::{Destination, Host, PrivateKeys, Zeroizing};

use crate::{
    datagram::{Received, SendOptions},
    result::Failure,
    session::SessionParams,
    style::Style,
    version::Version,
};

/// Names a session or subsession, for as long as the bridge runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub(super) u64);

/// What a driver is to do, in this order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write these bytes to the socket, in one piece.
    Send(Bytes),
    /// Do this; the answer, where there is one, goes to
    /// [`Connection::handle_answer`](super::Connection::handle_answer).
    Request(Request),
    /// Join the socket and the stream of the last answer. The machine is done with both.
    Join {
        /// What the client sent already: the beginning of what goes to the peer.
        early: Bytes,
        /// Nothing of the peer may be written to the socket before, or else before the client has
        /// read every line, where the driver sees that.
        data_after: Instant,
    },
    /// Close the socket once everything before this is written.
    Close,
}

/// What the machine wants of a router.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Put a destination online. [`Answer::Opened`].
    Open(OpenSession),
    /// Add a subsession. [`Answer::Added`].
    Add {
        /// The primary session.
        primary: SessionKey,
        /// The subsession.
        session: SessionKey,
        /// What it is.
        params: SessionParams,
        /// The version that its client speaks.
        version: Version,
    },
    /// Close a session with all that belongs to it, or a subsession. No answer.
    Close(SessionKey),
    /// Open a stream. [`Answer::Connected`].
    Connect(ConnectStream),
    /// Wait for a stream. [`Answer::Accepted`].
    Accept {
        /// The session that a peer connects to.
        session: SessionKey,
    },
    /// Forward every stream that peers open, for as long as the connection lives.
    /// [`Answer::Forwarding`], and [`Answer::SessionEnded`] when it is over.
    Forward(ForwardStreams),
    /// Look a name up. [`Answer::Found`].
    LookUp {
        /// The session of this socket, if it has one: through its tunnels, then.
        session: Option<SessionKey>,
        /// What to look up.
        target: Host,
        /// Whether the options of the lease set are wanted.
        options: bool,
    },
    /// Send a datagram. No answer.
    Send(SendDatagram),
    /// Check a user's password. [`Answer::Authenticated`].
    Authenticate {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Change who may use the bridge. [`Answer::AuthChanged`].
    ChangeAuth(AuthChange),
}

/// A session to open.
#[derive(Debug)]
pub struct OpenSession {
    /// The session.
    pub session: SessionKey,
    /// Its keys.
    pub keys: Box<PrivateKeys>,
    /// What it is.
    pub params: SessionParams,
    /// The version that its client speaks.
    pub version: Version,
}

/// A stream to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectStream {
    /// From which session.
    pub session: SessionKey,
    /// To whom.
    pub to: Host,
    /// The port on this side.
    pub from_port: u16,
    /// The port at the peer.
    pub to_port: u16,
}

/// Streams to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardStreams {
    /// Those that come to this session.
    pub session: SessionKey,
    /// Where to.
    pub address: SocketAddr,
    /// The host as the client wrote it, which a certificate should be for.
    pub host: String,
    /// Whether to speak TLS there.
    pub tls: bool,
    /// Whether the stream begins without a line that tells the peer.
    pub silent: bool,
    /// The version that decides what that line tells.
    pub version: Version,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendDatagram {
    /// From which session.
    pub session: SessionKey,
    /// In which format.
    pub style: Style,
    /// To whom.
    pub to: Host,
    /// The port on this side.
    pub from_port: u16,
    /// The port at the peer.
    pub to_port: u16,
    /// The protocol.
    pub protocol: u8,
    /// What else the sender says; ports and protocol are in the fields above.
    pub options: SendOptions,
    /// What it carries.
    pub payload: Bytes,
}

/// A change of who may use the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthChange {
    /// From now on clients need a name and a password.
    Enable,
    /// From now on they do not.
    Disable,
    /// A new user.
    Add {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// No user any more.
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

/// What came of a [`Request`], or happened by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The session is online, or will not be.
    Opened(Result<(), Failure>),
    /// The subsession is there, or will not be.
    Added(Result<(), Failure>),
    /// The peer took the stream, or did not.
    Connected(Result<(), Failure>),
    /// A peer opened a stream, or none will.
    Accepted(Result<Peer, Failure>),
    /// Streams are forwarded from now on, or are not.
    Forwarding(Result<(), Failure>),
    /// What a look-up found.
    Found(Result<Found, Failure>),
    /// Whether the name and the password are right.
    Authenticated(bool),
    /// The change is made, or is not.
    AuthChanged(Result<(), Failure>),
    /// A datagram came for a session of this connection that takes it on the socket.
    Received {
        /// The style of the session.
        style: Style,
        /// The datagram.
        datagram: Received,
    },
    /// The session of this connection is over, or what it waits for belonged to one that is.
    SessionEnded(Failure),
}

/// Who opened a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer.
    pub destination: Destination,
    /// The peer's port.
    pub from_port: u16,
    /// The port on this side.
    pub to_port: u16,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The destination.
    pub destination: Destination,
    /// Options of its lease set, where they were asked for.
    pub options: Vec<(String, String)>,
}
