//! Why a packet cannot be made or is not taken.

use eepkit_wire::{DecodeError, SignatureError};

use crate::{dialect::Dialect, format::Format};

/// Why a packet cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The payload, and the options, do not fit.
    #[error("a {format} datagram of {len} bytes is too long, the limit is {limit}")]
    TooLong {
        /// The format.
        format: Format,
        /// Bytes of the payload, and of the options where there are any.
        len: usize,
        /// Bytes that there is room for.
        limit: usize,
    },
    /// The format has no place for the offline signature of the sender.
    #[error("{0} has no place for offline keys, use Datagram2")]
    OfflineKeys(Format),
    /// The format has no place for options.
    #[error("{0} has no place for options, use Datagram2 or 3")]
    Options(Format),
}

/// Why a packet is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// It is not of this format.
    #[error("not a datagram of this format: {0}")]
    Decode(#[from] DecodeError),
    /// It is not by the sender that it names, or not for this receiver.
    #[error("the sender is not who it says, or means somebody else: {0}")]
    Signature(#[from] SignatureError),
    /// It is not as specified, but right as this software does it; see [`Dialects`].
    ///
    /// [`Dialects`]: crate::Dialects
    #[error("it is signed as {0} does it, not as specified")]
    Dialect(Dialect),
}
