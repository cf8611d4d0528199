//! A queue of events by time.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Events by time. Events of the same instant stay in the order in which they were added.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    due: BTreeMap<Slot, T>,
    added: u64,
}

/// Identifies an event in the queue.
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

    /// Removes an event. Does nothing if the event was due already.
    pub(super) fn cancel(&mut self, slot: Slot) -> Option<T> {
        self.due.remove(&slot)
    }

    /// The time of the next event.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(slot, _)| slot.at)
    }

    /// Removes and returns the next event if it is due by `now`, with the time at which it was due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        let first = self.due.first_entry()?;
        let at = first.key().at;
        (at <= now).then(|| (at, first.remove()))
    }
}
