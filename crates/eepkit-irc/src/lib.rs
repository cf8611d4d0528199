//! Filters for IRC connections over I2P.
//!
//! [`ClientFilter`] stands between an IRC client and a server on I2P. It removes what reveals the
//! host of the client, and what could make the client reveal it. [`ServerFilter`] stands between a
//! peer on I2P and an IRC server, and gives the server the address of the peer as its host name.
//!
//! The crate is sans-IO: it uses no clock, no sockets and no tasks. Input never causes a panic, and
//! every buffer has a limit.
//!
//! The sources are RFC 1459 and RFC 2812 (the protocol), the specifications of IRCv3 (message tags,
//! capabilities), and the lists of commands in the documentation of Java I2P's IRC tunnels.

mod client;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod message;
mod server;

pub use self::{
    client::{ClientFilter, Dropped},
    server::{Method, MethodError, RegistrationError, ServerFilter},
};
