//! Services that let other programs use I2P.
//!
//! [`http_proxy`] and [`socks`] are proxies for browsers and other programs. The tunnels of
//! [`tunnel`] connect local ports with destinations, in both directions. [`sam`] is a SAM bridge,
//! through which programs in any language use I2P. [`bob`] is a bridge for old programs. They use the sessions of [`eepkit`], so they run
//! on every router that [`eepkit`] supports.
//!
//! Every service is built from the same parts:
//!
//! * [`serve`] listens, limits connections and stops gracefully.
//! * [`relay`] copies bytes between a local connection and an I2P stream.
//! * [`users`] stores names and passwords, [`tls`] reads certificates and keys.
//! * [`errors`] maps errors to the results of each protocol.
//! * [`options`] derives the keys of the configuration file, the flags, the help and the
//!   documentation from one table.
//! * [`naming`] resolves names with the address books of the user.
//! * [`import`] converts the tunnels of other routers.
//! * [`control`] reports the status of a running program to other programs of the same user.
//! * [`service`] gives each service a state, statistics, and functions to start, reload and stop
//!   it. [`Services`] runs all services of a configuration.
//!
//! A new service is a configuration type with a table of options that implements
//! [`service::Definition`], and an entry in [`KINDS`].
//!
//! Services listen on loopback addresses by default. They look up no name outside of I2P, and limit
//! everything that a client can make them store.

/// Compiles the example of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/sam.md")]
struct Documentation;

pub mod bob;
mod client_options;
mod client_sessions;
pub mod control;
mod counters;
pub mod errors;
pub mod files;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http_proxy;
pub mod import;
mod lookup_session;
mod methods;
pub mod naming;
pub mod options;
mod proxy;
mod reading;
pub mod relay;
pub mod sam;
pub mod serve;
pub mod service;
mod services;
mod shared_sessions;
pub mod site;
pub mod socks;
mod target;
pub mod tls;
pub mod tunnel;
mod user_agent;
pub mod users;
mod web;

pub use services::{
    Action, Applied, ApplyError, KINDS, Kind, Plan, Services, default_plans, plan, read_all_plans,
    read_plans,
};
