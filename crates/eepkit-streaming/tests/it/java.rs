//! Our packets next to those of Java I2P 2.7.0, byte by byte.
//!
//! The expected bytes were captured from its streaming library on the simulated network. Words stand
//! for the bytes that differ in each capture: numbers of the stream, destinations, signatures.

use std::collections::HashSet;

use eepkit_streaming::packet::Packet;
use eepkit_wire::Codec as _;

use super::*;

/// Client and server of a stream on which the client writes one line and the server another, before
/// the client closes.
const SYN: &str = "00000000 CLIENT 00000000 00000000 08 RECEIVER 01 04e9 01cb 0000 DESTINATION 0714 \
                   SIGNATURE";
const ANSWER: &str =
    "CLIENT SERVER 00000000 00000000 00 01 00e9 01cb 0000 DESTINATION 0714 SIGNATURE";
const ANSWER_ACK: &str = "SERVER CLIENT 00000000 00000000 00 01 0000 0000";
const REQUEST: &str = "SERVER CLIENT 00000001 00000000 00 01 0040 0002 0000 6563686f0a";
const RESPONSE: &str = "CLIENT SERVER 00000001 00000001 00 01 0040 0002 0000 48656c6c6f0a";
const RESPONSE_ACK: &str = "SERVER CLIENT 00000000 00000001 00 01 0000 0000";
const CLOSE: &str = "SERVER CLIENT 00000002 00000001 00 01 004a 0042 0000 SIGNATURE";
const CLOSE_BACK: &str = "CLIENT SERVER 00000002 00000002 00 01 004a 0042 0000 SIGNATURE";
const PING: &str = "CLIENT 00000000 00000000 00000000 00 00 0628 01c7 DESTINATION SIGNATURE";
const PONG: &str = "00000000 CLIENT 00000000 00000000 00 00 0608 0040 SIGNATURE";

/// Runs `pair` and returns what each side sent in the meantime, with its `compress`.
fn sent(pair: &mut Pair, span: Duration) -> [Vec<(Vec<u8>, bool)>; 2] {
    let mut seen = HashSet::new();
    let mut sent = [Vec::new(), Vec::new()];
    let end = pair.now + span;
    while pair.now < end {
        pair.drain();
        for (link, sent) in [&pair.ab, &pair.ba].into_iter().zip(&mut sent) {
            let mut new: Vec<_> = link.in_flight().collect();
            new.reverse();
            for transmit in new {
                if seen.insert(transmit.packet.clone()) {
                    sent.push((transmit.packet.to_vec(), transmit.compress));
                }
            }
        }
        pair.run(MS(1));
    }
    sent
}

/// What the words stand for.
struct Words {
    client: u32,
    server: u32,
    sender: Vec<u8>,
    receiver: Vec<u8>,
}

impl Words {
    fn fill(&self, template: &str, like: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in template.split_whitespace() {
            match word {
                "CLIENT" => bytes.extend(self.client.to_be_bytes()),
                "SERVER" => bytes.extend(self.server.to_be_bytes()),
                "RECEIVER" => bytes.extend(&self.receiver),
                "DESTINATION" => bytes.extend(&self.sender),
                // Checked elsewhere.
                "SIGNATURE" => bytes.extend(&like[bytes.len()..bytes.len() + 64]),
                _ => {
                    let (pairs, _) = word.as_bytes().as_chunks::<2>();
                    for pair in pairs {
                        let digits = std::str::from_utf8(pair).unwrap();
                        bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    }
                }
            }
        }
        bytes
    }

    fn matches(&self, template: &str, packet: &[u8]) -> bool {
        let signature = template.contains("SIGNATURE");
        if signature && packet.len() < 86 {
            return false;
        }
        let mut like = packet.to_vec();
        // Room for a template that is longer than the packet.
        like.resize(packet.len() + 1024, 0);
        self.fill(template, &like) == packet
    }
}

fn encoded(destination: &eepkit_wire::Destination) -> Vec<u8> {
    let mut bytes = Vec::new();
    destination.encode(&mut bytes);
    bytes
}

#[test]
fn packets_of_a_stream_are_those_of_java() {
    let mut pair = Pair::new(LinkConfig::delay(MS(50)));
    pair.b.endpoint.listen(0, 5).unwrap();
    let client = open(&mut pair, &StreamConfig::default());
    let mut sides = sent(&mut pair, MS(60));
    let server = pair.accept().unwrap().id;
    let mut go_on = |pair: &mut Pair, span| {
        for (side, more) in sides.iter_mut().zip(sent(pair, span)) {
            side.extend(more);
        }
    };
    go_on(&mut pair, MS(120));
    let now = pair.now;
    pair.a.endpoint.write(now, client, b"echo\n").unwrap();
    pair.a.endpoint.flush(now, client);
    go_on(&mut pair, MS(60));
    // Before the acknowledgement leaves on its own: Java's application was as fast.
    let now = pair.now;
    pair.b.endpoint.write(now, server, b"Hello\n").unwrap();
    pair.b.endpoint.flush(now, server);
    go_on(&mut pair, MS(120));
    let now = pair.now;
    pair.a.endpoint.shutdown(now, client);
    go_on(&mut pair, MS(60));
    let now = pair.now;
    pair.b.endpoint.shutdown(now, server);
    go_on(&mut pair, MS(60));

    let ids = |packet: &[u8]| Packet::parse(packet).unwrap().recv_id();
    let words = |sender: &Side, receiver: &Side, sides: &[Vec<(Vec<u8>, bool)>; 2]| Words {
        client: ids(&sides[0][0].0),
        server: ids(&sides[1][0].0),
        sender: encoded(sender.endpoint.destination()),
        receiver: receiver.endpoint.destination().hash().as_bytes().to_vec(),
    };
    let words = [
        words(&pair.a, &pair.b, &sides),
        words(&pair.b, &pair.a, &sides),
    ];
    let expected = [
        &[SYN, ANSWER_ACK, REQUEST, RESPONSE_ACK, CLOSE][..],
        &[ANSWER, RESPONSE, CLOSE_BACK],
    ];
    for ((sent, expected), words) in sides.iter().zip(expected).zip(&words) {
        for template in expected {
            let found = sent
                .iter()
                .any(|(packet, _)| packet.len() >= 22 && words.matches(template, packet));
            assert!(found, "nobody sent {template}\n{}", dump(sent));
        }
        assert!(sent.iter().all(|(_, compress)| !compress));
    }
    assert!(words[0].matches(SYN, &sides[0][0].0), "SYN is first");
    assert!(words[1].matches(ANSWER, &sides[1][0].0), "its answer");
}

#[test]
fn pings_are_those_of_java() {
    let mut pair = Pair::new(LinkConfig::delay(MS(50)));
    let to = pair.address_b();
    let timeout = SECONDS(10);
    pair.a
        .endpoint
        .ping(pair.now, &to, Ports::default(), b"", timeout);
    let [pings, pongs] = sent(&mut pair, MS(120));
    let words = Words {
        client: Packet::parse(&pings[0].0).unwrap().send_id(),
        server: 0,
        sender: encoded(pair.a.endpoint.destination()),
        receiver: Vec::new(),
    };
    assert!(words.matches(PING, &pings[0].0), "{}", dump(&pings));
    assert!(words.matches(PONG, &pongs[0].0), "{}", dump(&pongs));
}

#[test]
fn the_first_packet_is_marked_for_compression_as_java_compresses_it() {
    for (length, compressed) in [(0, false), (50, false), (51, true)] {
        let mut pair = pair();
        let config = StreamConfig::default().with_connect_delay(SECONDS(1));
        let id = open(&mut pair, &config);
        if length > 0 {
            pair.a
                .endpoint
                .write(pair.now, id, &vec![7; length])
                .unwrap();
        }
        pair.a.endpoint.flush(pair.now, id);
        pair.drain();
        let syn = pair.ab.in_flight().next().unwrap();
        assert_eq!(syn.compress, compressed, "{length}");
    }
}

#[test]
fn a_first_packet_that_is_sent_again_still_asks_for_an_answer_at_once() {
    let mut pair = Pair::new(LinkConfig::delay(SECONDS(1000)));
    open(&mut pair, &StreamConfig::default());
    let [syns, _] = sent(&mut pair, SECONDS(4));
    assert_eq!(syns.len(), 1, "the bytes are the same");
    assert_eq!(pair.ab.len(), 2);
}

fn dump(sent: &[(Vec<u8>, bool)]) -> String {
    let hex = |packet: &[u8]| {
        packet
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    sent.iter()
        .map(|(packet, _)| hex(&packet[..packet.len().min(120)]) + "\n")
        .collect()
}
