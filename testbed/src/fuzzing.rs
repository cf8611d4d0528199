//! The functions of the fuzz targets. Each takes arbitrary bytes. A panic is a finding.

mod peers;

use std::time::Duration;

use eepkit_streaming::{
    Ports, Read, Received, StreamConfig,
    packet::{Flags, Packet, Repr},
};

use crate::{LinkConfig, Pair, UNIX_START, keys};

pub use peers::peers;

/// Decodes a packet and encodes it again. Decoding the result must give the same packet.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else {
        return;
    };
    let unix_now = u32::try_from(UNIX_START.as_secs()).unwrap_or(0);
    // Random bytes contain no valid signature.
    assert!(packet.verify(None, unix_now).is_err() || packet.from().is_some());
    let nacks: Vec<_> = packet.nacks().collect();
    let kept = Flags::SYN | Flags::CLOSE | Flags::RESET | Flags::ECHO | Flags::NO_ACK;
    let repr = Repr {
        send_id: packet.send_id(),
        recv_id: packet.recv_id(),
        seq: packet.seq(),
        ack_through: packet.ack_through(),
        nacks: &nacks,
        resend_delay: packet.resend_delay(),
        flags: packet.flags() & kept,
        delay: packet.delay(),
        from: packet.from(),
        max_size: packet.max_size(),
        payload: packet.payload(),
    };
    let mut bytes = Vec::new();
    repr.encode(&mut bytes);
    let again = Packet::parse(&bytes);
    assert!(again.is_ok_and(|again| again.payload() == packet.payload()
        && again.nacks().eq(packet.nacks())
        && again.delay() == packet.delay()
        && again.from() == packet.from()));
}

/// Drives an endpoint with an open stream by a script of operations, time steps and packets. Some
/// of the packets have the IDs of the stream.
pub fn endpoint(data: &[u8]) {
    let mut script = data;
    let mut pair = Pair::new(LinkConfig::delay(Duration::from_millis(100))).remembering();
    let (a, b) = pair.connect();
    let _ = pair.a.endpoint.write(pair.now, a, &[1; 5000]);
    pair.drain();
    let numbers = pair.ab.in_flight().next().and_then(|transmit| {
        let packet = Packet::parse(&transmit.packet).ok()?;
        Some((packet.send_id(), packet.recv_id()))
    });
    while let Some((&operation, rest)) = script.split_first() {
        script = rest;
        let now = pair.now;
        match operation % 12 {
            0..=5 => {
                let length = usize::from(script.first().copied().unwrap_or(0));
                let (bytes, rest) = script.split_at(length.min(script.len()));
                script = rest;
                let mut packet = bytes.to_vec();
                if let (Some((send, recv)), true) = (numbers, operation % 2 == 0) {
                    for (place, byte) in packet
                        .iter_mut()
                        .zip(send.to_be_bytes().into_iter().chain(recv.to_be_bytes()))
                    {
                        *place = byte;
                    }
                }
                let received = Received {
                    from_port: 0,
                    to_port: 0,
                    packet: packet.into(),
                };
                pair.b.receive(now, received);
            }
            6 => {
                let _ = pair.b.endpoint.write(now, b, &[2; 3000]);
            }
            7 => {
                let _ = pair.b.endpoint.read(now, b, 100);
            }
            8 => pair.b.endpoint.shutdown(now, b),
            9 => {
                let to = pair.address_a();
                let _ =
                    pair.b
                        .endpoint
                        .connect(now, &to, Ports::default(), &StreamConfig::default());
            }
            10 => pair.b.endpoint.reset(now, b),
            _ => pair.run(Duration::from_millis(u64::from(operation) * 40)),
        }
        pair.drain();
    }
    pair.run(Duration::from_secs(400));
    let left = pair.b.endpoint.read(pair.now, b, 1);
    assert!(matches!(left, Ok(Read::Data(_))) || !data.is_empty());
}

/// Valid packets, as a corpus.
pub fn examples() -> Vec<Vec<u8>> {
    let keys = keys(1);
    let syn = Repr {
        recv_id: 7,
        flags: Flags::SYN | Flags::NO_ACK,
        nacks: &[1, 2, 3, 4, 5, 6, 7, 8],
        from: Some(keys.destination()),
        max_size: Some(1812),
        payload: b"hello",
        ..Repr::default()
    };
    let ack = Repr {
        send_id: 1,
        recv_id: 2,
        ack_through: 9,
        nacks: &[3, 4],
        delay: Some(60_001),
        ..Repr::default()
    };
    let mut plain = Vec::new();
    ack.encode(&mut plain);
    vec![syn.sign(&keys), plain]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn random_input_causes_no_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            packet(&data);
            endpoint(&data);
            peers(&data);
        }

        #[test]
        fn misbehaving_peers_do_not_disturb_another(operations in proptest::collection::vec((0..16_u8, 0..3_u8, any::<u8>()), 0..80)) {
            let bytes = |(operation, who, argument)| [operation | who << 4, argument];
            peers(&operations.into_iter().flat_map(bytes).collect::<Vec<u8>>());
        }

        #[test]
        fn changed_packets_cause_no_panic(which in 0..2_usize, changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), cut in any::<usize>()) {
            let mut bytes = examples().swap_remove(which);
            for (place, value) in changes {
                let place = place % bytes.len();
                bytes[place] = value;
            }
            bytes.truncate(cut % (bytes.len() + 1));
            packet(&bytes);
        }
    }
}
