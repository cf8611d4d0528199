//! A ring indexed by sequence number.
//!
//! Sequence numbers of the streaming protocol do not wrap. The specification is silent about it,
//! and a stream ends before 2^32 packets. Plain `u32` comparison therefore orders them.

use std::collections::VecDeque;

/// The highest sequence number that a stream uses; writing past it fails.
///
/// Chosen because one past it still fits `u32`, and 2^32 packets are 7 TB.
pub(crate) const LAST_SEQ: u32 = u32::MAX - 1;

/// Values with consecutive sequence numbers, starting at `first`, with access by number in O(1).
#[derive(Debug)]
pub(crate) struct SeqRing<T> {
    first: u32,
    items: VecDeque<T>,
}

impl<T> SeqRing<T> {
    /// An empty ring. The next pushed value gets the number `first`. Does not allocate.
    pub(crate) const fn new(first: u32) -> Self {
        Self {
            first,
            items: VecDeque::new(),
        }
    }

    /// The number of the oldest value, or of the next pushed value if the ring is empty.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// One past the number of the newest value.
    pub(crate) fn end(&self) -> u32 {
        self.first.saturating_add(self.len())
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn index(&self, seq: u32) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.first)?).ok()
    }

    pub(crate) fn get(&self, seq: u32) -> Option<&T> {
        self.items.get(self.index(seq)?)
    }

    pub(crate) fn get_mut(&mut self, seq: u32) -> Option<&mut T> {
        let index = self.index(seq)?;
        self.items.get_mut(index)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.items.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.items.back()
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.items.back_mut()
    }

    /// Appends a value and returns its number.
    pub(crate) fn push(&mut self, item: T) -> u32 {
        let seq = self.end();
        self.items.push_back(item);
        seq
    }

    /// Removes the oldest value and advances to the next number.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.first = self.first.saturating_add(1);
        Some(item)
    }

    /// Removes the newest value. The next push reuses its number.
    pub(crate) fn pop_back(&mut self) -> Option<T> {
        self.items.pop_back()
    }

    /// Advances an empty ring by one number.
    pub(crate) fn skip(&mut self) {
        debug_assert!(self.items.is_empty());
        self.first = self.first.saturating_add(1);
    }

    /// Releases memory if the ring is empty and has capacity for more than `keep` values.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.items.is_empty() && self.items.capacity() > keep {
            self.items = VecDeque::new();
        }
    }

    /// Removes all values. The next pushed value gets the number `self.end()`.
    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.items = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_pushes_and_pops() {
        let mut ring = SeqRing::new(7);
        assert_eq!((ring.push('a'), ring.push('b'), ring.push('c')), (7, 8, 9));
        assert_eq!(ring.pop_front(), Some('a'));
        assert_eq!(ring.first(), 8);
        assert_eq!(ring.get(7), None);
        assert_eq!(ring.get(9), Some(&'c'));
        assert_eq!(ring.get(10), None);
        assert_eq!(ring.end(), 10);
        assert_eq!(ring.pop_back(), Some('c'));
        assert_eq!(ring.push('d'), 9);
    }

    #[test]
    fn an_empty_ring_can_skip_a_number() {
        let mut ring: SeqRing<u8> = SeqRing::new(0);
        ring.skip();
        assert_eq!(ring.push(1), 1);
    }

    #[test]
    fn clearing_keeps_counting() {
        let mut ring = SeqRing::new(3);
        ring.push(1);
        ring.push(2);
        ring.clear();
        assert_eq!((ring.first(), ring.end()), (5, 5));
    }
}
