//! Commands that need no session: look-ups, keys, users, help.

use std::time::Instant;

use eepkit_wire::Host;

use super::{
    connection::{Connection, Phase},
    directory::Directory,
    exchange::{AuthChange, Found, Request, Secret},
    keys::{generated, named},
};
use crate::{
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
    session::invalid,
};

impl Connection {
    /// Processes NAMING LOOKUP.
    pub(super) fn look_up<A>(&mut self, now: Instant, directory: &Directory<A>, message: &Message) {
        self.understood();
        let name = message.params.value("NAME").unwrap_or_default().to_owned();
        match self.try_look_up(directory, message, &name) {
            Ok(Wanted::Known(found)) => self.tell_found(now, &name, &found),
            Ok(Wanted::Unknown(target, options)) => {
                let session = self.session;
                self.phase = Phase::LookingUp { name };
                self.request(Request::LookUp {
                    session,
                    target,
                    options,
                });
            }
            Err(failure) => self.not_found(now, &name, &failure),
        }
    }

    /// Processes DEST GENERATE.
    pub(super) fn generate(&mut self, now: Instant, message: &Message) {
        self.understood();
        match generated(&message.params, &self.config, &mut self.rng) {
            Ok(line) => self.send_line(now, line),
            Err(failure) => self.fail(now, "DEST REPLY", &failure),
        }
    }

    /// Processes AUTH.
    pub(super) fn change_auth(&mut self, now: Instant, message: &Message) {
        self.understood();
        match self.try_change_auth(message) {
            Ok(change) => {
                self.phase = Phase::ChangingAuth;
                self.request(Request::ChangeAuth(change));
            }
            Err(failure) => self.fail(now, "AUTH STATUS", &failure),
        }
    }

    /// Processes QUIT, STOP and EXIT.
    pub(super) fn quit<A>(&mut self, now: Instant, directory: &mut Directory<A>, verb: &str) {
        let line = LineBuilder::new(&format!("{verb} STATUS"))
            .pair("RESULT", ResultCode::Ok)
            .message("bye");
        self.send_line(now, line);
        self.close(directory);
    }

    /// Processes HELP.
    pub(super) fn help(&mut self, now: Instant) {
        self.understood();
        let line = LineBuilder::new("HELP STATUS")
            .pair("RESULT", ResultCode::Ok)
            .message(HELP);
        self.send_line(now, line);
    }

    pub(super) fn found(&mut self, now: Instant, result: Result<Found, Failure>) {
        let Phase::LookingUp { ref name } = self.phase else {
            return;
        };
        let name = name.clone();
        self.phase = Phase::Idle;
        match result {
            Ok(found) => self.tell_found(now, &name, &found),
            Err(failure) => self.not_found(now, &name, &failure),
        }
    }

    pub(super) fn authenticated(&mut self, now: Instant, right: bool) {
        let Phase::Authenticating { version, user } = &mut self.phase else {
            return;
        };
        let version = *version;
        if right {
            self.user = Some(std::mem::take(user));
            return self.greeted(now, version);
        }
        let failure = Failure::error("USER or PASSWORD is wrong");
        self.fail(now, "HELLO REPLY", &failure);
        self.phase = Phase::Done;
        self.output(super::output::Output::Close);
    }

    pub(super) fn auth_changed(&mut self, now: Instant, result: Result<(), Failure>) {
        if !matches!(self.phase, Phase::ChangingAuth) {
            return;
        }
        self.phase = Phase::Idle;
        match result {
            Ok(()) => {
                let line = LineBuilder::new("AUTH STATUS").pair("RESULT", ResultCode::Ok);
                self.send_line(now, line);
            }
            Err(failure) => self.fail(now, "AUTH STATUS", &failure),
        }
    }

    fn try_look_up<A>(
        &self,
        directory: &Directory<A>,
        message: &Message,
        name: &str,
    ) -> Result<Wanted, Failure> {
        if name.is_empty() {
            return Err(Failure::new(ResultCode::InvalidKey, "NAME is missing"));
        }
        let options = message.params.flag("OPTIONS", false);
        let options =
            options.map_err(|error| Failure::new(ResultCode::InvalidKey, error.to_string()))?;
        if name == "ME" {
            let entry = self.session.and_then(|session| directory.entry(session));
            let entry = entry.ok_or_else(|| {
                Failure::new(ResultCode::KeyNotFound, "this socket has no session")
            })?;
            return Ok(Wanted::of(
                Host::Destination(entry.destination.clone()),
                options,
            ));
        }
        named(name).map(|target| Wanted::of(target, options))
    }

    fn try_change_auth(&self, message: &Message) -> Result<AuthChange, Failure> {
        if !self.config.auth_commands {
            return Err(Failure::error("users cannot be changed by clients here"));
        }
        let params = &message.params;
        let user = || {
            let user = params.required("USER").map_err(invalid)?;
            match user.len() {
                1..=MAX_CREDENTIAL => Ok(user.to_owned()),
                _ => Err(Failure::error("USER is too long")),
            }
        };
        Ok(match message.action.as_str() {
            "ENABLE" => AuthChange::Enable,
            "DISABLE" => AuthChange::Disable,
            "REMOVE" => AuthChange::Remove { user: user()? },
            _ => {
                let password = params.required("PASSWORD").map_err(invalid)?;
                if password.len() > MAX_CREDENTIAL {
                    return Err(Failure::error("PASSWORD is too long"));
                }
                AuthChange::Add {
                    user: user()?,
                    password: Secret(password.to_owned().into()),
                }
            }
        })
    }

    fn tell_found(&mut self, now: Instant, name: &str, found: &Found) {
        let mut line = LineBuilder::new("NAMING REPLY")
            .pair("RESULT", ResultCode::Ok)
            .pair("NAME", name)
            .pair("VALUE", found.destination.to_base64());
        for (key, value) in &found.options {
            let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '=' | '"');
            let fits = line.len() + key.len() + value.len() < MAX_REPLY;
            if fits && !key.contains(bad) && !value.contains(char::is_control) {
                line = line.pair(&format!("OPTION:{key}"), value);
            }
        }
        self.send_line(now, line);
    }

    fn not_found(&mut self, now: Instant, name: &str, failure: &Failure) {
        let line = LineBuilder::new("NAMING REPLY")
            .pair("RESULT", &failure.result)
            .pair("NAME", name)
            .message(&failure.message);
        self.send_line(now, line);
    }
}

/// A look-up, which may not need the router.
enum Wanted {
    Known(Found),
    Unknown(Host, bool),
}

impl Wanted {
    /// A destination needs no look-up, unless the options of its lease set are requested.
    fn of(target: Host, options: bool) -> Self {
        match target {
            Host::Destination(destination) if !options => Self::Known(Found {
                destination,
                options: Vec::new(),
            }),
            target => Self::Unknown(target, options),
        }
    }
}

/// The approximate maximum length of an answer with options of a lease set, in bytes. Options that
/// do not fit are omitted. Chosen because the bridges of Java I2P and i2pd read no longer lines, so
/// clients may not support longer ones.
const MAX_REPLY: usize = 8 * 1024;

/// The maximum length of a user's name or password, in bytes. Chosen far above practical values.
const MAX_CREDENTIAL: usize = 256;

const HELP: &str = "HELLO VERSION, SESSION CREATE ADD REMOVE, STREAM CONNECT ACCEPT FORWARD, \
                    DATAGRAM SEND, RAW SEND, NAMING LOOKUP, DEST GENERATE, AUTH, PING, QUIT";
