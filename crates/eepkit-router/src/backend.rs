//! Router implementations that this crate can run.
//!
//! [`interface`] is the interface to an implementation that the rest of the crate uses. Each other
//! submodule is the only code that depends on its implementation.

mod clients;
mod config;
mod dials;
pub(crate) mod emissary;
mod interface;

use std::sync::Arc;

pub(crate) use config::{
    Bandwidth, Exploratory, Reach, RouterConfig, SamPorts, Transit, TransportConfig,
};
pub(crate) use dials::Dials;
pub(crate) use interface::{Addresses, Backend, Instance};

/// The implementation that routers of this crate run on.
pub(crate) fn default() -> Arc<dyn Backend> {
    Arc::new(emissary::Emissary)
}
