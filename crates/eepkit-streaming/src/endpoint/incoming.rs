//! Finds the stream that a packet belongs to, and accepts or refuses new streams.

use std::{sync::Arc, time::Instant};

use eepkit_wire::{Destination, Hash};

use super::{Endpoint, StreamId, limits::Standing};
use crate::{
    config::LimitAction,
    connection::{Notices, Opening, Phase},
    packet::{Flags, Identity, Packet, Repr},
    received::Received,
    timer::Timer,
};

impl Endpoint {
    pub(super) fn dispatch(&mut self, now: Instant, received: &Received) {
        let Ok(packet) = Packet::parse(&received.packet) else {
            self.stats.malformed += 1;
            return;
        };
        if packet.flags().is_echo() {
            self.on_echo(now, received, &packet);
        } else if packet.send_id() != 0 {
            self.on_stream_packet(now, received, &packet);
        } else if packet.recv_id() == 0 {
            self.stats.malformed += 1;
        } else if packet.flags().is_syn() {
            self.on_syn(now, received, &packet);
        } else {
            self.on_follow_up(now, received, &packet);
        }
    }

    fn on_stream_packet(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        if let Some(key) = self.by_local.get(&packet.send_id()).copied() {
            self.with_stream(now, key, |connection, cx, peer| {
                connection.on_packet(cx, peer, packet, &received.packet)
            });
            return;
        }
        self.stats.unknown_stream += 1;
        // Plain acknowledgements and resets are not answered, because the answer would have no
        // effect.
        if packet.seq() > 0 && !packet.flags().is_reset() {
            self.answer_ended(now, packet);
        }
    }

    /// Answers a packet of an ended stream, whose last acknowledgement or reset was lost.
    fn answer_ended(&mut self, now: Instant, packet: &Packet<'_>) {
        if self
            .ended
            .get(packet.send_id())
            .is_none_or(|record| record.remote_id != packet.recv_id())
            || !self.answers.take(now)
        {
            return;
        }
        let Some(record) = self.ended.answer(packet.send_id()) else {
            return;
        };
        let (to, ports) = (record.to.clone(), (record.local_port, record.remote_port));
        let answer = record.final_packet(&self.keys);
        self.answer(now, to, ports, answer);
    }

    /// Retransmits resets.
    pub(super) fn repeat_resets(&mut self, now: Instant) {
        while let Some(record) = self.ended.repeat(now) {
            let (to, ports) = (record.to.clone(), (record.local_port, record.remote_port));
            let reset = record.final_packet(&self.keys);
            self.answer(now, to, ports, reset);
        }
    }

    /// Handles a packet without our stream id that is not the first of its stream. Its sender has
    /// not received our id yet.
    fn on_follow_up(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        // The id does not identify the sender. If two peers chose the same id, the packet is
        // dropped. It is retransmitted with both ids.
        match self.by_remote.get(&packet.recv_id()).map(Vec::as_slice) {
            Some([key]) => {
                let key = *key;
                self.with_stream(now, key, |connection, cx, peer| {
                    connection.on_packet(cx, peer, packet, &received.packet)
                });
            }
            Some(_) => self.stats.unknown_stream += 1,
            // A reset before the first packet has no stream to end.
            None if packet.seq() == 0 || packet.flags().is_reset() => {
                self.stats.unknown_stream += 1
            }
            None => self.early.insert(now, packet.recv_id(), received.clone()),
        }
    }

    pub(super) fn admits(&self, peer: &Hash) -> bool {
        !self.config.blacklist.contains(peer) && self.config.access.admits(peer)
    }

    /// Whether a first packet was signed for another destination.
    fn is_replay(&self, packet: &Packet<'_>) -> bool {
        packet
            .replay_guard()
            .is_some_and(|guard| guard != self.keys.destination().hash())
    }

    /// Whether a first packet passes the checks that precede that of its signature.
    pub(super) fn admits_syn(&self, packet: &Packet<'_>) -> bool {
        let from = packet.from().filter(|_| packet.seq() == 0);
        from.is_some_and(|from| !self.is_replay(packet) && self.admits(&from.hash()))
    }

    /// Handles the first packet of an incoming stream.
    fn on_syn(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        let Some(from) = packet.from().filter(|_| packet.seq() == 0) else {
            self.stats.malformed += 1;
            return;
        };
        if self.is_replay(packet) {
            self.stats.replays += 1;
            return;
        }
        if !self.admits(&from.hash()) {
            self.stats.denied += 1;
            return;
        }
        let Ok(identity) = self.verify(now, packet) else {
            self.stats.bad_signatures += 1;
            return;
        };
        if packet.flags().is_reset() {
            self.stats.malformed += 1;
            return;
        }
        if self.repeats_syn(now, from, packet) || self.closing {
            return;
        }
        let standing =
            self.limiter
                .count(now, &from.hash(), self.config.per_peer, self.config.total);
        let crowded = self.streams.len() >= self.config.stream_limit()
            || self.streams_with(&from.hash()) >= self.config.peer_limit();
        if standing != Standing::Within || crowded {
            self.stats.limited += 1;
            self.on_limit(now, received, packet, identity, standing);
            return;
        }
        let port = if self.listeners.contains_key(&received.to_port) {
            received.to_port
        } else {
            0
        };
        if !self.has_backlog(port) {
            self.stats.refused += 1;
            self.refuse(now, received, packet);
            return;
        }
        let id = self.take_stream(now, received, packet, identity);
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.push(id);
        }
        let timeout = self.config.accept_timeout;
        self.with_stream(now, id.0, |connection, cx, _| {
            connection.timers.set(Timer::Accept, cx.now + timeout);
            connection.notices.add(Notices::OFFERED);
        });
        for early in self.early.take(packet.recv_id()) {
            self.dispatch(now, &early);
        }
    }

    /// Handles a retransmitted first packet. Returns whether it was one.
    fn repeats_syn(&mut self, now: Instant, from: &Destination, packet: &Packet<'_>) -> bool {
        let remote_id = packet.recv_id();
        let keys = self
            .by_remote
            .get(&remote_id)
            .map_or(&[][..], Vec::as_slice);
        let known = keys.iter().copied().find(|key| {
            self.streams
                .get(*key)
                .is_some_and(|entry| entry.connection.identity().destination == *from)
        });
        if let Some(key) = known {
            self.stats.duplicates += 1;
            self.with_stream(now, key, |connection, cx, peer| {
                peer.contacted = Some(cx.now);
                connection.on_repeated_syn(cx.now, peer, packet)
            });
            return true;
        }
        self.ended.knows_incoming(from, remote_id)
    }

    /// The number of streams with a peer.
    pub(super) fn streams_with(&self, peer: &Hash) -> usize {
        let entry = self.by_hash.get(peer).and_then(|key| self.peers.get(*key));
        entry.map_or(0, |entry| entry.peer.streams as usize)
    }

    /// Whether `port` has a listener with room for another stream.
    fn has_backlog(&mut self, port: u16) -> bool {
        let streams = &self.streams;
        let Some(listener) = self.listeners.get_mut(&port) else {
            return false;
        };
        if listener.is_full() {
            listener.retain(|id| {
                streams
                    .get(id.0)
                    .is_some_and(|entry| entry.connection.phase == Phase::Offered)
            });
        }
        !listener.is_full()
    }

    fn take_stream(
        &mut self,
        now: Instant,
        received: &Received,
        packet: &Packet<'_>,
        identity: Identity,
    ) -> StreamId {
        let config = Arc::clone(&self.stream_config);
        let peer = self.peer_key(now, &identity.destination, &config);
        let local_id = self.new_local_id();
        let id = self.add_stream(
            now,
            peer,
            Opening {
                initiator: false,
                local_id,
                remote_id: packet.recv_id(),
                local_port: received.to_port,
                remote_port: received.from_port,
                config,
                identity,
            },
        );
        self.with_stream(now, id.0, |connection, cx, peer| {
            peer.contacted = Some(cx.now);
            connection.on_first_syn(cx, peer, packet, &received.packet)
        });
        id
    }

    fn on_limit(
        &mut self,
        now: Instant,
        received: &Received,
        packet: &Packet<'_>,
        identity: Identity,
        standing: Standing,
    ) {
        if standing == Standing::FarOver {
            return;
        }
        let response = match &self.config.limit_action {
            LimitAction::Drop => return,
            LimitAction::Custom(text) => text.clone(),
            LimitAction::Http if received.to_port != HTTPS_PORT => TOO_MANY_REQUESTS.to_owned(),
            LimitAction::Reset | LimitAction::Http => {
                self.refuse(now, received, packet);
                return;
            }
        };
        // The response needs a stream. If there are too many such streams as well, nothing is sent.
        let from = identity.destination.hash();
        if self.streams.len() >= self.config.stream_limit() + MAX_COURTESY_STREAMS
            || self.streams_with(&from) >= self.config.peer_limit() + MAX_COURTESY_STREAMS
            || !self.answers.take(now)
        {
            return;
        }
        let id = self.take_stream(now, received, packet, identity);
        self.with_stream(now, id.0, |connection, cx, peer| {
            connection.accept(cx.now);
            // The buffer is empty, so the response fits.
            let _ = connection.write(cx.now, response.as_bytes());
            connection.release(cx.now, peer);
        });
    }

    /// Refuses a stream.
    fn refuse(&mut self, now: Instant, received: &Received, packet: &Packet<'_>) {
        let Some(from) = packet.from() else { return };
        if !self.answers.take(now) {
            return;
        }
        let repr = Repr {
            send_id: packet.recv_id(),
            flags: Flags::RESET,
            from: Some(self.keys.destination()),
            ..Repr::default()
        };
        let reset = repr.unsigned(&self.keys);
        self.answer(
            now,
            from.clone(),
            (received.to_port, received.from_port),
            reset,
        );
    }
}

/// Streams beyond the limit that only send the response to a stream beyond the limit.
const MAX_COURTESY_STREAMS: usize = 64;
/// The port of HTTPS, on which a client cannot read an HTTP response.
const HTTPS_PORT: u16 = 443;
const TOO_MANY_REQUESTS: &str = "HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Cache-Control: no-cache\r\n\
    Retry-After: 900\r\n\
    Connection: close\r\n\
    Content-Length: 40\r\n\
    \r\n\
    Too many connections. Try again later.\r\n";
