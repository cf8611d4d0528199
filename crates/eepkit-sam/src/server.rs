//! The machine of a bridge.
//!
//! Each TCP connection has a [`Connection`]; all of one bridge share a [`Directory`] of sessions.
//! The driver feeds the machine with bytes, answers and time, and does what
//! [`Connection::poll_output`] says, in that order:
//!
//! 1. After each `handle_...`, it takes outputs until there are none.
//! 2. It calls [`Connection::handle_timeout`] when [`Connection::deadline`] is there.
//! 3. While [`Connection::wants_bytes`] says no, it leaves the socket unread: that is backpressure.
//! 4. If it can see when the client reads, it says so with [`Connection::watch_reading`], and calls
//!    [`Connection::handle_read`] while [`Connection::waits_for_reading`].
//! 5. When the socket ends, for whatever reason, it calls [`Connection::handle_end`], and takes the
//!    outputs a last time: among them is the closing of what belonged to the connection.
//! 6. After [`Output::Join`] the socket belongs to the stream, and after [`Output::Close`] to
//!    nobody; the machine says nothing more.

mod commands;
mod config;
mod connection;
mod datagrams;
mod directory;
mod exchange;
mod sessions;
mod streams;
mod utilities;

pub use self::{
    config::Config,
    connection::Connection,
    directory::{DatagramError, Directory},
    exchange::{
        Answer, AuthChange, ConnectStream, ForwardStreams, Found, OpenSession, Output, Peer,
        Request, Secret, SendDatagram, SessionKey,
    },
};
