use super::*;

/// The SHA-256 hash of "hello", computed with Python.
const B32: &str = "ftze3os7wcrq4jxihmvmlopctynrmhs4d6tuexttaqzwfe4ltasa.b32.i2p";

#[test]
fn an_address_is_the_hash_in_base32() {
    let hash = Hash::of(b"hello");
    assert_eq!(hash.to_b32(), B32);
    assert_eq!(Hash::from_b32(&hash.to_b32()), Ok(hash));
    assert_eq!(Hash::from_b32(&hash.to_b32().to_uppercase()), Ok(hash));
    assert_eq!(Hash::from_b32(&hash.to_b32()[..52]), Ok(hash));
    assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
}

#[test]
fn an_address_of_another_length_is_refused() {
    for length in [0, 1, 51, 53, 56] {
        let text = "a".repeat(length) + ".b32.i2p";
        assert!(Hash::from_b32(&text).is_err(), "{length}");
    }
    assert!(Hash::from_b32("é").is_err());
}

#[test]
fn display_writes_eight_characters() {
    let hash = Hash::of(b"hello");
    let shown = hash.to_string();
    assert_eq!(shown.len(), 8);
    assert!(hash.to_b32().starts_with(&shown));
    assert_eq!(format!("{hash:?}"), format!("Hash({shown})"));
}
