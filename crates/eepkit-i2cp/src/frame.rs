//! Framing: where one I2CP message ends and the next begins.
//!
//! A connection starts with one byte, [`PROTOCOL_BYTE`], from the client. From then on each side
//! sends frames: the length of the body (4 bytes), the message type (1 byte), the body.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::quirks;

/// The first byte of a connection, sent once by the client.
///
/// Source: I2CP overview, "I2CP Initialization".
pub const PROTOCOL_BYTE: u8 = 0x2a;

/// Length of the body and message type, in front of each body.
pub const HEADER_LEN: usize = 5;

/// The longest body that is sent.
///
/// i2pd counts the header into its limit of 65,535 bytes and drops what is longer without a word;
/// emissary's read buffer has 65,535 bytes and a longer body makes it panic.
pub const MAX_BODY_LEN: usize = u16::MAX as usize - HEADER_LEN;

/// The longest body that is taken. Java I2P allows itself 64 KiB.
pub const MAX_RECEIVED_BODY_LEN: usize = 64 * 1024;

/// A frame as it came, its body not yet looked into.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message type; see [`MessageType`](crate::MessageType).
    pub kind: u8,
    /// The body.
    pub body: Bytes,
}

/// Bodies carry keys and passwords, so they are not shown.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("len", &self.body.len())
            .finish()
    }
}

/// The other side does not speak I2CP, or lost step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame announces more than anyone sends.
    #[error("a frame of {length} bytes was announced, the limit is {limit}")]
    TooLong {
        /// What was announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The client's first byte was another.
    #[error("the first byte was {0:#04x} instead of 0x2a")]
    NotI2cp(u8),
}

/// Cuts received bytes into frames.
///
/// "More bytes are needed" is `Ok(None)`; an error is final, because the next frame cannot be
/// found. The reader holds at most one incomplete frame beyond what [`FrameReader::push`] is given
/// at a time.
#[derive(Default)]
pub struct FrameReader {
    buffer: BytesMut,
    expects_protocol_byte: bool,
    max_body_len: Option<usize>,
}

impl FrameReader {
    /// The reader of a client: frames from the first byte on.
    pub fn for_client() -> Self {
        Self::default()
    }

    /// The reader of a router: the client's first byte is [`PROTOCOL_BYTE`].
    pub fn for_router() -> Self {
        Self {
            expects_protocol_byte: true,
            ..Self::default()
        }
    }

    /// Sets another limit for bodies than [`MAX_RECEIVED_BODY_LEN`].
    pub fn with_max_body_len(mut self, limit: usize) -> Self {
        self.max_body_len = Some(limit);
        self
    }

    /// Takes received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be I2CP; the connection has to be closed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.expects_protocol_byte {
            let Some(&first) = self.buffer.first() else {
                return Ok(None);
            };
            if first != PROTOCOL_BYTE {
                return Err(FrameError::NotI2cp(first));
            }
            self.buffer.advance(1);
            self.expects_protocol_byte = false;
        }
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *header;
        let announced = u32::from_be_bytes([a, b, c, d]) as usize;
        let limit = self.max_body_len.unwrap_or(MAX_RECEIVED_BODY_LEN);
        if announced > limit {
            return Err(FrameError::TooLong {
                length: announced,
                limit,
            });
        }
        let received = &self.buffer[HEADER_LEN..];
        let Some(length) = quirks::body_len(kind, announced, received) else {
            return Ok(None);
        };
        if received.len() < length {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(HEADER_LEN + length).freeze();
        frame.advance(HEADER_LEN);
        Ok(Some(Frame { kind, body: frame }))
    }

    /// Bytes of the frame that is not complete yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISCONNECT: &[u8] = &[0, 0, 0, 4, 30, 3, b'b', b'y', b'e'];

    #[test]
    fn cuts_frames_wherever_the_bytes_are_split() {
        let mut stream = Vec::new();
        stream.extend_from_slice(DISCONNECT);
        stream.extend_from_slice(&[0, 0, 0, 0, 8]);
        stream.extend_from_slice(DISCONNECT);
        for chunk in 1..stream.len() {
            let mut reader = FrameReader::for_client();
            let mut kinds = Vec::new();
            for part in stream.chunks(chunk) {
                reader.push(part);
                while let Some(frame) = reader.next_frame().expect("valid") {
                    kinds.push((frame.kind, frame.body.len()));
                }
            }
            assert_eq!(kinds, [(30, 4), (8, 0), (30, 4)]);
            assert_eq!(reader.buffered(), 0);
        }
    }

    #[test]
    fn an_incomplete_frame_is_not_an_error() {
        for end in 0..DISCONNECT.len() {
            let mut reader = FrameReader::for_client();
            reader.push(&DISCONNECT[..end]);
            assert_eq!(reader.next_frame(), Ok(None));
        }
    }

    #[test]
    fn an_oversize_frame_is_refused_before_its_body_arrives() {
        let mut reader = FrameReader::for_client();
        reader.push(&[0, 1, 0, 1, 31]);
        assert_eq!(
            reader.next_frame(),
            Err(FrameError::TooLong {
                length: 65_537,
                limit: 65_536
            })
        );
    }

    #[test]
    fn a_router_wants_the_protocol_byte_first() {
        let mut reader = FrameReader::for_router();
        assert_eq!(reader.next_frame(), Ok(None));
        reader.push(&[PROTOCOL_BYTE]);
        reader.push(DISCONNECT);
        assert!(reader.next_frame().expect("valid").is_some());

        let mut reader = FrameReader::for_router();
        reader.push(b"GET / HTTP/1.1");
        assert_eq!(reader.next_frame(), Err(FrameError::NotI2cp(b'G')));
    }
}
