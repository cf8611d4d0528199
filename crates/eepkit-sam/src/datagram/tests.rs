use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;

fn someone() -> Destination {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    PrivateKeys::generate(SignatureType::ED25519, &mut rng)
        .expect("can be made")
        .destination()
        .clone()
}

fn received(sender: Sender) -> Received {
    Received {
        sender,
        from_port: 7,
        to_port: 8,
        protocol: 18,
        payload: Bytes::from_static(b"a\nb"),
    }
}

#[test]
fn a_packet_of_3_0_needs_version_id_and_destination() {
    let (header, payload) = SendHeader::parse(b"3.0 me you.i2p\nhello\n").expect("valid");
    assert_eq!(header.version, Version::V3_0);
    assert_eq!((header.id.as_str(), header.to.as_str()), ("me", "you.i2p"));
    assert_eq!(header.options, SendOptions::default());
    assert_eq!(payload, b"hello\n");
}

#[test]
fn every_option_of_a_datagram_is_read() {
    let (header, payload) = SendHeader::parse(
        b"3.3 me you.i2p FROM_PORT=1 TO_PORT=2 PROTOCOL=3 SEND_TAGS=4 TAG_THRESHOLD=5 EXPIRES=6 \
          SEND_LEASESET=false\nx",
    )
    .expect("valid");
    let expected = SendOptions {
        from_port: Some(1),
        to_port: Some(2),
        protocol: Some(3),
        send_tags: Some(4),
        tag_threshold: Some(5),
        expires: Some(Duration::from_secs(6)),
        send_lease_set: Some(false),
    };
    assert_eq!(header.options, expected);
    assert_eq!(
        SendHeader::parse(&header.to_packet(payload)),
        Ok((header, payload))
    );
}

#[test]
fn words_that_are_not_options_are_ignored() {
    let packet = b"3.0 me you.i2p 0 0 18 40 30 true TO_PORT=2 \nx";
    let (header, payload) = SendHeader::parse(packet).expect("valid");
    let expected = SendOptions {
        to_port: Some(2),
        ..SendOptions::default()
    };
    assert_eq!((header.options, payload), (expected, &b"x"[..]));
}

#[test]
fn packets_without_a_proper_first_line_are_refused() {
    let error = |packet: &[u8]| SendHeader::parse(packet).expect_err("no header");
    for bad in [
        &b""[..],
        b"3.0 me you",
        b"\n",
        b"3.0\n",
        b"3.0 me\n",
        b"3.0  you\n",
        b"3.0 me you =x\n",
        b"3.0 me\0 you\n",
        b"3.0 me \xff\n",
    ] {
        assert_eq!(error(bad), PacketError::Header, "{bad:?}");
    }
    assert_eq!(error(&[b'3'; 5000]), PacketError::Header);
    assert_eq!(error(b"2.0 me you\n"), PacketError::Version);
    assert_eq!(error(b"hello me you\n"), PacketError::Version);
    assert!(matches!(
        error(b"3.3 me you TO_PORT=x\n"),
        PacketError::Param(_)
    ));
}

#[test]
fn ports_are_sent_only_since_3_2() {
    let sender = someone();
    let text = sender.to_base64();
    let datagram = received(Sender::Verified(sender));
    let control =
        |version| String::from_utf8(datagram.to_control(Style::Datagram, version)).expect("text");
    assert_eq!(
        control(Version::V3_1),
        format!("DATAGRAM RECEIVED DESTINATION={text} SIZE=3\na\nb")
    );
    assert_eq!(
        control(Version::V3_2),
        format!("DATAGRAM RECEIVED DESTINATION={text} SIZE=3 FROM_PORT=7 TO_PORT=8\na\nb")
    );
    let packet = |version| {
        String::from_utf8(datagram.to_packet(Style::Datagram, version, false)).expect("text")
    };
    assert_eq!(packet(Version::V3_0), format!("{text}\na\nb"));
    assert_eq!(
        packet(Version::V3_3),
        format!("{text} FROM_PORT=7 TO_PORT=8\na\nb")
    );
}

#[test]
fn raw_datagrams_have_a_first_line_if_requested() {
    let datagram = received(Sender::Unknown);
    assert_eq!(
        datagram.to_packet(Style::Raw, Version::V3_3, false),
        b"a\nb"
    );
    assert_eq!(
        datagram.to_packet(Style::Raw, Version::V3_3, true),
        b"FROM_PORT=7 TO_PORT=8 PROTOCOL=18\na\nb"
    );
    assert_eq!(
        datagram.to_control(Style::Raw, Version::V3_1),
        b"RAW RECEIVED SIZE=3\na\nb"
    );
    assert_eq!(
        datagram.to_control(Style::Raw, Version::V3_2),
        b"RAW RECEIVED SIZE=3 FROM_PORT=7 TO_PORT=8 PROTOCOL=18\na\nb"
    );
}

#[test]
fn the_sender_of_datagram3_is_the_44_characters_of_a_hash() {
    let hash = someone().hash();
    let packet = received(Sender::Claimed(hash)).to_packet(Style::Datagram3, Version::V3_3, false);
    assert_eq!(packet.get(44), Some(&b' '));
    assert_eq!(packet.get(..44), Some(hash.to_base64().as_bytes()));
}

#[test]
fn received_datagrams_round_trip() {
    let senders = [
        (Style::Datagram, Sender::Verified(someone()), 17),
        (Style::Datagram2, Sender::Verified(someone()), 19),
        (Style::Datagram3, Sender::Claimed(someone().hash()), 20),
        (Style::Raw, Sender::Unknown, 99),
    ];
    for (style, sender, protocol) in senders {
        let datagram = Received {
            protocol,
            ..received(sender)
        };
        let packet = Bytes::from(datagram.to_packet(style, Version::V3_3, true));
        assert_eq!(
            Received::from_packet(style, true, &packet),
            Ok(datagram.clone()),
            "{style}"
        );
        let mut lines = crate::LineReader::new(1000);
        lines.push(&datagram.to_control(style, Version::V3_3));
        let line = lines.next_line().expect("text").expect("whole");
        let message = Message::parse(&line, Syntax::CURRENT).expect("a message");
        let (read, size) = Received::from_control(&message).expect("valid");
        assert_eq!(read.sender, datagram.sender, "{style}");
        assert_eq!(lines.take(size), Some(datagram.payload), "{style}");
    }
}
