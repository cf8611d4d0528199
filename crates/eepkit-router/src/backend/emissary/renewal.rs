//! Renewal of what the router holds about one peer of an I2CP session.
//!
//! emissary-core 0.4.0 keeps the lease set of a peer until it expires, and the encryption session
//! with a peer until neither side has used it for ten minutes. It does so even if the peer has
//! restarted, has lost its keys, and has begun a new encryption session. Until then no message
//! reaches the peer. I2CP has no message for this case.
//!
//! [`Frames`] reads the I2CP messages of a client for the router. It consumes the request to renew
//! a peer ([`RENEWAL_SUFFIX`]). Discarding an encryption session that works is harmful: another
//! emissary at the peer continues to use it, and its messages cannot be decrypted any more. A
//! request is therefore followed only with enough evidence:
//!
//! * The client reports that the peer does not seem to receive its answers, and a message that
//!   begins an encryption session has just arrived. A peer that has the keys sends no such message.
//!   No encryption session was established since: it may be the one that the message began.
//! * The client reports a long silence of the peer.
//!
//! In a private network, less evidence still makes the router look up the lease set of the peer before
//! the next message to it. The tunnels of all routers are replaced when one of them is killed, and
//! the messages to a peer may be lost for this reason alone.
//!
//! When the next message to that peer arrives, [`Frames`] makes the router discard the encryption
//! session, and look up the lease set unless the peer has just sent it:
//!
//! 1. The router reads the last lease set of the client again. It then attaches the lease set to
//!    the next message of each encryption session, and records the time of that message.
//! 2. It reads the message to the peer. The recorded time is marked, which identifies the
//!    encryption session. The message itself is lost, because the peer cannot decrypt it.
//! 3. Its maintenance runs at once, and the marked encryption session has been idle for longer than
//!    its limit. Maintenance discards this one only.
//! 4. It reads the message a second time, which continues the encryption session that the peer has
//!    begun. If the peer has begun none, its lease set has expired, so that the router looks it up.
//!    The message then begins a new encryption session. Without one that the peer has begun, the
//!    look-up is always necessary, because the router takes the key of the peer from a look-up only.
//!
//! The times and timers come from the `Runtime` that this crate implements. [`Mode`] is the step in
//! progress. `assumptions` checks the source of emissary-core for what is assumed here.

use std::{
    cell::Cell,
    collections::VecDeque,
    panic::Location,
    path::Path,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use eepkit_i2cp::{HostLookup, LookupKey, MessageType, RENEWAL_SUFFIX};
use eepkit_wire::{Codec as _, Destination, Hash, Reader};
use tokio::time::Instant;

use super::tunnels::Publication;

/// The file of emissary-core that keeps the encryption sessions.
pub(super) const SESSIONS: &str = "destination/session/mod.rs";
/// The file of emissary-core that keeps one encryption session, also before it is established.
pub(super) const SESSION: &str = "destination/session/session.rs";
/// The directory of both. Whatever is encrypted for a peer reads the clock in one of its files.
const SESSIONS_DIR: &str = "destination/session";
/// The file of emissary-core that decides whether a lease set has expired.
pub(super) const LEASE_SETS: &str = "primitives/lease_set.rs";

/// The name of the type by which emissary-core's tasks identify the peer of an encryption session.
pub(super) const PEER_TYPE: &str = "DestinationId";

/// A time that is later than the end of every limit in the router, and small enough that sums do
/// not overflow.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// The age from which an encryption session that was begun and not answered counts as failed. Chosen
/// above the time that an answer takes on the live network: an answer to an encryption session that
/// was discarded makes emissary's next one unusable.
const UNANSWERED: Duration = Duration::from_secs(15);

/// The line of [`SESSION`] that records when the client began an encryption session.
pub(super) const BEGUN_AT: u32 = 252;

/// The line of [`SESSION`] that records when a peer began an encryption session, which the client
/// has to answer. It is not reached while an earlier one of the same peer has no answer.
pub(super) const RECEIVED_AT: u32 = 216;

/// The line of [`SESSIONS`] that records when an encryption session was established.
pub(super) const ESTABLISHED_AT: u32 = 144;

/// The line of [`SESSIONS`] that reads the clock when a message arrives that begins an encryption
/// session.
pub(super) const BEGINNING_AT: u32 = 714;

/// How long a message that began an encryption session counts as evidence. Chosen above the time in
/// which a client in this process reacts to it.
const EVIDENCE_LIFETIME: Duration = Duration::from_secs(1);

/// The silence of a peer that suffices without other evidence on the live network. Chosen because
/// tunnels that fail cause shorter silences.
const SILENCE: Duration = Duration::from_secs(45);
/// The same in a private network, where a router that does not answer was killed.
const PRIVATE_SILENCE: Duration = Duration::from_secs(1);

/// How long an encryption session that a peer has begun can be expected to be usable. Chosen as the
/// time for which a restored session pings its peers.
const RECEIVED_LIFETIME: Duration = Duration::from_secs(15);

/// If a peer is renewed again within this time, the first renewal has failed.
const FAILED: Duration = Duration::from_secs(30);

/// The age of an encryption session that a peer has begun from which it is discarded by the next
/// renewal after one that failed. Chosen because the peer may have restarted since. In a private
/// network it is also the age from which one that the client has begun is discarded, if the router
/// cannot encrypt for it: a late answer to an earlier one makes it unusable.
const STALE: Duration = Duration::from_secs(2);

/// How long a request to renew a peer is valid. Chosen because the client sends a message with it, and
/// because a later message may belong to a new encryption session that works.
const REQUEST_LIFETIME: Duration = Duration::from_secs(2);

/// The least time between two renewals of a peer. Chosen because the second would discard the
/// encryption session that the first one began.
const SPACING: Duration = Duration::from_secs(2);

/// The maximum number of peers that wait for their renewal. Chosen as the number of look-ups that a
/// session makes at a time.
const MAX_WANTED: usize = 32;

/// The step of a renewal that the running task performs. It affects the clock of that task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// No renewal is in progress.
    #[default]
    None,
    /// The router reads the lease set of the client again.
    Repeat,
    /// The router reads a message to the peer; times that it records are marked.
    Mark,
    /// The router performs its maintenance.
    Discard {
        /// Whether maintenance is still to begin.
        is_due: bool,
        /// Whether maintenance has come to the established encryption sessions.
        established: bool,
        /// Whether the next time that maintenance reads is that of the last message sent.
        sent_is_next: bool,
        /// Whether encryption sessions that peers have begun a while ago are discarded too.
        received_too: bool,
        /// Whether the router belongs to a private network.
        is_private: bool,
    },
    /// The router reads the message again.
    Again,
    /// The router reads the message again; the lease set of the peer has expired.
    Expire,
}

/// What a time that the router recorded belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Anything else.
    None,
    /// The encryption session with the peer that was renewed then.
    Renewed,
    /// An encryption session that the client began.
    Begun,
    /// An encryption session that a peer began.
    Received,
}

/// The step that a task performs, and what it observed. Each task has its own.
#[derive(Debug, Default)]
pub(crate) struct Mode {
    step: Cell<Step>,
    /// When a message last arrived that begins an encryption session.
    beginning: Cell<Option<Instant>>,
    /// When such a message last began one.
    received: Cell<Option<Instant>>,
    /// Whether the router encrypted the message of [`Step::Mark`].
    encrypted: Cell<bool>,
    /// The publications of the lease set of the task's client.
    publication: Publication,
}

impl Mode {
    /// The publications of the lease set of the task's client.
    pub(super) fn publication(&self) -> &Publication {
        &self.publication
    }

    /// What a time that `caller` records now belongs to.
    pub(super) fn mark(&self, caller: &Location<'_>) -> Mark {
        if caller.line() == ESTABLISHED_AT && is_in(caller, SESSIONS) {
            self.beginning.set(None);
        }
        if self.step.get() == Step::Mark && is_in(caller, SESSIONS) {
            Mark::Renewed
        } else if caller.line() == BEGUN_AT && is_in(caller, SESSION) {
            Mark::Begun
        } else if caller.line() == RECEIVED_AT && is_in(caller, SESSION) {
            self.received.set(Some(Instant::now()));
            Mark::Received
        } else {
            Mark::None
        }
    }

    /// Handles that `caller` reads the clock.
    pub(super) fn on_clock(&self, caller: &Location<'_>) {
        if caller.line() == BEGINNING_AT && is_in(caller, SESSIONS) {
            self.beginning.set(Some(Instant::now()));
        }
        if self.step.get() == Step::Mark && is_of_sessions(caller) {
            self.encrypted.set(true);
        }
    }

    /// Whether a message that begins an encryption session has just arrived. It is evidence once.
    fn take_beginning(&self) -> bool {
        let beginning = self.beginning.take();
        beginning.is_some_and(|at| at.elapsed() < EVIDENCE_LIFETIME)
    }

    /// Whether a peer has begun an encryption session that has not been answered for long.
    fn has_received(&self) -> bool {
        let received = self.received.get();
        received.is_some_and(|at| at.elapsed() < RECEIVED_LIFETIME)
    }

    /// Whether the router must not start the timers that send the client's lease set to all peers.
    pub(super) fn is_quiet(&self) -> bool {
        self.step.get() == Step::Repeat
    }

    /// How much later than the true time the clock is for `caller`.
    pub(super) fn clock_offset(&self, caller: &Location<'_>) -> Duration {
        match self.step.get() {
            Step::Expire if is_in(caller, LEASE_SETS) => LONG,
            _ => Duration::ZERO,
        }
    }

    /// The time since `at` for `caller`.
    pub(super) fn elapsed(&self, at: Instant, mark: Mark, caller: &Location<'_>) -> Duration {
        let elapsed = at.elapsed();
        let Step::Discard {
            established,
            sent_is_next,
            is_due,
            received_too,
            is_private,
        } = self.step.get()
        else {
            return elapsed;
        };
        if is_in(caller, SESSIONS) {
            self.step.set(Step::Discard {
                is_due,
                established: true,
                sent_is_next: !sent_is_next,
                received_too,
                is_private,
            });
            // An encryption session is discarded if both its times exceed their limits. The time
            // of the last message received is not specific to the peer.
            if !sent_is_next || mark == Mark::Renewed {
                return LONG;
            }
        } else if !established {
            let has_failed = match mark {
                Mark::Begun if is_private && !self.encrypted.get() => elapsed > STALE,
                Mark::Begun => elapsed > UNANSWERED,
                Mark::Received => received_too && elapsed > STALE,
                Mark::None | Mark::Renewed => false,
            };
            if has_failed {
                return LONG;
            }
        }
        elapsed
    }

    /// Completes once, for the first caller, when maintenance must run before its time.
    pub(super) fn poll_maintenance(&self) -> Poll<()> {
        let Step::Discard {
            is_due: true,
            received_too,
            is_private,
            ..
        } = self.step.get()
        else {
            return Poll::Pending;
        };
        self.step.set(Step::Discard {
            is_due: false,
            established: false,
            sent_is_next: false,
            received_too,
            is_private,
        });
        Poll::Ready(())
    }
}

/// Whether the code at this place is in this file of emissary-core.
pub(super) fn is_in(caller: &Location<'_>, file: &str) -> bool {
    Path::new(caller.file()).ends_with(file)
}

/// Whether the code at this place belongs to the encryption sessions of emissary-core.
fn is_of_sessions(caller: &Location<'_>) -> bool {
    let dir = Path::new(caller.file()).parent();
    dir.is_some_and(|dir| dir.ends_with(SESSIONS_DIR))
}

/// Whether `T` identifies the peer of an encryption session.
pub(super) fn is_peer<T>() -> bool {
    std::any::type_name::<T>().ends_with(PEER_TYPE)
}

/// The I2CP messages of one client, as the router reads them.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Whether the protocol byte was read, which precedes the first message.
    is_started: bool,
    /// Received bytes that do not form a complete message yet.
    received: BytesMut,
    /// The rest of the message that the router reads now.
    current: Bytes,
    /// What follows the current message.
    steps: VecDeque<(Step, Bytes)>,
    /// The last message with a lease set. It contains private keys of encryption, as the router
    /// does, and lives as long as the connection.
    lease_set: Bytes,
    /// The peers that are renewed at the next message to them.
    wanted: Vec<Wanted>,
    /// The peers that were renewed recently, and when.
    renewed: Vec<(Hash, Instant)>,
    /// The peers whose lease sets were looked up recently, and when.
    looked_up: Vec<(Hash, Instant)>,
    /// Whether the router belongs to a private network.
    is_private: bool,
    /// Whether no more bytes follow.
    has_ended: bool,
}

/// A peer that is renewed at the next message to it.
#[derive(Debug)]
struct Wanted {
    peer: Hash,
    at: Instant,
    /// Whether the peer has begun an encryption session that the message continues.
    has_begun: bool,
    /// Whether only its lease set is to be looked up.
    keeps_session: bool,
}

impl Frames {
    /// The messages of a client of a router on the live network, or on a private one.
    pub(super) fn new(private: bool) -> Self {
        Self {
            is_private: private,
            ..Self::default()
        }
    }

    /// Copies the next bytes for the router to `buf`, and returns their number; 0 at the end.
    /// `receive` reads more bytes of the client and returns their number.
    ///
    /// The router reads the header of a message and then its body, and handles the message before
    /// it reads the next. A call after the end of a message therefore ends the step.
    pub(super) fn poll_read<E>(
        &mut self,
        cx: &mut Context<'_>,
        mode: &Mode,
        buf: &mut [u8],
        mut receive: impl FnMut(&mut Context<'_>, &mut BytesMut) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<usize, E>> {
        loop {
            if !self.current.is_empty() {
                let len = self.current.len().min(buf.len());
                buf[..len].copy_from_slice(&self.current[..len]);
                self.current.advance(len);
                return Poll::Ready(Ok(len));
            }
            mode.step.set(Step::None);
            if let Some((step, message)) = self.steps.pop_front() {
                mode.step.set(step);
                if step == Step::Mark {
                    mode.encrypted.set(false);
                }
                if message.is_empty() {
                    // Maintenance runs when the task continues, and the rest afterwards.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.current = message;
                continue;
            }
            if let Some(message) = self.next_message() {
                self.handle(mode, message);
                continue;
            }
            if self.has_ended {
                self.current = self.received.split().freeze();
                if self.current.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                continue;
            }
            match receive(cx, &mut self.received) {
                Poll::Ready(Ok(0)) => self.has_ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Removes the next complete message, or the protocol byte.
    fn next_message(&mut self) -> Option<Bytes> {
        if !self.is_started {
            if self.received.is_empty() {
                return None;
            }
            self.is_started = true;
            return Some(self.received.split_to(1).freeze());
        }
        let header = self.received.first_chunk::<4>()?;
        let body = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if body > MAX_BODY {
            // The router would panic. This ends the connection.
            self.received.clear();
            self.has_ended = true;
            return None;
        }
        let len = HEADER + body;
        (self.received.len() >= len).then(|| self.received.split_to(len).freeze())
    }

    /// Handles a complete message of the client.
    fn handle(&mut self, mode: &Mode, message: Bytes) {
        let kind = message.get(HEADER - 1).copied().map(MessageType);
        match kind {
            Some(MessageType::CREATE_LEASE_SET_2) => {
                self.lease_set = message.clone();
                mode.publication.on_lease_set();
            }
            Some(MessageType::HOST_LOOKUP) => {
                if let Some((peer, silence)) = renewal_request(&message[HEADER..]) {
                    self.want(mode, peer, silence);
                    return;
                }
            }
            Some(MessageType::SEND_MESSAGE_EXPIRES) if !self.wanted.is_empty() => {
                let to = recipient(&message[HEADER..]);
                if let Some(wanted) = to.and_then(|to| self.take_wanted(to)) {
                    self.renew(&wanted, message);
                    return;
                }
            }
            _ => {}
        }
        self.current = message;
    }

    fn want(&mut self, mode: &Mode, peer: Hash, silence: Duration) {
        let now = Instant::now();
        let has_begun = mode.take_beginning();
        let least_silence = if self.is_private {
            PRIVATE_SILENCE
        } else {
            SILENCE
        };
        let is_silent = silence >= least_silence;
        let recently = |(renewed, at): &(Hash, Instant)| *renewed == peer && now - *at < SPACING;
        if self.renewed.iter().any(recently) {
            return;
        }
        let keeps_session = !(has_begun || is_silent);
        if keeps_session && (!self.is_private || self.looked_up.iter().any(recently)) {
            return;
        }
        self.wanted.retain(|wanted| wanted.peer != peer);
        if self.wanted.len() == MAX_WANTED {
            self.wanted.remove(0);
        }
        self.wanted.push(Wanted {
            peer,
            at: now,
            has_begun: has_begun && mode.has_received(),
            keeps_session,
        });
    }

    /// Removes the request to renew the recipient of a message, if there is one.
    fn take_wanted(&mut self, to: Hash) -> Option<Wanted> {
        let now = Instant::now();
        self.wanted
            .retain(|wanted| now - wanted.at < REQUEST_LIFETIME);
        let at = self.wanted.iter().position(|wanted| wanted.peer == to)?;
        Some(self.wanted.swap_remove(at))
    }

    /// Plans the renewal of the recipient of this message.
    fn renew(&mut self, wanted: &Wanted, message: Bytes) {
        if !self.lease_set.is_empty() {
            self.steps.push_back((Step::Repeat, self.lease_set.clone()));
        }
        if wanted.keeps_session {
            tracing::debug!("the lease set of a peer is looked up again");
            note(&mut self.looked_up, wanted.peer);
            self.steps.push_back((Step::Expire, message));
            return;
        }
        let again = note(&mut self.renewed, wanted.peer);
        tracing::debug!(
            again,
            has_begun = wanted.has_begun,
            "the encryption session with a peer that lost its keys is discarded"
        );
        let discard = Step::Discard {
            is_due: true,
            established: false,
            sent_is_next: false,
            received_too: again,
            is_private: self.is_private,
        };
        let last = if wanted.has_begun && !again {
            Step::Again
        } else {
            Step::Expire
        };
        self.steps.push_back((Step::Mark, message.clone()));
        self.steps.push_back((discard, Bytes::new()));
        self.steps.push_back((last, message));
    }
}

/// Adds a peer to a list of recent ones. Returns whether it is one of them.
fn note(recent: &mut Vec<(Hash, Instant)>, peer: Hash) -> bool {
    let now = Instant::now();
    recent.retain(|(_, at)| now - *at < FAILED);
    let again = recent.iter().any(|(other, _)| *other == peer);
    recent.retain(|(other, _)| *other != peer);
    if recent.len() == MAX_WANTED {
        recent.remove(0);
    }
    recent.push((peer, now));
    again
}

/// The peer that this HostLookup requests to renew, if it does, and how long it has been silent.
fn renewal_request(body: &[u8]) -> Option<(Hash, Duration)> {
    let lookup = HostLookup::read(&mut Reader::new(body)).ok()?;
    let LookupKey::Name(name) = lookup.key else {
        return None;
    };
    let peer = Hash::from_b32(name.as_str().strip_suffix(RENEWAL_SUFFIX)?).ok()?;
    Some((peer, Duration::from_millis(lookup.timeout.into())))
}

/// The recipient of a SendMessageExpires.
fn recipient(body: &[u8]) -> Option<Hash> {
    let mut reader = Reader::new(body.get(SESSION_ID..)?);
    Destination::read(&mut reader)
        .ok()
        .map(|destination| destination.hash())
}

/// The length of a message's header: the length of its body, and its type (I2CP specification,
/// "Common structures").
const HEADER: usize = 5;
/// The length of a session id.
const SESSION_ID: usize = 2;
/// The longest body that the router accepts.
const MAX_BODY: usize = 0xffff;

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, task::Waker};

    use eepkit_i2cp::{Message, SessionId, Text};
    use eepkit_wire::{PrivateKeys, SignatureType, base32};

    use super::{super::tunnels::Tunnels, *};

    fn destination() -> Destination {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
        keys.destination().clone()
    }

    fn framed(message: &Message) -> Bytes {
        let mut bytes = Vec::new();
        message.encode_frame(&mut bytes).unwrap();
        bytes.into()
    }

    fn lookup(name: &str, timeout: u32) -> Bytes {
        framed(&Message::HostLookup(HostLookup {
            session: SessionId(1),
            request: u32::MAX,
            timeout,
            key: LookupKey::Name(Text::new(name).unwrap()),
        }))
    }

    fn renewal(of: &Destination, silence: Duration) -> Bytes {
        let name = format!("{}{RENEWAL_SUFFIX}", base32::encode(of.hash().as_bytes()));
        lookup(&name, silence.as_millis().try_into().unwrap())
    }

    /// The steps that follow a request and a message to the peer.
    fn steps_after(frames: &mut Frames, mode: &Mode, silence: Duration) -> Vec<Step> {
        let peer = destination();
        frames.is_started = true;
        steps_again(frames, mode, &peer, silence)
    }

    fn steps_again(
        frames: &mut Frames,
        mode: &Mode,
        peer: &Destination,
        silence: Duration,
    ) -> Vec<Step> {
        let messages = [renewal(peer, silence), sent(peer, b"a message")].concat();
        let steps = read(frames, mode, &messages);
        steps.into_iter().map(|(step, _)| step).collect()
    }

    const RECEIVED_TOO: Step = Step::Discard {
        is_due: true,
        established: false,
        sent_is_next: false,
        received_too: true,
        is_private: false,
    };

    /// A message of which the router reads only type, session and recipient.
    fn sent(to: &Destination, payload: &[u8]) -> Bytes {
        message(MessageType::SEND_MESSAGE_EXPIRES, |body| {
            SessionId(1).encode(body);
            to.encode(body);
            body.extend_from_slice(payload);
        })
    }

    fn message(kind: MessageType, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut body = Vec::new();
        write(&mut body);
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.push(kind.0);
        bytes.append(&mut body);
        bytes.into()
    }

    /// What the router reads: each message with the step during which it reads it, and `None` for
    /// a step without a message.
    fn read(frames: &mut Frames, mode: &Mode, mut received: &[u8]) -> Vec<(Step, Option<Bytes>)> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        let mut buffer = vec![0; 0xffff];
        let mut len = 0;
        loop {
            // As the router, first the header and then the body.
            let wanted = match len {
                0 => 1,
                _ if buffer[0] == 0x2a => 1,
                1..HEADER => HEADER,
                _ => HEADER + u32::from_be_bytes(*buffer.first_chunk().unwrap()) as usize,
            };
            if len == wanted {
                all.push((
                    mode.step.get(),
                    Some(Bytes::copy_from_slice(&buffer[..len])),
                ));
                len = 0;
                continue;
            }
            let poll = frames.poll_read(&mut cx, mode, &mut buffer[len..wanted], |_, into| {
                // In small pieces, so that messages are split.
                let piece = received.len().min(100);
                into.extend_from_slice(&received[..piece]);
                received = &received[piece..];
                match piece {
                    0 => Poll::Pending,
                    _ => Poll::Ready(Ok::<_, Infallible>(piece)),
                }
            });
            match poll {
                Poll::Ready(Ok(read)) => len += read,
                Poll::Ready(Err(never)) => match never {},
                Poll::Pending if mode.step.get() == Step::None => return all,
                Poll::Pending => all.push((mode.step.get(), None)),
            }
        }
    }

    const DISCARD: Step = Step::Discard {
        is_due: true,
        established: false,
        sent_is_next: false,
        received_too: false,
        is_private: false,
    };

    #[test]
    fn messages_pass_unchanged_until_a_renewal_is_requested() {
        let (mut frames, mode) = (Frames::default(), Mode::default());
        let (peer, other) = (destination(), destination());
        let lease_set = message(MessageType::CREATE_LEASE_SET_2, |body| body.push(9));
        let messages = [
            Bytes::from_static(&[0x2a]),
            lease_set.clone(),
            sent(&peer, b"before"),
            lookup("name.i2p", 0),
            renewal(&peer, SILENCE),
            sent(&other, b"to another peer"),
            sent(&peer, b"renews"),
            sent(&peer, b"after"),
        ];

        let read = read(&mut frames, &mode, &messages.concat());

        let unchanged = |index: usize| (Step::None, Some(messages[index].clone()));
        assert_eq!(
            read,
            [
                unchanged(0),
                unchanged(1),
                unchanged(2),
                unchanged(3),
                unchanged(5),
                (Step::Repeat, Some(lease_set)),
                (Step::Mark, Some(messages[6].clone())),
                (DISCARD, None),
                (Step::Expire, Some(messages[6].clone())),
                unchanged(7),
            ]
        );
    }

    #[test]
    fn the_peers_that_wait_for_their_renewal_are_bounded() {
        let mut frames = Frames::default();
        let mode = Mode::default();
        for _ in 0..2 * MAX_WANTED {
            frames.want(&mode, destination().hash(), SILENCE);
        }
        assert_eq!(frames.wanted.len(), MAX_WANTED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_silence_suffices_in_a_private_network_only() {
        let mode = Mode::default();
        let renewed = [Step::Mark, DISCARD, Step::Expire];
        let discard = Step::Discard {
            is_due: true,
            established: false,
            sent_is_next: false,
            received_too: false,
            is_private: true,
        };
        let half = PRIVATE_SILENCE / 2;
        for (private, silence, expected) in [
            (
                true,
                PRIVATE_SILENCE,
                &[Step::Mark, discard, Step::Expire][..],
            ),
            (false, PRIVATE_SILENCE, &[Step::None]),
            (false, SILENCE, &renewed),
            // The lease set is looked up.
            (true, half, &[Step::Expire]),
            (true, Duration::ZERO, &[Step::Expire]),
            (false, Duration::ZERO, &[Step::None]),
        ] {
            let steps = steps_after(&mut Frames::new(private), &mode, silence);
            assert_eq!(steps, expected, "{private} {silence:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_set_of_a_peer_is_looked_up_at_most_once_per_spacing() {
        let (mut frames, mode, peer) = (Frames::new(true), Mode::default(), destination());
        frames.is_started = true;
        for expected in [Step::Expire, Step::None, Step::Expire] {
            let steps = steps_again(&mut frames, &mode, &peer, Duration::ZERO);
            assert_eq!(steps, [expected]);
            tokio::time::advance(SPACING / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_begins_an_encryption_session_is_answered_in_it() {
        let mode = Mode::default();
        let now = Instant::now();
        mode.beginning.set(Some(now));
        mode.received.set(Some(now));
        let mut frames = Frames::new(false);
        let steps = steps_after(&mut frames, &mode, Duration::ZERO);
        assert_eq!(steps, [Step::Mark, DISCARD, Step::Again]);
        // Each such message is evidence once, and only for a short time.
        let steps = steps_after(&mut frames, &mode, Duration::ZERO);
        assert_eq!(steps, [Step::None]);
        mode.beginning.set(Some(now));
        tokio::time::advance(EVIDENCE_LIFETIME).await;
        let steps = steps_after(&mut frames, &mode, Duration::ZERO);
        assert_eq!(steps, [Step::None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_failed_discards_what_the_peer_began_before() {
        let mode = Mode::default();
        let mut frames = Frames::new(false);
        frames.is_started = true;
        let peer = destination();
        for expected in [
            &[Step::Mark, DISCARD, Step::Again][..],
            &[Step::None],
            &[Step::Mark, RECEIVED_TOO, Step::Expire],
        ] {
            mode.beginning.set(Some(Instant::now()));
            mode.received.set(Some(Instant::now()));
            let steps = steps_again(&mut frames, &mode, &peer, Duration::ZERO);
            assert_eq!(steps, expected);
            tokio::time::advance(SPACING / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_set_of_the_client_is_published_as_often_as_the_one_before() {
        let (tunnels, mode) = (Tunnels::new(true), Mode::default());
        let is_published_again = || {
            let time = tunnels.publication_time(Instant::now(), mode.publication());
            time == Duration::MAX
        };
        let second = Duration::from_secs(1);
        while is_published_again() {
            tokio::time::advance(second).await;
        }
        tokio::time::advance(second).await;
        assert!(!is_published_again());
        let mut frames = Frames {
            is_started: true,
            ..Frames::default()
        };
        let lease_set = message(MessageType::CREATE_LEASE_SET_2, |body| body.push(9));
        read(&mut frames, &mode, &lease_set);
        tokio::time::advance(second).await;
        assert!(is_published_again());
    }

    #[test]
    fn maintenance_discards_the_marked_encryption_session_only() {
        let mode = Mode::default();
        let now = Instant::now();
        assert!(mode.poll_maintenance().is_pending());
        mode.step.set(DISCARD);
        assert!(mode.poll_maintenance().is_ready());
        assert!(mode.poll_maintenance().is_pending(), "once");
        // The caller of these calls is this file, which is not one of the router.
        let here = Location::caller();
        assert_eq!(mode.mark(here), Mark::None);
        assert!(mode.elapsed(now, Mark::Renewed, here) < UNANSWERED);
        assert_eq!(mode.clock_offset(here), Duration::ZERO);
        mode.step.set(Step::Expire);
        assert_eq!(mode.clock_offset(here), Duration::ZERO);
    }

    #[test]
    fn a_connection_that_ends_within_a_message_is_passed_to_its_end() {
        let (mut frames, mode) = (Frames::default(), Mode::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut parts = [&b"\x2a\0\0"[..], b""].into_iter();
        let mut all = Vec::new();
        loop {
            let mut buffer = [0; 2];
            let poll = frames.poll_read(&mut cx, &mode, &mut buffer, |_, into| {
                let part = parts.next().unwrap_or_default();
                into.extend_from_slice(part);
                Poll::Ready(Ok::<_, Infallible>(part.len()))
            });
            match poll {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(len)) => all.extend_from_slice(&buffer[..len]),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(all, b"\x2a\0\0");
    }
}
