//! The reader that splits received bytes into frames.

use bytes::{Buf, BytesMut};

use crate::{
    frame::{Frame, FrameError, HEADER_LEN, MAX_RECEIVED_BODY_LEN, PROTOCOL_BYTE},
    quirks,
};

/// Splits received bytes into frames.
///
/// The caller owns the buffer into which it receives, and passes it to
/// [`FrameReader::next_frame`] until no complete frame is left in it. Bodies share the memory of
/// the buffer; nothing is copied.
#[derive(Debug, Default)]
pub struct FrameReader {
    expects_protocol_byte: bool,
    max_body_len: Option<usize>,
}

impl FrameReader {
    /// Creates the reader of a client, which expects frames from the first byte on.
    pub fn for_client() -> Self {
        Self::default()
    }

    /// Creates the reader of a router, which expects [`PROTOCOL_BYTE`] before the first frame.
    pub fn for_router() -> Self {
        Self {
            expects_protocol_byte: true,
            ..Self::default()
        }
    }

    /// Sets the limit for the length of bodies, in bytes. The default is
    /// [`MAX_RECEIVED_BODY_LEN`].
    pub fn with_max_body_len(mut self, limit: usize) -> Self {
        self.max_body_len = Some(limit);
        self
    }

    /// Removes the next frame from the start of `received` and returns it. Returns `None` if the
    /// frame is incomplete, and leaves its bytes in `received`.
    ///
    /// # Errors
    ///
    /// If the bytes are not I2CP. The caller has to close the connection, because the start of the
    /// next frame cannot be determined.
    pub fn next_frame(&mut self, received: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if self.expects_protocol_byte {
            let Some(&first) = received.first() else {
                return Ok(None);
            };
            if first != PROTOCOL_BYTE {
                return Err(FrameError::NotI2cp(first));
            }
            received.advance(1);
            self.expects_protocol_byte = false;
        }
        let Some(header) = received.first_chunk::<HEADER_LEN>() else {
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
        let body = &received[HEADER_LEN..];
        let Some(length) = quirks::body_len(kind, announced, body) else {
            return Ok(None);
        };
        if body.len() < length {
            return Ok(None);
        }
        let mut frame = received.split_to(HEADER_LEN + length).freeze();
        frame.advance(HEADER_LEN);
        Ok(Some(Frame { kind, body: frame }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISCONNECT: &[u8] = &[0, 0, 0, 4, 30, 3, b'b', b'y', b'e'];

    fn first_frame(mut reader: FrameReader, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        reader.next_frame(&mut BytesMut::from(bytes))
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_split() {
        let mut stream = Vec::new();
        stream.extend_from_slice(DISCONNECT);
        stream.extend_from_slice(&[0, 0, 0, 0, 8]);
        stream.extend_from_slice(DISCONNECT);
        for chunk in 1..stream.len() {
            let mut reader = FrameReader::for_client();
            let mut received = BytesMut::new();
            let mut kinds = Vec::new();
            for part in stream.chunks(chunk) {
                received.extend_from_slice(part);
                while let Some(frame) = reader.next_frame(&mut received).expect("valid") {
                    kinds.push((frame.kind, frame.body.len()));
                }
            }
            assert_eq!(kinds, [(30, 4), (8, 0), (30, 4)]);
            assert!(received.is_empty());
        }
    }

    #[test]
    fn a_body_is_a_slice_of_the_received_bytes() {
        let mut received = BytesMut::from(DISCONNECT);
        let memory = received[HEADER_LEN..].as_ptr();
        let frame = FrameReader::for_client().next_frame(&mut received);
        let frame = frame.expect("valid").expect("complete");
        assert_eq!(frame.body.as_ptr(), memory);
    }

    #[test]
    fn an_incomplete_frame_is_not_an_error_and_remains_in_the_buffer() {
        for end in 0..DISCONNECT.len() {
            let mut received = BytesMut::from(&DISCONNECT[..end]);
            let frame = FrameReader::for_client().next_frame(&mut received);
            assert_eq!(frame, Ok(None));
            assert_eq!(received, DISCONNECT[..end]);
        }
    }

    #[test]
    fn an_oversize_frame_is_refused_before_its_body_arrives() {
        assert_eq!(
            first_frame(FrameReader::for_client(), &[0, 1, 0, 1, 31]),
            Err(FrameError::TooLong {
                length: 65_537,
                limit: 65_536
            })
        );
    }

    #[test]
    fn a_router_requires_the_protocol_byte_first() {
        assert_eq!(first_frame(FrameReader::for_router(), &[]), Ok(None));
        let greeting = [&[PROTOCOL_BYTE], DISCONNECT].concat();
        let frame = first_frame(FrameReader::for_router(), &greeting);
        assert!(frame.expect("valid").is_some());
        assert_eq!(
            first_frame(FrameReader::for_router(), b"GET / HTTP/1.1"),
            Err(FrameError::NotI2cp(b'G'))
        );
    }
}
