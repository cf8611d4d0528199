//! The configuration of a session.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use eepkit_i2cp::Options;
use eepkit_streaming::{EndpointConfig, StreamConfig};
use eepkit_wire::{Destination, Zeroizing};

use crate::name_source::NameSource;

/// The settings of a session; [`crate::SessionBuilder`] documents them.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    pub(crate) options: Options,
    pub(crate) endpoint: EndpointConfig,
    pub(crate) stream: StreamConfig,
    pub(crate) hosts: HashMap<String, Destination>,
    pub(crate) name_source: Option<Arc<dyn NameSource>>,
    pub(crate) backlog: usize,
    pub(crate) accept_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) lookup_timeout: Duration,
    pub(crate) linger: Duration,
    /// Whether the session looks up its own lease set.
    pub(crate) verify: bool,
}

/// The encryption keys of the session's lease sets, in the form of `i2cp.leaseSetPrivateKey`.
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
