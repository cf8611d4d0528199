//! Private signing keys.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    algorithms::{dsa, ecdsa, eddsa, rsa},
    codec::DecodeError,
    signature::{Signature, SigningPublicKey},
    signature_error::SignatureError,
    signature_type::SignatureType,
};

/// A private signing key.
///
/// The key is expanded once, when it is created, and not for each signature. The bytes are
/// overwritten with zeros when the key is dropped, and `Debug` does not print them.
pub struct SigningPrivateKey {
    kind: SignatureType,
    bytes: Zeroizing<Box<[u8]>>,
    public: SigningPublicKey,
    signer: Signer,
}

impl SigningPrivateKey {
    /// Generates a key.
    ///
    /// # Errors
    ///
    /// [`SignatureError::CannotGenerate`] for RSA, whose keys are generated offline with other
    /// tools, and for types that are not supported.
    pub fn generate<R: CryptoRng + ?Sized>(
        kind: SignatureType,
        rng: &mut R,
    ) -> Result<Self, SignatureError> {
        let private = match kind {
            SignatureType::DSA_SHA1 => dsa::generate(rng),
            SignatureType::ECDSA_SHA256_P256 => ecdsa::p256_sha256::generate(rng),
            SignatureType::ECDSA_SHA384_P384 => ecdsa::p384_sha384::generate(rng),
            SignatureType::ECDSA_SHA512_P521 => ecdsa::p521_sha512::generate(rng),
            SignatureType::ED25519 => eddsa::generate(eddsa::Variant::Ed25519, rng),
            SignatureType::ED25519PH => eddsa::generate(eddsa::Variant::Ed25519ph, rng),
            SignatureType::REDDSA => eddsa::generate(eddsa::Variant::RedDsa, rng),
            other => return Err(SignatureError::CannotGenerate(other)),
        };
        Self::new(kind, &private)
    }

    /// Creates a key from its bytes, in the encoding of the specification: a seed of 32 bytes for
    /// Ed25519, modulus and private exponent for RSA.
    ///
    /// # Errors
    ///
    /// [`SignatureError::UnsupportedType`] if the type is unknown, and
    /// [`SignatureError::BadPrivateKey`] if the length or the value is not valid.
    pub fn new(kind: SignatureType, bytes: &[u8]) -> Result<Self, SignatureError> {
        let length = kind
            .private_len()
            .ok_or(SignatureError::UnsupportedType(kind))?;
        if bytes.len() != length {
            return Err(SignatureError::BadPrivateKey);
        }
        Self::with_signer(kind, bytes, Signer::new(kind, bytes)?)
    }

    /// Creates a key from its bytes, and checks that it belongs to `public`.
    ///
    /// # Errors
    ///
    /// As for [`SigningPrivateKey::new`], and [`SignatureError::BadPrivateKey`] if the key has
    /// another public key.
    pub(crate) fn matching(
        public: &SigningPublicKey,
        bytes: &[u8],
    ) -> Result<Self, SignatureError> {
        let kind = public.signature_type();
        let key = Self::new(kind, bytes)?;
        if key.public == *public {
            return Ok(key);
        }
        if kind == SignatureType::ED25519
            && let Some(signer) = eddsa::Signer::with_cleared_bit(bytes)
        {
            let old = Self::with_signer(kind, bytes, Signer::EdDsa(Box::new(signer)))?;
            if old.public == *public {
                return Ok(old);
            }
        }
        Err(SignatureError::BadPrivateKey)
    }

    /// The algorithm.
    pub fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The key that verifies signatures of this key.
    pub fn public_key(&self) -> &SigningPublicKey {
        &self.public
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Signs `message`.
    ///
    /// Signatures are deterministic with every algorithm, so they do not depend on a random number
    /// generator. The nonce is that of RFC 6979 for DSA and ECDSA, and a hash of key and message
    /// for EdDSA and RedDSA. See also [`SigningPrivateKey::sign_randomized`].
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.sign_parts(&[message])
    }

    /// Signs a message that consists of several parts; see [`SigningPrivateKey::sign`].
    pub fn sign_parts(&self, parts: &[&[u8]]) -> Signature {
        let bytes = match &self.signer {
            Signer::Dsa(signer) => signer.sign(parts),
            Signer::P256(signer) => signer.sign(parts),
            Signer::P384(signer) => signer.sign(parts),
            Signer::P521(signer) => signer.sign(parts),
            Signer::Rsa(signer) => signer.sign(rsa::Content::DigestInfo, parts),
            Signer::EdDsa(signer) => signer.sign(parts),
        };
        Signature::from_signer(self.kind, bytes)
    }

    /// Signs an update file. [`SigningPublicKey::verify_update_file`] verifies the signature.
    pub fn sign_update_file(&self, message: &[u8]) -> Signature {
        match &self.signer {
            Signer::Rsa(signer) => {
                let bytes = signer.sign(rsa::Content::Hash, &[message]);
                Signature::from_signer(self.kind, bytes)
            }
            _ => self.sign(message),
        }
    }

    /// Signs `message`. For RedDSA, the nonce is also derived from 80 random bytes. For other
    /// algorithms, this is the same as [`SigningPrivateKey::sign`].
    ///
    /// The Red25519 specification requires a random nonce, so that the signatures of a message by
    /// one blinded key cannot be linked to each other.
    pub fn sign_randomized<R: CryptoRng + ?Sized>(&self, message: &[u8], rng: &mut R) -> Signature {
        match &self.signer {
            Signer::EdDsa(signer) => {
                Signature::from_signer(self.kind, signer.sign_randomized(&[message], rng))
            }
            _ => self.sign(message),
        }
    }

    fn with_signer(
        kind: SignatureType,
        bytes: &[u8],
        signer: Signer,
    ) -> Result<Self, SignatureError> {
        let public = SigningPublicKey::new(kind, &signer.public())
            .map_err(|_: DecodeError| SignatureError::BadPrivateKey)?;
        Ok(Self {
            kind,
            bytes: Zeroizing::new(bytes.into()),
            public,
            signer,
        })
    }
}

impl Clone for SigningPrivateKey {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            bytes: self.bytes.clone(),
            public: self.public.clone(),
            signer: self.signer.clone(),
        }
    }
}

impl PartialEq for SigningPrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.public == other.public
            && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for SigningPrivateKey {}

impl fmt::Debug for SigningPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningPrivateKey({}, secret)", self.kind)
    }
}

/// An expanded key.
#[derive(Clone)]
enum Signer {
    Dsa(Box<dsa::Signer>),
    P256(Box<ecdsa::p256_sha256::Signer>),
    P384(Box<ecdsa::p384_sha384::Signer>),
    P521(Box<ecdsa::p521_sha512::Signer>),
    Rsa(Box<rsa::Signer>),
    EdDsa(Box<eddsa::Signer>),
}

impl Signer {
    fn new(kind: SignatureType, private: &[u8]) -> Result<Self, SignatureError> {
        let rsa = |variant| rsa::Signer::new(variant, private).map(|s| Self::Rsa(Box::new(s)));
        let eddsa =
            |variant| eddsa::Signer::new(variant, private).map(|s| Self::EdDsa(Box::new(s)));
        match kind {
            SignatureType::DSA_SHA1 => dsa::Signer::new(private).map(|s| Self::Dsa(Box::new(s))),
            SignatureType::ECDSA_SHA256_P256 => {
                ecdsa::p256_sha256::Signer::new(private).map(|s| Self::P256(Box::new(s)))
            }
            SignatureType::ECDSA_SHA384_P384 => {
                ecdsa::p384_sha384::Signer::new(private).map(|s| Self::P384(Box::new(s)))
            }
            SignatureType::ECDSA_SHA512_P521 => {
                ecdsa::p521_sha512::Signer::new(private).map(|s| Self::P521(Box::new(s)))
            }
            SignatureType::RSA_SHA256_2048 => rsa(rsa::Variant::Sha256),
            SignatureType::RSA_SHA384_3072 => rsa(rsa::Variant::Sha384),
            SignatureType::RSA_SHA512_4096 => rsa(rsa::Variant::Sha512),
            SignatureType::ED25519 => eddsa(eddsa::Variant::Ed25519),
            SignatureType::ED25519PH => eddsa(eddsa::Variant::Ed25519ph),
            SignatureType::REDDSA => eddsa(eddsa::Variant::RedDsa),
            other => Err(SignatureError::UnsupportedType(other)),
        }
    }

    fn public(&self) -> Vec<u8> {
        match self {
            Self::Dsa(signer) => signer.public(),
            Self::P256(signer) => signer.public(),
            Self::P384(signer) => signer.public(),
            Self::P521(signer) => signer.public(),
            Self::Rsa(signer) => signer.public(),
            Self::EdDsa(signer) => signer.public(),
        }
    }
}

#[cfg(test)]
mod tests;
