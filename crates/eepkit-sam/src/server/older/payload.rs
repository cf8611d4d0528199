//! The data after a command.

use super::super::exchange::SessionKey;
use crate::result::Failure;

/// A command whose data is arriving.
pub(super) struct Payload {
    pub(super) size: usize,
    pub(super) to: Receiver,
}

/// The receiver of data.
pub(super) enum Receiver {
    /// The stream with this ID.
    Stream(i32),
    /// A destination, or the reason why the datagram cannot be sent.
    Datagram(Result<(SessionKey, String), Failure>, &'static str),
}
