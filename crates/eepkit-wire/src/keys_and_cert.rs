//! Two public keys and a certificate: the common part of destinations and router identities.

use crate::{
    certificate::{Certificate, ENCRYPTION_FIELD, KeyCertificate, SIGNING_FIELD},
    codec::{Codec, DecodeError, Reader},
    encryption::{EncryptionPublicKey, EncryptionType},
    hash::Hash,
    signature::SigningPublicKey,
    signature_type::SignatureType,
};

/// The structure "KeysAndCert" of the common structures specification, with its received bytes.
///
/// The hash covers all received bytes, so they are stored unchanged, including padding and unknown
/// certificates.
pub(crate) struct KeysAndCert {
    bytes: Box<[u8]>,
    hash: Hash,
    signing_key: SigningPublicKey,
    certificate: Certificate,
}

impl KeysAndCert {
    /// The length of the shortest encoding, in bytes: two key fields and an empty certificate.
    pub(crate) const MIN_LENGTH: usize = ENCRYPTION_FIELD + SIGNING_FIELD + 3;

    /// Combines the keys. `padding` is repeated over the bytes that no key occupies.
    ///
    /// `encryption_key` is `None` for a destination, which has no encryption key. The field then
    /// contains padding, and the type in the certificate is ElGamal.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedType`] if the type of a key is unknown.
    pub(crate) fn new(
        encryption_key: Option<&EncryptionPublicKey>,
        signing_key: &SigningPublicKey,
        padding: &[u8; 32],
    ) -> Result<Self, DecodeError> {
        let signature_type = signing_key.signature_type();
        signature_type.require_public_len()?;
        let (encryption_type, encryption_key) = match encryption_key {
            None => (EncryptionType::ELGAMAL, &[][..]),
            Some(key) => {
                let kind = key.encryption_type();
                kind.require_public_len()?;
                (kind, key.as_bytes())
            }
        };
        let key = signing_key.as_bytes();
        let (in_field, excess) = key.split_at(key.len().min(SIGNING_FIELD));
        let certificate = if (signature_type, encryption_type)
            == (SignatureType::DSA_SHA1, EncryptionType::ELGAMAL)
        {
            Certificate::Null
        } else {
            Certificate::Key(KeyCertificate {
                signature_type,
                encryption_type,
                excess: excess.into(),
            })
        };
        // No encryption key of a known type is longer than its field.
        let unused = ENCRYPTION_FIELD + SIGNING_FIELD - encryption_key.len() - in_field.len();
        let mut bytes = Vec::with_capacity(Self::MIN_LENGTH + 4 + excess.len());
        bytes.extend_from_slice(encryption_key);
        bytes.extend(padding.iter().cycle().take(unused));
        bytes.extend_from_slice(in_field);
        certificate.encode(&mut bytes);
        Ok(Self {
            hash: Hash::of(&bytes),
            bytes: bytes.into(),
            signing_key: signing_key.clone(),
            certificate,
        })
    }

    pub(crate) fn read(r: &mut Reader<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let start = r.position();
        r.take(ENCRYPTION_FIELD, what)?;
        let field = r.take(SIGNING_FIELD, what)?;
        let certificate = Certificate::read(r)?;
        let signing_key = signing_key(field, &certificate)?;
        let bytes = r.taken_since(start);
        Ok(Self {
            bytes: bytes.into(),
            hash: Hash::of(bytes),
            signing_key,
            certificate,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn signing_key(&self) -> &SigningPublicKey {
        &self.signing_key
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The encryption key. It is at the start of its field, and continues at the start of the
    /// certificate's excess.
    pub(crate) fn encryption_key(&self) -> Result<EncryptionPublicKey, DecodeError> {
        let kind = self.certificate.encryption_type();
        let field = self.bytes.get(..ENCRYPTION_FIELD).unwrap_or_default();
        let Some(length) = kind.public_len() else {
            // The length of the key is unknown, so all bytes that may belong to it are included.
            let excess = excess(&self.certificate);
            let signing = KeyCertificate::signing_excess(self.signing_key.signature_type());
            let excess = &excess[..excess.len() - signing.unwrap_or(0).min(excess.len())];
            return EncryptionPublicKey::new(kind, &[field, excess].concat());
        };
        EncryptionPublicKey::new(kind, field.get(..length).unwrap_or(field))
    }
}

/// The signing key. It is at the end of its field, and continues at the end of the certificate's
/// excess.
fn signing_key(field: &[u8], certificate: &Certificate) -> Result<SigningPublicKey, DecodeError> {
    let kind = certificate.signature_type();
    let excess = excess(certificate);
    match kind.public_len() {
        Some(length) if length <= SIGNING_FIELD => {
            SigningPublicKey::new(kind, &field[SIGNING_FIELD - length..])
        }
        Some(length) => {
            let from_excess = length - SIGNING_FIELD;
            let skipped = excess
                .len()
                .checked_sub(from_excess)
                .ok_or(DecodeError::MissingData("key certificate"))?;
            SigningPublicKey::new(kind, &[field, &excess[skipped..]].concat())
        }
        // The length of the key is unknown, so all bytes that may belong to it are included.
        None => SigningPublicKey::new(kind, &[field, excess].concat()),
    }
}

fn excess(certificate: &Certificate) -> &[u8] {
    match certificate {
        Certificate::Key(key) => &key.excess,
        Certificate::Null | Certificate::Other { .. } => &[],
    }
}
