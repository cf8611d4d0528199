use super::*;

/// Addresses of an Ed25519 key with the bytes 0 to 31, blinded to RedDSA. Made with Python's
/// modules `zlib` and `base64`.
const PLAIN: &str = "rj4s2aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7";
const SECRET: &str = "rb4s2aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7";
const BOTH: &str = "rr4s2aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7";
const TWO_BYTES: &str = "yb32qaalaaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";

fn key() -> SigningPublicKey {
    let bytes: [u8; 32] = std::array::from_fn(|i| i as u8);
    SigningPublicKey::new(SignatureType::ED25519, &bytes).unwrap()
}

fn blinded() -> BlindedAddress {
    BlindedAddress::new(key(), SignatureType::REDDSA).unwrap()
}

#[test]
fn addresses_of_encrypted_lease_sets_are_formatted_and_parsed() {
    for (text, address) in [
        (PLAIN, blinded()),
        (SECRET, blinded().with_secret_required(true)),
        (
            BOTH,
            blinded()
                .with_secret_required(true)
                .with_client_key_required(true),
        ),
    ] {
        let text = format!("{text}.b32.i2p");
        assert_eq!(address.to_b33(), text);
        assert_eq!(BlindedAddress::from_b33(&text), Ok(address.clone()));
        assert_eq!(BlindedAddress::from_b33(&text.to_uppercase()), Ok(address));
    }
}

#[test]
fn two_byte_types_are_parsed() {
    assert_eq!(BlindedAddress::from_b33(TWO_BYTES), Ok(blinded()));
}

#[test]
fn every_wrong_character_is_detected() {
    for at in 0..PLAIN.len() {
        let mut text = PLAIN.to_owned();
        let other = if &text[at..=at] == "a" { "b" } else { "a" };
        text.replace_range(at..=at, other);
        assert!(BlindedAddress::from_b33(&text).is_err(), "character {at}");
    }
}

#[test]
fn only_keys_that_can_be_blinded_have_such_an_address() {
    let p256 = SigningPublicKey::new(SignatureType::ECDSA_SHA256_P256, &[1; 64]).unwrap();
    assert_eq!(
        BlindedAddress::new(p256, SignatureType::REDDSA),
        Err(BlindedAddressError::KeyType(
            SignatureType::ECDSA_SHA256_P256
        ))
    );
    assert_eq!(
        BlindedAddress::new(key(), SignatureType::ED25519),
        Err(BlindedAddressError::KeyType(SignatureType::ED25519))
    );
}
