//! The trait and the reader with which all structures of all protocols are encoded and decoded.

use std::fmt;

/// A structure with exactly one encoding.
///
/// Encoding cannot fail, because a value that cannot be encoded cannot be created. Decoding is
/// strict: [`Codec::from_bytes`] accepts exactly one structure without trailing bytes.
pub trait Codec: Sized {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Decodes one structure. The reader is then at the first byte after it.
    ///
    /// # Errors
    ///
    /// If the input is truncated or violates a rule of the structure. The reader's position is then
    /// unspecified.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Decodes one structure that fills `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Codec::read`], and [`DecodeError::TrailingData`] if bytes follow the structure.
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

/// A reader of untrusted bytes, with a position.
///
/// Every method checks that enough bytes are left. No method panics.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    used: usize,
}

impl<'a> Reader<'a> {
    /// Creates a reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// Reads the next `length` bytes. `what` is their name in the error.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer bytes are left. The position is then unchanged.
    pub fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        if rest.len() < length {
            return Err(DecodeError::MissingData(what));
        }
        self.used += length;
        Ok(&rest[..length])
    }

    /// Reads the next `N` bytes as an array.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer bytes are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// Reads one byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if no byte is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|b| b[0])
    }

    /// Reads a big-endian number of two bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Reads a big-endian number of four bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Reads a big-endian number of eight bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Reads an I2P string: one length byte, then this number of bytes of UTF-8.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if the string is truncated, [`DecodeError::Invalid`] if it is
    /// not UTF-8.
    pub fn string(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u8(what)?);
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid {
            what,
            why: "not valid utf-8",
        })
    }

    /// Reads all remaining bytes.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.used = self.bytes.len();
        rest
    }

    /// The remaining bytes. The position does not change.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.used..]
    }

    /// The number of remaining bytes.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The number of bytes that were read.
    pub fn position(&self) -> usize {
        self.used
    }

    /// The bytes that were read since [`Reader::position`] was `start`. Empty if `start` is greater
    /// than the position.
    ///
    /// Signatures cover the received bytes, so verifying one needs these bytes in addition to the
    /// decoded value.
    pub fn taken_since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.used).unwrap_or_default()
    }

    /// Checks that no bytes follow the structure `what`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TrailingData`] if bytes are left.
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

/// The reason why bytes or text cannot be decoded.
///
/// The type is small, `Copy` and without allocation, because hostile input causes many of these
/// errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ended inside this structure or field.
    #[error("input ended inside {0}")]
    MissingData(&'static str),
    /// Bytes follow the complete structure.
    #[error("data left over after {0}")]
    TrailingData(&'static str),
    /// The input violates a rule of the structure.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The structure or field.
        what: &'static str,
        /// The rule.
        why: &'static str,
    },
    /// A type number is not supported.
    #[error("{what} {code} is not supported")]
    UnsupportedType {
        /// The kind of type number.
        what: &'static str,
        /// The received number.
        code: u16,
    },
    /// A field does not have its fixed length.
    #[error("wrong length of {what}: expected {expected} bytes, got {got}")]
    WrongLength {
        /// The field.
        what: &'static str,
        /// The required length, in bytes.
        expected: usize,
        /// The received length, in bytes.
        got: usize,
    },
    /// A length or number exceeds a limit.
    #[error("{what} is too long: {length}, the limit is {limit}")]
    TooLong {
        /// The structure or field.
        what: &'static str,
        /// Its length. If the length is not known, the limit plus one.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A character of a text form is not in its alphabet.
    #[error("bad character in {what} at byte {position}")]
    BadCharacter {
        /// The text form.
        what: &'static str,
        /// The position of the character, in bytes from the start of the text.
        position: usize,
    },
}

/// Appends an I2P string: one length byte, then the text.
///
/// # Errors
///
/// [`DecodeError::TooLong`] if the text has more than 255 bytes. Nothing is appended then.
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

/// The type name without its path, for error messages: `Destination` for
/// `eepkit_wire::destination::Destination`.
fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let path = full.split('<').next().unwrap_or(full);
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
