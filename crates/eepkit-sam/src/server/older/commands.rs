//! The dispatch of commands, look-ups and generated keys.

use std::time::Instant;

use eepkit_wire::{Destination, Host};

use super::{
    super::{
        directory::Directory,
        keys::{generated, named},
    },
    connection::{Connection, Phase},
    exchange::Request,
};
use crate::{
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
};

impl Connection {
    pub(super) fn command<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: Message,
    ) {
        match (message.verb.as_str(), message.action.as_str()) {
            ("SESSION", "CREATE") => self.create(now, directory, message),
            ("STREAM", "CONNECT") => self.connect(directory, &message),
            ("STREAM", "SEND") => self.send_stream(directory, &message),
            ("STREAM", "CLOSE") => self.close_stream(directory, &message),
            ("STREAM", "RECEIVE") if self.version.has_flow_control() => {
                self.receive(directory, &message);
            }
            ("DATAGRAM", "SEND") => self.send_datagram(directory, &message, "DATAGRAM"),
            ("RAW", "SEND") => self.send_datagram(directory, &message, "RAW"),
            ("NAMING", "LOOKUP") => self.look_up(&message),
            ("DEST", "GENERATE") => self.generate(&message),
            (verb, action) => {
                let shown = |word: &str| word.chars().take(SHOWN_CHARS).collect::<String>();
                let why = format!(
                    "SAM {} has no command {} {}",
                    self.version,
                    shown(verb),
                    shown(action)
                );
                // Data may follow an unknown command.
                self.abort(directory, "SESSION STATUS", why);
            }
        }
    }

    fn look_up(&mut self, message: &Message) {
        let name = message.params.value("NAME").unwrap_or_default().to_owned();
        if name == "ME" {
            let own = self.session.as_ref().map(|own| own.destination.clone());
            return match own {
                Some(own) => self.tell_found(&name, &own),
                None => {
                    let why = "this socket has no session";
                    self.not_found(&name, &Failure::new(ResultCode::KeyNotFound, why));
                }
            };
        }
        let target = match name.is_empty() {
            true => Err(Failure::new(ResultCode::InvalidKey, "NAME is missing")),
            false => named(&name),
        };
        match target {
            Ok(Host::Destination(destination)) => self.tell_found(&name, &destination),
            Ok(target) => {
                let session = self.session();
                self.phase = Phase::LookingUp { name };
                self.request(Request::LookUp { session, target });
            }
            Err(failure) => self.not_found(&name, &failure),
        }
    }

    pub(super) fn found(&mut self, result: Result<Destination, Failure>) {
        if !matches!(self.phase, Phase::LookingUp { .. }) {
            return;
        }
        let Phase::LookingUp { name } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        match result {
            Ok(destination) => self.tell_found(&name, &destination),
            Err(failure) => self.not_found(&name, &failure),
        }
    }

    fn tell_found(&mut self, name: &str, destination: &Destination) {
        let line = LineBuilder::new("NAMING REPLY")
            .pair("RESULT", ResultCode::Ok)
            .pair("NAME", name)
            .pair("VALUE", destination.to_base64());
        self.send_line(line);
    }

    fn not_found(&mut self, name: &str, failure: &Failure) {
        let line = LineBuilder::new("NAMING REPLY")
            .pair("RESULT", &failure.result)
            .pair("NAME", name)
            .message(&failure.message);
        self.send_line(line);
    }

    fn generate(&mut self, message: &Message) {
        match generated(&message.params, &self.config, &mut self.rng) {
            Ok(line) => self.send_line(line),
            Err(failure) => self.fail("DEST REPLY", &failure),
        }
    }
}

/// Chosen so that two words and the sentence around them fit into a message.
const SHOWN_CHARS: usize = 24;
