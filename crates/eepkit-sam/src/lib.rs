//! SAM, by which programs in any language use I2P: versions 3.0 to 3.3.
//!
//! A client talks to a *bridge* over TCP, in lines of text; each stream has a socket of its own,
//! and datagrams may go by UDP. This crate has what both sides share: lines ([`LineReader`],
//! [`LineBuilder`]), messages ([`Message`]), [`Version`]s, [`Style`]s, [`ResultCode`]s, the
//! parameters of sessions ([`SessionParams`]), and the headers of datagrams ([`SendHeader`],
//! [`Received`]); and the machines of the two: [`server`] and [`client`].
//!
//! Everything here is sans-IO: no clock, no sockets, no tasks, and no randomness but a seed that is
//! passed in. Nothing panics on input, and every line, table and buffer has a limit.
//!
//! What clients and bridges get wrong is borne as far as it is unambiguous; what is written is as
//! strict as the strictest reader needs it. `docs/spec/sam.md` lists where this departs from the
//! specification, and why.

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
    style::{DEFAULT_RAW_PROTOCOL, RESERVED_PROTOCOLS, Style, UnknownStyle},
    version::{NegotiationError, UnknownVersion, Version},
};
