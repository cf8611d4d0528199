//! The reassembly buffer, which orders received packets and tracks missing ones.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use crate::seq::SeqRing;

/// The receiving half of a stream.
///
/// Delivers every payload once, in the order of sequence numbers, and the end of the stream after
/// all payloads. In-order packets do not pass through the ring.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// The sequence number that is expected next. All lower ones have arrived.
    next: u32,
    /// Packets above `next` that arrived early. If the ring is not empty, its first slot is empty.
    early: SeqRing<Option<Chunk>>,
    /// The ranges missing between `next` and the highest packet received, in order.
    holes: Vec<Range<u32>>,
    /// Payloads in order, not yet read.
    ready: VecDeque<Chunk>,
    /// Memory held by `ready` and by `early`.
    ready_cost: usize,
    early_cost: usize,
    /// Sequence number of the packet that carried CLOSE.
    end: Option<u32>,
    /// There is no reader any more. Payloads are dropped, and sequence numbers are still tracked.
    discard: bool,
}

/// A payload and the memory that its buffer uses.
#[derive(Debug)]
struct Chunk {
    data: Bytes,
    cost: usize,
}

/// The result of inserting a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// The packet was the next one in order.
    InOrder {
        /// Whether the packet closed a hole, so that later packets that had arrived are in order
        /// too.
        filled: bool,
    },
    /// The packet arrived before a lower one.
    Early {
        /// Whether the packet revealed that other packets are missing.
        hole: bool,
    },
    /// The packet had arrived before.
    Duplicate,
    /// The buffer has no room. The packet is treated as lost.
    NoRoom,
    /// The packet lies beyond the end of the stream, or ends it below a packet that has arrived.
    Impossible,
}

impl Reassembly {
    /// `next` is the first sequence number to expect.
    pub(crate) const fn new(next: u32) -> Self {
        Self {
            next,
            early: SeqRing::new(next),
            holes: Vec::new(),
            ready: VecDeque::new(),
            ready_cost: 0,
            early_cost: 0,
            end: None,
            discard: false,
        }
    }

    /// Inserts a packet. `cost` is the memory its buffer occupies, `limit` the maximum, both in
    /// bytes.
    ///
    /// The packet expected next is accepted as long as the reader has less than `limit` unread, so
    /// that packets waiting behind a hole cannot keep the hole open.
    pub(crate) fn insert(
        &mut self,
        seq: u32,
        data: Bytes,
        cost: usize,
        close: bool,
        limit: usize,
    ) -> Inserted {
        if seq < self.next || self.early.get(seq).is_some_and(Option::is_some) {
            return Inserted::Duplicate;
        }
        if self.end.is_some_and(|end| seq > end)
            || (close && seq < self.highest_end().saturating_sub(1))
        {
            return Inserted::Impossible;
        }
        if seq - self.next >= MAX_SPAN {
            return Inserted::NoRoom;
        }
        let cost = cost.max(data.len()) + CHUNK_OVERHEAD;
        let in_order = seq == self.next;
        let held = if in_order {
            self.ready_cost
        } else {
            self.ready_cost + self.early_cost
        };
        if held + cost > limit && !(in_order && self.ready.is_empty()) {
            return Inserted::NoRoom;
        }
        if close {
            self.end = Some(seq);
        }
        let chunk = Chunk { data, cost };
        if in_order {
            self.take_in_order(chunk)
        } else {
            self.take_early(seq, chunk)
        }
    }

    fn take_in_order(&mut self, chunk: Chunk) -> Inserted {
        self.push_ready(chunk);
        self.next += 1;
        if self.early.is_empty() {
            self.early.skip();
            return Inserted::InOrder { filled: false };
        }
        self.early.pop_front();
        let arrived = self.next - 1;
        self.fill(arrived);
        while matches!(self.early.front(), Some(Some(_))) {
            if let Some(Some(chunk)) = self.early.pop_front() {
                self.early_cost -= chunk.cost;
                self.push_ready(chunk);
                self.next += 1;
            }
        }
        self.early.shrink(KEEP_EARLY);
        Inserted::InOrder { filled: true }
    }

    fn take_early(&mut self, seq: u32, chunk: Chunk) -> Inserted {
        let highest_end = self.highest_end();
        let hole = seq > highest_end;
        if seq >= highest_end {
            if hole {
                self.holes.push(highest_end..seq);
            }
            while self.early.end() < seq {
                self.early.push(None);
            }
            self.early_cost += chunk.cost;
            self.early.push(Some(chunk));
        } else {
            self.fill(seq);
            self.early_cost += chunk.cost;
            if let Some(slot) = self.early.get_mut(seq) {
                *slot = Some(chunk);
            }
        }
        Inserted::Early { hole }
    }

    fn push_ready(&mut self, chunk: Chunk) {
        if !chunk.data.is_empty() && !self.discard {
            self.ready_cost += chunk.cost;
            self.ready.push_back(chunk);
        }
    }

    /// One past the highest sequence number received.
    fn highest_end(&self) -> u32 {
        if self.early.is_empty() {
            self.next
        } else {
            self.early.end()
        }
    }

    /// Removes `seq` from the holes.
    fn fill(&mut self, seq: u32) {
        let index = self.holes.partition_point(|hole| hole.end <= seq);
        let Some(hole) = self.holes.get_mut(index) else {
            return;
        };
        if !hole.contains(&seq) {
            return;
        }
        match (hole.start == seq, hole.end == seq + 1) {
            (true, true) => {
                self.holes.remove(index);
            }
            (true, false) => hole.start += 1,
            (false, true) => hole.end -= 1,
            (false, false) => {
                let rest = seq + 1..hole.end;
                hole.end = seq;
                self.holes.insert(index + 1, rest);
            }
        }
    }

    /// Returns up to `max` bytes of the next payload, without copying.
    pub(crate) fn read(&mut self, max: usize) -> Option<Bytes> {
        let front = self.ready.front_mut()?;
        if front.data.len() > max {
            return Some(front.data.split_to(max));
        }
        let chunk = self.ready.pop_front()?;
        self.ready_cost -= chunk.cost;
        if self.ready.is_empty() && self.ready.capacity() > KEEP_READY {
            self.ready = VecDeque::new();
        }
        Some(chunk.data)
    }

    /// Whether a read would return bytes.
    pub(crate) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether all packets up to CLOSE have arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.next > end)
    }

    /// The sequence number expected next.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// Whether packets below the highest received one are missing.
    pub(crate) fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Bytes of memory held.
    pub(crate) const fn cost(&self) -> usize {
        self.ready_cost + self.early_cost
    }

    /// Bytes of memory held for the reader, in order.
    pub(crate) const fn unread_cost(&self) -> usize {
        self.ready_cost
    }

    /// The content of an acknowledgement: returns the highest packet that it can describe, and
    /// fills `nacks` with the missing packets below.
    ///
    /// An acknowledgement has room for 255 missing packets. If there are more, it ends before the
    /// first one that does not fit. The specification leaves this open; i2pd does the same. `None`
    /// before a packet has arrived.
    pub(crate) fn acknowledge(&self, nacks: &mut Vec<u32>) -> Option<u32> {
        nacks.clear();
        for hole in &self.holes {
            if hole.len() > MAX_NACKS - nacks.len() {
                return hole.start.checked_sub(1);
            }
            nacks.extend(hole.clone());
        }
        self.highest_end().checked_sub(1)
    }

    /// The highest packet below which nothing is missing.
    pub(crate) fn acknowledge_in_order(&self) -> Option<u32> {
        self.next.checked_sub(1)
    }

    /// Drops unread and all later payloads. Returns whether any payload was unread.
    pub(crate) fn discard(&mut self) -> bool {
        self.discard = true;
        let unread = !self.ready.is_empty();
        self.ready = VecDeque::new();
        self.ready_cost = 0;
        unread
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.discard();
        self.early.clear();
        self.early_cost = 0;
        self.holes = Vec::new();
    }
}

/// The most missing packets in an acknowledgement, whose count is one byte.
pub(crate) const MAX_NACKS: usize = 255;
/// The largest distance of a packet from the next expected one. Chosen as twice the largest cwnd of
/// this crate, because the cwnd of a peer starts at the last acknowledgement that it received.
const MAX_SPAN: u32 = 8192;
/// Memory of the bookkeeping per payload, so that empty packets count as well.
const CHUNK_OVERHEAD: usize = 64;
/// Slots that stay allocated when a queue is empty. Chosen so that an idle stream does not keep the
/// memory of its largest queue.
const KEEP_READY: usize = 32;
const KEEP_EARLY: usize = 32;

#[cfg(test)]
mod tests;
