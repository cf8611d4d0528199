//! SESSION CREATE.

use std::time::Instant;

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::rand_core::Rng as _;

use super::{
    super::{
        directory::{Directory, GRACE, SessionState},
        exchange::OpenSession,
    },
    connection::{Connection, Phase, Session},
    exchange::Request,
};
use crate::{
    message::{LineBuilder, Message, Params},
    result::{Failure, ResultCode},
    session::{self, SessionParams, invalid},
    style::{Direction, Style},
    version::Version,
};

impl Connection {
    /// Processes SESSION CREATE.
    pub(super) fn create<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: Message,
    ) {
        let asked = match self.asked(&message.params) {
            Ok(asked) => asked,
            Err(failure) => return self.session_failed(&message, failure),
        };
        if asked.name != TRANSIENT {
            self.request(Request::Keys {
                name: asked.name,
                kind: asked.kind,
            });
            self.phase = Phase::Keys { message };
            return;
        }
        match PrivateKeys::generate(asked.kind, &mut self.rng) {
            Ok(keys) => self.open(now, directory, message, Box::new(keys)),
            Err(_) => {
                let kind = asked.kind;
                let why = format!("SIGNATURE_TYPE {kind} cannot be made here");
                self.session_failed(&message, Failure::error(why));
            }
        }
    }

    pub(super) fn keys<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        result: Result<Box<PrivateKeys>, Failure>,
    ) {
        if !matches!(self.phase, Phase::Keys { .. }) {
            return;
        }
        let Phase::Keys { message } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        match result {
            Ok(keys) => self.open(now, directory, message, keys),
            Err(failure) => self.session_failed(&message, failure),
        }
    }

    fn open<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: Message,
        keys: Box<PrivateKeys>,
    ) {
        let asked = match self.asked(&message.params) {
            Ok(asked) => asked,
            Err(failure) => return self.session_failed(&message, failure),
        };
        // An ID of SAM 3 contains no space, so clients of SAM 3 cannot use the session.
        let id = format!("SAM {} {:016x}", self.version, self.rng.next_u64());
        let params = SessionParams::older(asked.style, id, &message.params);
        let destination = keys.destination().clone();
        let owner = self.owner.clone();
        let key = directory.insert(owner, params.clone(), destination.clone(), &self.config);
        let key = match key {
            Ok(key) => key,
            Err(failure) if !self.has_retried && failure.result == ResultCode::DuplicatedDest => {
                self.has_retried = true;
                let at = now + GRACE;
                self.phase = Phase::Retrying { message, at };
                return;
            }
            Err(failure) => return self.session_failed(&message, failure),
        };
        self.session = Some(Session {
            key,
            style: asked.style,
            direction: asked.direction,
            name: asked.name,
            destination,
            is_open: false,
        });
        self.phase = Phase::Opening;
        self.request(Request::Open(OpenSession {
            session: key,
            keys,
            params,
            // Datagrams are delivered without ports.
            version: Version::V3_0,
        }));
    }

    pub(super) fn opened<A>(&mut self, directory: &mut Directory<A>, result: Result<(), Failure>) {
        if !matches!(self.phase, Phase::Opening) {
            return;
        }
        self.phase = Phase::Idle;
        self.has_retried = false;
        let Some(session) = &mut self.session else {
            return;
        };
        match result {
            Ok(()) => {
                session.is_open = true;
                if let Some(entry) = directory.entry_mut(session.key) {
                    entry.state = SessionState::Open;
                }
                let line = LineBuilder::new("SESSION STATUS")
                    .pair("RESULT", ResultCode::Ok)
                    .pair("DESTINATION", &session.name);
                self.send_line(line);
            }
            Err(failure) => {
                let (key, name) = (session.key, session.name.clone());
                self.session = None;
                directory.remove(key);
                self.request(Request::Close(key));
                self.refuse(Some(&name), &failure);
            }
        }
    }

    /// Reads the parameters of SESSION CREATE.
    fn asked(&self, params: &Params) -> Result<Asked, Failure> {
        if self.session.is_some() {
            return Err(Failure::error("this socket has a session already"));
        }
        let style = params.required("STYLE").map_err(invalid)?;
        let Ok(style @ (Style::Stream | Style::Datagram | Style::Raw)) = style.parse() else {
            return Err(Failure::error("STYLE must be STREAM, DATAGRAM or RAW"));
        };
        let direction = match params.value("DIRECTION") {
            None => Direction::Both,
            Some(_) if style != Style::Stream => {
                return Err(Failure::error("DIRECTION is for STYLE=STREAM"));
            }
            Some(text) => Direction::parse(text)
                .ok_or_else(|| Failure::error("DIRECTION must be BOTH, RECEIVE or CREATE"))?,
        };
        let name = params.required("DESTINATION").map_err(invalid)?;
        if name != TRANSIENT {
            check_name(name)?;
        }
        let kind = session::signature_type(params)?;
        Ok(Asked {
            style,
            direction,
            name: name.to_owned(),
            kind: kind.unwrap_or(self.config.default_signature_type),
        })
    }

    fn session_failed(&mut self, message: &Message, failure: Failure) {
        self.phase = Phase::Idle;
        let name = message.params.value("DESTINATION");
        let name = name
            .filter(|name| name.len() <= MAX_NAME)
            .map(str::to_owned);
        self.refuse(name.as_deref(), &failure);
    }

    fn refuse(&mut self, name: Option<&str>, failure: &Failure) {
        self.has_retried = false;
        let line = LineBuilder::new("SESSION STATUS")
            .pair("RESULT", &failure.result)
            .pair_if("DESTINATION", name)
            .message(&failure.message);
        self.send_line(line);
    }
}

/// The parameters of SESSION CREATE.
struct Asked {
    style: Style,
    direction: Direction,
    name: String,
    kind: SignatureType,
}

/// Checks the name of a destination. The name is a key in a file, so it must be one plain word.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | '#' | ';' | '"' | '\\');
    if name.len() <= MAX_NAME && name.chars().all(is_plain) {
        return Ok(());
    }
    let why = format!(
        "DESTINATION is a name of at most {MAX_NAME} plain ASCII characters in SAM 1 and 2; keys \
         need SAM 3"
    );
    Err(Failure::new(ResultCode::InvalidKey, why))
}

/// The value of DESTINATION that requests a destination without a name.
const TRANSIENT: &str = "TRANSIENT";

/// The longest name of a destination. Chosen as far above practical values, and below the length of
/// private keys.
const MAX_NAME: usize = 128;
