use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{EncryptionKeyPair, EncryptionPublicKey, EncryptionType, SignatureType};

fn signing_key(seed: u64) -> SigningPrivateKey {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    SigningPrivateKey::generate(SignatureType::ED25519, rng).unwrap()
}

fn identity(key: &SigningPrivateKey) -> RouterIdentity {
    let rng = &mut ChaCha20Rng::seed_from_u64(9);
    let pair = EncryptionKeyPair::generate(EncryptionType::X25519, rng).unwrap();
    RouterIdentity::new(pair.public_key(), key.public_key(), &[0xcc; 32]).unwrap()
}

fn signed(options: &[(&str, &str)]) -> RouterInfo {
    let key = signing_key(1);
    let mut builder = RouterInfoBuilder {
        published: 1_700_000_000_000,
        addresses: vec![RouterAddress::new("SSU2", 8, Mapping::new()).unwrap()],
        ..RouterInfoBuilder::default()
    };
    for (key, value) in options {
        builder.options.insert(*key, *value).unwrap();
    }
    builder.sign(&identity(&key), &key).unwrap()
}

#[test]
fn a_signed_router_info_can_be_decoded_and_verified() {
    let info = signed(&[
        ("caps", "XfR"),
        ("netId", "2"),
        ("router.version", "0.9.67"),
    ]);
    let read = RouterInfo::from_bytes(info.as_bytes()).unwrap();
    assert_eq!(read, info);
    assert_eq!(read.verify(), Ok(()));
    assert_eq!(read.hash(), Hash::of(read.identity().as_bytes()));
    assert_eq!(read.published(), 1_700_000_000_000);
    assert_eq!(read.capabilities(), "XfR");
    assert_eq!(read.network_id(), Some(2));
    assert_eq!(read.router_version(), Some("0.9.67"));
    assert_eq!(read.addresses().len(), 1);
}

#[test]
fn every_changed_bit_invalidates_the_router_info() {
    let info = signed(&[("netId", "2")]);
    let bytes = info.as_bytes();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(info) = RouterInfo::from_bytes(&changed) {
            assert!(info.verify().is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_router_info_of_another_router_does_not_verify() {
    let info = signed(&[]);
    let other = identity(&signing_key(2));
    let bytes = [other.as_bytes(), &info.as_bytes()[other.as_bytes().len()..]].concat();
    let info = RouterInfo::from_bytes(&bytes).unwrap();
    assert_eq!(info.verify(), Err(SignatureError::Wrong));
}

#[test]
fn only_the_key_of_the_identity_can_sign() {
    let error = RouterInfoBuilder::default()
        .sign(&identity(&signing_key(1)), &signing_key(2))
        .unwrap_err();
    assert_eq!(error, RouterInfoError::OtherKey);
}

#[test]
fn the_number_of_addresses_has_a_limit() {
    let key = signing_key(1);
    let address = RouterAddress::new("SSU2", 8, Mapping::new()).unwrap();
    let builder = |count| RouterInfoBuilder {
        addresses: vec![address.clone(); count],
        ..RouterInfoBuilder::default()
    };
    let most = builder(255).sign(&identity(&key), &key).unwrap();
    assert_eq!(RouterInfo::from_bytes(most.as_bytes()), Ok(most));
    assert_eq!(
        builder(256).sign(&identity(&key), &key),
        Err(RouterInfoError::TooManyAddresses(256))
    );
}

#[test]
fn peers_are_skipped_and_covered_by_the_signature() {
    let key = signing_key(1);
    let mut bytes = identity(&key).to_bytes();
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[0, 2]);
    bytes.extend_from_slice(&[7; 2 * Hash::LENGTH]);
    Mapping::new().encode(&mut bytes);
    let signature = key.sign(&bytes);
    signature.encode(&mut bytes);

    let info = RouterInfo::from_bytes(&bytes).unwrap();

    assert_eq!(info.verify(), Ok(()));
    assert_eq!(info.to_bytes(), bytes);
}

#[test]
fn missing_and_invalid_options_are_none() {
    for info in [signed(&[]), signed(&[("netId", "300")])] {
        assert_eq!(info.network_id(), None);
        assert_eq!(info.capabilities(), "");
        assert_eq!(info.router_version(), None);
    }
}

#[test]
fn an_identity_preserves_keys_of_unknown_encryption_types() {
    let key = signing_key(1);
    let known = identity(&key);
    let mut bytes = known.to_bytes();
    // The last two bytes are the encryption type.
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0x12, 0x34]);

    let identity = RouterIdentity::from_bytes(&bytes).unwrap();

    let expected = EncryptionPublicKey::new(EncryptionType(0x1234), &bytes[..256]).unwrap();
    assert_eq!(*identity.encryption_key(), expected);
    assert_eq!(identity.signing_key(), known.signing_key());
    let new = RouterIdentity::new(&expected, key.public_key(), &[0; 32]);
    assert!(matches!(new, Err(DecodeError::UnsupportedType { .. })));
}
