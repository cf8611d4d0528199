//! Streams of a client.

use std::time::Duration;

use bytes::Bytes;
use eepkit_wire::Destination;

use super::{
    Event,
    connection::{Client, outcome},
    stream::Stream,
};
use crate::{
    client::error::{Closed, RequestError},
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
};

impl Client {
    /// The most data that [`Client::send`] keeps for a stream of 2.0, in bytes.
    pub const MAX_QUEUED: usize = 128 * 1024;

    /// Opens a stream. Returns its ID. [`Event::Connected`] follows.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no session with STYLE=STREAM.
    pub fn connect(&mut self, to: &Destination, timeout: Duration) -> Result<i32, RequestError> {
        self.version()?;
        if !self.has_streams() {
            return Err(RequestError::Invalid("there is no session for streams"));
        }
        if self.is_clogged() {
            return Err(RequestError::Busy);
        }
        let mut id = self.last_id;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.streams.contains_key(&id) {
                break;
            }
        }
        self.last_id = id;
        let stream = Stream {
            connecting: Some(self.now + timeout),
            ..Stream::default()
        };
        self.streams.insert(id, stream);
        let line = LineBuilder::new("STREAM CONNECT")
            .pair("ID", id)
            .pair("DESTINATION", to.to_base64());
        self.transmit(line);
        Ok(id)
    }

    /// Sends data on a stream. In version 2.0, data that the bridge does not accept is kept and sent
    /// again.
    ///
    /// # Errors
    ///
    /// [`RequestError::Busy`] if too much data waits for the bridge; [`Event::Writable`] follows.
    /// [`RequestError::Over`] if the stream is not open.
    pub fn send(&mut self, id: i32, data: &[u8]) -> Result<(), RequestError> {
        let version = self.version()?;
        let is_clogged = self.is_clogged();
        let stream = self.streams.get_mut(&id).ok_or(RequestError::Over)?;
        if stream.connecting.is_some() || stream.is_closing {
            return Err(RequestError::Over);
        }
        if version.has_flow_control() {
            if stream.queued + data.len() > Self::MAX_QUEUED {
                stream.is_waited_for = true;
                return Err(RequestError::Busy);
            }
            for block in data.chunks(MAX_BLOCK) {
                stream.queue.push_back(Bytes::copy_from_slice(block));
            }
            stream.queued += data.len();
            self.send_next(id);
            return Ok(());
        }
        // Version 1.0 has no flow control but that of the socket.
        if is_clogged || data.len() > Self::MAX_QUEUED {
            return Err(RequestError::Busy);
        }
        for block in data.chunks(MAX_BLOCK) {
            self.transmit_with(send_line(id, block.len()), block);
        }
        Ok(())
    }

    /// Accepts `more` bytes of a stream, beyond those that have arrived. `None` removes the limit.
    /// Without a call of this function, a bridge of version 2.0 delivers nothing.
    ///
    /// The bridge may exceed the limit by one block. Does nothing in version 1.0, which has no
    /// limit.
    ///
    /// # Errors
    ///
    /// [`RequestError::Over`] if the stream is not open.
    pub fn accept_bytes(&mut self, id: i32, more: Option<u64>) -> Result<(), RequestError> {
        let version = self.version()?;
        let stream = self.streams.get_mut(&id).ok_or(RequestError::Over)?;
        if stream.connecting.is_some() {
            return Err(RequestError::Over);
        }
        if !version.has_flow_control() {
            return Ok(());
        }
        // The limit counts from the beginning of the stream.
        let limit = more.map(|more| stream.received.saturating_add(more).to_string());
        let line = LineBuilder::new("STREAM RECEIVE")
            .pair("ID", id)
            .pair("LIMIT", limit.as_deref().unwrap_or("NONE"));
        self.transmit(line);
        Ok(())
    }

    /// Closes a stream, after all of its data is accepted by the bridge. No event follows.
    pub fn close(&mut self, id: i32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.is_closing = true;
        self.close_if_done(id);
    }

    pub(super) fn on_data(&mut self, id: i32, data: Bytes) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.received += data.len() as u64;
            if !stream.is_closing && !data.is_empty() {
                self.events.push_back(Event::Data { id, data });
            }
        }
    }

    pub(super) fn on_stream(&mut self, id: i32, action: &str, message: &Message) {
        match action {
            "STATUS" => self.on_status(id, outcome(message)),
            "CONNECTED" => {
                let peer = message
                    .params
                    .value("DESTINATION")
                    .map(Destination::from_base64);
                match peer {
                    Some(Ok(peer)) => {
                        self.streams.insert(id, Stream::default());
                        self.events.push_back(Event::Incoming { id, peer });
                    }
                    _ => self.end(Closed::NotSam("a stream has no valid peer")),
                }
            }
            "CLOSED" => {
                if let Some(stream) = self.streams.remove(&id)
                    && !stream.is_closing
                {
                    let result = outcome(message);
                    self.events.push_back(Event::StreamClosed { id, result });
                }
            }
            "SEND" => {
                let is_taken = message.params.value("RESULT") == Some("OK");
                let is_full = message.params.value("STATE") == Some("BUFFER_FULL");
                self.on_sent(id, is_taken, is_full);
            }
            "READY_TO_SEND" => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.is_full = false;
                }
                self.send_next(id);
            }
            _ => {}
        }
    }

    /// Ends attempts to connect that the bridge does not answer in time.
    pub(super) fn give_up_connects(&mut self) {
        let now = self.now;
        let due = |stream: &Stream| stream.connecting.is_some_and(|until| until <= now);
        let late: Vec<i32> = self
            .streams
            .iter()
            .filter(|(_, stream)| due(stream))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.streams.remove(&id);
            self.transmit(LineBuilder::new("STREAM CLOSE").pair("ID", id));
            let failure = Failure::new(ResultCode::Timeout, "the bridge did not answer in time");
            let result = Err(failure);
            self.events.push_back(Event::Connected { id, result });
        }
    }

    fn on_status(&mut self, id: i32, result: Result<(), Failure>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.connecting.take().is_none() {
            return;
        }
        let is_closing = stream.is_closing;
        if result.is_err() {
            self.streams.remove(&id);
        }
        if !is_closing {
            self.events.push_back(Event::Connected { id, result });
        }
        self.close_if_done(id);
    }

    fn on_sent(&mut self, id: i32, is_taken: bool, is_full: bool) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !std::mem::take(&mut stream.is_sent) {
            return;
        }
        stream.is_full = is_full;
        if is_taken && let Some(block) = stream.queue.pop_front() {
            stream.queued -= block.len();
        }
        if stream.queue.is_empty() && std::mem::take(&mut stream.is_waited_for) {
            self.events.push_back(Event::Writable { id });
        }
        self.send_next(id);
        self.close_if_done(id);
    }

    /// Sends the next block of a stream of 2.0, unless the bridge has to answer first.
    fn send_next(&mut self, id: i32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.is_sent || stream.is_full {
            return;
        }
        if let Some(block) = stream.queue.front().cloned() {
            stream.is_sent = true;
            self.transmit_with(send_line(id, block.len()), &block);
        }
    }

    fn close_if_done(&mut self, id: i32) {
        let is_done = self.streams.get(&id).is_some_and(|stream| {
            stream.is_closing && stream.connecting.is_none() && stream.queue.is_empty()
        });
        if is_done {
            self.streams.remove(&id);
            self.transmit(LineBuilder::new("STREAM CLOSE").pair("ID", id));
        }
    }
}

fn send_line(id: i32, size: usize) -> LineBuilder {
    LineBuilder::new("STREAM SEND")
        .pair("ID", id)
        .pair("SIZE", size)
}

/// The most data of one SEND, in bytes. Source: specification, "SAM Virtual Streams".
const MAX_BLOCK: usize = 32 * 1024;
