//! One connection to a bridge.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::Zeroizing;

use crate::{command::Command, lines::LineReader};

/// One connection to a bridge.
///
/// The caller passes received bytes ([`Client::handle_bytes`], [`Client::handle_end`]) and the time
/// ([`Client::handle_timeout`]) to the client. After each of these calls and after each command, it
/// calls [`Client::poll_output`] until the result is [`Output::Timeout`].
///
/// Each command is sent after the earlier ones are answered, because i2pd drops what arrives
/// earlier.
#[derive(Debug)]
pub struct Client {
    lines: LineReader,
    state: State,
    /// Commands that are not sent yet.
    waiting: VecDeque<(Command, Duration)>,
    /// The deadline for the answer to the command that is sent.
    asked: Option<Instant>,
    /// The lines before the last one of the answer.
    data: Vec<String>,
    out: VecDeque<Output>,
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for the two lines of the greeting. The time is the deadline.
    Greeting(Instant),
    Ready,
    Over,
}

/// What [`Client::poll_output`] returns.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Text to write to the bridge. It may contain private keys.
    Transmit(Zeroizing<String>),
    /// The bridge has sent its greeting, which contains its version.
    Ready(String),
    /// The answer to the oldest command without one.
    Reply(Reply),
    /// The connection is closed. Commands without an answer get none. Nothing follows.
    Closed(Closed),
    /// Nothing to do now. Call [`Client::handle_timeout`] at this time.
    Timeout(Option<Instant>),
}

/// The answer to a command.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The lines with `DATA`, without that word.
    pub data: Vec<String>,
    /// The text after OK, or the reason after ERROR.
    pub result: Result<Zeroizing<String>, String>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may be a private key.
        let result = self.result.as_ref().map(|text| text.len());
        f.debug_struct("Reply")
            .field("data", &self.data)
            .field("result", &result)
            .finish()
    }
}

/// The reason why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The bridge closed it.
    #[error("the bridge closed the connection")]
    ByBridge,
    /// The bridge did not answer in time. For `help` on an unknown word this is its answer.
    #[error("the bridge did not answer in time")]
    Timeout,
    /// The bridge sent data that is not BOB.
    #[error("the bridge sent invalid data")]
    NotBob,
}

impl Client {
    /// The most commands that wait. Chosen far above the need of one tunnel.
    pub const MAX_WAITING: usize = 256;

    /// Creates a client that waits for the greeting.
    pub fn new(now: Instant) -> Self {
        Self {
            lines: LineReader::new(LineReader::MAX_LINE),
            state: State::Greeting(now + GREETING_LIMIT),
            waiting: VecDeque::new(),
            asked: None,
            data: Vec::new(),
            out: VecDeque::new(),
            now,
        }
    }

    /// Sends a command, after the earlier ones are answered. [`Output::Reply`] follows. `timeout`
    /// starts when the command is sent. Returns false if the connection is closed, or too many
    /// commands wait.
    pub fn command(&mut self, command: Command, timeout: Duration) -> bool {
        if self.state == State::Over || self.waiting.len() >= Self::MAX_WAITING {
            return false;
        }
        self.waiting.push_back((command, timeout));
        self.ask_next();
        true
    }

    /// Processes received bytes.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        self.now = self.now.max(now);
        while self.state != State::Over {
            let taken = self.lines.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            match self.lines.next_line() {
                Ok(Some(line)) => self.on_line(&line),
                Ok(None) if bytes.is_empty() => return,
                Ok(None) => {}
                Err(_) => self.end(Closed::NotBob),
            }
        }
    }

    /// Processes the end of the received bytes.
    pub fn handle_end(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.end(Closed::ByBridge);
    }

    /// Processes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let greeting = matches!(self.state, State::Greeting(until) if until <= self.now);
        if greeting || self.asked.is_some_and(|until| until <= self.now) {
            // A late answer would be matched with the next command.
            self.end(Closed::Timeout);
        }
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        Output::Timeout(match self.state {
            State::Greeting(until) => Some(until),
            State::Ready => self.asked,
            State::Over => None,
        })
    }

    fn on_line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let State::Greeting(_) = self.state {
            return match word {
                "BOB" if self.data.is_empty() => self.data.push(rest.to_owned()),
                "OK" if !self.data.is_empty() => {
                    let version = self.data.drain(..).collect();
                    self.out.push_back(Output::Ready(version));
                    self.state = State::Ready;
                    self.ask_next();
                }
                _ => self.end(Closed::NotBob),
            };
        }
        if self.asked.is_none() {
            // An answer of several lines, such as the two errors of Java I2P for a port that is not
            // a number.
            return;
        }
        let result = match word {
            "OK" => Ok(Zeroizing::new(rest.to_owned())),
            "ERROR" => Err(rest.to_owned()),
            "DATA" if self.data.len() < MAX_DATA => return self.data.push(rest.to_owned()),
            _ => return self.end(Closed::NotBob),
        };
        self.asked = None;
        let data = std::mem::take(&mut self.data);
        self.out.push_back(Output::Reply(Reply { data, result }));
        self.ask_next();
    }

    fn ask_next(&mut self) {
        if self.state == State::Ready
            && self.asked.is_none()
            && let Some((command, timeout)) = self.waiting.pop_front()
        {
            self.asked = Some(self.now + timeout);
            self.out.push_back(Output::Transmit(command.to_line()));
        }
    }

    fn end(&mut self, why: Closed) {
        if self.state != State::Over {
            self.state = State::Over;
            self.waiting.clear();
            self.out.push_back(Output::Closed(why));
        }
    }
}

/// The time limit for the greeting. Chosen as many round trips to a local program.
const GREETING_LIMIT: Duration = Duration::from_secs(20);

/// The most lines with DATA in an answer. Chosen far above the number of tunnels of a bridge.
const MAX_DATA: usize = 4096;
