//! Pings that wait for an answer.

use std::time::Instant;

use eepkit_wire::Hash;

use super::types::PingId;

#[derive(Debug, Default)]
pub(super) struct Pings(Vec<Pending>);

#[derive(Debug)]
struct Pending {
    id: PingId,
    sent: Instant,
    deadline: Instant,
    to: Hash,
    purpose: Purpose,
}

/// Why a ping was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The application requested it.
    Application,
    /// The endpoint tests whether the peer is silent.
    Silence,
}

/// An answered ping.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) id: PingId,
    pub(super) sent: Instant,
    pub(super) to: Hash,
    pub(super) purpose: Purpose,
}

impl Pings {
    pub(super) fn insert(
        &mut self,
        id: PingId,
        sent: Instant,
        deadline: Instant,
        to: Hash,
        purpose: Purpose,
    ) {
        self.0.push(Pending {
            id,
            sent,
            deadline,
            to,
            purpose,
        });
    }

    /// Removes an answered ping.
    pub(super) fn remove(&mut self, id: u32) -> Option<Answered> {
        let index = self.0.iter().position(|ping| ping.id.0 == id)?;
        let Pending {
            id,
            sent,
            to,
            purpose,
            ..
        } = self.0.swap_remove(index);
        Some(Answered {
            id,
            sent,
            to,
            purpose,
        })
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

    /// Removes the pings that were not answered in time. Returns those of the application.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<PingId> {
        if self.next().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let expired = self
            .0
            .iter()
            .filter(|ping| ping.deadline <= now && ping.purpose == Purpose::Application)
            .map(|ping| ping.id)
            .collect();
        self.0.retain(|ping| ping.deadline > now);
        expired
    }
}

/// The most waiting pings. Chosen because pings are sent by users and monitors, not in bulk.
const MAX_PINGS: usize = 256;
