//! Offline signatures, with which a destination authorizes another key to sign for it.

use crate::{
    codec::{Codec, DecodeError, Reader},
    destination::Destination,
    signature::{Signature, SigningPublicKey},
    signature_error::SignatureError,
    signature_type::SignatureType,
    signing_key::SigningPrivateKey,
};

/// The authorization of a transient key by a destination, with an expiration: common structures
/// specification, section "OfflineSignature".
///
/// The destination's own key can then be kept offline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OfflineSignature {
    expires: u32,
    transient: SigningPublicKey,
    signature: Signature,
}

impl OfflineSignature {
    /// Creates an offline signature from its parts. Nothing is checked until
    /// [`OfflineSignature::verify`].
    pub fn new(expires: u32, transient: SigningPublicKey, signature: Signature) -> Self {
        Self {
            expires,
            transient,
            signature,
        }
    }

    /// Authorizes `transient` to sign for the owner of `key` until `expires`, in seconds since the
    /// epoch.
    pub fn sign(expires: u32, transient: SigningPublicKey, key: &SigningPrivateKey) -> Self {
        let signature = key.sign(&signed_part(expires, &transient));
        Self {
            expires,
            transient,
            signature,
        }
    }

    /// Decodes an offline signature by a destination whose key has the type `kind`.
    ///
    /// # Errors
    ///
    /// If the input is truncated, or the type of one of the two keys is unknown
    /// ([`DecodeError::UnsupportedType`]) and therefore its length.
    pub fn read(r: &mut Reader<'_>, kind: SignatureType) -> Result<Self, DecodeError> {
        let expires = r.u32("offline signature")?;
        let transient_type = SignatureType::read(r)?;
        Ok(Self {
            expires,
            transient: SigningPublicKey::read(r, transient_type)?,
            signature: Signature::read(r, kind)?,
        })
    }

    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&signed_part(self.expires, &self.transient));
        self.signature.encode(out);
    }

    /// The time at which the authorization expires, in seconds since the epoch.
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// The key that signs for the destination.
    pub fn transient(&self) -> &SigningPublicKey {
        &self.transient
    }

    /// The signature by the destination's own key.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Verifies that `destination` signed this, and that it has not expired at `now`, in seconds
    /// since the epoch.
    ///
    /// # Errors
    ///
    /// [`SignatureError::OfflineExpired`] if it has expired. Other errors as for
    /// [`SigningPublicKey::verify`].
    pub fn verify(&self, destination: &Destination, now: u32) -> Result<(), SignatureError> {
        if self.expires <= now {
            return Err(SignatureError::OfflineExpired {
                expired: self.expires,
                now,
            });
        }
        self.verify_signature(destination.signing_key())
    }

    /// Verifies that the owner of `key` signed this. The expiration is not checked.
    ///
    /// # Errors
    ///
    /// As for [`SigningPublicKey::verify`].
    pub fn verify_signature(&self, key: &SigningPublicKey) -> Result<(), SignatureError> {
        key.verify(&signed_part(self.expires, &self.transient), &self.signature)
    }
}

fn signed_part(expires: u32, transient: &SigningPublicKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(6 + transient.as_bytes().len());
    out.extend_from_slice(&expires.to_be_bytes());
    transient.signature_type().encode(&mut out);
    transient.encode(&mut out);
    out
}
