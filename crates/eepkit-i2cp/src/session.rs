//! The client's session machine.
//!
//! Source: the I2CP specification, "Example Message Sequences" and "Multisession Notes".
//! `quirks.rs` has the deviations of routers.

mod core;
mod lease_sets;
mod lookups;
mod open;
mod opening;
#[cfg(test)]
mod tests;
mod types;

use std::{
    collections::VecDeque,
    fmt, mem,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use self::core::Core;
use crate::{
    frame::{Frame, PROTOCOL_BYTE},
    frame_reader::FrameReader,
    message::{Message, MessageType},
    output::OutputBuffer,
    quirks::{self, RouterKind},
    version::ApiVersion,
};
use lookups::{Effects, Lookups, Router};
use open::Open;
use opening::{Opening, Progress};

pub use types::{
    Command, Config, Event, Found, Handle, Input, LookupFailure, LookupTarget, Outgoing, Output,
    SessionCloseReason, UnreachableReason,
};

/// The client side of one I2CP connection, with its primary session and its subsessions.
///
/// # Use
///
/// After every call of [`Session::handle_input`], call [`Session::poll_output`] until it returns
/// [`Output::Timeout`]:
///
/// 1. Create a machine and a connection, and poll the output.
/// 2. Write [`Session::output`] to the router, and call [`Session::consume_output`] with the number
///    of bytes that were written.
/// 3. Append received bytes to a buffer and pass it with [`Input::Receive`]. Pass [`Input::Eof`] at
///    the end of the connection, [`Input::Timeout`] at the time that [`Output::Timeout`] contains,
///    and [`Input::Command`] for each command of the application.
/// 4. On [`Event::LeaseSetWanted`], create a lease set with a
///    [`LeaseSetMaker`](crate::LeaseSetMaker) and pass it with [`Command::PublishLeaseSet`] within
///    10 seconds.
/// 5. After [`Event::Closed`] write the rest of the output, and close the connection.
///
/// The times that the driver passes must not decrease. The machine queues look-ups until the first
/// lease set was sent. It encodes all other messages into its output at once, so the driver must
/// bound the output: it passes no further input while the output is too long.
///
/// ```
/// use std::{sync::Arc, time::{Duration, Instant}};
/// use eepkit_i2cp::{Config, Options, Output, Session};
/// # use eepkit_wire::{PrivateKeys, SignatureType};
/// # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
/// # #[expect(clippy::disallowed_methods, reason = "an example of a driver")]
/// # fn now() -> Instant { Instant::now() }
/// # let mut rng = ChaCha20Rng::seed_from_u64(1);
/// let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng)?;
/// let config = Config {
///     keys: Arc::new(keys),
///     options: Options::new(),
///     router: None,
///     open_timeout: Duration::from_secs(30),
/// };
/// let mut session = Session::new(config, now());
///
/// assert_eq!(session.output()[0], 0x2a);
/// let sent = session.output().len();
/// session.consume_output(sent);
/// assert!(matches!(session.poll_output(), Output::Timeout(Some(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    state: State,
    reader: FrameReader,
    core: Core,
}

impl Session {
    /// Creates a machine at the start of a connection.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut core = Core {
            router: Router {
                kind: config.router.unwrap_or_default(),
                version: ApiVersion::UNREPORTED,
            },
            told_router: config.router,
            clock: (now, 0),
            date_asked: None,
            heard: now,
            stalled: None,
            probed: None,
            login: opening::login(&config.options),
            lookups: Lookups::default(),
            output: OutputBuffer::default(),
            events: VecDeque::new(),
        };
        core.output.append().push(PROTOCOL_BYTE);
        let deadline = now + config.open_timeout.min(MAX_OPEN_TIMEOUT);
        let state = match core.ask_date(now) {
            Ok(()) => State::Opening(Opening::new(config, deadline)),
            Err(reason) => {
                core.close(reason);
                State::Closed
            }
        };
        Self {
            state,
            reader: FrameReader::for_client(),
            core,
        }
    }

    /// Passes an input, and the time at which it occurred, to the machine.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Receive(bytes) => self.receive(now, bytes),
            Input::Eof => self.advance(|_, _| Err(SessionCloseReason::Eof)),
            Input::NotReading => self.core.stall(now),
            Input::ClockChanged => self.advance(|state, core| {
                if let State::Open(_) = &state {
                    core.ask_date(now)?;
                }
                Ok(state)
            }),
            Input::Timeout => self.handle_timeout(now),
            Input::Command(command) => self.handle_command(now, command),
        }
    }

    /// The bytes to send to the router, in order. Empty if there are none.
    pub fn output(&self) -> &[u8] {
        self.core.output.unsent()
    }

    /// Removes the first `length` bytes of [`Session::output`], which were sent.
    pub fn consume_output(&mut self, length: usize) {
        self.core.output.consume(length);
    }

    /// The next event, or the time of the next [`Input::Timeout`]. Call it until it returns
    /// [`Output::Timeout`].
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.core.events.pop_front() {
            return Output::Event(event);
        }
        let state = match &self.state {
            State::Opening(state) => Some(state.next_timeout()),
            State::Open(state) => state.next_timeout(&self.core),
            State::Closed => return Output::Timeout(None),
        };
        let lookups = self.core.lookups.next_timeout();
        Output::Timeout(state.into_iter().chain(lookups).min())
    }

    /// The router's program, as named by the caller or detected.
    pub fn router(&self) -> RouterKind {
        self.core.router.kind
    }

    /// The router's API version; 0.8.6 until the router has reported one.
    pub fn version(&self) -> ApiVersion {
        self.core.router.version
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the router can decode this destination. emissary cannot decode all destinations. It
    /// drops messages to the others and reports no error.
    pub fn can_send_to(&self, to: &eepkit_wire::Destination) -> bool {
        quirks::can_send_to(self.core.router.kind, to)
    }

    /// Whether the router reports the delivery status of a single message whose nonce is not 0.
    pub fn reports_messages(&self) -> bool {
        quirks::reports_messages(self.core.router.kind, self.core.router.version)
    }

    /// Whether the router delivers only one of several first messages to a new peer. The caller
    /// should then send one message, and no other until the router has reported on it.
    pub fn delivers_one_first_message(&self) -> bool {
        self.reports_messages() && quirks::delivers_one_first_message(self.core.router.kind)
    }

    /// Whether [`Command::Renew`] has an effect on the router.
    pub fn renews_peers(&self) -> bool {
        quirks::renews_peers(self.core.router.kind)
    }

    /// Whether the router sends through other tunnels if a peer does not confirm a lease set of this
    /// session.
    pub fn reroutes_unconfirmed(&self) -> bool {
        quirks::reroutes_unconfirmed(self.core.router.kind)
    }

    fn receive(&mut self, now: Instant, received: &mut BytesMut) {
        self.core.heard(now);
        while !self.is_closed() {
            match self.reader.next_frame(received) {
                Ok(Some(frame)) => self.handle_frame(now, &frame),
                Ok(None) => return,
                Err(error) => {
                    let why = error.to_string();
                    self.advance(|state, _| Err(state.misbehaved(why)));
                }
            }
        }
        received.clear();
    }

    fn handle_frame(&mut self, now: Instant, frame: &Frame) {
        let message = match Message::decode(MessageType(frame.kind), &frame.body) {
            Ok(Some(message)) => message,
            // The type is newer than this library. A first message of an unknown type is not
            // SetDate, so the other side is not an I2CP router.
            Ok(None) if !self.state.awaits_date() => return,
            Ok(None) => {
                let why = format!("a first message of type {}", frame.kind);
                return self.advance(|_, _| Err(SessionCloseReason::NotI2cp(why)));
            }
            Err(error) => {
                let why = format!("message of type {}: {error}", frame.kind);
                return self.advance(|state, _| Err(state.misbehaved(why)));
            }
        };
        match message {
            Message::Disconnect(reason) => {
                self.advance(|state, _| Err(state.disconnected(reason.as_str())));
            }
            Message::SetDate(date) if !self.state.awaits_date() => {
                let late = self.core.set_clock(now, date.date);
                self.advance(|state, core| match (late, &state) {
                    (true, State::Open(_)) => core.ask_date(now).map(|()| state),
                    _ => state.on_clock(core, now),
                });
            }
            message => self.advance(|state, core| match state {
                State::Opening(state) => match state.handle(core, now, message)? {
                    Progress::Opening(state) => Ok(State::Opening(state)),
                    Progress::Open(state) => Ok(State::Open(state)),
                },
                State::Open(mut state) => {
                    state.handle(core, now, message)?;
                    Ok(State::Open(state))
                }
                State::Closed => Ok(State::Closed),
            }),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let effects = self.core.lookups.handle_timeout(now, self.core.router);
        self.apply(effects);
        self.advance(|state, core| match state {
            State::Opening(state) => state.handle_timeout(core, now).map(State::Opening),
            State::Open(mut state) => {
                state.handle_timeout(core, now)?;
                Ok(State::Open(state))
            }
            State::Closed => Ok(State::Closed),
        });
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        if let Command::Lookup {
            id,
            target,
            timeout,
        } = command
        {
            if self.is_closed() {
                let result = Err(LookupFailure::Closed);
                self.core.events.push_back(Event::LookupDone { id, result });
                return;
            }
            let router = self.core.router;
            let effects = self.core.lookups.start(now, router, id, target, timeout);
            return self.apply(effects);
        }
        self.advance(|state, core| match (state, command) {
            (State::Open(mut state), command) => {
                state.command(core, now, command)?;
                Ok(State::Open(state))
            }
            (State::Closed, _) => Ok(State::Closed),
            (_, Command::Close(Handle::PRIMARY)) => Err(SessionCloseReason::Local),
            (state, command) => {
                open::refuse(core, command);
                Ok(state)
            }
        });
    }

    fn apply(&mut self, effects: Effects) {
        self.advance(|state, core| core.apply(effects).map(|()| state));
    }

    /// Replaces the state, or closes the connection.
    fn advance(
        &mut self,
        step: impl FnOnce(State, &mut Core) -> Result<State, SessionCloseReason>,
    ) {
        let state = mem::replace(&mut self.state, State::Closed);
        if matches!(state, State::Closed) {
            return;
        }
        match step(state, &mut self.core) {
            Ok(state) => self.state = state,
            Err(reason) => self.core.close(reason),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state.name())
            .field("router", &self.core.router)
            .finish_non_exhaustive()
    }
}

/// The phase of the connection.
enum State {
    Opening(Opening),
    Open(Box<Open>),
    Closed,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Opening(state) => state.name(),
            Self::Open(_) => "Open",
            Self::Closed => "Closed",
        }
    }

    fn awaits_date(&self) -> bool {
        matches!(self, Self::Opening(Opening::Date(_)))
    }

    /// The reason for closing the connection after malformed input.
    fn misbehaved(&self, why: String) -> SessionCloseReason {
        match self {
            _ if self.awaits_date() => SessionCloseReason::NotI2cp(why),
            _ => SessionCloseReason::Protocol(why),
        }
    }

    /// Handles that the router reported its clock again.
    fn on_clock(self, core: &mut Core, now: Instant) -> Result<Self, SessionCloseReason> {
        match self {
            Self::Open(mut state) => {
                state.check_lease_sets(core, now)?;
                Ok(Self::Open(state))
            }
            state => Ok(state),
        }
    }

    /// The reason that the text of a Disconnect stands for. Java I2P sends no other message when it
    /// refuses a login or a session, or when it stops.
    fn disconnected(&self, text: &str) -> SessionCloseReason {
        let lower = text.to_ascii_lowercase();
        let has_any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        match self {
            Self::Opening(_) if has_any(&LOGIN_WORDS) => {
                SessionCloseReason::LoginRefused(text.to_owned())
            }
            Self::Opening(_) if has_any(&["duplicate"]) => SessionCloseReason::Duplicate,
            Self::Opening(_) => SessionCloseReason::Refused(text.to_owned()),
            _ => SessionCloseReason::Disconnected(text.to_owned()),
        }
    }
}

/// Parts of the texts with which a router refuses a login. Java I2P: "Authorization required" and
/// "Authorization failed". A text without them, such as "Router is shutting down", does not concern
/// the login.
const LOGIN_WORDS: [&str; 3] = ["authoriz", "authentic", "password"];

/// The upper limit of [`Config::open_timeout`]. Chosen so that adding it to a time never overflows.
const MAX_OPEN_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
