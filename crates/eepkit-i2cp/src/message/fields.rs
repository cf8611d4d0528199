//! Fields that several messages have.

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{Codec, DecodeError, Destination, Reader};

/// The id of a session on a connection, assigned by the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u16);

impl SessionId {
    /// No session. Used in look-ups before a session exists.
    pub const NONE: Self = Self(0xffff);
}

impl Codec for SessionId {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u16("session id").map(Self)
    }
}

/// A string of at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(String);

impl Text {
    /// Creates a string, or returns `None` if the text is longer than 255 bytes.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_LEN).then(|| Self(text.to_owned()))
    }

    /// Creates a string of at most the first 255 bytes of the text, cut at a character boundary.
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX_LEN);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The largest length in bytes. The length is encoded as one byte.
    pub const MAX_LEN: usize = 255;
}

impl Codec for Text {
    fn encode(&self, out: &mut Vec<u8>) {
        // Both constructors limit the length to one byte.
        out.push(self.0.len() as u8);
        out.extend_from_slice(self.0.as_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.string("string").map(|text| Self(text.to_owned()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a length of four bytes and a payload, which shares the memory of `body`.
pub(super) fn read_payload(r: &mut Reader<'_>, body: &Bytes) -> Result<Bytes, DecodeError> {
    let length = r.u32("payload")? as usize;
    let start = r.position();
    r.take(length, "payload")?;
    Ok(body.slice(start..start + length))
}

pub(super) fn encode_payload(payload: &Bytes, out: &mut Vec<u8>) {
    // A payload whose length exceeds four bytes is also too long for a frame, which the caller
    // checks.
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

/// Reads a destination, or returns `None` at the end of the body.
pub(super) fn read_optional_destination(
    r: &mut Reader<'_>,
) -> Result<Option<Destination>, DecodeError> {
    if r.is_empty() {
        Ok(None)
    } else {
        Destination::read(r).map(Some)
    }
}
