//! The check that a payload fits into a packet.

use eepkit_wire::PrivateKeys;

use crate::{error::SealError, format::Format};

/// Refuses a payload that makes the packet too long. `len` counts the payload and the options.
pub(crate) fn check_room(format: Format, keys: &PrivateKeys, len: usize) -> Result<(), SealError> {
    let limit = format.max_payload_len(keys);
    if len > limit {
        return Err(SealError::TooLong { format, len, limit });
    }
    Ok(())
}
