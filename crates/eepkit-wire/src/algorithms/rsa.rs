//! RSA with PKCS#1 v1.5 padding (RFC 8017, section 8.2) and the public exponent 65537.
//!
//! A public key is the modulus. A private key is the modulus, followed by the private exponent. I2P
//! uses RSA for offline keys and signed update files, not for destinations.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::digest;
use crate::signature_error::SignatureError;

/// The public exponent of every RSA key in I2P.
const EXPONENT: u32 = 65_537;

/// The hash algorithm of a signature. It also determines the length of the modulus.
#[derive(Clone, Copy)]
pub(crate) enum Variant {
    Sha256,
    Sha384,
    Sha512,
}

impl Variant {
    /// The DER prefix of a `DigestInfo`: RFC 8017, section 9.2, note 1.
    fn prefix(self) -> [u8; 19] {
        // SEQUENCE { SEQUENCE { OID 2.16.840.1.101.3.4.2.x, NULL }, OCTET STRING }
        let (total, oid, hash) = match self {
            Self::Sha256 => (0x31, 1, 0x20),
            Self::Sha384 => (0x41, 2, 0x30),
            Self::Sha512 => (0x51, 3, 0x40),
        };
        [
            0x30, total, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            oid, 0x05, 0x00, 0x04, hash,
        ]
    }

    fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            digest::<D>(parts).to_vec()
        }
        match self {
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// The padded message: RFC 8017, section 9.2 (EMSA-PKCS1-v1_5).
    fn padded(self, content: Content, parts: &[&[u8]], length: usize) -> Vec<u8> {
        let prefix = self.prefix();
        let prefix = match content {
            Content::DigestInfo => &prefix[..],
            Content::Hash => &[],
        };
        let hash = self.hash(parts);
        let mut out = vec![0x00, 0x01];
        // This does not underflow: the shortest modulus has 256 bytes, and the longest prefix and
        // hash together have 83.
        out.resize(length - prefix.len() - hash.len() - 1, 0xff);
        out.push(0x00);
        out.extend_from_slice(prefix);
        out.extend_from_slice(&hash);
        out
    }
}

/// The content that is padded. PKCS#1 requires a `DigestInfo`. Signed update files contain only the
/// hash, without the identifier of its algorithm.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    DigestInfo,
    Hash,
}

/// Verifies a signature. The padded message is not parsed but compared as a whole, so that it
/// cannot contain additional data.
pub(crate) fn verify(
    variant: Variant,
    content: Content,
    key: &[u8],
    parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let modulus = modulus(key).ok_or(SignatureError::BadPublicKey)?;
    let signature = number(signature);
    if signature >= *modulus {
        return Err(SignatureError::Wrong);
    }
    let params = BoxedMontyParams::new_vartime(modulus);
    let message = BoxedMontyForm::new(signature, &params)
        .pow_bounded_exp(
            &BoxedUint::from(EXPONENT),
            u32::BITS - EXPONENT.leading_zeros(),
        )
        .retrieve()
        .to_be_bytes();
    if *message == *variant.padded(content, parts, key.len()) {
        Ok(())
    } else {
        Err(SignatureError::Wrong)
    }
}

#[derive(Clone)]
pub(crate) struct Signer {
    variant: Variant,
    modulus: Vec<u8>,
    exponent: Zeroizing<Vec<u8>>,
}

impl Signer {
    pub(crate) fn new(variant: Variant, private: &[u8]) -> Result<Self, SignatureError> {
        let (public, exponent) = private.split_at(private.len() / 2);
        let signer = Self {
            variant,
            modulus: public.to_vec(),
            exponent: Zeroizing::new(exponent.to_vec()),
        };
        if modulus(public).is_none() || bool::from(exponent.ct_eq(&vec![0; exponent.len()])) {
            return Err(SignatureError::BadPrivateKey);
        }
        Ok(signer)
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.modulus.clone()
    }

    /// Signs. The power is computed in constant time and without the prime factors, so neither the
    /// timing nor a computation fault reveals the key.
    pub(crate) fn sign(&self, content: Content, parts: &[&[u8]]) -> Vec<u8> {
        let modulus = modulus(&self.modulus).expect("checked when the signer was created");
        let params = BoxedMontyParams::new(modulus);
        let message = number(&self.variant.padded(content, parts, self.modulus.len()));
        BoxedMontyForm::new(message, &params)
            .pow(&number(&self.exponent))
            .retrieve()
            .to_be_bytes()
            .to_vec()
    }
}

/// The modulus of a key. `None` unless it is odd and its highest bit is set, which every key of the
/// full length has.
fn modulus(key: &[u8]) -> Option<Odd<BoxedUint>> {
    if key.first().is_none_or(|first| first & 0x80 == 0) {
        return None;
    }
    Odd::new(number(key)).into_option()
}

fn number(bytes: &[u8]) -> BoxedUint {
    // The precision has the length of the bytes, so nothing is truncated.
    BoxedUint::from_be_slice_truncated(bytes, 8 * bytes.len() as u32)
}
