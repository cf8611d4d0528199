//! Files and signatures that other software made: see `data/README.md`.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use eepkit_wire::{
    Codec, DecodeError, Destination, EncryptionType, Hash, KeyError, LeaseSet2, LeaseSetFlags,
    PrivateKeys, Reader, RouterInfo, Signature, SignatureError, SignatureType, SigningPrivateKey,
    SigningPublicKey,
};

const MESSAGE: &[u8] = b"The quick brown fox jumps over the lazy dog";

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("data/", $name)).as_slice()
    };
}

/// Signature type, public key, private key, and signature of [`MESSAGE`].
type Row = (SignatureType, Vec<u8>, Vec<u8>, Vec<u8>);

/// Keys and signatures by OpenSSL.
fn signatures() -> Vec<Row> {
    let text = std::str::from_utf8(data!("signatures.txt")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap().parse().unwrap();
            let mut bytes = || unhex(words.next().unwrap());
            (kind, bytes(), bytes(), bytes())
        })
        .collect()
}

#[test]
fn signatures_by_openssl_verify() {
    assert_eq!(signatures().len(), 8);
    for (kind, public, _, signature) in signatures() {
        let key = SigningPublicKey::new(kind, &public).unwrap();
        let signature = Signature::new(kind, &signature).unwrap();
        assert_eq!(key.verify(MESSAGE, &signature), Ok(()), "{kind}");
        let (a, b) = MESSAGE.split_at(7);
        assert_eq!(key.verify_parts(&[a, &[], b], &signature), Ok(()), "{kind}");
    }
}

#[test]
fn an_update_file_signed_by_openssl_verifies_only_as_such() {
    let text = std::str::from_utf8(data!("update_file.txt")).unwrap();
    let (modulus, signature) = text.lines().last().unwrap().split_once(' ').unwrap();
    let kind = SignatureType::RSA_SHA512_4096;
    let key = SigningPublicKey::new(kind, &unhex(modulus)).unwrap();
    let signature = Signature::new(kind, &unhex(signature)).unwrap();
    assert_eq!(key.verify_update_file(MESSAGE, &signature), Ok(()));
    assert_eq!(
        key.verify_update_file(b"another", &signature),
        Err(SignatureError::Wrong)
    );
    assert_eq!(key.verify(MESSAGE, &signature), Err(SignatureError::Wrong));
}

#[test]
fn update_files_are_signed_with_every_type() {
    for (kind, public, private, _) in signatures() {
        let key = SigningPrivateKey::new(kind, &private).unwrap();
        let signature = key.sign_update_file(MESSAGE);
        let public = SigningPublicKey::new(kind, &public).unwrap();
        assert_eq!(
            public.verify_update_file(MESSAGE, &signature),
            Ok(()),
            "{kind}"
        );
        let is_rsa = matches!(kind.0, 4..=6);
        assert_eq!(
            public.verify(MESSAGE, &signature).is_err(),
            is_rsa,
            "{kind}"
        );
    }
}

#[test]
fn every_flipped_bit_invalidates_a_signature() {
    for (kind, public, _, signature) in signatures() {
        let key = SigningPublicKey::new(kind, &public).unwrap();
        for bit in [0, 7, 8 * signature.len() / 2, 8 * signature.len() - 1] {
            let mut signature = signature.clone();
            signature[bit / 8] ^= 1 << (bit % 8);
            let signature = Signature::new(kind, &signature).unwrap();
            assert_eq!(
                key.verify(MESSAGE, &signature),
                Err(SignatureError::Wrong),
                "{kind}, bit {bit}"
            );
        }
        let signature = Signature::new(kind, &signature).unwrap();
        assert_eq!(
            key.verify(&MESSAGE[1..], &signature),
            Err(SignatureError::Wrong),
            "{kind}"
        );
    }
}

#[test]
fn zero_and_full_signatures_and_keys_are_refused() {
    for (kind, public, _, signature) in signatures() {
        for byte in [0x00, 0xff] {
            let key = SigningPublicKey::new(kind, &public).unwrap();
            let bad = Signature::new(kind, &vec![byte; signature.len()]).unwrap();
            assert!(key.verify(MESSAGE, &bad).is_err(), "{kind}");
            let signature = Signature::new(kind, &signature).unwrap();
            let bad = SigningPublicKey::new(kind, &vec![byte; public.len()]).unwrap();
            assert!(bad.verify(MESSAGE, &signature).is_err(), "{kind}");
        }
    }
}

#[test]
fn private_keys_by_openssl_have_the_same_public_keys_and_sign() {
    for (kind, public, private, signature) in signatures() {
        let key = SigningPrivateKey::new(kind, &private).unwrap();
        assert_eq!(key.public_key().as_bytes(), public, "{kind}");
        assert_eq!(key.as_bytes(), private, "{kind}");
        let ours = key.sign(MESSAGE);
        assert_eq!(key.public_key().verify(MESSAGE, &ours), Ok(()), "{kind}");
        // Signatures of these types are deterministic.
        if matches!(kind.0, 4..=7) {
            assert_eq!(ours.as_bytes(), signature, "{kind}");
        }
    }
}

#[test]
fn key_files_by_i2pd_are_decoded_and_encoded_unchanged() {
    for (kind, file) in [
        (0, data!("i2pd/sig0.dat")),
        (1, data!("i2pd/sig1.dat")),
        (2, data!("i2pd/sig2.dat")),
        (3, data!("i2pd/sig3.dat")),
        (7, data!("i2pd/sig7.dat")),
        (11, data!("i2pd/sig11.dat")),
    ] {
        let keys = PrivateKeys::from_bytes(file).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(keys.signature_type(), SignatureType(kind));
        assert_eq!(keys.to_bytes().as_slice(), file);
        let key = keys.destination().signing_key();
        assert_eq!(key.verify(MESSAGE, &keys.sign(MESSAGE)), Ok(()), "{kind}");
    }
}

#[test]
fn destinations_with_gost_keys_are_decoded_but_their_key_files_are_refused() {
    for (kind, file) in [(9, data!("i2pd/sig9.dat")), (10, data!("i2pd/sig10.dat"))] {
        let kind = SignatureType(kind);
        let destination = Destination::read(&mut Reader::new(file)).unwrap();
        assert_eq!(destination.signature_type(), kind);
        assert_eq!(destination.as_bytes(), &file[..391]);
        assert_eq!(
            PrivateKeys::from_bytes(file),
            Err(KeyError::Signature(SignatureError::UnsupportedType(kind)))
        );
    }
}

#[test]
fn router_keys_by_i2pd_are_decoded_and_its_router_info_verifies() {
    let file = data!("i2pd/router.keys");
    let keys = PrivateKeys::from_bytes(file).unwrap();
    assert_eq!(
        keys.destination().certificate().encryption_type(),
        EncryptionType::X25519
    );
    assert_eq!(keys.encryption_private_key().len(), 32);
    assert_eq!(keys.to_bytes().as_slice(), file);

    let info = RouterInfo::from_bytes(data!("i2pd/router.info")).unwrap();
    assert_eq!(info.identity().as_bytes(), keys.destination().as_bytes());
    assert_eq!(info.verify(), Ok(()));
    assert_eq!(
        info.identity().encryption_key().encryption_type(),
        EncryptionType::X25519
    );
}

#[test]
fn keys_from_i2pds_sam_bridge_are_decoded_and_encoded_unchanged() {
    let reply = std::str::from_utf8(data!("i2pd/sam_dest_reply.txt")).unwrap();
    let value = |key| {
        let mut words = reply.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)).unwrap()
    };
    let destination = Destination::from_base64(value("PUB=")).unwrap();
    let keys = PrivateKeys::from_base64(value("PRIV=")).unwrap();
    assert_eq!(*keys.destination(), destination);
    assert_eq!(keys.to_base64().as_str(), value("PRIV="));
    assert_eq!(destination.to_base64(), value("PUB="));
}

#[test]
fn offline_keys_by_other_software_sign_with_the_transient_key() {
    let file = data!("offline.dat");
    let keys = PrivateKeys::from_bytes(file).unwrap();
    assert_eq!(keys.to_bytes().as_slice(), file);
    let offline = keys.offline().unwrap();
    assert_eq!(offline.expires(), 2_000_000_000);
    assert_eq!(offline.verify(keys.destination(), 1_999_999_999), Ok(()));
    assert_eq!(
        offline.verify(keys.destination(), 2_000_000_000),
        Err(SignatureError::OfflineExpired {
            expired: 2_000_000_000,
            now: 2_000_000_000,
        })
    );
    let signature = keys.sign(MESSAGE);
    assert_eq!(offline.transient().verify(MESSAGE, &signature), Ok(()));
    assert_eq!(
        keys.destination().signing_key().verify(MESSAGE, &signature),
        Err(SignatureError::Wrong)
    );
}

#[test]
fn an_offline_signature_by_another_destination_is_refused() {
    let mut file = data!("offline.dat").to_vec();
    // The last byte of the offline signature. The private transient key, 32 bytes, follows it.
    let last = file.len() - 33;
    file[last] ^= 1;
    assert_eq!(
        PrivateKeys::from_bytes(&file),
        Err(KeyError::Signature(SignatureError::Wrong))
    );
}

#[test]
fn a_lease_set_by_other_software_is_decoded_and_verifies() {
    let bytes = data!("lease_set2.bin");
    let set = LeaseSet2::from_bytes(bytes).unwrap();
    assert_eq!(set.verify(1_999_999_999), Ok(()));
    assert_eq!(set.to_bytes(), bytes);
    assert_eq!(set.published(), 1_700_000_000);
    assert_eq!(set.expires(), 1_700_000_660);
    let flags = LeaseSetFlags::OFFLINE | LeaseSetFlags::UNPUBLISHED;
    assert_eq!(set.flags(), flags);
    assert_eq!(set.options().get("_smtp._tcp"), Some("0 999999 25"));
    let keys = set.encryption_keys();
    assert_eq!(keys[0].encryption_type(), EncryptionType::X25519);
    assert_eq!(keys[1].encryption_type(), EncryptionType(0x1234));
    assert_eq!(keys[1].as_bytes(), b"other");
    assert_eq!(set.leases()[1].gateway, Hash::of(&[1]));
    assert_eq!(set.leases()[1].tunnel, 1_001);
    assert_eq!(set.leases()[1].end, 1_700_000_601_000);
}

#[test]
fn every_flipped_bit_invalidates_a_lease_set() {
    let mut bytes = data!("lease_set2.bin").to_vec();
    for bit in (0..8 * bytes.len()).step_by(7) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(set) = LeaseSet2::from_bytes(&bytes) {
            assert!(set.verify(1).is_err(), "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_key_file_with_another_signing_key_is_refused() {
    let mut file = data!("i2pd/sig7.dat").to_vec();
    *file.last_mut().unwrap() ^= 1;
    assert_eq!(
        PrivateKeys::from_bytes(&file),
        Err(KeyError::Signature(SignatureError::BadPrivateKey))
    );
}

#[test]
fn a_key_file_with_trailing_data_is_refused() {
    let mut file = data!("i2pd/sig7.dat").to_vec();
    file.push(b'\n');
    assert_eq!(
        PrivateKeys::from_bytes(&file),
        Err(KeyError::Decode(DecodeError::TrailingData(
            "private key file"
        )))
    );
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}
