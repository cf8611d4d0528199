//! First messages to peers, and those that wait for them: on routers that lose what follows too early
//! (`Session::introduces_peers` says which, and why).

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use eepkit_wire::Hash;
use tokio::time::Instant;

use eepkit_link::Outgoing;

#[derive(Debug, Default)]
pub(super) struct Introductions {
    /// When peers were last sent to.
    known: HashMap<Hash, Instant>,
    /// First messages that the router has not reported on, the oldest first.
    under_way: VecDeque<Introduction>,
    /// Messages that wait for all peers, and their bytes.
    held: usize,
    held_bytes: usize,
}

#[derive(Debug)]
struct Introduction {
    to: Hash,
    nonce: u32,
    until: Instant,
    held: VecDeque<Outgoing>,
}

/// What to do with a message.
#[derive(Debug)]
pub(super) enum Admission {
    /// It goes.
    Go(Outgoing),
    /// It goes, and is the first to this peer: [`Introductions::begin`] follows.
    First(Outgoing),
    /// It waits.
    Held,
}

impl Introductions {
    /// Whether so much waits that nothing more may be sent.
    pub(super) fn is_full(&self) -> bool {
        self.held >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES
    }

    pub(super) fn admit(&mut self, now: Instant, outgoing: Outgoing) -> Admission {
        let to = outgoing.to.hash();
        if let Some(introduction) = self.under_way.iter_mut().find(|one| one.to == to) {
            self.held += 1;
            self.held_bytes += outgoing.payload.body.len();
            introduction.held.push_back(outgoing);
            return Admission::Held;
        }
        if self.is_known(now, to) || self.under_way.len() >= MAX_UNDER_WAY {
            Admission::Go(outgoing)
        } else {
            Admission::First(outgoing)
        }
    }

    /// Whether a peer was sent to lately; from now on it was.
    fn is_known(&mut self, now: Instant, to: Hash) -> bool {
        let is_recent = |last: &Instant| now.saturating_duration_since(*last) < KNOWN;
        if let Some(last) = self.known.get_mut(&to) {
            return is_recent(&std::mem::replace(last, now));
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, last| is_recent(last));
        }
        if self.known.len() < MAX_KNOWN {
            self.known.insert(to, now);
            return false;
        }
        // Nobody can tell: nothing waits.
        true
    }

    /// The first message to `to` went to the router.
    pub(super) fn begin(&mut self, now: Instant, to: Hash, nonce: u32) {
        self.under_way.push_back(Introduction {
            to,
            nonce,
            until: now + PATIENCE,
            held: VecDeque::new(),
        });
    }

    /// The router reported on a message: what waited for it.
    pub(super) fn reported(&mut self, nonce: u32) -> VecDeque<Outgoing> {
        let at = self.under_way.iter().position(|one| one.nonce == nonce);
        at.map_or_else(VecDeque::new, |at| self.take(at))
    }

    /// When the router has taken too long.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.under_way.front().map(|one| one.until)
    }

    /// What has waited for too long.
    pub(super) fn expired(&mut self, now: Instant) -> VecDeque<Outgoing> {
        match self.under_way.front() {
            Some(first) if first.until <= now => self.take(0),
            _ => VecDeque::new(),
        }
    }

    /// All that waits, at the end of the session.
    pub(super) fn take_all(&mut self) -> Vec<Outgoing> {
        let all = std::mem::take(&mut self.under_way);
        (self.held, self.held_bytes) = (0, 0);
        all.into_iter().flat_map(|one| one.held).collect()
    }

    fn take(&mut self, at: usize) -> VecDeque<Outgoing> {
        let held = self.under_way.remove(at).map(|one| one.held);
        let held = held.unwrap_or_default();
        let bytes: usize = held.iter().map(|one| one.payload.body.len()).sum();
        self.held -= held.len();
        self.held_bytes -= bytes;
        held
    }
}

/// How long ago a peer may have been sent to and still be known: i2pd begins another session of
/// encryption after 90 s of silence.
const KNOWN: Duration = Duration::from_secs(60);

/// How long a report is waited for. Chosen as longer than a look-up takes as a rule, and short beside
/// the time that connecting may take, for routers that report late or never.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages that wait for all peers. Chosen as more streams than are opened at once.
const MAX_HELD: usize = 256;

/// Their bytes, and one message more. Chosen as what waits for the router otherwise.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// Introductions under way; beyond this nothing waits.
const MAX_UNDER_WAY: usize = 256;

/// Peers that are remembered; beyond this nothing waits.
const MAX_KNOWN: usize = 4096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eepkit_wire::{Destination, PrivateKeys, SignatureType};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use eepkit_link::{PathChoice, Payload, SendOptions};

    fn destination(seed: u64) -> Destination {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
        keys.destination().clone()
    }

    fn message(token: u64, to: &Destination, len: usize) -> Outgoing {
        Outgoing {
            token,
            to: to.clone(),
            path: PathChoice::Auto,
            payload: Payload {
                protocol: 6,
                from_port: 0,
                to_port: 0,
                body: Bytes::from(vec![0; len]),
            },
            compress: false,
            deadline: Instant::now() + Duration::from_secs(60),
            options: SendOptions::default(),
        }
    }

    fn introduce(introductions: &mut Introductions, to: &Destination, nonce: u32) {
        let first = introductions.admit(Instant::now(), message(0, to, 1));
        assert!(matches!(first, Admission::First(_)), "{first:?}");
        introductions.begin(Instant::now(), to.hash(), nonce);
    }

    fn tokens(held: VecDeque<Outgoing>) -> Vec<u64> {
        held.into_iter().map(|one| one.token).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn messages_wait_for_the_report_on_the_first_in_their_order() {
        let mut introductions = Introductions::default();
        let (alice, bob) = (destination(1), destination(2));
        introduce(&mut introductions, &alice, 7);
        let now = Instant::now();
        for token in 1..4 {
            let held = introductions.admit(now, message(token, &alice, 1));
            assert!(matches!(held, Admission::Held), "{held:?}");
        }
        introduce(&mut introductions, &bob, 8);
        assert!(introductions.reported(6).is_empty());
        assert_eq!(tokens(introductions.reported(7)), [1, 2, 3]);
        let next = introductions.admit(now, message(4, &alice, 1));
        assert!(matches!(next, Admission::Go(_)), "{next:?}");
        assert_eq!(introductions.held_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_that_never_reports_holds_nothing_up_for_long() {
        let mut introductions = Introductions::default();
        let alice = destination(1);
        introduce(&mut introductions, &alice, 7);
        introductions.admit(Instant::now(), message(1, &alice, 1));
        assert!(introductions.expired(Instant::now()).is_empty());
        let due = introductions.next_timeout().expect("one is under way");
        assert_eq!(tokens(introductions.expired(due)), [1]);
        assert_eq!(introductions.next_timeout(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_nothing_was_sent_to_for_a_minute_is_introduced_anew() {
        let mut introductions = Introductions::default();
        let alice = destination(1);
        introduce(&mut introductions, &alice, 7);
        introductions.reported(7);
        tokio::time::advance(KNOWN / 2).await;
        let known = introductions.admit(Instant::now(), message(1, &alice, 1));
        assert!(matches!(known, Admission::Go(_)), "{known:?}");
        tokio::time::advance(KNOWN).await;
        introduce(&mut introductions, &alice, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_in_number_and_bytes() {
        let mut introductions = Introductions::default();
        let (alice, bob) = (destination(1), destination(2));
        introduce(&mut introductions, &alice, 7);
        introduce(&mut introductions, &bob, 8);
        let now = Instant::now();
        for token in 0..MAX_HELD as u64 {
            assert!(!introductions.is_full());
            introductions.admit(now, message(token, &alice, 1));
        }
        assert!(introductions.is_full());
        assert_eq!(tokens(introductions.reported(7)).len(), MAX_HELD);
        assert!(!introductions.is_full());
        introductions.admit(now, message(999, &bob, MAX_HELD_BYTES));
        assert!(introductions.is_full());
        assert_eq!(introductions.take_all().len(), 1);
        assert!(!introductions.is_full());
    }
}
