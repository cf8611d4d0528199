//! The state machine: input, output, and the phases of commands.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use eepkit_wire::{Destination, Zeroizing};
use rand_chacha::ChaCha20Rng;

use super::{
    super::{
        config::Config,
        directory::{Client, Directory},
        exchange::SessionKey,
    },
    exchange::{Answer, Output, Request, StreamKey},
    payload::Payload,
    stream::Stream,
};
use crate::{
    line::LineReader,
    message::{LineBuilder, Message, Syntax},
    result::{Failure, ResultCode},
    style::{Direction, Style},
    version::{OlderVersion, Version},
};

/// The state machine of one connection. The [module](super) documentation describes how to drive
/// it.
pub struct Connection {
    pub(super) config: Arc<Config>,
    pub(super) owner: Client,
    pub(super) version: OlderVersion,
    pub(super) rng: ChaCha20Rng,
    pub(super) lines: LineReader,
    pub(super) phase: Phase,
    pub(super) session: Option<Session>,
    pub(super) streams: BTreeMap<StreamKey, Stream>,
    /// The streams by the IDs that the client uses. A closed stream has none.
    pub(super) ids: BTreeMap<i32, StreamKey>,
    pub(super) next_key: u64,
    /// The ID of the last stream of a peer. IDs of such streams are negative.
    pub(super) last_incoming: i32,
    outputs: VecDeque<Output>,
    /// Whether SESSION CREATE has waited for a conflicting session.
    pub(super) has_retried: bool,
    /// The deadline for the first command.
    speak_by: Option<Instant>,
}

/// The session of a connection.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) style: Style,
    pub(super) direction: Direction,
    /// The name of the destination, as the client sent it.
    pub(super) name: String,
    pub(super) destination: Destination,
    pub(super) is_open: bool,
}

/// What the connection waits for.
pub(super) enum Phase {
    /// A command.
    Idle,
    /// The keys of a session.
    Keys { message: Message },
    /// The end of another session with the same destination, whose socket may just be closing.
    Retrying { message: Message, at: Instant },
    /// The session.
    Opening,
    /// The result of a look-up.
    LookingUp { name: String },
    /// A stream: in version 1.0, commands wait until it is open.
    Connecting,
    /// The bytes after a command.
    Payload(Payload),
    /// Nothing: the socket is closed.
    Done,
}

impl Connection {
    pub(in super::super) fn new(
        config: Arc<Config>,
        owner: Client,
        version: OlderVersion,
        rng: ChaCha20Rng,
        lines: LineReader,
        speak_by: Option<Instant>,
    ) -> Self {
        Self {
            config,
            owner,
            version,
            rng,
            lines,
            phase: Phase::Idle,
            session: None,
            streams: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_key: 0,
            last_incoming: 0,
            has_retried: false,
            outputs: VecDeque::new(),
            speak_by,
        }
    }

    /// Processes bytes of the client, or none, to process those that arrived before HELLO was
    /// answered.
    pub fn handle_bytes<A>(&mut self, now: Instant, directory: &mut Directory<A>, bytes: &[u8]) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        self.lines.push(bytes);
        self.work(now, directory);
    }

    /// Processes the answer to a request, or an event of the router.
    ///
    /// An answer without a matching request is ignored.
    pub fn handle_answer<A>(&mut self, now: Instant, directory: &mut Directory<A>, answer: Answer) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        match answer {
            Answer::Keys(result) => self.keys(now, directory, result),
            Answer::Opened(result) => self.opened(directory, result),
            Answer::Connected { stream, result } => self.connected(stream, result),
            Answer::Found(result) => self.found(result),
            Answer::Received { style, datagram } => {
                // Ports are sent since 3.2.
                self.send(datagram.to_control(style, Version::V3_0));
            }
            Answer::SessionEnded(failure) => self.session_ended(directory, failure),
        }
        self.work(now, directory);
    }

    /// Executes what is due.
    pub fn handle_timeout<A>(&mut self, now: Instant, directory: &mut Directory<A>) {
        if self.speak_by.is_some_and(|at| at <= now) {
            self.speak_by = None;
            let failure = Failure::error("no command within the time limit");
            self.fail("SESSION STATUS", &failure);
            return self.close(directory);
        }
        if matches!(&self.phase, Phase::Retrying { at, .. } if *at <= now)
            && let Phase::Retrying { message, .. } = std::mem::replace(&mut self.phase, Phase::Idle)
        {
            self.create(now, directory, message);
        }
        self.work(now, directory);
    }

    /// Processes the end of the socket. The session and all streams end.
    pub fn handle_end<A>(&mut self, directory: &mut Directory<A>) {
        self.release(directory);
        self.phase = Phase::Done;
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The time at which to call [`Connection::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Done => return None,
            Phase::Retrying { at, .. } => Some(*at),
            _ => None,
        };
        [self.speak_by, phase].into_iter().flatten().min()
    }

    /// Whether to read more bytes of the client now.
    pub fn wants_bytes(&self) -> bool {
        self.lines.len() < READ_AHEAD
    }

    /// Whether the machine is done with the connection.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The version of the connection.
    pub fn version(&self) -> OlderVersion {
        self.version
    }

    /// The session, if it is open.
    pub fn session(&self) -> Option<SessionKey> {
        let session = self.session.as_ref()?;
        session.is_open.then_some(session.key)
    }

    /// Which streams the session can have, if it is open and has STYLE=STREAM.
    pub fn direction(&self) -> Option<Direction> {
        let session = self.session.as_ref()?;
        (session.is_open && session.style == Style::Stream).then_some(session.direction)
    }

    /// Processes the buffered bytes, as far as the phase allows.
    pub(super) fn work<A>(&mut self, now: Instant, directory: &mut Directory<A>) {
        loop {
            match &self.phase {
                Phase::Idle => {}
                Phase::Payload(_) => {
                    if !self.payload(directory) {
                        return;
                    }
                    continue;
                }
                _ => return,
            }
            match self.lines.next_line() {
                Ok(None) => return,
                Ok(Some(line)) => self.line(now, directory, &Zeroizing::new(line)),
                Err(error) => {
                    self.fail("SESSION STATUS", &Failure::error(error.to_string()));
                    return self.close(directory);
                }
            }
        }
    }

    fn line<A>(&mut self, now: Instant, directory: &mut Directory<A>, line: &str) {
        if line.trim_matches([' ', '\t']).is_empty() {
            return;
        }
        self.speak_by = None;
        match Message::parse(line, Syntax::of(Version::V3_0)) {
            Ok(message) => self.command(now, directory, message),
            Err(error) => {
                self.fail("SESSION STATUS", &Failure::error(error.to_string()));
                self.close(directory);
            }
        }
    }

    /// Queues bytes for the socket.
    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send(Bytes::from(bytes)));
    }

    pub(super) fn send_line(&mut self, line: LineBuilder) {
        self.send(line.finish().into_bytes());
    }

    pub(super) fn request(&mut self, request: Request) {
        self.outputs.push_back(Output::Request(request));
    }

    /// Answers with a failure and its message.
    pub(super) fn fail(&mut self, words: &str, failure: &Failure) {
        let line = LineBuilder::new(words)
            .pair("RESULT", &failure.result)
            .message(&failure.message);
        self.send_line(line);
    }

    /// Answers with a failure and closes the connection. Used where the start of the next command
    /// is unknown, and where Java I2P closes the connection without an answer.
    pub(super) fn abort<A>(&mut self, directory: &mut Directory<A>, words: &str, why: String) {
        self.fail(words, &Failure::error(why));
        self.close(directory);
    }

    /// Closes the connection and everything that belongs to it.
    pub(super) fn close<A>(&mut self, directory: &mut Directory<A>) {
        self.release(directory);
        self.phase = Phase::Done;
        self.outputs.push_back(Output::Close);
    }

    fn release<A>(&mut self, directory: &mut Directory<A>) {
        self.streams.clear();
        self.ids.clear();
        if let Some(session) = self.session.take() {
            directory.remove(session.key);
            self.request(Request::Close(session.key));
        }
    }

    fn session_ended<A>(&mut self, directory: &mut Directory<A>, mut failure: Failure) {
        let Some(session) = &self.session else {
            return;
        };
        failure.result = ResultCode::I2pError;
        let line = LineBuilder::new("SESSION STATUS")
            .pair("RESULT", &failure.result)
            .pair("DESTINATION", &session.name)
            .message(&failure.message);
        self.send_line(line);
        self.close(directory);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("version", &self.version)
            .field("session", &self.session.as_ref().map(|session| session.key))
            .field("streams", &self.streams.len())
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// The number of bytes that are read ahead. Chosen to hold the longest line and the largest payload.
const READ_AHEAD: usize = 64 * 1024;
