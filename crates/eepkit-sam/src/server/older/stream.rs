//! One stream: its queue and its limit.

use std::collections::VecDeque;

use bytes::Bytes;

/// A stream of the session.
pub(super) struct Stream {
    /// The ID that the client uses. `None` after STREAM CLOSE and STREAM CLOSED.
    pub(super) id: Option<i32>,
    /// Whether the peer has accepted it.
    pub(super) is_open: bool,
    /// The number of bytes that were delivered to the client.
    pub(super) delivered: u64,
    /// The number of bytes after which the client wants no more. `None` is no limit.
    pub(super) limit: Option<u64>,
    /// Data of the client that is not written yet. No element is empty.
    queue: VecDeque<Bytes>,
    /// The number of bytes in the queue.
    queued: usize,
    /// Whether BUFFER_FULL was sent, and READY_TO_SEND was not.
    is_waited_for: bool,
}

impl Stream {
    pub(super) fn new(id: i32, is_open: bool, limit: Option<u64>) -> Self {
        Self {
            id: Some(id),
            is_open,
            delivered: 0,
            limit,
            queue: VecDeque::new(),
            queued: 0,
            is_waited_for: false,
        }
    }

    pub(super) fn push(&mut self, data: Bytes) {
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// Records that BUFFER_FULL is sent.
    pub(super) fn wait(&mut self) {
        self.is_waited_for = true;
    }

    /// Removes written bytes. Returns whether READY_TO_SEND is due.
    pub(super) fn written(&mut self, count: usize) -> bool {
        if let Some(front) = self.queue.front_mut() {
            let count = count.min(front.len());
            self.queued -= count;
            drop(front.split_to(count));
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        !self.is_full() && std::mem::take(&mut self.is_waited_for)
    }

    /// Returns the queue, and clears it.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.queued = 0;
        self.queue.drain(..).collect()
    }

    /// Whether SEND has to wait or fails.
    pub(super) fn is_full(&self) -> bool {
        self.queued >= FULL
    }

    /// The beginning of the queue; empty if the queue is.
    pub(super) fn front(&self) -> &[u8] {
        self.queue.front().map_or(&[], |data| data)
    }

    /// The number of bytes that the client accepts now.
    pub(super) fn left(&self) -> u64 {
        self.limit
            .map_or(u64::MAX, |limit| limit.saturating_sub(self.delivered))
    }
}

/// The number of bytes at which the queue of a stream is full. Source: specification of 2.0,
/// BUFFER_FULL.
const FULL: usize = 32 * 1024;
