//! Destinations, the full addresses of programs on I2P.

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

/// A destination on I2P: a signing key, a certificate, and 256 bytes that were formerly an
/// encryption key.
///
/// Destinations are cheap to clone, and are compared and hashed by their bytes. `Display` and
/// `Debug` write the first eight characters of the base32 address.
///
/// A destination with an unknown signature type can be stored, looked up and sent like any other.
/// Only its signatures cannot be verified.
#[derive(Clone)]
pub struct Destination(Arc<KeysAndCert>);

impl Destination {
    /// The length of the shortest encoding, in bytes: two key fields and an empty certificate.
    pub const MIN_LENGTH: usize = KeysAndCert::MIN_LENGTH;

    /// Creates the destination of a signing key. `padding` is repeated over the unused bytes.
    ///
    /// Repeated padding makes the destination compressible, which saves about 300 bytes of the
    /// first packet of each stream: common structures specification, "Padding Generation
    /// Guidelines". The padding should be random. It is part of the destination, so it must be
    /// stored with the keys.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] if the type of the key is unknown.
    pub fn new(signing_key: &SigningPublicKey, padding: &[u8; 32]) -> Result<Self, DecodeError> {
        KeysAndCert::new(None, signing_key, padding).map(|keys| Self(Arc::new(keys)))
    }

    /// Decodes a destination in I2P's base64, the form in SAM, address books and helper links.
    ///
    /// # Errors
    ///
    /// If the text is not base64, or its bytes are not a destination. Text after the destination,
    /// such as the private part of a key file, is an error.
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes(&base64::decode(text)?)
    }

    /// The SHA-256 hash of the encoding. It is computed only once.
    pub fn hash(&self) -> Hash {
        self.0.hash()
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The destination in I2P's base64. It has 524 characters with the default key type.
    pub fn to_base64(&self) -> String {
        base64::encode(self.0.bytes())
    }

    /// The address `<52 characters>.b32.i2p`.
    pub fn to_b32(&self) -> String {
        self.0.hash().to_b32()
    }

    /// The key that verifies signatures of this destination, except those by an offline key.
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

    /// Parses like [`Destination::from_base64`].
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
