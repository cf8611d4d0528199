use super::*;
use crate::{SignatureType, SigningPublicKey};

fn key() -> SigningPublicKey {
    SigningPublicKey::new(SignatureType::ED25519, &[7; 32]).unwrap()
}

#[test]
fn b32_addresses_of_other_lengths_are_errors_rather_than_names() {
    for length in [1, 51, 53, 54, 55] {
        let text = "a".repeat(length) + ".b32.i2p";
        assert_eq!(
            text.parse::<Host>(),
            Err(ParseAddressError::B32Length(length))
        );
    }
    let text = "a".repeat(65) + ".B32.I2P";
    assert!(text.parse::<Host>().is_err());
}

#[test]
fn a_hash_is_parsed_in_either_case() {
    let hash = Hash::of(b"hello");
    for text in [hash.to_b32(), hash.to_b32().to_uppercase()] {
        assert_eq!(text.parse::<Host>(), Ok(Host::Hash(hash)));
    }
}

#[test]
fn a_destination_is_parsed_and_formatted() {
    let destination = Destination::new(&key(), &[1; 32]).unwrap();
    let text = destination.to_base64();
    let address = text.parse::<Host>().unwrap();
    assert_eq!(address, Host::Destination(destination));
    assert_eq!(address.to_string(), text);
    assert!(matches!(
        text[..520].parse::<Host>(),
        Err(ParseAddressError::Base64(_))
    ));
}

#[test]
fn names_are_converted_to_lower_case() {
    assert_eq!(
        "WWW.Stats.i2p".parse::<Host>(),
        Ok(Host::Name("www.stats.i2p".into()))
    );
}

#[test]
fn names_that_violate_a_rule_are_refused() {
    let long = "a".repeat(64) + ".i2p";
    for text in [
        ".i2p", "a..i2p", "-a.i2p", "a-.i2p", "a_b.i2p", "a b.i2p", "é.i2p", &long,
    ] {
        let result = text.parse::<Host>();
        assert!(
            matches!(result, Err(ParseAddressError::Name(_))),
            "{text:?}"
        );
    }
    assert!(long[1..].parse::<Host>().is_ok());
}

#[test]
fn text_that_is_not_an_i2p_address_is_refused() {
    for text in [
        "i2p",
        "example.com",
        "127.0.0.1",
        "a.i2p\n",
        &"a".repeat(99),
    ] {
        assert_eq!(
            text.parse::<Host>(),
            Err(ParseAddressError::NotI2p),
            "{text:?}"
        );
    }
    assert_eq!("".parse::<Host>(), Err(ParseAddressError::Empty));
    let result = "a".repeat(100).parse::<Host>();
    assert!(matches!(result, Err(ParseAddressError::Base64(_))));
}

#[test]
fn addresses_of_encrypted_lease_sets_are_parsed() {
    let address = BlindedAddress::new(key(), SignatureType::REDDSA).unwrap();
    let text = address.to_b33();
    assert_eq!(text.to_uppercase().parse(), Ok(Host::Blinded(address)));
    let wrong = format!("{}.b32.i2p", "a".repeat(56));
    let result = wrong.parse::<Host>();
    assert!(
        matches!(result, Err(ParseAddressError::Blinded(_))),
        "{result:?}"
    );
}

#[test]
fn a_port_follows_the_host() {
    let address: Address = " Stats.i2p:80 ".parse().unwrap();
    assert_eq!(address.host(), &Host::Name("stats.i2p".to_owned()));
    assert_eq!(address.port(), 80);
    assert_eq!(address.to_string(), "stats.i2p:80");
    let built = Address::new(address.host().clone()).with_port(80);
    assert_eq!(built, address);
    let address: Address = "stats.i2p".parse().unwrap();
    assert_eq!(address.port(), 0);
    assert_eq!(address.to_string(), "stats.i2p");
    for (text, error) in [
        ("a.i2p:http", ParseAddressError::Port),
        ("a.i2p:65536", ParseAddressError::Port),
        ("a.i2p:", ParseAddressError::Port),
        (":80", ParseAddressError::Empty),
        ("127.0.0.1:80", ParseAddressError::NotI2p),
    ] {
        assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
    }
}
