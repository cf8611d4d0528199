use eepkit_wire::SignatureError;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::MAX_PACKET_LEN;

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(7)).unwrap()
}

fn sealed(keys: &PrivateKeys, payload: &[u8]) -> Bytes {
    Datagram1::seal(keys, payload).unwrap().into()
}

fn open(packet: &Bytes) -> Result<Authenticated, UnsealError> {
    Datagram1::parse(packet)?.verify()
}

#[test]
fn a_packet_is_destination_signature_payload() {
    let keys = keys(SignatureType::ED25519);
    let packet = sealed(&keys, b"hello");
    let signature = keys.sign(b"hello");
    let parts = [
        keys.destination().as_bytes(),
        signature.as_bytes(),
        b"hello",
    ];
    assert_eq!(packet, parts.concat());
    assert_eq!(packet.len(), 391 + 64 + 5);
}

#[test]
fn senders_with_every_type_of_key_are_proven() {
    for kind in [
        SignatureType::DSA_SHA1,
        SignatureType::ECDSA_SHA256_P256,
        SignatureType::ECDSA_SHA384_P384,
        SignatureType::ECDSA_SHA512_P521,
        SignatureType::ED25519,
        SignatureType::ED25519PH,
        SignatureType::REDDSA,
    ] {
        let keys = keys(kind);
        let datagram = open(&sealed(&keys, b"hello")).unwrap();
        assert_eq!(datagram.sender(), keys.destination());
        assert_eq!(datagram.payload().as_ref(), b"hello");
        assert_eq!(datagram.format(), Format::Datagram1);
        assert!(!datagram.is_for_this_receiver());
    }
}

#[test]
fn dsa_keys_sign_the_hash_of_the_payload() {
    let keys = keys(SignatureType::DSA_SHA1);
    let packet = sealed(&keys, b"hello");
    let from = keys.destination();
    let signature = &packet[from.as_bytes().len()..packet.len() - 5];
    assert_eq!(signature.len(), 40);
    let signature = Signature::new(SignatureType::DSA_SHA1, signature).unwrap();
    let key = from.signing_key();
    assert_eq!(
        key.verify(Hash::of(b"hello").as_bytes(), &signature),
        Ok(())
    );
    assert_eq!(key.verify(b"hello", &signature), Err(SignatureError::Wrong));
}

#[test]
fn an_empty_payload_is_accepted() {
    let datagram = open(&sealed(&keys(SignatureType::ED25519), b"")).unwrap();
    assert!(datagram.payload().is_empty());
}

#[test]
fn a_truncated_packet_is_refused() {
    let packet = sealed(&keys(SignatureType::ED25519), b"hello");
    for length in 0..packet.len() {
        assert!(open(&packet.slice(..length)).is_err(), "{length} bytes");
    }
}

#[test]
fn offline_keys_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(8);
    let keys = keys(SignatureType::ED25519);
    let offline = keys.with_transient(u32::MAX, SignatureType::ED25519, rng);
    assert_eq!(
        Datagram1::seal(&offline.unwrap(), b"hello"),
        Err(SealError::OfflineKeys(Format::Datagram1))
    );
}

#[test]
fn a_packet_has_at_most_the_maximum_length() {
    let keys = keys(SignatureType::ED25519);
    let limit = Format::Datagram1.max_payload_len(&keys);
    let packet = sealed(&keys, &vec![1; limit]);
    assert_eq!(packet.len(), MAX_PACKET_LEN);
    assert!(open(&packet).is_ok());
    let error = SealError::TooLong {
        format: Format::Datagram1,
        len: limit + 1,
        limit,
    };
    assert_eq!(Datagram1::seal(&keys, &vec![1; limit + 1]), Err(error));
    let too_long = Bytes::from(vec![1; crate::MAX_RECEIVED_LEN + 1]);
    assert!(matches!(
        Datagram1::parse(&too_long),
        Err(DecodeError::TooLong { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_change_after_the_destination_invalidates_the_signature(
        payload in prop::collection::vec(any::<u8>(), 0..50),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let mut packet = sealed(&keys(SignatureType::ED25519), &payload).to_vec();
        *at.get_mut(&mut packet[391..]) ^= change;
        prop_assert_eq!(
            open(&packet.into()),
            Err(UnsealError::Signature(SignatureError::Wrong))
        );
    }
}
