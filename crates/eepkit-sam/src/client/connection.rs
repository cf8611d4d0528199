//! The state machine of one connection.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::Zeroizing;

use super::{
    error::{Closed, RequestError},
    quirks,
    reply::{self, Answer},
    request::{HELLO_TIMEOUT, Login, Request, SendDatagram},
};
use crate::{
    datagram::Received,
    key::{PeerLine, parse_peer_line},
    line::LineReader,
    message::{LineBuilder, Message, Syntax},
    result::ResultCode,
    version::Version,
};

/// The handshake and the keep-alive of a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The oldest acceptable version; 3.1 by default.
    ///
    /// i2pd before 2.50 uses it as the version of the connection if it does not support
    /// [`Config::max_version`]. A bridge that supports nothing newer than 3.0 causes
    /// [`Closed::NoVersion`]. The caller can then try 3.0 on another connection.
    pub min_version: Version,
    /// The newest acceptable version; [`Version::NEWEST`] by default.
    pub max_version: Version,
    /// The user, if the bridge requires one; since 3.2.
    pub login: Option<Login>,
    /// The idle time after which a PING is sent, and the time limit for its PONG; since 3.2. `None`
    /// by default, because i2pd closes the connection after a PONG.
    pub keep_alive: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_version: Version::V3_1,
            max_version: Version::NEWEST,
            login: None,
            keep_alive: None,
        }
    }
}

/// One connection to a bridge.
///
/// The caller passes received bytes ([`Client::handle_input`], [`Client::handle_end`]) and the time
/// ([`Client::handle_timeout`]) to the client. After each of these calls and after each request, it
/// calls [`Client::poll_output`] until the result is [`Output::Timeout`].
///
/// A request is sent after the earlier requests are answered, because bridges lose lines that
/// arrive too early. At most [`Client::MAX_WAITING`] requests wait.
#[derive(Debug)]
pub struct Client {
    config: Config,
    state: State,
    lines: LineReader,
    /// Requests that are not sent yet.
    waiting: VecDeque<(RequestId, Request, Duration)>,
    /// The request that is sent and not answered.
    asked: Option<Asked>,
    out: VecDeque<Zeroizing<Vec<u8>>>,
    events: VecDeque<Event>,
    /// The header of a datagram whose payload is still arriving, and the size of the payload.
    payload: Option<(Received, usize)>,
    /// The time when bytes last arrived from the bridge.
    heard: Instant,
    /// The deadline for the PONG to the keep-alive PING, if one is sent.
    probe: Option<Instant>,
    next_id: u64,
    now: Instant,
}

/// Identifies a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What [`Client::poll_output`] returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Bytes to write to the bridge immediately.
    Transmit(Bytes),
    /// An event for the caller.
    Event(Event),
    /// Nothing to do now. Call [`Client::handle_timeout`] at this time.
    Timeout(Option<Instant>),
}

/// An event of a connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete, and the connection uses this version.
    Ready(Version),
    /// A request is complete.
    Answered {
        /// The request.
        id: RequestId,
        /// The answer, or the reason for the failure.
        result: Result<Answer, RequestError>,
    },
    /// A peer opened the stream for which the connection waited. From now on the connection is the
    /// stream. `None` after a silent accept, where the bridge does not send the peer.
    Peer(Option<PeerLine>),
    /// A datagram arrived for a session of this connection.
    Datagram(Received),
    /// The connection is closed. No event follows.
    Closed(Closed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// HELLO is sent. The time is the deadline for the answer.
    Hello(Instant),
    /// Requests can be sent.
    Ready(Version),
    /// The bridge waits for a peer to open a stream.
    Accepting(Version),
    /// The connection is a stream.
    Stream,
    Over,
}

#[derive(Debug)]
struct Asked {
    id: RequestId,
    request: Request,
    deadline: Instant,
}

impl Client {
    /// The maximum number of waiting requests. Chosen far above the need of one connection; a
    /// caller with more look-ups uses further connections.
    pub const MAX_WAITING: usize = 64;

    /// Creates a client that begins with HELLO.
    pub fn new(config: Config, now: Instant) -> Self {
        let mut hello = LineBuilder::new("HELLO VERSION")
            .pair("MIN", config.min_version)
            .pair("MAX", config.max_version);
        if let Some(login) = &config.login {
            hello = hello
                .pair("USER", &login.user)
                .pair("PASSWORD", login.password.as_str());
        }
        let mut client = Self {
            state: State::Hello(now + HELLO_TIMEOUT),
            lines: LineReader::new(LineReader::MAX_LINE),
            waiting: VecDeque::new(),
            asked: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            payload: None,
            heard: now,
            probe: None,
            next_id: 0,
            now,
            config,
        };
        client.send(Zeroizing::new(hello.finish().into_bytes()));
        client
    }

    /// Sends a request, after the earlier ones are answered. `timeout` starts when the request is
    /// sent.
    ///
    /// [`Event::Answered`] follows in every case.
    pub fn request(&mut self, request: Request, timeout: Duration) -> RequestId {
        self.next_id += 1;
        let id = RequestId(self.next_id);
        let refused = match self.state {
            State::Stream | State::Accepting(_) | State::Over => Some(RequestError::Over),
            _ if self.waiting.len() >= Self::MAX_WAITING => Some(RequestError::Busy),
            _ => None,
        };
        match refused {
            Some(error) => self.answer(id, Err(error)),
            None => {
                self.waiting.push_back((id, request, timeout));
                self.ask_next();
            }
        }
        id
    }

    /// Sends a datagram over the connection of its session. The bridge does not report whether it
    /// was delivered.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if the datagram cannot be sent.
    pub fn send_datagram(&mut self, datagram: &SendDatagram) -> Result<(), RequestError> {
        let State::Ready(version) = self.state else {
            return Err(RequestError::Over);
        };
        if self.out.len() >= Self::MAX_WAITING {
            return Err(RequestError::Busy);
        }
        self.send(Zeroizing::new(datagram.bytes(version)?));
        Ok(())
    }

    /// Processes received bytes. Once the connection is a stream, they are kept for
    /// [`Client::take_rest`].
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = self.now.max(now);
        self.heard = self.now;
        if self.state == State::Over {
            return;
        }
        self.lines.push(bytes);
        self.read_lines();
    }

    /// Processes the end of the received bytes.
    pub fn handle_end(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if matches!(self.state, State::Over | State::Stream) {
            return;
        }
        let rest = self.lines.take_rest();
        if self.payload.is_none()
            && let Some(line) = quirks::last_line(&rest)
        {
            self.on_line(line);
        }
        self.close(Closed::ByBridge);
    }

    /// Processes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match self.state {
            State::Hello(until) if self.now >= until => self.close(Closed::Timeout),
            State::Ready(version) => {
                if let Some(asked) = self.asked.take_if(|asked| asked.deadline <= self.now) {
                    self.answer(asked.id, Err(RequestError::Timeout));
                    // The answer may still arrive, and would be matched with the next request.
                    self.close(Closed::Timeout);
                    return;
                }
                self.keep_alive(version);
            }
            _ => {}
        }
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(mut bytes) = self.out.pop_front() {
            return Output::Transmit(Bytes::from(std::mem::take(&mut *bytes)));
        }
        Output::Timeout(self.next_timeout())
    }

    /// Returns the bytes after the last line, which are the beginning of the stream.
    pub fn take_rest(&mut self) -> Bytes {
        self.lines.take_rest()
    }

    /// The version of the connection, once it is negotiated.
    pub fn version(&self) -> Option<Version> {
        match self.state {
            State::Ready(version) | State::Accepting(version) => Some(version),
            _ => None,
        }
    }

    /// Whether the connection is a stream.
    pub fn is_stream(&self) -> bool {
        self.state == State::Stream
    }

    /// Changes [`Config::keep_alive`].
    pub fn set_keep_alive(&mut self, after: Option<Duration>) {
        self.config.keep_alive = after;
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Hello(until) => Some(until),
            State::Ready(version) => {
                let asked = self.asked.as_ref().map(|asked| asked.deadline);
                let idle = self
                    .config
                    .keep_alive
                    .filter(|_| version >= Version::V3_2 && self.asked.is_none())
                    .map(|after| self.heard + after);
                [asked, self.probe.or(idle)].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// Sends a PING when it is due, and closes the connection if the PONG is overdue.
    fn keep_alive(&mut self, version: Version) {
        let Some(after) = self.config.keep_alive.filter(|_| version >= Version::V3_2) else {
            return;
        };
        match self.probe {
            Some(until) if self.now >= until => self.close(Closed::Timeout),
            None if self.asked.is_none() && self.now >= self.heard + after => {
                self.probe = Some(self.now + after);
                self.send(Zeroizing::new(KEEP_ALIVE.to_vec()));
            }
            _ => {}
        }
    }

    fn read_lines(&mut self) {
        loop {
            if let Some((_, size)) = &self.payload {
                let Some(bytes) = self.lines.take(*size) else {
                    return;
                };
                if let Some((mut received, _)) = self.payload.take() {
                    received.payload = bytes;
                    self.events.push_back(Event::Datagram(received));
                }
            }
            if matches!(self.state, State::Stream | State::Over) {
                return;
            }
            match self.lines.next_line() {
                Ok(Some(line)) => self.on_line(&Zeroizing::new(line)),
                Ok(None) => return,
                Err(_) => return self.close(Closed::NotSam("a line is too long or not text")),
            }
        }
    }

    fn on_line(&mut self, line: &str) {
        match self.state {
            State::Hello(_) => self.on_hello(line),
            State::Ready(version) => self.on_reply(line, version),
            State::Accepting(version) => self.on_accepted(line, version),
            State::Stream | State::Over => {}
        }
    }

    fn on_hello(&mut self, line: &str) {
        let message = match Message::parse(line, Syntax::CURRENT) {
            Ok(message) if message.is("HELLO", "REPLY") => message,
            _ => return self.close(Closed::NotSam("the first line is not HELLO REPLY")),
        };
        match reply::success(&message.params) {
            Ok(()) => {}
            Err(RequestError::Refused(failure)) if failure.result == ResultCode::NoVersion => {
                return self.close(Closed::NoVersion);
            }
            Err(RequestError::Refused(failure)) => return self.close(Closed::Refused(failure)),
            Err(_) => return self.close(Closed::NotSam("HELLO REPLY without RESULT")),
        }
        let version = message.params.value("VERSION");
        match version.and_then(|text| text.parse().ok()) {
            Some(version) if version <= self.config.max_version => {
                self.state = State::Ready(version);
                self.events.push_back(Event::Ready(version));
                self.ask_next();
            }
            _ => self.close(Closed::NoVersion),
        }
    }

    fn on_reply(&mut self, line: &str, version: Version) {
        if let Some(text) = words_after(line, "PING") {
            return self.send(pong(text));
        }
        if let Some(text) = words_after(line, "PONG") {
            return self.on_pong(text);
        }
        let Ok(message) = Message::parse(line, Syntax::of(version)) else {
            return self.close(Closed::NotSam("a line is not a message"));
        };
        if message.is("DATAGRAM", "RECEIVED") || message.is("RAW", "RECEIVED") {
            match Received::from_control(&message) {
                Ok(datagram) => self.payload = Some(datagram),
                // The start of the next line is unknown.
                Err(_) => self.close(Closed::NotSam("a datagram has an invalid sender or size")),
            }
            return;
        }
        let asked = self
            .asked
            .take_if(|asked| reply::answers(&asked.request, &message));
        match asked {
            Some(asked) => self.on_answer(asked, &message, version),
            // An unexpected SESSION failure ends the session. Other unexpected lines are ignored.
            None => match reply::success(&message.params) {
                Err(RequestError::Refused(failure)) if message.verb == "SESSION" => {
                    self.close(Closed::Refused(failure));
                }
                _ => {}
            },
        }
    }

    fn on_answer(&mut self, asked: Asked, message: &Message, version: Version) {
        let result = reply::read(&asked.request, message);
        match &result {
            Ok(Answer::Connected) => self.state = State::Stream,
            Ok(Answer::Accepting) => self.state = State::Accepting(version),
            _ => {}
        }
        self.answer(asked.id, result);
        self.ask_next();
    }

    fn on_accepted(&mut self, line: &str, version: Version) {
        if let Some(text) = words_after(line, "PING") {
            return self.send(pong(text));
        }
        if let Ok(peer) = parse_peer_line(line) {
            self.state = State::Stream;
            self.events.push_back(Event::Peer(Some(peer)));
            return;
        }
        let failure = Message::parse(line, Syntax::of(version))
            .map(|message| reply::success(&message.params));
        match failure {
            Ok(Err(RequestError::Refused(failure))) => self.close(Closed::Refused(failure)),
            _ => self.close(Closed::NotSam("a line names neither a peer nor a failure")),
        }
    }

    fn on_pong(&mut self, text: &str) {
        self.probe = None;
        let asked = self.asked.take_if(
            |asked| matches!(&asked.request, Request::Ping(sent) if sent.trim() == text.trim()),
        );
        if let Some(asked) = asked {
            self.answer(asked.id, Ok(Answer::Pong));
            self.ask_next();
        }
    }

    /// Sends the next request.
    fn ask_next(&mut self) {
        let State::Ready(version) = self.state else {
            return;
        };
        while self.asked.is_none()
            && let Some((id, request, timeout)) = self.waiting.pop_front()
        {
            let mut line = match request.line(version) {
                Ok(line) => line,
                Err(error) => {
                    self.answer(id, Err(error));
                    continue;
                }
            };
            let line = std::mem::take(&mut *line).into_bytes();
            self.send(Zeroizing::new(line));
            match &request {
                Request::Quit => return self.close(Closed::Quit),
                Request::Connect(connect) if connect.silent => {
                    self.state = State::Stream;
                    self.answer(id, Ok(Answer::Connected));
                    return;
                }
                Request::Accept(accept) if accept.silent => {
                    self.state = State::Stream;
                    self.answer(id, Ok(Answer::Accepting));
                    self.events.push_back(Event::Peer(None));
                    return;
                }
                _ => {}
            }
            self.asked = Some(Asked {
                id,
                request,
                deadline: self.now + timeout,
            });
        }
    }

    fn answer(&mut self, id: RequestId, result: Result<Answer, RequestError>) {
        self.events.push_back(Event::Answered { id, result });
    }

    fn send(&mut self, bytes: Zeroizing<Vec<u8>>) {
        // A bridge that sends PINGs faster than it reads gets only the PONGs that fit.
        if self.out.len() < MAX_OUT {
            self.out.push_back(bytes);
        }
    }

    fn close(&mut self, why: Closed) {
        if self.state == State::Over {
            return;
        }
        self.state = State::Over;
        let asked = self.asked.take().map(|asked| asked.id);
        let waiting: Vec<RequestId> = self.waiting.drain(..).map(|(id, ..)| id).collect();
        for id in asked.into_iter().chain(waiting) {
            let error = match &why {
                Closed::Refused(failure) => RequestError::Refused(failure.clone()),
                Closed::Timeout => RequestError::Timeout,
                _ => RequestError::Over,
            };
            self.answer(id, Err(error));
        }
        self.events.push_back(Event::Closed(why));
    }
}

/// Returns the text after a word at the beginning of a line; empty if there is none.
fn words_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
}

fn pong(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("PONG{text}\n").into_bytes())
}

/// The keep-alive PING. i2pd does not accept a PING without a text.
const KEEP_ALIVE: &[u8] = b"PING eepkit\n";

/// The maximum number of lines waiting to be written. Chosen to allow each request and its PONGs.
/// More lines wait only while the driver does not write.
const MAX_OUT: usize = 2 * Client::MAX_WAITING;
