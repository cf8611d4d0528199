//! A destination with its private keys, the content of a private key file.

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
/// SAM, BOB, i2pd and Java I2P share the encoding: destination, private encryption key (256 unused
/// bytes in today's destinations), private signing key. If all bytes of the signing key are zero,
/// an offline signature and the transient private key follow, and the transient key signs.
///
/// Secrets are overwritten with zeros when the value is dropped, and `Debug` does not print them.
/// To avoid copies of secrets, share the value in an `Arc`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeys {
    destination: Destination,
    encryption: Secret,
    /// The key that signs: the key of the destination, or the transient key.
    signing: SigningPrivateKey,
    offline: Option<OfflineSignature>,
}

impl PrivateKeys {
    /// The longest encoding that is accepted, in bytes.
    ///
    /// Chosen because the longest valid encoding, with RSA keys and signatures, is shorter than
    /// 12 KiB.
    pub const MAX_LENGTH: usize = 16_384;

    /// Generates a destination with a signing key of type `kind`.
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

    /// Creates a new destination for an existing signing key.
    ///
    /// # Errors
    ///
    /// [`SignatureError::UnsupportedType`] if a destination cannot have a key of this type.
    pub fn from_signing_key<R: CryptoRng + ?Sized>(
        signing: SigningPrivateKey,
        rng: &mut R,
    ) -> Result<Self, SignatureError> {
        let mut padding = [0; 32];
        rng.fill_bytes(&mut padding);
        let destination = Destination::new(signing.public_key(), &padding)
            .map_err(|_: DecodeError| SignatureError::UnsupportedType(signing.signature_type()))?;
        // The key is unused, but zeros would look like a damaged file.
        let mut encryption = Zeroizing::new(vec![0; ENCRYPTION_LEN].into_boxed_slice());
        rng.fill_bytes(&mut encryption);
        Ok(Self {
            destination,
            encryption: Secret(encryption),
            signing,
            offline: None,
        })
    }

    /// Generates offline keys: the same destination with a new transient key of type `kind`, which
    /// signs for it until `expires` (seconds since the epoch). The result does not contain the
    /// destination's own key.
    ///
    /// # Errors
    ///
    /// [`SignatureError::CannotGenerate`] for RSA and unknown types, and
    /// [`SignatureError::BadPrivateKey`] if these keys are offline keys already: only the
    /// destination's own key can authorize another one.
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

    /// Decodes keys. The encoding must fill `bytes`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Decode`] if the bytes are not a key file. [`KeyError::Signature`] if private and
    /// public keys do not belong together, or the offline signature is not by this destination. An
    /// expired offline signature is not an error: see [`OfflineSignature::expires`].
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

    /// Decodes keys in I2P's base64, the form in SAM.
    ///
    /// # Errors
    ///
    /// As for [`PrivateKeys::from_bytes`], and if the text is not base64.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&base64::decode_secret(text)?)
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // With this capacity the vector does not grow, which would leave copies of secrets in
        // memory.
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

    /// The encoding in I2P's base64, the form in SAM.
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

    /// Signs a message that consists of several parts; see [`PrivateKeys::sign`].
    pub fn sign_parts(&self, parts: &[&[u8]]) -> Signature {
        self.signing.sign_parts(parts)
    }

    /// The type of the signatures that [`PrivateKeys::sign`] returns.
    pub fn signature_type(&self) -> SignatureType {
        self.signing.signature_type()
    }

    /// The key that signs: the transient key if there is one.
    pub fn signing_key(&self) -> &SigningPrivateKey {
        &self.signing
    }

    /// The authorization of the transient key, if these are offline keys.
    pub fn offline(&self) -> Option<&OfflineSignature> {
        self.offline.as_ref()
    }

    /// The private encryption key of the file, unchanged. It is unused, because lease sets have
    /// separate keys.
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

/// The reason why bytes are not a private key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes do not have the layout of a private key file.
    #[error("not a private key file: {0}")]
    Decode(#[from] DecodeError),
    /// A key is malformed, does not belong to the destination, or is not authorized by it.
    #[error("keys in the private key file are not valid: {0}")]
    Signature(#[from] SignatureError),
    /// The file has no content.
    #[error("the file is empty")]
    Empty,
    /// The file is longer than any private key file.
    #[error("not a private key file: it is too long")]
    TooLong,
    /// The file contains a destination without its private keys.
    #[error("the file contains a destination, but no private keys")]
    Public,
    /// The file is a PEM file.
    #[error("the file is in the PEM format, which I2P does not use for destinations")]
    Pem,
    /// The file is text in UTF-16.
    #[error("the file is text in UTF-16: save it as UTF-8 or ASCII")]
    Utf16,
    /// A text contains a character that is not base64.
    #[error("not base64: line {line}, column {column} is a character of no base64 alphabet")]
    Character {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// A text continues after its padding.
    #[error(
        "not base64: line {line}, column {column} is behind the padding (=): the file must contain \
         one key and nothing else"
    )]
    Continued {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// A text is base64, but not that of private keys.
    #[error(
        "the text is base64, but not that of private keys: characters are missing, or it is \
         something else"
    )]
    Characters,
}

/// Bytes that are compared in constant time, and overwritten with zeros when they are dropped.
#[derive(Clone)]
struct Secret(Zeroizing<Box<[u8]>>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

/// The length of the private encryption key of a new destination, in bytes: that of ElGamal, the
/// type in the certificate of a new destination.
const ENCRYPTION_LEN: usize = 256;

#[cfg(test)]
mod tests;
