use std::collections::BTreeMap;

use eepkit_wire::{
    EncryptionPrivateKey, EncryptionType, Mapping, SignatureType, StoreType, Zeroizing,
};
use proptest::prelude::*;

use super::*;
use crate::{
    HEADER_LEN, LeaseSetMaker, Options, SignedLeaseSet,
    testing::{UNIX_NOW, keys, keys_of, lease, offline_keys, rng},
};

fn text(text: &str) -> Text {
    Text::new(text).expect("short")
}

fn mapping(pairs: &[(&str, &str)]) -> Mapping {
    let mut mapping = Mapping::new();
    for (key, value) in pairs {
        mapping.insert(*key, *value).expect("short");
    }
    mapping
}

fn config() -> SessionConfig {
    let options = BTreeMap::from([
        ("inbound.length".to_owned(), "2".to_owned()),
        ("i2cp.fastReceive".to_owned(), "true".to_owned()),
    ]);
    SessionConfig::sign(&keys(), options, 0x0102_0304_0506_0708).expect("fits")
}

fn send_message() -> SendMessage {
    SendMessage {
        session: SessionId(0x0102),
        to: keys().destination().clone(),
        payload: Bytes::from_static(b"gzip"),
        nonce: 0xaabb_ccdd,
    }
}

fn lease_set() -> SignedLeaseSet {
    let mut maker =
        LeaseSetMaker::new(keys(), &Options::new(), &mut rng()).expect("default options");
    maker.make(&[lease(7, 600)], UNIX_NOW).expect("a lease")
}

fn version_1_lease_set() -> CreateLeaseSet {
    let mut options = Options::new();
    options.set("i2cp.leaseSetType", "1").expect("valid");
    options.set("i2cp.leaseSetEncType", "0").expect("valid");
    let keys = keys_of(SignatureType::DSA_SHA1, 1);
    let mut maker = LeaseSetMaker::new(keys, &options, &mut rng()).expect("valid");
    let made = maker.make(&[lease(7, 600)], UNIX_NOW).expect("a lease");
    CreateLeaseSet {
        session: SessionId(1),
        revocation_key: [3; 20],
        encryption_key: Zeroizing::new(made.keys[0].as_bytes().try_into().expect("256 bytes")),
        lease_set: made.bytes,
    }
}

/// A lease set with the layout of an encrypted one. Its contents are arbitrary.
fn encrypted_lease_set() -> SignedLeaseSet {
    let mut bytes = vec![0, 11];
    bytes.extend_from_slice(&[0xb1; 32]);
    bytes.extend_from_slice(&[0x65, 0, 0, 0, 0x02, 0x58, 0, 0]);
    bytes.extend_from_slice(&[0, 3, 1, 2, 3]);
    bytes.extend_from_slice(&[0x51; 64]);
    SignedLeaseSet {
        store_type: StoreType::Encrypted,
        bytes: bytes.into(),
        keys: vec![
            EncryptionPrivateKey::new(EncryptionType::X25519, &[0x4b; 32]).expect("32 bytes"),
        ],
    }
}

/// A lease set with the layout of a meta lease set with one entry and one revocation.
fn meta_lease_set() -> SignedLeaseSet {
    let mut bytes = keys().destination().as_bytes().to_vec();
    bytes.extend_from_slice(&[0x65, 0, 0, 0, 0x02, 0x58, 0, 0]);
    bytes.extend_from_slice(&[0, 0, 1]);
    bytes.extend_from_slice(&[0xe1; 40]);
    bytes.push(1);
    bytes.extend_from_slice(&[0xe2; 32]);
    bytes.extend_from_slice(&[0x51; 64]);
    SignedLeaseSet {
        store_type: StoreType::Meta,
        bytes: bytes.into(),
        keys: Vec::new(),
    }
}

fn blinding(endpoint: Endpoint) -> BlindingInfo {
    BlindingInfo {
        session: SessionId(1),
        endpoint,
        blinded_type: SignatureType::REDDSA,
        expires: 0x6500_0000,
        client: None,
        password: None,
    }
}

/// One message of each type, and one of each variant of its encoding.
fn samples() -> Vec<Message> {
    let session = SessionId(0x0102);
    let destination = keys().destination().clone();
    let hash = Hash::new([0x5a; 32]);
    let mut found = HostReply::found(session, 9, destination.clone());
    found.options = Some(mapping(&[("a", "b")]));
    let lookup = |key| {
        Message::HostLookup(HostLookup {
            session,
            request: 9,
            timeout: 10_000,
            key,
        })
    };
    let create = |lease_set| Message::CreateLeaseSet2(CreateLeaseSet2 { session, lease_set });
    vec![
        Message::CreateSession(config()),
        Message::ReconfigureSession {
            session,
            config: config(),
        },
        Message::DestroySession(session),
        Message::CreateLeaseSet(version_1_lease_set()),
        create(lease_set()),
        create(encrypted_lease_set()),
        create(meta_lease_set()),
        Message::SendMessage(send_message()),
        Message::SendMessageExpires(SendMessageExpires {
            message: send_message(),
            flags: SendFlags::default().with_omit_lease_set(true),
            expires: 0x0000_0102_0304_0506,
        }),
        Message::ReceiveMessageBegin {
            session,
            message: 5,
        },
        Message::ReceiveMessageEnd {
            session,
            message: 5,
        },
        Message::GetBandwidthLimits,
        Message::SessionStatus {
            session,
            status: SessionStatus::CREATED,
        },
        Message::RequestLeaseSet(RequestLeaseSet {
            session,
            tunnels: vec![(hash, 7), (hash, 8)],
            end: 0x0102_0304_0506_0708,
        }),
        Message::RequestVariableLeaseSet {
            session,
            leases: vec![lease(7, 600)],
        },
        Message::MessageStatus(MessageStatus {
            session,
            message: 5,
            status: DeliveryStatus::NO_LEASE_SET,
            size: 6,
            nonce: 7,
        }),
        Message::BandwidthLimits(BandwidthLimits {
            client_inbound: 1,
            client_outbound: 2,
            router_inbound: 3,
            router_inbound_burst: 4,
            router_outbound: 5,
            router_outbound_burst: 6,
            router_burst_time: 7,
            undefined: [8; 9],
        }),
        Message::ReportAbuse(ReportAbuse {
            session,
            severity: 9,
            reason: text("no"),
            message: 5,
        }),
        Message::Disconnect(text("bye")),
        Message::MessagePayload(MessagePayload {
            session,
            message: 5,
            payload: Bytes::from_static(b"gzip"),
        }),
        Message::GetDate(GetDate::default()),
        Message::GetDate(GetDate {
            version: Some(text("0.9.66")),
            login: Mapping::new(),
        }),
        Message::GetDate(GetDate {
            version: Some(text("0.9.66")),
            login: mapping(&[("i2cp.username", "u")]),
        }),
        Message::SetDate(SetDate {
            date: 1,
            version: None,
        }),
        Message::SetDate(SetDate {
            date: 1,
            version: Some(text("0.9.57")),
        }),
        Message::DestLookup(hash),
        Message::DestReply(DestReply::Found(destination.clone())),
        Message::DestReply(DestReply::NotFound(hash)),
        Message::DestReply(DestReply::Failed),
        lookup(LookupKey::Hash(hash)),
        lookup(LookupKey::Name(text("a.i2p"))),
        lookup(LookupKey::HashWithOptions(hash)),
        lookup(LookupKey::NameWithOptions(text("a.i2p"))),
        lookup(LookupKey::DestinationWithOptions(destination.clone())),
        Message::HostReply(HostReply::found(session, 9, destination.clone())),
        Message::HostReply(found),
        Message::HostReply(HostReply::failed(session, 9, HostResult::FAILURE)),
        Message::HostReply(HostReply {
            destination: Some(destination.clone()),
            ..HostReply::failed(session, 9, HostResult::LEASE_SET_NOT_FOUND)
        }),
        Message::BlindingInfo(blinding(Endpoint::Hash(hash))),
        Message::BlindingInfo(BlindingInfo {
            client: Some(ClientAuthentication::Dh([6; 32])),
            password: Some(text("pw")),
            ..blinding(Endpoint::Name(text("a.i2p")))
        }),
        Message::BlindingInfo(BlindingInfo {
            client: Some(ClientAuthentication::Psk([6; 32])),
            ..blinding(Endpoint::Destination(destination.clone()))
        }),
        Message::BlindingInfo(blinding(Endpoint::SigningKey(
            destination.signing_key().clone(),
        ))),
    ]
}

fn body(message: &Message) -> Bytes {
    let mut out = Vec::new();
    message.encode_body(&mut out);
    out.into()
}

/// Bytes as hex. Structures with separate tests are replaced by their names.
fn legend(bytes: &[u8]) -> String {
    let keys = keys();
    let config = config();
    let known: [(&str, Vec<u8>); 6] = [
        ("<lease set 2>", lease_set().bytes.to_vec()),
        ("<lease set 1>", version_1_lease_set().lease_set.to_vec()),
        (
            "<elgamal key>",
            version_1_lease_set().encryption_key.to_vec(),
        ),
        ("<x25519 key>", lease_set().keys[0].as_bytes().to_vec()),
        ("<destination>", keys.destination().as_bytes().to_vec()),
        ("<signature>", config.signature.as_bytes().to_vec()),
    ];
    let mut words = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        match known.iter().find(|(_, bytes)| rest.starts_with(bytes)) {
            Some((name, bytes)) => {
                words.push((*name).to_owned());
                rest = &rest[bytes.len()..];
            }
            None => {
                words.push(format!("{first:02x}"));
                rest = &rest[1..];
            }
        }
    }
    words.join(" ")
}

fn assert_body(message: &Message, expected: &str) {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        squeeze(&legend(&body(message))),
        squeeze(expected),
        "{message:?}"
    );
}

#[test]
fn a_frame_is_length_type_and_body() {
    let frame = Message::Disconnect(text("bye")).to_frame().expect("short");
    assert_eq!(legend(&frame), "00 00 00 04 1e 03 62 79 65");
    let frame = Message::GetBandwidthLimits.to_frame().expect("short");
    assert_eq!(legend(&frame), "00 00 00 00 08");
}

#[test]
fn session_messages_have_the_bytes_of_the_specification() {
    // destination | mapping of 43 bytes, sorted | date | signature
    let config_bytes = "<destination> 00 2b \
        10 69 32 63 70 2e 66 61 73 74 52 65 63 65 69 76 65 3d 04 74 72 75 65 3b \
        0e 69 6e 62 6f 75 6e 64 2e 6c 65 6e 67 74 68 3d 01 32 3b \
        01 02 03 04 05 06 07 08 <signature>";
    assert_body(&Message::CreateSession(config()), config_bytes);
    assert_body(
        &Message::ReconfigureSession {
            session: SessionId(0x0102),
            config: config(),
        },
        &format!("01 02 {config_bytes}"),
    );
    assert_body(&Message::DestroySession(SessionId(0x0102)), "01 02");
    assert_body(
        &Message::SessionStatus {
            session: SessionId(0x0102),
            status: SessionStatus::REFUSED,
        },
        "01 02 04",
    );
}

#[test]
fn lease_set_messages_have_the_bytes_of_the_specification() {
    let gateway = "0a ".repeat(32);
    // session | number | gateway, tunnel, end in milliseconds
    assert_body(
        &Message::RequestVariableLeaseSet {
            session: SessionId(1),
            leases: vec![lease(7, 600)],
        },
        &format!("00 01 01 {gateway} 00 00 00 07 00 00 01 8b cf ee 8f c0"),
    );
    // session | number | gateway, tunnel | end of all
    assert_body(
        &Message::RequestLeaseSet(RequestLeaseSet {
            session: SessionId(1),
            tunnels: vec![(Hash::new([0x0a; 32]), 7)],
            end: 8,
        }),
        &format!("00 01 01 {gateway} 00 00 00 07 00 00 00 00 00 00 00 08"),
    );
    // session | store type | lease set | number of keys | encryption type, length, key
    assert_body(
        &Message::CreateLeaseSet2(CreateLeaseSet2 {
            session: SessionId(1),
            lease_set: lease_set(),
        }),
        "00 01 03 <lease set 2> 01 00 04 00 20 <x25519 key>",
    );
    // session | revocation key | private key | lease set
    assert_body(
        &Message::CreateLeaseSet(version_1_lease_set()),
        &format!("00 01 {} <elgamal key> <lease set 1>", "03 ".repeat(20)),
    );
}

#[test]
fn delivery_messages_have_the_bytes_of_the_specification() {
    let sent = "01 02 <destination> 00 00 00 04 67 7a 69 70 aa bb cc dd";
    assert_body(&Message::SendMessage(send_message()), sent);
    // ... | flags | date of six bytes
    assert_body(
        &Message::SendMessageExpires(SendMessageExpires {
            message: send_message(),
            flags: SendFlags(0x0123),
            expires: 0xffff_0102_0304_0506,
        }),
        &format!("{sent} 01 23 01 02 03 04 05 06"),
    );
    assert_body(
        &Message::MessageStatus(MessageStatus {
            session: SessionId(1),
            message: 2,
            status: DeliveryStatus::GUARANTEED_SUCCESS,
            size: 3,
            nonce: 4,
        }),
        "00 01 00 00 00 02 04 00 00 00 03 00 00 00 04",
    );
    assert_body(
        &Message::MessagePayload(MessagePayload {
            session: SessionId(1),
            message: 2,
            payload: Bytes::from_static(b"gzip"),
        }),
        "00 01 00 00 00 02 00 00 00 04 67 7a 69 70",
    );
    assert_body(
        &Message::ReceiveMessageBegin {
            session: SessionId(1),
            message: 2,
        },
        "00 01 00 00 00 02",
    );
}

#[test]
fn lookup_messages_have_the_bytes_of_the_specification() {
    // session | request | timeout | type | key
    assert_body(
        &Message::HostLookup(HostLookup {
            session: SessionId::NONE,
            request: 9,
            timeout: 10_000,
            key: LookupKey::Name(text("a.i2p")),
        }),
        "ff ff 00 00 00 09 00 00 27 10 01 05 61 2e 69 32 70",
    );
    let mut found = HostReply::found(SessionId(1), 9, keys().destination().clone());
    assert_body(
        &Message::HostReply(found.clone()),
        "00 01 00 00 00 09 00 <destination>",
    );
    found.options = Some(Mapping::new());
    assert_body(
        &Message::HostReply(found),
        "00 01 00 00 00 09 00 <destination> 00 00",
    );
    assert_body(
        &Message::HostReply(HostReply::failed(
            SessionId(1),
            9,
            HostResult::TYPE_UNSUPPORTED,
        )),
        "00 01 00 00 00 09 07",
    );
}

#[test]
fn dates_have_the_bytes_of_the_specification() {
    assert_body(
        &Message::GetDate(GetDate {
            version: Some(text("0.9.66")),
            login: mapping(&[("i2cp.username", "u")]),
        }),
        "06 30 2e 39 2e 36 36 \
         00 12 0d 69 32 63 70 2e 75 73 65 72 6e 61 6d 65 3d 01 75 3b",
    );
    assert_body(
        &Message::SetDate(SetDate {
            date: 1,
            version: Some(text("0.9.57")),
        }),
        "00 00 00 00 00 00 00 01 06 30 2e 39 2e 35 37",
    );
}

#[test]
fn blinding_info_has_the_bytes_of_the_specification() {
    // session | flags: PSK, per client, password | endpoint 1 | RedDSA | expires | name | key | pw
    assert_body(
        &Message::BlindingInfo(BlindingInfo {
            client: Some(ClientAuthentication::Psk([6; 32])),
            password: Some(text("pw")),
            ..blinding(Endpoint::Name(text("a.i2p")))
        }),
        &format!(
            "00 01 13 01 00 0b 65 00 00 00 05 61 2e 69 32 70 {} 02 70 77",
            "06 ".repeat(32)
        ),
    );
}

#[test]
fn every_message_round_trips() {
    for message in samples() {
        let decoded = Message::decode(message.kind(), &body(&message)).expect("valid");
        assert_eq!(decoded, Some(message));
    }
}

#[test]
fn samples_cover_every_type() {
    let mut kinds: Vec<u8> = samples().iter().map(|message| message.kind().0).collect();
    kinds.dedup();
    kinds.sort_unstable();
    kinds.dedup();
    let all = [
        1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 22, 23, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 41, 42,
    ];
    assert_eq!(kinds, all);
}

#[test]
fn a_truncated_message_is_an_error_or_another_message() {
    for message in samples() {
        let whole = body(&message);
        for end in 0..whole.len() {
            let cut = whole.slice(..end);
            // If the end of a message is optional, a cut message is a valid shorter message.
            if let Ok(Some(shorter)) = Message::decode(message.kind(), &cut) {
                assert_ne!(shorter, message);
                assert_eq!(body(&shorter), cut, "{message:?} cut at {end}");
                let optional = matches!(
                    message,
                    Message::GetDate(_)
                        | Message::SetDate(_)
                        | Message::DestReply(_)
                        | Message::HostReply(_)
                );
                assert!(optional, "{message:?} cut at {end}");
            }
        }
    }
}

#[test]
fn trailing_data_is_an_error() {
    for message in samples() {
        let mut longer = body(&message).to_vec();
        longer.push(0);
        let decoded = Message::decode(message.kind(), &longer.into());
        let other = |decoded: &Message| *decoded != message;
        match decoded {
            Err(_) => {}
            // The added byte is an empty version after a date without a version.
            Ok(Some(decoded)) => assert!(other(&decoded), "{message:?}"),
            Ok(None) => panic!("{message:?} became unknown"),
        }
    }
}

#[test]
fn unknown_types_are_not_an_error() {
    for kind in [0, 9, 19, 40, 43, 255] {
        let decoded = Message::decode(MessageType(kind), &Bytes::from_static(b"anything"));
        assert_eq!(decoded, Ok(None));
    }
}

#[test]
fn unknown_codes_are_preserved() {
    let status = Message::SessionStatus {
        session: SessionId(1),
        status: SessionStatus(77),
    };
    assert_eq!(
        Message::decode(status.kind(), &body(&status)),
        Ok(Some(status))
    );
    let reply = Message::HostReply(HostReply::failed(SessionId(1), 2, HostResult(77)));
    assert_eq!(
        Message::decode(reply.kind(), &body(&reply)),
        Ok(Some(reply))
    );
    assert!(!DeliveryStatus(77).is_success());
}

#[test]
fn an_unknown_lookup_type_is_rejected() {
    let bytes = Bytes::from_static(&[0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 5]);
    assert_eq!(
        Message::decode(MessageType::HOST_LOOKUP, &bytes),
        Err(DecodeError::UnsupportedType {
            what: "lookup type",
            code: 5
        })
    );
}

#[test]
fn a_payload_that_is_longer_than_its_message_is_rejected() {
    let bytes = Bytes::from_static(&[0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(
        Message::decode(MessageType::MESSAGE_PAYLOAD, &bytes),
        Err(DecodeError::MissingData("payload"))
    );
}

#[test]
fn encoding_a_message_that_is_too_long_does_not_change_the_buffer() {
    let fixed = 2 + 4 + 4;
    let message = |len| {
        Message::MessagePayload(MessagePayload {
            session: SessionId(1),
            message: 2,
            payload: vec![0; len].into(),
        })
    };
    let mut out = vec![1, 2, 3];
    let error = message(MAX_BODY_LEN - fixed + 1)
        .encode_frame(&mut out)
        .expect_err("too long");
    assert_eq!(error.length, MAX_BODY_LEN + 1);
    assert_eq!(out, [1, 2, 3]);
    message(MAX_BODY_LEN - fixed)
        .encode_frame(&mut out)
        .expect("just fits");
    assert_eq!(out.len(), 3 + HEADER_LEN + MAX_BODY_LEN);
}

#[test]
fn text_is_cut_at_a_character_boundary() {
    let long = "ä".repeat(200);
    assert_eq!(Text::new(&long), None);
    assert_eq!(Text::truncated(&long).as_str().len(), 254);
    assert_eq!(Text::truncated("short").as_str(), "short");
}

#[test]
fn session_configurations_verify_only_if_they_are_unchanged() {
    let now = u32::try_from(UNIX_NOW.as_secs()).expect("fits");
    let good = config();
    good.verify(now).expect("signed");
    let mut other_date = good.clone();
    other_date.date ^= 1;
    other_date.verify(now).expect_err("another date");
    let mut other_options = good;
    other_options
        .options
        .insert("inbound.length", "3")
        .expect("fits");
    other_options.verify(now).expect_err("other options");
}

#[test]
fn offline_session_configurations_contain_and_use_the_transient_key() {
    let now = u32::try_from(UNIX_NOW.as_secs()).expect("fits");
    let keys = offline_keys();
    let signed = SessionConfig::sign(&keys, BTreeMap::new(), 5).expect("fits");
    assert_eq!(signed.options.len(), 3);
    let transient = signed
        .options
        .get("i2cp.leaseSetTransientPublicKey")
        .expect("the option is set");
    assert!(transient.starts_with("1:"), "{transient}");
    assert_eq!(
        signed.signature.signature_type(),
        SignatureType::ECDSA_SHA256_P256
    );

    let message = Message::CreateSession(signed.clone());
    let decoded = Message::decode(message.kind(), &body(&message)).expect("valid");
    assert_eq!(decoded, Some(message));
    signed.verify(now).expect("signed");
    signed
        .verify(now + 2 * 86_400)
        .expect_err("the offline signature has expired");
}

#[test]
fn send_flags_round_up_to_the_listed_numbers() {
    let flags = SendFlags::default();
    assert_eq!(flags.with_tag_threshold(2).0, 0x0010);
    assert_eq!(flags.with_tag_threshold(10).tag_threshold(), Some(14));
    assert_eq!(flags.with_tag_threshold(255).tag_threshold(), Some(192));
    assert_eq!(flags.with_tags_to_send(160).0, 0x000f);
    assert_eq!(flags.with_tags_to_send(0).tags_to_send(), Some(2));
    assert_eq!(flags.tags_to_send(), None);
    assert_eq!(flags.tag_threshold(), None);
    let all = flags
        .with_omit_lease_set(true)
        .with_tag_threshold(30)
        .with_tags_to_send(40);
    assert_eq!(all.0, 0x0100 | 0x0080 | 0x0009);
    assert!(all.omit_lease_set());
    assert_eq!(
        all.with_omit_lease_set(false).with_tag_threshold(2).0,
        0x0019
    );
}

#[test]
fn debug_output_contains_no_secrets_and_no_payloads() {
    for message in samples() {
        let shown = format!("{message:?}");
        assert!(!shown.contains("gzip"), "{shown}");
        assert!(!shown.contains("6, 6, 6"), "{shown}");
        assert!(!shown.contains("3, 3, 3"), "{shown}");
        assert!(!shown.contains("username"), "{shown}");
    }
}

proptest! {
    #[test]
    fn decoding_never_panics(kind: u8, bytes: Vec<u8>) {
        let _ = Message::decode(MessageType(kind), &bytes.into());
    }

    #[test]
    fn messages_decoded_from_flipped_bits_can_be_encoded(
        index: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..8), 1..4),
    ) {
        let samples = samples();
        let message = index.get(&samples);
        let mut bytes = body(message).to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(Some(decoded)) = Message::decode(message.kind(), &bytes.into()) {
            let again = Message::decode(decoded.kind(), &body(&decoded));
            prop_assert_eq!(again, Ok(Some(decoded)));
        }
    }

    #[test]
    fn frames_round_trip_through_the_reader(payload: Vec<u8>, piece in 1_usize..600) {
        let message = Message::MessagePayload(MessagePayload {
            session: SessionId(1),
            message: 2,
            payload: payload.into(),
        });
        let frame = message.to_frame().expect("short");
        let mut reader = crate::FrameReader::for_client();
        let mut received = bytes::BytesMut::new();
        let mut read = Vec::new();
        for part in frame.chunks(piece) {
            received.extend_from_slice(part);
            while let Some(frame) = reader.next_frame(&mut received).expect("framed") {
                read.push(Message::decode(MessageType(frame.kind), &frame.body));
            }
        }
        prop_assert_eq!(read, vec![Ok(Some(message))]);
    }

    #[test]
    fn the_frame_reader_never_panics(bytes: Vec<u8>) {
        let mut reader = crate::FrameReader::for_client();
        let mut received = bytes::BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = reader.next_frame(&mut received) {}
    }
}
