//! HELLO, and the dispatch of commands.

use std::time::Instant;

use super::{
    connection::{Connection, Phase, Spoken, answer_words},
    directory::Directory,
    exchange::{Request, Secret},
};
use crate::{
    message::Message,
    result::{Failure, ResultCode},
    version::{NegotiationError, OlderVersion, Version},
};

impl Connection {
    pub(super) fn hello<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
    ) {
        if !message.is("HELLO", "VERSION") {
            let failure = Failure::error("the first line must be HELLO VERSION");
            self.fail(now, "HELLO REPLY", &failure);
            return self.close(directory);
        }
        let params = &message.params;
        let (min, max) = (params.value("MIN"), params.value("MAX"));
        let version = match self.negotiate(min, max) {
            Ok(version) => version,
            Err(error) => {
                let failure = match error {
                    NegotiationError::NoVersion => Failure::new(ResultCode::NoVersion, ""),
                    error => Failure::error(error.to_string()),
                };
                self.fail(now, "HELLO REPLY", &failure);
                return self.close(directory);
            }
        };
        if !directory.is_auth_required() {
            return self.greeted(now, version);
        }
        let (Some(user), Some(password)) = (params.value("USER"), params.value("PASSWORD")) else {
            let failure = Failure::error("USER and PASSWORD are needed");
            self.fail(now, "HELLO REPLY", &failure);
            return self.close(directory);
        };
        self.phase = Phase::Authenticating {
            version,
            user: user.to_owned(),
        };
        self.request(Request::Authenticate {
            user: user.to_owned(),
            password: Secret(password.to_owned().into()),
        });
    }

    /// Selects the newest version that both sides support.
    fn negotiate(&self, min: Option<&str>, max: Option<&str>) -> Result<Spoken, NegotiationError> {
        let newest = self.config.max_version;
        let version = match Version::negotiate(min, max) {
            // The client may also accept an older version, if its limits allow one.
            Ok(version) if version > newest => Version::negotiate(min, Some(newest.as_str())),
            version => version,
        };
        match version {
            Err(NegotiationError::NoVersion) if self.config.older_versions => {
                OlderVersion::negotiate(min, max).map(Spoken::Older)
            }
            version => version.map(Spoken::Current),
        }
    }

    pub(super) fn command<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: Message,
    ) {
        match (message.verb.as_str(), message.action.as_str()) {
            ("SESSION", "CREATE") => {
                self.understood();
                self.create(now, directory, message, true);
            }
            ("SESSION", "ADD") => self.add(now, directory, &message),
            ("SESSION", "REMOVE") => self.remove(now, directory, &message),
            ("STREAM", "CONNECT") => self.connect(now, directory, &message),
            ("STREAM", "ACCEPT") => self.accept(now, directory, &message),
            ("STREAM", "FORWARD") => self.forward(now, directory, &message),
            ("DATAGRAM", "SEND") => self.send_datagram(now, directory, &message, "DATAGRAM"),
            ("RAW", "SEND") => self.send_datagram(now, directory, &message, "RAW"),
            ("NAMING", "LOOKUP") => self.look_up(now, directory, &message),
            ("DEST", "GENERATE") => self.generate(now, &message),
            ("AUTH", "ENABLE" | "DISABLE" | "ADD" | "REMOVE") => {
                self.change_auth(now, &message);
            }
            ("QUIT" | "STOP" | "EXIT", _) => self.quit(now, directory, &message.verb),
            ("HELP", _) => self.help(now),
            ("HELLO", "VERSION") => {
                let failure = Failure::error("HELLO was said already");
                self.misunderstood(now, directory, "HELLO REPLY", &failure);
            }
            (verb, "") => {
                let failure = Failure::error(format!(
                    "{} needs a second word, enter HELP for help",
                    shown(verb)
                ));
                self.misunderstood(now, directory, &answer_words(verb), &failure);
            }
            (verb, action) => {
                let failure = Failure::error(format!(
                    "unknown command {} {}, enter HELP for help",
                    shown(verb),
                    shown(action)
                ));
                self.misunderstood(now, directory, &answer_words(verb), &failure);
            }
        }
    }
}

/// Returns as much of a word as an answer contains.
fn shown(word: &str) -> String {
    word.chars().take(SHOWN_CHARS).collect()
}

/// Chosen so that two words and the sentence around them fit into a message.
const SHOWN_CHARS: usize = 24;
