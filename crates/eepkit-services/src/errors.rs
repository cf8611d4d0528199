//! The one table from kinds of errors to the results of each protocol.
//!
//! [`Report::of`] has a row for each [`ErrorKind`]. The exit codes of the program `eepkit`, the SAM
//! bridge and the proxies take their results from it. `docs/errors.md` is generated from it.

use std::fmt::Write as _;

use eepkit::{Error, ErrorKind};
use eepkit_sam::{Failure, ResultCode};
use eepkit_socks::Reply;

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attempt {
    /// Opening a session.
    Open,
    /// Opening a stream to a peer.
    Connect,
    /// Accepting a stream.
    Accept,
    /// Looking up a name.
    LookUp,
    /// Looking up the options in the lease set of a destination.
    LookUpOptions,
}

/// How each protocol reports one kind of error: a row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    exit: u8,
    open: ResultCode,
    connect: ResultCode,
    look_up: ResultCode,
    look_up_options: ResultCode,
    socks: Reply,
    http: u16,
}

impl Report {
    /// The row of a kind.
    pub fn of(kind: ErrorKind) -> Self {
        Self::row(kind).unwrap_or(Self::new(1, ResultCode::I2pError, Reply::Failure, 500))
    }

    /// Results of HTTP are those that RFC 9209, section 2.3, recommends for the corresponding error
    /// of a proxy, so the status alone distinguishes the request (400), this computer (500), the
    /// router or the peer being offline (503), the peer (502) and time limits (504).
    fn row(kind: ErrorKind) -> Option<Self> {
        use Reply as Socks;
        use ResultCode::{
            CantReachPeer, DuplicatedDest, I2pError, InvalidKey, LeaseSetNotFound, Timeout,
        };
        Some(match kind {
            ErrorKind::AddressInUse => {
                Self::new(1, I2pError, Socks::Failure, 500).open(DuplicatedDest)
            }
            ErrorKind::BadInput => {
                Self::new(2, InvalidKey, Socks::HostUnreachable, 400).look_up(InvalidKey)
            }
            ErrorKind::Closed => Self::new(1, I2pError, Socks::Failure, 503),
            ErrorKind::Denied => Self::new(3, I2pError, Socks::NotAllowed, 500),
            ErrorKind::IncompatibleEncryption => {
                Self::new(5, CantReachPeer, Socks::HostUnreachable, 502)
            }
            ErrorKind::Io => Self::new(7, I2pError, Socks::Failure, 500),
            ErrorKind::LeaseSetNotFound => Self::new(4, CantReachPeer, Socks::HostUnreachable, 503)
                .look_up_options(LeaseSetNotFound),
            ErrorKind::Limit => Self::new(1, I2pError, Socks::Failure, 503),
            ErrorKind::Locked => Self::new(4, CantReachPeer, Socks::NotAllowed, 403),
            ErrorKind::NameNotFound => Self::new(4, InvalidKey, Socks::HostUnreachable, 502),
            ErrorKind::NetworkUnreachable
            | ErrorKind::NoTunnels
            | ErrorKind::RouterRefused
            | ErrorKind::RouterUnreachable
            | ErrorKind::SessionLost => Self::new(3, I2pError, Socks::NetworkUnreachable, 503),
            ErrorKind::PeerUnreachable => Self::new(5, CantReachPeer, Socks::TimedOut, 504),
            ErrorKind::Protocol => Self::new(1, I2pError, Socks::Failure, 502),
            ErrorKind::Refused | ErrorKind::Reset => {
                Self::new(5, CantReachPeer, Socks::Refused, 502)
            }
            ErrorKind::Timeout => Self::new(6, Timeout, Socks::TimedOut, 504),
            ErrorKind::Unsupported => Self::new(1, I2pError, Socks::AddressNotSupported, 501),
            _ => return None,
        })
    }

    const fn new(exit: u8, connect: ResultCode, socks: Reply, http: u16) -> Self {
        Self {
            exit,
            open: ResultCode::I2pError,
            connect,
            // SAM has one result for a failed look-up. The message states the reason.
            look_up: ResultCode::KeyNotFound,
            look_up_options: ResultCode::KeyNotFound,
            socks,
            http,
        }
    }

    fn open(mut self, result: ResultCode) -> Self {
        self.open = result;
        self
    }

    fn look_up(mut self, result: ResultCode) -> Self {
        self.look_up = result;
        self
    }

    fn look_up_options(mut self, result: ResultCode) -> Self {
        self.look_up_options = result;
        self
    }

    /// The exit code of a command.
    pub const fn exit_code(&self) -> u8 {
        self.exit
    }

    /// The RESULT of SAM.
    pub fn sam(&self, attempt: Attempt) -> ResultCode {
        match attempt {
            Attempt::Open => self.open.clone(),
            Attempt::Connect => self.connect.clone(),
            Attempt::Accept => ResultCode::I2pError,
            Attempt::LookUp => self.look_up.clone(),
            Attempt::LookUpOptions => self.look_up_options.clone(),
        }
    }

    /// The reply of SOCKS.
    pub const fn socks(&self) -> &Reply {
        &self.socks
    }

    /// The status of HTTP. The field [`HTTP_FIELD`] has the name of the kind.
    pub const fn http_status(&self) -> u16 {
        self.http
    }
}

/// The field of HTTP answers whose value is the name of the error: [`ErrorKind::as_str`] or
/// [`Denial::as_str`].
pub const HTTP_FIELD: &str = "X-Eepkit-Error";

/// Why a proxy does not forward a request, before anything is asked of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denial {
    /// The host is on the public Internet, and there is no outproxy.
    NotI2p,
    /// The host is this computer or its local network.
    Local,
}

impl Denial {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Local, Self::NotI2p];

    /// The name of the reason, in the style of [`ErrorKind::as_str`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotI2p => "not_i2p",
            Self::Local => "local_address",
        }
    }

    /// The reply of SOCKS.
    pub const fn socks(self) -> Reply {
        Reply::NotAllowed
    }

    /// The status of HTTP.
    pub const fn http_status(self) -> u16 {
        403
    }
}

/// The table of `docs/errors.md`.
pub fn markdown() -> String {
    let mut table = String::from(
        "| kind | exit | SAM: session | SAM: stream | SAM: look-up | SOCKS 5 | SOCKS 4 | HTTP | what to do |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let row = Report::of(*kind);
        let hint = kind.hint().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| `{kind}` | {} | `{}` | `{}` | `{}` | {} | {} | {} | {hint} |",
            row.exit_code(),
            row.sam(Attempt::Open),
            row.sam(Attempt::Connect),
            row.sam(Attempt::LookUp),
            row.socks().code(),
            row.socks().code_4(),
            row.http_status(),
        );
    }
    for denial in Denial::ALL {
        let (name, socks) = (denial.as_str(), denial.socks());
        let _ = writeln!(
            table,
            "| `{name}` | | | | | {} | {} | {} | |",
            socks.code(),
            socks.code_4(),
            denial.http_status(),
        );
    }
    table
}

/// The SOCKS reply for an error of a connection.
pub fn socks_reply(kind: ErrorKind) -> Reply {
    Report::of(kind).socks
}

/// The SAM answer to an error. Its message has the text of the error and of its causes.
pub fn sam_failure(attempt: Attempt, error: impl Into<Error>) -> Failure {
    let error = error.into();
    let kind = error.kind();
    let result = Report::of(kind).sam(attempt);
    if kind == ErrorKind::IncompatibleEncryption {
        // Clients expect this message of Java I2P.
        return Failure::new(result, "Unsupported encryption options");
    }
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat the text of their cause.
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    Failure::new(result, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use eepkit::{ConnectError, LookupError, OpenError};

    use super::*;

    #[test]
    fn every_kind_has_a_row() {
        for kind in ErrorKind::ALL {
            assert!(Report::row(*kind).is_some(), "{kind}");
        }
    }

    #[test]
    fn errors_of_the_peer_and_local_errors_have_different_results() {
        for kind in [
            ErrorKind::LeaseSetNotFound,
            ErrorKind::Refused,
            ErrorKind::PeerUnreachable,
            ErrorKind::IncompatibleEncryption,
        ] {
            assert_eq!(
                Report::of(kind).sam(Attempt::Connect),
                ResultCode::CantReachPeer,
                "{kind}"
            );
        }
        for kind in [
            ErrorKind::NoTunnels,
            ErrorKind::SessionLost,
            ErrorKind::RouterUnreachable,
            ErrorKind::Closed,
            ErrorKind::Limit,
        ] {
            assert_eq!(
                Report::of(kind).sam(Attempt::Connect),
                ResultCode::I2pError,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_message_states_each_cause_once() {
        let failure = sam_failure(
            Attempt::Connect,
            ConnectError::Timeout(Duration::from_secs(60).into()),
        );
        assert_eq!(failure.result, ResultCode::Timeout);
        assert_eq!(failure.message, "the destination did not answer within 60s");
        let failure = sam_failure(
            Attempt::LookUp,
            LookupError::NameNotFound("nobody.i2p".to_owned()),
        );
        assert_eq!(failure.result, ResultCode::KeyNotFound);
        let failure = sam_failure(Attempt::Open, OpenError::NoTunnels(Duration::from_secs(1)));
        assert_eq!(failure.result, ResultCode::I2pError);
    }

    #[test]
    fn incompatible_encryption_has_the_message_of_java_i2p() {
        let failure = sam_failure(Attempt::Connect, ConnectError::IncompatibleEncryption);
        assert_eq!(
            failure.to_string(),
            "CANT_REACH_PEER: Unsupported encryption options"
        );
    }
}
