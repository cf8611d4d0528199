//! SHA-256 hashes, which identify destinations and routers in the network database.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{
    codec::{Codec, DecodeError, Reader},
    {base32, base64},
};

/// The suffix of base32 addresses.
pub(crate) const B32_SUFFIX: &str = ".b32.i2p";

/// The number of characters of a hash in base32, which is 32 bytes without padding.
pub(crate) const B32_HASH_CHARS: usize = 52;

/// The SHA-256 hash of a destination or router identity.
///
/// `Display` and `Debug` write the first eight characters of the base32 form. They are enough to
/// distinguish destinations in a log, and do not reveal the address. [`Hash::to_b32`] returns the
/// full address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; Self::LENGTH]);

impl Hash {
    /// The length in bytes.
    pub const LENGTH: usize = 32;

    /// Creates a hash from its bytes.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Computes the hash of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// Parses the address `<52 characters>.b32.i2p`, in either case and with or without the suffix.
    ///
    /// # Errors
    ///
    /// If the text has another length, or contains a character outside a-z and 2-7. Longer
    /// addresses are those of blinded destinations: see [`crate::Address`].
    pub fn from_b32(text: &str) -> Result<Self, DecodeError> {
        let label = strip_b32_suffix(text);
        if label.len() != B32_HASH_CHARS {
            return Err(DecodeError::Invalid {
                what: "b32 address",
                why: "expected 52 characters before .b32.i2p",
            });
        }
        let bytes = base32::decode(label)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| DecodeError::Invalid {
                what: "b32 address",
                why: "expected 52 characters before .b32.i2p",
            })
    }

    /// Decodes a hash in I2P's base64.
    ///
    /// # Errors
    ///
    /// If the text is not base64, or does not encode 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        let bytes = base64::decode(text)?;
        let got = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| DecodeError::WrongLength {
                what: "hash",
                expected: Self::LENGTH,
                got,
            })
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The hash in I2P's base64, which has 44 characters.
    pub fn to_base64(&self) -> String {
        base64::encode(&self.0)
    }

    /// The address `<52 characters>.b32.i2p`.
    pub fn to_b32(&self) -> String {
        let mut text = base32::encode(&self.0);
        text.push_str(B32_SUFFIX);
        text
    }
}

impl Codec for Hash {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array("hash").map(Self)
    }
}

impl From<[u8; Self::LENGTH]> for Hash {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Hash {
    type Err = DecodeError;

    /// Parses like [`Hash::from_b32`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_b32(text)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Five bytes are eight characters of base32.
        f.write_str(&base32::encode(&self.0[..5]))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Returns `text` without the suffix `.b32.i2p`, in any case, or unchanged if it has no such
/// suffix.
pub(crate) fn strip_b32_suffix(text: &str) -> &str {
    text.len()
        .checked_sub(B32_SUFFIX.len())
        .filter(|&cut| {
            text.get(cut..)
                .is_some_and(|end| end.eq_ignore_ascii_case(B32_SUFFIX))
        })
        .map_or(text, |cut| &text[..cut])
}

#[cfg(test)]
mod tests;
