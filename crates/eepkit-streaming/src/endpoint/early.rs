//! Packets that arrive before the first packet of their stream.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::received::Received;

/// Packets of streams whose first packet has not arrived yet.
#[derive(Debug, Default)]
pub(super) struct EarlyPackets {
    /// When the packet is dropped, the stream id that the peer chose, and the packet; in the order
    /// of arrival.
    packets: VecDeque<(Instant, u32, Received)>,
    bytes: usize,
}

impl EarlyPackets {
    pub(super) fn insert(&mut self, now: Instant, id: u32, received: Received) {
        let of_stream = self
            .packets
            .iter()
            .filter(|(_, other, _)| *other == id)
            .count();
        if of_stream >= MAX_EARLY_PER_STREAM || received.packet.len() > MAX_EARLY_BYTES {
            return;
        }
        self.bytes += received.packet.len();
        self.packets.push_back((now + EARLY_LIFETIME, id, received));
        while self.packets.len() > MAX_EARLY || self.bytes > MAX_EARLY_BYTES {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, _, received)) = self.packets.pop_front() {
            self.bytes -= received.packet.len();
        }
    }

    pub(super) fn take(&mut self, id: u32) -> Vec<Received> {
        let mut taken = Vec::new();
        let mut index = 0;
        while let Some((_, other, _)) = self.packets.get(index) {
            if *other == id {
                if let Some((_, _, received)) = self.packets.remove(index) {
                    self.bytes -= received.packet.len();
                    taken.push(received);
                }
            } else {
                index += 1;
            }
        }
        taken
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|(at, _, _)| *at <= now) {
            self.drop_oldest();
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _, _)| *at)
    }
}

/// Chosen above the few seconds for which i2pd and Java buffer such packets. Reordering between
/// tunnels is shorter.
const EARLY_LIFETIME: Duration = Duration::from_secs(10);
/// Chosen above the initial cwnd of peers, which is 6 in the specification and 16 in I2P+. Peers
/// that have a path state for this destination may send more.
const MAX_EARLY_PER_STREAM: usize = 64;
/// Bounds the memory that unauthenticated senders can fill.
const MAX_EARLY: usize = 512;
const MAX_EARLY_BYTES: usize = 1 << 20;
