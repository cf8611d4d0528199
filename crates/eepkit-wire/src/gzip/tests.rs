use hex_literal::hex;

use super::*;

const HEADER: Header = Header {
    protocol: 6,
    from_port: 1,
    to_port: 2,
};

#[test]
fn framing_an_uncompressed_body_needs_one_allocation() {
    for length in [0, 1, 1_730, 65_535, 65_536, 200_000] {
        let body = vec![7; length];
        let frame = encode(HEADER, &body, false);
        assert_eq!(frame.len(), frame.capacity());
        assert_eq!(decode(&frame, length), Ok((HEADER, body.into())));
        if length <= 65_535 {
            assert_eq!(frame.len(), length + OVERHEAD);
        }
    }
}

#[test]
fn deflating_shrinks_repetitive_data() {
    for length in [100, 5_000, 300_000] {
        let body = vec![7; length];
        let frame = encode(HEADER, &body, true);
        assert!(frame.len() < 100 + length / 100, "{}", frame.len());
        assert_eq!(decode(&frame, length), Ok((HEADER, body.into())));
    }
}

#[test]
fn deflating_never_makes_a_frame_longer() {
    // Pseudorandom numbers do not compress.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(100_000)
    .collect();
    for length in [0, 1, 10, 1_730, 65_535, 65_536, 100_000] {
        let plain = encode(HEADER, &noise[..length], false);
        let deflated = encode(HEADER, &noise[..length], true);
        assert!(deflated.len() <= plain.len(), "{length}");
        assert_eq!(
            decode(&deflated, length),
            Ok((HEADER, noise[..length].into()))
        );
    }
}

/// The frame is by Python's module `gzip`, with `mtime` 0x00010002.
#[test]
fn a_frame_with_a_file_name_by_other_software_is_decoded() {
    let frame = hex!("1f8b08080200010002ff6e616d6500cb48cdc9c957c8402701e3513d8d17000000");
    let (header, body) = decode(&frame, 100).unwrap();
    assert_eq!(*body, *b"hello hello hello hello");
    // Time stamps of gzip are little-endian.
    assert_eq!((header.from_port, header.to_port), (0x0200, 0x0100));
}

#[test]
fn a_compression_bomb_is_refused_without_inflating_it() {
    let bomb = encode(HEADER, &vec![0; 50_000_000], true);
    assert!(bomb.len() < 60_000);
    assert_eq!(
        decode(&bomb, 65_536),
        Err(DecodeError::TooLong {
            what: "inflated payload",
            length: 65_537,
            limit: 65_536,
        })
    );
}

#[test]
fn a_body_may_be_as_long_as_the_limit() {
    for deflate in [false, true] {
        let frame = encode(HEADER, &[b'a'; 100], deflate);
        assert!(decode(&frame, 100).is_ok());
        assert!(decode(&frame, 99).is_err());
        assert!(decode(&frame, 0).is_err());
    }
}

#[test]
fn a_wrong_announced_length_is_detected_and_allocates_no_memory() {
    for deflate in [false, true] {
        let mut frame = encode(HEADER, &[b'a'; 100], deflate);
        let end = frame.len();
        frame[end - 4..].copy_from_slice(&[0xff; 4]);
        let error = decode(&frame, usize::MAX).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid gzip frame: the length does not match the body"
        );
        frame[end - 4..].copy_from_slice(&[0; 4]);
        assert!(decode(&frame, usize::MAX).is_err());
    }
}

#[test]
fn a_body_longer_than_announced_is_inflated_within_any_limit() {
    let mut frame = encode(HEADER, &[b'a'; 10_000], true);
    let end = frame.len();
    frame[end - 4..].copy_from_slice(&[0; 4]);
    for limit in [0, 1, 100, 4_095, 4_096, 4_097, 9_999] {
        assert!(matches!(
            decode(&frame, limit),
            Err(DecodeError::TooLong { .. })
        ));
    }
    for limit in [10_000, 10_001, usize::MAX] {
        assert!(matches!(
            decode(&frame, limit),
            Err(DecodeError::Invalid { .. })
        ));
    }
}

#[test]
fn a_changed_body_is_detected() {
    let mut frame = encode(HEADER, b"hello", false);
    frame[HEADER_LEN + STORED_HEADER_LEN] ^= 1;
    let error = decode(&frame, 100).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid gzip frame: the checksum does not match the body"
    );
}

#[test]
fn a_second_member_is_refused() {
    let frame = encode(HEADER, b"hello", true);
    assert_eq!(
        decode(&[&frame[..], &frame].concat(), 100),
        Err(DecodeError::TrailingData("gzip frame"))
    );
}

#[test]
fn other_magic_methods_and_reserved_flags_are_refused() {
    for (at, byte) in [(0, 0), (1, 0), (2, 7), (3, 0x20)] {
        let mut frame = encode(HEADER, b"hello", false);
        frame[at] = byte;
        assert!(decode(&frame, 100).is_err(), "byte {at}");
        assert!(peek(&frame).is_err(), "byte {at}");
    }
    assert_eq!(peek(&encode(HEADER, b"hello", true)), Ok(HEADER));
}

#[test]
fn an_uncompressed_body_is_a_slice_of_the_frame() {
    let frame = encode(HEADER, b"hello", false);
    let (_, body) = decode(&frame, 5).unwrap();
    assert!(matches!(body, Cow::Borrowed(b"hello")));
}

#[test]
fn a_frame_is_appended_to_the_buffer() {
    for deflate in [false, true] {
        let mut out = b"before".to_vec();
        encode_into(&mut out, HEADER, &[b'a'; 300], deflate);
        let (before, frame) = out.split_at(6);
        assert_eq!(before, b"before");
        assert_eq!(frame, encode(HEADER, &[b'a'; 300], deflate));
    }
}
