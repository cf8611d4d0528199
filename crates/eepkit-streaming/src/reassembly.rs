//! The reassembly buffer: puts arriving packets in order and tracks which are missing.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use crate::seq::SeqRing;

/// The receiving half of a stream.
///
/// Delivers every payload once, in the order of sequence numbers, and the end of the stream only
/// after all of them. In-order packets never touch the ring.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// The sequence number that is expected next; everything below has arrived.
    next: u32,
    /// Packets from `next` on that arrived early. Its first slot is empty whenever it has any.
    early: SeqRing<Option<Chunk>>,
    /// What is missing between `next` and the highest packet received, in order.
    holes: Vec<Range<u32>>,
    /// Payloads in order, not yet read.
    ready: VecDeque<Chunk>,
    /// Memory held by `ready` and by `early`.
    ready_cost: usize,
    early_cost: usize,
    /// Sequence number of the packet that carried CLOSE.
    end: Option<u32>,
    /// The reader is gone: payloads are dropped, sequence numbers are still tracked.
    discard: bool,
}

/// A payload and what it keeps in memory.
#[derive(Debug)]
struct Chunk {
    data: Bytes,
    cost: usize,
}

/// The result of inserting a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was the next one. `filled` says whether it also closed a hole.
    InOrder {
        /// Packets that had arrived before it and follow it.
        filled: bool,
    },
    /// It came early; `hole` says whether it showed that others are missing.
    Early {
        /// A packet below it was found missing.
        hole: bool,
    },
    /// It was here before.
    Duplicate,
    /// There is no room; the packet is treated as lost.
    NoRoom,
    /// It lies behind the end of the stream or beyond any possible window.
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

    /// Takes `seq` out of the holes.
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

    /// Takes up to `max` bytes of the next payload, without copying.
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

    /// Whether everything including CLOSE has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.next > end)
    }

    /// The sequence number expected next.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// Packets missing below the highest received.
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

    /// What an acknowledgement says: the highest packet it can describe, and what is missing below.
    ///
    /// At most 255 missing packets fit; beyond them the answer stops short, as the specification
    /// leaves open and i2pd does. `None` before anything arrived.
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

    /// Drops what is unread and what comes from now on. Returns whether anything was unread.
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

/// One byte counts the missing packets of an acknowledgement.
pub(crate) const MAX_NACKS: usize = 255;
/// How far ahead of the next expected packet one may lie. Twice the largest cwnd of this crate,
/// because peers count their cwnd from what they know to be acknowledged.
const MAX_SPAN: u32 = 8192;
/// Bookkeeping per payload, so that empty packets are not free.
const CHUNK_OVERHEAD: usize = 64;
/// Slots kept allocated when the queues run empty; an idle stream should not hold the memory of its
/// busiest moment.
const KEEP_READY: usize = 32;
const KEEP_EARLY: usize = 32;

#[cfg(test)]
mod tests;
