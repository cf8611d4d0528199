//! Errors of generating keys, of signing and of verifying.

use crate::signature_type::SignatureType;

/// The reason why a signature was refused, or a key or signature could not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature does not match the message and the key.
    #[error("signature does not match message and key")]
    Wrong,
    /// The bytes of the public key are not a valid key, such as a point that is not on the curve.
    #[error("signing public key is malformed")]
    BadPublicKey,
    /// The bytes of the private key are not a valid key, such as zero, or not the key that is
    /// needed.
    #[error("signing private key is malformed")]
    BadPrivateKey,
    /// The signature and the key have different types.
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
    /// Keys of this type cannot be generated.
    #[error("cannot make keys of signature type {0}, use EdDSA_SHA512_Ed25519")]
    CannotGenerate(SignatureType),
    /// The offline signature has expired.
    #[error("offline signature expired at unix time {expired} s, now is {now} s")]
    OfflineExpired {
        /// The time of its expiration, in seconds since the epoch.
        expired: u32,
        /// The time of the check, in seconds since the epoch.
        now: u32,
    },
}
