//! The one table from kinds of errors to the results of each protocol.

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

/// The SAM result for an error.
pub fn sam_result(attempt: Attempt, kind: ErrorKind) -> ResultCode {
    use Attempt::{Connect, LookUp, LookUpOptions, Open};
    match (attempt, kind) {
        (Open, ErrorKind::AddressInUse) => ResultCode::DuplicatedDest,
        (Connect, ErrorKind::BadInput | ErrorKind::NameNotFound) => ResultCode::InvalidKey,
        (
            Connect,
            ErrorKind::LeaseSetNotFound
            | ErrorKind::IncompatibleEncryption
            | ErrorKind::Refused
            | ErrorKind::Reset
            | ErrorKind::PeerUnreachable,
        ) => ResultCode::CantReachPeer,
        (Connect, ErrorKind::Timeout) => ResultCode::Timeout,
        (LookUp, ErrorKind::BadInput) => ResultCode::InvalidKey,
        (LookUpOptions, ErrorKind::LeaseSetNotFound) => ResultCode::LeaseSetNotFound,
        // SAM has one result for a failed look-up. The message states the reason.
        (LookUp | LookUpOptions, _) => ResultCode::KeyNotFound,
        _ => ResultCode::I2pError,
    }
}

/// The SOCKS reply for an error of a connection.
pub fn socks_reply(kind: ErrorKind) -> Reply {
    match kind {
        ErrorKind::Refused | ErrorKind::Reset => Reply::Refused,
        ErrorKind::Timeout | ErrorKind::PeerUnreachable => Reply::TimedOut,
        ErrorKind::NameNotFound
        | ErrorKind::LeaseSetNotFound
        | ErrorKind::IncompatibleEncryption
        | ErrorKind::BadInput => Reply::HostUnreachable,
        ErrorKind::NetworkUnreachable
        | ErrorKind::NoTunnels
        | ErrorKind::RouterUnreachable
        | ErrorKind::RouterRefused
        | ErrorKind::SessionLost => Reply::NetworkUnreachable,
        ErrorKind::Denied => Reply::NotAllowed,
        ErrorKind::Unsupported => Reply::AddressNotSupported,
        _ => Reply::Failure,
    }
}

/// The SAM answer to an error. Its message has the text of the error and of its causes.
pub fn sam_failure(attempt: Attempt, error: impl Into<Error>) -> Failure {
    let error = error.into();
    let kind = error.kind();
    let result = sam_result(attempt, kind);
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
    fn errors_of_the_peer_and_local_errors_have_different_results() {
        for kind in [
            ErrorKind::LeaseSetNotFound,
            ErrorKind::Refused,
            ErrorKind::PeerUnreachable,
            ErrorKind::IncompatibleEncryption,
        ] {
            assert_eq!(
                sam_result(Attempt::Connect, kind),
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
                sam_result(Attempt::Connect, kind),
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
