//! What is known of the path to one remote destination, shared by all streams to it.
//!
//! Round-trip time, congestion window, pacing and loss detection belong to the path, not to the
//! stream: the second stream to a peer starts with what the first one learned. Streams own
//! reliability only. Nothing is shared between local destinations.
//!
//! Where several ways are used at once, each is a [`Lane`] with a window of its own. A packet takes the
//! shortest that has room; see [`Peer::choose`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use eepkit_wire::Destination;

use crate::{
    config::StreamConfig,
    first_contact::FirstContact,
    kind::PeerKind,
    loss::Verdict,
    path::{Path, PathId},
    path_state::{CanSend, PathState},
    path_table::{InUse, MAX_ACTIVE_PATHS, Migration, PathTable},
    rate_limiter::RateLimiter,
    rtt::Rtt,
    sent_packet::{AckedPacket, PerPath, SentPacket},
};

/// The path to one remote destination.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) destination: Destination,
    pub(crate) kind: PeerKind,
    /// It showed that it is Java indeed.
    java_confirmed: bool,
    /// Over all lanes.
    pub(crate) rtt: Rtt,
    /// At least one.
    states: Vec<PathState>,
    /// The lane of what must not overtake anything: first packets and acknowledgements.
    lead: usize,
    /// How many lanes there may be.
    max_active: usize,
    /// What further lanes are made with.
    config: StreamConfig,
    next_order: u64,
    /// One past the position of the last transmission that arrived.
    acked_end: u64,
    paths: PathTable,
    /// When lanes were last dealt ways.
    dealt: Instant,
    /// What the application lets be sent (`i2p.streaming.maxOutboundSpeed`).
    pub(crate) rate_limiter: RateLimiter,
    last_loss: Option<Instant>,
    /// Share of packets that are lost, over the last some hundred.
    loss_share: f64,
    last_timeout: Option<Instant>,
    last_stall: Option<Instant>,
    /// Streams that exist.
    pub(crate) streams: u32,
    /// When something last came from it.
    pub(crate) heard: Option<Instant>,
    /// First contact, while it is under way.
    pub(crate) first_contact: FirstContact,
    /// When the last stream ended.
    pub(crate) idle_since: Instant,
    ready: Ready,
    /// Listed among the peers with something to send.
    pub(crate) listed: bool,
    /// The entry for this peer in the endpoint's timers, if there is one.
    pub(crate) wake: Option<Instant>,
}

/// Slots of streams with something to send.
///
/// They take turns packet by packet, because hops count packets, not bytes. Streams with only a little
/// to send go before the others, so that a conversation beside a transfer is not held up by it; but they
/// cannot keep the others waiting for good.
#[derive(Debug, Default)]
struct Ready {
    bulk: VecDeque<u32>,
    sparse: VecDeque<u32>,
    /// Sparse streams served since one of the others was.
    served: u8,
}

impl Ready {
    fn push(&mut self, slot: u32, sparse: bool) {
        if sparse {
            self.sparse.push_back(slot);
        } else {
            self.bulk.push_back(slot);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        if (self.served < MAX_SPARSE_IN_A_ROW || self.bulk.is_empty())
            && let Some(slot) = self.sparse.pop_front()
        {
            self.served = self.served.saturating_add(1);
            return Some(slot);
        }
        self.served = 0;
        self.bulk.pop_front()
    }
}

/// What one incoming packet tells, gathered before the controllers hear of it.
#[derive(Debug, Default)]
pub(crate) struct AckBatch {
    /// Position of the newest packet, and position and time of the newest that was sent once.
    newest: Option<u64>,
    newest_once: Option<(u64, Instant)>,
    acked: u32,
    lost: u32,
}

impl AckBatch {
    /// When the newest packet left that was sent once, if that is the newest of all.
    pub(crate) fn newest_once(&self) -> Option<Instant> {
        let (order, sent) = self.newest_once?;
        let newest = self.newest.is_none_or(|newest| newest <= order);
        newest.then_some(sent)
    }
}

impl Peer {
    /// A peer of which nothing is known, sent to over up to `max_lanes` ways at once.
    pub(crate) fn new(
        now: Instant,
        destination: Destination,
        config: &StreamConfig,
        max_active: usize,
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
            dealt: now,
            rate_limiter: RateLimiter::new(now, config.max_outbound_speed),
            last_loss: None,
            loss_share: 0.0,
            last_timeout: None,
            last_stall: None,
            streams: 0,
            heard: None,
            first_contact: FirstContact::default(),
            idle_since: now,
            ready: Ready::default(),
            listed: false,
            wake: None,
        }
    }

    /// Takes over from what was known of the peer long ago only what still holds.
    pub(crate) fn inherit(&mut self, old: Self) {
        self.wake = old.wake;
        self.heard = old.heard;
        self.kind = old.kind;
        if let (Some(state), Some(lead)) = (self.states.first_mut(), old.states.get(old.lead)) {
            state.active = lead.active;
            state.loss = lead.loss.clone();
            state.loss.on_path_change(state.active.id());
        }
        self.paths = old.paths;
    }

    /// Takes note of what the peer says it is.
    pub(crate) fn claims(&mut self, kind: PeerKind) {
        // What it did says more.
        let known = self.kind == PeerKind::Eepkit && kind == PeerKind::Java;
        if !known && (kind != PeerKind::Unknown || self.kind == PeerKind::Unknown) {
            self.kind = kind;
        }
    }

    /// The peer did what only our own kind does among those that claim to be Java.
    pub(crate) fn recognise(&mut self) {
        if self.kind == PeerKind::Java && !self.java_confirmed {
            self.kind = PeerKind::Eepkit;
        }
    }

    /// The peer did what only Java does.
    pub(crate) fn confirm_java(&mut self) {
        if self.kind == PeerKind::Eepkit {
            self.kind = PeerKind::Java;
        }
        self.java_confirmed = true;
    }

    /// Takes the settings of a stream that were changed.
    pub(crate) fn configure(&mut self, config: &StreamConfig) {
        self.rtt.set_initial_rto(config.initial_rto);
        for state in &mut self.states {
            state.rtt.set_initial_rto(config.initial_rto);
        }
        self.rate_limiter.set(config.max_outbound_speed);
    }

    /// Whether there is only one lane, as there ordinarily is.
    fn alone(&self) -> bool {
        self.states.len() == 1
    }

    /// Whether a lane may be used: it has a way, or none has one.
    fn is_usable(&self, index: usize) -> bool {
        let has_path = |state: &PathState| !state.active.id().is_any();
        self.states.get(index).is_some_and(has_path)
            || (index == self.lead && !self.states.iter().any(has_path))
    }

    pub(crate) fn can_send(&self, now: Instant) -> CanSend {
        match self.choose(now) {
            Err(gate) => gate,
            Ok(_) => self
                .rate_limiter
                .wait(now)
                .map_or(CanSend::Now, CanSend::At),
        }
    }

    /// The lane of the next packet of data: of those that have room now, the one with the shortest round
    /// trip. All are filled in the end, each at the rate that it bears, and what is little goes the
    /// shortest way.
    ///
    /// A lane so much longer than the others that too many packets would overtake those on it carries one
    /// at a time, by which it stays known.
    fn choose(&self, now: Instant) -> Result<usize, CanSend> {
        if self.alone() || self.rtt.smoothed().is_none() {
            return match self.states.get(self.lead).map(|state| state.can_send(now)) {
                Some(CanSend::Now) => Ok(self.lead),
                Some(gate) => Err(gate),
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

    /// Accounts for a transmission of a packet that was not in flight.
    pub(crate) fn on_sent(&mut self, now: Instant, dampening: f64) -> SentPacket {
        let index = self.choose(now).unwrap_or(self.lead);
        self.states[index].resume(now, dampening);
        self.states[index].add(now);
        let in_use = self.in_use_except(index);
        let migration = self
            .paths
            .renew(now, &mut self.states[index].active, &in_use);
        self.on_migration(now, index, migration);
        let path = self
            .paths
            .next(now, &mut self.states[index].active, &in_use);
        if self.max_active > 1 && now.saturating_duration_since(self.dealt) >= DEAL_SPACING {
            self.deal(now);
        }
        self.record(now, index, path)
    }

    /// Accounts for a tail probe, the `attempt`th, of a packet that may be in flight already since
    /// `before`.
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
            self.paths
                .probe(now, &mut self.states[index].active, attempt)
        } else {
            self.states[asked].active.suspect(now);
            self.states[index].active.id()
        };
        self.record(now, index, path)
    }

    /// Accounts for a transmission of a packet that is in flight already since `before`.
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

    /// The lane in which a packet is counted.
    fn state_of(&self, sent: &SentPacket) -> usize {
        usize::from(sent.state).min(self.states.len() - 1)
    }

    pub(crate) fn begin(&mut self) -> AckBatch {
        for state in &mut self.states {
            state.begin();
        }
        AckBatch::default()
    }

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
        state.acked(now, packet, self.next_order);
        batch.acked += 1;
        batch.newest = batch.newest.max(Some(sent.order));
        if once
            && sent.path == state.active.id()
            && batch
                .newest_once
                .is_none_or(|(order, _)| sent.order > order)
        {
            batch.newest_once = Some((sent.order, sent.sent_at));
        }
        if !self.alone() {
            self.check_probed(now, index, sent.sent_at);
        }
    }

    /// What became of a packet that is reported missing.
    pub(crate) fn judge(&self, now: Instant, sent: &SentPacket) -> Verdict {
        let state = &self.states[self.state_of(sent)];
        state.judge(now, sent, self.acked_end, self.alone())
    }

    /// Whether what was acknowledged in this batch was sent so much later than `sent` that this one
    /// should have arrived before it.
    pub(crate) fn proves_lost(&self, now: Instant, sent: &SentPacket) -> bool {
        let state = &self.states[self.state_of(sent)];
        state.proves_lost(sent)
            || (!self.alone() && state.judge(now, sent, self.acked_end, false) == Verdict::Lost)
    }

    /// Whether nothing sent after `sent` has arrived.
    pub(crate) const fn is_newest(&self, sent: &SentPacket) -> bool {
        sent.order >= self.acked_end
    }

    /// Whether packets that left in order tell of each other's fate.
    pub(crate) fn keeps_order(&self) -> bool {
        self.alone()
    }

    pub(crate) fn lost(&mut self, batch: &mut AckBatch, sent: &SentPacket) {
        let index = self.state_of(sent);
        self.states[index].lost(sent);
        batch.lost += 1;
    }

    pub(crate) fn finish(&mut self, now: Instant, batch: &AckBatch) {
        let lost = f64::from(batch.lost);
        let fate_known = lost + f64::from(batch.acked);
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
            if state.is_dead() && !self.alone() {
                self.abandon(now, index);
            }
        }
    }

    /// Everything a stream had in flight was given up for lost.
    pub(crate) fn on_timeout(&mut self, now: Instant, packets: &PerPath) {
        self.last_loss = Some(now);
        // All streams of the peer time out together; that is one event of the path.
        let recent = self
            .last_timeout
            .is_some_and(|last| now.saturating_duration_since(last) < self.rtt.rto());
        self.on_abandoned(packets);
        if recent {
            return;
        }
        self.last_timeout = Some(now);
        let alone = self.alone();
        for (state, packets) in self.states.iter_mut().zip(packets) {
            if alone || *packets > 0 {
                state.on_timeout(now);
            }
        }
    }

    /// A stream ended with these packets in flight.
    pub(crate) fn on_abandoned(&mut self, packets: &PerPath) {
        for (state, packets) in self.states.iter_mut().zip(packets) {
            state.forget(*packets);
        }
    }

    /// There was room to send and nothing to send.
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

    /// Share of packets that are lost.
    pub(crate) const fn loss_share(&self) -> f64 {
        self.loss_share
    }

    /// Whether to report, now, that the peer seems to be unreachable; not too often.
    pub(crate) fn report_stall(&mut self, now: Instant) -> bool {
        let recent = self
            .last_stall
            .is_some_and(|last| now.saturating_duration_since(last) < STALL_SPACING);
        if !recent {
            self.last_stall = Some(now);
        }
        !recent
    }

    /// Lists a stream with something to send; `sparse` says that it is little.
    pub(crate) fn push_ready(&mut self, slot: u32, sparse: bool) {
        self.ready.push(slot, sparse);
    }

    /// The stream whose turn it is, which is no longer listed then.
    pub(crate) fn pop_ready(&mut self) -> Option<u32> {
        self.ready.pop()
    }

    /// Whether any stream has something to send.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.bulk.is_empty() || !self.ready.sparse.is_empty()
    }

    /// Forgets a stream.
    pub(crate) fn drop_ready(&mut self, slot: u32) {
        self.ready.bulk.retain(|other| *other != slot);
        self.ready.sparse.retain(|other| *other != slot);
    }

    /// Takes the ways that there are now.
    pub(crate) fn set_paths(&mut self, now: Instant, paths: &[Path]) {
        self.paths.set(paths);
        for index in 0..self.states.len() {
            let in_use = self.in_use_except(index);
            let migration = self
                .paths
                .replace_gone(now, &mut self.states[index].active, &in_use);
            self.on_migration(now, index, migration);
        }
        self.deal(now);
    }

    /// What the lanes but `except`, which may not exist yet, use.
    fn in_use_except(&self, except: usize) -> InUse {
        if self.alone() && except == 0 {
            return InUse::default();
        }
        let others = self.states.iter().enumerate();
        let others = others.filter(|(index, _)| *index != except);
        self.paths.in_use(others.map(|(_, state)| &state.active))
    }

    /// Gives a way to lanes that have none, and adds lanes while there are ways that share no tunnel
    /// with those in use.
    fn deal(&mut self, now: Instant) {
        if self.max_active == 1 {
            return;
        }
        self.dealt = now;
        for index in 0..self.max_active {
            let in_use = self.in_use_except(index);
            if let Some(state) = self.states.get_mut(index) {
                if state.active.id().is_any() {
                    let migration = self.paths.assign(now, &mut state.active, &in_use);
                    self.on_migration(now, index, migration);
                }
                continue;
            }
            let mut state = PathState::new(now, &self.config);
            let Some(migration) = self.paths.assign(now, &mut state.active, &in_use) else {
                return;
            };
            // A guess, until there is a sample.
            state.rtt = self.rtt.clone();
            self.states.push(state);
            self.on_migration(now, index, Some(migration));
        }
        self.lead_on();
    }

    /// Something that left over the lane `index` at `sent` has arrived: lanes that probes asked about
    /// meanwhile in vain are dead.
    fn check_probed(&mut self, now: Instant, index: usize, sent: Instant) {
        for other in 0..self.states.len() {
            if other != index && self.states[other].is_outlived(now, sent) {
                self.abandon(now, other);
            }
        }
    }

    /// The way of a lane is dead: it takes one that is free, or waits for one.
    fn abandon(&mut self, now: Instant, index: usize) {
        let in_use = self.in_use_except(index);
        let state = &mut self.states[index];
        let migration = self.paths.abandon(now, &mut state.active, &in_use);
        if state.active.id().is_any() {
            state.on_timeout(now);
        }
        self.on_migration(now, index, migration);
        self.lead_on();
    }

    /// Puts another lane in the lead if the one that was cannot be used.
    fn lead_on(&mut self) {
        if !self.is_usable(self.lead)
            && let Some(index) = (0..self.states.len()).find(|index| self.is_usable(*index))
        {
            self.lead = index;
        }
    }

    /// The way of our acknowledgements seems dead; the next one is taken if there is another.
    pub(crate) fn give_up_path(&mut self, now: Instant) {
        let count = self.states.len();
        let others = (1..count).map(|step| (self.lead + step) % count);
        if let Some(next) = others.clone().find(|index| self.is_usable(*index)) {
            self.lead = next;
            return;
        }
        let in_use = self.in_use_except(self.lead);
        let active = &mut self.states[self.lead].active;
        let migration = self.paths.give_up(now, active, &in_use);
        self.on_migration(now, self.lead, migration);
    }

    fn on_migration(&mut self, now: Instant, index: usize, migration: Option<Migration>) {
        let Some(migration) = migration else { return };
        let alone = self.alone();
        if let Some(rtt) = migration.rtt.filter(|_| alone) {
            self.rtt.on_path_change(rtt);
        }
        self.states[index].on_migration(now, migration, alone);
    }

    /// How often a way was left because it was dead, and which one it was the last time.
    pub(crate) const fn failures(&self) -> (u32, PathId) {
        (self.paths.failures, self.paths.last_failed)
    }

    /// The way of what is not data.
    pub(crate) fn path(&self) -> PathId {
        self.states[self.lead].active.id()
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
        let usable = self.states.iter().enumerate();
        let usable = usable.filter(|(index, _)| self.is_usable(*index));
        usable.map(|(_, state)| state)
    }
}

/// So many packets of streams with little to send go before one of another stream waits no longer.
/// Chosen so that bulk keeps a quarter at least.
const MAX_SPARSE_IN_A_ROW: u8 = 3;
/// Packets over which the share of lost ones is taken.
const LOSS_SPAN: f64 = 256.0;
/// How often lanes without a way look for one.
const DEAL_SPACING: Duration = Duration::from_secs(1);
/// A peer that lost packets this recently is sent to more carefully.
const LOSS_MEMORY: Duration = Duration::from_secs(60);
/// A lookup takes seconds: asking for a new lease set more often changes nothing.
const STALL_SPACING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
