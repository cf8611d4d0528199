//! The procedure that brings a tunnel online.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::{Destination, PrivateKeys, SignatureType, Zeroizing};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use super::connection::{Client, Closed, Output, Reply};
use crate::{
    command::Command,
    status::Status,
    tunnel::{Nickname, NicknameError},
};

/// The tunnel that a program wants.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Wanted {
    /// The nickname. If another program uses it, digits are appended.
    pub nick: Nickname,
    /// The keys.
    pub keys: Keys,
    /// The address on which the tunnel listens for the program's own connections.
    pub inbound: Option<(String, u16)>,
    /// The address to which the tunnel connects for each stream of a peer.
    pub outbound: Option<(String, u16)>,
    /// Whether connections to `outbound` begin without the line that names the peer.
    pub quiet: bool,
    /// I2CP and streaming options, without spaces.
    pub options: Vec<(String, String)>,
    /// The time limit for the session of the tunnel; 3 minutes by default.
    pub timeout: Duration,
}

/// The keys of a tunnel.
#[derive(Clone)]
#[non_exhaustive]
pub enum Keys {
    /// New keys, of this type if the bridge supports it. Only i2pd and eepkit do.
    New(Option<SignatureType>),
    /// These keys.
    Given(Box<PrivateKeys>),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::New(kind) => f.debug_tuple("New").field(kind).finish(),
            Self::Given(keys) => f.debug_tuple("Given").field(keys.destination()).finish(),
        }
    }
}

impl Wanted {
    /// A tunnel with new keys and without ports.
    ///
    /// # Errors
    ///
    /// [`NicknameError`].
    pub fn new(nick: &str) -> Result<Self, NicknameError> {
        Ok(Self {
            nick: Nickname::new(nick)?,
            keys: Keys::New(None),
            inbound: None,
            outbound: None,
            quiet: false,
            options: Vec::new(),
            timeout: Duration::from_secs(180),
        })
    }
}

/// Brings a tunnel online, over one connection to a bridge.
///
/// If a running tunnel has the nickname and the given keys, it is used as it is: it was started by
/// an earlier run of the program. The machine is driven as [`Client`] is.
#[derive(Debug)]
pub struct Setup {
    client: Client,
    wanted: Wanted,
    nick: Nickname,
    rng: ChaCha20Rng,
    step: Step,
    /// Commands that change settings and are not sent yet.
    settings: VecDeque<Command>,
    keys: Option<PrivateKeys>,
    /// The time of the next `status`.
    ask_at: Option<Instant>,
    /// The deadline for the state that is waited for.
    until: Option<Instant>,
    tries: usize,
    events: VecDeque<SetupEvent>,
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Waits for the greeting, then asks whether there is such a tunnel.
    Greeting,
    Status,
    /// Selects a running tunnel, to compare its keys.
    Select,
    Compare,
    /// Starts a tunnel that may run already: i2pd reports a stopped tunnel as one that starts.
    Restart,
    Create,
    Keys,
    GetKeys,
    Settings,
    Start,
    /// Asks for the state of the tunnel until it runs.
    Waiting,
    Running,
    /// Asks for the state of the tunnel until it is idle, and removes it.
    Stopping,
    Clearing,
    Over,
}

/// What [`Setup::poll_output`] returns.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupEvent {
    /// Text to write to the bridge. It may contain private keys.
    Transmit(Zeroizing<String>),
    /// The tunnel runs. [`Setup::keys`] returns its keys.
    Running(Destination),
    /// The tunnel was stopped and removed. Nothing follows.
    Removed,
    /// The procedure has failed. Nothing follows.
    Failed(SetupError),
    /// Nothing to do now. Call [`Setup::handle_timeout`] at this time.
    Timeout(Option<Instant>),
}

/// The reason why a tunnel is not online.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The connection ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The bridge refused a command.
    #[error("the bridge refused {command}: {why}")]
    Refused {
        /// The name of the command.
        command: &'static str,
        /// The reason.
        why: String,
    },
    /// The bridge sent an invalid answer.
    #[error("the answer of the bridge to {0} is invalid")]
    Malformed(&'static str),
    /// The tunnel stopped while it was starting.
    #[error("the tunnel did not start; the log of the bridge may have the reason")]
    Stopped,
    /// The tunnel did not reach the state in time.
    #[error("the tunnel was not ready in time")]
    Timeout,
}

impl Setup {
    /// Creates the procedure. `seed` selects digits for nicknames.
    pub fn new(wanted: Wanted, seed: [u8; 32], now: Instant) -> Self {
        Self {
            client: Client::new(now),
            nick: wanted.nick.clone(),
            wanted,
            rng: ChaCha20Rng::from_seed(seed),
            step: Step::Greeting,
            settings: VecDeque::new(),
            keys: None,
            ask_at: None,
            until: None,
            tries: 0,
            events: VecDeque::new(),
            now,
        }
    }

    /// Processes received bytes.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.now = self.now.max(now);
        self.client.handle_bytes(now, bytes);
        self.work();
    }

    /// Processes the end of the received bytes. A tunnel that runs continues to do so.
    pub fn handle_end(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.client.handle_end(now);
        self.work();
    }

    /// Processes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.client.handle_timeout(now);
        self.work();
        if self.until.is_some_and(|until| until <= self.now) {
            return self.fail(SetupError::Timeout);
        }
        if self.ask_at.is_some_and(|at| at <= self.now) {
            self.ask_at = None;
            self.send(Command::Status(self.nick.to_string()));
            self.work();
        }
    }

    /// Stops and removes a running tunnel. [`SetupEvent::Removed`] follows.
    pub fn remove(&mut self) {
        if self.step == Step::Running {
            self.step = Step::Stopping;
            self.until = Some(self.now + STOP_LIMIT);
            self.send(Command::Stop);
            self.work();
        }
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> SetupEvent {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let Output::Timeout(client) = self.client.poll_output() else {
            // Work has taken all outputs.
            return SetupEvent::Timeout(None);
        };
        let times = match self.step {
            Step::Over => [None; 3],
            _ => [client, self.ask_at, self.until],
        };
        SetupEvent::Timeout(times.into_iter().flatten().min())
    }

    /// The keys of the tunnel, once it runs.
    pub fn keys(&self) -> Option<&PrivateKeys> {
        self.keys.as_ref()
    }

    /// The nickname of the tunnel.
    pub fn nickname(&self) -> &Nickname {
        &self.nick
    }

    fn work(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Transmit(text) => self.events.push_back(SetupEvent::Transmit(text)),
                Output::Ready(_) => {
                    self.step = Step::Status;
                    self.send(Command::Status(self.nick.to_string()));
                }
                Output::Reply(reply) => self.on_reply(reply),
                Output::Closed(why) => return self.fail(why.into()),
                Output::Timeout(_) => return,
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        let Reply { data, result } = reply;
        match self.step {
            Step::Status => match result.as_deref().map(|text| status(text, &data)) {
                // There is no such tunnel, or an idle one.
                Err(_) => self.create(),
                Ok(Some(status)) if status.is_idle() => self.create(),
                Ok(Some(_)) => {
                    self.step = Step::Select;
                    self.send(Command::GetNick(self.nick.to_string()));
                }
                Ok(None) => self.fail(SetupError::Malformed("status")),
            },
            Step::Select => match (&self.wanted.keys, result) {
                (Keys::Given(_), Ok(_)) => {
                    self.step = Step::Compare;
                    self.send(Command::GetKeys);
                }
                _ => self.rename(),
            },
            Step::Compare => {
                let keys = result
                    .ok()
                    .and_then(|text| PrivateKeys::from_base64(&text).ok());
                match (&self.wanted.keys, keys) {
                    (Keys::Given(wanted), Some(keys)) if **wanted == keys => {
                        self.keys = Some(keys);
                        self.step = Step::Restart;
                        self.send(Command::Start);
                    }
                    _ => self.rename(),
                }
            }
            Step::Create => match result {
                Ok(_) => {
                    self.step = Step::Keys;
                    self.send(match &self.wanted.keys {
                        Keys::Given(keys) => Command::SetKeys(keys.to_base64()),
                        Keys::New(kind) => Command::NewKeys(kind.map(|kind| kind.0.to_string())),
                    });
                }
                // Another program has started a tunnel with this nickname.
                Err(_) => self.rename(),
            },
            Step::Keys => match result {
                Ok(_) => {
                    self.step = Step::GetKeys;
                    self.send(Command::GetKeys);
                }
                Err(why) => self.refused("the keys", why),
            },
            Step::GetKeys => {
                let keys = result
                    .ok()
                    .and_then(|text| PrivateKeys::from_base64(&text).ok());
                if keys.is_none() {
                    return self.fail(SetupError::Malformed("getkeys"));
                }
                self.keys = keys;
                self.settings = self.settings();
                self.step = Step::Settings;
                self.next_setting();
            }
            Step::Settings => match result {
                Ok(_) => self.next_setting(),
                Err(why) => self.refused("a setting", why),
            },
            // A tunnel that runs is active already.
            Step::Restart => self.wait(self.wanted.timeout),
            Step::Start => match result {
                Ok(_) => self.wait(self.wanted.timeout),
                Err(why) => self.refused("start", why),
            },
            Step::Waiting => match result.as_deref().map(|text| status(text, &data)) {
                Ok(Some(status)) if status.running && !status.starting => self.running(),
                Ok(Some(status)) if status.is_idle() => self.fail(SetupError::Stopped),
                Ok(Some(_)) => self.ask_at = Some(self.now + POLL),
                _ => self.fail(SetupError::Malformed("status")),
            },
            Step::Stopping => match result.as_deref() {
                // The answer to stop, or a state that is not idle yet.
                Ok(text) => match status(text, &data) {
                    // i2pd reports a stopped tunnel as one that starts.
                    Some(status) if !(status.running || status.stopping) => {
                        self.step = Step::Clearing;
                        self.send(Command::Clear);
                    }
                    _ => self.ask_at = Some(self.now + POLL),
                },
                Err(why) => {
                    let why = why.clone();
                    self.refused("stop", why);
                }
            },
            Step::Clearing => match result {
                Ok(_) => {
                    self.until = None;
                    self.step = Step::Over;
                    self.events.push_back(SetupEvent::Removed);
                }
                // Java I2P reports an idle tunnel before it allows this.
                Err(_) => {
                    self.step = Step::Stopping;
                    self.ask_at = Some(self.now + POLL);
                }
            },
            Step::Greeting | Step::Running | Step::Over => {}
        }
    }

    fn create(&mut self) {
        self.step = Step::Create;
        self.send(Command::SetNick(self.nick.to_string()));
    }

    /// Tries another nickname.
    fn rename(&mut self) {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            let why = "the nickname and its variants are in use".to_owned();
            return self.refused("setnick", why);
        }
        let digits = self.rng.next_u32();
        let mut text = self.wanted.nick.as_str().to_owned();
        text.truncate(Nickname::MAX_LENGTH - 9);
        if let Ok(nick) = Nickname::new(&format!("{text}-{digits:08x}")) {
            self.nick = nick;
        }
        self.step = Step::Status;
        self.send(Command::Status(self.nick.to_string()));
    }

    fn settings(&self) -> VecDeque<Command> {
        let mut commands = VecDeque::new();
        if let Some((host, port)) = &self.wanted.inbound {
            commands.push_back(Command::InHost(host.clone()));
            commands.push_back(Command::InPort(port.to_string()));
        }
        if let Some((host, port)) = &self.wanted.outbound {
            commands.push_back(Command::OutHost(host.clone()));
            commands.push_back(Command::OutPort(port.to_string()));
        }
        if self.wanted.quiet {
            commands.push_back(Command::Quiet(true));
        }
        for (key, value) in &self.wanted.options {
            // Java I2P and i2pd take one pair.
            commands.push_back(Command::SetOption(vec![format!("{key}={value}")]));
        }
        commands
    }

    fn next_setting(&mut self) {
        match self.settings.pop_front() {
            Some(command) => self.send(command),
            None => {
                self.step = Step::Start;
                self.send(Command::Start);
            }
        }
    }

    /// Waits until the tunnel runs. Bridges report no event for it.
    fn wait(&mut self, limit: Duration) {
        self.step = Step::Waiting;
        self.until = Some(self.now + limit);
        self.send(Command::Status(self.nick.to_string()));
    }

    fn running(&mut self) {
        self.step = Step::Running;
        self.until = None;
        if let Some(keys) = &self.keys {
            let destination = keys.destination().clone();
            self.events.push_back(SetupEvent::Running(destination));
        }
    }

    fn send(&mut self, command: Command) {
        self.client.command(command, COMMAND_LIMIT);
    }

    fn refused(&mut self, command: &'static str, why: String) {
        self.fail(SetupError::Refused { command, why });
    }

    fn fail(&mut self, error: SetupError) {
        if self.step != Step::Over {
            self.step = Step::Over;
            self.until = None;
            self.ask_at = None;
            self.events.push_back(SetupEvent::Failed(error));
        }
    }
}

/// The status in an answer, which i2pd sends with DATA on the line of OK, and other versions before
/// it.
fn status(text: &str, data: &[String]) -> Option<Status> {
    let last = data.last().map(String::as_str);
    Status::parse(text)
        .ok()
        .or_else(|| Status::parse(last?).ok())
}

/// The time between two questions for the state of a tunnel. Chosen because a session takes some
/// seconds.
const POLL: Duration = Duration::from_millis(500);

/// The time limit for the answer to a command. Chosen as many round trips to a local program, and
/// time to generate keys.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The most variants of a nickname that are tried. Chosen because a collision of random digits is
/// improbable.
const MAX_TRIES: usize = 5;
