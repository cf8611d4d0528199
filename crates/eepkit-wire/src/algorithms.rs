//! The signature algorithms, one module for each. Keys and signatures are bytes in I2P's encodings.

pub(crate) mod dsa;
pub(crate) mod ecdsa;
pub(crate) mod eddsa;
pub(crate) mod rsa;

use sha2::Digest;

/// The hash of a message that consists of parts.
pub(crate) fn digest<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}
