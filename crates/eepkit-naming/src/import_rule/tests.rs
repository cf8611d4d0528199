use eepkit_wire::{Codec, PrivateKeys, SignatureType};

use super::*;

fn check(text: &str) -> Result<(), ImportRule> {
    check_import_name(&text.parse().unwrap())
}

#[test]
fn usual_names_pass_every_rule() {
    for name in [
        "stats.i2p",
        "i2p-projekt.i2p",
        "a.i2p",
        "1.i2p",
        "www.a.i2p",
        "a.b.c.i2p",
        "xn--bcher-kva.i2p",
        "forum.xn--bcher-kva.i2p",
        "proxy.a.i2p",
        "myrouter.i2p",
        "router-stats.i2p",
        "xn--a-b-c-fsa.i2p",
    ] {
        assert_eq!(check(name), Ok(()), "{name}");
    }
}

#[test]
fn each_rule_refuses_the_names_that_violate_it() {
    let hash = format!("{}.i2p", "a".repeat(52));
    let hash_below = format!("x.{}.i2p", "2".repeat(52));
    for (name, rule) in [
        ("a--b.i2p", ImportRule::DoubleHyphen),
        ("xn--a--b.i2p", ImportRule::DoubleHyphen),
        ("a.b--c.i2p", ImportRule::DoubleHyphen),
        ("xn--zzzzzzz9999999.i2p", ImportRule::Punycode),
        ("xn--abc.i2p", ImportRule::Punycode),
        ("proxy.i2p", ImportRule::Reserved),
        ("x.proxy.i2p", ImportRule::Reserved),
        ("router.i2p", ImportRule::Reserved),
        ("console.i2p", ImportRule::Reserved),
        ("a.b.console.i2p", ImportRule::Reserved),
        ("mail.i2p", ImportRule::Reserved),
        (&hash, ImportRule::LooksLikeBase32),
        (&hash_below, ImportRule::LooksLikeBase32),
    ] {
        assert_eq!(check(name), Err(rule), "{name}");
    }
}

#[test]
fn destinations_of_more_than_616_characters_are_refused() {
    let name = "a.i2p".parse().unwrap();
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
    assert_eq!(check_import(&name, keys.destination()), Ok(()));

    // A certificate of an unknown type, with 100 bytes and with one more than fits.
    for (bytes, expected) in [(72, Ok(())), (76, Err(ImportRule::DestinationLength))] {
        let mut encoded = vec![7; 384];
        encoded.extend([1, 0, bytes]);
        encoded.extend(vec![0; usize::from(bytes)]);
        let destination = Destination::from_bytes(&encoded).unwrap();
        assert_eq!(check_import(&name, &destination), expected, "{bytes}");
    }
}
