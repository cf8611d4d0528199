//! Frames, which carry one I2CP message each.
//!
//! A connection starts with one byte, [`PROTOCOL_BYTE`], from the client. After it each side sends
//! frames: the length of the body (4 bytes), the message type (1 byte), the body.

use std::fmt;

use bytes::Bytes;

/// The first byte of a connection, sent once by the client.
///
/// Source: I2CP overview, "I2CP Initialization".
pub const PROTOCOL_BYTE: u8 = 0x2a;

/// The length of a frame's header: the length of the body and the message type.
pub const HEADER_LEN: usize = 5;

/// The longest body that is sent.
///
/// i2pd applies its limit of 65,535 bytes to header and body together, and drops longer frames
/// without an error. The read buffer of emissary has 65,535 bytes; a longer body makes it panic.
pub const MAX_BODY_LEN: usize = u16::MAX as usize - HEADER_LEN;

/// The longest body that is accepted. Chosen because Java I2P sends bodies of up to 64 KiB.
pub const MAX_RECEIVED_BODY_LEN: usize = 64 * 1024;

/// A received frame with an undecoded body.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message type; see [`MessageType`](crate::MessageType).
    pub kind: u8,
    /// The body.
    pub body: Bytes,
}

/// Prints the length of the body instead of the body, because bodies contain keys and passwords.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("len", &self.body.len())
            .finish()
    }
}

/// The received bytes are not a sequence of I2CP frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame announces a longer body than is accepted.
    #[error("a frame of {length} bytes was announced, the limit is {limit}")]
    TooLong {
        /// The announced length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The first byte from the client is not [`PROTOCOL_BYTE`].
    #[error("the first byte was {0:#04x} instead of 0x2a")]
    NotI2cp(u8),
}

/// Appends a frame to `out`. `write_body` appends the body.
///
/// # Errors
///
/// The length of the body if it exceeds [`MAX_BODY_LEN`]. `out` is then unchanged.
pub(crate) fn write_frame(
    kind: u8,
    out: &mut Vec<u8>,
    write_body: impl FnOnce(&mut Vec<u8>),
) -> Result<(), usize> {
    let start = out.len();
    // The length field has an invalid value until the body is complete.
    out.extend_from_slice(&[0xff; HEADER_LEN - 1]);
    out.push(kind);
    write_body(out);
    let length = out.len() - start - HEADER_LEN;
    match u32::try_from(length) {
        Ok(announced) if length <= MAX_BODY_LEN => {
            out[start..start + 4].copy_from_slice(&announced.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(length)
        }
    }
}
