//! Errors of starting a router.

use std::{io, net::SocketAddr};

use eepkit_link::RouterNotReady;

use crate::{reseed::ReseedError, storage::StateError};

/// The reason why a router did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address to listen on cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// An option has an invalid value.
    #[error("router option {option}: {why}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No list of routers could be downloaded, and none is stored.
    #[error(transparent)]
    Reseed(#[from] ReseedError),
    /// The routers did not become ready in time.
    #[error(transparent)]
    NotReady(#[from] RouterNotReady),
    /// The router implementation refused to start.
    #[error("the router did not start: {0}")]
    Router(String),
    /// The router was stopped before it had started.
    #[error("the router was stopped while it started")]
    Stopped,
}
