//! The encryption session between two routers' sessions, as far as it decides which messages can be
//! decrypted.
//!
//! A message to a new peer begins an encryption session, and every such message can be decrypted.
//! Later messages belong to the encryption session. They can be decrypted only by the session that
//! has its keys. A session that was restored has none of the keys of the lost one, and the sender
//! does not get a report.

use tokio::time::{Duration, Instant};

/// The keys of one encryption session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId(u64);

/// How a message is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// To the key in the lease set; offers keys for an encryption session.
    Beginning(KeyId),
    /// With the keys of an encryption session.
    Within(KeyId),
}

/// What the router of a session does with encryption sessions that may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// As emissary-core 0.4.0: keeps the encryption session with a peer until nothing has arrived
    /// for ten minutes, even if the peer begins another.
    Keeps,
    /// As i2pd and Java I2P: uses the encryption session that a peer began last, and begins another
    /// after 90 s in which nothing arrived (i2pd's `ECIESX25519_INACTIVITY_TIMEOUT`).
    Replaces,
}

impl Policy {
    const fn lifetime(self) -> Duration {
        match self {
            Self::Keeps => Duration::from_secs(600),
            Self::Replaces => Duration::from_secs(90),
        }
    }
}

/// The keys that one session has for one peer.
#[derive(Debug, Default)]
pub(crate) struct Encryption {
    established: Option<KeyId>,
    /// The keys that were offered to the peer, and when, while it has not answered.
    offered: Option<(KeyId, Instant)>,
    /// When the encryption session was established, or a message in it arrived last.
    heard: Option<Instant>,
    /// The keys with which the peer last began an encryption session although one was established.
    begun: Option<(KeyId, Instant)>,
}

impl Encryption {
    /// Discards the encryption session, if there is enough evidence that the peer has lost its keys.
    /// Returns whether there was.
    ///
    /// The keys that were offered lately are kept: the peer may have accepted them, and its answer
    /// may be in flight.
    pub(crate) fn renew(&mut self, now: Instant, silence: Duration, least: Duration) -> bool {
        let within = |at, limit| now.saturating_duration_since(at) < limit;
        let begun = self.begun;
        let is_evident = begun.is_some_and(|(_, at)| within(at, RECENTLY));
        let is_silent = !silence.is_zero() && silence >= least;
        if !is_evident && !is_silent {
            return false;
        }
        let continued = begun.filter(|(_, at)| within(*at, USABLE));
        *self = Self {
            established: continued.map(|(keys, _)| keys),
            offered: self.offered.filter(|(_, at)| within(*at, USABLE)),
            heard: continued.map(|_| now),
            begun: None,
        };
        true
    }

    /// Encrypts a message. `next` numbers the keys of the network.
    pub(crate) fn seal(&mut self, now: Instant, policy: Policy, next: &mut u64) -> Sealed {
        let lost = |heard| now.saturating_duration_since(heard) > policy.lifetime();
        if self.heard.is_some_and(lost) {
            *self = Self::default();
        }
        if let Some(keys) = self.established {
            return Sealed::Within(keys);
        }
        let (keys, _) = self.offered.get_or_insert_with(|| {
            *next += 1;
            (KeyId(*next), now)
        });
        Sealed::Beginning(*keys)
    }

    /// Decrypts a message. Returns whether this was possible.
    pub(crate) fn open(&mut self, now: Instant, policy: Policy, sealed: Sealed) -> bool {
        match sealed {
            Sealed::Beginning(keys) => {
                if self.established.is_none() || policy == Policy::Replaces {
                    self.established = Some(keys);
                    self.heard = Some(now);
                } else {
                    self.begun = Some((keys, now));
                }
                true
            }
            Sealed::Within(keys) => {
                let is_offered = self.offered.is_some_and(|(offered, _)| offered == keys);
                let known = self.established == Some(keys) || is_offered;
                if known {
                    self.established.get_or_insert(keys);
                    self.heard = Some(now);
                }
                known
            }
        }
    }
}

/// How long a message that began an encryption session counts as evidence.
const RECENTLY: Duration = Duration::from_secs(2);
/// How long keys can be used that were offered to the other side, which has not answered. As for the
/// embedded router.
const USABLE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        a: Encryption,
        b: Encryption,
        policy: Policy,
        keys: u64,
        now: Instant,
    }

    impl Pair {
        fn new(policy: Policy) -> Self {
            Self {
                a: Encryption::default(),
                b: Encryption::default(),
                policy,
                keys: 0,
                now: Instant::now(),
            }
        }

        fn a_sends(&mut self) -> bool {
            let sealed = self.a.seal(self.now, self.policy, &mut self.keys);
            self.b.open(self.now, self.policy, sealed)
        }

        fn b_sends(&mut self) -> bool {
            let sealed = self.b.seal(self.now, self.policy, &mut self.keys);
            self.a.open(self.now, self.policy, sealed)
        }
    }

    #[test]
    fn messages_are_decrypted_from_the_first_on() {
        for policy in [Policy::Keeps, Policy::Replaces] {
            let mut pair = Pair::new(policy);
            for _ in 0..3 {
                assert!(pair.a_sends() && pair.b_sends(), "{policy:?}");
            }
        }
    }

    #[test]
    fn peers_that_begin_at_the_same_time_understand_each_other() {
        for policy in [Policy::Keeps, Policy::Replaces] {
            let mut pair = Pair::new(policy);
            let from_a = pair.a.seal(pair.now, policy, &mut pair.keys);
            let from_b = pair.b.seal(pair.now, policy, &mut pair.keys);
            assert!(pair.b.open(pair.now, policy, from_a));
            assert!(pair.a.open(pair.now, policy, from_b));
            for _ in 0..3 {
                assert!(pair.a_sends() && pair.b_sends(), "{policy:?}");
            }
        }
    }

    #[test]
    fn messages_within_a_lost_encryption_session_are_not_decrypted_before_it_expires() {
        for policy in [Policy::Keeps, Policy::Replaces] {
            let mut pair = Pair::new(policy);
            assert!(pair.a_sends() && pair.b_sends());
            pair.b = Encryption::default();
            assert!(!pair.a_sends(), "{policy:?}");
            pair.now += policy.lifetime() + Duration::from_secs(1);
            assert!(pair.a_sends() && pair.b_sends(), "{policy:?}");
        }
    }

    #[test]
    fn only_some_routers_accept_another_encryption_session_of_a_peer_that_lost_its_keys() {
        for (policy, replaced) in [(Policy::Keeps, false), (Policy::Replaces, true)] {
            let mut pair = Pair::new(policy);
            assert!(pair.a_sends() && pair.b_sends());
            pair.b = Encryption::default();
            assert!(pair.b_sends(), "the first message needs no common keys");
            assert_eq!(pair.a_sends(), replaced, "{policy:?}");
        }
    }
}
