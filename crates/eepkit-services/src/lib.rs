//! Services that let other programs use I2P.
//!
//! [`sam`] is a SAM bridge: programs in any language use I2P through it. It stands on the sessions
//! of [`eepkit`], so it runs on every router that these run on.
//!
//! Every service is built from the same parts:
//!
//! * [`serve`] listens, limits connections and stops gracefully;
//! * [`relay`] copies bytes between a local connection and an I2P stream;
//! * [`users`] keeps names and passwords, [`tls`] reads certificates and keys;
//! * [`errors`] maps what fails to what clients are told;
//! * [`options`] makes the keys of the configuration file, the flags, the help and the documentation
//!   of one table;
//! * [`service`] gives each service a state, statistics, and a way to start, reload and stop it, and
//!   [`Services`] runs all services of a configuration.
//!
//! A new service is a configuration type with a table of options, which implements
//! [`service::Definition`], and an entry in [`KINDS`].
//!
//! Services listen on loopback addresses unless they are told otherwise. They look no name up
//! outside of I2P, and bound everything that a client can make them hold.

/// Compiles the example of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/sam.md")]
struct Documentation;

pub mod errors;
pub mod files;
pub mod options;
pub mod relay;
pub mod sam;
pub mod serve;
pub mod service;
mod services;
pub mod tls;
pub mod users;

pub use services::{Action, Applied, KINDS, Kind, Plan, Services, default_plans, plan, read_plans};
