//! Packets that other software made, and packets that it accepted: see `data/README.md`.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use bytes::Bytes;
use eepkit_datagram::{Datagram, Dialect, Dialects, Format, Receiver, Sender, UnsealError};
use eepkit_wire::{Hash, PrivateKeys};

macro_rules! data {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("data/", $name)))
    };
}

/// The time at which the packets were made, in seconds since the epoch.
const THEN: u32 = 1_795_326_000;

fn receiver() -> PrivateKeys {
    PrivateKeys::from_base64(include_str!("data/receiver.b64").trim()).unwrap()
}

fn open(format: Format, packet: &Bytes, dialects: Dialects) -> Result<Datagram, UnsealError> {
    let receiver = Receiver::new(receiver().destination().hash()).with_dialects(dialects);
    receiver.open(format, packet, THEN)
}

#[test]
fn raw_datagrams_of_others_are_their_payload() {
    for packet in [
        data!("i2pd-2.45.1/raw.bin"),
        data!("i2pd-2.58.0/raw.bin"),
        data!("emissary-0.4.0/raw.bin"),
    ] {
        let datagram = open(Format::Raw, &packet, Dialects::NONE).unwrap();
        assert_eq!(
            datagram.payload().as_ref(),
            b"RAW from the recording, 0123456789"
        );
    }
}

#[test]
fn datagram1_of_others_is_authenticated() {
    for packet in [
        data!("i2pd-2.45.1/datagram1.bin"),
        data!("i2pd-2.58.0/datagram1.bin"),
        data!("emissary-0.4.0/datagram1.bin"),
    ] {
        let Datagram::Authenticated(datagram) =
            open(Format::Datagram1, &packet, Dialects::NONE).unwrap()
        else {
            panic!("not authenticated");
        };
        assert!(packet.starts_with(datagram.sender().as_bytes()));
        assert_eq!(
            datagram.payload().as_ref(),
            b"DATAGRAM from the recording, 0123456789"
        );
    }
}

#[test]
fn datagram2_of_others_is_in_their_dialects() {
    for (packet, dialect, dialects) in [
        (
            data!("i2pd-2.58.0/datagram2.bin"),
            Dialect::I2pd,
            Dialects {
                i2pd: true,
                ..Dialects::NONE
            },
        ),
        (
            data!("emissary-0.4.0/datagram2.bin"),
            Dialect::Emissary,
            Dialects {
                emissary: true,
                ..Dialects::NONE
            },
        ),
    ] {
        assert_eq!(
            open(Format::Datagram2, &packet, Dialects::NONE),
            Err(UnsealError::Dialect(dialect))
        );
        let Datagram::Authenticated(datagram) = open(Format::Datagram2, &packet, dialects).unwrap()
        else {
            panic!("not authenticated");
        };
        assert_eq!(datagram.dialect(), dialect);
        assert!(packet.starts_with(datagram.sender().as_bytes()));
        assert_eq!(
            datagram.payload().as_ref(),
            b"DATAGRAM2 from the recording, 0123456789"
        );
        // Accepting only the other dialect is not enough.
        let others = Dialects {
            i2pd: !dialects.i2pd,
            emissary: !dialects.emissary,
        };
        assert!(open(Format::Datagram2, &packet, others).is_err());
    }
}

#[test]
fn datagram3_of_i2pd_claims_its_sender() {
    let packet = data!("i2pd-2.58.0/datagram3.bin");
    let Datagram::Claimed(datagram) = open(Format::Datagram3, &packet, Dialects::NONE).unwrap()
    else {
        panic!("not claimed");
    };
    let sender =
        Hash::from_b32("2ko6uiwjcacovnjmjrysi5pzfxr6vvou57jkoc2mznugv32edmwa.b32.i2p").unwrap();
    assert_eq!(datagram.claimed_sender().hash(), sender);
    assert!(datagram.options().is_empty());
    assert_eq!(
        datagram.payload().as_ref(),
        b"DATAGRAM3 from the recording, 0123456789"
    );
}

#[test]
fn packets_that_other_software_accepted_still_have_the_same_bytes() {
    // i2pd 2.58.0 accepted all of these packets from a sender with these keys. i2pd 2.45.1 and
    // emissary 0.4.0 accepted the first two. Ed25519 signatures are deterministic.
    let keys = receiver();
    let to = Hash::of(b"receiver");
    for (format, dialect, digest) in [
        (
            Format::Raw,
            Dialect::Specified,
            "vyf6zhu5gpcwgvf5mewiuyaqqqbsj7c3s6dm4cqyw2llgbfqsolq.b32.i2p",
        ),
        (
            Format::Datagram1,
            Dialect::Specified,
            "rxpln2uaiy2qbkziperhwos2s5txcx72efvs2liogvb275seh6ha.b32.i2p",
        ),
        (
            Format::Datagram2,
            Dialect::Specified,
            "it7njww3ppdju2efe7fy6wadm2xcigcccwaut3njpgbtar3byk2q.b32.i2p",
        ),
        (
            Format::Datagram2,
            Dialect::I2pd,
            "u3tykftfwvsukxvng5irprjabx6dkz6j3btritfxahvgkotm77gq.b32.i2p",
        ),
        (
            Format::Datagram3,
            Dialect::Specified,
            "bueivs6bdd77htzvnu4wvu5wdkzjdsuitrkhikt6cthlmpsnvhiq.b32.i2p",
        ),
    ] {
        let sender = Sender::new(&keys).with_dialect(dialect);
        let packet = sender.seal(format, &to, b"ours").unwrap();
        assert_eq!(Hash::of(&packet).to_b32(), digest, "{format}, {dialect}");
    }
}
