//! DATAGRAM SEND and RAW SEND: datagrams over the control socket.

use std::time::Instant;

use super::{
    connection::{Connection, Phase},
    directory::Directory,
    exchange::{Request, SessionKey},
};
use crate::{
    datagram::SendOptions, message::Message, result::Failure, session::invalid, style::Style,
};

impl Connection {
    /// Processes DATAGRAM SEND and RAW SEND up to the payload.
    pub(super) fn send_datagram<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
        verb: &'static str,
    ) {
        self.understood();
        let size: Result<Option<usize>, _> = message.params.number("SIZE", "a number of bytes");
        let size = match size {
            Ok(Some(size)) if size <= MAX_SKIPPED => size,
            // Without a valid size, the payload would be parsed as commands.
            _ => {
                let failure = Failure::error("SIZE must be the number of bytes that follow");
                self.fail(now, &status(verb), &failure);
                return self.close(directory);
            }
        };
        let send = self.try_send(directory, message, verb);
        self.phase = Phase::Payload { send, verb, size };
    }

    /// Takes the payload once it is complete. Returns whether the phase has ended.
    pub(super) fn payload<A>(&mut self, now: Instant, directory: &Directory<A>) -> bool {
        let Phase::Payload { size, .. } = self.phase else {
            return false;
        };
        let Some(payload) = self.lines.take(size) else {
            return false;
        };
        let Phase::Payload { send, verb, .. } = std::mem::replace(&mut self.phase, Phase::Idle)
        else {
            return false;
        };
        let datagram = send.and_then(|(session, to, options)| {
            directory
                .send(session, &to, options, payload)
                .map_err(|error| Failure::error(error.to_string()))
        });
        match datagram {
            Ok(datagram) => self.request(Request::Send(datagram)),
            Err(failure) => self.fail(now, &status(verb), &failure),
        }
        true
    }

    fn try_send<A>(
        &self,
        directory: &Directory<A>,
        message: &Message,
        verb: &str,
    ) -> Result<(SessionKey, String, SendOptions), Failure> {
        let session = self
            .session
            .ok_or_else(|| Failure::error("this socket has no session"))?;
        let style = directory.entry(session).map(|entry| entry.params.style);
        let right = match verb {
            "RAW" => Style::Raw,
            _ => Style::Datagram,
        };
        if style != Some(right) {
            return Err(Failure::error(format!("the session is not STYLE={right}")));
        }
        let to = message.params.required("DESTINATION").map_err(invalid)?;
        let options = SendOptions::from_params(&message.params).map_err(invalid)?;
        Ok((session, to.to_owned(), options))
    }
}

fn status(verb: &str) -> String {
    format!("{verb} STATUS")
}

/// The largest payload that is read even if it is not sent, in bytes. Chosen because no datagram is
/// larger.
const MAX_SKIPPED: usize = 65_535;
