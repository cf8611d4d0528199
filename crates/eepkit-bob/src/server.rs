//! The state machine of a bridge.
//!
//! Each TCP connection has a [`Connection`]. All connections of one bridge share a
//! [`Database`](crate::Database) of tunnels. The driver passes bytes and answers to the machine, and
//! executes the outputs of [`Connection::poll_output`] in their order:
//!
//! 1. After each `handle_...` call, the driver takes outputs until there are none.
//! 2. While [`Connection::wants_bytes`] is false, it does not read from the socket.
//! 3. It starts and stops tunnels, and sets their state in the database. Tunnels belong to no
//!    connection, so nothing ends with the socket.
//! 4. After [`Output::Close`] it closes the socket.

mod commands;
mod connection;

use std::net::IpAddr;

use eepkit_wire::{Destination, Host, SignatureType, Zeroizing};

pub use self::connection::Connection;
use crate::tunnel::Nickname;

/// The configuration of a bridge; the same for all its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The signature type of new keys. Ed25519 by default. Java I2P makes only DSA_SHA1, which few
    /// routers accept any more.
    pub default_signature_type: SignatureType,
    /// The options of new tunnels; none by default.
    pub options: Vec<(String, String)>,
    /// Whether tunnels may listen on and connect to addresses other than loopback ones. False by
    /// default, because otherwise whoever reaches the bridge could make it connect to any host.
    pub anywhere: bool,
    /// Whether `zap` stops the bridge; true by default, as in Java I2P. Otherwise it closes the
    /// connection of the client, as in i2pd.
    pub zap: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_signature_type: SignatureType::ED25519,
            options: Vec::new(),
            anywhere: false,
            zap: true,
        }
    }
}

/// An action of the driver. Actions are executed in their order.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Write this text to the socket. It may contain private keys.
    Send(Zeroizing<String>),
    /// Execute this request.
    Request(Request),
    /// Close the socket after all earlier text is written.
    Close,
}

/// A request to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Start a tunnel, whose state is [`Stage::Starting`](crate::Stage::Starting). The answer is
    /// [`Answer::Started`] as soon as it listens. The session need not be open.
    Start(Nickname),
    /// Stop a tunnel, whose state is [`Stage::Stopping`](crate::Stage::Stopping). There is no answer.
    Stop(Nickname),
    /// Look up a name or an address. The answer is [`Answer::Found`].
    LookUp(Host),
    /// Write the state of the bridge to the log. There is no answer.
    Visit,
    /// Stop the bridge. There is no answer.
    Zap,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The tunnel is starting, or the reason why it cannot be started. In that case the driver has
    /// set its state to [`Stage::Idle`](crate::Stage::Idle).
    Started(Result<(), String>),
    /// The destination; `None` if it is not found.
    Found(Option<Destination>),
}

/// Parses a host of a tunnel. No name but `localhost` is looked up.
///
/// # Errors
///
/// The text of the answer, if it is not an address or not allowed.
pub fn parse_host(text: &str, anywhere: bool) -> Result<IpAddr, &'static str> {
    if text.eq_ignore_ascii_case(crate::tunnel::LOCALHOST) {
        return Ok(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare
        .parse()
        .map_err(|_| "the host must be an IP address or localhost")?;
    match anywhere || address.is_loopback() {
        true if !address.is_multicast() => Ok(address),
        _ => Err("the host must be a loopback address here"),
    }
}
