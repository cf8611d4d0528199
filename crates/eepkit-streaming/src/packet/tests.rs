use eepkit_wire::SignatureType;
use hex_literal::hex;
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;

const NOW: u32 = 1_735_689_600;

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut ChaCha8Rng::from_seed([3; 32])).unwrap()
}

fn encode(repr: &Repr<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    repr.encode(&mut out);
    out
}

fn syn(keys: &PrivateKeys) -> Vec<u8> {
    Repr {
        recv_id: 7,
        flags: Flags::SYN | Flags::NO_ACK,
        nacks: &[1, 2, 3, 4, 5, 6, 7, 8],
        resend_delay: 3,
        from: Some(keys.destination()),
        max_size: Some(1812),
        payload: b"hello",
        ..Repr::default()
    }
    .sign(keys)
}

#[test]
fn a_plain_acknowledgement_has_these_bytes() {
    let repr = Repr {
        send_id: 0x0102_0304,
        recv_id: 0x0506_0708,
        ack_through: 9,
        nacks: &[5, 7],
        ..Repr::default()
    };
    let expected = hex!(
        "01020304 05060708 00000000 00000009" // ids, sequence number, ack through
        "02 00000005 00000007"                // nacks
        "00 0000 0000"                        // resend delay, flags, option size
    );
    assert_eq!(encode(&repr), expected);
}

#[test]
fn a_choking_acknowledgement_has_these_bytes() {
    let repr = Repr {
        send_id: 1,
        recv_id: 2,
        ack_through: 3,
        delay: Some(60_001),
        ..Repr::default()
    };
    let expected = hex!("00000001 00000002 00000000 00000003 00 00 0040 0002 ea61");
    assert_eq!(encode(&repr), expected);
}

#[test]
fn a_data_packet_has_these_bytes() {
    let repr = Repr {
        send_id: 1,
        recv_id: 2,
        seq: 4,
        ack_through: 3,
        payload: b"hi",
        ..Repr::default()
    };
    let expected = hex!("00000001 00000002 00000004 00000003 00 00 0000 0000 6869");
    assert_eq!(encode(&repr), expected);
}

#[test]
fn a_pong_has_these_bytes() {
    let repr = Repr {
        recv_id: 0xaabb_ccdd,
        flags: Flags::ECHO,
        payload: b"!",
        ..Repr::default()
    };
    let expected = hex!("00000000 aabbccdd 00000000 00000000 00 00 0200 0000 21");
    assert_eq!(encode(&repr), expected);
}

#[test]
fn a_first_packet_has_its_options_in_order() {
    let keys = keys(SignatureType::ED25519);
    let packet = syn(&keys);
    let destination = keys.destination().as_bytes();
    assert_eq!(packet[16], 8);
    assert_eq!(
        packet[17..49],
        hex!("00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008")
    );
    // Resend delay; NO_ACK, MAX_SIZE, FROM, SIGNATURE, SYN; 391 + 2 + 64 bytes of options.
    assert_eq!(packet[49..54], hex!("03 04a9 01c9"));
    assert_eq!(&packet[54..54 + 391], destination);
    assert_eq!(packet[445..447], hex!("0714"));
    assert_eq!(&packet[447 + 64..], b"hello");
}

#[test]
fn data_headers_are_those_of_the_general_encoding() {
    for (ack, delay) in [
        (Some(9), None),
        (None, None),
        (Some(0), Some(0)),
        (None, Some(60_001)),
    ] {
        let repr = Repr {
            send_id: 1,
            recv_id: 2,
            seq: 3,
            ack_through: ack.unwrap_or(0),
            flags: if ack.is_none() {
                Flags::NO_ACK
            } else {
                Flags::default()
            },
            resend_delay: 4,
            delay,
            ..Repr::default()
        };
        let header = DataHeader {
            send_id: 1,
            recv_id: 2,
            seq: 3,
            ack,
            resend_delay: 4,
            delay,
        };
        assert_eq!(header.encode().as_bytes(), encode(&repr));
    }
}

#[test]
fn an_encoded_packet_can_be_parsed() {
    let keys = keys(SignatureType::ED25519);
    let bytes = syn(&keys);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(
        (packet.send_id(), packet.recv_id(), packet.seq()),
        (0, 7, 0)
    );
    assert_eq!(packet.nacks().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        replay_guard(&packet.replay_guard().unwrap()),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(packet.resend_delay(), 3);
    assert_eq!(packet.from(), Some(keys.destination()));
    assert_eq!(packet.max_size(), Some(1812));
    assert_eq!(packet.delay(), None);
    assert_eq!(packet.payload(), b"hello");
    assert!(packet.flags().is_syn() && packet.flags().is_no_ack() && !packet.flags().is_close());
}

#[test]
fn every_signature_type_signs_and_verifies() {
    for kind in [
        SignatureType::ED25519,
        SignatureType::DSA_SHA1,
        SignatureType::ECDSA_SHA256_P256,
        SignatureType::ECDSA_SHA384_P384,
        SignatureType::ECDSA_SHA512_P521,
        SignatureType::REDDSA,
    ] {
        let keys = keys(kind);
        let mut bytes = syn(&keys);
        let identity = Packet::parse(&bytes).unwrap().verify(None, NOW).unwrap();
        assert_eq!(identity, Identity::new(keys.destination().clone()));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(
            matches!(
                Packet::parse(&bytes).unwrap().verify(None, NOW),
                Err(VerifyError::Signature(_))
            ),
            "{kind}"
        );
    }
}

#[test]
fn offline_keys_sign_until_they_expire_and_for_later_packets() {
    let mut rng = ChaCha8Rng::from_seed([4; 32]);
    let keys = keys(SignatureType::ED25519);
    let offline = keys
        .with_transient(NOW + 100, SignatureType::ECDSA_SHA256_P256, &mut rng)
        .unwrap();
    let bytes = syn(&offline);
    let packet = Packet::parse(&bytes).unwrap();
    assert!(packet.flags().contains(Flags::OFFLINE));
    let identity = packet.verify(None, NOW).unwrap();
    assert_eq!(
        identity.transient.as_ref(),
        Some(offline.offline().unwrap().transient())
    );
    assert!(packet.verify(None, NOW + 100).is_err());

    // i2pd sends CLOSE with the offline signature and without the destination.
    let close = Repr {
        flags: Flags::CLOSE,
        seq: 1,
        ..Repr::default()
    };
    let bytes = close.sign(&offline);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.verify(Some(&identity), NOW), Ok(identity));
    assert_eq!(packet.verify(None, NOW), Err(VerifyError::UnknownSender));
}

#[test]
fn a_signature_of_another_key_is_invalid() {
    let (alice, mallory) = (
        keys(SignatureType::ED25519),
        PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha8Rng::from_seed([9; 32])).unwrap(),
    );
    let identity = Identity::new(alice.destination().clone());
    let close = Repr {
        flags: Flags::CLOSE,
        seq: 1,
        ..Repr::default()
    };
    let bytes = close.sign(&mallory);
    assert!(matches!(
        Packet::parse(&bytes).unwrap().verify(Some(&identity), NOW),
        Err(VerifyError::Signature(_))
    ));
    let bytes = syn(&mallory);
    assert_eq!(
        Packet::parse(&bytes).unwrap().verify(Some(&identity), NOW),
        Err(VerifyError::OtherSender)
    );
    let bytes = encode(&close);
    assert_eq!(
        Packet::parse(&bytes).unwrap().verify(Some(&identity), NOW),
        Err(VerifyError::NotSigned)
    );
}

#[test]
fn every_truncation_into_the_header_is_an_error() {
    let bytes = syn(&keys(SignatureType::ED25519));
    let header = bytes.len() - 5;
    for length in 0..header {
        assert!(Packet::parse(&bytes[..length]).is_err(), "{length}");
    }
    for length in header..bytes.len() {
        let packet = Packet::parse(&bytes[..length]).unwrap();
        assert!(packet.verify(None, NOW).is_err());
    }
}

#[test]
fn a_signature_that_is_cut_off_is_an_error() {
    let identity = Identity::new(keys(SignatureType::ED25519).destination().clone());
    // CLOSE and SIGNATURE with 10 bytes of options.
    let bytes = hex!("00000001 00000002 00000004 00000003 00 00 000a 000a 00000000000000000000");
    let packet = Packet::parse(&bytes).unwrap();
    assert!(matches!(
        packet.verify(Some(&identity), NOW),
        Err(VerifyError::Malformed(_))
    ));
}

#[test]
fn options_without_a_flag_are_skipped() {
    let bytes = hex!("00000001 00000002 00000004 00000003 00 00 0040 0005 0000 aabbcc 6869");
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.delay(), Some(0));
    assert_eq!(packet.payload(), b"hi");
}

#[test]
fn options_larger_than_the_packet_are_an_error() {
    let bytes = hex!("00000001 00000002 00000004 00000003 00 00 0000 ffff 6869");
    assert!(Packet::parse(&bytes).is_err());
}

#[test]
fn flags_have_names() {
    let flags = Flags::SYN | Flags::OFFLINE | Flags::from_bits_retain(1 << 12);
    assert_eq!(format!("{flags:?}"), "Flags(SYN | OFFLINE | 0x1000)");
}

proptest! {
    #[test]
    fn can_round_trip_any_unsigned_packet(
        ids in any::<(u32, u32, u32, u32, u8)>(),
        nacks in proptest::collection::vec(any::<u32>(), 0..=255),
        flags in 0..16_u16,
        delay in any::<Option<u16>>(),
        max_size in any::<Option<u16>>(),
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let flags = Flags::from_bits_retain(flags & 7 | (flags >> 3) << 10);
        let repr = Repr {
            send_id: ids.0, recv_id: ids.1, seq: ids.2, ack_through: ids.3, resend_delay: ids.4,
            nacks: &nacks, flags, delay, max_size, payload: &payload, from: None,
        };
        let bytes = encode(&repr);
        let packet = Packet::parse(&bytes).unwrap();
        prop_assert_eq!((packet.send_id(), packet.recv_id(), packet.seq(), packet.ack_through(), packet.resend_delay()), ids);
        prop_assert_eq!(packet.nacks().collect::<Vec<_>>(), nacks.clone());
        prop_assert!(packet.flags().contains(flags));
        prop_assert_eq!((packet.delay(), packet.max_size()), (delay, max_size));
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert_eq!(packet.payload_start() + payload.len(), bytes.len());
    }

    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(packet) = Packet::parse(&bytes) {
            let _ = packet.verify(None, NOW);
            let _ = (packet.payload(), packet.nacks().count(), packet.replay_guard());
        }
    }

    #[test]
    fn a_flipped_bit_invalidates_the_signature(bit in 0..4000_usize) {
        let keys = keys(SignatureType::ED25519);
        let mut bytes = syn(&keys);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert!(packet.verify(Some(&Identity::new(keys.destination().clone())), NOW).is_err());
        }
    }
}
