//! The state machine of one connection.

use std::{collections::VecDeque, fmt, sync::Arc};

use eepkit_wire::Zeroizing;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::{Answer, Config, Output, Request};
use crate::{
    VERSION,
    command::{Command, CommandError},
    database::Database,
    lines::LineReader,
    tunnel::Nickname,
};

/// The state machine of one connection. The [module](super) documentation describes how to drive
/// it.
pub struct Connection {
    pub(super) config: Arc<Config>,
    pub(super) rng: ChaCha20Rng,
    lines: LineReader,
    /// Bytes that do not fit into the line reader yet.
    waiting: Zeroizing<Vec<u8>>,
    /// The tunnel that commands are about. It may have been removed by another connection.
    pub(super) selected: Option<Nickname>,
    phase: Phase,
    outputs: VecDeque<Output>,
}

/// What the connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A command.
    Idle,
    /// The tunnel that is being started.
    Starting,
    /// The result of a look-up.
    LookingUp,
    /// Nothing: the socket is closed.
    Done,
}

impl Connection {
    /// Creates the machine of a connection, which begins with the greeting. `seed` must be fresh and
    /// secret, because keys are generated from it.
    pub fn new(config: Arc<Config>, seed: [u8; 32]) -> Self {
        let mut this = Self {
            config,
            rng: ChaCha20Rng::from_seed(seed),
            lines: LineReader::new(LineReader::MAX_LINE),
            waiting: Zeroizing::default(),
            selected: None,
            phase: Phase::Idle,
            outputs: VecDeque::new(),
        };
        this.send(&format!("BOB {VERSION}\nOK\n"));
        this
    }

    /// Processes bytes of the client.
    pub fn handle_bytes(&mut self, database: &mut Database, bytes: &[u8]) {
        if self.phase == Phase::Done {
            return;
        }
        // A buffer that grows would leave copies of private keys.
        let mut waiting = Zeroizing::new(Vec::with_capacity(self.waiting.len() + bytes.len()));
        waiting.extend_from_slice(&self.waiting);
        waiting.extend_from_slice(bytes);
        self.waiting = waiting;
        self.work(database);
    }

    /// Processes the answer to a request. An answer without a matching request is ignored.
    pub fn handle_answer(&mut self, database: &mut Database, answer: Answer) {
        match (self.phase, answer) {
            (Phase::Starting, Answer::Started(Ok(()))) => self.ok("tunnel starting"),
            (Phase::Starting, Answer::Started(Err(why))) => {
                self.error(&format!("starting tunnel: {why}"));
            }
            (Phase::LookingUp, Answer::Found(Some(destination))) => {
                self.ok(&destination.to_base64());
            }
            (Phase::LookingUp, Answer::Found(None)) => self.error("Address Not found."),
            _ => return,
        }
        self.phase = Phase::Idle;
        self.work(database);
    }

    /// Processes the end of the bytes of the client.
    pub fn handle_end(&mut self) {
        if self.phase != Phase::Done {
            self.quit();
        }
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether to read more bytes of the client now.
    pub fn wants_bytes(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the machine is done with the connection.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn work(&mut self, database: &mut Database) {
        while self.phase == Phase::Idle {
            let taken = self.lines.push(&self.waiting);
            let line = self.lines.next_line();
            let left = Zeroizing::new(self.waiting.get(taken..).unwrap_or_default().to_vec());
            self.waiting = left;
            match line {
                Ok(Some(line)) => match Command::parse(&line) {
                    Ok(Some(command)) => self.command(database, command),
                    Ok(None) => {}
                    Err(error @ CommandError) => self.error(&error.to_string()),
                },
                Ok(None) if self.waiting.is_empty() => return,
                Ok(None) => {}
                Err(error) => {
                    self.error(&error.to_string());
                    self.close();
                }
            }
        }
    }

    /// Answers with OK and a text.
    pub(super) fn ok(&mut self, text: &str) {
        self.send_parts(&["OK ", text, "\n"]);
    }

    /// Answers with ERROR and the reason.
    pub(super) fn error(&mut self, why: &str) {
        let why: String = why
            .chars()
            .take(MAX_ERROR)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.send_parts(&["ERROR ", &why, "\n"]);
    }

    pub(super) fn send(&mut self, text: &str) {
        self.send_parts(&[text]);
    }

    fn send_parts(&mut self, parts: &[&str]) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in parts {
            text.push_str(part);
        }
        self.outputs.push_back(Output::Send(text));
    }

    pub(super) fn request(&mut self, request: Request) {
        self.phase = match request {
            Request::Start(_) => Phase::Starting,
            Request::LookUp(_) => Phase::LookingUp,
            _ => self.phase,
        };
        self.outputs.push_back(Output::Request(request));
    }

    pub(super) fn quit(&mut self) {
        self.ok("Bye!");
        self.close();
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Done;
        self.waiting = Zeroizing::default();
        self.outputs.push_back(Output::Close);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// The longest text after ERROR, in characters. Chosen because it is one sentence, and some clients
/// have short buffers.
const MAX_ERROR: usize = 240;
