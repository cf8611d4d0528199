//! Which messages the router is asked about, and whose answer is whose.
//!
//! A report costs a message each way, and on Java I2P an acknowledgement through the network. So
//! one is asked for with the first message to a peer and then from time to time: it tells that the
//! peer's lease set is not found, which is what can be learned from it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use eepkit_wire::Hash;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Reports {
    last_nonce: u32,
    /// Nonce and token of messages, the oldest first.
    waiting: VecDeque<(u32, u64)>,
    /// When a report about a peer was last asked for.
    asked: HashMap<Hash, Instant>,
}

impl Reports {
    /// The nonce for a message, and whether to ask the router about it.
    pub(super) fn next(&mut self, now: Instant, token: u64, to: Hash) -> (u32, bool) {
        self.last_nonce = self.last_nonce.checked_add(1).unwrap_or(1);
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.last_nonce, token));
        (self.last_nonce, self.is_due(now, to))
    }

    /// The token of the message with this nonce. `is_final` says that no further report comes.
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

/// Between reports about one peer. Chosen as the time within which a lease set is looked up.
const INTERVAL: Duration = Duration::from_secs(10);

/// Messages that a report may still come for. Routers report within seconds; of those that go
/// missing the oldest are forgotten.
const MAX_WAITING: usize = 1024;

/// Peers whose last report is remembered; beyond this, reports are asked for more often.
const MAX_PEERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_message_to_a_peer_is_reported_and_one_in_a_while() {
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
    async fn what_is_remembered_is_bounded() {
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
