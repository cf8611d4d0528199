//! SESSION CREATE, ADD and REMOVE.

use std::{net::IpAddr, time::Instant};

use eepkit_wire::{PrivateKeys, Zeroizing};

use super::{
    connection::{Connection, Phase},
    directory::{Client, Directory, GRACE, SessionState},
    exchange::{OpenSession, Request},
};
use crate::{
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
    session::{NewDestination, SessionParams, invalid},
    style::Style,
    version::Version,
};

impl Connection {
    /// Processes SESSION CREATE. `patient` is whether to wait for a conflicting session to end.
    pub(super) fn create<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: Message,
        patient: bool,
    ) {
        match self.try_create(directory, &message) {
            Ok((request, text)) => {
                self.session = Some(request.session);
                self.phase = Phase::Opening {
                    session: request.session,
                    text,
                };
                self.request(Request::Open(request));
            }
            Err(failure)
                if patient
                    && matches!(
                        failure.result,
                        ResultCode::DuplicatedId | ResultCode::DuplicatedDest
                    ) =>
            {
                let at = now + GRACE;
                self.phase = Phase::Retrying { message, at };
            }
            Err(failure) => self.session_failed(now, failure),
        }
    }

    /// Processes SESSION ADD.
    pub(super) fn add<A>(&mut self, now: Instant, directory: &mut Directory<A>, message: &Message) {
        self.understood();
        let version = self.spoken();
        let added = self.primary(directory).and_then(|primary| {
            let mut params = SessionParams::add(&message.params, version)?;
            self.check_places(&mut params)?;
            let session = directory.insert_subsession(primary, params.clone(), &self.config)?;
            Ok((primary, session, params))
        });
        match added {
            Ok((primary, session, params)) => {
                self.phase = Phase::Adding {
                    session,
                    id: params.id.clone(),
                };
                self.request(Request::Add {
                    primary,
                    session,
                    params,
                    version,
                });
            }
            Err(failure) => self.session_failed(now, failure),
        }
    }

    /// Processes SESSION REMOVE.
    pub(super) fn remove<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
    ) {
        self.understood();
        let found = self.primary(directory).and_then(|primary| {
            let id = message.params.required("ID").map_err(invalid)?;
            let session = directory.find(id).filter(|session| {
                directory
                    .entry(*session)
                    .is_some_and(|entry| entry.primary == Some(primary))
            });
            let unknown = || Failure::error("no subsession of this session has this ID");
            session
                .map(|session| (session, id.to_owned()))
                .ok_or_else(unknown)
        });
        match found {
            Ok((session, id)) => {
                directory.remove(session);
                self.request(Request::Close(session));
                self.subsession_changed(now, "REMOVE", &id);
            }
            Err(failure) => self.session_failed(now, failure),
        }
    }

    pub(super) fn opened<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        result: Result<(), Failure>,
    ) {
        let Phase::Opening { session, ref text } = self.phase else {
            return;
        };
        match result {
            Ok(()) => {
                if let Some(entry) = directory.entry_mut(session) {
                    entry.state = SessionState::Open;
                }
                let line = LineBuilder::new("SESSION STATUS")
                    .pair("RESULT", ResultCode::Ok)
                    .pair("DESTINATION", text.as_str());
                self.phase = Phase::Idle;
                self.send_line(now, line);
            }
            Err(failure) => {
                self.phase = Phase::Idle;
                self.session = None;
                directory.remove(session);
                self.request(Request::Close(session));
                self.session_failed(now, failure);
            }
        }
    }

    pub(super) fn added<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        result: Result<(), Failure>,
    ) {
        let Phase::Adding { session, ref id } = self.phase else {
            return;
        };
        let id = id.clone();
        self.phase = Phase::Idle;
        match result {
            Ok(()) => {
                if let Some(entry) = directory.entry_mut(session) {
                    entry.state = SessionState::Open;
                }
                self.subsession_changed(now, "ADD", &id);
            }
            Err(failure) => {
                directory.remove(session);
                self.request(Request::Close(session));
                self.session_failed(now, failure);
            }
        }
    }

    /// Whose sessions those of this connection are.
    pub(super) fn owner(&self) -> Client {
        match &self.user {
            Some(user) => Client::User(user.clone()),
            None => Client::at(self.client),
        }
    }

    fn try_create<A>(
        &mut self,
        directory: &mut Directory<A>,
        message: &Message,
    ) -> Result<(OpenSession, Zeroizing<String>), Failure> {
        if self.session.is_some() {
            return Err(Failure::error("this socket has a session already"));
        }
        let version = self.spoken();
        let (mut params, destination) = SessionParams::create(&message.params, version)?;
        self.check_places(&mut params)?;
        let (keys, text) = match destination {
            NewDestination::Keys { keys, text } => (keys, text),
            NewDestination::Transient(kind) => {
                let kind = kind.unwrap_or(self.config.default_signature_type);
                let keys = PrivateKeys::generate(kind, &mut self.rng).map_err(|_| {
                    Failure::error(format!("SIGNATURE_TYPE {kind} cannot be made here"))
                })?;
                let text = keys.to_base64();
                (Box::new(keys), text)
            }
        };
        let destination = keys.destination().clone();
        let session = directory.insert(self.owner(), params.clone(), destination, &self.config)?;
        let request = OpenSession {
            session,
            keys,
            params,
            version,
        };
        Ok((request, text))
    }

    /// Checks the forwarding address of datagrams and replaces the host with its IP address. Also
    /// checks that the UDP address of the bridge is the one that the client expects.
    fn check_places(&self, params: &mut SessionParams) -> Result<(), Failure> {
        if let Some(forward) = &mut params.forward {
            let place = self.place(forward.host.as_deref())?;
            forward.host = Some(place.to_string());
        }
        let udp = &self.config.udp;
        let Some(first) = udp.first() else {
            return Ok(());
        };
        if let Some(host) = params.udp_host.as_deref().and_then(numeric)
            && !udp
                .iter()
                .any(|at| at.ip() == host || at.ip().is_unspecified())
        {
            return Err(Failure::error("sam.udp.host is not where the bridge is"));
        }
        if let Some(port) = params.udp_port
            && !udp.iter().any(|at| at.port() == port)
        {
            return Err(Failure::error(format!(
                "sam.udp.port is {} here",
                first.port()
            )));
        }
        Ok(())
    }

    /// Returns the address to which streams or datagrams are forwarded. Without a host it is the
    /// client's own.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the host is a name, which must not be looked up outside of I2P, or an address
    /// to which the configuration forbids forwarding.
    pub(super) fn place(&self, host: Option<&str>) -> Result<IpAddr, Failure> {
        let own = self.client.unwrap_or(LOOPBACK);
        let Some(host) = host else {
            return Ok(own);
        };
        let Some(address) = numeric(host) else {
            return Err(Failure::error("HOST must be an IP address or localhost"));
        };
        let allowed = address == own || address.is_loopback() || self.config.forward_anywhere;
        if !allowed || address.is_multicast() {
            return Err(Failure::error(
                "HOST must be the client's own or a loopback address here",
            ));
        }
        Ok(address)
    }

    /// Returns the primary session of this socket.
    fn primary<A>(&self, directory: &Directory<A>) -> Result<super::exchange::SessionKey, Failure> {
        let session = self
            .session
            .ok_or_else(|| Failure::error("this socket has no session"))?;
        match directory.entry(session).map(|entry| entry.params.style) {
            Some(Style::Primary) => Ok(session),
            _ => Err(Failure::error("the session is not PRIMARY")),
        }
    }

    /// The negotiated version. Called only after HELLO.
    pub(super) fn spoken(&self) -> Version {
        self.version.unwrap_or(Version::V3_0)
    }

    fn subsession_changed(&mut self, now: Instant, what: &str, id: &str) {
        let line = LineBuilder::new("SESSION STATUS")
            .pair("RESULT", ResultCode::Ok)
            .pair("ID", id)
            .message(&format!("{what} {id}"));
        self.send_line(now, line);
    }

    /// Answers with a failure. Only I2P_ERROR has a MESSAGE, because clients compare the whole line
    /// of other results.
    fn session_failed(&mut self, now: Instant, mut failure: Failure) {
        if failure.result != ResultCode::I2pError {
            failure.message = "".into();
        }
        self.phase = Phase::Idle;
        self.fail(now, "SESSION STATUS", &failure);
    }
}

/// Parses an IP address. `localhost` is 127.0.0.1; no other name is looked up.
fn numeric(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(LOOPBACK);
    }
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// The address of a client that connected through a Unix socket.
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
