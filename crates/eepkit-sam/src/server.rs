//! The state machine of a bridge.
//!
//! Each TCP connection has a [`Connection`]. All connections of one bridge share a [`Directory`] of
//! sessions. The driver passes bytes, answers and time to the machine, and executes the outputs of
//! [`Connection::poll_output`] in their order:
//!
//! 1. After each `handle_...` call, the driver takes outputs until there are none.
//! 2. It calls [`Connection::handle_timeout`] at the time of [`Connection::deadline`].
//! 3. While [`Connection::wants_bytes`] is false, it does not read from the socket. This is
//!    backpressure.
//! 4. If it can observe when the client reads, it calls [`Connection::watch_reading`] first, and
//!    [`Connection::handle_read`] while [`Connection::waits_for_reading`] is true.
//! 5. When the socket ends, for whatever reason, it calls [`Connection::handle_end`] and takes the
//!    outputs one last time. They close what belonged to the connection.
//! 6. After [`Output::Join`] the socket belongs to the stream, after [`Output::Older`] to the machine
//!    of an older version. After [`Output::Close`] the driver closes it. The machine has no further
//!    outputs.

mod commands;
mod config;
mod connection;
mod datagrams;
mod directory;
mod exchange;
mod keys;
pub mod older;
mod output;
mod sessions;
mod streams;
mod utilities;

pub use self::{
    config::Config,
    connection::Connection,
    directory::{DatagramError, Directory},
    exchange::{
        Answer, AuthChange, ConnectStream, ForwardStreams, Found, OpenSession, Peer, Request,
        Secret, SendDatagram, SessionKey,
    },
    output::Output,
};
