use bytes::BytesMut;
use eepkit_wire::{Codec, SignatureType};

use super::*;
use crate::{
    FrameReader, HostReply, HostResult, Message, SessionId,
    message::{HostLookup, LookupKey},
    testing::{keys, keys_of, lease, offline_keys},
};

/// The frame of a message, with an announced length that is too small by `less` bytes.
fn frame_announcing_less(message: &Message, less: u32) -> Vec<u8> {
    let mut frame = message.to_frame().expect("fits");
    let right = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame[..4].copy_from_slice(&(right - less).to_be_bytes());
    frame
}

/// The messages that a reader finds in these bytes, which arrive in pieces of this size.
fn read_all(bytes: &[u8], piece: usize) -> Vec<Message> {
    let mut reader = FrameReader::for_client();
    let mut received = BytesMut::new();
    let mut messages = Vec::new();
    for part in bytes.chunks(piece) {
        received.extend_from_slice(part);
        while let Some(frame) = reader.next_frame(&mut received).expect("framed") {
            let message = Message::decode(MessageType(frame.kind), &frame.body);
            messages.push(message.expect("valid").expect("known"));
        }
    }
    assert!(received.is_empty(), "no bytes are left");
    messages
}

#[test]
fn emissary_lease_set_requests_are_decoded_despite_their_length() {
    for count in 1..=16 {
        let request = Message::RequestVariableLeaseSet {
            session: SessionId(3),
            leases: (0..count).map(|n| lease(n, 600)).collect(),
        };
        let next = Message::DestroySession(SessionId(3));
        for less in [0, 2] {
            let mut bytes = frame_announcing_less(&request, less);
            next.encode_frame(&mut bytes).expect("fits");
            for piece in [1, 5, 7, bytes.len()] {
                assert_eq!(read_all(&bytes, piece), [request.clone(), next.clone()]);
            }
        }
    }
}

#[test]
fn emissary_host_replies_are_decoded_despite_their_length() {
    let destinations = [
        keys().destination().clone(),
        // An empty certificate, which makes the shortest possible destination.
        keys_of(SignatureType::DSA_SHA1, 2).destination().clone(),
        keys_of(SignatureType::ECDSA_SHA512_P521, 3)
            .destination()
            .clone(),
    ];
    let mut replies: Vec<HostReply> = destinations
        .into_iter()
        .map(|destination| HostReply::found(SessionId(3), 9, destination))
        .collect();
    replies.push(HostReply::failed(SessionId(3), 9, HostResult::FAILURE));
    for reply in replies {
        let reply = Message::HostReply(reply);
        let next = Message::DestroySession(SessionId(3));
        for less in [0, 1] {
            let mut bytes = frame_announcing_less(&reply, less);
            next.encode_frame(&mut bytes).expect("fits");
            for piece in [1, 6, bytes.len()] {
                assert_eq!(read_all(&bytes, piece), [reply.clone(), next.clone()]);
            }
        }
    }
}

#[test]
fn host_replies_with_options_keep_their_length() {
    let mut reply = HostReply::found(SessionId(1), 2, keys().destination().clone());
    let mut options = eepkit_wire::Mapping::new();
    reply.options = Some(options.clone());
    let empty = Message::HostReply(reply.clone());
    options.insert("a", "b").expect("fits");
    reply.options = Some(options);
    let full = Message::HostReply(reply);
    let mut bytes = empty.to_frame().expect("fits");
    full.encode_frame(&mut bytes).expect("fits");
    assert_eq!(read_all(&bytes, 1), [empty, full]);
}

#[test]
fn other_frames_keep_their_length() {
    assert_eq!(body_len(38, 43, &[]), Some(43));
    assert_eq!(
        body_len(37, 2, &[0, 1]),
        Some(2),
        "too short to be a request"
    );
    assert_eq!(
        body_len(37, 47, &[0, 1]),
        None,
        "the number of leases has not arrived"
    );
    assert_eq!(
        body_len(39, 398, &[0; 100]),
        None,
        "the certificate has not arrived"
    );
}

#[test]
fn emissary_and_java_are_detected_by_their_limits() {
    let emissary = BandwidthLimits {
        client_inbound: 50,
        client_outbound: 50,
        router_inbound: 20,
        router_inbound_burst: 20,
        router_outbound: 20,
        router_outbound_burst: 20,
        ..BandwidthLimits::default()
    };
    assert_eq!(detect(&emissary), RouterKind::Emissary);
    let i2pd = BandwidthLimits {
        client_inbound: 50,
        client_outbound: 50,
        ..BandwidthLimits::default()
    };
    assert_eq!(detect(&i2pd), RouterKind::Unknown);
    let java = BandwidthLimits {
        client_inbound: 200,
        client_outbound: 40,
        router_inbound: 300,
        router_inbound_burst: 300,
        router_outbound: 60,
        router_outbound_burst: 60,
        router_burst_time: 1,
        ..BandwidthLimits::default()
    };
    assert_eq!(detect(&java), RouterKind::Java);
}

#[test]
fn an_i2pd_that_reports_our_version_is_treated_as_an_old_one() {
    assert!(ApiVersion::OURS < INVERTED_IN_I2PD);
    assert_eq!(
        dont_publish_value(RouterKind::Unknown, ApiVersion::OURS, true),
        Some("true")
    );
}

/// Whether each router publishes a lease set with this value, according to its source code.
mod publishes {
    pub(super) fn java(value: Option<&str>) -> bool {
        !value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn i2pd_to_2_57(value: Option<&str>) -> bool {
        value != Some("true")
    }

    pub(super) fn i2pd_from_2_58(value: Option<&str>) -> bool {
        match value {
            None | Some("true") => true,
            Some(other) => other.parse::<i32>().is_ok_and(|number| number != 0),
        }
    }

    pub(super) fn emissary(value: Option<&str>) -> bool {
        value == Some("false")
    }
}

#[test]
fn every_router_publishes_if_and_only_if_the_options_say_so() {
    let old = ApiVersion::new(0, 9, 66);
    let new = ApiVersion::new(0, 9, 67);
    for dont in [false, true] {
        let unknown_old = dont_publish_value(RouterKind::Unknown, old, dont);
        assert_eq!(publishes::java(unknown_old), !dont);
        assert_eq!(publishes::i2pd_to_2_57(unknown_old), !dont);

        let unknown_new = dont_publish_value(RouterKind::Unknown, new, dont);
        assert_eq!(publishes::java(unknown_new), !dont);
        assert_eq!(publishes::i2pd_from_2_58(unknown_new), !dont);

        assert_eq!(
            publishes::i2pd_to_2_57(dont_publish_value(RouterKind::I2pd, old, dont)),
            !dont
        );
        assert_eq!(
            publishes::i2pd_from_2_58(dont_publish_value(RouterKind::I2pd, new, dont)),
            !dont
        );
        for version in [old, new] {
            assert_eq!(
                publishes::java(dont_publish_value(RouterKind::Java, version, dont)),
                !dont
            );
            let told = dont_publish_value(RouterKind::Emissary, version, dont);
            assert_eq!(publishes::emissary(told), !dont);
        }
    }
    // An undetected emissary does not publish a lease set that is not to be published.
    assert!(!publishes::emissary(dont_publish_value(
        RouterKind::Unknown,
        new,
        true
    )));
}

#[test]
fn sessions_that_emissary_drops_without_an_error_are_refused() {
    let refused = |keys: &PrivateKeys, options: &Options| {
        unsupported(RouterKind::Emissary, keys, options).map(|(key, _)| key)
    };
    let mut options = Options::new();
    assert_eq!(refused(&keys(), &options), None);
    assert_eq!(
        refused(&keys_of(SignatureType::ECDSA_SHA256_P256, 1), &options),
        None
    );
    assert_eq!(
        refused(&keys_of(SignatureType::DSA_SHA1, 1), &options),
        Some(SIG_TYPE)
    );
    assert_eq!(
        refused(&keys_of(SignatureType::REDDSA, 1), &options),
        Some(SIG_TYPE)
    );
    assert_eq!(refused(&offline_keys(), &options), Some(SIG_TYPE));
    options.set("i2cp.leaseSetEncType", "4,0").expect("valid");
    assert_eq!(refused(&keys(), &options), Some(ENC_TYPE));
    for key in ["inbound.length", "outbound.length"] {
        let mut options = Options::new();
        options.set(key, "0").expect("valid");
        assert_eq!(refused(&keys(), &options), Some(key));
        assert_eq!(unsupported(RouterKind::Unknown, &keys(), &options), None);
    }

    assert_eq!(
        unsupported(RouterKind::Unknown, &offline_keys(), &options),
        None
    );
    assert!(unsupported(RouterKind::I2pd, &offline_keys(), &options).is_some());
}

#[test]
fn destinations_that_emissary_cannot_decode_are_refused() {
    let reddsa = keys_of(SignatureType::REDDSA, 1);
    let dsa = keys_of(SignatureType::DSA_SHA1, 1);
    assert!(!can_send_to(RouterKind::Emissary, reddsa.destination()));
    assert!(can_send_to(RouterKind::Emissary, dsa.destination()));
    assert!(can_send_to(RouterKind::Emissary, keys().destination()));
    assert!(can_send_to(RouterKind::Unknown, reddsa.destination()));
}

#[test]
fn messages_of_a_client_keep_their_length() {
    let lookup = Message::HostLookup(HostLookup {
        session: SessionId(1),
        request: 1,
        timeout: 1,
        key: LookupKey::Hash(keys().destination().hash()),
    });
    let mut reader = FrameReader::for_client();
    let mut received = BytesMut::from(&lookup.to_frame().expect("fits")[..]);
    let frame = reader.next_frame(&mut received);
    let frame = frame.expect("framed").expect("complete");
    assert_eq!(
        frame.body.len(),
        SessionId(1).to_bytes().len() + 4 + 4 + 1 + 32
    );
}

#[test]
fn emissary_forwards_four_protocols_and_other_routers_all() {
    for protocol in 0..=255 {
        let known = [6, 17, 18, 19].contains(&protocol);
        assert_eq!(carries_protocol(RouterKind::Emissary, protocol), known);
        assert!(carries_protocol(RouterKind::Unknown, protocol));
    }
}
