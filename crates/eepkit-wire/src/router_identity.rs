//! Router identities: the keys that name a router in the network database.

use std::{cmp, fmt, hash, sync::Arc};

use crate::{
    certificate::Certificate,
    codec::{Codec, DecodeError, Reader},
    encryption::EncryptionPublicKey,
    hash::Hash,
    keys_and_cert::KeysAndCert,
    signature::SigningPublicKey,
};

/// A router: an encryption key, a signing key and a certificate.
///
/// Cheap to clone. Compared and hashed by its bytes. `Display` and `Debug` show the first eight
/// characters of its hash in base32.
///
/// An identity with unknown key types can be read, stored and passed on, but signatures by it
/// cannot be verified.
#[derive(Clone)]
pub struct RouterIdentity(Arc<Inner>);

struct Inner {
    keys: KeysAndCert,
    encryption_key: EncryptionPublicKey,
}

impl RouterIdentity {
    /// The shortest encoding in bytes.
    pub const MIN_LENGTH: usize = KeysAndCert::MIN_LENGTH;

    /// The identity of a router with these keys, with `padding` repeated over the unused bytes.
    ///
    /// The padding should be random. It is part of the identity and must be kept with the keys.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] when the layout of a key's type is not known.
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

    /// The key that messages to the router are encrypted to.
    pub fn encryption_key(&self) -> &EncryptionPublicKey {
        &self.0.encryption_key
    }

    /// The key that verifies what the router signs.
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
