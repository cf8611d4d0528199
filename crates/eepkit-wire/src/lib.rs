//! I2P common structures: destinations, keys, signatures, lease sets and key files. The crate also
//! contains the [`Reader`] and the [`Codec`] that every protocol uses.
//!
//! The crate contains plain data types. It uses no clock, no sockets and no tasks, and no
//! randomness except a generator that the caller passes in. The only input and output is reading
//! and writing private key files ([`PrivateKeys::load`], [`PrivateKeys::save`]).
//!
//! No input causes a panic. Decoding is strict, with two exceptions for compatibility with newer
//! software: keys and certificates of unknown types are kept unchanged, and unknown flags are
//! ignored.
//!
//! ```
//! use eepkit_wire::{Destination, PrivateKeys, SignatureType};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::seed_from_u64(1);
//!
//! let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng)?;
//! let signature = keys.sign(b"hello");
//!
//! let peer = Destination::from_base64(&keys.destination().to_base64())?;
//! peer.signing_key().verify(b"hello", &signature)?;
//! assert_eq!(peer.to_base64().len(), 524);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod algorithms;
pub mod base32;
pub mod base64;
mod blinded_address;
mod certificate;
mod codec;
pub mod config_file;
mod destination;
mod encryption;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gzip;
mod hash;
mod key_file;
mod keys_and_cert;
mod lease;
mod lease_set;
mod lease_set2;
mod mapping;
mod offline;
mod private_keys;
mod public_ip;
mod router_address;
mod router_identity;
mod router_info;
mod signature;
mod signature_error;
mod signature_type;
mod signing_key;
mod store_type;

pub use rand_core;
pub use zeroize::Zeroizing;

pub use self::{
    address::{Address, Host, ParseAddressError},
    blinded_address::{BlindedAddress, BlindedAddressError},
    certificate::{Certificate, KeyCertificate},
    codec::{Codec, DecodeError, Reader, encode_string},
    config_file::ConfigFile,
    destination::Destination,
    encryption::{
        EncryptionKeyPair, EncryptionPrivateKey, EncryptionPublicKey, EncryptionType,
        ParseEncryptionTypeError,
    },
    hash::Hash,
    key_file::KeyFileError,
    lease::{Lease, LeaseId},
    lease_set::{LeaseSet, LeaseSetError},
    lease_set2::{LeaseSet2, LeaseSet2Builder, LeaseSetFlags},
    mapping::Mapping,
    offline::OfflineSignature,
    private_keys::{KeyError, PrivateKeys},
    public_ip::is_public_ip,
    router_address::RouterAddress,
    router_identity::RouterIdentity,
    router_info::{RouterInfo, RouterInfoBuilder, RouterInfoError},
    signature::{Signature, SigningPublicKey},
    signature_error::SignatureError,
    signature_type::{ParseSignatureTypeError, SignatureType},
    signing_key::SigningPrivateKey,
    store_type::StoreType,
};
