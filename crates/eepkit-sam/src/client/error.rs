//! What can go wrong.

use crate::result::Failure;

/// Why a request was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bridge said no.
    #[error("the bridge refused: {0}")]
    Refused(Failure),
    /// The bridge did not answer in time. The connection is of no use any more: the answer may
    /// still come.
    #[error("the bridge did not answer in time")]
    Timeout,
    /// The bridge answered something else.
    #[error("the bridge answered with something else: {0}")]
    Malformed(&'static str),
    /// The bridge speaks too old a version for it.
    #[error("{what} needs SAM {since}, and the bridge speaks {spoken}")]
    TooOld {
        /// What was asked for.
        what: &'static str,
        /// The version that has it.
        since: crate::version::Version,
        /// The version of this connection.
        spoken: crate::version::Version,
    },
    /// It cannot be written as a line that the bridge would read.
    #[error("{0}")]
    Invalid(&'static str),
    /// As many requests wait already as can.
    #[error("too many requests wait for an answer")]
    Busy,
    /// The connection is over, or has become a stream.
    #[error("the connection to the bridge is over")]
    Over,
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The bridge closed it.
    #[error("the bridge closed the connection")]
    ByBridge,
    /// The bridge speaks none of the versions that were offered.
    #[error("the bridge speaks no version of SAM that is known here")]
    NoVersion,
    /// The bridge did not like HELLO, or ended the session, and said why.
    #[error("the bridge closed the connection: {0}")]
    Refused(Failure),
    /// What the bridge sent is not SAM.
    #[error("this is not SAM: {0}")]
    NotSam(&'static str),
    /// The bridge did not answer HELLO or a request in time.
    #[error("the bridge does not answer")]
    Timeout,
    /// This side ended it with [`Request::Quit`](super::Request::Quit).
    #[error("the connection was closed")]
    Quit,
}
