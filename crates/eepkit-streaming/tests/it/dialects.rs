//! Peers that run other software. The tests construct their packets one by one.

use std::sync::Arc;

use eepkit_streaming::{
    PeerKind, Received,
    packet::{Flags, Packet, replay_guard},
};
use eepkit_wire::PrivateKeys;

use super::*;

/// A packet of the endpoint under test, as the other implementation decodes it.
#[derive(Debug, Clone)]
struct Seen {
    send_id: u32,
    recv_id: u32,
    seq: u32,
    ack_through: u32,
    nacks: Vec<u32>,
    flags: Flags,
    delay: Option<u16>,
    payload: Vec<u8>,
}

/// Another implementation: its keys and its stream id. The endpoint under test is `a` of a pair
/// whose link is not used.
struct Foreign {
    keys: Arc<PrivateKeys>,
    id: u32,
    pair: Pair,
    ours: u32,
    stream: Option<StreamId>,
}

impl Foreign {
    fn new() -> Self {
        Self {
            keys: keys(7),
            id: 0x0707_0707,
            // The packets of the endpoint stay on the link until they are read.
            pair: Pair::new(LinkConfig::delay(SECONDS(1_000_000))),
            ours: 0,
            stream: None,
        }
    }

    fn pass(&mut self, span: Duration) {
        self.pair.run(span);
    }

    /// All packets of the endpoint since the last call.
    fn seen(&mut self) -> Vec<Seen> {
        self.pair.drain();
        let mut seen: Vec<_> = self
            .pair
            .ab
            .in_flight()
            .map(|transmit| {
                let packet = Packet::parse(&transmit.packet).unwrap();
                Seen {
                    send_id: packet.send_id(),
                    recv_id: packet.recv_id(),
                    seq: packet.seq(),
                    ack_through: packet.ack_through(),
                    nacks: packet.nacks().collect(),
                    flags: packet.flags(),
                    delay: packet.delay(),
                    payload: packet.payload().to_vec(),
                }
            })
            .collect();
        seen.reverse();
        self.pair.ab.clear();
        seen
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        let received = Received {
            from_port: 0,
            to_port: 0,
            packet: packet.into(),
        };
        self.pair.a.endpoint.handle_packet(self.pair.now, received);
    }

    fn signed(&mut self, repr: &Repr<'_>) {
        let keys = Arc::clone(&self.keys);
        let repr = Repr {
            send_id: self.ours,
            recv_id: self.id,
            ..*repr
        };
        self.deliver(repr.sign(&keys));
    }

    fn plain(&mut self, repr: &Repr<'_>) {
        let repr = Repr {
            send_id: self.ours,
            recv_id: self.id,
            ..*repr
        };
        let mut out = Vec::new();
        repr.encode(&mut out);
        self.deliver(out);
    }

    /// The endpoint connects, and the other implementation answers with these fields.
    fn answers(resend_delay: u8, max_size: Option<u16>) -> Self {
        let mut foreign = Self::new();
        let to = foreign.keys.destination().clone();
        let now = foreign.pair.now;
        let id = foreign
            .pair
            .a
            .endpoint
            .connect(now, &to, Ports::default(), &StreamConfig::default())
            .unwrap();
        foreign.stream = Some(id);
        let syn = foreign.seen().remove(0);
        assert!(syn.flags.is_syn() && syn.flags.is_no_ack() && syn.send_id == 0);
        assert_eq!(syn.nacks, replay_guard(&to.hash()));
        foreign.ours = syn.recv_id;
        foreign.pass(MS(200));
        let keys = Arc::clone(&foreign.keys);
        foreign.signed(&Repr {
            flags: Flags::SYN,
            resend_delay,
            from: Some(keys.destination()),
            max_size,
            ..Repr::default()
        });
        assert!(
            foreign
                .pair
                .run_until(MS(10), |pair| pair.a.saw(&Event::Connected(id)))
        );
        foreign
    }

    /// The other implementation connects to the endpoint, with these fields and flags.
    fn opens(resend_delay: u8, max_size: Option<u16>, flags: Flags) -> Self {
        let mut foreign = Self::new();
        foreign.pair.a.endpoint.listen(0, 5).unwrap();
        let keys = Arc::clone(&foreign.keys);
        let guard = replay_guard(&foreign.pair.address_a().hash());
        foreign.signed(&Repr {
            flags: Flags::SYN | flags,
            nacks: &guard,
            resend_delay,
            from: Some(keys.destination()),
            max_size,
            ..Repr::default()
        });
        foreign.pair.drain();
        let incoming = foreign.pair.a.endpoint.accept(foreign.pair.now, 0).unwrap();
        assert_eq!(incoming.peer, *keys.destination());
        foreign.stream = Some(incoming.id);
        foreign.pass(MS(10));
        let answer = foreign.seen().remove(0);
        assert!(answer.flags.is_syn() && !answer.flags.is_no_ack());
        assert_eq!(
            (answer.send_id, answer.ack_through, answer.nacks.len()),
            (foreign.id, 0, 0)
        );
        foreign.ours = answer.recv_id;
        foreign.pass(MS(200));
        foreign.plain(&Repr::default());
        foreign
    }

    fn stream(&self) -> StreamId {
        self.stream.unwrap()
    }

    fn write(&mut self, count: usize) {
        let (now, id) = (self.pair.now, self.stream());
        let mut left = count;
        while left > 0 {
            let taken = self.pair.a.endpoint.write(now, id, &vec![7; left]).unwrap();
            if taken == 0 {
                break;
            }
            left -= taken;
            self.pair.drain();
        }
    }

    fn kind(&self) -> PeerKind {
        self.pair.a.endpoint.info(self.stream()).unwrap().peer_kind
    }

    fn choked(&self) -> bool {
        self.pair.a.endpoint.info(self.stream()).unwrap().choked
    }
}

fn highest(seen: &[Seen]) -> u32 {
    seen.iter().map(|packet| packet.seq).max().unwrap_or(0)
}

#[test]
fn each_implementation_is_recognised_from_both_sides() {
    let table = [
        (1, Some(1730), PeerKind::Java, 1730),
        (9, Some(1812), PeerKind::I2pd, 1812),
        (0, None, PeerKind::Emissary, 1812),
        (0, Some(1812), PeerKind::I2pPlus, 1812),
    ];
    for (resend_delay, max_size, kind, mtu) in table {
        // emissary does not set NO_ACK in its first packet.
        let flags = if kind == PeerKind::Emissary {
            Flags::default()
        } else {
            Flags::NO_ACK
        };
        for foreign in [
            Foreign::answers(resend_delay, max_size),
            Foreign::opens(resend_delay, max_size, flags),
        ] {
            assert_eq!(foreign.kind(), kind);
            assert_eq!(
                foreign.pair.a.endpoint.info(foreign.stream()).unwrap().mtu,
                mtu
            );
        }
    }
}

#[test]
fn no_peer_is_sent_further_ahead_than_it_accepts() {
    for (resend_delay, max_size, most) in
        [(1, Some(1730), 255), (9, Some(1730), 1400), (0, None, 2048)]
    {
        let mut foreign = Foreign::answers(resend_delay, max_size);
        // The first data packet never arrives. All other packets arrive.
        let mut through = 0;
        for _ in 0..400 {
            foreign.write(100_000);
            let seen = foreign.seen();
            let news = highest(&seen).max(through);
            foreign.pass(MS(100));
            if news > 1 {
                through = news;
                // Java buffers no more packets behind a gap.
                let held = if resend_delay == 1 { 131 } else { through };
                foreign.plain(&Repr {
                    ack_through: through.min(held),
                    nacks: &[1],
                    ..Repr::default()
                });
            }
        }
        assert!(
            through <= most,
            "{through} packets ahead, {most} are accepted"
        );
        assert!(
            through >= most.min(200) * 9 / 10,
            "only {through} of {most}"
        );
    }
}

#[test]
fn java_is_asked_to_acknowledge_at_once_often_enough() {
    let mut foreign = Foreign::answers(1, Some(1730));
    let mut asked = 0;
    let mut total = 0;
    for round in 0..20 {
        foreign.write(60_000);
        foreign.pass(MS(100));
        let seen: Vec<_> = foreign
            .seen()
            .into_iter()
            .filter(|packet| packet.seq > 0)
            .collect();
        total += seen.len();
        asked += seen.iter().filter(|packet| packet.delay == Some(0)).count();
        foreign.plain(&Repr {
            ack_through: highest(&seen),
            ..Repr::default()
        });
        assert!(round < 3 || asked > 0);
    }
    assert!(asked >= 20 && asked < total, "{asked} of {total}");
}

#[test]
fn java_chokes_and_unchokes_by_value() {
    let mut foreign = Foreign::answers(1, Some(1730));
    foreign.write(60_000);
    foreign.pass(MS(100));
    let sent = highest(&foreign.seen());
    let choke = |delay| Repr {
        ack_through: 2,
        delay,
        ..Repr::default()
    };
    foreign.plain(&choke(Some(61_000)));
    assert!(foreign.choked());
    foreign.pass(MS(500));
    assert!(foreign.seen().is_empty());
    // Without the option, nothing changes. Probes test whether there is room again.
    foreign.plain(&choke(None));
    assert!(foreign.choked());
    foreign.pass(SECONDS(3));
    let probes = foreign.seen();
    assert!(!probes.is_empty() && probes.len() <= 3, "{probes:?}");
    foreign.plain(&choke(Some(60_000)));
    assert!(!foreign.choked());
    foreign.plain(&Repr {
        ack_through: sent,
        ..Repr::default()
    });
    foreign.pass(MS(500));
    assert!(highest(&foreign.seen()) > sent);
}

#[test]
fn i2pd_chokes_with_60000_and_for_one_acknowledgement_only() {
    let mut foreign = Foreign::answers(9, Some(1812));
    foreign.write(60_000);
    foreign.pass(MS(100));
    let sent = highest(&foreign.seen());
    assert!(sent >= 3);
    foreign.plain(&Repr {
        ack_through: 1,
        delay: Some(60_000),
        ..Repr::default()
    });
    assert!(foreign.choked());
    foreign.plain(&Repr {
        ack_through: sent,
        ..Repr::default()
    });
    assert!(!foreign.choked());
}

#[test]
fn a_request_on_a_plain_acknowledgement_is_answered_once() {
    // i2pd measures the round-trip time this way when it has no data to send.
    let mut foreign = Foreign::opens(9, Some(1812), Flags::NO_ACK);
    foreign.pass(SECONDS(8));
    foreign.seen();
    foreign.plain(&Repr {
        delay: Some(0),
        ..Repr::default()
    });
    foreign.pass(SECONDS(1));
    let answers = foreign.seen();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].seq, answers[0].delay), (0, None));
}

#[test]
fn i2pd_closes_with_its_offline_signature_and_without_its_destination() {
    let mut rng =
        <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::from_seed([5; 32]);
    let expires = u32::try_from(UNIX_START.as_secs()).unwrap() + 3600;
    let offline = keys(7)
        .with_transient(expires, eepkit_wire::SignatureType::ED25519, &mut rng)
        .unwrap();
    let mut foreign = Foreign::new();
    foreign.keys = Arc::new(offline);
    foreign.pair.a.endpoint.listen(0, 5).unwrap();
    let keys = Arc::clone(&foreign.keys);
    foreign.signed(&Repr {
        flags: Flags::SYN | Flags::NO_ACK,
        resend_delay: 9,
        from: Some(keys.destination()),
        max_size: Some(1812),
        ..Repr::default()
    });
    let id = foreign
        .pair
        .a
        .endpoint
        .accept(foreign.pair.now, 0)
        .unwrap()
        .id;
    foreign.pass(MS(10));
    foreign.ours = foreign.seen().remove(0).recv_id;
    foreign.signed(&Repr {
        seq: 1,
        flags: Flags::CLOSE,
        ..Repr::default()
    });
    assert_eq!(
        foreign.pair.a.endpoint.read(foreign.pair.now, id, 1),
        Ok(Read::End)
    );
}

#[test]
fn emissary_closes_with_its_destination_and_never_acknowledges_our_answer_by_itself() {
    let mut foreign = Foreign::opens(0, None, Flags::default());
    let id = foreign.stream();
    let keys = Arc::clone(&foreign.keys);
    foreign.signed(&Repr {
        seq: 1,
        flags: Flags::CLOSE,
        from: Some(keys.destination()),
        ..Repr::default()
    });
    assert_eq!(
        foreign.pair.a.endpoint.read(foreign.pair.now, id, 1),
        Ok(Read::End)
    );
    foreign.pair.a.endpoint.shutdown(foreign.pair.now, id);
    foreign.pass(MS(10));
    let close = foreign
        .seen()
        .into_iter()
        .find(|packet| packet.flags.is_close())
        .unwrap();
    assert_eq!(close.ack_through, 1);
    foreign.plain(&Repr {
        ack_through: close.seq,
        ..Repr::default()
    });
    assert!(foreign.pair.run_until(MS(10), |pair| {
        pair.a.saw(&closed(id, CloseReason::Finished))
    }));
}

#[test]
fn holes_are_reported_at_the_pace_of_each_implementation() {
    for (resend_delay, max_size, least, most) in [(1, Some(1730), 9, 12), (9, Some(1812), 1, 4)] {
        let mut foreign = Foreign::opens(resend_delay, max_size, Flags::NO_ACK);
        foreign.pass(MS(500));
        foreign.seen();
        let mut acks = Vec::new();
        // Packet 1 is missing. Ten more arrive, five milliseconds apart.
        for seq in 2..12 {
            foreign.plain(&Repr {
                seq,
                payload: b"data",
                ..Repr::default()
            });
            foreign.pass(MS(5));
            acks.extend(foreign.seen());
        }
        foreign.pass(MS(60));
        acks.extend(foreign.seen());
        assert!(
            acks.iter()
                .all(|ack| ack.nacks == [1] && ack.payload.is_empty())
        );
        assert!(
            (least..=most).contains(&acks.len()),
            "{} acknowledgements",
            acks.len()
        );
    }
}

#[test]
fn we_choke_with_a_value_that_no_implementation_misreads() {
    let mut foreign = Foreign::opens(1, Some(1730), Flags::NO_ACK);
    foreign.seen();
    let payload = vec![7; 1730];
    for seq in 1..600 {
        foreign.plain(&Repr {
            seq,
            payload: &payload,
            ..Repr::default()
        });
    }
    foreign.pass(SECONDS(1));
    let chokes: Vec<_> = foreign
        .seen()
        .into_iter()
        .filter_map(|packet| packet.delay)
        .collect();
    assert!(!chokes.is_empty());
    assert!(
        chokes.iter().all(|delay| (60_001..=60_999).contains(delay)),
        "{chokes:?}"
    );
    // After a read, the end of choking is reported several times, because packets may be lost.
    let (now, id) = (foreign.pair.now, foreign.stream());
    while let Ok(Read::Data(_)) = foreign.pair.a.endpoint.read(now, id, usize::MAX) {}
    foreign.pass(SECONDS(20));
    let unchokes = foreign
        .seen()
        .into_iter()
        .filter(|packet| packet.delay == Some(1))
        .count();
    assert_eq!(unchokes, 8);
}
