//! What can go wrong, from the caller's side.

/// Why a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides closed and everything arrived.
    #[error("the stream was closed by both sides")]
    Finished,
    /// The peer refused the stream.
    #[error("the peer refused the stream")]
    Refused,
    /// The peer reset the stream.
    #[error("the peer reset the stream")]
    Reset,
    /// This side reset the stream.
    #[error("the stream was reset here")]
    LocalReset,
    /// The peer did not answer the attempt to connect.
    #[error("the peer did not answer within the connect timeout")]
    ConnectTimeout,
    /// A packet was sent again as often as allowed and never acknowledged.
    #[error("a packet was not acknowledged after all its retransmissions")]
    ResendLimit,
    /// Nothing was heard for the inactivity timeout.
    #[error("nothing was heard from the peer for too long")]
    Inactive,
    /// Nobody accepted the incoming stream in time.
    #[error("nobody accepted the stream")]
    NotAccepted,
    /// The handle was dropped and the rest did not finish in time.
    #[error("the peer did not finish after the stream was dropped here")]
    LingerTimeout,
    /// The endpoint was closed.
    #[error("the endpoint was closed")]
    EndpointClosed,
}

/// Why an operation on a stream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// There is no such stream, or not any more.
    #[error("no such stream")]
    Unknown,
    /// The stream is over.
    #[error("{0}")]
    Closed(#[from] CloseReason),
    /// This side has shut writing down.
    #[error("writing to the stream was shut down")]
    WriteShutDown,
    /// The stream has used all its sequence numbers; open another one.
    #[error("the stream has sent as many packets as a stream can")]
    Exhausted,
}

/// Why a stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// As many streams are open as the configuration allows.
    #[error("as many streams are open as the limit of {limit} allows")]
    TooManyStreams {
        /// `i2p.streaming.maxConcurrentStreams`, or the fixed bound.
        limit: usize,
    },
    /// The peer's signatures cannot be checked here, so that nothing it says can be trusted.
    #[error("signatures of the peer's type {0} cannot be checked")]
    UnsupportedPeer(eepkit_wire::SignatureType),
    /// The endpoint was closed.
    #[error("the endpoint was closed")]
    EndpointClosed,
}

/// Why listening could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Somebody listens on this port already.
    #[error("port {0} is taken")]
    PortTaken(u16),
    /// As many ports are listened on as is allowed.
    #[error("more than {0} ports are listened on")]
    TooManyListeners(usize),
    /// The endpoint was closed.
    #[error("the endpoint was closed")]
    EndpointClosed,
}

/// Why an option was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamOptionError {
    /// The value cannot be read as what the option wants.
    #[error("{key}: `{value}` is not {expected}")]
    Invalid {
        /// The option.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The value lies outside the range of the option.
    #[error("{key}: {value} is outside {min}..={max}")]
    OutOfRange {
        /// The option.
        key: &'static str,
        /// What was given.
        value: i64,
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// The option exists elsewhere and is refused here.
    #[error("{key} is refused: {why}")]
    Refused {
        /// The option.
        key: &'static str,
        /// Why.
        why: &'static str,
    },
    /// No such option of streaming.
    #[error("no such streaming option: {0}")]
    Unknown(String),
}
