use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{EncryptionType, Hash, SignatureType};

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

fn builder() -> LeaseSet2Builder {
    let key = EncryptionPublicKey::new(EncryptionType::X25519, &[9; 32]).unwrap();
    let lease = Lease {
        gateway: Hash::new([1; 32]),
        tunnel: 2,
        end: 3_999,
    };
    LeaseSet2Builder::new(1_000, 660, vec![key], vec![lease])
}

#[test]
fn a_lease_set_by_keys_of_every_type_is_decoded_and_verifies() {
    for own in [0, 1, 2, 3, 7, 11] {
        let keys = keys(SignatureType(own));
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let offline = keys.with_transient(2_000, SignatureType(7), rng).unwrap();
        for keys in [keys, offline] {
            let set = builder().sign(&keys).unwrap();
            let read = LeaseSet2::from_bytes(set.as_bytes()).unwrap();
            assert_eq!(read.verify(1_999), Ok(()));
            assert_eq!(read.verify(2_000).is_ok(), keys.offline().is_none());
            assert_eq!(read, set);
        }
    }
}

#[test]
fn the_signature_covers_the_type_number() {
    let keys = keys(SignatureType::ED25519);
    let set = builder().sign(&keys).unwrap();
    let (signed, signature) = set.as_bytes().split_at(set.as_bytes().len() - 64);
    let signature = Signature::new(SignatureType::ED25519, signature).unwrap();
    let key = keys.destination().signing_key();
    assert_eq!(key.verify_parts(&[&[3], signed], &signature), Ok(()));
    assert!(key.verify(signed, &signature).is_err());
}

#[test]
fn expirations_of_leases_are_rounded_down_to_seconds() {
    let set = builder().sign(&keys(SignatureType::ED25519)).unwrap();
    assert_eq!(set.leases()[0].end, 3_000);
    assert_eq!(set.expires(), 1_660);
}

#[test]
fn the_builder_sets_the_flags() {
    let keys = keys(SignatureType::ED25519);
    for (unpublished, blinded, bits) in [
        (false, false, 0),
        (true, false, 0b010),
        (false, true, 0b110),
    ] {
        let mut builder = builder();
        builder.unpublished = unpublished;
        builder.blinded = blinded;
        assert_eq!(builder.sign(&keys).unwrap().flags().bits(), bits);
    }
    let debug = format!("{:?}", LeaseSetFlags::from_bits_retain(0b1111));
    assert_eq!(
        debug,
        "LeaseSetFlags(OFFLINE | UNPUBLISHED | BLINDED | 0x8)"
    );
}

#[test]
fn invalid_content_is_refused() {
    let keys = keys(SignatureType::ED25519);
    let mut too_many = builder();
    too_many.leases = vec![too_many.leases[0]; 17];
    assert_eq!(too_many.sign(&keys), Err(LeaseSetError::TooManyLeases(17)));
    for got in [0, 17] {
        let mut builder = builder();
        builder.encryption_keys = vec![builder.encryption_keys[0].clone(); got];
        assert_eq!(
            builder.sign(&keys),
            Err(LeaseSetError::KeyCount { max: 16, got })
        );
    }
}

#[test]
fn a_lease_set_without_encryption_key_is_refused() {
    let mut bytes = keys(SignatureType::ED25519).destination().to_bytes();
    // Published, lifetime, flags, no options, no keys.
    bytes.extend_from_slice(&[0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    let error = LeaseSet2::from_bytes(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "invalid lease set: no encryption key");
}

#[test]
fn a_lease_set_may_have_no_leases() {
    let mut builder = builder();
    builder.leases.clear();
    let set = builder.sign(&keys(SignatureType::ED25519)).unwrap();
    assert_eq!(LeaseSet2::from_bytes(set.as_bytes()), Ok(set));
}
