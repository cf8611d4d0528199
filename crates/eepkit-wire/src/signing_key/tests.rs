use hex_literal::hex;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

const MADE_HERE: [SignatureType; 7] = [
    SignatureType::DSA_SHA1,
    SignatureType::ECDSA_SHA256_P256,
    SignatureType::ECDSA_SHA384_P384,
    SignatureType::ECDSA_SHA512_P521,
    SignatureType::ED25519,
    SignatureType::ED25519PH,
    SignatureType::REDDSA,
];

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

#[test]
fn signatures_of_generated_keys_verify() {
    for kind in MADE_HERE {
        let key = SigningPrivateKey::generate(kind, &mut rng()).unwrap();
        assert_eq!(key.as_bytes().len(), kind.private_len().unwrap());
        for message in [&b""[..], b"message", &[0; 1_000]] {
            let signature = key.sign(message);
            assert_eq!(signature.signature_type(), kind);
            assert_eq!(signature.as_bytes().len(), kind.signature_len().unwrap());
            assert_eq!(
                key.public_key().verify(message, &signature),
                Ok(()),
                "{kind}"
            );
            assert_eq!(key.sign_parts(&[message, b""]), signature, "{kind}");
            let randomized = key.sign_randomized(message, &mut rng());
            assert_eq!(
                key.public_key().verify(message, &randomized),
                Ok(()),
                "{kind}"
            );
        }
    }
}

#[test]
fn a_key_created_from_its_bytes_is_the_same_key() {
    for kind in MADE_HERE {
        let key = SigningPrivateKey::generate(kind, &mut rng()).unwrap();
        assert_eq!(
            SigningPrivateKey::new(kind, key.as_bytes()),
            Ok(key.clone())
        );
        assert_eq!(key.clone().sign(b"x"), key.sign(b"x"));
    }
}

#[test]
fn keys_of_other_types_are_not_generated() {
    for code in [4, 5, 6, 9, 10, 12] {
        let kind = SignatureType(code);
        assert_eq!(
            SigningPrivateKey::generate(kind, &mut rng()),
            Err(SignatureError::CannotGenerate(kind))
        );
    }
}

#[test]
fn invalid_private_keys_are_refused() {
    for (kind, bytes) in [
        (SignatureType::DSA_SHA1, vec![0; 20]),
        (SignatureType::DSA_SHA1, vec![0xff; 20]),
        (SignatureType::ECDSA_SHA256_P256, vec![0; 32]),
        (SignatureType::ECDSA_SHA256_P256, vec![0xff; 32]),
        (SignatureType::ECDSA_SHA512_P521, vec![0xff; 66]),
        (SignatureType::RSA_SHA256_2048, vec![0; 512]),
        (SignatureType::REDDSA, vec![0; 32]),
        (SignatureType::ED25519, vec![1; 31]),
    ] {
        assert_eq!(
            SigningPrivateKey::new(kind, &bytes),
            Err(SignatureError::BadPrivateKey),
            "{kind}"
        );
    }
    assert_eq!(
        SigningPrivateKey::new(SignatureType(12), &[1; 32]),
        Err(SignatureError::UnsupportedType(SignatureType(12)))
    );
}

/// The test vector of RFC 8032, section 7.3.
#[test]
fn ed25519ph_signs_as_in_the_rfc() {
    let key = SigningPrivateKey::new(
        SignatureType::ED25519PH,
        &hex!("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"),
    )
    .unwrap();
    assert_eq!(
        key.public_key().as_bytes(),
        hex!("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    );
    let signature = hex!(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    );
    assert_eq!(key.sign(b"abc").as_bytes(), signature);
}

/// The keys `sk` and `vk` of test vector 1 in the Red25519 specification. The signatures of the
/// vector have the hash prefix, which no router uses, so they are not tested.
#[test]
fn a_reddsa_key_is_a_scalar() {
    let key = SigningPrivateKey::new(
        SignatureType::REDDSA,
        &hex!("58e86efb75fa4e2c410f46e16de9f6acae1a1703528651b69bc176c088bef36e"),
    )
    .unwrap();
    assert_eq!(
        key.public_key().as_bytes(),
        hex!("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
    );
}

#[test]
fn randomized_reddsa_signatures_of_one_message_differ() {
    let mut rng = rng();
    let key = SigningPrivateKey::generate(SignatureType::REDDSA, &mut rng).unwrap();
    let one = key.sign_randomized(b"message", &mut rng);
    let two = key.sign_randomized(b"message", &mut rng);
    assert_ne!(one, two);
    assert_ne!(
        one.as_bytes()[..32],
        two.as_bytes()[..32],
        "the nonces differ"
    );
}

#[test]
fn deterministic_reddsa_nonces_differ_between_messages_and_keys() {
    let mut rng = rng();
    let keys: Vec<_> = (0..2)
        .map(|_| SigningPrivateKey::generate(SignatureType::REDDSA, &mut rng).unwrap())
        .collect();
    let nonce = |key: &SigningPrivateKey, message| key.sign(message).as_bytes()[..32].to_vec();
    assert_ne!(nonce(&keys[0], b"one"), nonce(&keys[0], b"two"));
    assert_ne!(nonce(&keys[0], b"one"), nonce(&keys[1], b"one"));
}

#[test]
fn a_key_from_early_versions_of_i2pd_signs_for_its_destination() {
    // The scalar of the seed has bit 253 set, so clearing the bit changes the key.
    let (seed, old) = (0..=255u8)
        .map(|byte| [byte; 32])
        .find_map(|seed| {
            let today = SigningPrivateKey::new(SignatureType::ED25519, &seed).unwrap();
            let old = eddsa::Signer::with_cleared_bit(&seed).unwrap().public();
            (today.public_key().as_bytes() != old).then_some((seed, old))
        })
        .unwrap();
    let public = SigningPublicKey::new(SignatureType::ED25519, &old).unwrap();
    let key = SigningPrivateKey::matching(&public, &seed).unwrap();
    assert_eq!(*key.public_key(), public);
    assert_eq!(public.verify(b"message", &key.sign(b"message")), Ok(()));
}

#[test]
fn a_signature_of_another_type_is_refused() {
    let key = SigningPrivateKey::generate(SignatureType::ED25519, &mut rng()).unwrap();
    let bytes = key.sign(b"message");
    let other = Signature::new(SignatureType::REDDSA, bytes.as_bytes()).unwrap();
    assert_eq!(
        key.public_key().verify(b"message", &other),
        Err(SignatureError::OtherType {
            key: SignatureType::ED25519,
            signature: SignatureType::REDDSA,
        })
    );
}

#[test]
fn debug_output_contains_no_secrets() {
    let key = SigningPrivateKey::new(SignatureType::ED25519, &[0xab; 32]).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, "SigningPrivateKey(EdDSA_SHA512_Ed25519, secret)");
}
