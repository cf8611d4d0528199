//! Errors of streams and endpoints.

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides closed the stream, and all data arrived.
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
    /// A packet was not acknowledged after the largest number of retransmissions.
    #[error("a packet was not acknowledged after all its retransmissions")]
    ResendLimit,
    /// Nothing was received for the inactivity timeout.
    #[error("nothing was heard from the peer for too long")]
    Inactive,
    /// The incoming stream was not accepted in time.
    #[error("nobody accepted the stream")]
    NotAccepted,
    /// The handle was dropped, and the stream did not finish within the linger time.
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
    /// The stream does not exist, or does not exist any more.
    #[error("no such stream")]
    Unknown,
    /// The stream has ended.
    #[error("{0}")]
    Closed(#[from] CloseReason),
    /// This side has shut writing down.
    #[error("writing to the stream was shut down")]
    WriteShutDown,
    /// The stream has used all sequence numbers. More data needs another stream.
    #[error("the stream has sent as many packets as a stream can")]
    Exhausted,
}

/// Why a stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The limit of open streams is reached.
    #[error("{limit} streams are open, the most that i2p.streaming.maxConcurrentStreams allows")]
    TooManyStreams {
        /// `i2p.streaming.maxConcurrentStreams`, or the fixed bound.
        limit: usize,
    },
    /// The limit of open streams with one peer is reached.
    #[error(
        "{limit} streams with the peer are open, the most that \
         i2p.streaming.maxConcurrentStreamsPerPeer allows"
    )]
    TooManyWithPeer {
        /// `i2p.streaming.maxConcurrentStreamsPerPeer`.
        limit: usize,
    },
    /// This library cannot verify signatures of the peer's type, so it cannot authenticate the
    /// peer.
    #[error("signatures of the peer's type {0} cannot be checked")]
    UnsupportedPeer(eepkit_wire::SignatureType),
    /// The endpoint was closed.
    #[error("the endpoint was closed")]
    EndpointClosed,
}

/// Why a port could not be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The port has a listener already.
    #[error("port {0} is taken")]
    PortTaken(u16),
    /// The limit of listeners is reached.
    #[error("more than {0} ports are listened on")]
    TooManyListeners(usize),
    /// The endpoint was closed.
    #[error("the endpoint was closed")]
    EndpointClosed,
}

/// Why an option was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamOptionError {
    /// The value cannot be parsed.
    #[error("{key}: `{value}` is not {expected}")]
    Invalid {
        /// The option.
        key: &'static str,
        /// The value, shortened to 64 characters.
        value: String,
        /// The expected form of the value.
        expected: &'static str,
    },
    /// The value lies outside the range of the option.
    #[error("{key}: {value} is outside {min}..={max}")]
    OutOfRange {
        /// The option.
        key: &'static str,
        /// The value.
        value: i64,
        /// The smallest allowed value.
        min: i64,
        /// The largest allowed value.
        max: i64,
    },
    /// Other implementations have the option, and this library refuses it.
    #[error("{key} is refused: {why}")]
    Refused {
        /// The option.
        key: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// There is no such streaming option.
    #[error("no such streaming option: {0}")]
    Unknown(String),
}
