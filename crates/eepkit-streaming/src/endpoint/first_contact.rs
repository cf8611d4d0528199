//! The first-contact gate: one stream opens to a new peer, and the other streams wait until the
//! peer answers it.
//!
//! Each message that a router sends before the peer's first answer starts another encryption
//! session, with keys and lease set. Not all routers accept several of them. An i2pd peer from 2.55
//! on accepts one per 200 ms. If the local router is i2pd (over I2CP), it delivers only the first
//! message. The other messages would be retransmitted after a timeout, so waiting for one round
//! trip is faster.

use std::time::{Duration, Instant};

use super::keys::StreamKey;

/// The gate of one peer.
#[derive(Debug, Default)]
pub(super) struct FirstContact {
    /// The stream that opens. Bounded by the number of streams, as `waiting` is.
    opening: Option<StreamKey>,
    waiting: Vec<StreamKey>,
}

impl FirstContact {
    /// Whether the first packet of `stream` may be sent. If not, the stream waits for
    /// [`FirstContact::release`].
    pub(super) fn admit(&mut self, stream: StreamKey) -> bool {
        let opening = *self.opening.get_or_insert(stream);
        if opening != stream {
            self.waiting.push(stream);
        }
        opening == stream
    }

    /// Handles that `stream` was answered, has ended, or had to be retransmitted. Returns the
    /// streams that waited for it.
    pub(super) fn release(&mut self, stream: StreamKey) -> Vec<StreamKey> {
        if self.opening != Some(stream) {
            return Vec::new();
        }
        std::mem::take(self).waiting
    }
}

/// Whether the last packet of a peer arrived so recently that routers still have an encryption
/// session with it.
pub(super) fn is_recent(now: Instant, heard: Option<Instant>) -> bool {
    heard.is_some_and(|heard| now.saturating_duration_since(heard) < SESSION_LIFETIME)
}

/// i2pd starts another encryption session after 90 s of silence.
const SESSION_LIFETIME: Duration = Duration::from_secs(80);

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn streams_wait_for_the_one_that_opens_and_only_for_that() {
        let mut keys = SlotMap::with_key();
        let [first, second, third] = [(); 3].map(|()| keys.insert(()));
        let mut gate = FirstContact::default();
        assert!(gate.admit(first));
        assert!(gate.admit(first), "again");
        assert!(!gate.admit(second));
        assert!(!gate.admit(third));
        assert_eq!(gate.release(second), []);
        assert_eq!(gate.release(first), [second, third]);
        assert!(gate.admit(third));
    }
}
