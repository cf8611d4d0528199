//! Two endpoints on an emulated link, in virtual time.

#![expect(clippy::unwrap_used, reason = "an error fails the test")]

mod close;
mod dialects;
mod faults;
mod first_contact;
mod flow;
mod handshake;
mod java;
mod limits;
mod pings;
mod transfers;
mod verification;

use std::time::Duration;

use eepkit_streaming::{CloseReason, Event, Ports, Read, StreamConfig, StreamId, packet::Repr};
use eepkit_testbed::*;
use eepkit_wire::PrivateKeys;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// A link with a round-trip time of half a second and no faults.
fn pair() -> Pair {
    Pair::new(LinkConfig::delay(MS(250)))
}

fn closed(id: StreamId, reason: CloseReason) -> Event {
    Event::Closed { id, reason }
}

/// Reads all available data. Also returns whether the end was reached.
fn read_all(side: &mut Side, now: std::time::Instant, id: StreamId) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match side.endpoint.read(now, id, usize::MAX) {
            Ok(Read::Data(data)) => bytes.extend_from_slice(&data),
            Ok(Read::End) => return (bytes, true),
            Ok(Read::Pending) | Err(_) => return (bytes, false),
        }
    }
}

/// Opens a stream from `a` to `b` without waiting.
fn open(pair: &mut Pair, config: &StreamConfig) -> StreamId {
    let to = pair.address_b();
    let id = pair
        .a
        .endpoint
        .connect(pair.now, &to, Ports::default(), config)
        .unwrap();
    pair.drain();
    id
}

/// Delivers a forged or captured packet to `b`.
fn inject_b(pair: &mut Pair, packet: Vec<u8>) {
    let received = eepkit_streaming::Received {
        from_port: 0,
        to_port: 0,
        packet: packet.into(),
    };
    pair.b.endpoint.handle_packet(pair.now, received);
    pair.drain();
}

fn sign(repr: &Repr<'_>, keys: &PrivateKeys) -> Vec<u8> {
    repr.sign(keys)
}
