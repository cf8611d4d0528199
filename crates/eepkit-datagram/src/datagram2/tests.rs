use eepkit_wire::SignatureType;
use hex_literal::hex;
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{MAX_PACKET_LEN, MAX_RECEIVED_LEN};

const NOW: u32 = 1_700_000_000;

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(7)).unwrap()
}

fn offline_keys(own: SignatureType, transient: SignatureType, expires: u32) -> PrivateKeys {
    let rng = &mut ChaCha20Rng::seed_from_u64(8);
    keys(own).with_transient(expires, transient, rng).unwrap()
}

fn options(pairs: &[(&str, &str)]) -> Mapping {
    let mut options = Mapping::new();
    for (key, value) in pairs {
        options.insert(*key, *value).unwrap();
    }
    options
}

fn receiver() -> Hash {
    Hash::of(b"receiver")
}

fn sealed(keys: &PrivateKeys, options: &Mapping, payload: &[u8]) -> Bytes {
    let packet = Datagram2::seal(keys, &receiver(), options, payload, Dialect::Specified);
    packet.unwrap().into()
}

fn open(packet: &Bytes) -> Result<Authenticated, UnsealError> {
    Datagram2::parse(packet)?.verify(&receiver(), NOW, Dialects::NONE)
}

#[test]
fn a_packet_without_options_is_destination_flags_payload_signature() {
    let keys = keys(SignatureType::ED25519);
    let packet = sealed(&keys, &Mapping::new(), b"hello");
    let signature = keys.sign(&[receiver().as_bytes(), &hex!("0002")[..], b"hello"].concat());
    let parts = [
        keys.destination().as_bytes(),
        &hex!("0002"),
        b"hello",
        signature.as_bytes(),
    ];
    assert_eq!(packet, parts.concat());
    // "typical length for X25519 senders and without offline signatures: 457 + payload length"
    assert_eq!(packet.len(), 457 + 5);
}

#[test]
fn options_and_offline_signature_are_between_flags_and_payload() {
    let keys = offline_keys(SignatureType::ED25519, SignatureType::ED25519, NOW + 1);
    let packet = sealed(&keys, &options(&[("k", "v")]), b"hello");
    let (destination, rest) = packet.split_at(391);
    assert_eq!(destination, keys.destination().as_bytes());
    let (flags, rest) = rest.split_at(2);
    assert_eq!(flags, hex!("0032"));
    let (mapping, rest) = rest.split_at(8);
    assert_eq!(mapping, b"\0\x06\x01k=\x01v;");
    // "typically 102 bytes for Ed25519"
    let (offline, rest) = rest.split_at(102);
    assert_eq!(offline[..4], (NOW + 1).to_be_bytes());
    assert_eq!(offline[4..6], hex!("0007"));
    assert_eq!(rest[..5], *b"hello");
    assert_eq!(rest.len(), 5 + 64);
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
        let datagram = open(&sealed(&keys, &Mapping::new(), b"hello")).unwrap();
        assert_eq!(datagram.sender(), keys.destination());
        assert_eq!(datagram.payload().as_ref(), b"hello");
        assert_eq!(datagram.format(), Format::Datagram2);
        assert!(datagram.is_for_this_receiver());
    }
}

#[test]
fn dsa_keys_sign_the_payload_and_not_its_hash() {
    let keys = keys(SignatureType::DSA_SHA1);
    let packet = sealed(&keys, &Mapping::new(), b"hello");
    let (message, signature) = packet.split_at(packet.len() - 40);
    let signature = Signature::new(SignatureType::DSA_SHA1, signature).unwrap();
    let signed = [receiver().as_bytes(), &message[387..]].concat();
    let key = keys.destination().signing_key();
    assert_eq!(key.verify(&signed, &signature), Ok(()));
}

#[test]
fn transient_keys_can_have_another_type_than_the_destination() {
    for transient in [SignatureType::ECDSA_SHA512_P521, SignatureType::DSA_SHA1] {
        let keys = offline_keys(SignatureType::ED25519, transient, NOW + 1);
        let packet = sealed(&keys, &options(&[("a", "b")]), b"hello");
        assert_eq!(packet.len(), Format::Datagram2.overhead(&keys) + 8 + 5);
        let datagram = open(&packet).unwrap();
        assert_eq!(datagram.sender(), keys.destination());
        assert_eq!(datagram.options(), &options(&[("a", "b")]));
        assert_eq!(datagram.payload().as_ref(), b"hello");
    }
}

#[test]
fn an_offline_signature_that_has_expired_or_is_by_another_key_is_refused() {
    let keys = offline_keys(SignatureType::ED25519, SignatureType::ED25519, NOW);
    let expired = SignatureError::OfflineExpired {
        expired: NOW,
        now: NOW,
    };
    assert_eq!(
        open(&sealed(&keys, &Mapping::new(), b"hello")),
        Err(UnsealError::Signature(expired))
    );

    let keys = offline_keys(SignatureType::ED25519, SignatureType::ED25519, NOW + 1);
    let packet = sealed(&keys, &Mapping::new(), b"hello");
    let other = PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::seed_from_u64(9));
    let stolen = [other.unwrap().destination().as_bytes(), &packet[391..]].concat();
    assert_eq!(
        open(&stolen.into()),
        Err(UnsealError::Signature(SignatureError::Wrong))
    );
}

#[test]
fn a_packet_for_another_receiver_is_refused() {
    let packet = sealed(&keys(SignatureType::ED25519), &Mapping::new(), b"hello");
    let read = Datagram2::parse(&packet).unwrap();
    assert_eq!(
        read.verify(&Hash::of(b"another"), NOW, Dialects::ALL),
        Err(UnsealError::Signature(SignatureError::Wrong))
    );
}

#[test]
fn dialects_are_detected_and_accepted_only_if_enabled() {
    let keys = keys(SignatureType::ED25519);
    for (dialect, taken, bound) in [
        (
            Dialect::I2pd,
            Dialects {
                i2pd: true,
                ..Dialects::NONE
            },
            false,
        ),
        (
            Dialect::Emissary,
            Dialects {
                emissary: true,
                ..Dialects::NONE
            },
            true,
        ),
    ] {
        let packet = Datagram2::seal(&keys, &receiver(), &Mapping::new(), b"hello", dialect);
        let read = Datagram2::parse(&packet.unwrap().into()).unwrap();
        assert_eq!(
            read.clone().verify(&receiver(), NOW, Dialects::NONE),
            Err(UnsealError::Dialect(dialect))
        );
        let datagram = read.verify(&receiver(), NOW, taken).unwrap();
        assert_eq!(datagram.dialect(), dialect);
        assert_eq!(datagram.is_for_this_receiver(), bound);
        assert_eq!(datagram.payload().as_ref(), b"hello");
    }
}

#[test]
fn a_packet_to_its_own_sender_is_valid_as_specified() {
    let keys = keys(SignatureType::ED25519);
    let own = keys.destination().hash();
    let packet = Datagram2::seal(&keys, &own, &Mapping::new(), b"hello", Dialect::I2pd);
    let read = Datagram2::parse(&packet.unwrap().into()).unwrap();
    let datagram = read.verify(&own, NOW, Dialects::NONE).unwrap();
    assert_eq!(datagram.dialect(), Dialect::Specified);
}

#[test]
fn other_versions_are_refused() {
    let packet = sealed(&keys(SignatureType::ED25519), &Mapping::new(), b"hello");
    for version in [0, 1, 3, 15] {
        let mut changed = packet.to_vec();
        changed[392] = version;
        let error = Datagram2::parse(&changed.into()).unwrap_err();
        assert_eq!(error, wrong_version("Datagram2"));
    }
}

#[test]
fn undefined_flags_are_ignored_and_covered_by_the_signature() {
    let keys = keys(SignatureType::ED25519);
    let signed = [receiver().as_bytes(), &hex!("4082")[..], b"hello"].concat();
    let signature = keys.sign(&signed);
    let packet = [
        keys.destination().as_bytes(),
        &signed[32..],
        signature.as_bytes(),
    ];
    let datagram = open(&packet.concat().into()).unwrap();
    assert_eq!(datagram.payload().as_ref(), b"hello");
}

#[test]
fn unsorted_options_are_verified_in_their_original_order() {
    let keys = keys(SignatureType::ED25519);
    let unsorted = b"\0\x12\0\x0c\x01b=\x012;\x01a=\x011;hello";
    let signed = [receiver().as_bytes(), &unsorted[..]].concat();
    let signature = keys.sign(&signed);
    let packet = [
        keys.destination().as_bytes(),
        unsorted,
        signature.as_bytes(),
    ];
    let datagram = open(&packet.concat().into()).unwrap();
    assert_eq!(datagram.options(), &options(&[("a", "1"), ("b", "2")]));
    assert_eq!(datagram.payload().as_ref(), b"hello");
}

#[test]
fn a_truncated_packet_is_refused() {
    let keys = offline_keys(SignatureType::ED25519, SignatureType::ED25519, NOW + 1);
    let packet = sealed(&keys, &options(&[("k", "v")]), b"hello");
    for length in 0..packet.len() {
        assert!(open(&packet.slice(..length)).is_err(), "{length} bytes");
    }
}

#[test]
fn a_packet_has_at_most_the_maximum_length() {
    let keys = offline_keys(SignatureType::ED25519, SignatureType::ED25519, NOW + 1);
    let limit = Format::Datagram2.max_payload_len(&keys);
    let packet = sealed(&keys, &Mapping::new(), &vec![1; limit]);
    assert_eq!(packet.len(), MAX_PACKET_LEN);
    assert!(open(&packet).is_ok());
    // Options count towards the limit.
    let options = options(&[("k", "v")]);
    let seal = |len| {
        Datagram2::seal(
            &keys,
            &receiver(),
            &options,
            &vec![1; len],
            Dialect::Specified,
        )
    };
    assert_eq!(seal(limit - 8).unwrap().len(), MAX_PACKET_LEN);
    assert_eq!(
        seal(limit - 7),
        Err(SealError::TooLong {
            format: Format::Datagram2,
            len: limit + 1,
            limit,
        })
    );
    assert!(matches!(
        Datagram2::parse(&vec![1; MAX_RECEIVED_LEN + 1].into()),
        Err(DecodeError::TooLong { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_change_after_the_destination_is_refused(
        payload in prop::collection::vec(any::<u8>(), 0..50),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let keys = keys(SignatureType::ED25519);
        let mut packet = sealed(&keys, &Mapping::new(), &payload).to_vec();
        *at.get_mut(&mut packet[391..]) ^= change;
        prop_assert!(open(&packet.into()).is_err());
    }

    #[test]
    fn sealed_packets_can_be_opened(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        pairs in prop::collection::btree_map("[a-z]{0,20}", ".{0,20}", 0..5),
        offline in any::<bool>(),
    ) {
        let kind = SignatureType::ED25519;
        let keys = if offline { offline_keys(kind, kind, NOW + 1) } else { keys(kind) };
        let mut options = Mapping::new();
        for (key, value) in &pairs {
            options.insert(key.as_str(), value.as_str()).unwrap();
        }
        let datagram = open(&sealed(&keys, &options, &payload)).unwrap();
        prop_assert_eq!(datagram.options(), &options);
        prop_assert_eq!(datagram.payload().as_ref(), payload);
    }
}
