//! Pings that wait for an answer.

use std::time::Instant;

use super::types::PingId;

#[derive(Debug, Default)]
pub(super) struct Pings(Vec<Pending>);

#[derive(Debug)]
struct Pending {
    id: PingId,
    sent: Instant,
    deadline: Instant,
}

impl Pings {
    pub(super) fn insert(&mut self, id: PingId, sent: Instant, deadline: Instant) {
        self.0.push(Pending { id, sent, deadline });
    }

    /// Removes an answered ping. Returns its id and when it was sent.
    pub(super) fn remove(&mut self, id: u32) -> Option<(PingId, Instant)> {
        let index = self.0.iter().position(|ping| ping.id.0 == id)?;
        let ping = self.0.swap_remove(index);
        Some((ping.id, ping.sent))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_PINGS
    }

    pub(super) fn contains(&self, id: PingId) -> bool {
        self.0.iter().any(|ping| ping.id == id)
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|ping| ping.deadline).min()
    }

    /// Removes and returns the pings that were not answered in time.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<PingId> {
        if self.next().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let expired = self
            .0
            .iter()
            .filter(|ping| ping.deadline <= now)
            .map(|ping| ping.id)
            .collect();
        self.0.retain(|ping| ping.deadline > now);
        expired
    }
}

/// The most waiting pings. Chosen because pings are sent by users and monitors, not in bulk.
const MAX_PINGS: usize = 256;
