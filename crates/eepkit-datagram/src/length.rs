//! Limits for the length of packets.

use bytes::Bytes;
use eepkit_wire::DecodeError;

/// The longest packet that is sent, in bytes. It includes the payload and all fields of the format.
///
/// Chosen so that a packet, with encryption and a bundled lease set, is not longer than the longest
/// message between routers (62,708 bytes in Java I2P and i2pd). i2pd accepts at most 32,768 bytes.
pub const MAX_PACKET_LEN: usize = 60 * 1024;

/// The longest packet that is accepted, in bytes. Chosen as the largest message of I2CP. Compressed
/// messages can contain packets that are longer than [`MAX_PACKET_LEN`].
pub const MAX_RECEIVED_LEN: usize = 64 * 1024;

/// The recommended upper limit for packets, in bytes: datagram specification, "Datagram Size".
///
/// A message is sent in fragments of about one kilobyte. It is lost if any fragment is lost, so
/// longer packets are lost more often.
pub const RECOMMENDED_PACKET_LEN: usize = 10 * 1024;

/// Refuses packets that are longer than [`MAX_RECEIVED_LEN`].
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
