use hex_literal::hex;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

/// The expected key is by OpenSSL, for the private key with the bytes 1 to 32.
#[test]
fn the_public_key_of_an_x25519_key_is_computed() {
    let private: [u8; 32] = std::array::from_fn(|i| i as u8 + 1);
    let private = EncryptionPrivateKey::new(EncryptionType::X25519, &private).unwrap();
    let pair = EncryptionKeyPair::from_private(private).unwrap();
    assert_eq!(
        pair.public_key().as_bytes(),
        hex!("07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c")
    );
}

#[test]
fn hybrid_types_have_x25519_keys() {
    for code in 4..=7 {
        let kind = EncryptionType(code);
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let pair = EncryptionKeyPair::generate(kind, rng).unwrap();
        assert_eq!(pair.encryption_type(), kind);
        assert_eq!(pair.public_key().as_bytes().len(), 32);
        assert_eq!(
            EncryptionKeyPair::from_private(pair.private_key().clone()),
            Ok(pair)
        );
    }
}

#[test]
fn keys_of_other_types_are_not_generated_but_can_be_passed() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    for code in [0, 1, 2, 3, 8] {
        assert!(EncryptionKeyPair::generate(EncryptionType(code), rng).is_err());
    }
    let public = EncryptionPublicKey::new(EncryptionType::ELGAMAL, &[1; 256]).unwrap();
    let private = EncryptionPrivateKey::new(EncryptionType::ELGAMAL, &[2; 256]).unwrap();
    let x25519 = EncryptionPrivateKey::new(EncryptionType::X25519, &[2; 32]).unwrap();
    assert!(EncryptionKeyPair::new(public.clone(), private).is_ok());
    assert!(EncryptionKeyPair::new(public, x25519).is_err());
}

#[test]
fn lengths_of_known_types_are_checked() {
    assert_eq!(
        EncryptionPublicKey::new(EncryptionType::X25519, &[0; 33]),
        Err(DecodeError::WrongLength {
            what: "encryption public key",
            expected: 32,
            got: 33,
        })
    );
    assert!(EncryptionPublicKey::new(EncryptionType(99), &[0; 33]).is_ok());
    assert!(EncryptionPublicKey::new(EncryptionType(99), &[0; 8_193]).is_err());
}

#[test]
fn private_keys_are_parsed_in_the_format_of_options() {
    let key = base64::encode(&[7; 32]);
    for text in [format!("ECIES_X25519:{key}"), format!("4:{key}")] {
        let key: EncryptionPrivateKey = text.parse().unwrap();
        assert_eq!(key.encryption_type(), EncryptionType::X25519);
        assert_eq!(key.as_bytes(), [7; 32]);
    }
    let elgamal: EncryptionPrivateKey = base64::encode(&[7; 256]).parse().unwrap();
    assert_eq!(elgamal.encryption_type(), EncryptionType::ELGAMAL);
    for text in [key.clone(), format!("nonsense:{key}"), format!("0:{key}")] {
        assert!(text.parse::<EncryptionPrivateKey>().is_err());
    }
}

#[test]
fn names_and_numbers_of_types_are_parsed() {
    assert_eq!("4".parse(), Ok(EncryptionType::X25519));
    assert_eq!("ecies_x25519".parse(), Ok(EncryptionType::X25519));
    assert_eq!(EncryptionType::ELGAMAL.to_string(), "ELGAMAL_2048");
    assert_eq!(EncryptionType(77).to_string(), "77");
    assert!("".parse::<EncryptionType>().is_err());
}

#[test]
fn debug_output_contains_no_secrets() {
    let key = EncryptionPrivateKey::new(EncryptionType::X25519, &[0xab; 32]).unwrap();
    assert_eq!(
        format!("{key:?}"),
        "EncryptionPrivateKey(ECIES_X25519, secret)"
    );
}
