//! Signature algorithms, identified by their numbers.

use std::{fmt, str::FromStr};

use crate::codec::{Codec, DecodeError, Reader};

/// A signature algorithm, identified by its number in certificates and lease sets.
///
/// Unknown numbers are allowed, so that destinations with unknown algorithms can be decoded, stored
/// and encoded. Only verifying and signing with them fails.
///
/// Source of numbers and lengths: common structures specification, sections "Key Certificates",
/// "SigningPublicKey", "SigningPrivateKey" and "Signature".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignatureType(pub u16);

impl SignatureType {
    /// DSA with SHA-1 (1024 bits): the type of destinations without a key certificate. Obsolete.
    pub const DSA_SHA1: Self = Self(0);
    /// ECDSA on P-256 with SHA-256.
    pub const ECDSA_SHA256_P256: Self = Self(1);
    /// ECDSA on P-384 with SHA-384.
    pub const ECDSA_SHA384_P384: Self = Self(2);
    /// ECDSA on P-521 with SHA-512.
    pub const ECDSA_SHA512_P521: Self = Self(3);
    /// RSA 2048 bits, PKCS#1 v1.5, SHA-256. For offline keys and update files.
    pub const RSA_SHA256_2048: Self = Self(4);
    /// RSA 3072 bits, PKCS#1 v1.5, SHA-384. For offline keys and update files.
    pub const RSA_SHA384_3072: Self = Self(5);
    /// RSA 4096 bits, PKCS#1 v1.5, SHA-512. For offline keys and update files.
    pub const RSA_SHA512_4096: Self = Self(6);
    /// Ed25519: the default.
    pub const ED25519: Self = Self(7);
    /// Ed25519ph, the prehashed variant. For offline keys and update files.
    pub const ED25519PH: Self = Self(8);
    /// GOST R 34.10-2012 with 256 bits. Not implemented; only the lengths are known.
    pub const GOST_256: Self = Self(9);
    /// GOST R 34.10-2012 with 512 bits. Not implemented; only the lengths are known.
    pub const GOST_512: Self = Self(10);
    /// RedDSA on Ed25519, for destinations whose lease sets are encrypted.
    pub const REDDSA: Self = Self(11);

    /// The length of a public key in bytes, or `None` if the algorithm is unknown.
    pub fn public_len(self) -> Option<usize> {
        self.row().map(|row| row.public)
    }

    /// The length of a private key in bytes, or `None` if the algorithm is unknown.
    pub fn private_len(self) -> Option<usize> {
        self.row().map(|row| row.private)
    }

    /// The length of a signature in bytes, or `None` if the algorithm is unknown.
    pub fn signature_len(self) -> Option<usize> {
        self.row().map(|row| row.signature)
    }

    /// The official name, such as `EdDSA_SHA512_Ed25519`, or `None` if the algorithm is unknown.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// Whether this library can verify signatures of this type.
    pub fn is_supported(self) -> bool {
        matches!(self.0, 0..=8 | 11)
    }

    /// The length of a signature, or an error if the algorithm is unknown.
    pub(crate) fn require_signature_len(self) -> Result<usize, DecodeError> {
        self.signature_len().ok_or_else(|| self.unsupported())
    }

    /// The length of a public key, or an error if the algorithm is unknown.
    pub(crate) fn require_public_len(self) -> Result<usize, DecodeError> {
        self.public_len().ok_or_else(|| self.unsupported())
    }

    pub(crate) fn unsupported(self) -> DecodeError {
        DecodeError::UnsupportedType {
            what: "signature type",
            code: self.0,
        }
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.code == self)
    }
}

impl Default for SignatureType {
    /// Ed25519, the default of routers for new destinations since 2015.
    fn default() -> Self {
        Self::ED25519
    }
}

impl Codec for SignatureType {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u16("signature type").map(Self)
    }
}

impl FromStr for SignatureType {
    type Err = ParseSignatureTypeError;

    /// Parses the number, or the name of a known algorithm in any case. This is the format of SAM's
    /// `SIGNATURE_TYPE`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(code) = text.parse::<u16>() {
            return Ok(Self(code));
        }
        ROWS.iter()
            .find(|row| row.names().any(|name| name.eq_ignore_ascii_case(text)))
            .map(|row| row.code)
            .ok_or(ParseSignatureTypeError)
    }
}

impl fmt::Display for SignatureType {
    /// Writes the official name, or the number of an unknown algorithm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl fmt::Debug for SignatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignatureType({} {})",
            self.0,
            self.name().unwrap_or("unknown")
        )
    }
}

/// The text is not a signature type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown signature type, use a number or a name such as EdDSA_SHA512_Ed25519")]
pub struct ParseSignatureTypeError;

struct Row {
    code: SignatureType,
    name: &'static str,
    /// Another name in use, such as the name without the hash.
    alias: &'static str,
    public: usize,
    private: usize,
    signature: usize,
}

impl Row {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name, self.alias].into_iter()
    }
}

const fn row(
    code: SignatureType,
    name: &'static str,
    alias: &'static str,
    [public, private, signature]: [usize; 3],
) -> Row {
    Row {
        code,
        name,
        alias,
        public,
        private,
        signature,
    }
}

/// Lengths in bytes: public key, private key, signature. An RSA private key is the modulus and the
/// private exponent, each as long as the public key. The GOST rows are those of proposal 134.
const ROWS: [Row; 12] = [
    row(SignatureType::DSA_SHA1, "DSA_SHA1", "DSA", [128, 20, 40]),
    row(
        SignatureType::ECDSA_SHA256_P256,
        "ECDSA_SHA256_P256",
        "ECDSA_P256",
        [64, 32, 64],
    ),
    row(
        SignatureType::ECDSA_SHA384_P384,
        "ECDSA_SHA384_P384",
        "ECDSA_P384",
        [96, 48, 96],
    ),
    row(
        SignatureType::ECDSA_SHA512_P521,
        "ECDSA_SHA512_P521",
        "ECDSA_P521",
        [132, 66, 132],
    ),
    row(
        SignatureType::RSA_SHA256_2048,
        "RSA_SHA256_2048",
        "RSA_2048",
        [256, 512, 256],
    ),
    row(
        SignatureType::RSA_SHA384_3072,
        "RSA_SHA384_3072",
        "RSA_3072",
        [384, 768, 384],
    ),
    row(
        SignatureType::RSA_SHA512_4096,
        "RSA_SHA512_4096",
        "RSA_4096",
        [512, 1024, 512],
    ),
    row(
        SignatureType::ED25519,
        "EdDSA_SHA512_Ed25519",
        "Ed25519",
        [32, 32, 64],
    ),
    row(
        SignatureType::ED25519PH,
        "EdDSA_SHA512_Ed25519ph",
        "Ed25519ph",
        [32, 32, 64],
    ),
    row(
        SignatureType::GOST_256,
        "GOST_GOSTR3411256_GOSTR3410CRYPTOPROA",
        "GOST_256",
        [64, 32, 64],
    ),
    row(
        SignatureType::GOST_512,
        "GOST_GOSTR3411512_GOSTR3410TC26A512",
        "GOST_512",
        [128, 64, 128],
    ),
    row(
        SignatureType::REDDSA,
        "RedDSA_SHA512_Ed25519",
        "RedDSA",
        [32, 32, 64],
    ),
];

#[cfg(test)]
mod tests;
