use bytes::Bytes;
use hex_literal::hex;
use proptest::prelude::*;

use super::*;

fn from() -> Hash {
    Hash::of(b"sender")
}

fn sealed(options: &Mapping, payload: &[u8]) -> Bytes {
    Datagram3::seal(&from(), options, payload).unwrap().into()
}

#[test]
fn a_packet_without_options_is_hash_flags_payload() {
    let packet = sealed(&Mapping::new(), b"hello");
    assert_eq!(
        packet,
        [from().as_bytes(), &hex!("0003")[..], b"hello"].concat()
    );
    let datagram = Datagram3::parse(&packet).unwrap();
    assert_eq!(datagram.claimed_sender().hash(), from());
    assert_eq!(datagram.payload().as_ref(), b"hello");
}

#[test]
fn options_are_between_flags_and_payload() {
    let mut options = Mapping::new();
    options.insert("k", "v").unwrap();
    let packet = sealed(&options, b"hello");
    assert_eq!(packet[32..], *b"\0\x13\0\x06\x01k=\x01v;hello");
    assert_eq!(Datagram3::parse(&packet).unwrap().options(), &options);
}

#[test]
fn a_claimed_sender_is_displayed_with_a_question_mark() {
    let datagram = Datagram3::parse(&sealed(&Mapping::new(), b"")).unwrap();
    let text = datagram.claimed_sender().to_string();
    assert_eq!(text, format!("{}?", from()));
    assert!(format!("{:?}", datagram.claimed_sender()).starts_with("ClaimedSender("));
}

#[test]
fn other_versions_are_refused_and_undefined_flags_are_ignored() {
    for version in [0, 1, 2, 15] {
        let mut packet = sealed(&Mapping::new(), b"hello").to_vec();
        packet[33] = version;
        assert_eq!(
            Datagram3::parse(&packet.into()),
            Err(wrong_version("Datagram3"))
        );
    }
    let mut packet = sealed(&Mapping::new(), b"hello").to_vec();
    // The bit for offline signatures is undefined in Datagram3.
    packet[32..34].copy_from_slice(&hex!("8023"));
    assert_eq!(
        Datagram3::parse(&packet.into()).unwrap().payload().as_ref(),
        b"hello"
    );
}

#[test]
fn a_packet_that_ends_inside_its_header_is_refused() {
    let mut options = Mapping::new();
    options.insert("k", "v").unwrap();
    let packet = sealed(&options, b"");
    for length in 0..packet.len() {
        assert!(Datagram3::parse(&packet.slice(..length)).is_err());
    }
    assert!(Datagram3::parse(&packet).unwrap().payload().is_empty());
}

#[test]
fn a_packet_has_at_most_the_maximum_length() {
    let limit = MAX_PACKET_LEN - 34;
    assert_eq!(
        sealed(&Mapping::new(), &vec![1; limit]).len(),
        MAX_PACKET_LEN
    );
    assert_eq!(
        Datagram3::seal(&from(), &Mapping::new(), &vec![1; limit + 1]),
        Err(SealError::TooLong {
            format: Format::Datagram3,
            len: limit + 1,
            limit,
        })
    );
}

proptest! {
    #[test]
    fn sealed_packets_can_be_opened(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        pairs in prop::collection::btree_map("[a-z]{0,20}", ".{0,20}", 0..5),
    ) {
        let mut options = Mapping::new();
        for (key, value) in &pairs {
            options.insert(key.as_str(), value.as_str()).unwrap();
        }
        let datagram = Datagram3::parse(&sealed(&options, &payload)).unwrap();
        prop_assert_eq!(datagram.options(), &options);
        prop_assert_eq!(datagram.payload().as_ref(), payload);
    }
}
