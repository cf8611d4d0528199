//! The client's side of SAM 1.0 and 2.0: one state machine for the one connection of a session.
//!
//! A [`Client`] sends HELLO, creates a session, and then opens and accepts any number of streams on
//! the same connection. Java I2P and eepkit have bridges for these versions. New programs use
//! SAM 3 ([`super::Client`]).

mod connection;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use eepkit_wire::{Destination, PrivateKeys, SignatureType};

pub use self::connection::Client;
use super::error::Closed;
use crate::{
    datagram::Received,
    result::Failure,
    style::{Direction, Style},
    version::OlderVersion,
};

/// The versions that a [`Client`] offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The oldest acceptable version; 1.0 by default.
    pub min_version: OlderVersion,
    /// The newest acceptable version; 2.0 by default.
    pub max_version: OlderVersion,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_version: OlderVersion::V1_0,
            max_version: OlderVersion::V2_0,
        }
    }
}

/// A session to create.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Create {
    /// The style: STREAM, DATAGRAM or RAW.
    pub style: Style,
    /// The name under which the bridge stores the keys of the destination. `None` requests a new
    /// destination that is not stored.
    pub name: Option<String>,
    /// Which streams the session can have.
    pub direction: Direction,
    /// I2CP and streaming options.
    pub options: Vec<(String, String)>,
}

impl Create {
    /// A session with a new destination and without options.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            name: None,
            direction: Direction::Both,
            options: Vec::new(),
        }
    }

    /// Sets the name of the destination.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// A request that has one answer. Only one waits for its answer at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Create the session of the connection.
    Create(Create),
    /// Look up a name, or `ME` for the destination of the session.
    LookUp(String),
    /// Generate keys.
    Generate(SignatureType),
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The session is open.
    Created,
    /// The destination of the name.
    Found(Destination),
    /// Generated keys.
    Generated(Box<PrivateKeys>),
}

/// What [`Client::poll_output`] returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Bytes to write to the bridge.
    Transmit(Bytes),
    /// An event for the caller.
    Event(Event),
    /// Nothing to do now. Call [`Client::handle_timeout`] at this time.
    Timeout(Option<std::time::Instant>),
}

/// An event of a connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete, and the connection uses this version.
    Ready(OlderVersion),
    /// The request is answered.
    Answered(Result<Answer, super::RequestError>),
    /// The peer accepted a stream that this side opened, or connecting failed.
    Connected {
        /// The ID of the stream.
        id: i32,
        /// The result.
        result: Result<(), Failure>,
    },
    /// A peer opened a stream.
    Incoming {
        /// The ID of the stream.
        id: i32,
        /// The peer.
        peer: Destination,
    },
    /// Data of a stream arrived.
    Data {
        /// The ID of the stream.
        id: i32,
        /// The data.
        data: Bytes,
    },
    /// The bridge has accepted all data of [`Client::send`], after a call of it returned
    /// [`RequestError::Busy`](super::RequestError::Busy).
    Writable {
        /// The ID of the stream.
        id: i32,
    },
    /// A stream is closed. The ID is not used any more.
    StreamClosed {
        /// The ID of the stream.
        id: i32,
        /// Whether the peer has closed it, or the reason for its failure.
        result: Result<(), Failure>,
    },
    /// A datagram arrived.
    Datagram(Received),
    /// The connection is closed, and with it the session and all streams. No event follows.
    Closed(Closed),
}
