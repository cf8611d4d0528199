//! A bottleneck with a queue, packet by packet, and senders that are controllers alone.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::super::{
    super::{AckSample, Controller, ControllerFactory, CwndLimits, RateSample},
    DelayTargetConfig,
};

/// A path. Rates are in packets per second.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) rate: f64,
    pub(super) base_rtt: Duration,
    /// Length of the queue, in packets.
    pub(super) queue: f64,
    /// The largest random delay; delays are uniformly distributed.
    pub(super) jitter: Duration,
    /// The share of packets that is lost behind the bottleneck.
    pub(super) loss: f64,
    /// The share of packets that a hop retransmits after this time, while all packets behind them wait.
    pub(super) stalls: (f64, Duration),
}

/// Senders over one [`Path`].
pub(super) struct Network {
    pub(super) path: Path,
    pub(super) senders: Vec<Sender>,
    start: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, usize, Event)>>,
    number: u64,
    /// When the bottleneck has sent all packets of the queue.
    free_at: Duration,
    /// When the hop has retransmitted all packets.
    stalled_until: Duration,
    rng: ChaCha8Rng,
    queued: f64,
    packets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send,
    Acked { order: u64 },
    Lost { order: u64 },
}

pub(super) struct Sender {
    pub(super) controller: Box<dyn Controller>,
    in_flight: BTreeMap<u64, Sent>,
    next_order: u64,
    delivered: u64,
    delivered_at: Duration,
    first_sent: Duration,
    smoothed_rtt: Duration,
    min_rtt: Duration,
    waits_for_pacer: bool,
    /// The delivery rate of the last sample.
    pub(super) rate: f64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Duration,
    delivered: u64,
    delivered_at: Duration,
    first_sent: Duration,
}

impl Network {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            senders: Vec::new(),
            start: Instant::now(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            number: 0,
            free_at: Duration::ZERO,
            stalled_until: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queued: 0.0,
            packets: 0,
        }
    }

    pub(super) fn add_sender(&mut self) {
        let limits = CwndLimits {
            initial: 6,
            max: 16_384,
            slow_start_factor: 1.0,
            avoidance_factor: 1.0,
        };
        let controller =
            Arc::new(DelayTargetConfig::default()).build(self.start + self.now, limits);
        self.senders.push(Sender {
            controller,
            in_flight: BTreeMap::new(),
            next_order: 0,
            delivered: 0,
            delivered_at: self.now,
            first_sent: self.now,
            smoothed_rtt: self.path.base_rtt,
            min_rtt: Duration::MAX,
            waits_for_pacer: true,
            rate: 0.0,
        });
        self.schedule(self.now, self.senders.len() - 1, Event::Send);
    }

    /// Runs for `span`, and calls `check` with the sender after each of its acknowledgements. Returns what
    /// each sender delivered, in packets per second, and the mean queueing delay.
    pub(super) fn run(
        &mut self,
        span: Duration,
        mut check: impl FnMut(&Sender, &Path),
    ) -> (Vec<f64>, Duration) {
        let end = self.now + span;
        let before: Vec<u64> = self.senders.iter().map(|sender| sender.delivered).collect();
        (self.queued, self.packets) = (0.0, 0);
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
            && let Some(Reverse((at, _, sender, event))) = self.events.pop()
        {
            self.now = at;
            match event {
                Event::Send => self.senders[sender].waits_for_pacer = false,
                Event::Acked { order } => self.report(sender, order, true),
                Event::Lost { order } => self.report(sender, order, false),
            }
            if event != Event::Send {
                check(&self.senders[sender], &self.path);
            }
            self.send(sender);
        }
        self.now = end;
        let rates = self
            .senders
            .iter()
            .zip(before)
            .map(|(sender, before)| (sender.delivered - before) as f64 / span.as_secs_f64())
            .collect();
        let queued = self.queued / f64::from(self.packets.max(1));
        (rates, Duration::from_secs_f64(queued))
    }

    fn schedule(&mut self, at: Duration, sender: usize, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at, self.number, sender, event)));
    }

    /// Sends one packet if cwnd and pacing allow it.
    fn send(&mut self, number: usize) {
        let sender = &mut self.senders[number];
        if sender.waits_for_pacer || sender.in_flight.len() >= sender.controller.cwnd() as usize {
            return;
        }
        if sender.in_flight.is_empty() {
            (sender.first_sent, sender.delivered_at) = (self.now, self.now);
        }
        let order = sender.next_order;
        sender.next_order += 1;
        sender.in_flight.insert(
            order,
            Sent {
                at: self.now,
                delivered: sender.delivered,
                delivered_at: sender.delivered_at,
                first_sent: sender.first_sent,
            },
        );
        sender.waits_for_pacer = true;
        let pause = 1.0 / sender.controller.pacing_rate().unwrap_or(45.0);
        self.schedule(
            self.now + Duration::from_secs_f64(pause),
            number,
            Event::Send,
        );

        let waits = self.free_at.saturating_sub(self.now);
        let full = waits.as_secs_f64() * self.path.rate >= self.path.queue;
        let draw = self.random();
        let mut arrives = waits + self.path.base_rtt + self.path.jitter.mul_f64(self.random());
        let (share, stall) = self.path.stalls;
        if share > 0.0 {
            let at_hop = self.now + waits;
            if self.random() < share {
                self.stalled_until = self.stalled_until.max(at_hop + stall);
            }
            arrives += self.stalled_until.saturating_sub(at_hop);
        }
        if !full {
            self.free_at =
                self.now.max(self.free_at) + Duration::from_secs_f64(1.0 / self.path.rate);
            self.queued += waits.as_secs_f64();
            self.packets += 1;
        }
        if full || draw < self.path.loss {
            let detected = self.now + arrives + self.path.base_rtt / 8 + self.path.jitter;
            self.schedule(detected, number, Event::Lost { order });
        } else {
            self.schedule(self.now + arrives, number, Event::Acked { order });
        }
    }

    fn report(&mut self, number: usize, order: u64, acked: bool) {
        let now = self.now;
        let sender = &mut self.senders[number];
        let prior_in_flight = sender.in_flight.len() as u32;
        let Some(sent) = sender.in_flight.remove(&order) else {
            return;
        };
        let mut delivery_rate = None;
        let rtt = now.saturating_sub(sent.at);
        if acked {
            sender.delivered += 1;
            sender.delivered_at = now;
            sender.first_sent = sent.at;
            sender.smoothed_rtt = (sender.smoothed_rtt * 7 + rtt) / 8;
            sender.min_rtt = sender.min_rtt.min(rtt);
            let interval = now
                .saturating_sub(sent.delivered_at)
                .max(sent.at.saturating_sub(sent.first_sent));
            let packets = (sender.delivered - sent.delivered) as f64;
            sender.rate = packets / interval.as_secs_f64().max(0.001);
            delivery_rate = Some(RateSample {
                packets_per_second: sender.rate,
                prior_delivered: sent.delivered,
                app_limited: false,
            });
        }
        sender.controller.on_ack(&AckSample {
            now: self.start + now,
            acked: u32::from(acked),
            lost: u32::from(!acked),
            spurious: 0,
            prior_in_flight,
            in_flight: sender.in_flight.len() as u32,
            rtt: acked.then_some(rtt),
            smoothed_rtt: sender.smoothed_rtt,
            min_rtt: sender.min_rtt.min(sender.smoothed_rtt),
            delivered: sender.delivered,
            delivery_rate,
            newest_order: if acked { order } else { 0 },
            next_order: sender.next_order,
            cwnd_limited: true,
        });
    }

    /// A random number from 0 to 1.
    fn random(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX)
    }
}
