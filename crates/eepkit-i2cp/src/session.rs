//! The client's session machine.
//!
//! Required reading: the I2CP specification, "Example Message Sequences" and "Multisession Notes";
//! `quirks.rs` for where routers do otherwise.

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

use eepkit_wire::PrivateKeys;

use crate::{
    ApiVersion, FrameReader, Options, PROTOCOL_BYTE, RouterKind,
    frame::Frame,
    message::{GetDate, Message, MessageType, SessionConfig, Text},
    quirks,
};
use lookups::{Effects, Lookups, Router};
use open::Open;
use opening::{AwaitDate, AwaitLimits, AwaitStatus};

pub use types::{
    CloseReason, Command, Config, Event, Found, Handle, Input, LookupFailure, LookupTarget,
    Outgoing, Output,
};

/// The client side of one I2CP connection, with its primary session and its subsessions.
///
/// # How to drive it
///
/// Every change must be followed by a complete drain of [`Session::poll_output`] until
/// [`Output::Timeout`]:
///
/// 1. Make a machine and a connection, and drain.
/// 2. Write what [`Output::Transmit`] says to the router, in order.
/// 3. When bytes come, hand them over with [`Input::Receive`]; when none will come any more, say
///    [`Input::Eof`]; when the time of [`Output::Timeout`] has come, say [`Input::Timeout`]; when
///    the application wants something, hand over [`Input::Command`]. Then drain.
/// 4. On [`Event::LeaseSetWanted`] let a [`LeaseSetMaker`](crate::LeaseSetMaker) make the set and
///    answer with [`Command::PublishLeaseSet`], within 10 seconds.
/// 5. After [`Event::Closed`] write what is left, and close the connection.
///
/// Time never goes back. The machine holds back nothing but look-ups before the first lease set;
/// what it is given to send it gives to the connection at once, so the driver must stop giving it
/// input while its own buffers are full.
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
/// let mut session = Session::new(config, now(), Duration::from_secs(1_700_000_000));
///
/// let Output::Transmit(greeting) = session.poll_output() else { panic!() };
/// assert_eq!(greeting[0], 0x2a);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    state: State,
    core: Core,
}

impl Session {
    /// A machine at the start of a connection, at this time on both clocks (`unix_now` since
    /// 1970).
    pub fn new(config: Config, now: Instant, unix_now: Duration) -> Self {
        let mut core = Core {
            router: Router {
                kind: config.router.unwrap_or_default(),
                version: ApiVersion::UNTOLD,
            },
            told_router: config.router,
            start: now,
            start_unix: unix_now,
            offset_ms: 0,
            reader: FrameReader::for_client(),
            lookups: Lookups::default(),
            transmit: Vec::new(),
            events: VecDeque::new(),
        };
        core.transmit.push(PROTOCOL_BYTE);
        let deadline = now + config.open_timeout.min(MAX_OPEN_TIMEOUT);
        let greeting = GetDate {
            version: Text::new(&ApiVersion::OURS.to_string()),
            login: opening::login(&config.options),
        };
        let state = match core.send(&Message::GetDate(greeting)) {
            Ok(()) => State::AwaitDate(AwaitDate::new(config, deadline)),
            Err(reason) => core.close(reason),
        };
        Self { state, core }
    }

    /// Tells the machine what happened, at this time.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Receive(bytes) => self.receive(now, bytes),
            Input::Eof => self.advance(|_, core| core.close(CloseReason::Eof)),
            Input::Timeout => self.handle_timeout(now),
            Input::Command(command) => self.handle_command(now, command),
        }
    }

    /// What the machine wants next. Call until it is [`Output::Timeout`].
    pub fn poll_output(&mut self) -> Output {
        if !self.core.transmit.is_empty() {
            return Output::Transmit(mem::take(&mut self.core.transmit));
        }
        if let Some(event) = self.core.events.pop_front() {
            return Output::Event(event);
        }
        let state = match &self.state {
            State::AwaitDate(state) => Some(state.deadline()),
            State::AwaitLimits(state) => Some(state.next_timeout()),
            State::AwaitStatus(state) => Some(state.next_timeout()),
            State::Open(state) => state.next_timeout(),
            State::Closed => return Output::Timeout(None),
        };
        let lookups = self.core.lookups.next_timeout();
        Output::Timeout(state.into_iter().chain(lookups).min())
    }

    /// Which program the router is, as far as it is known and matters.
    pub fn router(&self) -> RouterKind {
        self.core.router.kind
    }

    /// The router's API version; 0.8.6 until it has said so.
    pub fn version(&self) -> ApiVersion {
        self.core.router.version
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the router can read this destination. emissary cannot read all, and drops messages
    /// to the others in silence.
    pub fn can_send_to(&self, to: &eepkit_wire::Destination) -> bool {
        quirks::can_send_to(self.core.router.kind, to)
    }

    /// Whether the router tells what became of a single message whose nonce is not 0.
    pub fn reports_messages(&self) -> bool {
        quirks::reports_messages(self.core.router.kind, self.core.router.version)
    }

    /// Whether nothing should follow the first message to a peer until the router has reported on it.
    pub fn introduces_peers(&self) -> bool {
        self.reports_messages() && quirks::introduces_peers(self.core.router.kind)
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        self.core.reader.push(bytes);
        loop {
            if self.is_closed() {
                return;
            }
            let frame = match self.core.reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => {
                    let why = error.to_string();
                    return self.advance(|state, core| core.close(state.misbehaved(why)));
                }
            };
            self.handle_frame(now, &frame);
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: &Frame) {
        let message = match Message::decode(MessageType(frame.kind), &frame.body) {
            Ok(Some(message)) => message,
            // A type of the future, or one that is not for clients. A first message that is not
            // known cannot be SetDate, so what answers is something else.
            Ok(None) if !matches!(self.state, State::AwaitDate(_)) => return,
            Ok(None) => {
                let why = format!("a first message of type {}", frame.kind);
                return self.advance(|_, core| core.close(CloseReason::NotI2cp(why)));
            }
            Err(error) => {
                let why = format!("message of type {}: {error}", frame.kind);
                return self.advance(|state, core| core.close(state.misbehaved(why)));
            }
        };
        match message {
            Message::Disconnect(reason) => {
                self.advance(|state, core| core.close(state.disconnected(reason.as_str())));
            }
            Message::SetDate(date) if !matches!(self.state, State::AwaitDate(_)) => {
                self.core.set_clock(now, date.date);
            }
            message => self.advance(|state, core| match state {
                State::AwaitDate(state) => state.handle(core, now, message),
                State::AwaitLimits(state) => state.handle(core, now, &message),
                State::AwaitStatus(state) => state.handle(core, now, message),
                State::Open(state) => state.handle(core, now, message),
                State::Closed => State::Closed,
            }),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let effects = self.core.lookups.handle_timeout(now, self.core.router);
        self.apply(effects);
        self.advance(|state, core| match state {
            State::AwaitDate(state) => state.handle_timeout(core, now),
            State::AwaitLimits(state) => state.handle_timeout(core, now),
            State::AwaitStatus(state) => state.handle_timeout(core, now),
            State::Open(state) => state.handle_timeout(core, now),
            State::Closed => State::Closed,
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
            (State::Open(state), command) => state.command(core, now, command),
            (State::Closed, _) => State::Closed,
            (_, Command::Close(Handle::PRIMARY)) => core.close(CloseReason::Local),
            (state, command) => {
                open::refuse(core, command);
                state
            }
        });
    }

    fn apply(&mut self, effects: Effects) {
        self.advance(|state, core| match core.apply(effects) {
            Ok(()) => state,
            Err(reason) => core.close(reason),
        });
    }

    /// Moves on to another state, which is made out of the present one.
    fn advance(&mut self, step: impl FnOnce(State, &mut Core) -> State) {
        let state = mem::replace(&mut self.state, State::Closed);
        if !matches!(state, State::Closed) {
            self.state = step(state, &mut self.core);
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

/// How far the connection is. Each state has what it needs and makes its successor.
enum State {
    AwaitDate(AwaitDate),
    AwaitLimits(AwaitLimits),
    AwaitStatus(AwaitStatus),
    Open(Box<Open>),
    Closed,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::AwaitDate(_) => "AwaitDate",
            Self::AwaitLimits(_) => "AwaitLimits",
            Self::AwaitStatus(_) => "AwaitStatus",
            Self::Open(_) => "Open",
            Self::Closed => "Closed",
        }
    }

    /// The reason to close when what came makes no sense.
    fn misbehaved(&self, why: String) -> CloseReason {
        match self {
            Self::AwaitDate(_) => CloseReason::NotI2cp(why),
            _ => CloseReason::Protocol(why),
        }
    }

    /// What the router's last words mean. Java I2P answers a login or a session that it does not
    /// like with them, and with nothing else.
    fn disconnected(&self, words: &str) -> CloseReason {
        let lower = words.to_ascii_lowercase();
        match self {
            Self::AwaitDate(_) | Self::AwaitLimits(_) => {
                CloseReason::LoginRefused(words.to_owned())
            }
            Self::AwaitStatus(_) if lower.contains("uthoriz") => {
                CloseReason::LoginRefused(words.to_owned())
            }
            Self::AwaitStatus(_) if lower.contains("duplicate") => CloseReason::Duplicate,
            Self::AwaitStatus(_) => CloseReason::Refused(words.to_owned()),
            _ => CloseReason::Disconnected(words.to_owned()),
        }
    }
}

/// What all states share.
struct Core {
    router: Router,
    /// What the caller knows about the router.
    told_router: Option<RouterKind>,
    start: Instant,
    start_unix: Duration,
    /// How far the router's clock is ahead of ours.
    offset_ms: i64,
    reader: FrameReader,
    lookups: Lookups,
    /// Bounded by what one input leads to, as the driver drains it after each.
    transmit: Vec<u8>,
    /// Bounded likewise.
    events: VecDeque<Event>,
}

impl Core {
    fn send(&mut self, message: &Message) -> Result<(), CloseReason> {
        message
            .encode_frame(&mut self.transmit)
            .map_err(|error| CloseReason::BadOption {
                key: "session".to_owned(),
                why: error.to_string(),
            })
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn apply(&mut self, effects: Effects) -> Result<(), CloseReason> {
        self.events.extend(effects.events);
        for message in &effects.messages {
            self.send(message)?;
        }
        Ok(())
    }

    fn close(&mut self, reason: CloseReason) -> State {
        self.events
            .extend(self.lookups.fail_all(LookupFailure::Closed).events);
        self.event(Event::Closed(reason));
        State::Closed
    }

    /// Adopts the router's clock: what it gets is judged by it.
    fn set_clock(&mut self, now: Instant, router_ms: u64) {
        let ours = i64::try_from(self.unix_ms(now)).unwrap_or(i64::MAX);
        let theirs = i64::try_from(router_ms).unwrap_or(i64::MAX);
        self.offset_ms = theirs.saturating_sub(ours);
        self.event(Event::ClockOffset(self.offset_ms));
    }

    /// Our time in milliseconds since 1970.
    fn unix_ms(&self, now: Instant) -> u64 {
        let unix = self
            .start_unix
            .saturating_add(now.saturating_duration_since(self.start));
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
    }

    /// The router's time in milliseconds since 1970.
    fn router_ms(&self, now: Instant) -> u64 {
        self.unix_ms(now).saturating_add_signed(self.offset_ms)
    }

    /// Signs the configuration of a session for this router.
    fn session_config(
        &self,
        now: Instant,
        keys: &PrivateKeys,
        options: &Options,
    ) -> Result<SessionConfig, CloseReason> {
        let mut told = options.for_router();
        let key = "i2cp.dontPublishLeaseSet";
        told.remove(key);
        let dont_publish = options.dont_publish_lease_set();
        let Router { kind, version } = self.router;
        if let Some(value) = quirks::dont_publish_value(kind, version, dont_publish) {
            told.insert(key.to_owned(), value.to_owned());
        }
        SessionConfig::sign(keys, told, self.router_ms(now)).map_err(|error| {
            CloseReason::BadOption {
                key: "session".to_owned(),
                why: error.to_string(),
            }
        })
    }
}

/// The longest time to open that is kept, so that no time overflows: a day.
const MAX_OPEN_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
