//! Errors of a client.

use crate::result::Failure;

/// The reason why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bridge refused the request.
    #[error("the bridge refused: {0}")]
    Refused(Failure),
    /// The bridge did not answer in time. The connection is not usable any more, because the answer
    /// may still arrive.
    #[error("the bridge did not answer in time")]
    Timeout,
    /// The bridge sent an invalid answer.
    #[error("the answer of the bridge is invalid: {0}")]
    Malformed(&'static str),
    /// The request needs a newer version than the bridge supports.
    #[error("{what} needs SAM {since}, but the bridge uses SAM {spoken}")]
    TooOld {
        /// The requested feature.
        what: &'static str,
        /// The first version with the feature.
        since: crate::version::Version,
        /// The version of this connection.
        spoken: crate::version::Version,
    },
    /// The request cannot be written as a line that bridges can read.
    #[error("{0}")]
    Invalid(&'static str),
    /// The maximum number of requests is already waiting.
    #[error("too many requests are waiting for an answer")]
    Busy,
    /// The connection is closed or is a stream.
    #[error("the connection to the bridge is closed")]
    Over,
}

/// The reason why a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The bridge closed it.
    #[error("the bridge closed the connection")]
    ByBridge,
    /// The bridge supports none of the offered versions.
    #[error("the bridge supports none of the offered versions of SAM")]
    NoVersion,
    /// The bridge refused HELLO or ended the session, and sent the reason.
    #[error("the bridge closed the connection: {0}")]
    Refused(Failure),
    /// The bridge sent data that is not SAM.
    #[error("the bridge sent invalid data: {0}")]
    NotSam(&'static str),
    /// The bridge did not answer HELLO or a request in time.
    #[error("the bridge did not answer in time")]
    Timeout,
    /// This side closed it with [`Request::Quit`](super::Request::Quit).
    #[error("the connection was closed")]
    Quit,
}
