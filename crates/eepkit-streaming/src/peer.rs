//! What is known of the path to one remote destination, shared by all streams to it.
//!
//! Round-trip time, congestion window, pacing and loss detection belong to the path, not to the
//! stream: the second stream to a peer starts with what the first one learned. Streams own
//! reliability only. Nothing is shared between local destinations.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use eepkit_wire::Destination;

use crate::{
    config::StreamConfig,
    congestion::{AckSample, Controller, LossEvent, RateSample},
    endpoint::Way,
    kind::PeerKind,
    loss::{LossDetector, Stamp, Verdict},
    pacing::Pacer,
    rtt::{GRANULARITY, Rtt},
    send_buffer::AckedPacket,
    ways::{Switched, Ways},
};

/// The path to one remote destination.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) destination: Destination,
    pub(crate) kind: PeerKind,
    /// It showed that it is Java indeed.
    is_java: bool,
    pub(crate) rtt: Rtt,
    loss: LossDetector,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    in_flight: u32,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    next_order: u64,
    /// Samples of packets sent before this many were delivered are limited by the application.
    app_limited_until: u64,
    ways: Ways,
    last_sent: Option<Instant>,
    last_loss: Option<Instant>,
    last_timeout: Option<Instant>,
    last_stall: Option<Instant>,
    /// Streams that exist.
    pub(crate) streams: u32,
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

/// Whether a packet may be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not before this instant.
    At(Instant),
    /// Not before something is acknowledged or lost.
    Full,
}

/// What one incoming packet tells, gathered before the controller hears of it.
#[derive(Debug)]
pub(crate) struct AckBatch {
    acked: u32,
    lost: u32,
    prior_in_flight: u32,
    newest: Option<Stamp>,
    newest_once: Option<Stamp>,
    /// The newest of those of which it is certain which transmission arrived.
    proof: Option<Stamp>,
    newest_lost: Option<u64>,
    spurious: bool,
}

impl AckBatch {
    /// When the newest packet left that was sent once, if that is the newest of all.
    pub(crate) fn newest_once(&self) -> Option<Instant> {
        let once = self.newest_once?;
        let newest = self.newest.is_none_or(|newest| newest.order <= once.order);
        newest.then_some(once.sent)
    }
}

impl Peer {
    pub(crate) fn new(now: Instant, destination: Destination, config: &StreamConfig) -> Self {
        let mut pacer = Pacer::new(now);
        let ceiling = config
            .max_outbound_speed
            .map(|speed| packets_per_second(speed, config.mtu()));
        pacer.set_ceiling(ceiling);
        Self {
            destination,
            kind: PeerKind::Unknown,
            is_java: false,
            rtt: Rtt::new(config.initial_rto),
            loss: LossDetector::new(),
            controller: Arc::clone(&config.congestion).build(now, config.window_limits()),
            pacer,
            in_flight: 0,
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            next_order: 0,
            app_limited_until: 0,
            ways: Ways::default(),
            last_sent: None,
            last_loss: None,
            last_timeout: None,
            last_stall: None,
            streams: 0,
            idle_since: now,
            ready: Ready::default(),
            listed: false,
            wake: None,
        }
    }

    /// Takes over from what was known of the peer long ago only what still holds.
    pub(crate) fn inherit(&mut self, old: Self) {
        self.wake = old.wake;
        self.kind = old.kind;
        self.loss.on_path_change(old.ways.active());
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
        self.pacer.set_ceiling(
            config
                .max_outbound_speed
                .map(|speed| packets_per_second(speed, config.mtu())),
        );
    }

    pub(crate) fn gate(&self, now: Instant) -> Gate {
        if self.in_flight >= self.controller.window() {
            return Gate::Full;
        }
        self.pacer.wait(now).map_or(Gate::Open, Gate::At)
    }

    /// Accounts for a transmission of a packet that was not in flight.
    pub(crate) fn on_sent(&mut self, now: Instant, dampening: f64) -> Stamp {
        if self.in_flight == 0 {
            let idle = self
                .last_sent
                .map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
            if idle > IDLE_RESTART {
                let halvings = idle.as_secs_f64() / RATE_HALF_LIFE.as_secs_f64();
                self.controller
                    .on_idle_restart(now, dampening.clamp(0.0, 1.0) * 0.5_f64.powf(halvings));
            }
            self.first_sent = now;
            self.delivered_at = now;
        }
        self.in_flight += 1;
        self.controller.on_sent(now, self.in_flight);
        let switched = self.ways.renew(now);
        self.on_switch(now, switched);
        let path = self.ways.next(now);
        self.stamp(now, path)
    }

    /// Accounts for a tail probe, the `attempt`th, of a packet that may be `in_flight` already.
    pub(crate) fn on_probe(&mut self, now: Instant, attempt: u32, in_flight: bool) -> Stamp {
        if !in_flight {
            self.in_flight += 1;
            self.controller.on_sent(now, self.in_flight);
        }
        let path = self.ways.probe(now, attempt);
        self.stamp(now, path)
    }

    /// Accounts for a transmission of a packet that is in flight already.
    pub(crate) fn on_resent(&mut self, now: Instant) -> Stamp {
        let path = self.ways.active();
        self.stamp(now, path)
    }

    fn stamp(&mut self, now: Instant, path: u64) -> Stamp {
        self.pacer.on_sent(now);
        self.last_sent = Some(now);
        let order = self.next_order;
        self.next_order += 1;
        Stamp {
            sent: now,
            order,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            path,
            app_limited: self.app_limited_until > self.delivered,
        }
    }

    pub(crate) fn begin(&self) -> AckBatch {
        AckBatch {
            acked: 0,
            lost: 0,
            prior_in_flight: self.in_flight,
            newest: None,
            newest_once: None,
            proof: None,
            newest_lost: None,
            spurious: false,
        }
    }

    pub(crate) fn acked(&mut self, batch: &mut AckBatch, now: Instant, packet: &AckedPacket) {
        if !packet.was_lost {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let stamp = packet.stamp;
        let smoothed = self.rtt.estimate();
        batch.acked += 1;
        self.delivered += 1;
        self.delivered_at = now;
        let sample = (packet.transmissions == 1).then(|| now.saturating_duration_since(stamp.sent));
        let switched = self.ways.on_ack(now, stamp.path, stamp.sent, sample);
        self.on_switch(now, switched);
        // Of a packet sent twice it may be the first that arrived; the second one's time proves nothing
        // then (RFC 8985, 6.2).
        let least = self.rtt.minimum().unwrap_or(smoothed);
        let too_soon =
            packet.transmissions > 1 && now.saturating_duration_since(stamp.sent) < least * 4 / 5;
        if !too_soon {
            self.loss.on_acked(now, &stamp, self.next_order, smoothed);
            if batch.proof.is_none_or(|proof| stamp.order > proof.order) {
                batch.proof = Some(stamp);
            }
        }
        if batch.newest.is_none_or(|newest| stamp.order > newest.order) {
            batch.newest = Some(stamp);
        }
        // What is measured on a way that is only tried says nothing about the one in use.
        if packet.transmissions == 1
            && stamp.path == self.ways.active()
            && batch
                .newest_once
                .is_none_or(|newest| stamp.order > newest.order)
        {
            batch.newest_once = Some(stamp);
        }
        // Taken for lost, and the original arrived: either before it was sent again, or sooner after
        // that than any round trip can be.
        if packet.was_lost || too_soon {
            batch.spurious = true;
        }
    }

    /// What became of a packet that is reported missing.
    pub(crate) fn judge(&self, now: Instant, stamp: &Stamp) -> Verdict {
        self.loss.judge(now, stamp, self.rtt.estimate())
    }

    /// Whether a packet acknowledged in this batch was sent so much later than that of `stamp`, and the
    /// same way, that this one should have arrived before it.
    pub(crate) fn proves_lost(&self, batch: &AckBatch, stamp: &Stamp) -> bool {
        batch.proof.is_some_and(|newest| {
            newest.path == stamp.path
                && newest.order > stamp.order
                && newest.sent.saturating_duration_since(stamp.sent)
                    >= self.loss.window(self.rtt.estimate())
        })
    }

    pub(crate) fn lost(&mut self, batch: &mut AckBatch, stamp: &Stamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        batch.lost += 1;
        batch.newest_lost = Some(
            batch
                .newest_lost
                .map_or(stamp.order, |newest| newest.max(stamp.order)),
        );
    }

    pub(crate) fn finish(&mut self, now: Instant, batch: &AckBatch) {
        if batch.acked == 0 && batch.lost == 0 {
            return;
        }
        let rtt = batch
            .newest_once
            .map(|stamp| now.saturating_duration_since(stamp.sent));
        if let Some(rtt) = rtt {
            self.rtt.sample(now, rtt);
        }
        if let Some(stamp) = batch.newest {
            self.first_sent = stamp.sent;
        }
        let smoothed = self.rtt.estimate();
        if batch.spurious {
            self.loss.on_spurious(smoothed);
            self.controller.on_spurious_loss(now);
        }
        let rate = batch.newest.map(|stamp| {
            let acked_over = now.saturating_duration_since(stamp.delivered_at);
            let sent_over = stamp.sent.saturating_duration_since(stamp.first_sent);
            let interval = acked_over.max(sent_over).max(GRANULARITY);
            let packets = u32::try_from(self.delivered - stamp.delivered).unwrap_or(u32::MAX);
            RateSample {
                packets_per_second: f64::from(packets) / interval.as_secs_f64(),
                prior_delivered: stamp.delivered,
                app_limited: stamp.app_limited,
            }
        });
        if let Some(newest_lost) = batch.newest_lost {
            self.last_loss = Some(now);
            self.controller.on_loss(&LossEvent {
                now,
                newest_lost,
                next_order: self.next_order,
                in_flight: self.in_flight,
            });
        }
        self.controller.on_ack(&AckSample {
            now,
            acked: batch.acked,
            lost: batch.lost,
            prior_in_flight: batch.prior_in_flight,
            in_flight: self.in_flight,
            rtt,
            smoothed_rtt: smoothed,
            min_rtt: self.rtt.minimum().unwrap_or(smoothed),
            delivered: self.delivered,
            rate,
            newest_order: batch.newest.map_or(0, |stamp| stamp.order),
            next_order: self.next_order,
            // A writer that keeps up is often a moment late: that much in flight was limited by the window
            // all the same.
            window_limited: self.app_limited_until <= self.delivered
                || u64::from(batch.prior_in_flight) * 4 >= u64::from(self.window()) * 3,
        });
        self.pacer.set_rate(self.controller.pacing_rate());
    }

    /// Everything a stream had in flight was given up for lost, `packets` of them.
    pub(crate) fn on_timeout(&mut self, now: Instant, packets: u32) {
        self.in_flight = self.in_flight.saturating_sub(packets);
        self.last_loss = Some(now);
        // All streams of the peer time out together; that is one event of the path.
        let recent = self
            .last_timeout
            .is_some_and(|last| now.saturating_duration_since(last) < self.rtt.rto());
        if !recent {
            self.last_timeout = Some(now);
            self.controller.on_timeout(now);
            self.pacer.set_rate(self.controller.pacing_rate());
        }
    }

    /// A stream ended with `packets` in flight.
    pub(crate) fn on_abandoned(&mut self, packets: u32) {
        self.in_flight = self.in_flight.saturating_sub(packets);
    }

    /// There was room to send and nothing to send.
    pub(crate) fn on_app_limited(&mut self) {
        self.app_limited_until = (self.delivered + u64::from(self.in_flight)).max(1);
    }

    /// Whether a packet was lost in the last minute.
    pub(crate) fn is_lossy(&self, now: Instant) -> bool {
        self.last_loss
            .is_some_and(|lost| now.saturating_duration_since(lost) < LOSS_MEMORY)
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
        let switched = self.ways.set(now, ways);
        self.on_switch(now, switched);
    }

    /// The way in use seems dead; the next one is taken if there is another.
    pub(crate) fn give_way_up(&mut self, now: Instant) {
        let switched = self.ways.give_up(now);
        self.on_switch(now, switched);
    }

    fn on_switch(&mut self, now: Instant, switched: Option<Switched>) {
        if let Some(Switched { rtt }) = switched {
            self.loss.on_path_change(self.ways.active());
            if let Some(rtt) = rtt {
                self.rtt.on_path_change(rtt);
            }
            self.controller.on_path_change(now, rtt);
            self.pacer.set_rate(self.controller.pacing_rate());
        }
    }

    /// How often a way was left because it was dead, and which one it was the last time.
    pub(crate) const fn failures(&self) -> (u32, u64) {
        (self.ways.failures, self.ways.dead)
    }

    pub(crate) const fn path(&self) -> u64 {
        self.ways.active()
    }

    pub(crate) fn window(&self) -> u32 {
        self.controller.window()
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.controller.pacing_rate()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "speeds are far below 2^52 bytes per second"
)]
fn packets_per_second(bytes_per_second: u64, mtu: usize) -> f64 {
    bytes_per_second as f64 / mtu.max(1) as f64
}

/// So many packets of streams with little to send go before one of another stream waits no longer.
/// Chosen so that bulk keeps a quarter at least.
const MAX_SPARSE_IN_A_ROW: u8 = 3;
/// After this long without sending, part of what was learned is doubted.
const IDLE_RESTART: Duration = Duration::from_secs(60);
/// What was learned counts half after this long. Half of the life of a tunnel.
const RATE_HALF_LIFE: Duration = Duration::from_secs(300);
/// A peer that lost packets this recently is sent to more carefully.
const LOSS_MEMORY: Duration = Duration::from_secs(60);
/// A lookup takes seconds: asking for a new lease set more often changes nothing.
const STALL_SPACING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
