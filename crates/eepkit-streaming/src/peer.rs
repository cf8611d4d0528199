//! The state of one remote destination, which all streams to it share.
//!
//! Round-trip time, congestion control, pacing and loss detection belong to the peer, not to the
//! stream. A second stream to a peer therefore starts with the measurements of the first. Only
//! reliability belongs to the stream. Local destinations share nothing.
//!
//! Each active path has a [`PathState`] with its own cwnd. With several active paths, a packet
//! takes the path with the shortest round-trip time whose cwnd has room; see [`Peer::choose`].

use std::time::{Duration, Instant};

use eepkit_wire::Destination;

use crate::{
    config::StreamConfig,
    kind::PeerKind,
    leases::Leases,
    loss::Verdict,
    packet_size::{Fates, PacketSize},
    path::PathId,
    path_state::{CanSend, PathState},
    path_table::{MAX_ACTIVE_PATHS, PathTable},
    rate_limiter::RateLimiter,
    rtt::Rtt,
    sent_packet::{AckedPacket, PerPath, SentPacket},
    silence::Silence,
};

mod migration;

/// One remote destination.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) destination: Destination,
    pub(crate) kind: PeerKind,
    /// The peer has shown behaviour that only Java has.
    java_confirmed: bool,
    /// The round-trip time over all paths.
    pub(crate) rtt: Rtt,
    /// There is at least one.
    states: Vec<PathState>,
    /// The path state of packets that must not be reordered: first packets and acknowledgements.
    lead: usize,
    /// The most path states.
    max_active: usize,
    /// The configuration of new path states.
    config: StreamConfig,
    next_order: u64,
    /// One past the highest order that was acknowledged.
    acked_end: u64,
    paths: PathTable,
    pub(crate) leases: Leases,
    /// When path states without a path last looked for one.
    assigned_at: Instant,
    /// The sending rate that the application allows (`i2p.streaming.maxOutboundSpeed`).
    pub(crate) rate_limiter: RateLimiter,
    last_loss: Option<Instant>,
    /// The fraction of packets that were lost, over the last few hundred.
    loss_share: f64,
    pub(crate) packet_size: PacketSize,
    last_timeout: Option<Instant>,
    last_stall: Option<Instant>,
    /// A stall was reported, and the endpoint has not handled it yet.
    is_stalled: bool,
    /// What suggests that the encryption session with the peer is lost.
    pub(crate) silence: Silence,
    /// The number of streams.
    pub(crate) streams: u32,
    /// When a packet of the peer last arrived, other than a SYN or a ping.
    pub(crate) heard: Option<Instant>,
    /// When a SYN or a ping of the peer last arrived.
    pub(crate) contacted: Option<Instant>,
    /// When the last stream ended.
    pub(crate) idle_since: Instant,
}

/// The result of one received packet, collected before the congestion controllers are informed.
#[derive(Debug, Default)]
pub(crate) struct AckBatch {
    acked: u32,
    lost: u32,
    /// Packets that had been declared lost and arrived.
    spurious: u32,
    /// Packets of more than one tunnel message, and of one.
    long: Fates,
    short: Fates,
}

impl AckBatch {
    const fn fates(&mut self, sent: &SentPacket) -> &mut Fates {
        if sent.is_long {
            &mut self.long
        } else {
            &mut self.short
        }
    }
}

impl Peer {
    /// A new peer. Up to `max_active` paths carry its packets at once. `tunnel_offset` selects the
    /// tunnel of the first path.
    pub(crate) fn new(
        now: Instant,
        destination: Destination,
        config: &StreamConfig,
        max_active: usize,
        tunnel_offset: usize,
    ) -> Self {
        Self {
            destination,
            kind: PeerKind::Unknown,
            java_confirmed: false,
            rtt: Rtt::new(config.initial_rto),
            states: vec![PathState::new(now, config)],
            lead: 0,
            max_active: max_active.clamp(1, MAX_ACTIVE_PATHS),
            config: config.clone(),
            next_order: 0,
            acked_end: 0,
            paths: PathTable::default(),
            leases: Leases::new(tunnel_offset),
            assigned_at: now,
            rate_limiter: RateLimiter::new(now, config.max_outbound_speed),
            last_loss: None,
            loss_share: 0.0,
            packet_size: PacketSize::default(),
            last_timeout: None,
            last_stall: None,
            is_stalled: false,
            silence: Silence::default(),
            streams: 0,
            heard: None,
            contacted: None,
            idle_since: now,
        }
    }

    /// Discards the measurements after a long pause. Kind, paths and leases are kept.
    pub(crate) fn restart(&mut self, now: Instant, config: &StreamConfig, max_active: usize) {
        let fresh = Self::new(now, self.destination.clone(), config, max_active, 0);
        let old = std::mem::replace(self, fresh);
        self.heard = old.heard;
        self.contacted = old.contacted;
        self.silence = old.silence;
        self.kind = old.kind;
        if let (Some(state), Some(lead)) = (self.states.first_mut(), old.states.get(old.lead)) {
            state.active = lead.active;
            state.loss = lead.loss.clone();
            state.loss.on_path_change(state.active.id());
        }
        self.paths = old.paths;
        self.leases = old.leases;
    }

    /// Handles the kind that the peer's SYN suggests.
    pub(crate) fn on_claim(&mut self, kind: PeerKind) {
        // The earlier behaviour of the peer is stronger evidence.
        let known = self.kind == PeerKind::Eepkit && kind == PeerKind::Java;
        if !known && (kind != PeerKind::Unknown || self.kind == PeerKind::Unknown) {
            self.kind = kind;
        }
    }

    /// Handles behaviour that only this library has, of a peer whose SYN suggests Java.
    pub(crate) fn recognise_eepkit(&mut self) {
        if self.kind == PeerKind::Java && !self.java_confirmed {
            self.kind = PeerKind::Eepkit;
        }
    }

    /// Handles behaviour that only Java has.
    pub(crate) fn confirm_java(&mut self) {
        if self.kind == PeerKind::Eepkit {
            self.kind = PeerKind::Java;
        }
        self.java_confirmed = true;
    }

    /// Whether the peer behaved as only Java does.
    pub(crate) const fn is_certainly_java(&self) -> bool {
        self.java_confirmed
    }

    /// Applies a changed configuration of a stream to the peer.
    pub(crate) fn configure(&mut self, config: &StreamConfig) {
        self.rtt.set_initial_rto(config.initial_rto);
        for state in &mut self.states {
            state.rtt.set_initial_rto(config.initial_rto);
        }
        self.rate_limiter.set(config.max_outbound_speed);
    }

    /// Whether there is only one path state, which is the common case.
    fn has_one_state(&self) -> bool {
        self.states.len() == 1
    }

    /// Whether a path state can be used: it has a path, or it is the lead and no state has a path.
    fn is_usable(&self, index: usize) -> bool {
        let has_path = |state: &PathState| !state.active.id().is_any();
        self.states.get(index).is_some_and(has_path)
            || (index == self.lead && !self.states.iter().any(has_path))
    }

    /// Whether another data packet may be sent.
    pub(crate) fn can_send(&self, now: Instant) -> CanSend {
        match self.choose(now) {
            Err(wait) => wait,
            Ok(_) => self
                .rate_limiter
                .wait(now)
                .map_or(CanSend::Now, CanSend::At),
        }
    }

    /// Whether cwnd may be used up by packets of streams that time out: those of streams that the
    /// peer has forgotten, for example because its program was restarted, are never acknowledged.
    pub(crate) fn has_timed_out(&self, now: Instant) -> bool {
        self.last_timeout
            .is_some_and(|at| now.saturating_duration_since(at) < LOSS_MEMORY)
    }

    /// The path state of the next data packet: the one with the shortest round-trip time among
    /// those whose cwnd has room. Bulk data fills all paths in this way. Small amounts of data take
    /// the shortest path.
    ///
    /// If a path is much longer than the others, too many packets would overtake the packets on it.
    /// Such a path carries one packet at a time, which keeps its round-trip time up to date.
    fn choose(&self, now: Instant) -> Result<usize, CanSend> {
        if self.has_one_state() || self.rtt.smoothed().is_none() {
            return match self.states.get(self.lead).map(|state| state.can_send(now)) {
                Some(CanSend::Now) => Ok(self.lead),
                Some(wait) => Err(wait),
                None => Err(CanSend::CwndFull),
            };
        }
        let most = f64::from(self.kind.max_overtaken());
        let length = |index: usize| self.states[index].rtt.estimate();
        let mut best = Err(CanSend::CwndFull);
        for index in (0..self.states.len()).filter(|index| self.is_usable(*index)) {
            if self.states[index].in_flight() > 0 && self.overtaken(length(index)) > most {
                continue;
            }
            best = match (self.states[index].can_send(now), best) {
                (CanSend::Now, Ok(other)) if length(other) <= length(index) => Ok(other),
                (CanSend::Now, _) => Ok(index),
                (CanSend::At(at), Err(CanSend::CwndFull)) => Err(CanSend::At(at)),
                (CanSend::At(at), Err(CanSend::At(sooner))) => Err(CanSend::At(at.min(sooner))),
                (_, best) => best,
            };
        }
        best
    }

    /// How many packets overtake one whose round trip takes `length`.
    fn overtaken(&self, length: Duration) -> f64 {
        self.usable()
            .map(|state| {
                let longer = length.saturating_sub(state.rtt.estimate());
                longer.as_secs_f64() * state.pacing_rate().unwrap_or(0.0)
            })
            .sum()
    }

    /// Records the transmission of a packet that was not in flight.
    pub(crate) fn on_sent(&mut self, now: Instant, dampening: f64) -> SentPacket {
        let index = self.choose(now).unwrap_or(self.lead);
        self.states[index].resume(now, dampening);
        self.states[index].add(now);
        let path = self.next_path(now, index);
        self.record(now, index, path)
    }

    /// Records the transmission of the `attempt`th tail loss probe. `before` is its last
    /// transmission, if the packet is in flight already.
    pub(crate) fn on_probe(
        &mut self,
        now: Instant,
        attempt: u32,
        before: Option<&SentPacket>,
    ) -> SentPacket {
        let asked = before.map_or(self.lead, |sent| self.state_of(sent));
        let others = (1..self.states.len())
            .map(|step| (asked + step) % self.states.len())
            .filter(|index| self.is_usable(*index));
        let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
        let count = others.clone().count();
        let other = others.clone().nth(turn.checked_rem(count).unwrap_or(0));
        let index = other.unwrap_or(asked);
        match before {
            Some(_) if index == asked => {}
            Some(_) => {
                self.states[asked].forget(1);
                self.states[index].add(now);
            }
            None => self.states[index].add(now),
        }
        let path = if index == asked {
            self.paths.probe(now, &mut self.states[index].active)
        } else {
            self.states[asked].active.suspect(now);
            self.states[index].active.id()
        };
        self.record(now, index, path)
    }

    /// Records the retransmission of a packet that is in flight. `before` is its last transmission.
    pub(crate) fn on_resent(&mut self, now: Instant, before: Option<&SentPacket>) -> SentPacket {
        let index = before.map_or(self.lead, |sent| self.state_of(sent));
        let path = self.states[index].active.id();
        self.record(now, index, path)
    }

    fn record(&mut self, now: Instant, index: usize, path: PathId) -> SentPacket {
        let order = self.next_order;
        self.next_order += 1;
        let state = u8::try_from(index).unwrap_or(0);
        self.states[index].record(now, order, state, path)
    }

    /// The path state that counts a packet.
    fn state_of(&self, sent: &SentPacket) -> usize {
        usize::from(sent.state).min(self.states.len() - 1)
    }

    /// Starts to collect the result of a received packet.
    pub(crate) fn begin(&mut self) -> AckBatch {
        for state in &mut self.states {
            state.begin();
        }
        AckBatch::default()
    }

    /// Handles the acknowledgement of a packet.
    pub(crate) fn acked(&mut self, batch: &mut AckBatch, now: Instant, packet: &AckedPacket) {
        let sent = packet.sent;
        let index = self.state_of(&sent);
        self.acked_end = self.acked_end.max(sent.order + 1);
        let once = packet.transmissions == 1;
        let sample = once.then(|| now.saturating_duration_since(sent.sent_at));
        let state = &mut self.states[index];
        let migration = self
            .paths
            .on_ack(now, &mut state.active, sent.path, sent.sent_at, sample);
        self.on_migration(now, index, migration);
        let state = &mut self.states[index];
        let spurious = state.acked(now, packet, self.next_order);
        batch.acked += 1;
        batch.spurious += u32::from(spurious);
        batch.fates(&sent).acked(spurious);
        if !self.has_one_state() {
            self.check_probed(now, index, sent.sent_at);
        }
    }

    /// Decides whether a packet that the peer reports missing is lost.
    pub(crate) fn classify(&self, now: Instant, sent: &SentPacket) -> Verdict {
        let state = &self.states[self.state_of(sent)];
        state.classify(now, sent, self.acked_end, self.has_one_state())
    }

    /// Whether a packet acknowledged in this batch was sent so much later than `sent` that `sent`
    /// should have arrived before it.
    pub(crate) fn proves_lost(&self, now: Instant, sent: &SentPacket) -> bool {
        let state = &self.states[self.state_of(sent)];
        state.proves_lost(sent)
            || (!self.has_one_state()
                && state.classify(now, sent, self.acked_end, false) == Verdict::Lost)
    }

    /// Whether no packet sent after `sent` has been acknowledged.
    pub(crate) const fn is_newest(&self, sent: &SentPacket) -> bool {
        sent.order >= self.acked_end
    }

    /// Whether packets are expected to arrive in the order of sending.
    pub(crate) fn keeps_order(&self) -> bool {
        self.has_one_state()
    }

    /// Declares a packet in flight lost.
    pub(crate) fn lost(&mut self, batch: &mut AckBatch, sent: &SentPacket) {
        let index = self.state_of(sent);
        self.states[index].lost(sent);
        batch.lost += 1;
        batch.fates(sent).lost();
    }

    /// Informs the congestion controllers of a received packet.
    pub(crate) fn finish(&mut self, now: Instant, batch: &AckBatch) {
        let fate_known = f64::from(batch.lost + batch.acked);
        let lost = f64::from(batch.lost) - f64::from(batch.spurious);
        self.loss_share += (lost - self.loss_share * fate_known) / LOSS_SPAN;
        self.loss_share = self.loss_share.clamp(0.0, 1.0);
        if batch.lost > 0 {
            self.last_loss = Some(now);
        }
        for index in 0..self.states.len() {
            let state = &mut self.states[index];
            if let Some(rtt) = state.finish(now, self.next_order) {
                self.rtt.sample(now, rtt);
            }
            if state.is_dead() && !self.has_one_state() {
                self.abandon(now, index);
            }
        }
        let rtt = self.rtt.estimate();
        let change = self.packet_size.on_fates(now, rtt, batch.long, batch.short);
        if let Some(change) = change {
            for state in &mut self.states {
                state.on_packet_size(now, change.ratio(), self.next_order);
            }
        }
    }

    /// Handles a timeout of a stream: all its packets in flight are declared lost.
    pub(crate) fn on_timeout(&mut self, now: Instant, packets: &PerPath) {
        self.last_loss = Some(now);
        // All streams to the peer time out at about the same time. This is one congestion event.
        let recent = self
            .last_timeout
            .is_some_and(|last| now.saturating_duration_since(last) < self.rtt.rto());
        self.on_abandoned(packets);
        if recent {
            return;
        }
        self.last_timeout = Some(now);
        let only = self.has_one_state();
        for (state, packets) in self.states.iter_mut().zip(packets) {
            if only || *packets > 0 {
                state.on_timeout(now);
            }
        }
    }

    /// Handles the end of a stream with these packets in flight.
    pub(crate) fn on_abandoned(&mut self, packets: &PerPath) {
        for (state, packets) in self.states.iter_mut().zip(packets) {
            state.forget(*packets);
        }
    }

    /// Records that cwnd had room and there was no data to send.
    pub(crate) fn on_app_limited(&mut self) {
        for state in &mut self.states {
            state.on_app_limited();
        }
    }

    /// Whether a packet was lost in the last minute.
    pub(crate) fn is_lossy(&self, now: Instant) -> bool {
        self.last_loss
            .is_some_and(|lost| now.saturating_duration_since(lost) < LOSS_MEMORY)
    }

    /// The fraction of packets that were lost, over the last few hundred.
    pub(crate) const fn loss_share(&self) -> f64 {
        self.loss_share
    }

    /// Reports that the peer seems unreachable. Returns `false` if there was a recent report.
    pub(crate) fn report_stall(&mut self, now: Instant) -> bool {
        let recent = self
            .last_stall
            .is_some_and(|last| now.saturating_duration_since(last) < STALL_SPACING);
        if !recent {
            self.last_stall = Some(now);
            self.is_stalled = true;
        }
        !recent
    }

    /// Whether a stall was reported since the last call.
    pub(crate) fn take_stall(&mut self) -> bool {
        std::mem::take(&mut self.is_stalled)
    }

    pub(crate) fn cwnd(&self) -> u32 {
        self.usable().map(PathState::cwnd).sum()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.states.iter().map(PathState::in_flight).sum()
    }

    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.usable()
            .filter_map(PathState::pacing_rate)
            .reduce(|sum, rate| sum + rate)
    }

    fn usable(&self) -> impl Iterator<Item = &PathState> {
        let states = self.states.iter().enumerate();
        let usable = states.filter(|(index, _)| self.is_usable(*index));
        usable.map(|(_, state)| state)
    }
}

/// Packets over which the fraction of lost packets is averaged.
const LOSS_SPAN: f64 = 256.0;
/// How long after a loss the number of packets in flight is limited more strictly.
const LOSS_MEMORY: Duration = Duration::from_secs(60);
/// The least time between two reports. Chosen because a look-up takes seconds.
const STALL_SPACING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
