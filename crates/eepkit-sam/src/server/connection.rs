//! The state machine of one TCP connection to a bridge.

use std::{
    collections::VecDeque,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::{Destination, Zeroizing};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::{
    config::Config,
    directory::Directory,
    exchange::{Answer, Request, SessionKey},
    older,
    output::Output,
};
use crate::{
    datagram::SendOptions,
    line::{LineError, LineReader},
    message::{LineBuilder, Message, Syntax},
    result::{Failure, ResultCode},
    version::{OlderVersion, Version},
};

/// The state machine of one connection. The [module](super) documentation describes how to drive
/// it.
pub struct Connection {
    pub(super) config: Arc<Config>,
    pub(super) client: Option<IpAddr>,
    /// The user that logged in.
    pub(super) user: Option<String>,
    pub(super) rng: ChaCha20Rng,
    pub(super) lines: LineReader,
    pub(super) version: Option<Version>,
    pub(super) phase: Phase,
    /// The session of which this is the control socket.
    pub(super) session: Option<SessionKey>,
    outputs: VecDeque<Output>,
    /// The deadline for HELLO, or for the first command.
    speak_by: Option<Instant>,
    ping: Ping,
    /// The number of consecutive commands that were not understood.
    errors: usize,
    /// The time when the last line was sent.
    pub(super) sent_at: Instant,
    /// Whether the driver observes when the client has read what was sent.
    is_seen: bool,
}

/// The phase of a connection.
pub(super) enum Phase {
    /// Waits for HELLO.
    Hello,
    /// A name and a password are being checked.
    Authenticating { version: Spoken, user: String },
    /// Waits for a command.
    Idle,
    /// CREATE found a session with the same ID or destination, whose socket may just be closing.
    Retrying { message: Message, at: Instant },
    /// A session is being opened.
    Opening {
        session: SessionKey,
        /// The text of its keys, for the answer.
        text: Zeroizing<String>,
    },
    /// A subsession is being added.
    Adding { session: SessionKey, id: String },
    /// A name is being looked up.
    LookingUp { name: String },
    /// A change of users is being made.
    ChangingAuth,
    /// The payload of a datagram is arriving. `send` is an error if the datagram cannot be sent.
    Payload {
        send: Result<(SessionKey, String, SendOptions), Failure>,
        verb: &'static str,
        size: usize,
    },
    /// A stream is being opened.
    Connecting { silent: bool },
    /// Waits until a peer opens a stream.
    Accepting { session: SessionKey, silent: bool },
    /// A peer opened a stream. The line that names the peer is sent after the pause that follows
    /// the previous line.
    Accepted {
        peer: Destination,
        ports: (u16, u16),
        at: Instant,
    },
    /// The router prepares to forward streams.
    Preparing { session: SessionKey },
    /// Streams are forwarded until the socket closes.
    Forwarding { session: SessionKey },
    /// The socket belongs to a stream, or is closed.
    Done,
}

/// The negotiated version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spoken {
    Current(Version),
    Older(OlderVersion),
}

/// The state of the keep-alive PING.
#[derive(Debug, Clone, Copy)]
enum Ping {
    /// No PING is sent.
    Off,
    /// A PING is sent at this time.
    At(Instant),
    /// A PING is sent, and this is the deadline for the answer.
    Until(Instant),
}

impl Connection {
    /// Creates the machine of a connection from `client`, if the address is known. `seed` must be
    /// fresh and secret, because keys are generated from it.
    pub fn new(config: Arc<Config>, client: Option<IpAddr>, seed: [u8; 32], now: Instant) -> Self {
        Self {
            speak_by: Some(now + config.hello_timeout),
            config,
            client,
            user: None,
            rng: ChaCha20Rng::from_seed(seed),
            lines: LineReader::new(LineReader::MAX_LINE),
            version: None,
            phase: Phase::Hello,
            session: None,
            outputs: VecDeque::new(),
            ping: Ping::Off,
            errors: 0,
            sent_at: now,
            is_seen: false,
        }
    }

    /// Declares that the driver observes when the client has read what was sent, and calls
    /// [`Connection::handle_read`] then.
    pub fn watch_reading(&mut self) {
        self.is_seen = true;
    }

    /// Processes bytes of the client.
    pub fn handle_bytes<A>(&mut self, now: Instant, directory: &mut Directory<A>, bytes: &[u8]) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        self.lines.push(bytes);
        self.heard(now);
        self.work(now, directory);
    }

    /// Processes the answer to a request, or an event of the router.
    ///
    /// An answer without a matching request is ignored.
    pub fn handle_answer<A>(&mut self, now: Instant, directory: &mut Directory<A>, answer: Answer) {
        match answer {
            Answer::Opened(result) => self.opened(now, directory, result),
            Answer::Added(result) => self.added(now, directory, result),
            Answer::Connected(result) => self.connected(now, result),
            Answer::Accepted(result) => self.accepted(now, directory, result),
            Answer::Forwarding(result) => self.forwarding(now, directory, result),
            Answer::Found(result) => self.found(now, result),
            Answer::Authenticated(right) => self.authenticated(now, right),
            Answer::AuthChanged(result) => self.auth_changed(now, result),
            Answer::Received { style, datagram } => {
                if let (Some(version), false) = (self.version, matches!(self.phase, Phase::Done)) {
                    self.send(now, datagram.to_control(style, version));
                }
            }
            Answer::SessionEnded(failure) => self.session_ended(now, directory, &failure),
        }
        self.work(now, directory);
    }

    /// Executes what is due.
    pub fn handle_timeout<A>(&mut self, now: Instant, directory: &mut Directory<A>) {
        if self.speak_by.is_some_and(|at| at <= now) {
            self.speak_by = None;
            let words = match self.version {
                None => "HELLO REPLY",
                Some(_) => "SESSION STATUS",
            };
            self.fail(
                now,
                words,
                &Failure::error("no command within the time limit"),
            );
            self.close(directory);
            return;
        }
        match self.ping {
            Ping::At(at) if at <= now && self.may_ping() => {
                let limit = self.config.ping_after.unwrap_or_default();
                self.ping = Ping::Until(now + limit);
                self.send(now, b"PING\n".to_vec());
            }
            Ping::At(at) if at <= now => self.heard(now),
            Ping::Until(at) if at <= now => {
                self.fail(now, "SESSION STATUS", &Failure::error("no PONG came"));
                self.close(directory);
                return;
            }
            _ => {}
        }
        match &self.phase {
            Phase::Retrying { at, .. } if *at <= now => {
                if let Phase::Retrying { message, .. } =
                    std::mem::replace(&mut self.phase, Phase::Idle)
                {
                    self.create(now, directory, message, false);
                }
            }
            Phase::Accepted { at, .. } if *at <= now => self.send_peer_line(now),
            _ => {}
        }
        self.work(now, directory);
    }

    /// Processes the report that the client has read everything that was sent.
    pub fn handle_read(&mut self, now: Instant) {
        if self.waits_for_reading() {
            self.send_peer_line(now);
        }
    }

    /// Processes the end of the socket. Everything that belonged to the connection ends.
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
            Phase::Retrying { at, .. } | Phase::Accepted { at, .. } => Some(*at),
            _ => None,
        };
        let ping = match self.ping {
            Ping::Off => None,
            Ping::At(at) | Ping::Until(at) => Some(at),
        };
        [self.speak_by, phase, ping].into_iter().flatten().min()
    }

    /// Whether to read more bytes of the client now.
    pub fn wants_bytes(&self) -> bool {
        self.lines.len() < READ_AHEAD
    }

    /// Whether something waits for [`Connection::handle_read`].
    pub fn waits_for_reading(&self) -> bool {
        self.is_seen && matches!(self.phase, Phase::Accepted { .. })
    }

    /// Whether the machine is done with the connection.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The negotiated version; `None` before HELLO.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Processes the buffered bytes, as far as the phase allows.
    pub(super) fn work<A>(&mut self, now: Instant, directory: &mut Directory<A>) {
        loop {
            let line = match &self.phase {
                Phase::Hello | Phase::Idle => self.lines.next_line(),
                Phase::Payload { .. } => {
                    if !self.payload(now, directory) {
                        return;
                    }
                    continue;
                }
                // The command in progress takes time. A client that sends PING or QUIT does not
                // have to wait for it.
                Phase::Retrying { .. }
                | Phase::Opening { .. }
                | Phase::Adding { .. }
                | Phase::LookingUp { .. }
                | Phase::ChangingAuth => {
                    let next = self.lines.peek_line().ok().flatten().map(Zeroizing::new);
                    match next {
                        Some(line) if is_urgent(&line) => self.lines.next_line(),
                        _ => return,
                    }
                }
                // No command is expected on a socket that forwards streams, so its bytes are
                // dropped.
                Phase::Forwarding { .. } | Phase::Preparing { .. } => {
                    self.lines.take_rest();
                    return;
                }
                _ => return,
            };
            match line {
                Ok(None) => return,
                Ok(Some(line)) => self.line(now, directory, &Zeroizing::new(line)),
                Err(error) => {
                    self.bad_line(now, directory, error);
                    return;
                }
            }
        }
    }

    fn line<A>(&mut self, now: Instant, directory: &mut Directory<A>, line: &str) {
        if line.trim_matches([' ', '\t']).is_empty() {
            return;
        }
        let syntax = match self.version {
            Some(version) => {
                let (word, text) = ping_words(line);
                if word.eq_ignore_ascii_case("PING") {
                    return self.send(now, format!("PONG{text}\n").into_bytes());
                }
                if word.eq_ignore_ascii_case("PONG") {
                    return;
                }
                Syntax::of(version)
            }
            None => Syntax::CURRENT,
        };
        match Message::parse(line, syntax) {
            Ok(message) if self.version.is_none() => self.hello(now, directory, &message),
            Ok(message) => {
                self.speak_by = None;
                self.command(now, directory, message);
            }
            Err(error) => {
                let failure = Failure::error(error.to_string());
                self.refuse(now, &answer_words(line), &failure);
                self.close(directory);
            }
        }
    }

    fn bad_line<A>(&mut self, now: Instant, directory: &mut Directory<A>, error: LineError) {
        let words = match self.version {
            None => "HELLO REPLY",
            Some(_) => "SESSION STATUS",
        };
        self.fail(now, words, &Failure::error(error.to_string()));
        self.close(directory);
    }

    /// Reports a command that was not understood. One may be a mistake. After many in a row the
    /// connection is closed.
    pub(super) fn misunderstood<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        words: &str,
        failure: &Failure,
    ) {
        self.fail(now, words, failure);
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            self.close(directory);
        }
    }

    /// Records that a command was understood.
    pub(super) fn understood(&mut self) {
        self.errors = 0;
    }

    pub(super) fn greeted(&mut self, now: Instant, version: Spoken) {
        let version = match version {
            Spoken::Current(version) => version,
            Spoken::Older(version) => return self.greeted_older(now, version),
        };
        self.version = Some(version);
        self.phase = Phase::Idle;
        self.speak_by = self.config.command_timeout.map(|limit| now + limit);
        let reply = LineBuilder::new("HELLO REPLY")
            .pair("RESULT", ResultCode::Ok)
            .pair("VERSION", version);
        self.send_line(now, reply);
        self.heard(now);
    }

    /// Hands the socket over to the machine of an older version.
    fn greeted_older(&mut self, now: Instant, version: OlderVersion) {
        let reply = LineBuilder::new("HELLO REPLY")
            .pair("RESULT", ResultCode::Ok)
            .pair("VERSION", version);
        self.send_line(now, reply);
        self.phase = Phase::Done;
        let lines = std::mem::replace(&mut self.lines, LineReader::new(0));
        let rng = ChaCha20Rng::from_rng(&mut self.rng);
        let speak_by = self.config.command_timeout.map(|limit| now + limit);
        let config = self.config.clone();
        let machine = older::Connection::new(config, self.owner(), version, rng, lines, speak_by);
        self.output(Output::Older(Box::new(machine)));
    }

    /// Queues bytes for the socket.
    pub(super) fn send(&mut self, now: Instant, bytes: Vec<u8>) {
        self.sent_at = now;
        self.outputs.push_back(Output::Send(Bytes::from(bytes)));
    }

    /// The maximum pause after a line.
    pub(super) fn pause(&self) -> Duration {
        self.config.pause(self.is_seen)
    }

    pub(super) fn send_line(&mut self, now: Instant, line: LineBuilder) {
        self.send(now, line.finish().into_bytes());
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn request(&mut self, request: Request) {
        self.outputs.push_back(Output::Request(request));
    }

    /// Answers with a failure and its message.
    pub(super) fn fail(&mut self, now: Instant, words: &str, failure: &Failure) {
        let line = LineBuilder::new(words)
            .pair("RESULT", &failure.result)
            .message(&failure.message);
        self.send_line(now, line);
    }

    /// As [`Connection::fail`], but before HELLO the answer is always a HELLO REPLY.
    fn refuse(&mut self, now: Instant, words: &str, failure: &Failure) {
        let words = if self.version.is_none() {
            "HELLO REPLY"
        } else {
            words
        };
        self.fail(now, words, failure);
    }

    /// Closes the connection and everything that belongs to it.
    pub(super) fn close<A>(&mut self, directory: &mut Directory<A>) {
        self.release(directory);
        self.phase = Phase::Done;
        self.outputs.push_back(Output::Close);
    }

    /// Releases what belongs to the connection.
    fn release<A>(&mut self, directory: &mut Directory<A>) {
        match self.phase {
            Phase::Accepting { session, .. } => {
                if let Some(entry) = directory.entry_mut(session) {
                    entry.accepts = entry.accepts.saturating_sub(1);
                }
            }
            Phase::Preparing { session } | Phase::Forwarding { session } => {
                if let Some(entry) = directory.entry_mut(session) {
                    entry.forwarding = false;
                }
            }
            _ => {}
        }
        if let Some(session) = self.session.take() {
            directory.remove(session);
            self.request(Request::Close(session));
        }
    }

    fn session_ended<A>(&mut self, now: Instant, directory: &mut Directory<A>, failure: &Failure) {
        match self.phase {
            Phase::Accepting { silent: true, .. } | Phase::Connecting { silent: true } => {}
            Phase::Accepting { .. } | Phase::Forwarding { .. } | Phase::Connecting { .. } => {
                self.fail(now, "STREAM STATUS", failure);
            }
            Phase::Done => return,
            _ if self.session.is_some() => self.fail(now, "SESSION STATUS", failure),
            _ => return,
        }
        self.close(directory);
    }

    /// Records that bytes of the client arrived.
    fn heard(&mut self, now: Instant) {
        self.ping = match self.config.ping_after {
            Some(after) if self.version.is_some_and(|version| version >= Version::V3_2) => {
                Ping::At(now + after)
            }
            _ => Ping::Off,
        };
    }

    /// Whether a PING may be sent: not on a socket that is or becomes a stream.
    fn may_ping(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Hello
                | Phase::Authenticating { .. }
                | Phase::Connecting { .. }
                | Phase::Accepting { .. }
                | Phase::Accepted { .. }
                | Phase::Done
        )
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("version", &self.version)
            .field("session", &self.session)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

/// Whether a line is processed while another command is in progress.
fn is_urgent(line: &str) -> bool {
    let (word, _) = ping_words(line);
    ["PING", "PONG", "QUIT", "STOP", "EXIT"]
        .iter()
        .any(|urgent| word.eq_ignore_ascii_case(urgent))
}

/// Splits a line into its first word and the unchanged rest.
fn ping_words(line: &str) -> (&str, &str) {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    line.split_at(end)
}

/// Returns the words of the answer to a command that begins with the first word of `line`.
pub(super) fn answer_words(line: &str) -> String {
    let (word, _) = ping_words(line.trim_start_matches([' ', '\t']));
    let plain = (1..=MAX_DOMAIN).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    match word.to_ascii_uppercase().as_str() {
        "HELLO" => "HELLO REPLY".to_owned(),
        "NAMING" => "NAMING REPLY".to_owned(),
        "DEST" => "DEST REPLY".to_owned(),
        domain if plain => format!("{domain} STATUS"),
        _ => "SESSION STATUS".to_owned(),
    }
}

/// The number of bytes that are read ahead. Chosen to hold the longest line, the largest datagram,
/// and what a client sends before its stream is open.
const READ_AHEAD: usize = 64 * 1024;

/// The number of consecutive commands that are not understood, after which the connection is
/// closed. Chosen so that a person who types does not reach it.
const MAX_ERRORS: usize = 16;

/// The maximum length of a command's first word that is repeated in the answer.
const MAX_DOMAIN: usize = 16;
