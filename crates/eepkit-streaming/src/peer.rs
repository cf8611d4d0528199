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
    endpoint::{Meeting, Way},
    kind::PeerKind,
    lane::Lane,
    loss::{Stamp, Verdict},
    pacing::Cap,
    rtt::Rtt,
    send_buffer::AckedPacket,
    ways::{MAX_LANES, Switched, Taken, Ways},
};

/// The path to one remote destination.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) destination: Destination,
    pub(crate) kind: PeerKind,
    /// It showed that it is Java indeed.
    is_java: bool,
    /// Over all lanes.
    pub(crate) rtt: Rtt,
    /// At least one.
    lanes: Vec<Lane>,
    /// The lane of what must not overtake anything: first packets and acknowledgements.
    lead: usize,
    /// How many lanes there may be.
    max_lanes: usize,
    /// What further lanes are made with.
    config: StreamConfig,
    next_order: u64,
    /// One past the position of the last transmission that arrived.
    acked_end: u64,
    ways: Ways,
    /// When lanes were last dealt ways.
    dealt: Instant,
    /// What the application lets be sent (`i2p.streaming.maxOutboundSpeed`).
    pub(crate) cap: Cap,
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
    pub(crate) meeting: Meeting,
    /// When the last stream ended.
    pub(crate) idle_since: Instant,
    ready: Ready,
    /// Listed among the peers with something to send.
    pub(crate) listed: bool,
    /// The entry for this peer in the endpoint's timers, if there is one.
    pub(crate) wake: Option<Instant>,
}

/// Packets of a stream, by the lane that they are counted in.
pub(crate) type PerLane = [u32; MAX_LANES];

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

/// Whether a packet may be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not before this instant.
    At(Instant),
    /// Not before something is acknowledged or lost.
    Full,
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
        max_lanes: usize,
    ) -> Self {
        Self {
            destination,
            kind: PeerKind::Unknown,
            is_java: false,
            rtt: Rtt::new(config.initial_rto),
            lanes: vec![Lane::new(now, config)],
            lead: 0,
            max_lanes: max_lanes.clamp(1, MAX_LANES),
            config: config.clone(),
            next_order: 0,
            acked_end: 0,
            ways: Ways::default(),
            dealt: now,
            cap: Cap::new(now, config.max_outbound_speed),
            last_loss: None,
            loss_share: 0.0,
            last_timeout: None,
            last_stall: None,
            streams: 0,
            heard: None,
            meeting: Meeting::default(),
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
        if let (Some(lane), Some(lead)) = (self.lanes.first_mut(), old.lanes.get(old.lead)) {
            lane.cursor = lead.cursor;
            lane.loss = lead.loss.clone();
            lane.loss.on_path_change(lane.cursor.active());
        }
        self.ways = old.ways;
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
        if self.kind == PeerKind::Java && !self.is_java {
            self.kind = PeerKind::Eepkit;
        }
    }

    /// The peer did what only Java does.
    pub(crate) fn is_java(&mut self) {
        if self.kind == PeerKind::Eepkit {
            self.kind = PeerKind::Java;
        }
        self.is_java = true;
    }

    /// Takes the settings of a stream that were changed.
    pub(crate) fn configure(&mut self, config: &StreamConfig) {
        self.rtt.set_initial_rto(config.initial_rto);
        for lane in &mut self.lanes {
            lane.rtt.set_initial_rto(config.initial_rto);
        }
        self.cap.set(config.max_outbound_speed);
    }

    /// Whether there is only one lane, as there ordinarily is.
    fn alone(&self) -> bool {
        self.lanes.len() == 1
    }

    /// Whether a lane may be used: it has a way, or none has one.
    fn is_usable(&self, index: usize) -> bool {
        let has_way = |lane: &Lane| lane.cursor.active() != 0;
        self.lanes.get(index).is_some_and(has_way)
            || (index == self.lead && !self.lanes.iter().any(has_way))
    }

    pub(crate) fn gate(&self, now: Instant) -> Gate {
        match self.choose(now) {
            Err(gate) => gate,
            Ok(_) => self.cap.wait(now).map_or(Gate::Open, Gate::At),
        }
    }

    /// The lane of the next packet of data: of those that have room now, the one with the shortest round
    /// trip. All are filled in the end, each at the rate that it bears, and what is little goes the
    /// shortest way.
    ///
    /// A lane so much longer than the others that too many packets would overtake those on it carries one
    /// at a time, by which it stays known.
    fn choose(&self, now: Instant) -> Result<usize, Gate> {
        if self.alone() || self.rtt.smoothed().is_none() {
            return match self.lanes.get(self.lead).map(|lane| lane.gate(now)) {
                Some(Gate::Open) => Ok(self.lead),
                Some(gate) => Err(gate),
                None => Err(Gate::Full),
            };
        }
        let most = f64::from(self.kind.max_overtaken());
        let length = |index: usize| self.lanes[index].rtt.estimate();
        let mut best = Err(Gate::Full);
        for index in (0..self.lanes.len()).filter(|index| self.is_usable(*index)) {
            if self.lanes[index].in_flight() > 0 && self.overtaken(length(index)) > most {
                continue;
            }
            best = match (self.lanes[index].gate(now), best) {
                (Gate::Open, Ok(other)) if length(other) <= length(index) => Ok(other),
                (Gate::Open, _) => Ok(index),
                (Gate::At(at), Err(Gate::Full)) => Err(Gate::At(at)),
                (Gate::At(at), Err(Gate::At(sooner))) => Err(Gate::At(at.min(sooner))),
                (_, best) => best,
            };
        }
        best
    }

    /// How many packets overtake one whose round trip takes `length`.
    fn overtaken(&self, length: Duration) -> f64 {
        self.in_use()
            .map(|lane| {
                let longer = length.saturating_sub(lane.rtt.estimate());
                longer.as_secs_f64() * lane.pacing_rate().unwrap_or(0.0)
            })
            .sum()
    }

    /// Accounts for a transmission of a packet that was not in flight.
    pub(crate) fn on_sent(&mut self, now: Instant, dampening: f64) -> Stamp {
        let index = self.choose(now).unwrap_or(self.lead);
        self.lanes[index].resume(now, dampening);
        self.lanes[index].add(now);
        let taken = self.taken(index);
        let switched = self.ways.renew(now, &mut self.lanes[index].cursor, &taken);
        self.on_switch(now, index, switched);
        let path = self.ways.next(now, &mut self.lanes[index].cursor, &taken);
        if self.max_lanes > 1 && now.saturating_duration_since(self.dealt) >= DEAL_SPACING {
            self.deal(now);
        }
        self.stamp(now, index, path)
    }

    /// Accounts for a tail probe, the `attempt`th, of a packet that may be in flight already since
    /// `before`.
    pub(crate) fn on_probe(&mut self, now: Instant, attempt: u32, before: Option<&Stamp>) -> Stamp {
        let asked = before.map_or(self.lead, |stamp| self.lane_of(stamp));
        let others = (1..self.lanes.len())
            .map(|step| (asked + step) % self.lanes.len())
            .filter(|index| self.is_usable(*index));
        let turn = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
        let count = others.clone().count();
        let other = others.clone().nth(turn.checked_rem(count).unwrap_or(0));
        let index = other.unwrap_or(asked);
        match before {
            Some(_) if index == asked => {}
            Some(_) => {
                self.lanes[asked].forget(1);
                self.lanes[index].add(now);
            }
            None => self.lanes[index].add(now),
        }
        let path = if index == asked {
            self.ways.probe(now, &mut self.lanes[index].cursor, attempt)
        } else {
            self.lanes[asked].cursor.suspect(now);
            self.lanes[index].cursor.active()
        };
        self.stamp(now, index, path)
    }

    /// Accounts for a transmission of a packet that is in flight already since `before`.
    pub(crate) fn on_resent(&mut self, now: Instant, before: Option<&Stamp>) -> Stamp {
        let index = before.map_or(self.lead, |stamp| self.lane_of(stamp));
        let path = self.lanes[index].cursor.active();
        self.stamp(now, index, path)
    }

    fn stamp(&mut self, now: Instant, index: usize, path: u64) -> Stamp {
        let order = self.next_order;
        self.next_order += 1;
        let lane = u8::try_from(index).unwrap_or(0);
        self.lanes[index].stamp(now, order, lane, path)
    }

    /// The lane in which a packet is counted.
    fn lane_of(&self, stamp: &Stamp) -> usize {
        usize::from(stamp.lane).min(self.lanes.len() - 1)
    }

    pub(crate) fn begin(&mut self) -> AckBatch {
        for lane in &mut self.lanes {
            lane.begin();
        }
        AckBatch::default()
    }

    pub(crate) fn acked(&mut self, batch: &mut AckBatch, now: Instant, packet: &AckedPacket) {
        let stamp = packet.stamp;
        let index = self.lane_of(&stamp);
        self.acked_end = self.acked_end.max(stamp.order + 1);
        let once = packet.transmissions == 1;
        let sample = once.then(|| now.saturating_duration_since(stamp.sent));
        let lane = &mut self.lanes[index];
        let switched = self
            .ways
            .on_ack(now, &mut lane.cursor, stamp.path, stamp.sent, sample);
        self.on_switch(now, index, switched);
        let lane = &mut self.lanes[index];
        lane.acked(now, packet, self.next_order);
        batch.acked += 1;
        batch.newest = batch.newest.max(Some(stamp.order));
        if once
            && stamp.path == lane.cursor.active()
            && batch
                .newest_once
                .is_none_or(|(order, _)| stamp.order > order)
        {
            batch.newest_once = Some((stamp.order, stamp.sent));
        }
        if !self.alone() {
            self.check_probed(now, index, stamp.sent);
        }
    }

    /// What became of a packet that is reported missing.
    pub(crate) fn judge(&self, now: Instant, stamp: &Stamp) -> Verdict {
        let lane = &self.lanes[self.lane_of(stamp)];
        lane.judge(now, stamp, self.acked_end, self.alone())
    }

    /// Whether what was acknowledged in this batch was sent so much later than `stamp` that this one
    /// should have arrived before it.
    pub(crate) fn proves_lost(&self, now: Instant, stamp: &Stamp) -> bool {
        let lane = &self.lanes[self.lane_of(stamp)];
        lane.proves_lost(stamp)
            || (!self.alone() && lane.judge(now, stamp, self.acked_end, false) == Verdict::Lost)
    }

    /// Whether nothing sent after `stamp` has arrived.
    pub(crate) const fn is_newest(&self, stamp: &Stamp) -> bool {
        stamp.order >= self.acked_end
    }

    /// Whether packets that left in order tell of each other's fate.
    pub(crate) fn keeps_order(&self) -> bool {
        self.alone()
    }

    pub(crate) fn lost(&mut self, batch: &mut AckBatch, stamp: &Stamp) {
        let index = self.lane_of(stamp);
        self.lanes[index].lost(stamp);
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
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if let Some(rtt) = lane.finish(now, self.next_order) {
                self.rtt.sample(now, rtt);
            }
            if lane.is_dead() && !self.alone() {
                self.abandon(now, index);
            }
        }
    }

    /// Everything a stream had in flight was given up for lost.
    pub(crate) fn on_timeout(&mut self, now: Instant, packets: &PerLane) {
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
        for (lane, packets) in self.lanes.iter_mut().zip(packets) {
            if alone || *packets > 0 {
                lane.on_timeout(now);
            }
        }
    }

    /// A stream ended with these packets in flight.
    pub(crate) fn on_abandoned(&mut self, packets: &PerLane) {
        for (lane, packets) in self.lanes.iter_mut().zip(packets) {
            lane.forget(*packets);
        }
    }

    /// There was room to send and nothing to send.
    pub(crate) fn on_app_limited(&mut self) {
        for lane in &mut self.lanes {
            lane.on_app_limited();
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
    pub(crate) fn set_ways(&mut self, now: Instant, ways: &[Way]) {
        self.ways.set(ways);
        for index in 0..self.lanes.len() {
            let taken = self.taken(index);
            let switched = self.ways.follow(now, &mut self.lanes[index].cursor, &taken);
            self.on_switch(now, index, switched);
        }
        self.deal(now);
    }

    /// What the lanes but `except`, which may not exist yet, use.
    fn taken(&self, except: usize) -> Taken {
        if self.alone() && except == 0 {
            return Taken::default();
        }
        let others = self.lanes.iter().enumerate();
        let others = others.filter(|(index, _)| *index != except);
        self.ways.taken(others.map(|(_, lane)| &lane.cursor))
    }

    /// Gives a way to lanes that have none, and adds lanes while there are ways that share no tunnel
    /// with those in use.
    fn deal(&mut self, now: Instant) {
        if self.max_lanes == 1 {
            return;
        }
        self.dealt = now;
        for index in 0..self.max_lanes {
            let taken = self.taken(index);
            if let Some(lane) = self.lanes.get_mut(index) {
                if lane.cursor.active() == 0 {
                    let switched = self.ways.begin(now, &mut lane.cursor, &taken);
                    self.on_switch(now, index, switched);
                }
                continue;
            }
            let mut lane = Lane::new(now, &self.config);
            let Some(switched) = self.ways.begin(now, &mut lane.cursor, &taken) else {
                return;
            };
            // A guess, until there is a sample.
            lane.rtt = self.rtt.clone();
            self.lanes.push(lane);
            self.on_switch(now, index, Some(switched));
        }
        self.lead_on();
    }

    /// Something that left over the lane `index` at `sent` has arrived: lanes that probes asked about
    /// meanwhile in vain are dead.
    fn check_probed(&mut self, now: Instant, index: usize, sent: Instant) {
        for other in 0..self.lanes.len() {
            if other != index && self.lanes[other].is_outlived(now, sent) {
                self.abandon(now, other);
            }
        }
    }

    /// The way of a lane is dead: it takes one that is free, or waits for one.
    fn abandon(&mut self, now: Instant, index: usize) {
        let taken = self.taken(index);
        let lane = &mut self.lanes[index];
        let switched = self.ways.abandon(now, &mut lane.cursor, &taken);
        if lane.cursor.active() == 0 {
            lane.on_timeout(now);
        }
        self.on_switch(now, index, switched);
        self.lead_on();
    }

    /// Puts another lane in the lead if the one that was cannot be used.
    fn lead_on(&mut self) {
        if !self.is_usable(self.lead)
            && let Some(index) = (0..self.lanes.len()).find(|index| self.is_usable(*index))
        {
            self.lead = index;
        }
    }

    /// The way of our acknowledgements seems dead; the next one is taken if there is another.
    pub(crate) fn give_way_up(&mut self, now: Instant) {
        let count = self.lanes.len();
        let others = (1..count).map(|step| (self.lead + step) % count);
        if let Some(next) = others.clone().find(|index| self.is_usable(*index)) {
            self.lead = next;
            return;
        }
        let taken = self.taken(self.lead);
        let cursor = &mut self.lanes[self.lead].cursor;
        let switched = self.ways.give_up(now, cursor, &taken);
        self.on_switch(now, self.lead, switched);
    }

    fn on_switch(&mut self, now: Instant, index: usize, switched: Option<Switched>) {
        let Some(switched) = switched else { return };
        let alone = self.alone();
        if let Some(rtt) = switched.rtt.filter(|_| alone) {
            self.rtt.on_path_change(rtt);
        }
        self.lanes[index].on_switch(now, switched, alone);
    }

    /// How often a way was left because it was dead, and which one it was the last time.
    pub(crate) const fn failures(&self) -> (u32, u64) {
        (self.ways.failures, self.ways.dead)
    }

    /// The way of what is not data.
    pub(crate) fn path(&self) -> u64 {
        self.lanes[self.lead].cursor.active()
    }

    pub(crate) fn window(&self) -> u32 {
        self.in_use().map(Lane::window).sum()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.lanes.iter().map(Lane::in_flight).sum()
    }

    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.in_use()
            .filter_map(Lane::pacing_rate)
            .reduce(|sum, rate| sum + rate)
    }

    fn in_use(&self) -> impl Iterator<Item = &Lane> {
        let usable = self.lanes.iter().enumerate();
        let usable = usable.filter(|(index, _)| self.is_usable(*index));
        usable.map(|(_, lane)| lane)
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
