//! BOB, the Basic Open Bridge: an old text protocol with which programs set up tunnels.
//!
//! A client sends commands to a *bridge* over TCP, one a line, and gets a line that begins with `OK`
//! or `ERROR`. It gives a tunnel a nickname, keys and local ports, and starts it. The tunnel then
//! works without the client: it outlives the connection that has started it.
//!
//! This crate contains commands ([`Command`]), tunnels ([`Tunnel`]) and their table ([`Database`]),
//! the line that names the destination of an outgoing connection ([`TargetReader`]), and the state
//! machines of both sides: [`server`] and [`client`].
//!
//! The crate is sans-IO: it uses no clock, no sockets and no tasks. The only randomness is a seed
//! that the caller passes in. Input never causes a panic, and every line and table has a limit.
//!
//! New programs use SAM 3. `docs/bob.md` lists the differences from the bridges of Java I2P and
//! i2pd.

pub mod client;
mod command;
mod database;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod saved;
pub mod server;
mod status;
mod target;
mod tunnel;

pub use self::{
    command::{Command, CommandError, Help},
    database::{Database, DatabaseError, Limits},
    lines::{LineError, LineReader},
    saved::SavedError,
    status::{Status, StatusError},
    target::{TargetError, TargetReader},
    tunnel::{Nickname, NicknameError, Stage, Tunnel},
};

/// The version of the protocol, which the greeting contains.
pub const VERSION: &str = "00.00.10";
