//! Signatures and the public keys that verify them.

use std::fmt;

use crate::{
    algorithms::{dsa, ecdsa, eddsa, rsa},
    base64,
    codec::{DecodeError, Reader},
    signature_error::SignatureError,
    signature_type::SignatureType,
};

/// The longest public key of an unknown type, in bytes.
///
/// Chosen because the largest key planned for I2P, that of ML-DSA-87, has 2592 bytes.
pub(crate) const MAX_UNKNOWN_KEY: usize = 8_192;

/// A signature with its type, which is the type of the signing key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Signature {
    kind: SignatureType,
    bytes: Box<[u8]>,
}

impl Signature {
    /// Creates a signature from its bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::WrongLength`] if `bytes` do not have the length of the type. Any length is
    /// accepted if the type is unknown.
    pub fn new(kind: SignatureType, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length("signature", kind.signature_len(), bytes)?;
        Ok(Self {
            kind,
            bytes: bytes.into(),
        })
    }

    /// Decodes a signature of the type `kind`.
    ///
    /// # Errors
    ///
    /// If the input is truncated, or the type is unknown ([`DecodeError::UnsupportedType`]) and
    /// therefore the length.
    pub fn read(r: &mut Reader<'_>, kind: SignatureType) -> Result<Self, DecodeError> {
        let length = kind.require_signature_len()?;
        Ok(Self {
            kind,
            bytes: r.take(length, "signature")?.into(),
        })
    }

    /// Appends the bytes to `out`, without the type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    /// The algorithm.
    pub fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn from_signer(kind: SignatureType, bytes: Vec<u8>) -> Self {
        Self {
            kind,
            bytes: bytes.into(),
        }
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// A key that verifies signatures.
///
/// Keys are equal if their types and bytes are equal. A key of an unknown type contains all bytes
/// that may belong to it, and cannot verify signatures.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SigningPublicKey {
    kind: SignatureType,
    bytes: Box<[u8]>,
}

impl SigningPublicKey {
    /// Creates a key from its bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::WrongLength`] if `bytes` do not have the length of the type, and
    /// [`DecodeError::TooLong`] if the type is unknown and `bytes` are longer than 8 KiB.
    pub fn new(kind: SignatureType, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length("signing public key", kind.public_len(), bytes)?;
        if bytes.len() > MAX_UNKNOWN_KEY {
            return Err(DecodeError::TooLong {
                what: "signing public key",
                length: bytes.len(),
                limit: MAX_UNKNOWN_KEY,
            });
        }
        Ok(Self {
            kind,
            bytes: bytes.into(),
        })
    }

    /// Decodes a key of the type `kind`.
    ///
    /// # Errors
    ///
    /// If the input is truncated, or the type is unknown ([`DecodeError::UnsupportedType`]) and
    /// therefore the length.
    pub fn read(r: &mut Reader<'_>, kind: SignatureType) -> Result<Self, DecodeError> {
        let length = kind.require_public_len()?;
        Self::new(kind, r.take(length, "signing public key")?)
    }

    /// Appends the bytes to `out`, without the type.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    /// The algorithm.
    pub fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key in I2P's base64, without the type.
    pub fn to_base64(&self) -> String {
        base64::encode(&self.bytes)
    }

    /// Verifies that the owner of this key signed `message`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Wrong`] if the signature does not match the message and the key. Other
    /// errors if the signature cannot be verified.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        self.verify_parts(&[message], signature)
    }

    /// Verifies the signature of a message that consists of several parts, without concatenating
    /// them; see [`SigningPublicKey::verify`].
    ///
    /// # Errors
    ///
    /// As for [`SigningPublicKey::verify`].
    pub fn verify_parts(
        &self,
        parts: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.check(rsa::Content::DigestInfo, parts, signature)
    }

    /// Verifies the signature of a signed update file (SU3), such as a list of routers.
    ///
    /// This is the same as [`SigningPublicKey::verify`], except for RSA: the signature covers the
    /// padded hash without the identifier of the hash algorithm, which PKCS#1 requires. Source:
    /// software updates specification, section "SU3 File Specification".
    ///
    /// # Errors
    ///
    /// As for [`SigningPublicKey::verify`].
    pub fn verify_update_file(
        &self,
        signed: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.check(rsa::Content::Hash, &[signed], signature)
    }

    fn check(
        &self,
        content: rsa::Content,
        parts: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        if signature.kind != self.kind {
            return Err(SignatureError::OtherType {
                key: self.kind,
                signature: signature.kind,
            });
        }
        let (key, bytes) = (&*self.bytes, &*signature.bytes);
        let rsa = |variant| rsa::verify(variant, content, key, parts, bytes);
        match self.kind {
            SignatureType::DSA_SHA1 => dsa::verify(key, parts, bytes),
            SignatureType::ECDSA_SHA256_P256 => ecdsa::p256_sha256::verify(key, parts, bytes),
            SignatureType::ECDSA_SHA384_P384 => ecdsa::p384_sha384::verify(key, parts, bytes),
            SignatureType::ECDSA_SHA512_P521 => ecdsa::p521_sha512::verify(key, parts, bytes),
            SignatureType::RSA_SHA256_2048 => rsa(rsa::Variant::Sha256),
            SignatureType::RSA_SHA384_3072 => rsa(rsa::Variant::Sha384),
            SignatureType::RSA_SHA512_4096 => rsa(rsa::Variant::Sha512),
            SignatureType::ED25519 | SignatureType::REDDSA => eddsa::verify(key, parts, bytes),
            SignatureType::ED25519PH => eddsa::verify_prehashed(key, parts, bytes),
            other => Err(SignatureError::UnsupportedType(other)),
        }
    }
}

impl fmt::Debug for SigningPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningPublicKey({}, ", self.kind)?;
        for byte in self.bytes.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

fn check_length(
    what: &'static str,
    expected: Option<usize>,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    match expected {
        Some(expected) if expected != bytes.len() => Err(DecodeError::WrongLength {
            what,
            expected,
            got: bytes.len(),
        }),
        _ => Ok(()),
    }
}
