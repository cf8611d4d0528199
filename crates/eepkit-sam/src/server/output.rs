//! Outputs of a connection's machine.

use std::time::Instant;

use bytes::Bytes;

use super::{exchange::Request, older};

/// An action of the driver. Actions are executed in their order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write these bytes to the socket, in one piece.
    Send(Bytes),
    /// Execute this request. Its answer, if there is one, is passed to
    /// [`Connection::handle_answer`](super::Connection::handle_answer).
    Request(Request),
    /// Join the socket and the stream of the last answer. The machine needs neither any more.
    Join {
        /// Bytes that the client has already sent: the beginning of the data for the peer.
        early: Bytes,
        /// The earliest time at which data of the peer may be written to the socket. If the driver
        /// observes reading, data may also be written as soon as the client has read every line.
        data_after: Instant,
    },
    /// The client uses SAM 1.0 or 2.0. From now on, the socket belongs to this machine.
    Older(Box<older::Connection>),
    /// Close the socket after all earlier bytes are written.
    Close,
}
