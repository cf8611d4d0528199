//! Pings and pongs (streaming documentation, "Ping / Pong").

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::Destination;
use rand_chacha::rand_core::Rng;

use super::{
    Endpoint, Event, PingId, Transmit,
    entries::PeerEntry,
    keys::PeerKey,
    pings::{Answered, Purpose},
};
use crate::{
    info::Ports,
    packet::{Encoded, Flags, Packet, Repr},
    path::PathId,
    received::Received,
};

impl Endpoint {
    /// Pings `to`. [`Event::Pong`] or [`Event::PingTimeout`] follows, the latter at once if 256
    /// pings are waiting already.
    ///
    /// The pong contains up to 32 bytes of `payload`. Further bytes are not sent.
    pub fn ping(
        &mut self,
        now: Instant,
        to: &Destination,
        ports: Ports,
        payload: &[u8],
        timeout: Duration,
    ) -> PingId {
        let now = self.advance(now);
        let id = self.unused_ping_id();
        if self.pings.is_full() || self.closing {
            self.events.push_back(Event::PingTimeout(id));
            return id;
        }
        // Keeps when the peer was heard.
        let config = Arc::clone(&self.stream_config);
        self.peer_key(now, to, &config);
        let purpose = Purpose::Application;
        self.pings
            .insert(id, now, now + timeout, to.hash(), purpose);
        self.send_ping(now, id, to, ports, payload);
        id
    }

    /// Pings a peer that does not answer, without an event. An answer proves that the peer is not
    /// silent.
    pub(super) fn test_silence(&mut self, now: Instant, key: PeerKey) {
        let Some(to) = self.peers.get(key).map(|entry| &entry.peer.destination) else {
            return;
        };
        let to = to.clone();
        if self.pings.is_full() || self.closing {
            return;
        }
        let id = self.unused_ping_id();
        let (deadline, purpose) = (now + ANSWER_LIFETIME, Purpose::Silence);
        self.pings.insert(id, now, deadline, to.hash(), purpose);
        self.send_ping(now, id, &to, Ports::default(), &[]);
    }

    fn unused_ping_id(&mut self) -> PingId {
        loop {
            let id = PingId(self.rng.next_u32());
            // A peer detects pings by their flag, but i2pd first looks for a stream with the id.
            if id.0 != 0 && !self.pings.contains(id) {
                return id;
            }
        }
    }

    fn send_ping(
        &mut self,
        now: Instant,
        id: PingId,
        to: &Destination,
        ports: Ports,
        payload: &[u8],
    ) {
        let repr = Repr {
            send_id: id.0,
            flags: Flags::ECHO | Flags::NO_ACK,
            from: Some(self.keys.destination()),
            payload: &payload[..payload.len().min(MAX_PAYLOAD)],
            ..Repr::default()
        };
        let packet = repr.unsigned(&self.keys);
        self.answer(now, to.clone(), (ports.local, ports.remote), packet);
    }

    pub(super) fn on_echo(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        if packet.send_id() == 0 {
            self.on_pong(now, received, packet);
        } else {
            self.on_ping(now, received, packet);
        }
    }

    fn on_pong(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        // Only the random id identifies the packet as an answer. i2pd does not sign pongs, and a
        // signature without a destination proves nothing more.
        let Some(answered) = self.pings.remove(packet.recv_id()) else {
            self.stats.unknown_stream += 1;
            return;
        };
        let Answered { id, sent, .. } = answered;
        if let Some(key) = self.by_hash.get(&answered.to).copied()
            && let Some(entry) = self.peers.get_mut(key)
        {
            // A SYN that was lost need not wait longer. The gate for new peers admits one stream
            // until the peer answers.
            entry.peer.heard = Some(now);
            for stream in self.streams_of(key) {
                self.with_stream(now, stream, |connection, _, peer| {
                    connection.on_reachable(now, peer, sent)
                });
            }
        }
        if answered.purpose == Purpose::Silence {
            return;
        }
        let end = (packet.payload_start() + MAX_PAYLOAD).min(received.packet.len());
        self.events.push_back(Event::Pong {
            id,
            rtt: now.saturating_duration_since(sent),
            payload: Bytes::copy_from_slice(
                received
                    .packet
                    .get(packet.payload_start()..end)
                    .unwrap_or_default(),
            ),
        });
    }

    /// Whether a ping passes the checks that precede that of its signature. If so, counts it
    /// against the limit of answers.
    pub(super) fn admits_ping(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        let welcome = |from: &Destination| self.admits(&from.hash());
        let wanted = self.config.answer_pings && !self.closing;
        wanted && packet.from().is_some_and(welcome) && self.answers.take(now)
    }

    fn on_ping(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        let Some(from) = packet.from() else {
            self.stats.malformed += 1;
            return;
        };
        if !self.config.answer_pings || self.closing {
            return;
        }
        if !self.admits(&from.hash()) {
            self.stats.denied += 1;
            return;
        }
        // If the signature was checked before, the ping was counted before.
        if !self.is_verified(packet) && !self.answers.take(now) {
            return;
        }
        if self.verify(now, packet).is_err() {
            self.stats.bad_signatures += 1;
            return;
        }
        let payload = packet.payload();
        let repr = Repr {
            recv_id: packet.send_id(),
            flags: Flags::ECHO | Flags::NO_ACK,
            payload: &payload[..payload.len().min(MAX_PAYLOAD)],
            ..Repr::default()
        };
        // Signed as Java's, though nobody checks it. An offline signature would need a destination.
        let pong = if self.keys.offline().is_none() {
            repr.unsigned(&self.keys)
        } else {
            let mut pong = Vec::new();
            repr.encode(&mut pong);
            pong.into()
        };
        self.answer(
            now,
            from.clone(),
            (received.to_port, received.from_port),
            pong,
        );
        if let Some(key) = self.by_hash.get(&from.hash()).copied()
            && let Some(PeerEntry { peer, .. }) = self.peers.get_mut(key)
        {
            peer.contacted = Some(now);
            peer.silence.on_ping(now);
            self.on_silence(now, key);
            // The peer may have come back. A SYN that it did not receive need not wait longer.
            let before = now.checked_sub(SYN_PAUSE).unwrap_or(now);
            for stream in self.streams_of(key) {
                self.with_stream(now, stream, |connection, _, peer| {
                    connection.on_reachable(now, peer, before)
                });
            }
        }
    }

    /// Queues a packet that belongs to no stream. `ports` are our port and that of the peer.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        to: Destination,
        ports: (u16, u16),
        packet: Encoded,
    ) {
        if self.transmits.len() < MAX_ANSWERS {
            self.transmits.push_back(Transmit {
                to,
                from_port: ports.0,
                to_port: ports.1,
                packet: packet.bytes,
                unsigned: packet.unsigned,
                compress: false,
                first: true,
                path: PathId::ANY,
                deadline: now + ANSWER_LIFETIME,
            });
        }
    }
}

/// The longest payload of a pong (streaming specification since 0.9.18).
const MAX_PAYLOAD: usize = 32;
/// The most queued answers. A caller that drains the output after every packet does not reach it.
const MAX_ANSWERS: usize = 1024;
/// How long a SYN can be unanswered before it is repeated because of a ping of the peer. Chosen
/// above most round trips.
const SYN_PAUSE: Duration = Duration::from_secs(1);
/// Chosen as the slowest round trip measured on the network.
const ANSWER_LIFETIME: Duration = Duration::from_secs(30);
