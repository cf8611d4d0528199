use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn keys() -> PrivateKeys {
    PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
}

#[test]
fn new_keys_have_the_layout_that_routers_expect() {
    let keys = keys();
    assert_eq!(keys.to_bytes().len(), 391 + 256 + 32);
    assert_eq!(keys.to_base64().len(), 908);
    assert_eq!(keys.signature_type(), SignatureType::ED25519);
    assert!(keys.encryption_private_key().iter().any(|&b| b != 0));
    let unused = &keys.destination().as_bytes()[..352];
    assert!(unused.chunks(32).all(|chunk| chunk == &unused[..32]));
}

#[test]
fn keys_of_every_type_can_be_encoded_and_decoded() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    for code in [0, 1, 2, 3, 7, 8, 11] {
        let keys = PrivateKeys::generate(SignatureType(code), rng).unwrap();
        assert_eq!(PrivateKeys::from_bytes(&keys.to_bytes()), Ok(keys.clone()));
        assert_eq!(
            PrivateKeys::from_base64(&keys.to_base64()),
            Ok(keys.clone())
        );
        for transient in [0, 3, 7] {
            let offline = keys
                .with_transient(9, SignatureType(transient), rng)
                .unwrap();
            assert_eq!(offline.signature_type(), SignatureType(transient));
            assert_eq!(offline.destination(), keys.destination());
            assert_eq!(PrivateKeys::from_bytes(&offline.to_bytes()), Ok(offline));
        }
    }
}

#[test]
fn offline_keys_cannot_authorize_another_key() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    let offline = keys()
        .with_transient(9, SignatureType::ED25519, rng)
        .unwrap();
    assert_eq!(
        offline.with_transient(9, SignatureType::ED25519, rng),
        Err(SignatureError::BadPrivateKey)
    );
}

#[test]
fn an_encoding_that_is_too_long_is_refused() {
    let bytes = vec![0; PrivateKeys::MAX_LENGTH + 1];
    assert!(matches!(
        PrivateKeys::from_bytes(&bytes),
        Err(KeyError::Decode(DecodeError::TooLong { .. }))
    ));
}

#[test]
fn debug_output_contains_no_secrets() {
    let shown = format!("{:?}", keys());
    let secret = format!("{:?}", keys().signing_key().as_bytes());
    assert!(!shown.contains(&secret[1..20]), "{shown}");
    assert!(shown.starts_with("PrivateKeys { destination: Destination("));
}
