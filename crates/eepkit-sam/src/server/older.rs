//! The state machine of a connection of SAM 1.0 or 2.0.
//!
//! The socket carries the commands and the data of every stream of one session. After HELLO, the
//! machine of SAM 3 hands the socket over ([`Output::Older`](super::Output::Older)). The driver
//! executes the outputs as it does for SAM 3, and moves the data of streams:
//!
//! 1. Each stream has a [`StreamKey`]. The driver writes [`Connection::pending`] to it, and reports
//!    the number of written bytes with [`Connection::handle_written`].
//! 2. It reads at most [`Connection::readable`] bytes at a time, and passes them to
//!    [`Connection::handle_data`]. Not reading is backpressure to the peer.
//! 3. It reports the end of a stream with [`Connection::handle_stream_end`].
//! 4. While [`Connection::accepts`] is true, it accepts streams of peers
//!    ([`Connection::handle_accepted`]).
//! 5. While the client reads too slowly, the driver neither reads from streams nor accepts any.

mod commands;
mod connection;
mod exchange;
mod payload;
mod payloads;
mod sessions;
mod stream;
mod streams;

pub use self::{
    connection::Connection,
    exchange::{Answer, Output, Request, StreamKey},
};
