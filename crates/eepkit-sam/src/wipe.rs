//! Memory that may contain private keys and passwords.
//!
//! A line of SAM may contain both. Buffers are overwritten with zeros before they are released, and
//! a buffer that grows leaves no copy behind.

use bytes::{Bytes, BytesMut};
use zeroize::Zeroize as _;

/// Overwrites bytes with zeros and releases them, if nobody shares them.
pub fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
}

/// Appends bytes to a buffer. If it must grow, the old memory is overwritten with zeros.
pub fn append(buffer: &mut BytesMut, bytes: &[u8]) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() && !buffer.try_reclaim(bytes.len()) {
        let mut larger = BytesMut::with_capacity(needed.max(2 * buffer.len()));
        larger.extend_from_slice(buffer);
        buffer.zeroize();
        *buffer = larger;
    }
    buffer.extend_from_slice(bytes);
}

/// Appends text to a string. If it must grow, the old memory is overwritten with zeros.
pub(crate) fn push(text: &mut String, more: &str) {
    let needed = text.len() + more.len();
    if needed > text.capacity() {
        let mut larger = String::with_capacity(needed.max(2 * text.len()));
        larger.push_str(text);
        text.zeroize();
        *text = larger;
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_and_texts_are_those_of_ordinary_buffers() {
        let mut buffer = BytesMut::new();
        let mut text = String::new();
        for round in 0..200 {
            let more = "x".repeat(round % 7) + "y";
            append(&mut buffer, more.as_bytes());
            push(&mut text, &more);
            assert_eq!(buffer, text.as_bytes());
        }
        let frozen = buffer.split_to(10).freeze();
        append(&mut buffer, &[b'z'; 1000]);
        assert_eq!(frozen, text.as_bytes()[..10]);
        wipe(frozen);
    }
}
