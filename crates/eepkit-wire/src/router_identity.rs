//! Router identities, the keys that identify a router in the network database.

use std::{cmp, fmt, hash, sync::Arc};

use crate::{
    certificate::Certificate,
    codec::{Codec, DecodeError, Reader},
    encryption::EncryptionPublicKey,
    hash::Hash,
    keys_and_cert::KeysAndCert,
    signature::SigningPublicKey,
};

/// The identity of a router: an encryption key, a signing key and a certificate.
///
/// Identities are cheap to clone, and are compared and hashed by their bytes. `Display` and `Debug`
/// write the first eight characters of the hash in base32.
///
/// An identity with unknown key types can be decoded, stored and encoded. Only its signatures
/// cannot be verified.
#[derive(Clone)]
pub struct RouterIdentity(Arc<Inner>);

struct Inner {
    keys: KeysAndCert,
    encryption_key: EncryptionPublicKey,
}

impl RouterIdentity {
    /// The length of the shortest encoding, in bytes.
    pub const MIN_LENGTH: usize = KeysAndCert::MIN_LENGTH;

    /// Creates the identity of a router with these keys. `padding` is repeated over the unused
    /// bytes.
    ///
    /// The padding should be random. It is part of the identity, so it must be stored with the
    /// keys.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] if the type of a key is unknown.
    pub fn new(
        encryption_key: &EncryptionPublicKey,
        signing_key: &SigningPublicKey,
        padding: &[u8; 32],
    ) -> Result<Self, DecodeError> {
        let keys = KeysAndCert::new(Some(encryption_key), signing_key, padding)?;
        let encryption_key = encryption_key.clone();
        Ok(Self(Arc::new(Inner {
            keys,
            encryption_key,
        })))
    }

    /// The SHA-256 hash of the encoding, which is the router's key in the network database.
    pub fn hash(&self) -> Hash {
        self.0.keys.hash()
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.keys.bytes()
    }

    /// The key to which messages to the router are encrypted.
    pub fn encryption_key(&self) -> &EncryptionPublicKey {
        &self.0.encryption_key
    }

    /// The key that verifies signatures of the router.
    pub fn signing_key(&self) -> &SigningPublicKey {
        self.0.keys.signing_key()
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        self.0.keys.certificate()
    }
}

impl Codec for RouterIdentity {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let keys = KeysAndCert::read(r, "router identity")?;
        let encryption_key = keys.encryption_key()?;
        Ok(Self(Arc::new(Inner {
            keys,
            encryption_key,
        })))
    }
}

impl PartialEq for RouterIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RouterIdentity {}

impl hash::Hash for RouterIdentity {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.hash().hash(state);
    }
}

impl PartialOrd for RouterIdentity {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RouterIdentity {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Display for RouterIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash().fmt(f)
    }
}

impl fmt::Debug for RouterIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterIdentity({})", self.hash())
    }
}
