//! A delay-based controller whose cwnd is bounded by a model of the path. The default of this crate.
//!
//! The controller estimates the queueing delay: the median RTT of the last round trip minus the base RTT,
//! which is the smallest such median. The cwnd grows while the queueing delay is below a target and shrinks
//! while it is above. Loss alone does not change the cwnd, because healthy hops drop up to 2 % of the
//! packets when they are busy, and tunnels reorder packets. The cwnd stays bounded nevertheless, because it
//! may not exceed a multiple of the BDP. Only a high loss rate in two successive rounds is taken for a
//! queue that several senders keep full ([`OVERFLOW_LOSS_SHARE`]).
//!
//! - Each sender keeps the same number of its own packets in the queue, whatever its share of the rate
//!   ([`OWN_QUEUE_PACKETS`]). A sender with a smaller share therefore accepts a longer queueing delay, and
//!   the shares converge.
//! - The base RTT is only correct if the queue was empty when it was measured. The controller therefore
//!   drains the queue regularly ([`Mode::ProbeRtt`]). All senders on a path observe the same empty queue
//!   and start their timers from it, so they drain the queue together the next time. Senders that joined
//!   later then measure the correct base RTT.
//! - Startup doubles the cwnd per round, and grows more slowly the larger the cwnd is. The overshoot is a
//!   number of packets, and an acknowledgement cannot describe more than 255 missing ones. Startup ends
//!   when the RTT rises above that of earlier rounds which did not fill the path. Those rounds are the
//!   reference because routers that coalesce small segments delay sparse traffic more than dense traffic.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

mod delay;

use self::delay::Delay;
use super::{AckSample, Controller, ControllerFactory, CwndLimits, LossEvent, whole_packets};

/// Makes delay-based controllers that tolerate loss. The default of this crate.
#[derive(Debug, Clone, Default)]
pub struct BandwidthConfig {}

impl ControllerFactory for BandwidthConfig {
    fn build(self: Arc<Self>, now: Instant, limits: CwndLimits) -> Box<dyn Controller> {
        Box::new(Bandwidth {
            limits,
            mode: Mode::Startup,
            cwnd: f64::from(limits.initial),
            rate: None,
            threshold: f64::INFINITY,
            bandwidth: MaxFilter::default(),
            delay: Delay::new(now),
            missed_probes: 0,
            round: 0,
            round_end: 0,
            round_acked: 0,
            round_lost: 0,
            round_began: now,
            deliveries: VecDeque::new(),
            startup_bandwidth: 0.0,
            rounds_without_growth: 0,
            rounds_without_queue: 0,
            lossy_rounds: 0,
            loss_tolerated_until: None,
            cwnd_above_target: None,
            median_before_probe: None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// The cwnd grows exponentially until the path is full.
    Startup,
    /// The queue that Startup built drains.
    Drain { since: Instant },
    /// The cwnd follows the queueing delay.
    Steady,
    /// The queue drains for a round trip, so that the base RTT can be measured.
    ProbeRtt {
        /// When the queue should be empty, and the end of the measurement a round trip later.
        empty: Option<(Instant, Instant)>,
        /// The cwnd to continue with.
        resume: f64,
        /// The median RTT with that cwnd.
        median_rtt: Duration,
    },
}

#[derive(Debug)]
struct Bandwidth {
    limits: CwndLimits,
    mode: Mode,
    cwnd: f64,
    /// Packets per second.
    rate: Option<f64>,
    /// Startup ends at this cwnd.
    threshold: f64,
    bandwidth: MaxFilter,
    delay: Delay,
    /// Consecutive probes that did not measure the base RTT again.
    missed_probes: u32,
    round: u64,
    /// The round ends when a packet sent from here on is acknowledged.
    round_end: u64,
    round_acked: u32,
    round_lost: u32,
    round_began: Instant,
    /// Packets delivered by a time, over the last quarter of a round trip; in Startup only.
    deliveries: VecDeque<(Instant, u64)>,
    /// Bandwidth after the last round of Startup that increased it by a quarter, and rounds since.
    startup_bandwidth: f64,
    rounds_without_growth: u32,
    /// Consecutive rounds with a queueing delay of less than half the target.
    rounds_without_queue: u32,
    /// Consecutive rounds with a loss rate that indicates a full queue.
    lossy_rounds: u32,
    /// The controller does not respond to loss before this time.
    loss_tolerated_until: Option<Instant>,
    /// The cwnd at which the queueing delay exceeded the target, while it does.
    cwnd_above_target: Option<f64>,
    /// The median RTT before the last probe, and until when it counts as the current one.
    median_before_probe: Option<(Duration, Instant)>,
}

impl Bandwidth {
    /// The bandwidth-delay product, in packets.
    fn bdp(&self) -> f64 {
        (self.bandwidth.get() * self.delay.base().as_secs_f64()).max(MIN_BDP)
    }

    /// The target of the queueing delay.
    fn target_delay(&self) -> Duration {
        let rtt = (self.delay.base() + self.delay.queueing_delay()).as_secs_f64();
        let own = (OWN_QUEUE_PACKETS * rtt / self.cwnd).min(MAX_OWN_QUEUEING_DELAY.as_secs_f64());
        self.delay.noise() + Duration::from_secs_f64(own)
    }

    /// Updates everything that is counted per round.
    fn on_round(&mut self, sample: &AckSample) {
        let took = sample.now.saturating_duration_since(self.round_began);
        let delivered = f64::from(self.round_acked) / took.as_secs_f64().max(0.001);
        let startup = self.mode == Mode::Startup;
        self.delay
            .end_round(startup, self.mode == Mode::Steady, delivered);
        if self.mode == Mode::Steady {
            self.respond_to_loss(sample.now);
        }
        self.round_began = sample.now;
        self.round_acked = 0;
        self.round_lost = 0;
        let (queue, target_delay) = (self.delay.queueing_delay(), self.target_delay());
        if startup && sample.cwnd_limited {
            if self.bandwidth.get() >= self.startup_bandwidth * FULL_BANDWIDTH_GROWTH {
                self.startup_bandwidth = self.bandwidth.get();
                self.rounds_without_growth = 0;
            } else {
                self.rounds_without_growth += 1;
            }
        }
        if self.mode == Mode::Steady {
            if queue < target_delay / 2 && sample.cwnd_limited {
                self.rounds_without_queue += 1;
            } else {
                self.rounds_without_queue = 0;
            }
            if queue <= target_delay {
                self.cwnd_above_target = None;
            }
        }
    }

    /// Measures bandwidth over a quarter of a round trip. Startup sends the packets of a round in half of
    /// it, so a queue builds while the mean rate of the round is still low.
    fn measure_in_startup(&mut self, sample: &AckSample) {
        let now = sample.now;
        self.deliveries.push_back((now, sample.delivered));
        let span = sample.smoothed_rtt / 4;
        while self.deliveries.len() > MAX_DELIVERIES
            || self
                .deliveries
                .get(1)
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= span)
        {
            self.deliveries.pop_front();
        }
        if let Some((at, delivered)) = self.deliveries.front().copied() {
            let took = now.saturating_duration_since(at);
            let packets = u32::try_from(sample.delivered - delivered).unwrap_or(u32::MAX);
            if took >= span && packets >= MIN_RATE_SAMPLE_PACKETS {
                let rate = f64::from(packets) / took.as_secs_f64().max(0.001);
                self.bandwidth.insert(self.round, rate);
            }
        }
    }

    /// Grows the cwnd by the number of acknowledged packets.
    fn grow_in_startup(&mut self, sample: &AckSample) {
        if !sample.cwnd_limited {
            return;
        }
        let slow = self.limits.slow_start_factor.max(1.0);
        let acked = f64::from(sample.acked) / slow;
        let share = (MAX_DOUBLING_CWND / self.cwnd)
            .min(1.0)
            .sqrt()
            .max(MIN_STARTUP_GROWTH);
        self.cwnd += acked * share;
    }

    /// Whether at least `packets` packets of the round were lost, and more than `share` of all.
    fn lost_at_least(&self, packets: u32, share: f64) -> bool {
        let total = self.round_acked + self.round_lost;
        self.round_lost >= packets && f64::from(self.round_lost) > share * f64::from(total)
    }

    /// Changes the cwnd in Steady, and begins ProbeRtt when it is due.
    fn adjust(&mut self, sample: &AckSample) {
        let now = sample.now;
        let (queue, target_delay) = (
            self.delay.queueing_delay().as_secs_f64(),
            self.target_delay().as_secs_f64(),
        );
        let rtt = self.delay.base().as_secs_f64() + queue;
        let acked = f64::from(sample.acked);
        if queue <= target_delay {
            // After a probe it takes a round trip until the queue is back and measured. If all senders on
            // the path grew in the meantime, the queue would become longer than before.
            let queue = match self.median_before_probe {
                Some((median_rtt, until)) if now < until => {
                    queue.max(median_rtt.saturating_sub(self.delay.base()).as_secs_f64())
                }
                _ => queue,
            };
            if sample.cwnd_limited && queue < target_delay {
                // After a few rounds without a queue there may be much unused capacity.
                let accelerated = match self
                    .rounds_without_queue
                    .saturating_sub(ROUNDS_BEFORE_ACCELERATION)
                {
                    0 => 0.0,
                    rounds => ACCELERATED_GROWTH * f64::from(1_u32 << rounds.min(8)),
                };
                let slow = self.limits.avoidance_factor.max(1.0);
                let step = (DELAY_GAIN * (target_delay - queue) / rtt).max(accelerated) / slow;
                self.cwnd += acked * step.min(MAX_CHANGE_PER_ROUND);
            }
        } else {
            self.cwnd -=
                acked * (DELAY_GAIN * (queue - target_delay) / rtt).min(MAX_CHANGE_PER_ROUND);
            let from = *self.cwnd_above_target.get_or_insert(self.cwnd);
            // A smaller cwnd and the same delay: the queue is that of others, or the base RTT has risen.
            if self.cwnd < from * FUTILE_CWND_SHARE {
                self.cwnd_above_target = None;
                self.missed_probes = MAX_MISSED_PROBES;
                self.begin_probe_rtt();
                return;
            }
        }
        let lifetime = if self.delay.is_noisy() {
            BASE_RTT_LIFETIME / 2
        } else {
            BASE_RTT_LIFETIME
        };
        let lifetime = lifetime.max(self.delay.base() * 8);
        if now.saturating_duration_since(self.delay.base_measured_at()) > lifetime {
            self.begin_probe_rtt();
        }
    }

    /// Reduces the cwnd after a high loss rate. Several senders that measured their base RTT while the queue
    /// was full keep it full. None of them sees the delay rise, and loss is the only signal.
    fn respond_to_loss(&mut self, now: Instant) {
        if !self.lost_at_least(MIN_OVERFLOW_LOST_PACKETS, OVERFLOW_LOSS_SHARE) {
            self.lossy_rounds = 0;
            if !self.lost_at_least(1, OVERFLOW_LOSS_SHARE / 2.0) {
                // The response was effective.
                self.loss_tolerated_until = None;
            }
            return;
        }
        self.lossy_rounds += 1;
        let tolerated = self.loss_tolerated_until.is_some_and(|until| now < until);
        // In a full queue all packets have the same delay. With random delays, many late packets are
        // declared lost.
        if self.lossy_rounds < OVERFLOW_ROUNDS || tolerated || self.delay.is_noisy() {
            return;
        }
        self.lossy_rounds = 0;
        self.loss_tolerated_until = Some(now + BASE_RTT_LIFETIME);
        let delivered = f64::from(self.round_acked);
        self.cwnd = self.cwnd.min(PROBE_RTT_SHARE * delivered);
        self.begin_probe_rtt();
        self.cwnd = self.cwnd.min(OVERFLOW_CWND_SHARE * delivered);
    }

    fn begin_probe_rtt(&mut self) {
        self.mode = Mode::ProbeRtt {
            empty: None,
            resume: self.cwnd,
            median_rtt: self.delay.base() + self.delay.queueing_delay(),
        };
        let base = self.delay.base().as_secs_f64();
        let rtt = base + self.delay.queueing_delay().as_secs_f64();
        self.cwnd *= PROBE_RTT_SHARE * base / rtt.max(base);
    }

    /// Applies an acknowledgement to the current mode, and changes the mode.
    fn advance(&mut self, sample: &AckSample) {
        let now = sample.now;
        let in_flight = f64::from(sample.in_flight);
        let base = self.delay.base();
        match self.mode {
            Mode::Startup => {
                self.grow_in_startup(sample);
                self.measure_in_startup(sample);
                let full = self.rounds_without_growth >= FULL_BANDWIDTH_ROUNDS;
                let queue_built = self.round >= 2
                    && self
                        .delay
                        .has_filled_path(self.cwnd, self.rounds_without_growth == 0);
                if full
                    || queue_built
                    || self.lost_at_least(MIN_STARTUP_LOST_PACKETS, STARTUP_LOSS_SHARE)
                {
                    self.mode = Mode::Drain { since: now };
                    self.cwnd = DRAIN_SHARE * self.bdp();
                } else if self.cwnd >= self.threshold {
                    self.begin_steady();
                }
            }
            Mode::Drain { since } => {
                self.cwnd = DRAIN_SHARE * self.bdp();
                let drained = now.saturating_duration_since(since);
                if (in_flight <= self.cwnd && drained > base) || drained > base * 3 {
                    self.cwnd = STEADY_ENTRY_SHARE * self.bdp();
                    self.begin_steady();
                    self.rounds_without_queue = ROUNDS_BEFORE_ACCELERATION + STARTUP_CREDIT_ROUNDS;
                }
            }
            Mode::Steady => self.adjust(sample),
            Mode::ProbeRtt {
                mut empty,
                resume,
                median_rtt,
            } => {
                if empty.is_none() && in_flight <= self.cwnd + 1.0 {
                    empty = Some((now + base, now + base * 2));
                }
                if empty.is_some_and(|(from, _)| now >= from) && self.cwnd < resume {
                    // From now on, packets are acknowledged that were sent during the probe. Packets sent
                    // from now on may queue again.
                    self.cwnd = resume;
                    self.delay.forget_recent();
                }
                self.mode = Mode::ProbeRtt {
                    empty,
                    resume,
                    median_rtt,
                };
                if empty.is_some_and(|(_, until)| now >= until) {
                    self.end_probe_rtt(now);
                    // With random delays, the median before the probe says little.
                    let holds = !self.delay.is_noisy();
                    self.median_before_probe =
                        holds.then(|| (median_rtt, now + sample.smoothed_rtt));
                }
            }
        }
    }

    fn begin_steady(&mut self) {
        self.mode = Mode::Steady;
        self.deliveries = VecDeque::new();
        self.threshold = f64::INFINITY;
        self.startup_bandwidth = 0.0;
        self.rounds_without_growth = 0;
        self.rounds_without_queue = 0;
        self.cwnd_above_target = None;
        self.delay.forget_recent();
    }

    fn end_probe_rtt(&mut self, now: Instant) {
        if self.delay.update_median(now) {
            self.missed_probes = 0;
        }
        if now.saturating_duration_since(self.delay.base_measured_at()) > self.delay.base() * 3 {
            self.missed_probes += 1;
            // One missed probe may be chance. After several, the base RTT of the path has risen. With
            // random delays, a low base RTT was chance, and is given up at once.
            if self.missed_probes >= MAX_MISSED_PROBES || self.delay.is_noisy() {
                self.delay.rebase();
                self.missed_probes = 0;
            }
            self.delay.restart_base_timer(now);
        }
        self.begin_steady();
    }

    fn update(&mut self, sample: &AckSample) {
        let smoothed = sample.smoothed_rtt.as_secs_f64().max(0.001);
        if self.mode == Mode::Steady {
            let bound = CWND_GAIN * self.bandwidth.get() * smoothed + CWND_EXTRA_PACKETS;
            self.cwnd = self.cwnd.min(bound);
        }
        self.cwnd = self
            .cwnd
            .clamp(MIN_BDP, f64::from(self.limits.max).max(MIN_BDP));
        let own = self.cwnd / smoothed;
        let rate = match self.mode {
            Mode::Startup => {
                // A few packets need not be spread over a round trip of seconds.
                let least = MIN_STARTUP_RATES[usize::from(self.round >= 2)];
                (STARTUP_PACING_GAIN * own).max(least.min(4.0 * own))
            }
            _ if self.delay.is_noisy() => NOISY_PACING_GAIN * own,
            _ => STEADY_PACING_GAIN * own,
        };
        self.rate = Some(rate.max(MIN_RATE));
    }
}

impl Controller for Bandwidth {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round_acked += sample.acked;
        self.round_lost += sample.lost;
        if let Some(rtt) = sample.rtt
            && self.delay.on_rtt(sample.now, rtt, sample.smoothed_rtt)
        {
            self.missed_probes = 0;
        }
        let new_round = sample.acked > 0 && sample.newest_order >= self.round_end;
        if new_round {
            self.round += 1;
            self.round_end = sample.next_order;
        }
        if let Some(rate) = sample.delivery_rate
            && (!rate.app_limited || rate.packets_per_second > self.bandwidth.get())
        {
            self.bandwidth.insert(self.round, rate.packets_per_second);
        }
        self.advance(sample);
        if new_round {
            self.on_round(sample);
        }
        self.update(sample);
    }

    fn on_loss(&mut self, _loss: &LossEvent) {
        // Lost packets are counted per round in `on_ack`.
    }

    fn on_timeout(&mut self, _now: Instant) {
        self.bandwidth.scale(0.5);
        // An outage causes many timeouts. The cwnd before the first one sets the threshold. A loss of the
        // first packet carries no information about the path.
        if self.threshold.is_infinite() && !self.delay.base().is_zero() {
            self.threshold = (self.cwnd / 2.0).max(MIN_BDP);
        }
        self.cwnd = f64::from(self.limits.initial).min(self.threshold);
        self.rate = self.rate.map(|rate| (rate * 0.5).max(MIN_RATE));
        self.mode = Mode::Startup;
    }

    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        self.bandwidth.scale(keep);
        self.cwnd = (self.cwnd * keep).max(f64::from(self.limits.initial));
        self.rate = self.rate.map(|rate| (rate * keep).max(MIN_RATE));
        self.delay.forget_recent();
        // The path may have changed: measure the base RTT again soon.
        self.delay.restart_base_timer(now);
    }

    fn on_path_change(&mut self, now: Instant, rtt: Option<Duration>) {
        let old = self.delay.base();
        self.delay.migrate(now, rtt);
        let new = self.delay.base();
        if !old.is_zero() && !new.is_zero() {
            // The rate is kept: a longer path has a larger BDP.
            let ratio = new.as_secs_f64() / old.as_secs_f64().max(0.001);
            self.cwnd *= ratio.clamp(0.25, 4.0);
        }
        self.missed_probes = 0;
        if let Mode::ProbeRtt { .. } = self.mode {
            self.begin_steady();
        }
        self.cwnd_above_target = None;
    }

    fn cwnd(&self) -> u32 {
        whole_packets(self.cwnd, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        self.rate
    }
}

/// The maximum of the last [`BANDWIDTH_FILTER_ROUNDS`] rounds.
#[derive(Debug, Default)]
struct MaxFilter {
    /// Candidates, in the order of falling value and rising round.
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
            .is_some_and(|(at, _)| at + BANDWIDTH_FILTER_ROUNDS < round)
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

/// Packets that each sender keeps in the queue of the bottleneck. Ten senders on a path of 1 MB/s cause
/// a queueing delay of 0.1 s.
const OWN_QUEUE_PACKETS: f64 = 5.0;
/// The longest queueing delay that these packets may cause. On a slow path it would be seconds otherwise.
const MAX_OWN_QUEUEING_DELAY: Duration = Duration::from_millis(200);
/// The share of a deviation from the target that is corrected per round. A change takes effect a round
/// later and is measured over another one, so a much larger gain would oscillate.
const DELAY_GAIN: f64 = 0.6;
/// The largest change of the cwnd in a round, as a share.
const MAX_CHANGE_PER_ROUND: f64 = 0.25;
/// Rounds without a queue after which growth accelerates. The cwnd then grows by this share in the first
/// round, and by twice the previous share in each further one.
const ROUNDS_BEFORE_ACCELERATION: u32 = 2;
const ACCELERATED_GROWTH: f64 = 0.05;
/// Rounds of acceleration that the end of Startup is credited with, because Startup underestimates the
/// bandwidth more often than it overestimates it.
const STARTUP_CREDIT_ROUNDS: u32 = 3;
/// The bound of the cwnd, as a multiple of the packets delivered in a round trip plus a number of packets.
const CWND_GAIN: f64 = 1.25;
const CWND_EXTRA_PACKETS: f64 = 8.0;
/// If the cwnd was reduced to this share without effect, the queue is not our own.
const FUTILE_CWND_SHARE: f64 = 0.7;
/// The cwnd in ProbeRtt, as a share of the BDP.
const PROBE_RTT_SHARE: f64 = 0.9;
/// The same in Drain, and at the beginning of Steady: a little more than the BDP, because
/// acknowledgements are delayed.
const DRAIN_SHARE: f64 = 0.92;
const STEADY_ENTRY_SHARE: f64 = 1.05;
/// A base RTT that was not measured again for this time, or for eight base RTTs if that is longer,
/// triggers ProbeRtt. Half as long on paths with random delays.
const BASE_RTT_LIFETIME: Duration = Duration::from_secs(12);
/// The base RTT is given up after this many probes without measuring it again.
const MAX_MISSED_PROBES: u32 = 3;
/// Pacing rate as a multiple of cwnd / RTT: packets that are acknowledged in bursts must leave within a
/// round.
const STEADY_PACING_GAIN: f64 = 1.15;
const NOISY_PACING_GAIN: f64 = 1.3;
const STARTUP_PACING_GAIN: f64 = 2.0;
/// The lowest pacing rate of Startup in packets per second, in the first round trip and after it.
const MIN_STARTUP_RATES: [f64; 2] = [45.0, 120.0];
/// The fewest packets from which Startup estimates the bandwidth.
const MIN_RATE_SAMPLE_PACKETS: u32 = 8;
/// Startup doubles the cwnd up to this size in packets. Beyond, growth falls with the square root of the
/// cwnd.
const MAX_DOUBLING_CWND: f64 = 384.0;
/// The smallest growth of the cwnd in Startup, in packets per acknowledged packet.
const MIN_STARTUP_GROWTH: f64 = 0.5;
/// Startup also ends after three rounds that increased the bandwidth by less than a quarter, as in BBR.
const FULL_BANDWIDTH_GROWTH: f64 = 1.25;
const FULL_BANDWIDTH_ROUNDS: u32 = 3;
/// Rounds over which the maximum of the bandwidth is taken. Ten, because a round is long and tunnels
/// change slowly.
const BANDWIDTH_FILTER_ROUNDS: u64 = 10;
/// The smallest BDP and cwnd in packets: below, the acknowledgement delay would dominate.
const MIN_BDP: f64 = 4.0;
/// The lowest pacing rate in packets per second, so that sending never stops.
const MIN_RATE: f64 = 1.0;
/// A loss rate that ends Startup. A lossy path loses a few per cent, and more in bursts. Growth by half per
/// round exceeds the capacity by a third, so this share of a round means an overflowing queue.
const STARTUP_LOSS_SHARE: f64 = 0.3;
/// The fewest lost packets that end Startup: one packet of a small first round proves nothing.
const MIN_STARTUP_LOST_PACKETS: u32 = 8;
/// A loss rate in Steady that indicates a full queue if it lasts for two rounds: hops and tunnels of a
/// usable path lose less. If the response has no effect, the controller does not respond again for
/// [`BASE_RTT_LIFETIME`], so that a path with this loss rate remains usable.
const OVERFLOW_LOSS_SHARE: f64 = 0.1;
const MIN_OVERFLOW_LOST_PACKETS: u32 = 4;
const OVERFLOW_ROUNDS: u32 = 2;
/// The cwnd after such loss, as a share of the packets delivered in a round. It drains a queue of a third
/// of the RTT.
const OVERFLOW_CWND_SHARE: f64 = 0.7;
/// Acknowledgements kept for the estimate of the bandwidth in Startup. Only peers that acknowledge every
/// packet send more in a quarter of a round trip.
const MAX_DELIVERIES: usize = 512;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests;
