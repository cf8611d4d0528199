//! The state of one path to a peer: RTT, cwnd, pacing and loss detection.
//!
//! A peer usually has one path state. It migrates to another path when its path ends or dies, and
//! keeps what it has measured. With several active paths, each has its own path state: the
//! paths have different bottlenecks, and reordering between two paths is no sign of loss.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config::StreamConfig,
    congestion::{AckSample, Controller, LossEvent, RateSample},
    loss::{LossDetector, Verdict},
    pacing::Pacer,
    path::PathId,
    path_table::{ActivePath, Migration},
    rtt::{GRANULARITY, Rtt},
    sent_packet::{AckedPacket, SentPacket},
};

/// Whether a data packet may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanSend {
    Now,
    /// Not before this instant.
    At(Instant),
    /// Not before a packet is acknowledged or declared lost, because cwnd is used up.
    CwndFull,
}

/// The state of one path to a peer.
#[derive(Debug)]
pub(crate) struct PathState {
    /// The path in use.
    pub(crate) active: ActivePath,
    pub(crate) rtt: Rtt,
    pub(crate) loss: LossDetector,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    in_flight: u32,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// Rate samples of packets sent before `delivered` reaches this count are application-limited.
    app_limited_until: u64,
    last_sent: Option<Instant>,
    /// Packets before this one had another size, so their rate is not comparable.
    resized_at: u64,
    /// Consecutive losses on this path without an acknowledgement of a later packet of the path.
    silent: u32,
    /// Set after a migration to a path of unknown RTT, until the first RTT sample.
    blind: bool,
    /// Set after a migration to a path that failed before, until a packet arrives over it.
    trial: bool,
    batch: AckBatch,
}

/// What one received packet reports about a path, collected before the controller is informed.
#[derive(Debug, Default)]
struct AckBatch {
    acked: u32,
    lost: u32,
    prior_in_flight: u32,
    newest_once: Option<SentPacket>,
    /// The newest acknowledged packet for which it is certain which transmission arrived.
    proof: Option<SentPacket>,
    newest_lost: Option<u64>,
    spurious: u32,
}

impl PathState {
    pub(crate) fn new(now: Instant, config: &StreamConfig) -> Self {
        Self {
            active: ActivePath::default(),
            rtt: Rtt::new(config.initial_rto),
            loss: LossDetector::new(),
            controller: Arc::clone(&config.congestion).build(now, config.cwnd_limits()),
            pacer: Pacer::new(now),
            in_flight: 0,
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            app_limited_until: 0,
            last_sent: None,
            resized_at: 0,
            silent: 0,
            blind: false,
            trial: false,
            batch: AckBatch::default(),
        }
    }

    /// Whether another packet may be sent.
    pub(crate) fn can_send(&self, now: Instant) -> CanSend {
        if self.in_flight >= self.controller.cwnd()
            || (self.trial && self.in_flight >= TRIAL_PACKETS)
        {
            return CanSend::CwndFull;
        }
        self.pacer.wait(now).map_or(CanSend::Now, CanSend::At)
    }

    /// Accounts for a packet that was not in flight.
    pub(crate) fn add(&mut self, now: Instant) {
        self.in_flight += 1;
        self.controller.on_sent(now, self.in_flight);
    }

    /// Restarts the controller after an idle period, if there was one. `dampening` is the factor
    /// applied to the measured values.
    pub(crate) fn resume(&mut self, now: Instant, dampening: f64) {
        if self.in_flight > 0 {
            return;
        }
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

    /// Records a transmission, the `order`th one to the peer.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        order: u64,
        state: u8,
        path: PathId,
    ) -> SentPacket {
        self.pacer.on_sent(now);
        self.last_sent = Some(now);
        SentPacket {
            sent_at: now,
            order,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent,
            path,
            state,
            app_limited: self.app_limited_until > self.delivered,
            asks: false,
            is_long: false,
        }
    }

    pub(crate) fn begin(&mut self) {
        self.batch = AckBatch {
            prior_in_flight: self.in_flight,
            ..AckBatch::default()
        };
    }

    /// Records that a packet arrived. Returns whether its loss or its retransmission was spurious.
    pub(crate) fn acked(&mut self, now: Instant, packet: &AckedPacket, next_order: u64) -> bool {
        if !packet.was_lost {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let sent = packet.sent;
        let smoothed = self.rtt.estimate();
        let batch = &mut self.batch;
        batch.acked += 1;
        self.delivered += 1;
        self.delivered_at = now;
        // If a packet was retransmitted, the acknowledgement may be for the original transmission.
        // The time of the retransmission proves nothing then (RFC 8985, 6.2).
        let min_rtt = self.rtt.min().unwrap_or(smoothed);
        let too_soon = packet.transmissions > 1
            && now.saturating_duration_since(sent.sent_at) < min_rtt * 4 / 5;
        if !too_soon {
            self.loss.on_acked(now, &sent, next_order, smoothed);
            if batch.proof.is_none_or(|proof| sent.order > proof.order) {
                batch.proof = Some(sent);
            }
        }
        // Measurements of a path that is only probed do not apply to the path in use.
        if sent.path == self.active.id() {
            self.silent = 0;
            self.trial = false;
            if packet.transmissions == 1
                && batch
                    .newest_once
                    .is_none_or(|newest| sent.order > newest.order)
            {
                batch.newest_once = Some(sent);
            }
        }
        // The packet was declared lost, but the original transmission arrived: either before the
        // retransmission was sent, or sooner after it than a round trip takes.
        let spurious = packet.was_lost || too_soon;
        if spurious {
            batch.spurious += 1;
        }
        spurious
    }

    /// Decides whether a packet that is reported missing is lost. `acked_end` is one past the order
    /// of the newest transmission that arrived over any path. `alone` states that there is no other
    /// path state.
    pub(crate) fn classify(
        &self,
        now: Instant,
        sent: &SentPacket,
        acked_end: u64,
        alone: bool,
    ) -> Verdict {
        let verdict = self
            .loss
            .classify(now, sent, self.rtt.estimate(), acked_end);
        if alone || verdict != Verdict::Unknown || sent.order >= acked_end {
            return verdict;
        }
        // Other paths work, but nothing has arrived over this one: decide by a timeout.
        let deadline = sent.sent_at + self.loss_timeout();
        if now >= deadline {
            Verdict::Lost
        } else {
            Verdict::Wait(deadline)
        }
    }

    /// The time after which a packet has either been acknowledged or is lost.
    fn loss_timeout(&self) -> Duration {
        self.rtt.probe_timeout(Duration::ZERO) + self.loss.window(self.rtt.estimate())
    }

    /// Whether a packet in the current batch of acknowledgements was sent over the same path and so
    /// much later than `sent` that `sent` should have arrived before it.
    pub(crate) fn proves_lost(&self, sent: &SentPacket) -> bool {
        self.batch.proof.is_some_and(|newest| {
            newest.path == sent.path
                && newest.order > sent.order
                && newest.sent_at.saturating_duration_since(sent.sent_at)
                    >= self.loss.window(self.rtt.estimate())
        })
    }

    pub(crate) fn lost(&mut self, sent: &SentPacket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if sent.path == self.active.id() && !self.loss.knows_later(sent) {
            self.silent += 1;
        }
        self.batch.lost += 1;
        let newest = &mut self.batch.newest_lost;
        *newest = Some(newest.map_or(sent.order, |newest| newest.max(sent.order)));
    }

    /// Reports the collected results to the controller. Returns the RTT if there is a new sample.
    pub(crate) fn finish(&mut self, now: Instant, next_order: u64) -> Option<Duration> {
        if self.batch.acked == 0 && self.batch.lost == 0 {
            return None;
        }
        let batch = std::mem::take(&mut self.batch);
        let rtt = batch
            .newest_once
            .map(|sent| now.saturating_duration_since(sent.sent_at));
        if let Some(rtt) = rtt {
            self.rtt.sample(now, rtt);
            self.blind = false;
        }
        if let Some(sent) = batch.proof {
            self.first_sent = sent.sent_at;
        }
        let smoothed = self.rtt.estimate();
        if batch.spurious > 0 {
            self.loss.on_spurious(smoothed);
            self.controller.on_spurious_loss(now);
        }
        // If the original transmission arrived, the time since the retransmission is too short, and the
        // rate over it too high.
        let comparable = |sent: &SentPacket| sent.order >= self.resized_at;
        let rate = batch.proof.filter(comparable).map(|sent| {
            let acked_over = now.saturating_duration_since(sent.delivered_at);
            let sent_over = sent.sent_at.saturating_duration_since(sent.first_sent_at);
            let interval = acked_over.max(sent_over).max(GRANULARITY);
            let packets = u32::try_from(self.delivered - sent.delivered).unwrap_or(u32::MAX);
            RateSample {
                packets_per_second: f64::from(packets) / interval.as_secs_f64(),
                prior_delivered: sent.delivered,
                app_limited: sent.app_limited,
            }
        });
        if let Some(newest_lost) = batch.newest_lost {
            self.controller.on_loss(&LossEvent {
                now,
                newest_lost,
                next_order,
                in_flight: self.in_flight,
            });
        }
        self.controller.on_ack(&AckSample {
            now,
            acked: batch.acked,
            lost: batch.lost,
            spurious: batch.spurious,
            prior_in_flight: batch.prior_in_flight,
            in_flight: self.in_flight,
            rtt,
            smoothed_rtt: smoothed,
            min_rtt: self.rtt.min().unwrap_or(smoothed),
            delivered: self.delivered,
            delivery_rate: rate,
            newest_order: batch.proof.map_or(0, |sent| sent.order),
            next_order,
            // A writer that keeps up with the path is often slightly late. With three quarters of
            // cwnd in flight, cwnd still counts as the limit. Until the new path has an RTT sample,
            // acknowledgements may come from the old path and do not justify a larger cwnd.
            cwnd_limited: !self.blind
                && (self.app_limited_until <= self.delivered
                    || u64::from(batch.prior_in_flight) * 4 >= u64::from(self.cwnd()) * 3),
        });
        self.set_pace(now);
        rtt
    }

    fn set_pace(&mut self, now: Instant) {
        let rate = self.controller.pacing_rate();
        self.pacer.set_rate(now, rate, self.in_flight);
    }

    /// Handles a timeout: all packets in flight were declared lost.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.controller.on_timeout(now);
        self.set_pace(now);
    }

    /// Handles that `ratio` packets replace one from the `next_order`th transmission on.
    pub(crate) fn on_packet_size(&mut self, now: Instant, ratio: f64, next_order: u64) {
        self.resized_at = next_order;
        self.controller.on_packet_size(ratio);
        self.set_pace(now);
    }

    /// Stops counting `packets` packets as in flight.
    pub(crate) fn forget(&mut self, packets: u32) {
        self.in_flight = self.in_flight.saturating_sub(packets);
    }

    /// Migrates to another path. `alone` states that there is no other path state.
    pub(crate) fn on_migration(&mut self, now: Instant, migration: Migration, alone: bool) {
        self.loss.on_path_change(self.active.id());
        self.silent = 0;
        self.trial = migration.failed && !alone;
        self.blind = migration.rtt.is_none();
        if let Some(rtt) = migration.rtt {
            self.rtt.on_path_change(rtt);
        }
        self.controller.on_path_change(now, migration.rtt);
        self.set_pace(now);
    }

    /// Records that cwnd had room and there was no data to send.
    pub(crate) fn on_app_limited(&mut self) {
        self.app_limited_until = (self.delivered + u64::from(self.in_flight)).max(1);
    }

    /// Whether this path has failed: packets stopped arriving over it, while they arrive over
    /// others.
    pub(crate) const fn is_dead(&self) -> bool {
        self.silent >= DEAD_LOSSES
    }

    /// Whether a probe sent at `sent` over another path was answered, while a probe over this path
    /// was not answered in time.
    pub(crate) fn is_outlived(&self, now: Instant, sent: Instant) -> bool {
        self.active
            .probed()
            .is_some_and(|probed| sent >= probed && now >= probed + self.loss_timeout())
    }

    pub(crate) fn cwnd(&self) -> u32 {
        self.controller.cwnd()
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.controller.pacing_rate()
    }
}

/// Idle time after which the measured values are reduced.
const IDLE_RESTART: Duration = Duration::from_secs(60);
/// Half-life of the measured values while idle: half the lifetime of a tunnel.
const RATE_HALF_LIFE: Duration = Duration::from_secs(300);
/// Number of consecutive losses, with no later packet arriving, after which a path counts as dead.
/// On a busy path with 5 % random loss, this happens by chance once in 8000 packets.
const DEAD_LOSSES: u32 = 3;
/// Limit of packets in flight on a path that failed before.
const TRIAL_PACKETS: u32 = 2;
