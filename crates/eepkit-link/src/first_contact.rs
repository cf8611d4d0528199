//! The first-contact gate: one message to a new peer until the router has reported on it.
//!
//! If several messages are sent to a peer with which the router has no encryption session yet, some
//! routers deliver only one of them. A link declares its router's [`FirstContact`] policy, and a
//! [`Gate`] applies it to every message of a session, of streams and of datagrams. Messages to
//! other peers are never delayed.
//!
//! The gate protects against limits of the own router. The streaming endpoint has a similar rule,
//! because the peer's router may limit new encryption sessions too: on every link, the endpoint
//! opens one stream to a new peer and waits for the answer. This rule is in the endpoint because
//! only the endpoint can detect that a peer has answered.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use eepkit_wire::Hash;
use tokio::time::Instant;

use crate::Outgoing;

/// The number of messages that a router accepts for a peer with which it has no encryption session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FirstContact {
    /// Any number.
    Unlimited,
    /// One, until the router has reported its delivery status.
    OneUntilReport,
}

/// Holds messages to new peers until the router has reported on the first one.
///
/// `Report` identifies a message in the router's reports.
#[derive(Debug)]
pub struct Gate<Report> {
    /// The time of the last message to each peer. At most [`MAX_KNOWN`] entries.
    known: HashMap<Hash, Instant>,
    /// First messages without a report, the oldest first. At most [`MAX_CONTACTS`].
    contacts: VecDeque<Contact<Report>>,
    /// Bytes held for all peers.
    held_bytes: usize,
}

#[derive(Debug)]
struct Contact<Report> {
    to: Hash,
    report: Report,
    /// The time after which the gate no longer waits for the report.
    until: Instant,
    /// The held messages. At most [`MAX_HELD`] messages and [`MAX_HELD_BYTES`] bytes.
    held: VecDeque<Outgoing>,
    held_bytes: usize,
}

/// The gate's decision about a message.
#[derive(Debug)]
pub enum Admission {
    /// The caller sends the message.
    Send(Outgoing),
    /// The message is the first to its peer. The caller sends it and calls [`Gate::begin`].
    First(Outgoing),
    /// The gate holds the message.
    Held,
    /// The caller drops the message, because too many messages are held.
    Overflow(Outgoing),
}

impl<Report: Copy + PartialEq> Gate<Report> {
    /// Decides whether a message is sent, held or dropped.
    pub fn admit(&mut self, now: Instant, policy: FirstContact, outgoing: Outgoing) -> Admission {
        if policy == FirstContact::Unlimited {
            return Admission::Send(outgoing);
        }
        let to = outgoing.to.hash();
        if let Some(contact) = self.contacts.iter_mut().find(|one| one.to == to) {
            let bytes = outgoing.payload.body.len();
            if contact.held.len() >= MAX_HELD
                || contact.held_bytes + bytes > MAX_HELD_BYTES
                || self.held_bytes + bytes > MAX_TOTAL_BYTES
            {
                return Admission::Overflow(outgoing);
            }
            contact.held_bytes += bytes;
            self.held_bytes += bytes;
            contact.held.push_back(outgoing);
            return Admission::Held;
        }
        if self.is_known(now, to) || self.contacts.len() >= MAX_CONTACTS {
            Admission::Send(outgoing)
        } else {
            Admission::First(outgoing)
        }
    }

    /// Whether a message to this peer was sent recently. Records that one is sent now.
    fn is_known(&mut self, now: Instant, to: Hash) -> bool {
        let is_recent = |last: &Instant| now.saturating_duration_since(*last) < SESSION_LIFETIME;
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
        // The table is full, so it is unknown whether the peer is new. Messages to it are not held.
        true
    }

    /// Records that the first message to `to` was sent to the router, which reports on it as
    /// `report`.
    pub fn begin(&mut self, now: Instant, to: Hash, report: Report) {
        self.contacts.push_back(Contact {
            to,
            report,
            until: now + REPORT_TIMEOUT,
            held: VecDeque::new(),
            held_bytes: 0,
        });
    }

    /// Records that the router has reported on a message. Returns the messages that were held until
    /// this report, in their order.
    pub fn reported(&mut self, report: Report) -> VecDeque<Outgoing> {
        let at = self.contacts.iter().position(|one| one.report == report);
        at.map_or_else(VecDeque::new, |at| self.take(at))
    }

    /// The time of the next call of [`Gate::expired`].
    pub fn next_timeout(&self) -> Option<Instant> {
        self.contacts.front().map(|one| one.until)
    }

    /// Returns the messages that were held for one report that is overdue. Empty if no report is
    /// overdue.
    pub fn expired(&mut self, now: Instant) -> VecDeque<Outgoing> {
        match self.contacts.front() {
            Some(first) if first.until <= now => self.take(0),
            _ => VecDeque::new(),
        }
    }

    /// Returns all held messages. Used when the session ends.
    pub fn take_all(&mut self) -> Vec<Outgoing> {
        let all = std::mem::take(&mut self.contacts);
        self.held_bytes = 0;
        all.into_iter().flat_map(|one| one.held).collect()
    }

    fn take(&mut self, at: usize) -> VecDeque<Outgoing> {
        let Some(contact) = self.contacts.remove(at) else {
            return VecDeque::new();
        };
        self.held_bytes -= contact.held_bytes;
        contact.held
    }
}

impl<Report> Default for Gate<Report> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            contacts: VecDeque::new(),
            held_bytes: 0,
        }
    }
}

/// The time after the last message during which a peer is treated as known. Chosen because i2pd
/// starts another encryption session after 90 s without messages.
const SESSION_LIFETIME: Duration = Duration::from_secs(60);

/// The longest time to wait for a report, for routers that report late or never. Chosen as longer
/// than most look-ups take, and short compared with the timeout of connecting.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest number of messages held for one peer. Chosen as more than the number of streams that
/// an application opens to a peer at once.
const MAX_HELD: usize = 256;

/// The largest number of bytes held for one peer. Chosen as four messages of the maximum length.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// The largest number of bytes held for all peers. Chosen as 32 times [`MAX_HELD_BYTES`].
const MAX_TOTAL_BYTES: usize = 8 * 1024 * 1024;

/// The largest number of first messages without a report. Messages to further peers are not held.
const MAX_CONTACTS: usize = 256;

/// The largest number of peers in the table of known peers. Messages to further peers are not held.
const MAX_KNOWN: usize = 4096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eepkit_wire::{Destination, PrivateKeys, SignatureType};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{PathChoice, Payload, SendOptions};

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

    fn admit(gate: &mut Gate<u32>, message: Outgoing) -> Admission {
        gate.admit(Instant::now(), FirstContact::OneUntilReport, message)
    }

    fn contact(gate: &mut Gate<u32>, to: &Destination, report: u32) {
        let first = admit(gate, message(0, to, 1));
        assert!(matches!(first, Admission::First(_)), "{first:?}");
        gate.begin(Instant::now(), to.hash(), report);
    }

    fn tokens(held: VecDeque<Outgoing>) -> Vec<u64> {
        held.into_iter().map(|one| one.token).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_held_in_order_until_the_report_on_the_first() {
        let mut gate = Gate::default();
        let (alice, bob) = (destination(1), destination(2));
        contact(&mut gate, &alice, 7);
        for token in 1..4 {
            let held = admit(&mut gate, message(token, &alice, 1));
            assert!(matches!(held, Admission::Held), "{held:?}");
        }
        contact(&mut gate, &bob, 8);
        assert!(gate.reported(6).is_empty());
        assert_eq!(tokens(gate.reported(7)), [1, 2, 3]);
        let next = admit(&mut gate, message(4, &alice, 1));
        assert!(matches!(next, Admission::Send(_)), "{next:?}");
        assert_eq!(gate.held_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_no_message_is_held() {
        let mut gate: Gate<u32> = Gate::default();
        let alice = destination(1);
        for token in 0..3 {
            let policy = FirstContact::Unlimited;
            let sent = gate.admit(Instant::now(), policy, message(token, &alice, 1));
            assert!(matches!(sent, Admission::Send(_)), "{sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_released_after_a_timeout_without_a_report() {
        let mut gate = Gate::default();
        let alice = destination(1);
        contact(&mut gate, &alice, 7);
        admit(&mut gate, message(1, &alice, 1));
        assert!(gate.expired(Instant::now()).is_empty());
        let due = gate.next_timeout().expect("one report is due");
        assert_eq!(tokens(gate.expired(due)), [1]);
        assert_eq!(gate.next_timeout(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_new_again_after_a_minute_without_messages() {
        let mut gate = Gate::default();
        let alice = destination(1);
        contact(&mut gate, &alice, 7);
        gate.reported(7);
        tokio::time::advance(SESSION_LIFETIME / 2).await;
        let known = admit(&mut gate, message(1, &alice, 1));
        assert!(matches!(known, Admission::Send(_)), "{known:?}");
        tokio::time::advance(SESSION_LIFETIME).await;
        contact(&mut gate, &alice, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_messages_to_one_peer_do_not_affect_another() {
        let mut gate = Gate::default();
        let (alice, bob) = (destination(1), destination(2));
        contact(&mut gate, &alice, 7);
        contact(&mut gate, &bob, 8);
        for token in 0..MAX_HELD as u64 {
            let held = admit(&mut gate, message(token, &alice, 1));
            assert!(matches!(held, Admission::Held), "{held:?}");
        }
        let dropped = admit(&mut gate, message(998, &alice, 1));
        assert!(matches!(dropped, Admission::Overflow(_)), "{dropped:?}");
        let held = admit(&mut gate, message(999, &bob, MAX_HELD_BYTES));
        assert!(matches!(held, Admission::Held), "{held:?}");
        let dropped = admit(&mut gate, message(1000, &bob, 1));
        assert!(matches!(dropped, Admission::Overflow(_)), "{dropped:?}");
        assert_eq!(tokens(gate.reported(7)).len(), MAX_HELD);
        assert_eq!(gate.take_all().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_held_for_all_peers_are_bounded() {
        let mut gate = Gate::default();
        let peers = MAX_TOTAL_BYTES / MAX_HELD_BYTES;
        let mut overflow = 0;
        for number in 0..peers as u64 + 2 {
            let to = destination(number);
            contact(&mut gate, &to, u32::try_from(number).expect("few"));
            let admission = admit(&mut gate, message(number, &to, MAX_HELD_BYTES));
            overflow += usize::from(matches!(admission, Admission::Overflow(_)));
        }
        assert_eq!((overflow, gate.held_bytes), (2, MAX_TOTAL_BYTES));
    }
}
