use super::*;

#[test]
fn the_last_two_characters_of_the_alphabet_are_minus_and_tilde() {
    assert_eq!(encode(&[0xfb, 0xef, 0xff]), "--~~");
    assert_eq!(decode("--~~").unwrap(), [0xfb, 0xef, 0xff]);
}

#[test]
fn an_error_contains_the_position_of_a_bad_character() {
    assert_eq!(
        decode("AAAA+AAA"),
        Err(DecodeError::BadCharacter {
            what: "base64",
            position: 4
        })
    );
    let error = decode("AAAAAA/A").unwrap_err();
    assert_eq!(error.to_string(), "bad character in base64 at byte 6");
}

#[test]
fn padding_is_written_and_required() {
    assert_eq!(encode(&[0]), "AA==");
    assert!(decode("AA").is_err());
    assert!(decode("AA=").is_err());
    assert_eq!(decode("AA==").unwrap(), [0]);
}

#[test]
fn each_value_has_exactly_one_text() {
    assert!(decode("AB==").is_err(), "unused bits are set");
    assert!(decode("AA==AA==").is_err(), "padding in the middle");
    assert!(decode("AAAA\n").is_err(), "white space");
}

#[test]
fn text_that_is_not_ascii_is_an_error() {
    assert!(decode("AAAé").is_err());
}
