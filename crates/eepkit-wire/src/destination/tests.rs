use super::*;

fn unknown(excess: usize) -> Vec<u8> {
    let length = 4 + excess;
    let mut bytes = vec![0x11; 384];
    bytes.extend_from_slice(&[5, (length >> 8) as u8, length as u8, 0, 12, 0, 255]);
    bytes.resize(bytes.len() + excess, 0x22);
    bytes
}

#[test]
fn a_destination_of_the_default_type_has_391_bytes_and_524_characters() {
    let key = SigningPublicKey::new(SignatureType::ED25519, &[1; 32]).unwrap();
    let destination = Destination::new(&key, &[2; 32]).unwrap();
    assert_eq!(destination.as_bytes().len(), 391);
    assert_eq!(destination.to_base64().len(), 524);
    assert_eq!(
        Destination::from_base64(&destination.to_base64()),
        Ok(destination)
    );
}

#[test]
fn unused_bytes_are_a_repeated_block() {
    let key = SigningPublicKey::new(SignatureType::ECDSA_SHA256_P256, &[1; 64]).unwrap();
    let block = std::array::from_fn(|i| i as u8);
    let destination = Destination::new(&key, &block).unwrap();
    let (unused, rest) = destination.as_bytes().split_at(320);
    assert!(unused.chunks(32).all(|chunk| chunk == block));
    assert_eq!(rest[..64], [1; 64]);
}

#[test]
fn an_unknown_signature_type_is_preserved_and_verifies_nothing() {
    for excess in [0, 1, 928, 2_208] {
        let bytes = unknown(excess);
        let destination = Destination::from_bytes(&bytes).unwrap();
        assert_eq!(destination.as_bytes(), bytes);
        assert_eq!(destination.signature_type(), SignatureType(12));
        assert_eq!(destination.hash(), Hash::of(&bytes));
        let signature = crate::Signature::new(SignatureType(12), &[0; 2_420]).unwrap();
        assert_eq!(
            destination.signing_key().verify(b"", &signature),
            Err(crate::SignatureError::UnsupportedType(SignatureType(12)))
        );
    }
}

#[test]
fn a_key_certificate_has_the_length_that_its_types_require() {
    for (code, excess) in [
        (0, 0usize),
        (1, 0),
        (3, 4),
        (4, 128),
        (6, 384),
        (7, 0),
        (11, 0),
    ] {
        for given in [excess + 1, excess, excess.wrapping_sub(1)] {
            if given > 1_000 {
                continue;
            }
            let mut bytes = unknown(given);
            bytes[387..391].copy_from_slice(&[0, code, 0, 0]);
            let read = Destination::from_bytes(&bytes);
            assert_eq!(read.is_ok(), given == excess, "type {code}, {given} bytes");
        }
    }
}

#[test]
fn a_null_certificate_has_no_payload() {
    let mut bytes = vec![1; 384];
    bytes.extend_from_slice(&[0, 0, 1, 0]);
    assert!(Destination::from_bytes(&bytes).is_err());
}

#[test]
fn a_huge_certificate_is_refused_before_it_is_read() {
    let mut bytes = vec![1; 384];
    bytes.extend_from_slice(&[5, 0xff, 0xff]);
    assert_eq!(
        Destination::from_bytes(&bytes),
        Err(DecodeError::TooLong {
            what: "certificate",
            length: 65_535,
            limit: Certificate::MAX_PAYLOAD,
        })
    );
}

#[test]
fn display_writes_the_beginning_of_the_address() {
    let destination = Destination::from_bytes(&unknown(0)).unwrap();
    let shown = destination.to_string();
    assert!(destination.to_b32().starts_with(&shown));
    assert_eq!(format!("{destination:?}"), format!("Destination({shown})"));
}
