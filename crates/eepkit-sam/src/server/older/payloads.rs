//! Commands with data: STREAM SEND, DATAGRAM SEND and RAW SEND.

use super::{
    super::{directory::Directory, exchange::SessionKey},
    connection::{Connection, Phase},
    exchange::Request,
    payload::{Payload, Receiver},
    stream::Stream,
    streams::MAX_BLOCK,
};
use crate::{
    datagram::SendOptions,
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
    session::invalid,
    style::Style,
};

impl Connection {
    /// Processes STREAM SEND up to the data.
    pub(super) fn send_stream<A>(&mut self, directory: &mut Directory<A>, message: &Message) {
        if self.stream_session(directory).is_none() {
            return;
        }
        let Some(id) = self.id(directory, &message.params) else {
            return;
        };
        if let Some(size) = self.size(directory, message, "STREAM STATUS", MAX_BLOCK) {
            let to = Receiver::Stream(id);
            self.phase = Phase::Payload(Payload { size, to });
        }
    }

    /// Processes DATAGRAM SEND and RAW SEND up to the data.
    pub(super) fn send_datagram<A>(
        &mut self,
        directory: &mut Directory<A>,
        message: &Message,
        verb: &'static str,
    ) {
        let style = match verb {
            "RAW" => Style::Raw,
            _ => Style::Datagram,
        };
        let status = format!("{verb} STATUS");
        if let Some(size) = self.size(directory, message, &status, style.max_payload()) {
            let to = Receiver::Datagram(self.receiver(message, style), verb);
            self.phase = Phase::Payload(Payload { size, to });
        }
    }

    /// Takes the data once it is complete. Returns whether the phase has ended.
    pub(super) fn payload<A>(&mut self, directory: &Directory<A>) -> bool {
        let Phase::Payload(payload) = &self.phase else {
            return false;
        };
        if let Receiver::Stream(id) = payload.to
            && !self.version.has_flow_control()
            && self
                .ids
                .get(&id)
                .and_then(|stream| self.streams.get(stream))
                .is_some_and(Stream::is_full)
        {
            // Version 1.0 has no other flow control than not reading from the socket.
            return false;
        }
        let Some(data) = self.lines.take(payload.size) else {
            return false;
        };
        let Phase::Payload(payload) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return false;
        };
        match payload.to {
            Receiver::Stream(id) => self.sent_to_stream(id, data),
            Receiver::Datagram(to, verb) => {
                let datagram = to.and_then(|(session, to)| {
                    directory
                        .send(session, &to, SendOptions::default(), data)
                        .map_err(|error| Failure::error(error.to_string()))
                });
                match datagram {
                    Ok(datagram) => self.request(Request::Send(datagram)),
                    Err(failure) => self.fail(&format!("{verb} STATUS"), &failure),
                }
            }
        }
        true
    }

    fn sent_to_stream(&mut self, id: i32, data: bytes::Bytes) {
        let stream = self.ids.get(&id).copied();
        let Some(stream) = stream.and_then(|stream| self.streams.get_mut(&stream)) else {
            let failure = Failure::new(ResultCode::CantReachPeer, "no stream has this ID");
            return self.closed(id, Some(&failure));
        };
        if !self.version.has_flow_control() {
            return stream.push(data);
        }
        let is_taken = !stream.is_full();
        if is_taken {
            stream.push(data);
        }
        let is_full = stream.is_full();
        if is_full {
            stream.wait();
        }
        let line = LineBuilder::new("STREAM SEND")
            .pair("ID", id)
            .pair("RESULT", if is_taken { "OK" } else { "FAILED" })
            .pair("STATE", if is_full { "BUFFER_FULL" } else { "READY" });
        self.send_line(line);
    }

    /// Reads the size of the data. Without a valid one, the data would be parsed as commands, so the
    /// connection is closed.
    fn size<A>(
        &mut self,
        directory: &mut Directory<A>,
        message: &Message,
        words: &str,
        limit: usize,
    ) -> Option<usize> {
        let size = message.params.number("SIZE", "a number of bytes");
        match size {
            Ok(Some(size)) if (1..=limit).contains(&size) => Some(size),
            _ => {
                let why = format!("SIZE must be the number of bytes that follow, 1 to {limit}");
                self.abort(directory, words, why);
                None
            }
        }
    }

    fn receiver(&self, message: &Message, style: Style) -> Result<(SessionKey, String), Failure> {
        let session = self.session.as_ref().filter(|session| session.is_open);
        let session = session.filter(|session| session.style == style);
        let session =
            session.ok_or_else(|| Failure::error(format!("the session is not STYLE={style}")))?;
        let to = message.params.required("DESTINATION").map_err(invalid)?;
        Ok((session.key, to.to_owned()))
    }
}
