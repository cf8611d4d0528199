//! RESULT values, and failures of requests.

use std::{borrow::Cow, fmt};

/// A value of RESULT.
///
/// Both sides must accept values that they do not know. These are [`ResultCode::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResultCode {
    /// The request succeeded.
    Ok,
    /// Another socket already accepts or forwards, and the version allows only one.
    AlreadyAccepting,
    /// The peer exists but cannot be reached.
    CantReachPeer,
    /// The destination is already in use.
    DuplicatedDest,
    /// The session ID is already in use.
    DuplicatedId,
    /// Any other failure; MESSAGE describes it.
    I2pError,
    /// There is no session with this ID.
    InvalidId,
    /// A key, destination or name is malformed.
    InvalidKey,
    /// The name is unknown.
    KeyNotFound,
    /// The destination of a look-up with OPTIONS has no lease set.
    LeaseSetNotFound,
    /// The two sides have no protocol version in common.
    NoVersion,
    /// The peer cannot be found on the network.
    PeerNotFound,
    /// The request timed out.
    Timeout,
    /// A value that is not in the specification.
    Other(Box<str>),
}

impl ResultCode {
    /// All values of the specification.
    pub const KNOWN: [Self; 13] = [
        Self::Ok,
        Self::AlreadyAccepting,
        Self::CantReachPeer,
        Self::DuplicatedDest,
        Self::DuplicatedId,
        Self::I2pError,
        Self::InvalidId,
        Self::InvalidKey,
        Self::KeyNotFound,
        Self::LeaseSetNotFound,
        Self::NoVersion,
        Self::PeerNotFound,
        Self::Timeout,
    ];

    /// The value as it appears on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ok => "OK",
            Self::AlreadyAccepting => "ALREADY_ACCEPTING",
            Self::CantReachPeer => "CANT_REACH_PEER",
            Self::DuplicatedDest => "DUPLICATED_DEST",
            Self::DuplicatedId => "DUPLICATED_ID",
            Self::I2pError => "I2P_ERROR",
            Self::InvalidId => "INVALID_ID",
            Self::InvalidKey => "INVALID_KEY",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::LeaseSetNotFound => "LEASESET_NOT_FOUND",
            Self::NoVersion => "NOVERSION",
            Self::PeerNotFound => "PEER_NOT_FOUND",
            Self::Timeout => "TIMEOUT",
            Self::Other(text) => text,
        }
    }

    /// Parses a value. Variants of particular bridges are mapped to the values of the
    /// specification: emissary writes `DUPLICATE_ID` and `DUPLICATE_DEST`.
    pub fn parse(text: &str) -> Self {
        match text {
            "DUPLICATE_ID" => return Self::DuplicatedId,
            "DUPLICATE_DEST" => return Self::DuplicatedDest,
            _ => {}
        }
        Self::KNOWN
            .into_iter()
            .find(|code| code.as_str() == text)
            .unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason why a request failed: the values of RESULT and MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The value of RESULT.
    pub result: ResultCode,
    /// The text of MESSAGE. Some answers omit it because clients compare the whole line.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// Creates a failure with a specific RESULT.
    pub fn new(result: ResultCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            result,
            message: message.into(),
        }
    }

    /// Creates a failure with RESULT=I2P_ERROR.
    pub fn error(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ResultCode::I2pError, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.result, self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip_and_unknown_values_are_kept() {
        for code in ResultCode::KNOWN {
            assert_eq!(ResultCode::parse(code.as_str()), code);
        }
        assert_eq!(
            ResultCode::parse("CONNECTION_REFUSED").as_str(),
            "CONNECTION_REFUSED"
        );
    }

    #[test]
    fn values_of_emissary_are_mapped_to_those_of_the_specification() {
        assert_eq!(ResultCode::parse("DUPLICATE_ID"), ResultCode::DuplicatedId);
        assert_eq!(
            ResultCode::parse("DUPLICATE_DEST"),
            ResultCode::DuplicatedDest
        );
    }
}
