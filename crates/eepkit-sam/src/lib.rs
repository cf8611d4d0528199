//! SAM versions 3.0 to 3.3, the text protocol that gives programs in any language access to I2P.
//! The modules [`server::older`] and [`client::older`] have versions 1.0 and 2.0.
//!
//! A client sends lines of text to a *bridge* over TCP. Each stream has its own socket. Datagrams
//! can also be sent over UDP. This crate contains what both sides share: lines ([`LineReader`],
//! [`LineBuilder`]), messages ([`Message`]), [`Version`]s, [`Style`]s, [`ResultCode`]s, the
//! parameters of sessions ([`SessionParams`]), and the headers of datagrams ([`SendHeader`],
//! [`Received`]). It also contains the state machines of both sides: [`server`] and [`client`].
//!
//! The crate is sans-IO: it uses no clock, no sockets and no tasks. The only randomness is a seed
//! that the caller passes in. Input never causes a panic, and every line, table and buffer has a
//! limit.
//!
//! Readers accept mistakes of clients and bridges as long as the meaning is unambiguous. Writers
//! follow the strictest known reader. `docs/spec/sam.md` lists the deviations from the
//! specification and their reasons.

pub mod client;
mod datagram;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod line;
mod message;
mod result;
pub mod server;
mod session;
mod style;
mod version;
mod wipe;

pub use self::{
    datagram::{PacketError, Received, SendHeader, SendOptions, Sender},
    key::{
        IdError, PeerLine, PeerLineError, check_id, parse_peer_line, parse_private_keys,
        parse_target,
    },
    line::{LineError, LineReader},
    message::{LineBuilder, Message, ParamError, Params, ParseError, Syntax},
    result::{Failure, ResultCode},
    session::{ForwardTo, NewDestination, SessionParams, signature_type},
    style::{DEFAULT_RAW_PROTOCOL, Direction, RESERVED_PROTOCOLS, Style, UnknownStyle},
    version::{NegotiationError, OlderVersion, UnknownVersion, Version},
    wipe::{append, wipe},
};
