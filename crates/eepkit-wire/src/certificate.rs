//! Certificates, which follow the keys of a destination and contain their types.

use std::fmt;

use crate::{
    codec::{Codec, DecodeError, Reader},
    encryption::EncryptionType,
    signature::MAX_UNKNOWN_KEY,
    signature_type::SignatureType,
};

/// A certificate: common structures specification, section "Certificate".
///
/// Only [`Certificate::Null`] and [`Certificate::Key`] are in use. Others are decoded and encoded
/// unchanged, because the hash of a destination covers its certificate.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Certificate {
    /// The keys are ElGamal and DSA-SHA1, and fill their fields.
    Null,
    /// The types of the keys, and the key bytes that do not fit into the fields.
    Key(KeyCertificate),
    /// Any other type (1 to 4, 6 to 255) with its payload, which is not interpreted.
    Other {
        /// The type number.
        kind: u8,
        /// The payload.
        payload: Box<[u8]>,
    },
}

/// The payload of a key certificate.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyCertificate {
    /// The type of the signing key.
    pub signature_type: SignatureType,
    /// The type of the encryption key. It is ElGamal in nearly every destination, where the
    /// encryption key is unused.
    pub encryption_type: EncryptionType,
    /// The key bytes that do not fit into the fields: those of the encryption key, then those of
    /// the signing key.
    pub excess: Box<[u8]>,
}

impl Certificate {
    /// The longest payload that is accepted, in bytes.
    ///
    /// Chosen as about three times the 2592 bytes of the largest signing key planned for I2P. A
    /// destination is then at most 9 KiB long.
    pub const MAX_PAYLOAD: usize = MAX_UNKNOWN_KEY - SIGNING_FIELD;

    /// The type of the signing key.
    pub fn signature_type(&self) -> SignatureType {
        match self {
            Self::Key(key) => key.signature_type,
            Self::Null | Self::Other { .. } => SignatureType::DSA_SHA1,
        }
    }

    /// The type of the encryption key.
    pub fn encryption_type(&self) -> EncryptionType {
        match self {
            Self::Key(key) => key.encryption_type,
            Self::Null | Self::Other { .. } => EncryptionType::ELGAMAL,
        }
    }
}

impl KeyCertificate {
    /// The number of bytes of a signing key that are in the certificate, because they exceed the
    /// 128 bytes of the field. `None` if the type is unknown.
    pub(crate) fn signing_excess(signature_type: SignatureType) -> Option<usize> {
        signature_type
            .public_len()
            .map(|length| length.saturating_sub(SIGNING_FIELD))
    }

    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload);
        let key = Self {
            signature_type: SignatureType::read(&mut r)?,
            encryption_type: EncryptionType::read(&mut r)?,
            excess: r.take_rest().into(),
        };
        // No encryption key of a known type is longer than its field. If both types are known, the
        // length of the excess is therefore known too. If not, all of it may belong to a key.
        if let Some(signing) = Self::signing_excess(key.signature_type) {
            if key.excess.len() < signing {
                return Err(DecodeError::MissingData("key certificate"));
            }
            if key.excess.len() > signing && key.encryption_type.public_len().is_some() {
                return Err(DecodeError::TrailingData("key certificate"));
            }
        }
        Ok(key)
    }
}

impl Codec for Certificate {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, length) = match self {
            Self::Null => (NULL, 0),
            Self::Key(key) => (KEY, 4 + key.excess.len()),
            Self::Other { kind, payload } => (*kind, payload.len()),
        };
        out.push(kind);
        // The length fits, because `read` accepts at most `MAX_PAYLOAD` bytes, and keys of known
        // types are shorter.
        out.extend_from_slice(&(length as u16).to_be_bytes());
        match self {
            Self::Null => {}
            Self::Key(key) => {
                key.signature_type.encode(out);
                key.encryption_type.encode(out);
                out.extend_from_slice(&key.excess);
            }
            Self::Other { payload, .. } => out.extend_from_slice(payload),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = r.u8("certificate type")?;
        let length = usize::from(r.u16("certificate length")?);
        if length > Self::MAX_PAYLOAD {
            return Err(DecodeError::TooLong {
                what: "certificate",
                length,
                limit: Self::MAX_PAYLOAD,
            });
        }
        let payload = r.take(length, "certificate")?;
        match kind {
            NULL | HIDDEN if !payload.is_empty() => Err(DecodeError::Invalid {
                what: "certificate",
                why: "a certificate of this type has no payload",
            }),
            NULL => Ok(Self::Null),
            KEY => KeyCertificate::read(payload).map(Self::Key),
            kind => Ok(Self::Other {
                kind,
                payload: payload.into(),
            }),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Key(key) => key.fmt(f),
            Self::Other { kind, payload } => {
                write!(f, "Other({kind}, {} bytes)", payload.len())
            }
        }
    }
}

impl fmt::Debug for KeyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Key({}, {}, {} excess bytes)",
            self.signature_type,
            self.encryption_type,
            self.excess.len()
        )
    }
}

/// The length of the encryption key's field in a destination, in bytes.
pub(crate) const ENCRYPTION_FIELD: usize = 256;

/// The length of the signing key's field in a destination, in bytes.
pub(crate) const SIGNING_FIELD: usize = 128;

const NULL: u8 = 0;
const HIDDEN: u8 = 2;
const KEY: u8 = 5;
