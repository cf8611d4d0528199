//! Destinations: the full addresses of endpoints on I2P.

use std::{cmp, fmt, hash, str::FromStr, sync::Arc};

use crate::{
    base64,
    certificate::Certificate,
    codec::{Codec, DecodeError, Reader},
    hash::Hash,
    keys_and_cert::KeysAndCert,
    signature::SigningPublicKey,
    signature_type::SignatureType,
};

/// An endpoint on I2P: a signing key, a certificate, and 256 bytes that once held an encryption
/// key.
///
/// Cheap to clone. Compared and hashed by its bytes. `Display` and `Debug` show the first eight
/// characters of its base32 address.
///
/// A destination with an unknown signature type is a value like any other; it can be stored,
/// looked up and passed on, but signatures by it cannot be verified.
#[derive(Clone)]
pub struct Destination(Arc<KeysAndCert>);

impl Destination {
    /// The shortest encoding in bytes: two key fields and an empty certificate.
    pub const MIN_LENGTH: usize = KeysAndCert::MIN_LENGTH;

    /// The destination of a signing key, with `padding` repeated over the unused bytes.
    ///
    /// Repeating makes the destination compressible, which saves some 300 bytes of every first
    /// packet: common structures specification, "Padding Generation Guidelines". The padding
    /// should be random, and must be kept with the destination.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] when the layout of the key's type is not known.
    pub fn new(signing_key: &SigningPublicKey, padding: &[u8; 32]) -> Result<Self, DecodeError> {
        KeysAndCert::new(None, signing_key, padding).map(|keys| Self(Arc::new(keys)))
    }

    /// The destination in I2P's base64, as SAM, address books and helper links write it.
    ///
    /// # Errors
    ///
    /// The text is not base64, or not of a destination. Text behind the destination, such as the
    /// private part of a key file, is an error.
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes(&base64::decode(text)?)
    }

    /// The SHA-256 hash of the encoding; computed once.
    pub fn hash(&self) -> Hash {
        self.0.hash()
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// In I2P's base64; 524 characters with the default key type.
    pub fn to_base64(&self) -> String {
        base64::encode(self.0.bytes())
    }

    /// The address `<52 characters>.b32.i2p`.
    pub fn to_b32(&self) -> String {
        self.0.hash().to_b32()
    }

    /// The key that verifies what this destination signs, unless it signs with an offline key.
    pub fn signing_key(&self) -> &SigningPublicKey {
        self.0.signing_key()
    }

    /// The type of [`Destination::signing_key`].
    pub fn signature_type(&self) -> SignatureType {
        self.0.signing_key().signature_type()
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        self.0.certificate()
    }
}

impl Codec for Destination {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        KeysAndCert::read(r, "destination").map(|keys| Self(Arc::new(keys)))
    }
}

impl FromStr for Destination {
    type Err = DecodeError;

    /// As [`Destination::from_base64`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_base64(text)
    }
}

impl AsRef<[u8]> for Destination {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Destination {}

impl hash::Hash for Destination {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash().hash(state);
    }
}

impl PartialOrd for Destination {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Destination {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.0.bytes().cmp(other.0.bytes())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hash().fmt(f)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({})", self.0.hash())
    }
}

#[cfg(test)]
mod tests;
