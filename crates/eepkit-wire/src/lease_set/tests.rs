use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Hash, SignatureType};

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

fn elgamal() -> EncryptionPublicKey {
    EncryptionPublicKey::new(EncryptionType::ELGAMAL, &[8; 256]).unwrap()
}

fn leases(count: usize) -> Vec<Lease> {
    let lease = Lease {
        gateway: Hash::new([1; 32]),
        tunnel: 2,
        end: 3,
    };
    vec![lease; count]
}

#[test]
fn a_lease_set_of_every_signature_type_is_decoded_and_verifies() {
    for code in [0, 1, 2, 3, 7, 11] {
        let keys = keys(SignatureType(code));
        let revocation = keys.destination().signing_key();
        let set = LeaseSet::sign(&keys, &elgamal(), revocation, &leases(2)).unwrap();
        let read = LeaseSet::from_bytes(set.as_bytes()).unwrap();
        assert_eq!(read.verify(), Ok(()));
        assert_eq!(read, set);
        assert_eq!(read.leases(), leases(2));
    }
}

#[test]
fn a_changed_lease_set_does_not_verify() {
    let keys = keys(SignatureType::ED25519);
    let revocation = keys.destination().signing_key();
    let set = LeaseSet::sign(&keys, &elgamal(), revocation, &leases(1)).unwrap();
    let mut bytes = set.to_bytes();
    let end = bytes.len();
    bytes[end - 65] ^= 1;
    let changed = LeaseSet::from_bytes(&bytes).unwrap();
    assert_eq!(changed.verify(), Err(SignatureError::Wrong));
}

#[test]
fn invalid_content_is_refused() {
    let keys = keys(SignatureType::ED25519);
    let revocation = keys.destination().signing_key();
    let x25519 = EncryptionPublicKey::new(EncryptionType::X25519, &[1; 32]).unwrap();
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let offline = keys.with_transient(9, SignatureType::ED25519, rng).unwrap();
    let other = SigningPublicKey::new(SignatureType::REDDSA, &[1; 32]).unwrap();
    for (result, error) in [
        (
            LeaseSet::sign(&keys, &elgamal(), revocation, &leases(17)),
            LeaseSetError::TooManyLeases(17),
        ),
        (
            LeaseSet::sign(&keys, &x25519, revocation, &[]),
            LeaseSetError::NotElGamal(EncryptionType::X25519),
        ),
        (
            LeaseSet::sign(&offline, &elgamal(), revocation, &[]),
            LeaseSetError::OfflineKeys,
        ),
        (
            LeaseSet::sign(&keys, &elgamal(), &other, &[]),
            LeaseSetError::RevocationKey,
        ),
    ] {
        assert_eq!(result, Err(error));
    }
}

#[test]
fn more_than_sixteen_leases_are_refused_before_they_are_decoded() {
    let mut bytes = keys(SignatureType::ED25519).destination().to_bytes();
    bytes.extend_from_slice(&[0; 256 + 32]);
    bytes.push(17);
    assert_eq!(
        LeaseSet::from_bytes(&bytes),
        Err(DecodeError::TooLong {
            what: "list of leases",
            length: 17,
            limit: 16,
        })
    );
}
