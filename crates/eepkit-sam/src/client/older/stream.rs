//! One stream of a client.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

/// A stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The deadline for the peer, while the stream is being opened.
    pub(super) connecting: Option<Instant>,
    /// The number of received bytes.
    pub(super) received: u64,
    /// Data that the bridge has not accepted yet, in blocks of the size of one SEND. Only in 2.0.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// Whether the first block is sent and not answered.
    pub(super) is_sent: bool,
    /// Whether the buffer of the bridge is full.
    pub(super) is_full: bool,
    /// Whether the caller waits for [`Event::Writable`].
    pub(super) is_waited_for: bool,
    /// Whether the stream is closed as soon as all data is accepted.
    pub(super) is_closing: bool,
}

impl Stream {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connecting
    }
}
