//! Lease sets of type 1, for destinations that use ElGamal.

use std::fmt;

use crate::{
    codec::{Codec, DecodeError, Reader},
    destination::Destination,
    encryption::{EncryptionPublicKey, EncryptionType},
    lease::{self, Lease},
    private_keys::PrivateKeys,
    signature::{Signature, SigningPublicKey},
    signature_error::SignatureError,
};

/// A lease set of type 1: common structures specification, section "LeaseSet".
///
/// The value contains the received bytes, because the signature covers them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseSet {
    bytes: Box<[u8]>,
    destination: Destination,
    encryption_key: EncryptionPublicKey,
    revocation_key: SigningPublicKey,
    leases: Vec<Lease>,
    signature: Signature,
}

impl LeaseSet {
    /// Creates and signs a lease set.
    ///
    /// `revocation_key` is unused today. It must have the type of the destination's key.
    ///
    /// # Errors
    ///
    /// [`LeaseSetError`] if there are more than 16 leases, the encryption key is not ElGamal, the
    /// revocation key has another type, or the keys are offline keys, which this type of lease set
    /// does not support.
    pub fn sign(
        keys: &PrivateKeys,
        encryption_key: &EncryptionPublicKey,
        revocation_key: &SigningPublicKey,
        leases: &[Lease],
    ) -> Result<Self, LeaseSetError> {
        if leases.len() > Lease::MAX_IN_SET {
            return Err(LeaseSetError::TooManyLeases(leases.len()));
        }
        if encryption_key.encryption_type() != EncryptionType::ELGAMAL {
            return Err(LeaseSetError::NotElGamal(encryption_key.encryption_type()));
        }
        if keys.offline().is_some() {
            return Err(LeaseSetError::OfflineKeys);
        }
        let destination = keys.destination();
        if revocation_key.signature_type() != destination.signature_type() {
            return Err(LeaseSetError::RevocationKey);
        }
        let mut bytes = destination.to_bytes();
        bytes.extend_from_slice(encryption_key.as_bytes());
        revocation_key.encode(&mut bytes);
        bytes.push(leases.len() as u8);
        for lease in leases {
            lease.encode(&mut bytes);
        }
        let signature = keys.sign(&bytes);
        signature.encode(&mut bytes);
        Ok(Self {
            bytes: bytes.into(),
            destination: destination.clone(),
            encryption_key: encryption_key.clone(),
            revocation_key: revocation_key.clone(),
            leases: leases.to_vec(),
            signature,
        })
    }

    /// The destination to which the lease set belongs.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The ElGamal key to which messages are encrypted.
    pub fn encryption_key(&self) -> &EncryptionPublicKey {
        &self.encryption_key
    }

    /// The key for revoking the lease set, which is unused today.
    pub fn revocation_key(&self) -> &SigningPublicKey {
        &self.revocation_key
    }

    /// The leases in the order of the encoding; at most 16.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// The encoding, with the signature.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies that the destination signed the lease set.
    ///
    /// # Errors
    ///
    /// If the signature is wrong, or its type is not supported.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let signed = self.bytes.len() - self.signature.as_bytes().len();
        self.destination
            .signing_key()
            .verify(&self.bytes[..signed], &self.signature)
    }
}

impl Codec for LeaseSet {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = r.position();
        let destination = Destination::read(r)?;
        let kind = destination.signature_type();
        let encryption_key = r.take(ELGAMAL_LEN, "encryption public key")?;
        let encryption_key = EncryptionPublicKey::new(EncryptionType::ELGAMAL, encryption_key)?;
        let revocation_key = SigningPublicKey::read(r, kind)?;
        let count = lease::read_count(r)?;
        let leases = (0..count)
            .map(|_| Lease::read(r))
            .collect::<Result<_, _>>()?;
        let signature = Signature::read(r, kind)?;
        Ok(Self {
            bytes: r.taken_since(start).into(),
            destination,
            encryption_key,
            revocation_key,
            leases,
            signature,
        })
    }
}

impl fmt::Debug for LeaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseSet")
            .field("destination", &self.destination)
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}

/// The reason why a lease set cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseSetError {
    /// There are too many leases.
    #[error("a lease set has at most 16 leases, got {0}")]
    TooManyLeases(usize),
    /// There is no encryption key, or there are too many.
    #[error("a lease set has 1 to {max} encryption keys, got {got}")]
    KeyCount {
        /// The largest allowed number.
        max: usize,
        /// The given number.
        got: usize,
    },
    /// Lease sets of type 1 support ElGamal only.
    #[error("a lease set of type 1 needs an ElGamal key, got {0}; use type 3")]
    NotElGamal(EncryptionType),
    /// Lease sets of type 1 have no field for an offline signature.
    #[error("a lease set of type 1 cannot be signed with offline keys; use type 3")]
    OfflineKeys,
    /// The revocation key does not have the type of the destination's key.
    #[error("the revocation key must be of the destination's signature type")]
    RevocationKey,
}

const ELGAMAL_LEN: usize = 256;

#[cfg(test)]
mod tests;
