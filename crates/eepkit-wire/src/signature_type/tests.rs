use super::*;

#[test]
fn numbers_and_names_are_parsed() {
    for text in [
        "7",
        "EdDSA_SHA512_Ed25519",
        "eddsa_sha512_ED25519",
        "ed25519",
    ] {
        assert_eq!(text.parse(), Ok(SignatureType::ED25519), "{text}");
    }
    assert_eq!("300".parse(), Ok(SignatureType(300)));
    for text in ["", "-1", "70000", "RSA"] {
        assert_eq!(text.parse::<SignatureType>(), Err(ParseSignatureTypeError));
    }
}

#[test]
fn every_known_name_is_formatted_and_parsed() {
    for code in 0..12 {
        let kind = SignatureType(code);
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!(SignatureType(99).to_string(), "99");
}

#[test]
fn supported_types_have_lengths() {
    for code in 0..=u16::MAX {
        let kind = SignatureType(code);
        assert_eq!(kind.public_len().is_some(), kind.signature_len().is_some());
        assert!(
            !kind.is_supported() || kind.public_len().is_some(),
            "{kind}"
        );
    }
}
