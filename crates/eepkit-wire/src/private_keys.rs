//! Private key files: a destination together with what is needed to be it.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    base64,
    codec::{Codec, DecodeError, Reader},
    destination::Destination,
    offline::OfflineSignature,
    signature::Signature,
    signature_error::SignatureError,
    signature_type::SignatureType,
    signing_key::SigningPrivateKey,
};

/// A destination and its private keys.
///
/// The encoding is the one that SAM, BOB, i2pd and Java I2P share: destination, private encryption
/// key (256 bytes without meaning in today's destinations), private signing key. Where the signing
/// key is all zero, an offline signature and the transient private key follow, and that key signs.
///
/// Secrets are wiped when this is dropped, and `Debug` does not show them. Share it in an `Arc`
/// rather than by copies.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeys {
    destination: Destination,
    encryption: Secret,
    /// What signs: the key of the destination, or the transient one.
    signing: SigningPrivateKey,
    offline: Option<OfflineSignature>,
}

impl PrivateKeys {
    /// Largest encoding that is read, in bytes.
    ///
    /// Chosen because the largest possible one, with RSA keys and signatures throughout, stays
    /// below 12 KiB.
    pub const MAX_LENGTH: usize = 16_384;

    /// A new destination with a signing key of type `kind` and all its keys.
    ///
    /// # Errors
    ///
    /// [`SignatureError::CannotGenerate`] for RSA and unknown types.
    pub fn generate<R: CryptoRng + ?Sized>(
        kind: SignatureType,
        rng: &mut R,
    ) -> Result<Self, SignatureError> {
        let signing = SigningPrivateKey::generate(kind, rng)?;
        Self::from_signing_key(signing, rng)
    }

    /// A new destination for a signing key that exists.
    ///
    /// # Errors
    ///
    /// [`SignatureError::UnsupportedType`] when destinations with such a key have no known layout.
    pub fn from_signing_key<R: CryptoRng + ?Sized>(
        signing: SigningPrivateKey,
        rng: &mut R,
    ) -> Result<Self, SignatureError> {
        let mut padding = [0; 32];
        rng.fill_bytes(&mut padding);
        let destination = Destination::new(signing.public_key(), &padding)
            .map_err(|_: DecodeError| SignatureError::UnsupportedType(signing.signature_type()))?;
        // No one reads this key, but all-zero bytes would look like a broken file.
        let mut encryption = Zeroizing::new(vec![0; ENCRYPTION_LEN].into_boxed_slice());
        rng.fill_bytes(&mut encryption);
        Ok(Self {
            destination,
            encryption: Secret(encryption),
            signing,
            offline: None,
        })
    }

    /// The same destination with a new transient key of type `kind`, which signs for it until
    /// `expires` (seconds since the epoch). The result does not hold the destination's own key.
    ///
    /// # Errors
    ///
    /// [`SignatureError::CannotGenerate`] for RSA and unknown types, and
    /// [`SignatureError::BadPrivateKey`] when these keys are offline keys themselves: only the
    /// destination's own key can let another one sign.
    pub fn with_transient<R: CryptoRng + ?Sized>(
        &self,
        expires: u32,
        kind: SignatureType,
        rng: &mut R,
    ) -> Result<Self, SignatureError> {
        if self.offline.is_some() {
            return Err(SignatureError::BadPrivateKey);
        }
        let transient = SigningPrivateKey::generate(kind, rng)?;
        let offline =
            OfflineSignature::sign(expires, transient.public_key().clone(), &self.signing);
        Ok(Self {
            destination: self.destination.clone(),
            encryption: self.encryption.clone(),
            signing: transient,
            offline: Some(offline),
        })
    }

    /// Reads the encoding, which must fill `bytes`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Decode`] when the bytes are not a key file, [`KeyError::Signature`] when
    /// private and public keys do not belong together or the offline signature is not by this
    /// destination. An offline signature that has expired is not an error here: see
    /// [`OfflineSignature::expires`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > Self::MAX_LENGTH {
            return Err(KeyError::Decode(DecodeError::TooLong {
                what: "private key file",
                length: bytes.len(),
                limit: Self::MAX_LENGTH,
            }));
        }
        let mut r = Reader::new(bytes);
        let keys = Self::read(&mut r)?;
        r.finish("private key file")?;
        Ok(keys)
    }

    /// Reads the encoding in I2P's base64, as SAM takes it.
    ///
    /// # Errors
    ///
    /// As [`PrivateKeys::from_bytes`], and when the text is not base64.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&Zeroizing::new(base64::decode(text)?))
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Enough that the vector never grows and leaves a copy of a secret behind.
        let mut out = Zeroizing::new(Vec::with_capacity(Self::MAX_LENGTH));
        self.destination.encode(&mut out);
        out.extend_from_slice(&self.encryption.0);
        match &self.offline {
            None => out.extend_from_slice(self.signing.as_bytes()),
            Some(offline) => {
                let own = self.destination.signature_type();
                let length = own.private_len().unwrap_or_default();
                out.extend(std::iter::repeat_n(0, length));
                offline.encode(&mut out);
                out.extend_from_slice(self.signing.as_bytes());
            }
        }
        out
    }

    /// The encoding in I2P's base64, as SAM takes it.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(base64::encode(&self.to_bytes()))
    }

    /// The destination.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Signs for the destination, with the transient key if there is one.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.signing.sign(message)
    }

    /// As [`PrivateKeys::sign`], of a message that lies in several places.
    pub fn sign_parts(&self, parts: &[&[u8]]) -> Signature {
        self.signing.sign_parts(parts)
    }

    /// The type of the signatures that [`PrivateKeys::sign`] makes.
    pub fn signature_type(&self) -> SignatureType {
        self.signing.signature_type()
    }

    /// The key that signs: the transient one if there is one.
    pub fn signing_key(&self) -> &SigningPrivateKey {
        &self.signing
    }

    /// What gives the transient key its right, when these are offline keys.
    pub fn offline(&self) -> Option<&OfflineSignature> {
        self.offline.as_ref()
    }

    /// The private encryption key of the file. Lease sets have keys of their own, so nothing uses
    /// it; it is kept as it is.
    pub fn encryption_private_key(&self) -> &[u8] {
        &self.encryption.0
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, KeyError> {
        let destination = Destination::read(r)?;
        let encryption_type = destination.certificate().encryption_type();
        let length = encryption_type
            .private_len()
            .ok_or(DecodeError::UnsupportedType {
                what: "encryption type",
                code: encryption_type.0,
            })?;
        let encryption = r.take(length, "private encryption key")?;
        let kind = destination.signature_type();
        let length = kind.private_len().ok_or_else(|| kind.unsupported())?;
        let private = r.take(length, "private signing key")?;
        let (signing, offline) = if bool::from(private.ct_eq(&vec![0; length])) {
            let offline = OfflineSignature::read(r, kind)?;
            offline.verify_signature(destination.signing_key())?;
            let transient = offline.transient();
            let kind = transient.signature_type();
            let length = kind.private_len().ok_or_else(|| kind.unsupported())?;
            let private = r.take(length, "transient private key")?;
            let signing = SigningPrivateKey::matching(transient, private)?;
            (signing, Some(offline))
        } else {
            let signing = SigningPrivateKey::matching(destination.signing_key(), private)?;
            (signing, None)
        };
        Ok(Self {
            destination,
            encryption: Secret(Zeroizing::new(encryption.into())),
            signing,
            offline,
        })
    }
}

impl fmt::Debug for PrivateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKeys")
            .field("destination", &self.destination)
            .field("signing", &self.signing)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not a private key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes have another shape.
    #[error("not a private key file: {0}")]
    Decode(#[from] DecodeError),
    /// A key cannot be used, does not belong to the destination, or is not entitled by it.
    #[error("keys in the private key file do not fit: {0}")]
    Signature(#[from] SignatureError),
}

/// Bytes that compare in constant time and are wiped on drop.
#[derive(Clone)]
struct Secret(Zeroizing<Box<[u8]>>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

/// Length of the private encryption key of a new destination, in bytes: that of ElGamal, the type
/// which every destination states.
const ENCRYPTION_LEN: usize = 256;

#[cfg(test)]
mod tests;
