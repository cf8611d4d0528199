use super::*;

#[test]
fn numbers_are_big_endian() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut r = Reader::new(&bytes);
    assert_eq!(r.u8("a"), Ok(1));
    assert_eq!(r.u16("b"), Ok(0x0203));
    assert_eq!(r.u32("c"), Ok(0x0405_0607));
    assert_eq!(r.u64("d"), Ok(0x0809_0a0b_0c0d_0e0f));
    assert_eq!(r.finish("e"), Ok(()));
}

#[test]
fn a_failed_read_does_not_advance_and_names_the_missing_field() {
    let mut r = Reader::new(&[1, 2]);
    let error = r.u32("tunnel").unwrap_err();
    assert_eq!(error.to_string(), "input ended inside tunnel");
    assert_eq!(r.left(), 2);
    assert_eq!(
        r.take(usize::MAX, "all"),
        Err(DecodeError::MissingData("all"))
    );
    assert_eq!(r.take_rest(), [1, 2]);
}

#[test]
fn bytes_that_were_read_can_be_read_again() {
    let mut r = Reader::new(b"abcdef");
    r.take(2, "start").unwrap();
    let mark = r.position();
    r.take(3, "middle").unwrap();
    assert_eq!(r.taken_since(mark), b"cde");
    assert_eq!(r.taken_since(100), b"");
    assert_eq!(r.rest(), b"f");
}

#[test]
fn strings_have_a_length_byte_and_are_utf8() {
    let mut out = Vec::new();
    encode_string(&mut out, "name", "é").unwrap();
    assert_eq!(out, [2, 0xc3, 0xa9]);
    assert_eq!(Reader::new(&out).string("name"), Ok("é"));
    assert!(Reader::new(&[1, 0xff]).string("name").is_err());
    assert!(encode_string(&mut out, "name", &"x".repeat(256)).is_err());
    assert_eq!(out.len(), 3);
}

#[test]
fn trailing_data_is_reported_with_the_name_of_the_type() {
    assert_eq!(
        crate::Hash::from_bytes(&[0; 33]),
        Err(DecodeError::TrailingData("Hash"))
    );
}

#[test]
fn errors_contain_the_field_and_the_values() {
    let shown = [
        DecodeError::WrongLength {
            what: "hash",
            expected: 32,
            got: 31,
        },
        DecodeError::UnsupportedType {
            what: "signature type",
            code: 12,
        },
        DecodeError::TooLong {
            what: "certificate",
            length: 9_000,
            limit: 8_000,
        },
    ]
    .map(|error| error.to_string());
    assert_eq!(
        shown,
        [
            "wrong length of hash: expected 32 bytes, got 31",
            "signature type 12 is not supported",
            "certificate is too long: 9000, the limit is 8000",
        ]
    );
}
