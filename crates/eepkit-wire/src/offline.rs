//! Offline signatures: a destination lets another key sign for it until some day.

use crate::{
    codec::{Codec, DecodeError, Reader},
    destination::Destination,
    signature::{Signature, SigningPublicKey},
    signature_error::SignatureError,
    signature_type::SignatureType,
    signing_key::SigningPrivateKey,
};

/// The word of a destination that a transient key signs for it until a date, so that its own key
/// can be kept off line: common structures specification, section "OfflineSignature".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OfflineSignature {
    expires: u32,
    transient: SigningPublicKey,
    signature: Signature,
}

impl OfflineSignature {
    /// The parts as they were read elsewhere; nothing is checked until
    /// [`OfflineSignature::verify`].
    pub fn new(expires: u32, transient: SigningPublicKey, signature: Signature) -> Self {
        Self {
            expires,
            transient,
            signature,
        }
    }

    /// Lets `transient` sign for the owner of `key` until `expires`, in seconds since the epoch.
    pub fn sign(expires: u32, transient: SigningPublicKey, key: &SigningPrivateKey) -> Self {
        let signature = key.sign(&signed_part(expires, &transient));
        Self {
            expires,
            transient,
            signature,
        }
    }

    /// Reads an offline signature by a destination whose keys are of type `kind`.
    ///
    /// # Errors
    ///
    /// The input ends early, or the type of one of the two keys is not known
    /// ([`DecodeError::UnsupportedType`]), so that its length is not.
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

    /// When the transient key loses its right, in seconds since the epoch.
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// The key that signs for the destination.
    pub fn transient(&self) -> &SigningPublicKey {
        &self.transient
    }

    /// What the destination signed this with.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Checks that `destination` made this and that it has not expired at `now`, in seconds since
    /// the epoch.
    ///
    /// # Errors
    ///
    /// [`SignatureError::OfflineExpired`], or what is wrong with the signature.
    pub fn verify(&self, destination: &Destination, now: u32) -> Result<(), SignatureError> {
        if self.expires <= now {
            return Err(SignatureError::OfflineExpired {
                expired: self.expires,
                now,
            });
        }
        self.verify_signature(destination.signing_key())
    }

    /// Checks that the owner of `key` made this, expired or not.
    ///
    /// # Errors
    ///
    /// What is wrong with the signature.
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
