//! SOCKS 4, 4a and 5, the protocols with which programs ask a proxy for connections.
//!
//! [`Server`] is the proxy's side of one connection, [`Client`] the side of a program that uses
//! another proxy. [`UdpHeader`] is the header of datagrams that a SOCKS 5 proxy relays.
//!
//! The crate is sans-IO: it uses no clock, no sockets and no tasks. Input never causes a panic, and
//! every buffer has a limit. It never resolves a name.
//!
//! The sources are RFC 1928 (SOCKS 5), RFC 1929 (names and passwords), the memos "SOCKS: A protocol
//! for TCP proxy across firewalls" and "SOCKS 4A", and Tor's `socks-extensions.txt` for the commands
//! RESOLVE and RESOLVE_PTR.

mod address;
mod client;
mod credentials;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod reader;
mod reply;
mod server;
mod udp;

pub use self::{
    address::{Address, Host},
    client::{Client, ClientError},
    credentials::Credentials,
    reply::Reply,
    server::{Authentication, Command, Event, Protocol, ProtocolError, Request, Server},
    udp::{UdpError, UdpHeader},
};
