//! What is known of one way to a peer: round-trip time, window, pace, and what got lost.
//!
//! Ordinarily a peer has one lane, which changes its way when that ends or dies and keeps what it
//! learned. Where several ways are used at once each has a lane of its own: they have different
//! bottlenecks, and a packet that overtook one on another way says nothing about it.

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

/// Whether a packet of data may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanSend {
    Now,
    /// Not before this instant.
    At(Instant),
    /// Not before a packet is acknowledged or declared lost: as many as cwnd are in flight.
    CwndFull,
}

/// One way to a peer and the packets on it.
#[derive(Debug)]
pub(crate) struct PathState {
    /// The way.
    pub(crate) active: ActivePath,
    pub(crate) rtt: Rtt,
    pub(crate) loss: LossDetector,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    in_flight: u32,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// Samples of packets sent before this many were delivered are limited by the application.
    app_limited_until: u64,
    last_sent: Option<Instant>,
    /// Packets lost since one last arrived, which none that arrived proves lost.
    silent: u32,
    /// It took a way of which no round-trip time is known, and there has been no sample since.
    blind: bool,
    /// Its way failed before, and has not shown yet that it works again.
    trial: bool,
    tally: Tally,
}

/// What one incoming packet tells of a lane, gathered before the controller hears of it.
#[derive(Debug, Default)]
struct Tally {
    acked: u32,
    lost: u32,
    prior_in_flight: u32,
    newest: Option<SentPacket>,
    newest_once: Option<SentPacket>,
    /// The newest of those of which it is certain which transmission arrived.
    proof: Option<SentPacket>,
    newest_lost: Option<u64>,
    spurious: bool,
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
            silent: 0,
            blind: false,
            trial: false,
            tally: Tally::default(),
        }
    }

    /// Whether another packet may leave.
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

    /// Starts over after a pause, if there was one; `dampening` is the share of what was learned that
    /// is still believed.
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

    /// Marks a transmission, the `order`th to the peer.
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
        }
    }

    pub(crate) fn begin(&mut self) {
        self.tally = Tally {
            prior_in_flight: self.in_flight,
            ..Tally::default()
        };
    }

    /// Takes note of a packet that arrived.
    pub(crate) fn acked(&mut self, now: Instant, packet: &AckedPacket, next_order: u64) {
        if !packet.was_lost {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let sent = packet.sent;
        let smoothed = self.rtt.estimate();
        let tally = &mut self.tally;
        tally.acked += 1;
        self.delivered += 1;
        self.delivered_at = now;
        // Of a packet sent twice it may be the first that arrived; the second one's time proves nothing
        // then (RFC 8985, 6.2).
        let least = self.rtt.minimum().unwrap_or(smoothed);
        let too_soon =
            packet.transmissions > 1 && now.saturating_duration_since(sent.sent_at) < least * 4 / 5;
        if !too_soon {
            self.loss.on_acked(now, &sent, next_order, smoothed);
            if tally.proof.is_none_or(|proof| sent.order > proof.order) {
                tally.proof = Some(sent);
            }
        }
        if tally.newest.is_none_or(|newest| sent.order > newest.order) {
            tally.newest = Some(sent);
        }
        // What is measured on a way that is only tried says nothing about the one in use.
        if sent.path == self.active.id() {
            self.silent = 0;
            self.trial = false;
            if packet.transmissions == 1
                && tally
                    .newest_once
                    .is_none_or(|newest| sent.order > newest.order)
            {
                tally.newest_once = Some(sent);
            }
        }
        // Taken for lost, and the original arrived: either before it was sent again, or sooner after
        // that than any round trip can be.
        if packet.was_lost || too_soon {
            tally.spurious = true;
        }
    }

    /// What became of a packet that is reported missing. `acked_end` is one past the position of the
    /// last transmission that arrived, over whatever lane; `alone` says that there is no other.
    pub(crate) fn judge(
        &self,
        now: Instant,
        sent: &SentPacket,
        acked_end: u64,
        alone: bool,
    ) -> Verdict {
        let verdict = self.loss.judge(now, sent, self.rtt.estimate(), acked_end);
        if alone || verdict != Verdict::Unknown || sent.order >= acked_end {
            return verdict;
        }
        // Other ways work while nothing has come of this one: then time tells.
        let deadline = sent.sent_at + self.patience();
        if now >= deadline {
            Verdict::Lost
        } else {
            Verdict::Wait(deadline)
        }
    }

    /// How long after its sending a packet has certainly been answered, or lost.
    fn patience(&self) -> Duration {
        self.rtt.probe_timeout(Duration::ZERO) + self.loss.window(self.rtt.estimate())
    }

    /// Whether a packet that arrived just now was sent so much later than that of `sent`, and the
    /// same way, that this one should have arrived before it.
    pub(crate) fn proves_lost(&self, sent: &SentPacket) -> bool {
        self.tally.proof.is_some_and(|newest| {
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
        self.tally.lost += 1;
        let newest = &mut self.tally.newest_lost;
        *newest = Some(newest.map_or(sent.order, |newest| newest.max(sent.order)));
    }

    /// Tells the controller what was gathered. Returns the round-trip time, if there is a new sample.
    pub(crate) fn finish(&mut self, now: Instant, next_order: u64) -> Option<Duration> {
        if self.tally.acked == 0 && self.tally.lost == 0 {
            return None;
        }
        let tally = std::mem::take(&mut self.tally);
        let rtt = tally
            .newest_once
            .map(|sent| now.saturating_duration_since(sent.sent_at));
        if let Some(rtt) = rtt {
            self.rtt.sample(now, rtt);
            self.blind = false;
        }
        if let Some(sent) = tally.newest {
            self.first_sent = sent.sent_at;
        }
        let smoothed = self.rtt.estimate();
        if tally.spurious {
            self.loss.on_spurious(smoothed);
            self.controller.on_spurious_loss(now);
        }
        let rate = tally.newest.map(|sent| {
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
        if let Some(newest_lost) = tally.newest_lost {
            self.controller.on_loss(&LossEvent {
                now,
                newest_lost,
                next_order,
                in_flight: self.in_flight,
            });
        }
        self.controller.on_ack(&AckSample {
            now,
            acked: tally.acked,
            lost: tally.lost,
            prior_in_flight: tally.prior_in_flight,
            in_flight: self.in_flight,
            rtt,
            smoothed_rtt: smoothed,
            min_rtt: self.rtt.minimum().unwrap_or(smoothed),
            delivered: self.delivered,
            delivery_rate: rate,
            newest_order: tally.newest.map_or(0, |sent| sent.order),
            next_order,
            // A writer that keeps up is often a moment late: that much in flight was limited by the window
            // all the same. What arrives over the way that was left says nothing about a larger window on
            // the new one.
            cwnd_limited: !self.blind
                && (self.app_limited_until <= self.delivered
                    || u64::from(tally.prior_in_flight) * 4 >= u64::from(self.cwnd()) * 3),
        });
        self.pacer.set_rate(self.controller.pacing_rate());
        rtt
    }

    /// Everything on it was given up for lost.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        self.controller.on_timeout(now);
        self.pacer.set_rate(self.controller.pacing_rate());
    }

    /// `packets` in flight are no longer waited for.
    pub(crate) fn forget(&mut self, packets: u32) {
        self.in_flight = self.in_flight.saturating_sub(packets);
    }

    /// It takes another way; `alone` says that there is no other lane.
    pub(crate) fn on_migration(&mut self, now: Instant, migration: Migration, alone: bool) {
        self.loss.on_path_change(self.active.id());
        self.silent = 0;
        self.trial = migration.failed && !alone;
        self.blind = migration.rtt.is_none();
        if let Some(rtt) = migration.rtt {
            self.rtt.on_path_change(rtt);
        }
        self.controller.on_path_change(now, migration.rtt);
        self.pacer.set_rate(self.controller.pacing_rate());
    }

    /// There was room to send and nothing to send.
    pub(crate) fn on_app_limited(&mut self) {
        self.app_limited_until = (self.delivered + u64::from(self.in_flight)).max(1);
    }

    /// Whether nothing arrives over it any more, while packets arrive over others.
    pub(crate) const fn is_dead(&self) -> bool {
        self.silent >= DEAD_LOSSES
    }

    /// Whether a probe that left at `sent` over another lane was answered while this one, about which it
    /// asked, had time to answer and did not.
    pub(crate) fn is_outlived(&self, now: Instant, sent: Instant) -> bool {
        self.active
            .probed()
            .is_some_and(|probed| sent >= probed && now >= probed + self.patience())
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

/// After this long without sending, part of what was learned is doubted.
const IDLE_RESTART: Duration = Duration::from_secs(60);
/// What was learned counts half after this long. Half of the life of a tunnel.
const RATE_HALF_LIFE: Duration = Duration::from_secs(300);
/// So many packets in a row that did not arrive, nor any sent later, are no accident: chance alone
/// takes as many in 8000 where a busy path loses 5 %.
const DEAD_LOSSES: u32 = 3;
/// What is risked on a way that failed before.
const TRIAL_PACKETS: u32 = 2;
