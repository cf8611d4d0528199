//! The keys to which messages to a destination are encrypted.
//!
//! The router encrypts and decrypts, not this library. A client generates the key pairs, publishes
//! the public keys in its lease sets, and sends the private keys to its router.

use std::{fmt, str::FromStr};

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    base64,
    codec::{Codec, DecodeError, Reader},
    signature::MAX_UNKNOWN_KEY,
};

/// An encryption algorithm, identified by its number in certificates and lease sets.
///
/// Unknown numbers are allowed, so that lease sets with keys of unknown types can be decoded.
///
/// Source of numbers and lengths: common structures specification, sections "Key Certificates",
/// "PublicKey" and "PrivateKey".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncryptionType(pub u16);

impl EncryptionType {
    /// ElGamal, 2048 bits. Obsolete in lease sets. It is also the type in the certificate of nearly
    /// every destination, where the field is unused.
    pub const ELGAMAL: Self = Self(0);
    /// ECIES on P-256. Not used in lease sets.
    pub const P256: Self = Self(1);
    /// ECIES on P-384. Not used in lease sets.
    pub const P384: Self = Self(2);
    /// ECIES on P-521. Not used in lease sets.
    pub const P521: Self = Self(3);
    /// ECIES with X25519: the default.
    pub const X25519: Self = Self(4);
    /// ML-KEM-512 combined with X25519.
    pub const MLKEM512_X25519: Self = Self(5);
    /// ML-KEM-768 combined with X25519.
    pub const MLKEM768_X25519: Self = Self(6);
    /// ML-KEM-1024 combined with X25519.
    pub const MLKEM1024_X25519: Self = Self(7);

    /// The length of a public key in bytes, or `None` if the algorithm is unknown.
    ///
    /// The hybrid types publish only their X25519 key.
    pub fn public_len(self) -> Option<usize> {
        self.row().map(|row| row.1)
    }

    /// The length of a private key in bytes, or `None` if the algorithm is unknown.
    pub fn private_len(self) -> Option<usize> {
        self.row().map(|row| row.2)
    }

    /// The official name, such as `ECIES_X25519`, or `None` if the algorithm is unknown.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.3)
    }

    /// Whether [`EncryptionKeyPair::generate`] supports this type.
    pub fn can_generate(self) -> bool {
        matches!(
            self,
            Self::X25519 | Self::MLKEM512_X25519 | Self::MLKEM768_X25519 | Self::MLKEM1024_X25519
        )
    }

    /// The length of a public key, or an error if the algorithm is unknown.
    pub(crate) fn require_public_len(self) -> Result<usize, DecodeError> {
        self.public_len().ok_or(DecodeError::UnsupportedType {
            what: "encryption type",
            code: self.0,
        })
    }

    fn row(self) -> Option<&'static (Self, usize, usize, &'static str)> {
        ROWS.iter().find(|row| row.0 == self)
    }
}

impl Default for EncryptionType {
    /// X25519, which every router since 2020 supports.
    fn default() -> Self {
        Self::X25519
    }
}

impl Codec for EncryptionType {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u16("encryption type").map(Self)
    }
}

impl FromStr for EncryptionType {
    type Err = ParseEncryptionTypeError;

    /// Parses the number, or the name of a known algorithm in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(code) = text.parse::<u16>() {
            return Ok(Self(code));
        }
        ROWS.iter()
            .find(|row| row.3.eq_ignore_ascii_case(text))
            .map(|row| row.0)
            .ok_or(ParseEncryptionTypeError)
    }
}

impl fmt::Display for EncryptionType {
    /// Writes the official name, or the number of an unknown algorithm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl fmt::Debug for EncryptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("unknown");
        write!(f, "EncryptionType({} {name})", self.0)
    }
}

/// The text is not an encryption type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown encryption type, use a number or a name such as ECIES_X25519")]
pub struct ParseEncryptionTypeError;

/// A public encryption key with its type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptionPublicKey {
    kind: EncryptionType,
    bytes: Box<[u8]>,
}

impl EncryptionPublicKey {
    /// Creates a key from its bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::WrongLength`] if `bytes` do not have the length of the type, and
    /// [`DecodeError::TooLong`] if the type is unknown and `bytes` are longer than 8 KiB.
    pub fn new(kind: EncryptionType, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length("encryption public key", kind.public_len(), bytes)?;
        Ok(Self {
            kind,
            bytes: bytes.into(),
        })
    }

    /// The algorithm.
    pub fn encryption_type(&self) -> EncryptionType {
        self.kind
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Codec for EncryptionPublicKey {
    /// Appends type, length and key, as in a lease set of type 3.
    fn encode(&self, out: &mut Vec<u8>) {
        self.kind.encode(out);
        // `new` accepts at most 8 KiB.
        out.extend_from_slice(&(self.bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = EncryptionType::read(r)?;
        let length = usize::from(r.u16("encryption public key")?);
        Self::new(kind, r.take(length, "encryption public key")?)
    }
}

impl fmt::Debug for EncryptionPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionPublicKey({}, ", self.kind)?;
        for byte in self.bytes.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// A private encryption key with its type.
///
/// The bytes are overwritten with zeros when the key is dropped. `Debug` does not print them.
#[derive(Clone)]
pub struct EncryptionPrivateKey {
    kind: EncryptionType,
    bytes: Zeroizing<Box<[u8]>>,
}

impl EncryptionPrivateKey {
    /// Creates a key from its bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::WrongLength`] if `bytes` do not have the length of the type, and
    /// [`DecodeError::TooLong`] if the type is unknown and `bytes` are longer than 8 KiB.
    pub fn new(kind: EncryptionType, bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length("encryption private key", kind.private_len(), bytes)?;
        Ok(Self {
            kind,
            bytes: Zeroizing::new(bytes.into()),
        })
    }

    /// The algorithm.
    pub fn encryption_type(&self) -> EncryptionType {
        self.kind
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Codec for EncryptionPrivateKey {
    /// Appends type, length and key, as in I2CP's `CreateLeaseSet2`.
    fn encode(&self, out: &mut Vec<u8>) {
        self.kind.encode(out);
        // `new` accepts at most 8 KiB.
        out.extend_from_slice(&(self.bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = EncryptionType::read(r)?;
        let length = usize::from(r.u16("encryption private key")?);
        Self::new(kind, r.take(length, "encryption private key")?)
    }
}

impl PartialEq for EncryptionPrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for EncryptionPrivateKey {}

impl fmt::Debug for EncryptionPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionPrivateKey({}, secret)", self.kind)
    }
}

/// A public encryption key and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKeyPair {
    public: EncryptionPublicKey,
    private: EncryptionPrivateKey,
}

impl EncryptionKeyPair {
    /// Generates a key pair.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] unless the type is X25519 or a hybrid of X25519 and ML-KEM.
    /// For ElGamal, pass two existing keys to [`EncryptionKeyPair::new`].
    pub fn generate<R: CryptoRng + ?Sized>(
        kind: EncryptionType,
        rng: &mut R,
    ) -> Result<Self, DecodeError> {
        if !kind.can_generate() {
            return Err(unsupported(kind));
        }
        let mut secret = Zeroizing::new([0; X25519_LEN]);
        rng.fill_bytes(secret.as_mut_slice());
        Self::from_private(EncryptionPrivateKey::new(kind, secret.as_slice())?)
    }

    /// Creates a key pair from a private key. The public key is computed.
    ///
    /// # Errors
    ///
    /// As [`EncryptionKeyPair::generate`].
    pub fn from_private(private: EncryptionPrivateKey) -> Result<Self, DecodeError> {
        let kind = private.kind;
        if !kind.can_generate() {
            return Err(unsupported(kind));
        }
        let secret: [u8; X25519_LEN] =
            (&**private.bytes)
                .try_into()
                .map_err(|_| DecodeError::WrongLength {
                    what: "encryption private key",
                    expected: X25519_LEN,
                    got: private.bytes.len(),
                })?;
        let secret = x25519_dalek::StaticSecret::from(secret);
        let public = x25519_dalek::PublicKey::from(&secret);
        Ok(Self {
            public: EncryptionPublicKey::new(kind, public.as_bytes())?,
            private,
        })
    }

    /// Creates a key pair from two keys. It is not checked that they belong together.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Invalid`] if the keys have different types.
    pub fn new(
        public: EncryptionPublicKey,
        private: EncryptionPrivateKey,
    ) -> Result<Self, DecodeError> {
        if public.kind != private.kind {
            return Err(DecodeError::Invalid {
                what: "encryption key pair",
                why: "public and private key are of different types",
            });
        }
        Ok(Self { public, private })
    }

    /// The algorithm.
    pub fn encryption_type(&self) -> EncryptionType {
        self.public.kind
    }

    /// The public key.
    pub fn public_key(&self) -> &EncryptionPublicKey {
        &self.public
    }

    /// The private key.
    pub fn private_key(&self) -> &EncryptionPrivateKey {
        &self.private
    }
}

/// Parses the format of options: base64, or type, colon and base64.
///
/// The type may be a name or a number. The default is ElGamal, because the format without a type is
/// older than other types.
impl FromStr for EncryptionPrivateKey {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, key) = match text.split_once(':') {
            Some((kind, key)) => (
                kind.parse().map_err(|_| DecodeError::Invalid {
                    what: "encryption private key",
                    why: "unknown encryption type before the colon",
                })?,
                key,
            ),
            None => (EncryptionType::ELGAMAL, text),
        };
        Self::new(kind, &Zeroizing::new(base64::decode(key)?))
    }
}

const X25519_LEN: usize = 32;

/// Type, length of the public key, length of the private key (both in bytes), name.
const ROWS: [(EncryptionType, usize, usize, &str); 8] = [
    (EncryptionType::ELGAMAL, 256, 256, "ELGAMAL_2048"),
    (EncryptionType::P256, 64, 32, "EC_P256"),
    (EncryptionType::P384, 96, 48, "EC_P384"),
    (EncryptionType::P521, 132, 66, "EC_P521"),
    (EncryptionType::X25519, 32, 32, "ECIES_X25519"),
    (EncryptionType::MLKEM512_X25519, 32, 32, "MLKEM512_X25519"),
    (EncryptionType::MLKEM768_X25519, 32, 32, "MLKEM768_X25519"),
    (EncryptionType::MLKEM1024_X25519, 32, 32, "MLKEM1024_X25519"),
];

fn unsupported(kind: EncryptionType) -> DecodeError {
    DecodeError::UnsupportedType {
        what: "generation of keys of encryption type",
        code: kind.0,
    }
}

fn check_length(
    what: &'static str,
    expected: Option<usize>,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let got = bytes.len();
    match expected {
        Some(expected) if expected != got => Err(DecodeError::WrongLength {
            what,
            expected,
            got,
        }),
        None if got > MAX_UNKNOWN_KEY => Err(DecodeError::TooLong {
            what,
            length: got,
            limit: MAX_UNKNOWN_KEY,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
