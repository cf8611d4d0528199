//! The handshake of a stream: SYN, and the answer to it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Connection, Cx, Handle, Notices, Phase};
use crate::{
    kind::PeerKind,
    mtu::{MIN_MTU, fitting},
    packet::Packet,
    peer::Peer,
    rtt::Rtt,
    timer::Timer,
};

impl Connection {
    /// Starts connecting.
    pub(crate) fn open(&mut self, now: Instant) {
        if let Some(timeout) = self.config.connect_timeout {
            self.timers.set(Timer::Connect, now + timeout);
        }
        if self.config.connect_delay.is_zero() {
            self.due.syn = true;
        } else {
            self.timers
                .set(Timer::Coalesce, now + self.config.connect_delay);
        }
    }

    /// Handles that the application accepts an incoming stream. The answer to SYN waits for data
    /// for a few milliseconds.
    pub(crate) fn accept(&mut self, now: Instant) {
        if self.phase == Phase::Offered {
            self.phase = Phase::Open;
            self.handle = Handle::Held;
            self.timers.stop(Timer::Accept);
            self.timers.set(Timer::Coalesce, now + REPLY_DELAY);
            self.start_inactivity(now);
        }
    }

    /// Handles a retransmitted SYN: our answer was lost or is late.
    pub(crate) fn on_repeated_syn(&mut self, now: Instant, peer: &mut Peer, packet: &Packet<'_>) {
        if let Some(fingerprint) = self.fingerprint(peer) {
            fingerprint.on_syn(now, packet.delay() == Some(0));
        }
        let recent = now.saturating_duration_since(self.last_activity) < MIN_REPEAT_SPACING;
        if self.phase == Phase::Open && self.sending.packets_sent > 0 && !recent {
            self.last_activity = now;
            self.on_repeat(now, peer);
            // As for a SYN that is not answered, a failed path is likelier than a lost packet.
            peer.report_stall(now);
            if self.sending.buffer.oldest() == 0 {
                self.due.syn = true;
            } else {
                self.due.ack = true;
            }
        }
    }

    pub(super) fn arm_syn(&mut self, now: Instant, peer: &Peer) {
        let base = if peer.rtt.smoothed().is_some() {
            peer.rtt.rto().max(MIN_SYN_TIMEOUT)
        } else {
            self.config.initial_rto / 3
        };
        self.timers.set(
            Timer::Probe,
            now + Rtt::backed_off(base, self.sending.attempts),
        );
    }

    /// Whether SYN, or the answer to it, waits for data.
    pub(super) fn syn_waits(&self) -> bool {
        self.sending.packets_sent == 0
            && !self.due.syn
            && matches!(self.phase, Phase::Opening | Phase::Open)
    }

    pub(super) fn send_syn_now(&mut self) {
        self.timers.stop(Timer::Coalesce);
        self.due.syn = true;
    }

    /// Keeps a packet that arrived before the answer to our SYN. Its sender is not authenticated
    /// before that answer.
    pub(super) fn keep_early(&mut self, bytes: &Bytes) {
        if self.early.len() < MAX_EARLY {
            self.early.push(bytes.clone());
        }
    }

    /// Handles the SYN that opened an incoming stream, after its signature was checked.
    pub(crate) fn on_first_syn(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        self.receiving.packets_received += 1;
        self.learn_from_syn(peer, packet);
        if let Some(fingerprint) = self.fingerprint(peer) {
            fingerprint.on_syn(cx.now, packet.delay() == Some(0));
        }
        self.insert(cx, peer, packet, bytes);
    }

    pub(super) fn on_syn_ack(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        if !is_answer(packet) {
            cx.stats.malformed += 1;
            return;
        }
        match cx.verify(packet, &self.identity) {
            Ok(identity) => self.identity = identity,
            Err(_) => {
                cx.stats.bad_signatures += 1;
                return;
            }
        }
        peer.heard = Some(cx.now);
        self.remote_id = packet.recv_id();
        self.phase = Phase::Open;
        self.timers.stop(Timer::Connect);
        self.timers.stop(Timer::Coalesce);
        self.start_inactivity(cx.now);
        self.notices.add(Notices::CONNECTED);
        self.learn_from_syn(peer, packet);
        self.on_acknowledgement(cx, peer, packet);
        if self.phase == Phase::Open && self.sending.buffer.oldest() == 0 {
            // The packet answers our SYN, even if its acknowledgement does not cover it.
            self.acknowledge(cx, peer, 0, &[], false, false);
        }
        if let Some(fingerprint) = self.fingerprint(peer) {
            fingerprint.on_accepted(cx.now);
        }
        self.insert(cx, peer, packet, bytes);
        for bytes in std::mem::take(&mut self.early) {
            if let Ok(packet) = Packet::parse(&bytes) {
                self.on_open_packet(cx, peer, &packet, &bytes);
            }
        }
    }

    /// Evaluates what the peer's SYN states about the peer.
    fn learn_from_syn(&mut self, peer: &mut Peer, packet: &Packet<'_>) {
        let kind = PeerKind::from_syn(packet.resend_delay(), packet.max_size().is_some());
        peer.on_claim(kind);
        // This library always asks for an acknowledgement here; see `crate::fingerprint`.
        if kind == PeerKind::Java && packet.delay().is_none() {
            peer.confirm_java();
        }
        let theirs = packet.max_size().unwrap_or_else(|| kind.default_mtu());
        let theirs = theirs.max(MIN_MTU);
        let mtu = fitting(self.config.mtu().min(usize::from(theirs)));
        let loss_share = peer.loss_share();
        self.sending.negotiate_mtu(mtu);
        self.sending.fit_mtu(&mut peer.packet_size, loss_share);
    }
}

/// Whether a packet with SYN has all fields that are required in an answer to SYN.
pub(super) fn is_answer(packet: &Packet<'_>) -> bool {
    packet.recv_id() != 0 && packet.seq() == 0 && packet.from().is_some()
}

/// How long the answer to SYN waits for data. Chosen long enough for a server that answers at once,
/// and short compared to any round trip.
const REPLY_DELAY: Duration = Duration::from_millis(5);
/// Least time between answers to a retransmitted SYN.
const MIN_REPEAT_SPACING: Duration = Duration::from_millis(250);
/// Lower bound of the SYN timeout, because a known round-trip time may be that of a shorter path.
const MIN_SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// Packets that are kept before the answer to SYN. Before that, a peer sends at most its initial
/// cwnd.
const MAX_EARLY: usize = 16;
