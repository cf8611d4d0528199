//! Incoming streams that wait to be accepted.

use std::collections::VecDeque;

use super::types::StreamId;

/// Streams that wait to be accepted on one port.
#[derive(Debug)]
pub(super) struct Listener {
    backlog: usize,
    queue: VecDeque<StreamId>,
}

impl Listener {
    pub(super) fn new(backlog: usize) -> Self {
        Self {
            backlog: backlog.clamp(1, MAX_BACKLOG),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, id: StreamId) {
        self.queue.push_back(id);
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    /// Keeps the streams for which `waits` returns true.
    pub(super) fn retain(&mut self, waits: impl FnMut(&StreamId) -> bool) {
        self.queue.retain(waits);
    }

    pub(super) fn pop(&mut self) -> Option<StreamId> {
        self.queue.pop_front()
    }

    pub(super) fn into_queue(self) -> VecDeque<StreamId> {
        self.queue
    }
}

/// The largest backlog. Chosen above that of i2pd, which is 1024.
const MAX_BACKLOG: usize = 4096;
