//! Streams: their table, and the flow control in both directions.

use std::time::Instant;

use bytes::Bytes;
use eepkit_wire::Destination;

use super::{
    super::{directory::Directory, exchange::ConnectStream},
    connection::{Connection, Phase},
    exchange::{Request, StreamKey},
    stream::Stream,
};
use crate::{
    key,
    message::{LineBuilder, Message, Params},
    result::{Failure, ResultCode},
    session::invalid,
    style::Direction,
};

impl Connection {
    /// The streams that are open.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> {
        let open = self.streams.iter().filter(|(_, stream)| stream.is_open);
        open.map(|(key, _)| *key)
    }

    /// The next data to write to a stream; empty if there is none.
    pub fn pending(&self, stream: StreamKey) -> &[u8] {
        let stream = self.streams.get(&stream).filter(|stream| stream.is_open);
        stream.map_or(&[], Stream::front)
    }

    /// Removes the data that is not written to a stream yet, and returns it. For the end of the
    /// socket, before [`Connection::handle_end`].
    pub fn take_queue(&mut self, stream: StreamKey) -> Vec<Bytes> {
        let stream = self
            .streams
            .get_mut(&stream)
            .filter(|stream| stream.is_open);
        stream.map(Stream::take).unwrap_or_default()
    }

    /// Processes the report that `count` bytes of [`Connection::pending`] were written.
    pub fn handle_written<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        stream: StreamKey,
        count: usize,
    ) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let is_ready = entry.written(count);
        if let (true, Some(id)) = (is_ready, entry.id) {
            self.send_line(LineBuilder::new("STREAM READY_TO_SEND").pair("ID", id));
        }
        self.finish_if_done(stream);
        self.work(now, directory);
    }

    /// The number of bytes to read from a stream at most; 0 if none should be read now.
    pub fn readable(&self, stream: StreamKey) -> usize {
        let Some(stream) = self.streams.get(&stream) else {
            return 0;
        };
        if stream.id.is_none() || !stream.is_open {
            return 0;
        }
        usize::try_from(stream.left())
            .unwrap_or(MAX_BLOCK)
            .min(MAX_BLOCK)
    }

    /// Processes data of a peer.
    pub fn handle_data(&mut self, stream: StreamKey, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        let (Some(id), false) = (stream.id, data.is_empty()) else {
            return;
        };
        stream.delivered += data.len() as u64;
        for block in data.chunks(MAX_BLOCK) {
            let mut bytes = LineBuilder::new("STREAM RECEIVED")
                .pair("ID", id)
                .pair("SIZE", block.len())
                .finish()
                .into_bytes();
            bytes.extend_from_slice(block);
            self.send(bytes);
        }
    }

    /// Processes the end of a stream: the peer has closed it, or it has failed. Data that is still
    /// queued is written only if the peer has closed it.
    pub fn handle_stream_end<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        stream: StreamKey,
        result: &Result<(), Failure>,
    ) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let id = entry.id.take();
        if result.is_err() {
            drop(entry.take());
        }
        if let Some(id) = id {
            self.ids.remove(&id);
            self.closed(id, result.as_ref().err());
        }
        self.finish_if_done(stream);
        self.work(now, directory);
    }

    /// Whether to accept a stream of a peer.
    pub fn accepts(&self) -> bool {
        self.direction().is_some_and(|direction| {
            direction != Direction::Create && self.streams.len() < self.config.max_older_streams
        })
    }

    /// Processes a stream of a peer that was accepted. Returns its key.
    pub fn handle_accepted(&mut self, peer: &Destination) -> StreamKey {
        loop {
            self.last_incoming = match self.last_incoming {
                i32::MIN..=OLDEST_INCOMING => -1,
                last => last - 1,
            };
            if !self.ids.contains_key(&self.last_incoming) {
                break;
            }
        }
        let id = self.last_incoming;
        let key = self.add(id, true);
        let line = LineBuilder::new("STREAM CONNECTED")
            .pair("DESTINATION", peer.to_base64())
            .pair("ID", id);
        self.send_line(line);
        key
    }

    /// Processes STREAM CONNECT.
    pub(super) fn connect<A>(&mut self, directory: &mut Directory<A>, message: &Message) {
        let Some(direction) = self.stream_session(directory) else {
            return;
        };
        let id = match self.id(directory, &message.params) {
            Some(id) if id > 0 => id,
            Some(_) => {
                let why = "ID must be a number from 1 to 2147483647";
                return self.abort(directory, "STREAM STATUS", why.to_owned());
            }
            None => return,
        };
        match self.try_connect(direction, id, &message.params) {
            Ok(connect) => {
                let stream = self.add(id, false);
                self.request(Request::Connect { stream, connect });
                if !self.version.has_flow_control() {
                    self.phase = Phase::Connecting;
                }
            }
            Err(failure) => self.status(id, &failure),
        }
    }

    pub(super) fn connected(&mut self, stream: StreamKey, result: Result<(), Failure>) {
        if matches!(self.phase, Phase::Connecting) {
            self.phase = Phase::Idle;
        }
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let id = entry.id;
        match (result, id) {
            (Ok(()), _) if entry.is_open => {}
            (Ok(()), id) => {
                entry.is_open = true;
                if let Some(id) = id {
                    let line = LineBuilder::new("STREAM STATUS")
                        .pair("RESULT", ResultCode::Ok)
                        .pair("ID", id);
                    self.send_line(line);
                }
                self.finish_if_done(stream);
            }
            (Err(failure), id) => {
                self.streams.remove(&stream);
                if let Some(id) = id {
                    self.ids.remove(&id);
                    self.status(id, &failure);
                }
            }
        }
    }

    /// Processes STREAM CLOSE. An unknown ID is ignored, because the peer may have closed the
    /// stream at the same time.
    pub(super) fn close_stream<A>(&mut self, directory: &mut Directory<A>, message: &Message) {
        if self.stream_session(directory).is_none() {
            return;
        }
        let Some(id) = self.id(directory, &message.params) else {
            return;
        };
        if let Some(stream) = self.ids.remove(&id) {
            if let Some(entry) = self.streams.get_mut(&stream) {
                entry.id = None;
            }
            self.finish_if_done(stream);
        }
    }

    /// Processes STREAM RECEIVE.
    pub(super) fn receive<A>(&mut self, directory: &mut Directory<A>, message: &Message) {
        if self.stream_session(directory).is_none() {
            return;
        }
        let Some(id) = self.id(directory, &message.params) else {
            return;
        };
        let params = &message.params;
        let limit = match params.value("LIMIT") {
            Some("NONE") => None,
            _ => match params.number("LIMIT", "NONE or a number of bytes below 2^64") {
                Ok(Some(limit)) => Some(limit),
                Ok(None) => {
                    return self.abort(directory, "STREAM STATUS", "LIMIT is missing".to_owned());
                }
                Err(error) => {
                    return self.abort(directory, "STREAM STATUS", error.to_string());
                }
            },
        };
        // The stream may have been closed at the same time.
        let stream = self.ids.get(&id).copied();
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(&stream)) {
            stream.limit = limit;
        }
    }

    /// Returns the direction of the STREAM session of this connection. Without one, the connection
    /// is closed, as Java I2P does.
    pub(super) fn stream_session<A>(&mut self, directory: &mut Directory<A>) -> Option<Direction> {
        let direction = self.direction();
        if direction.is_none() {
            let why = "this socket has no session with STYLE=STREAM";
            self.abort(directory, "STREAM STATUS", why.to_owned());
        }
        direction
    }

    /// Reads the ID of a stream. If it is not a number, the connection is closed.
    pub(super) fn id<A>(&mut self, directory: &mut Directory<A>, params: &Params) -> Option<i32> {
        let id = params.value("ID").and_then(|text| text.parse().ok());
        if id.is_none() {
            let why = "ID must be the number of a stream";
            self.abort(directory, "STREAM STATUS", why.to_owned());
        }
        id
    }

    /// Reports the end of a stream.
    pub(super) fn closed(&mut self, id: i32, failure: Option<&Failure>) {
        let line = LineBuilder::new("STREAM CLOSED")
            .pair(
                "RESULT",
                failure.map_or(&ResultCode::Ok, |failure| &failure.result),
            )
            .pair("ID", id)
            .message(failure.map_or("", |failure| &failure.message));
        self.send_line(line);
    }

    fn try_connect(
        &self,
        direction: Direction,
        id: i32,
        params: &Params,
    ) -> Result<ConnectStream, Failure> {
        let session = self
            .session()
            .ok_or_else(|| Failure::error("this socket has no session"))?;
        if direction == Direction::Receive {
            // The result of Java I2P. The specification has none for this case.
            return Err(Failure::new(
                ResultCode::Other("INVALID_DIRECTION".into()),
                "the session has DIRECTION=RECEIVE",
            ));
        }
        if self.ids.contains_key(&id) {
            return Err(Failure::error("another stream has this ID"));
        }
        if self.streams.len() >= self.config.max_older_streams {
            return Err(Failure::error(format!(
                "the session has {} streams, which is the most",
                self.config.max_older_streams
            )));
        }
        let to = params.required("DESTINATION").map_err(invalid)?;
        let to = key::parse_target(to)
            .map_err(|error| Failure::new(ResultCode::InvalidKey, error.to_string()))?;
        Ok(ConnectStream {
            session,
            to,
            from_port: 0,
            to_port: 0,
        })
    }

    fn add(&mut self, id: i32, is_open: bool) -> StreamKey {
        let key = StreamKey(self.next_key);
        self.next_key += 1;
        self.ids.insert(id, key);
        // Version 2.0 delivers nothing before the client sends a limit.
        let limit = self.version.has_flow_control().then_some(0);
        let stream = Stream::new(id, is_open, limit);
        self.streams.insert(key, stream);
        key
    }

    /// Closes a stream that the client or the peer has closed, once its data is written.
    fn finish_if_done(&mut self, stream: StreamKey) {
        let is_done = self
            .streams
            .get(&stream)
            .is_some_and(|entry| entry.id.is_none() && entry.is_open && entry.front().is_empty());
        if is_done {
            self.streams.remove(&stream);
            self.request(Request::Finish(stream));
        }
    }

    fn status(&mut self, id: i32, failure: &Failure) {
        let line = LineBuilder::new("STREAM STATUS")
            .pair("RESULT", &failure.result)
            .pair("ID", id)
            .message(&failure.message);
        self.send_line(line);
    }
}

/// The most bytes after one STREAM RECEIVED. Source: the limit of STREAM SEND. Clients have buffers
/// of this size.
pub(super) const MAX_BLOCK: usize = 32 * 1024;

/// The last ID of a stream of a peer. Source: specification, "SAM Virtual Streams".
const OLDEST_INCOMING: i32 = -i32::MAX;
