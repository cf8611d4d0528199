//! RESULT values, and what fails with which.

use std::{borrow::Cow, fmt};

/// A value of RESULT.
///
/// Both sides must bear values that they do not know, so there is [`ResultCode::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResultCode {
    /// Done.
    Ok,
    /// Somebody accepts or forwards already where only one can.
    AlreadyAccepting,
    /// The peer exists but cannot be reached.
    CantReachPeer,
    /// The destination is in use already.
    DuplicatedDest,
    /// The session ID is in use already.
    DuplicatedId,
    /// Anything else; MESSAGE says what.
    I2pError,
    /// There is no session with this ID.
    InvalidId,
    /// A key, destination or name has a wrong form.
    InvalidKey,
    /// The name is unknown.
    KeyNotFound,
    /// The destination of a look-up with OPTIONS has no lease set.
    LeaseSetNotFound,
    /// No version of the protocol that both sides speak.
    NoVersion,
    /// The peer cannot be found on the network.
    PeerNotFound,
    /// Nothing happened in time.
    Timeout,
    /// A value that is not in the specification.
    Other(Box<str>),
}

impl ResultCode {
    /// Every value of the specification.
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

    /// The word for it.
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

    /// The value with this word. Words of particular bridges are taken for those of the
    /// specification that they mean: emissary writes `DUPLICATE_ID` and `DUPLICATE_DEST`.
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

/// Why a request failed: the value for RESULT and the text for MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The value for RESULT.
    pub result: ResultCode,
    /// The text for MESSAGE. Answers whose clients compare the whole line go without it.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// A failure with a value of its own.
    pub fn new(result: ResultCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            result,
            message: message.into(),
        }
    }

    /// A failure without a value of its own.
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
    fn values_read_as_they_are_written_and_unknown_ones_are_kept() {
        for code in ResultCode::KNOWN {
            assert_eq!(ResultCode::parse(code.as_str()), code);
        }
        assert_eq!(
            ResultCode::parse("CONNECTION_REFUSED").as_str(),
            "CONNECTION_REFUSED"
        );
    }

    #[test]
    fn the_words_of_emissary_are_understood() {
        assert_eq!(ResultCode::parse("DUPLICATE_ID"), ResultCode::DuplicatedId);
        assert_eq!(
            ResultCode::parse("DUPLICATE_DEST"),
            ResultCode::DuplicatedDest
        );
    }
}
