//! Ed25519, Ed25519ph and RedDSA.
//!
//! RedDSA is implemented as in Java I2P and i2pd. Private keys are scalars instead of seeds, and
//! the nonce is generated differently. The signature itself is an Ed25519 signature and verifies as
//! one. The Red25519 specification prefixes every hash with `I2P_Red25519H(x)` and the message with
//! its length. No router implements these prefixes, so every router would refuse such signatures.

use curve25519_dalek::Scalar;
use ed25519_dalek::{
    Signature, SignatureError as DalekError, VerifyingKey,
    hazmat::{ExpandedSecretKey, raw_sign_byupdate, raw_sign_prehashed},
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::signature_error::SignatureError;

/// The length of keys, seeds and scalars, in bytes.
const KEY_LEN: usize = 32;

/// The number of random bytes for the nonce of a RedDSA signature: Red25519 specification, `SIGN`.
const REDDSA_NONCE_LEN: usize = 80;

pub(crate) fn verify(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> Result<(), SignatureError> {
    let (key, signature) = decode(key, signature)?;
    let mut verifier = key.verify_stream(&signature).map_err(wrong)?;
    for part in parts {
        verifier.update(part);
    }
    verifier.finalize_and_verify().map_err(wrong)
}

pub(crate) fn verify_prehashed(
    key: &[u8],
    parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let (key, signature) = decode(key, signature)?;
    key.verify_prehashed(hash(parts), None, &signature)
        .map_err(wrong)
}

/// The algorithm of a signer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Ed25519,
    Ed25519ph,
    RedDsa,
}

pub(crate) struct Signer {
    variant: Variant,
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl Signer {
    pub(crate) fn new(variant: Variant, private: &[u8]) -> Result<Self, SignatureError> {
        let private: &[u8; KEY_LEN] = private
            .try_into()
            .map_err(|_| SignatureError::BadPrivateKey)?;
        let secret = match variant {
            Variant::Ed25519 | Variant::Ed25519ph => {
                let mut expanded: [u8; 64] = Sha512::digest(private).into();
                let secret = ExpandedSecretKey::from_bytes(&expanded);
                expanded.zeroize();
                secret
            }
            Variant::RedDsa => red_dsa_secret(private)?,
        };
        let public = VerifyingKey::from(&secret);
        Ok(Self {
            variant,
            secret,
            public,
        })
    }

    /// Creates the signer of a key file whose Ed25519 seed was expanded with bit 253 of the scalar
    /// cleared. Early versions of i2pd wrote such files. The public key of their destination is not
    /// the usual public key of the seed.
    pub(crate) fn with_cleared_bit(private: &[u8]) -> Option<Self> {
        let mut expanded: [u8; 64] = Sha512::digest(private).into();
        let mut scalar = [0; KEY_LEN];
        scalar.copy_from_slice(&expanded[..KEY_LEN]);
        scalar = curve25519_dalek::scalar::clamp_integer(scalar);
        scalar[KEY_LEN - 1] &= 0b1101_1111;
        let mut hash_prefix = [0; 32];
        hash_prefix.copy_from_slice(&expanded[KEY_LEN..]);
        expanded.zeroize();
        let secret = ExpandedSecretKey {
            scalar: Scalar::from_bytes_mod_order(scalar),
            hash_prefix,
        };
        scalar.zeroize();
        let public = VerifyingKey::from(&secret);
        (private.len() == KEY_LEN).then_some(Self {
            variant: Variant::Ed25519,
            secret,
            public,
        })
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.public.to_bytes().to_vec()
    }

    /// Signs with a nonce that is derived from the key and the message.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        match self.variant {
            Variant::Ed25519 | Variant::RedDsa => self.sign_message(&self.secret, parts),
            Variant::Ed25519ph => {
                raw_sign_prehashed::<Sha512, _>(&self.secret, hash(parts), &self.public, None)
                    .expect("fails only for a context of more than 255 bytes")
                    .to_bytes()
                    .to_vec()
            }
        }
    }

    /// Signs. For RedDSA, the nonce is also derived from random bytes.
    pub(crate) fn sign_randomized<R: CryptoRng + ?Sized>(
        &self,
        parts: &[&[u8]],
        rng: &mut R,
    ) -> Vec<u8> {
        if self.variant != Variant::RedDsa {
            return self.sign(parts);
        }
        let mut nonce = Zeroizing::new([0; REDDSA_NONCE_LEN]);
        rng.fill_bytes(nonce.as_mut_slice());
        // The nonce of a signature is the hash of this prefix and the message. The prefix is a hash
        // of the key and the random bytes, so the nonce is secret if either of them is secret.
        // Different messages have different nonces.
        let mut expanded: [u8; 64] = Sha512::new()
            .chain_update(b"eepkit RedDSA randomized nonce")
            .chain_update(nonce.as_slice())
            .chain_update(self.secret.hash_prefix)
            .finalize()
            .into();
        let mut hash_prefix = [0; 32];
        hash_prefix.copy_from_slice(&expanded[..32]);
        expanded.zeroize();
        let secret = ExpandedSecretKey {
            scalar: self.secret.scalar,
            hash_prefix,
        };
        hash_prefix.zeroize();
        self.sign_message(&secret, parts)
    }

    fn sign_message(&self, secret: &ExpandedSecretKey, parts: &[&[u8]]) -> Vec<u8> {
        raw_sign_byupdate::<Sha512, _>(
            secret,
            |digest| {
                for part in parts {
                    Digest::update(digest, part);
                }
                Ok(())
            },
            &self.public,
        )
        .expect("fails only if the closure fails")
        .to_bytes()
        .to_vec()
    }
}

impl Clone for Signer {
    fn clone(&self) -> Self {
        Self {
            variant: self.variant,
            secret: ExpandedSecretKey {
                scalar: self.secret.scalar,
                hash_prefix: self.secret.hash_prefix,
            },
            public: self.public,
        }
    }
}

pub(crate) fn generate<R: CryptoRng + ?Sized>(variant: Variant, rng: &mut R) -> Zeroizing<Vec<u8>> {
    match variant {
        Variant::Ed25519 | Variant::Ed25519ph => {
            let mut seed = Zeroizing::new(vec![0; KEY_LEN]);
            rng.fill_bytes(&mut seed);
            seed
        }
        // Red25519 specification, `GENERATE_PRIVATE`: 64 random bytes modulo the order.
        Variant::RedDsa => {
            let mut wide = Zeroizing::new([0; 64]);
            rng.fill_bytes(wide.as_mut_slice());
            let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
            Zeroizing::new(scalar.as_bytes().to_vec())
        }
    }
}

/// The scalar, and a nonce prefix that is derived from it.
///
/// The nonce prefix of an Ed25519 key is the second half of the expanded seed. A RedDSA key is only
/// a scalar, so a hash of the scalar is used instead. It has the same properties: only the owner of
/// the key can compute it, and the nonces of two signatures are equal only if the messages are
/// equal, and so the signatures.
fn red_dsa_secret(private: &[u8; KEY_LEN]) -> Result<ExpandedSecretKey, SignatureError> {
    let scalar = Scalar::from_bytes_mod_order(*private);
    if scalar == Scalar::ZERO {
        return Err(SignatureError::BadPrivateKey);
    }
    let mut expanded: [u8; 64] = Sha512::new()
        .chain_update(b"eepkit RedDSA nonce key")
        .chain_update(scalar.as_bytes())
        .finalize()
        .into();
    let mut hash_prefix = [0; 32];
    hash_prefix.copy_from_slice(&expanded[..32]);
    expanded.zeroize();
    Ok(ExpandedSecretKey {
        scalar,
        hash_prefix,
    })
}

fn decode(key: &[u8], signature: &[u8]) -> Result<(VerifyingKey, Signature), SignatureError> {
    let key: &[u8; KEY_LEN] = key.try_into().map_err(|_| SignatureError::BadPublicKey)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureError::BadPublicKey)?;
    let signature = Signature::from_slice(signature).map_err(wrong)?;
    Ok((key, signature))
}

fn hash(parts: &[&[u8]]) -> Sha512 {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash
}

fn wrong(_: DalekError) -> SignatureError {
    SignatureError::Wrong
}
