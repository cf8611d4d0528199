//! Packets that a stream passes to its endpoint.

use std::time::Duration;

use crate::{packet::Encoded, path::PathId};

/// A packet that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) packet: Encoded,
    /// Whether the packet opens the stream. The router should then bundle our lease set with it.
    pub(crate) first: bool,
    /// Whether the packet should be deflated.
    pub(crate) compress: bool,
    /// The time after which the packet should be dropped.
    pub(crate) lifetime: Duration,
    pub(crate) path: PathId,
}
