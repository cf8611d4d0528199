//! What serves other programs.
//!
//! [`sam`] is a SAM bridge: programs in any language use I2P through it. It stands on the sessions
//! of [`eepkit`], so it runs on every router that these run on; [`errors`] maps what fails there
//! to what clients are told.
//!
//! Services listen on loopback addresses unless they are told otherwise, look no name up outside
//! of I2P, and bound everything that a client can make them hold.

/// Compiles the example of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/sam.md")]
struct Documentation;

pub mod errors;
mod pump;
pub mod sam;
pub mod tls;
