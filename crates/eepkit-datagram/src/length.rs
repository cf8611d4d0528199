//! Limits of the length of packets.

use bytes::Bytes;
use eepkit_wire::DecodeError;

/// Longest packet that is written, in bytes: payload and all that the format adds.
///
/// Chosen below the longest message between routers (62,708 bytes in Java I2P and i2pd) by what
/// encryption and a lease set on the way add. i2pd takes no more than 32,768 bytes.
pub const MAX_PACKET_LEN: usize = 60 * 1024;

/// Longest packet that is read, in bytes. Chosen as the most that a message of I2CP can hold; the
/// compression between destinations lets a little more through than [`MAX_PACKET_LEN`].
pub const MAX_RECEIVED_LEN: usize = 64 * 1024;

/// Up to how many bytes packets arrive well: datagram specification, "Datagram Size".
///
/// A message travels in pieces of about a kilobyte, and is lost with any one of them.
pub const RECOMMENDED_PACKET_LEN: usize = 10 * 1024;

/// Refuses packets that are longer than any message.
pub(crate) fn check_length(packet: &Bytes) -> Result<(), DecodeError> {
    if packet.len() > MAX_RECEIVED_LEN {
        return Err(DecodeError::TooLong {
            what: "datagram",
            length: packet.len(),
            limit: MAX_RECEIVED_LEN,
        });
    }
    Ok(())
}
