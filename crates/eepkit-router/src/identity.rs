//! A router's keys and identity.

use std::fmt;

use ed25519_dalek::SigningKey;
use eepkit_wire::Hash;
use rand::Rng;
use x25519_dalek::{PublicKey, StaticSecret};

/// Length of the encryption key, padding and signing key of an identity, in bytes (common
/// structures specification, "RouterIdentity").
const KEYS: usize = 384;

/// Key certificate for Ed25519 signatures (type 7) and X25519 encryption (type 4): its type, its
/// length and the two key types (common structures specification, "Key Certificates").
const CERTIFICATE: [u8; 7] = [5, 0, 4, 0, 7, 0, 4];

/// A router's keys and identity.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) static_key: [u8; 32],
    pub(crate) signing_key: [u8; 32],
    pub(crate) ntcp2_key: [u8; 32],
    pub(crate) ntcp2_iv: [u8; 16],
    pub(crate) ssu2_static_key: [u8; 32],
    pub(crate) ssu2_intro_key: [u8; 32],
    padding: [u8; KEYS - 64],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The length of all keys together, in bytes.
    pub(crate) const LENGTH: usize = 5 * 32 + 16 + KEYS - 64;

    /// Generates new keys.
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; Self::LENGTH];
        rng.fill_bytes(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// Reads the keys from the key file of a router. Any bytes are valid keys.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
            let mut field = [0; N];
            // The length of the array is the sum of the lengths of the fields.
            if let Some((first, rest)) = bytes.split_first_chunk() {
                field = *first;
                *bytes = rest;
            }
            field
        }
        let mut bytes = &bytes[..];
        Self {
            static_key: take(&mut bytes),
            signing_key: take(&mut bytes),
            ntcp2_key: take(&mut bytes),
            ntcp2_iv: take(&mut bytes),
            ssu2_static_key: take(&mut bytes),
            ssu2_intro_key: take(&mut bytes),
            padding: take(&mut bytes),
        }
    }

    /// The serialized identity, as it begins a router info.
    pub(crate) fn serialized(&self) -> Vec<u8> {
        let static_key = PublicKey::from(&StaticSecret::from(self.static_key));
        let signing_key = SigningKey::from_bytes(&self.signing_key).verifying_key();
        let mut serialized = Vec::with_capacity(KEYS + CERTIFICATE.len());
        serialized.extend_from_slice(static_key.as_bytes());
        serialized.extend_from_slice(&self.padding);
        serialized.extend_from_slice(signing_key.as_bytes());
        serialized.extend_from_slice(&CERTIFICATE);
        serialized
    }

    /// The identity's hash, which names the router in the network database.
    pub(crate) fn id(&self) -> Hash {
        Hash::of(&self.serialized())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use eepkit_link::clock;
    use eepkit_wire::{Codec, RouterIdentity, RouterInfoBuilder, SignatureType, SigningPrivateKey};

    use super::*;

    /// Makes a router info of a new router in a network.
    pub(crate) fn router_info(network_id: u8) -> Vec<u8> {
        router_info_at(network_id, clock::unix_now())
    }

    /// Makes a router info that was published at a time since the Unix epoch.
    pub(crate) fn router_info_at(network_id: u8, published: Duration) -> Vec<u8> {
        let identity = Identity::new(&mut rand::rng());
        let router = RouterIdentity::from_bytes(&identity.serialized()).unwrap();
        let key = SigningPrivateKey::new(SignatureType::ED25519, &identity.signing_key).unwrap();
        let mut builder = RouterInfoBuilder {
            published: u64::try_from(published.as_millis()).unwrap(),
            ..RouterInfoBuilder::default()
        };
        for (option, value) in [("caps", "R"), ("netId", &network_id.to_string())] {
            builder.options.insert(option, value).unwrap();
        }
        let info = builder.sign(&router, &key).unwrap();
        assert_eq!(info.hash(), identity.id());
        info.as_bytes().to_vec()
    }

    #[test]
    fn the_same_bytes_are_the_same_identity() {
        let bytes = std::array::from_fn(|i| i as u8);

        let identity = Identity::from_bytes(&bytes);

        assert_eq!(identity, Identity::from_bytes(&bytes));
        assert_ne!(identity, Identity::new(&mut rand::rng()));
        assert_eq!(identity.serialized().len(), 391);
    }

    #[test]
    fn debug_output_names_the_router_and_contains_no_key() {
        let identity = Identity::new(&mut rand::rng());

        let text = format!("{identity:?}");

        assert!(text.len() < 60, "{text}");
    }
}
