//! What clients of each protocol are told of each kind of error. There is no second such table.

use eepkit::{Error, ErrorKind};
use eepkit_sam::{Failure, ResultCode};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attempt {
    /// To open a session.
    Open,
    /// To open a stream to a peer.
    Connect,
    /// To wait for a stream.
    Accept,
    /// To look a name up.
    LookUp,
    /// To look up what the lease set of a destination says.
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
        // A name is known or not; what kept the router from saying so is in the message.
        (LookUp | LookUpOptions, _) => ResultCode::KeyNotFound,
        _ => ResultCode::I2pError,
    }
}

/// The SAM answer to an error, with its text and those of its causes.
pub fn sam_failure(attempt: Attempt, error: impl Into<Error>) -> Failure {
    let error = error.into();
    let kind = error.kind();
    let result = sam_result(attempt, kind);
    if kind == ErrorKind::IncompatibleEncryption {
        // The words that clients know from Java I2P.
        return Failure::new(result, "Unsupported encryption options");
    }
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let text = error.to_string();
        // Errors that only pass on what they hold say the same.
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
    fn a_peer_that_cannot_be_reached_is_the_peers_fault() {
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
    fn an_answer_tells_what_went_wrong_once() {
        let failure = sam_failure(
            Attempt::Connect,
            ConnectError::Timeout(Duration::from_secs(60)),
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
    fn encryption_that_does_not_fit_is_told_in_words_that_clients_know() {
        let failure = sam_failure(Attempt::Connect, ConnectError::IncompatibleEncryption);
        assert_eq!(
            failure.to_string(),
            "CANT_REACH_PEER: Unsupported encryption options"
        );
    }
}
