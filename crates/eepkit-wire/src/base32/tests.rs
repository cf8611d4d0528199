use super::*;

#[test]
fn encoding_writes_lower_case_and_decoding_accepts_either() {
    assert_eq!(encode(b"hello"), "nbswy3dp");
    assert_eq!(decode("NBswy3DP").unwrap(), b"hello");
}

#[test]
fn there_is_no_padding() {
    assert_eq!(encode(&[0]), "aa");
    assert_eq!(decode("aa").unwrap(), [0]);
    assert!(decode("aa======").is_err());
}

#[test]
fn unused_bits_must_be_zero() {
    assert!(decode("ab").is_err());
}

#[test]
fn an_error_contains_the_position_of_a_bad_character() {
    assert_eq!(
        decode("aaaa1aaa"),
        Err(DecodeError::BadCharacter {
            what: "base32",
            position: 4
        })
    );
}
