//! Processing of the packets that arrive for a stream.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Connection, Cx, Handle, Notices, Phase, handshake::is_answer, receiving::LocalWindow,
    sending::PeerWindow, timeouts::MIN_PERSIST, transmit::CHOKE,
};
use crate::{
    CloseReason,
    ack::Arrival,
    config::Profile,
    fingerprint::{Covered, Fingerprint},
    kind::JAVA_CHOKE_DELAY_MS,
    loss::Verdict,
    mtu::ONE_MESSAGE,
    packet::{Identity, Packet},
    peer::{AckBatch, Peer},
    reassembly::{Inserted, MAX_NACKS},
    send_buffer::State,
    timer::Timer,
};

impl Connection {
    /// Processes a packet with our stream id.
    pub(crate) fn on_packet(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        let flags = packet.flags();
        self.receiving.packets_received += 1;
        if flags.is_reset() {
            self.on_reset(cx, peer, packet);
            return;
        }
        match self.phase {
            Phase::Opening if flags.is_syn() => self.on_syn_ack(cx, peer, packet, bytes),
            Phase::Opening => self.keep_early(bytes),
            Phase::Offered | Phase::Open => self.on_open_packet(cx, peer, packet, bytes),
            Phase::Done(CloseReason::Finished) => {
                // Our last acknowledgement was lost.
                if packet.recv_id() == self.remote_id && packet.seq() > 0 {
                    peer.heard = Some(cx.now);
                    self.due.ack = true;
                }
            }
            Phase::Done(_) => {
                self.due.reset = packet.recv_id() == self.remote_id && packet.seq() > 0
            }
        }
    }

    /// Whether [`Connection::on_packet`] checks the signature of this packet.
    pub(crate) fn checks_signature(&self, packet: &Packet<'_>) -> bool {
        let flags = packet.flags();
        if flags.is_reset() {
            return !self.is_foreign_reset(packet);
        }
        match self.phase {
            Phase::Opening => flags.is_syn() && is_answer(packet),
            Phase::Offered | Phase::Open => {
                let ours = packet.recv_id() == self.remote_id;
                ours && flags.is_close() && packet.seq() >= self.receiving.buffer.next()
            }
            Phase::Done(_) => false,
        }
    }

    /// Whether a reset belongs to another stream.
    fn is_foreign_reset(&self, packet: &Packet<'_>) -> bool {
        packet.recv_id() != 0 && self.remote_id != 0 && packet.recv_id() != self.remote_id
    }

    fn on_reset(&mut self, cx: &mut Cx<'_>, peer: &mut Peer, packet: &Packet<'_>) {
        if self.is_foreign_reset(packet) || cx.verify(packet, &self.identity).is_err() {
            cx.stats.bad_signatures += 1;
            return;
        }
        peer.heard = Some(cx.now);
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        let reason = if self.phase == Phase::Opening {
            CloseReason::Refused
        } else {
            CloseReason::Reset
        };
        self.receiving.buffer.clear();
        self.finish(peer, reason);
    }

    pub(super) fn on_open_packet(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        if packet.recv_id() != self.remote_id {
            cx.stats.unknown_stream += 1;
            return;
        }
        let flags = packet.flags();
        if flags.is_close()
            && packet.seq() >= self.receiving.buffer.next()
            && cx.verify(packet, &self.identity).is_err()
        {
            cx.stats.bad_signatures += 1;
            return;
        }
        peer.heard = Some(cx.now);
        self.last_activity = cx.now;
        self.last_received = cx.now;
        self.asked_for_life = None;
        if self.sending.is_choked() {
            self.sending.attempts = 0;
        }
        self.on_acknowledgement(cx, peer, packet);
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        let asked = self.on_delay(cx.now, peer, packet.delay());
        if packet.seq() > 0 || flags.is_syn() {
            self.insert(cx, peer, packet, bytes);
        } else if asked && self.can_ack() {
            let pace = peer.kind.ack_pace(peer.rtt.estimate());
            self.schedule_ack(
                cx.now,
                self.receiving
                    .ack
                    .earliest(cx.now, pace.spacing.max(MIN_ANSWER_SPACING)),
            );
        }
    }

    /// Applies the delay option. Returns whether the peer requests an immediate acknowledgement.
    fn on_delay(&mut self, now: Instant, peer: &mut Peer, delay: Option<u16>) -> bool {
        let Some(delay) = delay else { return false };
        if delay == JAVA_CHOKE_DELAY_MS {
            peer.confirm_java();
        } else if delay == CHOKE {
            peer.recognise_eepkit();
        }
        if peer.kind.asks_to_go_back(delay) {
            self.go_back(now, peer);
            return false;
        }
        if delay >= peer.kind.choke_threshold() {
            if peer.kind.chokes_for_room() {
                self.on_choke(now, peer);
            }
            return false;
        }
        if self.sending.is_choked() {
            self.on_unchoke(now, peer);
        }
        delay == 0
    }

    /// Declares all unacknowledged packets lost that were sent at least a round trip ago.
    fn go_back(&mut self, now: Instant, peer: &mut Peer) {
        let rtt = peer.rtt.min().unwrap_or_else(|| peer.rtt.estimate());
        let mut batch = peer.begin();
        for seq in
            self.sending.buffer.oldest()..self.sending.buffer.oldest() + self.sending.buffer.span()
        {
            let Some(sent) = self
                .sending
                .buffer
                .segment(seq)
                .and_then(|segment| segment.sent)
            else {
                continue;
            };
            if now.saturating_duration_since(sent.sent_at) >= rtt
                && self.sending.buffer.mark_lost(seq)
            {
                peer.lost(&mut batch, &sent);
            }
        }
        peer.finish(now, &batch);
        self.arm_probe(now, peer);
    }

    fn on_choke(&mut self, now: Instant, peer: &Peer) {
        if self.sending.is_choked() {
            return;
        }
        self.sending.choke(now);
        self.timers.stop(Timer::Probe);
        self.timers
            .set(Timer::Persist, now + peer.rtt.rto().max(MIN_PERSIST));
    }

    fn on_unchoke(&mut self, now: Instant, peer: &Peer) {
        self.sending.peer_window = PeerWindow::Open;
        self.timers.stop(Timer::Persist);
        self.arm_probe(now, peer);
    }

    pub(super) fn on_acknowledgement(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
    ) {
        // The NACKs of a first packet are a hash, but they do not get here: before the answer to it
        // was sent, `packets_sent` is 0. An answer to SYN has no NACKs.
        if packet.flags().is_no_ack() || self.sending.packets_sent == 0 {
            return;
        }
        let through = packet.ack_through();
        let mut nacks = [0; MAX_NACKS];
        let mut count = 0;
        let mut sorted = true;
        for nack in packet.nacks() {
            if nack < through
                && let Some(slot) = nacks.get_mut(count)
            {
                *slot = nack;
                count += 1;
                sorted &= count < 2 || nacks[count - 2] < nack;
            }
        }
        if !sorted {
            nacks[..count].sort_unstable();
        }
        // A full list may be truncated: emissary truncates it and still acknowledges the highest
        // packet. Such a list only proves that `through` arrived, and the state of packets up to
        // its last entry.
        let through = match nacks.last() {
            Some(last) if count == MAX_NACKS => {
                let mut batch = peer.begin();
                self.sending
                    .buffer
                    .on_arrived(through, |packet| peer.acked(&mut batch, cx.now, &packet));
                peer.finish(cx.now, &batch);
                *last
            }
            _ => through,
        };
        // Data packets of this library acknowledge only packets that arrived without a gap.
        let tells_all = count < MAX_NACKS && packet.seq() == 0 && packet.payload().is_empty();
        let chokes = packet
            .delay()
            .is_some_and(|delay| delay >= peer.kind.choke_threshold());
        self.acknowledge(cx, peer, through, &nacks[..count], tells_all, chokes);
    }

    /// Handles an acknowledgement. `tells_all` states that no packet beyond `through` had arrived,
    /// and `chokes` that the peer has no room.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        through: u32,
        nacks: &[u32],
        tells_all: bool,
        chokes: bool,
    ) {
        let now = cx.now;
        let mut batch = peer.begin();
        let mut covered = Covered::default();
        let choked_at = self.sending.choked_at();
        let mut has_room = false;
        let outcome = self.sending.buffer.on_ack(through, nacks, |packet| {
            covered.add(&packet);
            // The peer has accepted a packet that was sent after it choked.
            has_room |= choked_at.is_some_and(|at| packet.sent.sent_at > at) && !chokes;
            peer.acked(&mut batch, now, &packet);
        });
        let Some(outcome) = outcome else {
            cx.stats.bad_acks += 1;
            return;
        };
        if self.sending.buffer.has_holes() {
            self.detect_losses(now, peer, &mut batch);
        } else {
            self.timers.stop(Timer::Reorder);
        }
        if tells_all {
            self.detect_lost_tail(now, peer, &mut batch, through);
        }
        peer.finish(now, &batch);
        self.check_failed_paths(now, peer);
        let loss_share = peer.loss_share();
        self.sending.fit_mtu(&mut peer.packet_size, loss_share);
        if outcome.packets == 0 {
            return;
        }
        let held = nacks.first().map_or(0, |first| {
            (through - first).saturating_sub(u32::try_from(nacks.len()).unwrap_or(0))
        });
        let is_ours = self
            .fingerprint(peer)
            .is_some_and(|fingerprint| fingerprint.on_ack(now, &covered, tells_all));
        if is_ours || Fingerprint::on_buffered(held) {
            peer.recognise_eepkit();
        }
        self.sending.attempts = 0;
        self.sending.raise_receiver_limit(outcome.packets);
        if self.sending.is_choked() && outcome.advanced {
            if peer.kind.unchokes_explicitly() && !has_room {
                // The buffer of the peer may be full behind a gap. Missing packets are still
                // accepted, so they are retransmitted one by one.
                self.due.probe = self.sending.buffer.next_lost();
            } else {
                self.on_unchoke(now, peer);
            }
        }
        self.arm_probe(now, peer);
        if self.sending.take_flushed() {
            self.notices.add(Notices::FLUSHED);
        }
        self.check_finished(peer);
        if self.phase == Phase::Open
            && self.handle == Handle::Released
            && self.sending.buffer.is_close_acked()
            && self.receiving.buffer.next() > 1
            && !self.receiving.buffer.is_complete()
        {
            // All our data arrived. The peer may still send; see `insert`.
            self.timers
                .set_earlier(Timer::Linger, now + self.config.linger);
        }
    }

    /// Determines which of the packets reported missing are lost.
    pub(super) fn detect_losses(&mut self, now: Instant, peer: &mut Peer, batch: &mut AckBatch) {
        let mut next = None;
        for index in 0..self.sending.buffer.hole_count() {
            let Some(seq) = self.sending.buffer.hole(index) else {
                break;
            };
            let sent = match self.sending.buffer.segment(seq) {
                Some(segment) if segment.state == State::InFlight => segment.sent,
                _ => None,
            };
            let Some(sent) = sent else { continue };
            match peer.classify(now, &sent) {
                Verdict::Lost => {
                    if self.sending.buffer.mark_lost(seq) {
                        peer.lost(batch, &sent);
                    }
                }
                Verdict::Wait(at) => next = Some(next.map_or(at, |next: Instant| next.min(at))),
                Verdict::Unknown => {}
            }
        }
        match next {
            Some(at) => self.timers.set(Timer::Reorder, at),
            None => self.timers.stop(Timer::Reorder),
        }
    }

    /// Declares packets lost beyond the highest one that arrived. No acknowledgement can report
    /// them missing. They are lost if they were sent long before a packet that has just arrived,
    /// such as a probe.
    fn detect_lost_tail(
        &mut self,
        now: Instant,
        peer: &mut Peer,
        batch: &mut AckBatch,
        through: u32,
    ) {
        let end = self.sending.buffer.oldest() + self.sending.buffer.span();
        for seq in through.saturating_add(1)..end {
            let sent = match self.sending.buffer.segment(seq) {
                Some(segment) if segment.state == State::InFlight => segment.sent,
                _ => None,
            };
            let Some(sent) = sent else { continue };
            if !peer.proves_lost(now, &sent) {
                // Packets are in the order of sending, so the first one that was sent too recently
                // ends the search. This is nearly always the first packet.
                if peer.keeps_order() || peer.is_newest(&sent) {
                    return;
                }
                continue;
            }
            if self.sending.buffer.mark_lost(seq) {
                peer.lost(batch, &sent);
            }
        }
    }

    /// Handles a retransmission of a packet that was answered before. After several, the answers do
    /// not seem to arrive over this path.
    pub(super) fn on_repeat(&mut self, now: Instant, peer: &mut Peer) {
        peer.silence.on_repeat(now);
        self.receiving.repeats = self.receiving.repeats.saturating_add(1);
        if self.receiving.repeats >= MANY_REPEATS {
            peer.silence.on_unheard(now);
        }
        if self.receiving.repeats >= MANY_REPEATS && peer.report_stall(now) {
            self.receiving.repeats = 0;
            peer.give_up_path(now);
        }
    }

    /// Processes a packet that has a sequence number.
    pub(super) fn insert(
        &mut self,
        cx: &mut Cx<'_>,
        peer: &mut Peer,
        packet: &Packet<'_>,
        bytes: &Bytes,
    ) {
        let flags = packet.flags();
        if self.handle == Handle::Released
            && self.sending.buffer.is_close_acked()
            && !packet.payload().is_empty()
            && packet.seq() >= self.receiving.buffer.next()
        {
            // There is no reader, and no data is left to send. A reset makes the peer stop.
            self.reset(peer, CloseReason::LingerTimeout);
            return;
        }
        self.receiving.grow_for_gap(bytes.len(), &self.config);
        let limit = self.receiving.hard_limit(peer.kind, &self.config).min(
            self.receiving
                .buffer
                .cost()
                .saturating_add(cx.receive_memory),
        );
        let was_readable = self.receiving.buffer.is_readable();
        let data = bytes.slice(packet.payload_start().min(bytes.len())..);
        let inserted =
            self.receiving
                .buffer
                .insert(packet.seq(), data, bytes.len(), flags.is_close(), limit);
        match inserted {
            Inserted::NoRoom => {
                cx.stats.no_room += 1;
                if self.receiving.is_reader_slow() || cx.receive_memory == 0 {
                    self.receiving.window = LocalWindow::Choking;
                } else if self.receiving.stop_choking() {
                    self.report_room(cx.now, peer.rtt.estimate());
                }
                if self.can_ack() {
                    let at = self.receiving.ack.earliest(cx.now, MIN_ANSWER_SPACING);
                    self.schedule_ack(cx.now, at);
                }
                return;
            }
            Inserted::Impossible => {
                cx.stats.malformed += 1;
                return;
            }
            Inserted::Duplicate => {
                cx.stats.duplicates += 1;
                self.on_repeat(cx.now, peer);
            }
            Inserted::InOrder { .. } | Inserted::Early { .. } => {
                self.receiving.repeats = 0;
                if self.receiving.is_unchoking() && !peer.kind.unchokes_explicitly() {
                    self.receiving.window = LocalWindow::Open;
                }
                self.choke_early(cx, peer);
            }
        }
        if !was_readable
            && (self.receiving.buffer.is_readable() || self.receiving.buffer.is_complete())
        {
            self.notices.add(Notices::READABLE);
        }
        let initiator = self.initiator;
        let rtt = peer.rtt.smoothed();
        if let Some(fingerprint) = self.fingerprint(peer)
            && fingerprint.on_packet(cx.now, packet.seq(), rtt, initiator)
        {
            peer.recognise_eepkit();
        }
        self.plan_ack(cx, peer, packet, inserted);
        self.check_finished(peer);
    }

    /// Chokes a peer that recovers badly from dropped packets, while there is still room for the
    /// packets in flight.
    fn choke_early(&mut self, cx: &Cx<'_>, peer: &Peer) {
        if self.receiving.should_choke_early(peer.kind, &self.config) {
            self.receiving.window = LocalWindow::Choking;
            if self.can_ack() {
                self.schedule_ack(cx.now, cx.now);
            }
        }
    }

    fn plan_ack(&mut self, cx: &Cx<'_>, peer: &Peer, packet: &Packet<'_>, inserted: Inserted) {
        let rtt = peer.rtt.estimate();
        let mut pace = peer.kind.ack_pace(rtt);
        if peer.rtt.smoothed().is_none() {
            pace.delay = pace.delay.min(self.config.initial_ack_delay);
        }
        if self.config.profile == Profile::Interactive {
            pace.delay /= 2;
        }
        let arrival = Arrival {
            inserted,
            asked: packet.delay() == Some(0),
            short: packet.payload().len() < ONE_MESSAGE,
            close: packet.flags().is_close(),
            holes: self.receiving.buffer.has_holes(),
        };
        let due = self.receiving.ack.on_packet(cx.now, rtt, &pace, arrival);
        if self.can_ack() {
            // The answer to our SYN is acknowledged at once, because the peer measures its RTT with
            // it.
            let due = if packet.flags().is_syn() { cx.now } else { due };
            self.schedule_ack(cx.now, due);
        }
    }

    fn schedule_ack(&mut self, now: Instant, at: Instant) {
        if at <= now {
            self.due.ack = true;
        } else {
            self.timers.set_earlier(Timer::Ack, at);
        }
    }

    /// The peer and its signing key.
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The last packet that arrived in order.
    pub(crate) fn received_through(&self) -> u32 {
        self.receiving.buffer.acknowledge_in_order().unwrap_or(0)
    }
}

/// Number of consecutive duplicates after which the path counts as failed. Chosen as one more than
/// the number at which i2pd changes its path, because probes are sent in pairs.
const MANY_REPEATS: u8 = 3;
/// Least time between answers to packets without payload that request an acknowledgement. It
/// prevents that two sides answer each other without end.
const MIN_ANSWER_SPACING: std::time::Duration = std::time::Duration::from_millis(50);
