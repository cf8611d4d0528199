//! The order in which the streams to one peer send.

use std::collections::VecDeque;

/// Streams with data to send.
///
/// Streams alternate packet by packet, because hops count packets, not bytes. Streams with little
/// data to send have priority, so that a bulk transfer does not delay an interactive stream. Their
/// priority is limited, so that they cannot starve the others.
#[derive(Debug)]
pub(crate) struct Ready<Id> {
    bulk: VecDeque<Id>,
    sparse: VecDeque<Id>,
    /// Sparse streams served since the last bulk stream was served.
    served: u8,
}

impl<Id: Copy + PartialEq> Ready<Id> {
    /// Adds a stream. `sparse` states that it has little data to send.
    pub(crate) fn push(&mut self, id: Id, sparse: bool) {
        if sparse {
            self.sparse.push_back(id);
        } else {
            self.bulk.push_back(id);
        }
    }

    /// Removes and returns the stream that sends next.
    pub(crate) fn pop(&mut self) -> Option<Id> {
        if (self.served < MAX_SPARSE_IN_A_ROW || self.bulk.is_empty())
            && let Some(id) = self.sparse.pop_front()
        {
            self.served = self.served.saturating_add(1);
            return Some(id);
        }
        self.served = 0;
        self.bulk.pop_front()
    }

    /// The first stream for which the function returns `true`, sparse ones first.
    pub(crate) fn find(&self, mut is_wanted: impl FnMut(Id) -> bool) -> Option<Id> {
        let mut all = self.sparse.iter().chain(&self.bulk).copied();
        all.find(|id| is_wanted(*id))
    }

    /// Removes a stream.
    pub(crate) fn remove(&mut self, id: Id) {
        self.bulk.retain(|other| *other != id);
        self.sparse.retain(|other| *other != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bulk.is_empty() && self.sparse.is_empty()
    }
}

impl<Id> Default for Ready<Id> {
    fn default() -> Self {
        Self {
            bulk: VecDeque::new(),
            sparse: VecDeque::new(),
            served: 0,
        }
    }
}

/// Packets of sparse streams that are sent before one of a bulk stream. Chosen so that bulk streams
/// send at least a quarter of the packets.
const MAX_SPARSE_IN_A_ROW: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_streams_have_priority_but_every_fourth_packet_is_bulk() {
        let mut ready = Ready::default();
        for id in 0..6 {
            ready.push(id, true);
        }
        for id in 10..12 {
            ready.push(id, false);
        }
        ready.remove(4);
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order, [0, 1, 2, 10, 3, 5, 11]);
        assert!(ready.is_empty());
    }
}
