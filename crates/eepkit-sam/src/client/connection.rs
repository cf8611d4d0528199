//! The machine of one connection.

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

/// How a connection begins, and how it is watched.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The oldest version that will do; 3.1 by default.
    ///
    /// i2pd before 2.50 takes it for the version to speak when it does not know
    /// [`Config::max_version`]. A bridge that has nothing newer than 3.0 answers
    /// [`Closed::NoVersion`], and can be asked again with 3.0 on another connection.
    pub min_version: Version,
    /// The newest version that will do; the newest by default.
    pub max_version: Version,
    /// The user, if the bridge asks for one; since 3.2.
    pub login: Option<Login>,
    /// After how long without a word of the bridge it is sent a PING, and how long it may take to
    /// answer; since 3.2. Not by default: i2pd closes the connection when it has answered.
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
/// Hand it what arrives ([`Client::handle_input`], [`Client::handle_end`]) and the time
/// ([`Client::handle_timeout`]); after each, and after each request, take what comes out with
/// [`Client::poll_output`] until it is [`Output::Timeout`].
///
/// A request waits until those before it are answered, because bridges lose what is sent too
/// early; at most [`Client::MAX_WAITING`] wait.
#[derive(Debug)]
pub struct Client {
    config: Config,
    state: State,
    lines: LineReader,
    /// What waits for its turn.
    waiting: VecDeque<(RequestId, Request, Duration)>,
    /// What the bridge was asked and did not answer.
    asked: Option<Asked>,
    out: VecDeque<Zeroizing<Vec<u8>>>,
    events: VecDeque<Event>,
    /// The payload of a datagram that is still arriving.
    payload: Option<(Received, usize)>,
    /// When the bridge last said something.
    heard: Instant,
    /// The PING that keeps the connection alive, and until when it has to be answered.
    probe: Option<Instant>,
    next_id: u64,
    now: Instant,
}

/// Names a request on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What comes out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Bytes for the bridge, which are to be written at once.
    Transmit(Bytes),
    /// Something happened.
    Event(Event),
    /// Nothing more now; call [`Client::handle_timeout`] at this time.
    Timeout(Option<Instant>),
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The bridge speaks this version.
    Ready(Version),
    /// A request was answered.
    Answered {
        /// The request.
        id: RequestId,
        /// What became of it.
        result: Result<Answer, RequestError>,
    },
    /// Somebody opened the stream that was waited for: the connection is the stream from now on.
    /// `None` after a silent accept, of which nothing is known.
    Peer(Option<PeerLine>),
    /// A datagram came for a session of this connection.
    Datagram(Received),
    /// The connection is over; nothing follows.
    Closed(Closed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// HELLO was said; until when it has to be answered.
    Hello(Instant),
    /// Requests are granted.
    Ready(Version),
    /// The bridge waits for a stream.
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
    /// The most requests that wait for their turn. Chosen far above what one connection is for:
    /// look-ups beyond it go over others.
    pub const MAX_WAITING: usize = 64;

    /// Begins with HELLO.
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

    /// Asks for something; the bridge may take `timeout` to answer, from when its turn comes.
    ///
    /// [`Event::Answered`] follows in any case.
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

    /// Sends a datagram over the connection of its session. The bridge does not say what becomes
    /// of it.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where it cannot be sent at all.
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

    /// Takes what arrived. Once the connection is a stream, nothing that arrives concerns it.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = self.now.max(now);
        self.heard = self.now;
        if self.state == State::Over {
            return;
        }
        self.lines.push(bytes);
        self.read_lines();
    }

    /// Takes that nothing more will arrive.
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

    /// Takes that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match self.state {
            State::Hello(until) if self.now >= until => self.close(Closed::Timeout),
            State::Ready(version) => {
                if let Some(asked) = self.asked.take_if(|asked| asked.deadline <= self.now) {
                    self.answer(asked.id, Err(RequestError::Timeout));
                    // The answer may still come, and would be taken for that of the next.
                    self.close(Closed::Timeout);
                    return;
                }
                self.keep_alive(version);
            }
            _ => {}
        }
    }

    /// The next thing that comes out.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(mut bytes) = self.out.pop_front() {
            return Output::Transmit(Bytes::from(std::mem::take(&mut *bytes)));
        }
        Output::Timeout(self.next_timeout())
    }

    /// What arrived behind the last line: the beginning of the stream.
    pub fn take_rest(&mut self) -> Bytes {
        self.lines.take_rest()
    }

    /// The version that is spoken, once it is known.
    pub fn version(&self) -> Option<Version> {
        match self.state {
            State::Ready(version) | State::Accepting(version) => Some(version),
            _ => None,
        }
    }

    /// Whether the connection has become a stream.
    pub fn is_stream(&self) -> bool {
        self.state == State::Stream
    }

    /// From now on, keeps the connection alive as [`Config::keep_alive`] says.
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

    /// Sends a PING when it is time, and ends when none was answered.
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
                Ok(Some(line)) => self.on_line(&line),
                Ok(None) => return,
                Err(_) => return self.close(Closed::NotSam("a line that is no text, or too long")),
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
            _ => return self.close(Closed::NotSam("the first line is no HELLO REPLY")),
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
            return self.close(Closed::NotSam("a line that is no message"));
        };
        if message.is("DATAGRAM", "RECEIVED") || message.is("RAW", "RECEIVED") {
            match Received::from_control(&message) {
                Ok(datagram) => self.payload = Some(datagram),
                // Where the next line begins is not known.
                Err(_) => self.close(Closed::NotSam("a datagram without sender or size")),
            }
            return;
        }
        let asked = self
            .asked
            .take_if(|asked| reply::answers(&asked.request, &message));
        match asked {
            Some(asked) => self.on_answer(asked, &message, version),
            // What nobody asked for is bad news of the session, or nothing of interest.
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
            _ => self.close(Closed::NotSam("neither a peer nor a refusal")),
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

    /// Asks the next request that can be asked.
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
        // A bridge that pings faster than it reads gets the answers that fit.
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

/// What follows a word at the beginning of a line; empty if nothing does.
fn words_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
}

fn pong(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("PONG{text}\n").into_bytes())
}

/// The PING of this side. i2pd takes none without a text.
const KEEP_ALIVE: &[u8] = b"PING eepkit\n";

/// Lines that wait to be written: every request and its PONGs. More wait only while the driver
/// does not write.
const MAX_OUT: usize = 2 * Client::MAX_WAITING;
