//! How every structure of every protocol is read and written.

use std::fmt;

/// A structure with one encoding.
///
/// Writing cannot fail: a value that would not fit its encoding cannot be made. Reading is strict:
/// what [`Codec::from_bytes`] accepts is exactly one structure with nothing behind it.
pub trait Codec: Sized {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one structure and leaves the reader behind it.
    ///
    /// # Errors
    ///
    /// The input ends early or breaks a rule of the structure; the reader's position is then
    /// unspecified.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one structure that fills `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Codec::read`], and [`DecodeError::TrailingData`] when bytes are left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::read(&mut r)?;
        r.finish(short_type_name::<Self>())?;
        Ok(value)
    }

    /// The encoding as a vector.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A position in bytes that came from outside.
///
/// Every method that takes bytes checks that they are there; none panics.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    used: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Takes the next `length` bytes; `what` names them in the error.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer are left; nothing is taken then.
    pub fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        if rest.len() < length {
            return Err(DecodeError::MissingData(what));
        }
        self.used += length;
        Ok(&rest[..length])
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// Takes one byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] at the end.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|b| b[0])
    }

    /// Takes a big-endian number of two bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Takes a big-endian number of four bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Takes a big-endian number of eight bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Takes an I2P string: one length byte and that many bytes of UTF-8.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when it ends early, [`DecodeError::Invalid`] when it is not
    /// UTF-8.
    pub fn string(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u8(what)?);
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid {
            what,
            why: "not valid utf-8",
        })
    }

    /// Takes everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.used = self.bytes.len();
        rest
    }

    /// What is left, without taking it.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.used..]
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// How many bytes were taken so far.
    pub fn position(&self) -> usize {
        self.used
    }

    /// What was taken since [`Reader::position`] was `start`; empty when `start` lies ahead.
    ///
    /// Signatures cover bytes as they came, so whoever checks one needs them beside the value.
    pub fn taken_since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.used).unwrap_or_default()
    }

    /// Ends the reading of `what`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TrailingData`] when something is left.
    pub fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingData(what))
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("used", &self.used)
            .field("left", &self.left())
            .finish()
    }
}

/// Why bytes or text are not the structure they should be.
///
/// Small, `Copy` and without allocation: hostile input makes many of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ended in the middle of something.
    #[error("input ended inside {0}")]
    MissingData(&'static str),
    /// The structure was complete and bytes were left over.
    #[error("data left over after {0}")]
    TrailingData(&'static str),
    /// A rule of the structure is broken.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The structure or field.
        what: &'static str,
        /// The rule.
        why: &'static str,
    },
    /// A type number that this software cannot handle where it has to.
    #[error("{what} {code} is not supported")]
    UnsupportedType {
        /// What kind of type number.
        what: &'static str,
        /// The number as it came.
        code: u16,
    },
    /// A field with a fixed length has another one.
    #[error("wrong length of {what}: expected {expected} bytes, got {got}")]
    WrongLength {
        /// The field.
        what: &'static str,
        /// How long it must be, in bytes.
        expected: usize,
        /// How long it was, in bytes.
        got: usize,
    },
    /// More than we accept.
    #[error("{what} is too long: {length}, the limit is {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is; where that is not known, the limit plus one.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A character of a text form is not in its alphabet.
    #[error("bad character in {what} at byte {position}")]
    BadCharacter {
        /// The text form.
        what: &'static str,
        /// Where, in bytes from the start of the text.
        position: usize,
    },
}

/// Appends an I2P string: one length byte, then the text.
///
/// # Errors
///
/// [`DecodeError::TooLong`] when the text has more than 255 bytes; nothing is appended then.
pub fn encode_string(out: &mut Vec<u8>, what: &'static str, text: &str) -> Result<(), DecodeError> {
    let length = u8::try_from(text.len()).map_err(|_| DecodeError::TooLong {
        what,
        length: text.len(),
        limit: usize::from(u8::MAX),
    })?;
    out.push(length);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// `Destination` of `eepkit_wire::destination::Destination`, for messages.
fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let path = full.split('<').next().unwrap_or(full);
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
