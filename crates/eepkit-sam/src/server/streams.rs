//! STREAM CONNECT, ACCEPT and FORWARD.

use std::{net::SocketAddr, num::NonZeroU16, time::Instant};

use super::{
    connection::{Connection, Phase},
    directory::Directory,
    exchange::{ConnectStream, ForwardStreams, Peer, Request, SessionKey},
    output::Output,
};
use crate::{
    key::{self, PeerLine},
    message::{LineBuilder, Message},
    result::{Failure, ResultCode},
    session::invalid,
    version::Version,
};

impl Connection {
    /// Processes STREAM CONNECT.
    pub(super) fn connect<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
    ) {
        self.understood();
        let silent = message.params.flag("SILENT", false).unwrap_or(false);
        match self.try_connect(directory, message) {
            Ok(request) => {
                self.phase = Phase::Connecting { silent };
                self.request(Request::Connect(request));
            }
            Err(failure) => self.stream_failed(now, directory, &failure, silent),
        }
    }

    /// Processes STREAM ACCEPT.
    pub(super) fn accept<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
    ) {
        self.understood();
        let silent = message.params.flag("SILENT", false).unwrap_or(false);
        match self.try_accept(directory, message) {
            Ok(session) => {
                if !silent {
                    self.stream_ok(now);
                }
                self.phase = Phase::Accepting { session, silent };
                self.request(Request::Accept { session });
            }
            Err(failure) => self.stream_failed(now, directory, &failure, silent),
        }
    }

    /// Processes STREAM FORWARD.
    pub(super) fn forward<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        message: &Message,
    ) {
        self.understood();
        match self.try_forward(directory, message) {
            Ok(request) => {
                self.phase = Phase::Preparing {
                    session: request.session,
                };
                self.request(Request::Forward(request));
            }
            Err(failure) => self.stream_failed(now, directory, &failure, false),
        }
    }

    pub(super) fn connected(&mut self, now: Instant, result: Result<(), Failure>) {
        let Phase::Connecting { silent } = self.phase else {
            return;
        };
        match result {
            Ok(()) if silent => self.join(now),
            Ok(()) => {
                self.stream_ok(now);
                self.join(now + self.pause());
            }
            Err(failure) => {
                if !silent {
                    self.fail(now, "STREAM STATUS", &failure);
                }
                self.phase = Phase::Done;
                self.output(Output::Close);
            }
        }
    }

    pub(super) fn accepted<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        result: Result<Peer, Failure>,
    ) {
        let Phase::Accepting { session, silent } = self.phase else {
            return;
        };
        if let Some(entry) = directory.entry_mut(session) {
            entry.accepts = entry.accepts.saturating_sub(1);
        }
        match result {
            Ok(_) if silent => self.join(now),
            Ok(peer) => {
                // The status line of STREAM ACCEPT must not be read together with the line that
                // names the peer.
                let at = self.sent_at + self.pause();
                self.phase = Phase::Accepted {
                    peer: peer.destination,
                    ports: (peer.from_port, peer.to_port),
                    at,
                };
                if at <= now {
                    self.send_peer_line(now);
                }
            }
            Err(failure) => {
                if !silent {
                    self.fail(now, "STREAM STATUS", &failure);
                }
                self.phase = Phase::Done;
                self.output(Output::Close);
            }
        }
    }

    /// Sends the line that names the peer of an accepted stream.
    pub(super) fn send_peer_line(&mut self, now: Instant) {
        let Phase::Accepted { peer, ports, .. } = std::mem::replace(&mut self.phase, Phase::Done)
        else {
            return;
        };
        let line = peer_line(self.spoken(), peer, ports);
        self.send(now, line.into_bytes());
        self.join(now + self.pause());
    }

    pub(super) fn forwarding<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        result: Result<(), Failure>,
    ) {
        let Phase::Preparing { session } = self.phase else {
            return;
        };
        match result {
            Ok(()) => {
                self.phase = Phase::Forwarding { session };
                self.stream_ok(now);
            }
            Err(failure) => self.stream_failed(now, directory, &failure, false),
        }
    }

    fn try_connect<A>(
        &self,
        directory: &mut Directory<A>,
        message: &Message,
    ) -> Result<ConnectStream, Failure> {
        self.check_socket()?;
        let params = &message.params;
        params.flag("SILENT", false).map_err(invalid)?;
        let id = params.required("ID").map_err(invalid)?;
        let (session, entry) = directory.streams(id)?;
        let to = params.required("DESTINATION").map_err(invalid)?;
        let to = key::parse_target(to)
            .map_err(|error| Failure::new(ResultCode::InvalidKey, error.to_string()))?;
        let from_port = params.port("FROM_PORT").map_err(invalid)?;
        let to_port = params.port("TO_PORT").map_err(invalid)?;
        Ok(ConnectStream {
            session,
            to,
            from_port: from_port.unwrap_or(entry.params.from_port),
            to_port: to_port.unwrap_or(entry.params.to_port),
        })
    }

    fn try_accept<A>(
        &self,
        directory: &mut Directory<A>,
        message: &Message,
    ) -> Result<SessionKey, Failure> {
        self.check_socket()?;
        let params = &message.params;
        params.flag("SILENT", false).map_err(invalid)?;
        let id = params.required("ID").map_err(invalid)?;
        let (session, entry) = directory.streams(id)?;
        if entry.forwarding {
            return Err(Failure::new(
                ResultCode::AlreadyAccepting,
                "streams of the session are forwarded",
            ));
        }
        // The specification allows only one at a time before 3.2. Java I2P and i2pd allow several
        // in 3.1.
        if entry.accepts > 0 && self.spoken() == Version::V3_0 {
            return Err(Failure::new(
                ResultCode::AlreadyAccepting,
                "another socket accepts already",
            ));
        }
        if entry.accepts >= self.config.max_accepts {
            return Err(Failure::error(format!(
                "{} sockets accept already, which is the most",
                self.config.max_accepts
            )));
        }
        entry.accepts += 1;
        Ok(session)
    }

    fn try_forward<A>(
        &self,
        directory: &mut Directory<A>,
        message: &Message,
    ) -> Result<ForwardStreams, Failure> {
        self.check_socket()?;
        let params = &message.params;
        let id = params.required("ID").map_err(invalid)?;
        let (session, entry) = directory.streams(id)?;
        let port: NonZeroU16 = params
            .number("PORT", "a number from 1 to 65535")
            .and_then(|port| port.ok_or(crate::message::ParamError::Missing { key: "PORT" }))
            .map_err(invalid)?;
        let host = params.value("HOST");
        let address = SocketAddr::new(self.place(host)?, port.get());
        let silent = params.flag("SILENT", false).map_err(invalid)?;
        let tls = params.flag("SSL", false).map_err(invalid)?;
        if entry.forwarding || entry.accepts > 0 {
            return Err(Failure::new(
                ResultCode::AlreadyAccepting,
                "another socket accepts or forwards already",
            ));
        }
        entry.forwarding = true;
        Ok(ForwardStreams {
            session,
            address,
            host: host.map_or_else(|| address.ip().to_string(), str::to_owned),
            tls,
            silent,
            version: self.spoken(),
        })
    }

    /// Checks that this is not a control socket. A control socket cannot become a stream, because
    /// its session would lose its socket.
    fn check_socket(&self) -> Result<(), Failure> {
        match self.session {
            None => Ok(()),
            Some(_) => Err(Failure::error(
                "streams need sockets of their own, this one has a session",
            )),
        }
    }

    fn stream_ok(&mut self, now: Instant) {
        let line = LineBuilder::new("STREAM STATUS").pair("RESULT", ResultCode::Ok);
        self.send_line(now, line);
    }

    /// Reports a failure, and closes the socket unless it is a control socket.
    fn stream_failed<A>(
        &mut self,
        now: Instant,
        directory: &mut Directory<A>,
        failure: &Failure,
        silent: bool,
    ) {
        if !silent {
            self.fail(now, "STREAM STATUS", failure);
        }
        if self.session.is_none() {
            self.close(directory);
        }
    }

    /// Hands the socket over to the stream. Data of the peer may follow from `data_after` on.
    fn join(&mut self, data_after: Instant) {
        self.phase = Phase::Done;
        let early = self.lines.take_rest();
        self.output(Output::Join { early, data_after });
    }
}

/// The line that names the peer of an accepted or forwarded stream.
pub(super) fn peer_line(
    version: Version,
    destination: eepkit_wire::Destination,
    (from_port, to_port): (u16, u16),
) -> String {
    let ports = version.has_ports();
    PeerLine {
        destination,
        from_port: ports.then_some(from_port),
        to_port: ports.then_some(to_port),
    }
    .to_line()
}

impl ForwardStreams {
    /// The line that the bridge sends before the data of a forwarded stream; empty if `silent` is
    /// set.
    pub fn preamble(&self, peer: &Peer) -> String {
        if self.silent {
            return String::new();
        }
        peer_line(
            self.version,
            peer.destination.clone(),
            (peer.from_port, peer.to_port),
        )
    }
}
