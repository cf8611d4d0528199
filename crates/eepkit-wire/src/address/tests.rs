use super::*;

/// Keys of bytes 0 to 31, Ed25519 blinded to RedDSA, made with Python's zlib and base64 modules.
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
fn addresses_of_encrypted_lease_sets_are_written_and_read() {
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
        assert_eq!(
            Address::parse(&text.to_uppercase()),
            Ok(Address::B33(address))
        );
    }
}

#[test]
fn two_byte_types_are_read() {
    assert_eq!(BlindedAddress::from_b33(TWO_BYTES), Ok(blinded()));
}

#[test]
fn every_wrong_character_is_noticed() {
    for at in 0..PLAIN.len() {
        let mut text = PLAIN.to_owned();
        let other = if &text[at..=at] == "a" { "b" } else { "a" };
        text.replace_range(at..=at, other);
        assert!(BlindedAddress::from_b33(&text).is_err(), "character {at}");
    }
}

#[test]
fn b32_addresses_of_other_lengths_are_errors_rather_than_names() {
    for length in [1, 51, 53, 54, 55] {
        let text = "a".repeat(length) + ".b32.i2p";
        assert_eq!(Address::parse(&text), Err(AddressError::B32Length(length)));
    }
    let text = "a".repeat(65) + ".B32.I2P";
    assert!(Address::parse(&text).is_err());
}

#[test]
fn a_hash_is_read_in_either_case() {
    let hash = Hash::of(b"hello");
    for text in [hash.to_b32(), hash.to_b32().to_uppercase()] {
        assert_eq!(Address::parse(&text), Ok(Address::B32(hash)));
    }
}

#[test]
fn a_destination_is_read_and_written() {
    let destination = Destination::new(&key(), &[1; 32]).unwrap();
    let text = destination.to_base64();
    let address = Address::parse(&text).unwrap();
    assert_eq!(address, Address::Destination(destination));
    assert_eq!(address.to_string(), text);
    assert!(Address::parse(&text[..520]).is_err());
}

#[test]
fn names_are_put_into_lower_case() {
    assert_eq!(
        Address::parse("WWW.Stats.i2p"),
        Ok(Address::Name("www.stats.i2p".into()))
    );
}

#[test]
fn what_is_no_host_name_of_i2p_is_refused() {
    let long = "a".repeat(64) + ".i2p";
    for text in [
        "",
        "i2p",
        ".i2p",
        "example.com",
        "127.0.0.1",
        "a..i2p",
        "-a.i2p",
        "a-.i2p",
        "a_b.i2p",
        "a b.i2p",
        "é.i2p",
        "a.i2p\n",
        &long,
    ] {
        assert!(
            matches!(Address::parse(text), Err(AddressError::Name(_))),
            "{text:?}"
        );
    }
    assert!(Address::parse(&long[1..]).is_ok());
}

#[test]
fn only_keys_that_can_be_blinded_have_such_an_address() {
    let p256 = SigningPublicKey::new(SignatureType::ECDSA_SHA256_P256, &[1; 64]).unwrap();
    assert_eq!(
        BlindedAddress::new(p256, SignatureType::REDDSA),
        Err(AddressError::B33Type(SignatureType::ECDSA_SHA256_P256))
    );
    assert_eq!(
        BlindedAddress::new(key(), SignatureType::ED25519),
        Err(AddressError::B33Type(SignatureType::ED25519))
    );
}
