//! Errors of making and opening packets.

use eepkit_wire::{DecodeError, SignatureError};

use crate::{dialect::Dialect, format::Format};

/// The reason why a packet cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The payload and the options are too long.
    #[error("a {format} datagram of {len} bytes is too long, the limit is {limit}")]
    TooLong {
        /// The format.
        format: Format,
        /// The length of payload and options, in bytes.
        len: usize,
        /// The largest length of payload and options for this format and sender, in bytes.
        limit: usize,
    },
    /// The format has no field for the offline signature of the sender.
    #[error("{0} does not support offline keys, use Datagram2")]
    OfflineKeys(Format),
    /// The format has no field for options.
    #[error("{0} does not support options, use Datagram2 or 3")]
    Options(Format),
}

/// The reason why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// The packet does not have this format.
    #[error("not a datagram of this format: {0}")]
    Decode(#[from] DecodeError),
    /// The packet is not signed by the claimed sender, or not for this receiver.
    #[error("not signed by the claimed sender, or not for this receiver: {0}")]
    Signature(#[from] SignatureError),
    /// The packet deviates from the specification, but is valid in this dialect, which is not
    /// accepted; see [`Dialects`].
    ///
    /// [`Dialects`]: crate::Dialects
    #[error("valid only in the dialect of {0}, which is not accepted")]
    Dialect(Dialect),
}
