//! What a stream hands to its endpoint to send.

use std::time::Duration;

use bytes::Bytes;

use crate::path::PathId;

/// A packet that is ready to leave.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) packet: Bytes,
    /// It opens the stream: the router should send our lease set along.
    pub(crate) first: bool,
    /// Compression may pay off.
    pub(crate) compress: bool,
    /// How long it is useful.
    pub(crate) lifetime: Duration,
    pub(crate) path: PathId,
}
