//! The handshake, requests, and datagrams.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::{Destination, Zeroizing};

use super::{Answer, Config, Event, Output, Request, stream::Stream};
use crate::{
    client::{
        error::{Closed, RequestError},
        reply::success,
        request::{HELLO_TIMEOUT, read_destination},
    },
    datagram::Received,
    key,
    line::LineReader,
    message::{LineBuilder, Message, Syntax},
    result::{Failure, ResultCode},
    style::{Direction, Style},
    version::{OlderVersion, Version},
};

/// One connection to a bridge, with its session and streams.
///
/// The caller passes received bytes ([`Client::handle_input`], [`Client::handle_end`]) and the time
/// ([`Client::handle_timeout`]) to the client. After each of these calls and after each request, it
/// calls [`Client::poll_output`] until the result is [`Output::Timeout`].
#[derive(Debug)]
pub struct Client {
    config: Config,
    state: State,
    lines: LineReader,
    asked: Option<(Request, Instant)>,
    /// The style of the session, once it is open.
    style: Option<Style>,
    pub(super) streams: BTreeMap<i32, Stream>,
    pub(super) last_id: i32,
    out: VecDeque<Bytes>,
    pub(super) events: VecDeque<Event>,
    payload: Option<Payload>,
    pub(super) now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// HELLO is sent. The time is the deadline for the answer.
    Hello(Instant),
    Ready(OlderVersion),
    Over,
}

/// The bytes after a line.
#[derive(Debug)]
enum Payload {
    Datagram(Received, usize),
    Stream(i32, usize),
}

impl Client {
    /// Creates a client that begins with HELLO.
    pub fn new(config: Config, now: Instant) -> Self {
        let hello = LineBuilder::new("HELLO VERSION")
            .pair("MIN", config.min_version)
            .pair("MAX", config.max_version);
        let mut client = Self {
            state: State::Hello(now + HELLO_TIMEOUT),
            lines: LineReader::new(LineReader::MAX_LINE),
            asked: None,
            style: None,
            streams: BTreeMap::new(),
            last_id: 0,
            out: VecDeque::new(),
            events: VecDeque::new(),
            payload: None,
            now,
            config,
        };
        client.transmit(hello);
        client
    }

    /// Sends a request. [`Event::Answered`] follows.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if the request cannot be sent: before [`Event::Ready`], while another one
    /// waits for its answer, or after the end.
    pub fn request(&mut self, request: Request, timeout: Duration) -> Result<(), RequestError> {
        self.version()?;
        if self.asked.is_some() {
            return Err(RequestError::Busy);
        }
        let line = match &request {
            Request::Create(create) => {
                if !matches!(create.style, Style::Stream | Style::Datagram | Style::Raw) {
                    return Err(RequestError::Invalid("the style needs SAM 3"));
                }
                let direction = (create.direction != Direction::Both).then_some(create.direction);
                let name = create.name.as_deref().unwrap_or("TRANSIENT");
                let mut line = LineBuilder::new("SESSION CREATE")
                    .pair("STYLE", create.style)
                    .pair("DESTINATION", plain(name)?)
                    .pair_if("DIRECTION", direction.map(Direction::as_str));
                for (key, value) in &create.options {
                    line = line.pair(plain(key)?, plain(value)?);
                }
                line
            }
            Request::LookUp(name) => LineBuilder::new("NAMING LOOKUP").pair("NAME", plain(name)?),
            Request::Generate(kind) => {
                LineBuilder::new("DEST GENERATE").pair("SIGNATURE_TYPE", kind.0)
            }
        };
        self.asked = Some((request, self.now + timeout));
        self.transmit(line);
        Ok(())
    }

    /// Sends a datagram of the session. The bridge does not report whether it was delivered.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no session for datagrams, or if the data is empty or too long.
    pub fn send_datagram(&mut self, to: &Destination, data: &[u8]) -> Result<(), RequestError> {
        self.version()?;
        let (words, style) = match self.style {
            Some(style @ Style::Datagram) => ("DATAGRAM SEND", style),
            Some(style @ Style::Raw) => ("RAW SEND", style),
            _ => return Err(RequestError::Invalid("the session is not for datagrams")),
        };
        if data.is_empty() || data.len() > style.max_payload() {
            return Err(RequestError::Invalid("the datagram is empty or too long"));
        }
        if self.out.len() >= MAX_OUT {
            return Err(RequestError::Busy);
        }
        let line = LineBuilder::new(words)
            .pair("DESTINATION", to.to_base64())
            .pair("SIZE", data.len());
        self.transmit_with(line, data);
        Ok(())
    }

    /// Processes received bytes.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = self.now.max(now);
        if self.state == State::Over {
            return;
        }
        self.lines.push(bytes);
        self.read_lines();
    }

    /// Processes the end of the received bytes.
    pub fn handle_end(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.end(Closed::ByBridge);
    }

    /// Processes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let hello = matches!(self.state, State::Hello(until) if until <= self.now);
        let asked = self
            .asked
            .as_ref()
            .is_some_and(|(_, until)| *until <= self.now);
        if hello || asked {
            // A late answer would be matched with the next request.
            return self.end(Closed::Timeout);
        }
        self.give_up_connects();
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(bytes) = self.out.pop_front() {
            return Output::Transmit(bytes);
        }
        let hello = match self.state {
            State::Hello(until) => Some(until),
            State::Ready(_) => None,
            State::Over => return Output::Timeout(None),
        };
        let asked = self.asked.as_ref().map(|(_, until)| *until);
        let connects = self.streams.values().filter_map(Stream::deadline).min();
        Output::Timeout([hello, asked, connects].into_iter().flatten().min())
    }

    /// The version of the connection.
    pub(super) fn version(&self) -> Result<OlderVersion, RequestError> {
        match self.state {
            State::Ready(version) => Ok(version),
            State::Hello(_) => Err(RequestError::Busy),
            State::Over => Err(RequestError::Over),
        }
    }

    /// Whether the session is open and has STYLE=STREAM.
    pub(super) fn has_streams(&self) -> bool {
        self.style == Some(Style::Stream)
    }

    pub(super) fn transmit(&mut self, line: LineBuilder) {
        self.transmit_with(line, &[]);
    }

    pub(super) fn transmit_with(&mut self, line: LineBuilder, data: &[u8]) {
        let mut bytes = line.finish().into_bytes();
        bytes.extend_from_slice(data);
        self.out.push_back(Bytes::from(bytes));
    }

    /// The number of outputs that the driver has not taken.
    pub(super) fn is_clogged(&self) -> bool {
        self.out.len() >= MAX_OUT
    }

    pub(super) fn end(&mut self, why: Closed) {
        if self.state == State::Over {
            return;
        }
        self.state = State::Over;
        self.streams.clear();
        if self.asked.take().is_some() {
            let error = match why {
                Closed::Timeout => RequestError::Timeout,
                _ => RequestError::Over,
            };
            self.events.push_back(Event::Answered(Err(error)));
        }
        self.events.push_back(Event::Closed(why));
    }

    fn read_lines(&mut self) {
        while self.state != State::Over {
            match &self.payload {
                Some(Payload::Datagram(_, size) | Payload::Stream(_, size)) => {
                    let Some(data) = self.lines.take(*size) else {
                        return;
                    };
                    match self.payload.take() {
                        Some(Payload::Datagram(mut received, _)) => {
                            received.payload = data;
                            self.events.push_back(Event::Datagram(received));
                        }
                        Some(Payload::Stream(id, _)) => self.on_data(id, data),
                        None => {}
                    }
                }
                None => match self.lines.next_line() {
                    Ok(Some(line)) => self.on_line(&Zeroizing::new(line)),
                    Ok(None) => return,
                    Err(_) => return self.end(Closed::NotSam("a line is too long or not text")),
                },
            }
        }
    }

    fn on_line(&mut self, line: &str) {
        let Ok(message) = Message::parse(line, Syntax::of(Version::V3_0)) else {
            return self.end(Closed::NotSam("a line is not a message"));
        };
        if let State::Hello(_) = self.state {
            return self.on_hello(&message);
        }
        match (message.verb.as_str(), message.action.as_str()) {
            ("SESSION", "STATUS") => self.on_session(&message),
            ("NAMING", "REPLY") | ("DEST", "REPLY") => self.on_answer(&message),
            ("DATAGRAM" | "RAW", "RECEIVED") => match Received::from_control(&message) {
                Ok((received, size)) => self.payload = Some(Payload::Datagram(received, size)),
                Err(_) => self.end(Closed::NotSam("a datagram has an invalid sender or size")),
            },
            ("STREAM", "RECEIVED") => {
                let size = message.params.number("SIZE", "a number of bytes");
                match (stream_id(&message), size) {
                    (Some(id), Ok(Some(size))) if size <= MAX_DATA => {
                        self.payload = Some(Payload::Stream(id, size));
                    }
                    _ => self.end(Closed::NotSam("data has an invalid ID or size")),
                }
            }
            ("STREAM", action) => {
                // A failure without an ID is about the whole connection, which the bridge closes.
                if let Some(id) = stream_id(&message) {
                    self.on_stream(id, action, &message);
                }
            }
            // Further answers, such as the failure of a datagram.
            _ => {}
        }
    }

    fn on_hello(&mut self, message: &Message) {
        if !message.is("HELLO", "REPLY") {
            return self.end(Closed::NotSam("the first line is not HELLO REPLY"));
        }
        match success(&message.params) {
            Ok(()) => {}
            Err(RequestError::Refused(failure)) if failure.result == ResultCode::NoVersion => {
                return self.end(Closed::NoVersion);
            }
            Err(RequestError::Refused(failure)) => return self.end(Closed::Refused(failure)),
            Err(_) => return self.end(Closed::NotSam("HELLO REPLY without RESULT")),
        }
        let version = message.params.value("VERSION");
        let offered = self.config.min_version..=self.config.max_version;
        match version.and_then(|text| text.parse().ok()) {
            Some(version) if offered.contains(&version) => {
                self.state = State::Ready(version);
                self.events.push_back(Event::Ready(version));
            }
            _ => self.end(Closed::NoVersion),
        }
    }

    fn on_session(&mut self, message: &Message) {
        if matches!(self.asked, Some((Request::Create(_), _))) {
            return self.on_answer(message);
        }
        if let Err(RequestError::Refused(failure)) = success(&message.params) {
            self.end(Closed::Refused(failure));
        }
    }

    fn on_answer(&mut self, message: &Message) {
        let is_for = |request: &Request| match request {
            Request::Create(_) => message.is("SESSION", "STATUS"),
            Request::LookUp(name) => {
                let answered = message.params.value("NAME");
                message.is("NAMING", "REPLY") && answered.is_none_or(|answered| answered == name)
            }
            Request::Generate(_) => message.is("DEST", "REPLY"),
        };
        let Some((request, _)) = self.asked.take_if(|(request, _)| is_for(request)) else {
            return;
        };
        let result = self.read(&request, message);
        self.events.push_back(Event::Answered(result));
    }

    fn read(&mut self, request: &Request, message: &Message) -> Result<Answer, RequestError> {
        let params = &message.params;
        match request {
            Request::Create(create) => {
                success(params)?;
                self.style = Some(create.style);
                Ok(Answer::Created)
            }
            Request::LookUp(_) => {
                success(params)?;
                let value = params.value("VALUE");
                let value = value.ok_or(RequestError::Malformed("the answer has no VALUE"))?;
                let destination = read_destination(value);
                destination
                    .map(Answer::Found)
                    .ok_or(RequestError::Malformed("VALUE is not a destination"))
            }
            Request::Generate(_) => {
                // Generated keys are sent without RESULT.
                if params.contains("RESULT") {
                    success(params)?;
                }
                let keys = params.value("PRIV");
                let keys = keys.ok_or(RequestError::Malformed("the answer has no PRIV"))?;
                let keys = key::parse_private_keys(keys)
                    .map_err(|_| RequestError::Malformed("PRIV is not a private key"))?;
                Ok(Answer::Generated(Box::new(keys)))
            }
        }
    }
}

/// The result of a line with RESULT.
pub(super) fn outcome(message: &Message) -> Result<(), Failure> {
    match success(&message.params) {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(failure)) => Err(failure),
        Err(error) => Err(Failure::error(error.to_string())),
    }
}

/// Returns a text that can be written without quotes. The older versions have no escapes.
fn plain(text: &str) -> Result<&str, RequestError> {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text),
        false => Err(RequestError::Invalid(
            "SAM 1 and 2 carry only ASCII without spaces, quotes and backslashes",
        )),
    }
}

fn stream_id(message: &Message) -> Option<i32> {
    let id = message.params.value("ID")?.parse().ok()?;
    (id != 0).then_some(id)
}

/// The most data after one line, in bytes. Chosen as more than the limit of the specification,
/// because Java I2P delivers what it has read.
const MAX_DATA: usize = 1 << 20;

/// The maximum number of outputs that wait for the driver. More wait only while it does not write.
const MAX_OUT: usize = 128;
