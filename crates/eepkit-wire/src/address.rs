//! The text forms in which a destination is named.

use std::{fmt, str::FromStr};

use crate::{
    base32,
    codec::{DecodeError, Reader},
    destination::Destination,
    hash::{B32_HASH_CHARS, B32_SUFFIX, Hash, strip_b32_suffix},
    signature::SigningPublicKey,
    signature_type::SignatureType,
};

/// What a user or another program may write to name a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// The whole destination, in base64.
    Destination(Destination),
    /// `<52 characters>.b32.i2p`: the hash of a destination.
    B32(Hash),
    /// `<56 characters or more>.b32.i2p`: the key of a destination whose lease set is encrypted.
    B33(BlindedAddress),
    /// A name for an address book, in lower case, such as `stats.i2p`.
    Name(String),
}

impl Address {
    /// Longest name, in characters: naming specification, section "Hostnames".
    pub const MAX_NAME: usize = 67;

    /// Fewest characters of a destination in base64: 387 bytes.
    pub const MIN_BASE64: usize = 516;

    /// Reads any of the forms.
    ///
    /// # Errors
    ///
    /// [`AddressError`] says which form it seemed to be and what is wrong with it. A base32
    /// address of the wrong length is an error rather than a name.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let label = strip_b32_suffix(text);
        if label.len() != text.len() {
            return match label.len() {
                B32_HASH_CHARS => Hash::from_b32(label).map(Self::B32).map_err(Into::into),
                B33_MIN_CHARS.. => BlindedAddress::from_label(label).map(Self::B33),
                length => Err(AddressError::B32Length(length)),
            };
        }
        if text.len() >= Self::MIN_BASE64 {
            let destination = Destination::from_base64(text)?;
            return Ok(Self::Destination(destination));
        }
        name(text).map(Self::Name)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    /// The text form, in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(destination) => f.write_str(&destination.to_base64()),
            Self::B32(hash) => f.write_str(&hash.to_b32()),
            Self::B33(blinded) => f.write_str(&blinded.to_b33()),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The address of a destination whose lease set is encrypted: "Base 32 for encrypted lease sets"
/// specification. It holds the key of the destination rather than its hash, because the place of
/// an encrypted lease set is computed from the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlindedAddress {
    key: SigningPublicKey,
    blinded_type: SignatureType,
    secret_required: bool,
    client_key_required: bool,
}

impl BlindedAddress {
    /// The address of a destination with this signing key, which is blinded to a key of
    /// `blinded_type`.
    ///
    /// # Errors
    ///
    /// [`AddressError::B33Type`] unless the key is Ed25519 or RedDSA and the blinded type RedDSA:
    /// no others can be blinded.
    pub fn new(key: SigningPublicKey, blinded_type: SignatureType) -> Result<Self, AddressError> {
        let kind = key.signature_type();
        if !matches!(kind, SignatureType::ED25519 | SignatureType::REDDSA) {
            return Err(AddressError::B33Type(kind));
        }
        if blinded_type != SignatureType::REDDSA {
            return Err(AddressError::B33Type(blinded_type));
        }
        Ok(Self {
            key,
            blinded_type,
            secret_required: false,
            client_key_required: false,
        })
    }

    /// Says whether one must know a secret to find the lease set. Default: false.
    #[must_use]
    pub fn with_secret_required(mut self, required: bool) -> Self {
        self.secret_required = required;
        self
    }

    /// Says whether one must have a client key to read the lease set. Default: false.
    #[must_use]
    pub fn with_client_key_required(mut self, required: bool) -> Self {
        self.client_key_required = required;
        self
    }

    /// Reads `<56 characters or more>.b32.i2p`, of either case and with or without the suffix.
    ///
    /// # Errors
    ///
    /// The length, checksum or content is wrong.
    pub fn from_b33(text: &str) -> Result<Self, AddressError> {
        Self::from_label(strip_b32_suffix(text))
    }

    /// The signing key of the destination.
    pub fn key(&self) -> &SigningPublicKey {
        &self.key
    }

    /// The type of the blinded key, under which the lease set is found.
    pub fn blinded_type(&self) -> SignatureType {
        self.blinded_type
    }

    /// Whether one must know a secret to find the lease set.
    pub fn is_secret_required(&self) -> bool {
        self.secret_required
    }

    /// Whether one must have a client key to read the lease set.
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
        // `new` lets only types through that fit a byte.
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

    fn from_label(label: &str) -> Result<Self, AddressError> {
        if label.len() < B33_MIN_CHARS {
            return Err(AddressError::B32Length(label.len()));
        }
        if label.len() > B33_MAX_CHARS {
            return Err(AddressError::Text(DecodeError::TooLong {
                what: "b32 address",
                length: label.len(),
                limit: B33_MAX_CHARS,
            }));
        }
        let mut data = base32::decode(label)?;
        mask(&mut data);
        let mut r = Reader::new(&data);
        let flags = r.u8("b32 address")?;
        if flags & !(FLAG_TWO_BYTES | FLAG_SECRET | FLAG_CLIENT_KEY) != 0 {
            // A wrong checksum turns the first three bytes into noise; there is no other sign.
            return Err(AddressError::B33Checksum);
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
        // Types that cannot be blinded are what most broken addresses seem to have.
        if key_type.0 > MAX_KNOWN_TYPE || blinded_type.0 > MAX_KNOWN_TYPE {
            return Err(AddressError::B33Checksum);
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
    /// As [`BlindedAddress::to_b33`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_b33())
    }
}

/// Why a text does not name a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The base64 or base32 is wrong, or does not hold what it should.
    #[error(transparent)]
    Text(#[from] DecodeError),
    /// A base32 address has neither 52 characters nor 56 or more.
    #[error("b32 address has {0} characters, expected 52, or 56 and more for encrypted lease sets")]
    B32Length(usize),
    /// The checksum of an address for an encrypted lease set is wrong: a typing error.
    #[error("checksum of the b32 address is wrong, check it for typing errors")]
    B33Checksum,
    /// A key of this type cannot be blinded.
    #[error(
        "b32 address for an encrypted lease set has a key of type {0}, which cannot be blinded"
    )]
    B33Type(SignatureType),
    /// Not a host name of I2P.
    #[error("not an i2p host name: {0}")]
    Name(&'static str),
}

/// Applies or removes the checksum: the three low bytes of the CRC-32 of all but the first three
/// bytes, little-endian, over these three.
fn mask(data: &mut [u8]) {
    let checksum = crc32fast::hash(data.get(3..).unwrap_or_default()).to_le_bytes();
    for (byte, mask) in data.iter_mut().zip(&checksum[..3]) {
        *byte ^= mask;
    }
}

/// A host name in lower case: naming specification, section "Hostnames".
fn name(text: &str) -> Result<String, AddressError> {
    let name = text.to_ascii_lowercase();
    let error = |why| Err(AddressError::Name(why));
    let Some(labels) = name.strip_suffix(".i2p") else {
        return error("it does not end with .i2p");
    };
    if name.len() > Address::MAX_NAME {
        return error("it has more than 67 characters");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for label in labels.split('.') {
        if label.is_empty() {
            return error("a part between dots is empty");
        }
        if !label.chars().all(allowed) {
            return error("only a-z, 0-9, - and dots are allowed");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return error("a part between dots begins or ends with -");
        }
    }
    Ok(name)
}

/// Fewest characters of an address for an encrypted lease set: 35 bytes.
const B33_MIN_CHARS: usize = 56;

/// Most characters of such an address that are looked at: all keys that can be blinded have 32
/// bytes, so with two-byte types there are 37 bytes.
const B33_MAX_CHARS: usize = 64;

const FLAG_TWO_BYTES: u8 = 1 << 0;
const FLAG_SECRET: u8 = 1 << 1;
const FLAG_CLIENT_KEY: u8 = 1 << 2;

/// The highest signature type that is defined.
const MAX_KNOWN_TYPE: u16 = 11;

#[cfg(test)]
mod tests;
