//! Selects the messages for which the router is asked to report, and assigns the reports to
//! messages.
//!
//! A report costs a message in each direction, and on Java I2P an acknowledgement through the
//! network. One is therefore requested for the first message to a peer and then at intervals. Its
//! only useful content is that the peer's lease set was not found.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use eepkit_wire::Hash;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Reports {
    last_nonce: u32,
    /// Nonce and token of messages, oldest first.
    waiting: VecDeque<(u32, u64)>,
    /// The time of the last request for a report about each peer.
    asked: HashMap<Hash, Instant>,
}

impl Reports {
    /// Returns the nonce for a message, and whether to request a report about it.
    pub(super) fn next(&mut self, now: Instant, token: u64, to: Hash) -> (u32, bool) {
        self.last_nonce = self.last_nonce.checked_add(1).unwrap_or(1);
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.last_nonce, token));
        (self.last_nonce, self.is_due(now, to))
    }

    /// Returns the token of the message with this nonce. `is_final` means that no further report
    /// follows.
    pub(super) fn token(&mut self, nonce: u32, is_final: bool) -> Option<u64> {
        let at = self
            .waiting
            .iter()
            .rposition(|(waiting, _)| *waiting == nonce)?;
        let (_, token) = self.waiting[at];
        if is_final {
            self.waiting.remove(at);
        }
        Some(token)
    }

    fn is_due(&mut self, now: Instant, to: Hash) -> bool {
        if let Some(last) = self.asked.get(&to)
            && now.saturating_duration_since(*last) < INTERVAL
        {
            return false;
        }
        if self.asked.len() >= MAX_PEERS {
            self.asked
                .retain(|_, last| now.saturating_duration_since(*last) < INTERVAL);
        }
        if self.asked.len() < MAX_PEERS {
            self.asked.insert(to, now);
        }
        true
    }
}

/// The time between requests about one peer. Chosen as the time within which a lease set is looked
/// up.
const INTERVAL: Duration = Duration::from_secs(10);

/// The maximum number of messages that may still be reported. Chosen because routers report within
/// seconds. The oldest messages without a report are forgotten.
const MAX_WAITING: usize = 1024;

/// The maximum number of peers whose last request is recorded. Above it, reports are requested more
/// often.
const MAX_PEERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_message_to_a_peer_and_occasional_later_ones_are_reported() {
        let mut reports = Reports::default();
        let (alice, bob) = (Hash::new([1; 32]), Hash::new([2; 32]));
        let now = Instant::now();
        assert_eq!(reports.next(now, 10, alice), (1, true));
        assert_eq!(reports.next(now, 11, alice), (2, false));
        assert_eq!(reports.next(now, 12, bob), (3, true));
        assert_eq!(reports.next(now + INTERVAL, 13, alice), (4, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_finds_its_token_until_it_is_final() {
        let mut reports = Reports::default();
        let (nonce, _) = reports.next(Instant::now(), 77, Hash::new([1; 32]));
        assert_eq!(reports.token(nonce, false), Some(77));
        assert_eq!(reports.token(nonce, true), Some(77));
        assert_eq!(reports.token(nonce, true), None);
        assert_eq!(reports.token(999, true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn recorded_reports_are_limited() {
        let mut reports = Reports::default();
        let now = Instant::now();
        for n in 0..5_000_u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            reports.next(now, u64::from(n), Hash::new(hash));
        }
        assert_eq!(reports.waiting.len(), MAX_WAITING);
        assert_eq!(reports.asked.len(), MAX_PEERS);
        assert_eq!(reports.token(1, true), None);
        assert_eq!(reports.token(5_000, true), Some(4_999));
    }
}
