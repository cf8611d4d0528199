//! The client's side of SAM: one state machine for each connection to a bridge.
//!
//! A [`Client`] sends HELLO and the requests of the caller, and converts the answers of the bridge
//! to [`Event`]s. A session ends with the connection that created it. Each stream needs a
//! connection of its own, which carries raw bytes once the stream is open.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use eepkit_sam::client::{Answer, Client, Config, Event, Output, Request};
//!
//! # #[allow(clippy::disallowed_methods)]
//! let now = Instant::now();
//! let mut client = Client::new(Config::default(), now);
//! client.request(Request::lookup("example.i2p"), Duration::from_secs(20));
//! assert!(matches!(client.poll_output(), Output::Transmit(line) if line.starts_with(b"HELLO")));
//!
//! client.handle_input(now, b"HELLO REPLY RESULT=OK VERSION=3.3\n");
//! assert!(matches!(client.poll_output(), Output::Event(Event::Ready(_))));
//! let Output::Transmit(line) = client.poll_output() else { panic!("a line") };
//! assert_eq!(&line[..], b"NAMING LOOKUP NAME=example.i2p\n");
//! ```
//!
//! [`older`] is the client of SAM 1.0 and 2.0. [`quirks`] lists the deviations of particular bridges from the specification.

mod connection;
mod error;
pub mod older;
pub mod quirks;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use self::{
    connection::{Client, Config, Event, Output, RequestId},
    error::{Closed, RequestError},
    reply::Answer,
    request::{
        Accept, Connect, Create, Forward, InvalidOption, Keys, Login, Lookup, Request,
        SendDatagram, SessionOptions, Subsession,
    },
};
