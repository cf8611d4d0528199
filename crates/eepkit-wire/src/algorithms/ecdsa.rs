//! ECDSA on the NIST curves. A point or a signature is the concatenation of two numbers, each with
//! the length of a field element.

use p256::{
    ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier},
    elliptic_curve::Generate,
};
use rand_core::CryptoRng;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::digest;
use crate::signature_error::SignatureError;

/// The SEC 1 tag of an uncompressed point, which I2P's encoding omits.
const UNCOMPRESSED: u8 = 4;

macro_rules! curve {
    ($name:ident, $curve:ident, $hash:ty, $field_len:literal) => {
        pub(crate) mod $name {
            use super::*;

            pub(crate) fn verify(
                key: &[u8],
                parts: &[&[u8]],
                signature: &[u8],
            ) -> Result<(), SignatureError> {
                let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(&sec1(key))
                    .map_err(|_| SignatureError::BadPublicKey)?;
                let signature = $curve::ecdsa::Signature::from_slice(signature)
                    .map_err(|_| SignatureError::Wrong)?;
                key.verify_prehash(&digest::<$hash>(parts), &signature)
                    .map_err(|_| SignatureError::Wrong)
            }

            #[derive(Clone)]
            pub(crate) struct Signer {
                key: $curve::ecdsa::SigningKey,
            }

            impl Signer {
                pub(crate) fn new(private: &[u8]) -> Result<Self, SignatureError> {
                    // The curve crates pad short input, but I2P keys have a fixed length.
                    if private.len() != $field_len {
                        return Err(SignatureError::BadPrivateKey);
                    }
                    let key = $curve::ecdsa::SigningKey::from_slice(private)
                        .map_err(|_| SignatureError::BadPrivateKey)?;
                    Ok(Self { key })
                }

                pub(crate) fn public(&self) -> Vec<u8> {
                    self.key.verifying_key().to_sec1_point(false).as_bytes()[1..].to_vec()
                }

                pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
                    let signature: $curve::ecdsa::Signature = self
                        .key
                        .sign_prehash(&digest::<$hash>(parts))
                        .expect("fails only for a hash shorter than half the field");
                    signature.to_bytes().to_vec()
                }
            }

            /// Generates a private key: a random nonzero number below the order of the curve.
            pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Zeroizing<Vec<u8>> {
                let key = $curve::ecdsa::SigningKey::generate_from_rng(rng);
                Zeroizing::new(Zeroizing::new(key.to_bytes()).to_vec())
            }
        }
    };
}

curve!(p256_sha256, p256, Sha256, 32);
curve!(p384_sha384, p384, Sha384, 48);
curve!(p521_sha512, p521, Sha512, 66);

fn sec1(point: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + point.len());
    out.push(UNCOMPRESSED);
    out.extend_from_slice(point);
    out
}
