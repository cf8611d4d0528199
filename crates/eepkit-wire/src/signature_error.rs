//! Errors of signing and verifying.

use crate::signature_type::SignatureType;

/// Why a signature was refused or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature is not one of this message by this key.
    #[error("signature does not match message and key")]
    Wrong,
    /// The bytes of the public key are not a key, such as a point off the curve.
    #[error("signing public key is malformed")]
    BadPublicKey,
    /// The bytes of the private key are not a key, such as zero.
    #[error("signing private key is malformed")]
    BadPrivateKey,
    /// The signature is of another type than the key.
    #[error("signature of type {signature} cannot be checked with a key of type {key}")]
    OtherType {
        /// The type of the key.
        key: SignatureType,
        /// The type of the signature.
        signature: SignatureType,
    },
    /// The algorithm is not implemented.
    #[error("signature type {0} is not supported")]
    UnsupportedType(SignatureType),
    /// Keys of this algorithm can be used but not made here.
    #[error("cannot make keys of signature type {0}, use EdDSA_SHA512_Ed25519")]
    CannotGenerate(SignatureType),
    /// An offline signature was valid until a moment that has passed.
    #[error("offline signature expired at unix time {expired} s, now is {now} s")]
    OfflineExpired {
        /// When it expired, in seconds since the epoch.
        expired: u32,
        /// The time of the check, in seconds since the epoch.
        now: u32,
    },
}
