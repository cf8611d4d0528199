//! What is due when.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Things that are due at a time, those of one instant in the order in which they were added.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    due: BTreeMap<Slot, T>,
    added: u64,
}

/// Names a thing on the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    at: Instant,
    order: u64,
}

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            added: 0,
        }
    }

    pub(super) fn add(&mut self, at: Instant, thing: T) -> Slot {
        self.added += 1;
        let slot = Slot {
            at,
            order: self.added,
        };
        self.due.insert(slot, thing);
        slot
    }

    /// Takes a thing off; nothing happens if it was due already.
    pub(super) fn cancel(&mut self, slot: Slot) -> Option<T> {
        self.due.remove(&slot)
    }

    /// When the next thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(slot, _)| slot.at)
    }

    /// The next thing, if it is due by `now`, and when it was due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        let first = self.due.first_entry()?;
        let at = first.key().at;
        (at <= now).then(|| (at, first.remove()))
    }
}
