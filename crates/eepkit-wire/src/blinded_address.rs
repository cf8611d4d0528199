//! Addresses of destinations whose lease sets are encrypted.

use std::fmt;

use crate::{
    base32,
    codec::{DecodeError, Reader},
    hash::{B32_SUFFIX, strip_b32_suffix},
    signature::SigningPublicKey,
    signature_type::SignatureType,
};

/// The address of a destination whose lease set is encrypted ("b33"): specification "Base 32 for
/// encrypted lease sets".
///
/// It contains the key of the destination instead of its hash, because the location of an encrypted
/// lease set in the network database is computed from the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlindedAddress {
    key: SigningPublicKey,
    blinded_type: SignatureType,
    secret_required: bool,
    client_key_required: bool,
}

impl BlindedAddress {
    /// Creates the address of a destination with this signing key, which is blinded to a key of
    /// `blinded_type`.
    ///
    /// # Errors
    ///
    /// [`BlindedAddressError::KeyType`] unless the key is Ed25519 or RedDSA and the blinded type is
    /// RedDSA. Other types cannot be blinded.
    pub fn new(
        key: SigningPublicKey,
        blinded_type: SignatureType,
    ) -> Result<Self, BlindedAddressError> {
        let kind = key.signature_type();
        if !matches!(kind, SignatureType::ED25519 | SignatureType::REDDSA) {
            return Err(BlindedAddressError::KeyType(kind));
        }
        if blinded_type != SignatureType::REDDSA {
            return Err(BlindedAddressError::KeyType(blinded_type));
        }
        Ok(Self {
            key,
            blinded_type,
            secret_required: false,
            client_key_required: false,
        })
    }

    /// Sets whether a client needs a secret to find the lease set. Default: false.
    #[must_use]
    pub fn with_secret_required(mut self, required: bool) -> Self {
        self.secret_required = required;
        self
    }

    /// Sets whether a client needs a key of its own to read the lease set. Default: false.
    #[must_use]
    pub fn with_client_key_required(mut self, required: bool) -> Self {
        self.client_key_required = required;
        self
    }

    /// Parses `<56 characters or more>.b32.i2p` in either case, with or without the suffix.
    ///
    /// # Errors
    ///
    /// If the length, the checksum or the content is wrong.
    pub fn from_b33(text: &str) -> Result<Self, BlindedAddressError> {
        Self::from_label(strip_b32_suffix(text))
    }

    /// The signing key of the destination.
    pub fn key(&self) -> &SigningPublicKey {
        &self.key
    }

    /// The type of the blinded key, from which the location of the lease set is computed.
    pub fn blinded_type(&self) -> SignatureType {
        self.blinded_type
    }

    /// Whether a client needs a secret to find the lease set.
    pub fn is_secret_required(&self) -> bool {
        self.secret_required
    }

    /// Whether a client needs a key of its own to read the lease set.
    pub fn is_client_key_required(&self) -> bool {
        self.client_key_required
    }

    /// The address, with its suffix.
    pub fn to_b33(&self) -> String {
        let mut flags = 0;
        if self.secret_required {
            flags |= FLAG_SECRET;
        }
        if self.client_key_required {
            flags |= FLAG_CLIENT_KEY;
        }
        // `new` accepts only types that fit a byte.
        let mut data = vec![
            flags,
            self.key.signature_type().0 as u8,
            self.blinded_type.0 as u8,
        ];
        self.key.encode(&mut data);
        mask(&mut data);
        let mut text = base32::encode(&data);
        text.push_str(B32_SUFFIX);
        text
    }

    fn from_label(label: &str) -> Result<Self, BlindedAddressError> {
        if label.len() < MIN_CHARS {
            return Err(BlindedAddressError::Length(label.len()));
        }
        if label.len() > MAX_CHARS {
            return Err(BlindedAddressError::Base32(DecodeError::TooLong {
                what: "b32 address",
                length: label.len(),
                limit: MAX_CHARS,
            }));
        }
        let mut data = base32::decode(label)?;
        mask(&mut data);
        let mut r = Reader::new(&data);
        let flags = r.u8("b32 address")?;
        if flags & !(FLAG_TWO_BYTES | FLAG_SECRET | FLAG_CLIENT_KEY) != 0 {
            // The checksum is combined with the first three bytes, so a wrong checksum is detected
            // only if these bytes are not valid.
            return Err(BlindedAddressError::Checksum);
        }
        let mut kind = || {
            if flags & FLAG_TWO_BYTES == 0 {
                r.u8("b32 address").map(u16::from)
            } else {
                r.u16("b32 address")
            }
            .map(SignatureType)
        };
        let (key_type, blinded_type) = (kind()?, kind()?);
        // A typing error usually changes these bytes to types that do not exist.
        if key_type.0 > MAX_KNOWN_TYPE || blinded_type.0 > MAX_KNOWN_TYPE {
            return Err(BlindedAddressError::Checksum);
        }
        let key_bytes = r.take_rest();
        let address = SigningPublicKey::new(key_type, key_bytes)
            .map_err(Into::into)
            .and_then(|key| Self::new(key, blinded_type))?;
        Ok(address
            .with_secret_required(flags & FLAG_SECRET != 0)
            .with_client_key_required(flags & FLAG_CLIENT_KEY != 0))
    }
}

impl fmt::Display for BlindedAddress {
    /// Writes the same text as [`BlindedAddress::to_b33`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_b33())
    }
}

/// The reason why a text or a key is not the address of a destination with an encrypted lease set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BlindedAddressError {
    /// The base32 or its content is malformed.
    #[error(transparent)]
    Base32(#[from] DecodeError),
    /// The address is too short.
    #[error("b32 address has {0} characters, expected 56 and more for encrypted lease sets")]
    Length(usize),
    /// The checksum is wrong, usually because of a typing error.
    #[error("checksum of the b32 address is wrong, check it for typing errors")]
    Checksum,
    /// A key of this type cannot be blinded.
    #[error(
        "b32 address for an encrypted lease set has a key of type {0}, which cannot be blinded"
    )]
    KeyType(SignatureType),
}

/// Applies or removes the checksum: the first three bytes XOR the three low bytes, little-endian,
/// of the CRC-32 of the remaining bytes.
fn mask(data: &mut [u8]) {
    let checksum = crc32fast::hash(data.get(3..).unwrap_or_default()).to_le_bytes();
    for (byte, mask) in data.iter_mut().zip(&checksum[..3]) {
        *byte ^= mask;
    }
}

/// The smallest number of characters of an address for an encrypted lease set, which has at least
/// 35 bytes.
pub(crate) const MIN_CHARS: usize = 56;

/// The largest number of characters of such an address. Chosen above 60, the number of characters
/// of the longest valid address: a key that can be blinded has 32 bytes, so an address with
/// two-byte types has 37 bytes.
const MAX_CHARS: usize = 64;

const FLAG_TWO_BYTES: u8 = 1 << 0;
const FLAG_SECRET: u8 = 1 << 1;
const FLAG_CLIENT_KEY: u8 = 1 << 2;

/// The highest signature type that is defined.
const MAX_KNOWN_TYPE: u16 = 11;

#[cfg(test)]
mod tests;
