//! A model of the path, bandwidth times delay, in the manner of BBRv3, changed for I2P:
//!
//! - a clamp on standing queues, because hops drop everything that waits for a third of a second;
//! - loss counts only above what is normal here (busy healthy hops drop up to 2 %) and only together
//!   with a growing round-trip time;
//! - start-up ends at the first sign of a queue, because overshooting by more than 255 packets
//!   blinds the sender: an acknowledgement cannot describe more holes.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{AckSample, Controller, ControllerFactory, LossEvent, WindowLimits, whole_packets};

/// Makes controllers that model the path's bandwidth and delay. The default of this crate.
#[derive(Debug, Clone, Default)]
pub struct BandwidthConfig {}

impl ControllerFactory for BandwidthConfig {
    fn build(self: Arc<Self>, now: Instant, limits: WindowLimits) -> Box<dyn Controller> {
        Box::new(Bandwidth {
            limits,
            mode: Mode::Startup,
            window: f64::from(limits.initial),
            rate: None,
            bandwidth: MaxFilter::default(),
            base: None,
            base_at: now,
            recent: VecDeque::new(),
            last_samples: [Duration::ZERO; STARTUP_SAMPLES],
            jitter: Duration::ZERO,
            probed_from: 0.0,
            samples: 0,
            round: 0,
            round_end: 0,
            round_acked: 0,
            round_lost: 0,
            usual_loss: 0.0,
            full: 0.0,
            full_rounds: 0,
            startup_acked: 0.0,
            inflight_ceiling: f64::INFINITY,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// Doubling every round until the path is full.
    Startup,
    /// Letting the queue of start-up run empty.
    Drain { since: Instant },
    /// At the estimated bandwidth, probing in turn for more.
    Cruise { phase: usize, since: Instant },
    /// Sending less for a moment to see the round-trip time without a queue.
    ProbeRtt {
        until: Instant,
        least: Option<Duration>,
    },
}

#[derive(Debug)]
struct Bandwidth {
    limits: WindowLimits,
    mode: Mode,
    window: f64,
    /// Packets per second.
    rate: Option<f64>,
    bandwidth: MaxFilter,
    /// Round-trip time without a queue, and when it was last confirmed.
    base: Option<Duration>,
    base_at: Instant,
    /// Round-trip times of the last round trip, those that can still be its minimum.
    recent: VecDeque<(Instant, Duration)>,
    last_samples: [Duration; STARTUP_SAMPLES],
    /// Smoothed difference between consecutive round-trip times.
    jitter: Duration,
    /// Bandwidth when the last probe for more began.
    probed_from: f64,
    samples: usize,
    round: u64,
    /// The round ends when a packet sent from here on is acknowledged.
    round_end: u64,
    round_acked: u32,
    round_lost: u32,
    /// Long-term share of lost packets.
    usual_loss: f64,
    /// Bandwidth at the last round of start-up that brought a quarter more.
    full: f64,
    full_rounds: u32,
    startup_acked: f64,
    inflight_ceiling: f64,
}

impl Bandwidth {
    /// The product of bandwidth and delay, in packets.
    fn product(&self) -> f64 {
        let base = self.base.unwrap_or_default().as_secs_f64();
        (self.bandwidth.get() * base).max(MIN_PRODUCT)
    }

    /// How long packets wait in queues: the best of the last round above the best ever.
    fn queue(&self) -> Duration {
        match (self.recent.front(), self.base) {
            (Some((_, least)), Some(base)) => least.saturating_sub(base),
            _ => Duration::ZERO,
        }
    }

    fn take_rtt(&mut self, now: Instant, rtt: Duration, smoothed: Duration) {
        if self.base.is_none_or(|base| rtt <= base) {
            self.base = Some(rtt);
            self.base_at = now;
        }
        while self.recent.back().is_some_and(|(_, later)| *later >= rtt) {
            self.recent.pop_back();
        }
        if self.recent.len() < MAX_RECENT {
            self.recent.push_back((now, rtt));
        }
        while self.recent.len() > 1
            && self
                .recent
                .front()
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) > smoothed)
        {
            self.recent.pop_front();
        }
        if self.samples > 0 {
            let previous = self.last_samples[(self.samples - 1) % STARTUP_SAMPLES];
            self.jitter = (self.jitter * 7 + previous.abs_diff(rtt)) / 8;
        }
        self.last_samples[self.samples % STARTUP_SAMPLES] = rtt;
        self.samples += 1;
    }

    /// A standing queue longer than this is worked off.
    fn queue_limit(&self) -> Duration {
        self.base
            .unwrap_or_default()
            .mul_f64(QUEUE_SHARE)
            .max(CRUISE_QUEUE)
            .max(self.jitter)
    }

    fn queue_seen_in_startup(&self) -> bool {
        let Some(base) = self.base else { return false };
        // Where packets overtake each other, four late ones in a row are nothing unusual.
        let needed = if self.jitter > STARTUP_QUEUE / 2 {
            STARTUP_SAMPLES
        } else {
            STARTUP_SAMPLES / 3
        };
        let limit = base + (base / 8).max(STARTUP_QUEUE).max(self.jitter * 2);
        let newest = self.samples.saturating_sub(needed)..self.samples;
        self.round >= 2
            && self.samples >= needed
            && newest
                .into_iter()
                .all(|sample| self.last_samples[sample % STARTUP_SAMPLES] > limit)
    }

    fn on_round(&mut self, sample: &AckSample, app_limited: bool) {
        let total = self.round_acked + self.round_lost;
        let loss = f64::from(self.round_lost) / f64::from(total.max(1));
        let many = self.round_lost >= STARTUP_LOST;
        self.round_acked = 0;
        self.round_lost = 0;
        self.usual_loss = 0.9f64.mul_add(self.usual_loss, 0.1 * loss);
        let queue = self.queue();
        let base = self.base.unwrap_or_default();
        if self.mode == Mode::Startup {
            let bandwidth = self.bandwidth.get();
            if bandwidth >= self.full * 1.25 {
                self.full = bandwidth;
                self.full_rounds = 0;
            } else if !app_limited {
                self.full_rounds += 1;
            }
            if self.full_rounds >= 3
                || (many && loss > STARTUP_LOSS)
                || queue > (base / 2).max(STARTUP_QUEUE)
            {
                self.mode = Mode::Drain { since: sample.now };
            }
            return;
        }
        if loss > 0.02 + 1.5 * self.usual_loss && queue > self.queue_limit() {
            let inflight = f64::from(sample.prior_in_flight);
            self.inflight_ceiling =
                (1.1 * self.product()).max(0.85 * self.inflight_ceiling.min(inflight));
        } else if self.inflight_ceiling.is_finite() {
            self.inflight_ceiling *= 1.1;
            if self.inflight_ceiling > 3.0 * self.product() {
                self.inflight_ceiling = f64::INFINITY;
            }
        }
    }

    fn next_mode(&mut self, sample: &AckSample) {
        let now = sample.now;
        let product = self.product();
        let in_flight = f64::from(sample.in_flight);
        let base = self.base.unwrap_or_default();
        let bandwidth = self.bandwidth.get();
        let short_queue = self.queue() <= self.queue_limit();
        match &mut self.mode {
            Mode::Startup => {
                if self.queue_seen_in_startup() {
                    self.mode = Mode::Drain { since: now };
                }
            }
            Mode::Drain { since } => {
                if in_flight <= product
                    || now.saturating_duration_since(*since) > sample.smoothed_rtt * 3
                {
                    self.mode = Mode::Cruise {
                        phase: FIRST_CRUISE,
                        since: now,
                    };
                }
            }
            Mode::Cruise { phase, since } => {
                if now.saturating_duration_since(self.base_at) > BASE_LIFETIME {
                    let until = now + (base + base / 5).max(MIN_PROBE_RTT);
                    self.mode = Mode::ProbeRtt { until, least: None };
                } else if now.saturating_duration_since(*since) > base
                    || (GAINS[*phase] < 1.0 && in_flight <= product)
                {
                    *phase = (*phase + 1) % GAINS.len();
                    if *phase == 0 {
                        self.probed_from = bandwidth;
                    } else if *phase == FIRST_CRUISE
                        && bandwidth > self.probed_from * PROBE_GROWTH
                        && short_queue
                    {
                        // The probe found more: there may be much more, so the next one follows at once.
                        *phase = 0;
                        self.probed_from = bandwidth;
                    }
                    *since = now;
                }
            }
            Mode::ProbeRtt { until, least } => {
                if let Some(rtt) = sample.rtt {
                    *least = Some(least.map_or(rtt, |least| least.min(rtt)));
                }
                if now > *until {
                    if let Some(least) = *least {
                        self.base = Some(least);
                    }
                    self.base_at = now;
                    self.mode = Mode::Cruise {
                        phase: FIRST_CRUISE,
                        since: now,
                    };
                }
            }
        }
    }

    fn gain(&self) -> f64 {
        match self.mode {
            Mode::Startup => 2.0,
            Mode::Drain { .. } => 0.5,
            Mode::ProbeRtt { .. } => 0.6,
            Mode::Cruise { phase, .. } => {
                let gain = GAINS[phase];
                match self.queue() > self.queue_limit() {
                    true if gain > 1.0 => 1.0,
                    true if gain == 1.0 => 0.85,
                    _ => gain,
                }
            }
        }
    }

    fn update(&mut self, sample: &AckSample) {
        let initial = f64::from(self.limits.initial);
        let product = self.product();
        let mut rate = self.gain() * self.bandwidth.get();
        self.window = 2.0 * product;
        match self.mode {
            Mode::Startup => {
                // Nothing is known of the bandwidth before the second round.
                if self.round < 2 {
                    rate = rate.max(2.0 * initial / sample.smoothed_rtt.as_secs_f64().max(0.001));
                }
                self.window = self.window.max(initial + self.startup_acked);
            }
            Mode::ProbeRtt { .. } => self.window = 0.6 * product,
            _ => self.window = self.window.min(self.inflight_ceiling),
        }
        self.rate = Some(rate.max(MIN_RATE));
    }
}

impl Controller for Bandwidth {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_acked += sample.acked;
        self.round_lost += sample.lost;
        if self.mode == Mode::Startup && sample.window_limited {
            self.startup_acked += f64::from(sample.acked) / self.limits.slow_start_factor.max(1.0);
        }
        if let Some(rtt) = sample.rtt {
            self.take_rtt(sample.now, rtt, sample.smoothed_rtt);
        }
        let app_limited = sample.rate.is_none_or(|rate| rate.app_limited);
        let new_round = sample.acked > 0 && sample.newest_order >= self.round_end;
        if new_round {
            self.round += 1;
            self.round_end = sample.next_order;
        }
        if let Some(rate) = sample.rate
            && (!rate.app_limited || rate.packets_per_second > self.bandwidth.get())
        {
            self.bandwidth.insert(self.round, rate.packets_per_second);
        }
        if new_round {
            self.on_round(sample, app_limited);
        }
        self.next_mode(sample);
        self.update(sample);
    }

    fn on_loss(&mut self, _loss: &LossEvent) {
        // Counted per round in `on_ack`, where the round-trip time tells whether it means congestion.
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.bandwidth.scale(0.5);
        self.window = MIN_PRODUCT;
        self.rate = self.rate.map(|rate| (rate * 0.5).max(MIN_RATE));
        self.startup_acked = 0.0;
    }

    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        self.bandwidth.scale(keep);
        self.rate = self.rate.map(|rate| (rate * keep).max(MIN_RATE));
        self.recent.clear();
        self.startup_acked *= keep;
        // The path may have changed meanwhile: measure it again at the next chance.
        self.base_at = now;
    }

    fn window(&self) -> u32 {
        whole_packets(self.window, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        self.rate
    }
}

/// The maximum of the last [`BANDWIDTH_ROUNDS`] rounds.
#[derive(Debug, Default)]
struct MaxFilter {
    /// Candidates, falling in value and rising in round.
    candidates: VecDeque<(u64, f64)>,
    last: f64,
}

impl MaxFilter {
    fn insert(&mut self, round: u64, value: f64) {
        while self
            .candidates
            .back()
            .is_some_and(|(_, later)| *later <= value)
        {
            self.candidates.pop_back();
        }
        if self.candidates.back().is_none_or(|(at, _)| *at != round) {
            self.candidates.push_back((round, value));
        }
        while self
            .candidates
            .front()
            .is_some_and(|(at, _)| at + BANDWIDTH_ROUNDS < round)
        {
            self.candidates.pop_front();
        }
        self.last = self.candidates.front().map_or(value, |(_, value)| *value);
    }

    fn get(&self) -> f64 {
        self.last
    }

    fn scale(&mut self, factor: f64) {
        self.last *= factor;
        for (_, value) in &mut self.candidates {
            *value *= factor;
        }
    }
}

/// Pacing gains of the phases of cruising, one round trip each: probe, drain, then level.
const GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// Cruising begins level, so that the queue of start-up is gone before the first probe.
const FIRST_CRUISE: usize = 2;
/// BBRv3 keeps ten rounds; as many here, because a round is long and tunnels change slowly.
const BANDWIDTH_ROUNDS: u64 = 10;
/// Packets: below this, acknowledgement delay would dominate.
const MIN_PRODUCT: f64 = 4.0;
/// Packets per second, so that something always leaves.
const MIN_RATE: f64 = 1.0;
/// How many round-trip times in a row must show a queue to end start-up; a third of them where the
/// path keeps the order.
const STARTUP_SAMPLES: usize = 12;
/// Chosen because jitter over six hops stays below it.
const STARTUP_QUEUE: Duration = Duration::from_millis(40);
/// A lossy path loses a few per cent always; a fifth of a round means an overflowing queue.
const STARTUP_LOSS: f64 = 0.2;
/// A probe that found this much more is repeated at once. Chosen between the noise of the estimate and
/// the quarter that a probe can find.
const PROBE_GROWTH: f64 = 1.15;
/// One packet of a small first round proves nothing.
const STARTUP_LOST: u32 = 8;
/// A standing queue of more than this share of the base, or this time, is worked off.
const QUEUE_SHARE: f64 = 0.12;
const CRUISE_QUEUE: Duration = Duration::from_millis(30);
/// How long a base round-trip time is believed without being seen again.
const BASE_LIFETIME: Duration = Duration::from_secs(30);
/// BBR's ProbeRTTDuration.
const MIN_PROBE_RTT: Duration = Duration::from_millis(200);
/// Acknowledgements per round trip that can matter; more come only from peers that ack every packet.
const MAX_RECENT: usize = 512;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::{
        super::{
            RateSample,
            tests::{LIMITS, ack, keeps_to_its_bounds},
        },
        *,
    };

    const RTT: Duration = Duration::from_millis(500);

    fn controller(now: Instant) -> Box<dyn Controller> {
        Arc::new(BandwidthConfig::default()).build(
            now,
            WindowLimits {
                max: 4096,
                ..LIMITS
            },
        )
    }

    /// Runs rounds over a path of `capacity` packets per second; returns the window at the end.
    fn rounds(
        controller: &mut dyn Controller,
        start: Instant,
        count: u32,
        capacity: f64,
        rtt: impl Fn(f64) -> Duration,
    ) -> f64 {
        let (mut now, mut order) = (start, 0);
        for _ in 0..count {
            let window = f64::from(controller.window());
            let offered = window / RTT.as_secs_f64();
            let rate = offered
                .min(capacity)
                .min(controller.pacing_rate().unwrap_or(f64::INFINITY));
            let acked = (rate * RTT.as_secs_f64()).max(1.0);
            let measured = rtt(offered);
            for _ in 0..4 {
                order += (acked / 4.0).ceil() as u64;
                now += RTT / 4;
                let mut sample = ack(now, order, (acked / 4.0).ceil() as u32, measured);
                sample.next_order = order + acked as u64;
                sample.in_flight = acked as u32;
                sample.prior_in_flight = acked as u32;
                sample.rate = Some(RateSample {
                    packets_per_second: rate,
                    prior_delivered: 0,
                    app_limited: false,
                });
                controller.on_ack(&sample);
            }
        }
        controller.pacing_rate().unwrap_or(0.0)
    }

    #[test]
    fn settles_near_the_capacity_of_the_path() {
        let now = Instant::now();
        let mut controller = controller(now);
        let rate = rounds(&mut *controller, now, 40, 400.0, |_| RTT);
        assert!((200.0..=520.0).contains(&rate), "{rate}");
        // Twice the product of 400 packets per second and half a second.
        assert!(
            (300..=450).contains(&controller.window()),
            "{}",
            controller.window()
        );
    }

    #[test]
    fn start_up_ends_when_a_queue_builds() {
        let now = Instant::now();
        let mut controller = controller(now);
        rounds(&mut *controller, now, 20, 400.0, |offered| {
            if offered > 400.0 {
                RTT + Duration::from_millis(120)
            } else {
                RTT
            }
        });
        assert!(controller.window() < 600, "{}", controller.window());
    }

    #[test]
    fn random_loss_alone_changes_nothing() {
        let now = Instant::now();
        let mut controller = controller(now);
        rounds(&mut *controller, now, 20, 400.0, |_| RTT);
        let before = controller.window();
        let mut sample = ack(now + RTT * 30, 100_000, 100, RTT);
        sample.lost = 5;
        controller.on_ack(&sample);
        assert_eq!(controller.window(), before);
    }

    #[test]
    fn a_timeout_halves_the_estimate() {
        let now = Instant::now();
        let mut controller = controller(now);
        let before = rounds(&mut *controller, now, 20, 400.0, |_| RTT);
        controller.on_timeout(now);
        assert_eq!(controller.window(), 4);
        assert!(controller.pacing_rate().unwrap() <= before / 2.0 + 1.0);
    }

    #[test]
    fn the_maximum_is_taken_over_ten_rounds() {
        let mut filter = MaxFilter::default();
        filter.insert(1, 50.0);
        filter.insert(2, 40.0);
        assert!((filter.get() - 50.0).abs() < 1e-9);
        filter.insert(12, 30.0);
        assert!((filter.get() - 40.0).abs() < 1e-9);
        filter.insert(30, 10.0);
        assert!((filter.get() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn stays_within_its_bounds() {
        keeps_to_its_bounds(Arc::new(BandwidthConfig::default()), Instant::now());
    }
}
