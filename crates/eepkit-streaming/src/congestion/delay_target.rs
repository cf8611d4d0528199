//! A delay-target controller. The default of this crate.
//!
//! The controller is of the family of Vegas, FAST TCP and Copa: it keeps a fixed number of its own packets in
//! the queue of the bottleneck. Startup, Drain and ProbeRtt are those of BBR.
//!
//! # Equations
//!
//! | symbol | meaning |
//! |---|---|
//! | `w` | cwnd, in packets |
//! | `R` | median RTT of the last round trip |
//! | `R0` | base RTT: the minimum of `R` over the last three probes |
//! | `n` | noise: how much `R` may exceed `R0` by chance, 20 to 80 ms as a rule |
//! | `q` | queueing delay, `R - R0 - n` |
//! | `B` | maximum of the delivery rate over ten rounds |
//! | `b` | smoothed delivery rate |
//! | `j` | smoothed difference between consecutive RTT samples |
//! | `s` | maximum of the delivered share of the packets over ten rounds |
//! | `alpha`, `gamma` | 5 packets, 0.6 |
//!
//! In Steady, a round changes the cwnd by the law of FAST TCP (Wei, Jin, Low and Hegde, 2006), by a quarter
//! at most:
//!
//! ```text
//! w <- w + gamma * (alpha - w * q / R)
//! w <= 1.25 * B * R / s + 8
//! pacing rate = 1.2 * w / R
//! ```
//!
//! The cwnd also has a lower bound. `g` is 0.9 on most paths. It grows with the jitter, from
//! `j = 0.05 * R0` to 1.9 at `j = 0.08 * R0`:
//!
//! ```text
//! w >= g * b * R0
//! ```
//!
//! After four rounds without a queue, growth is 5 % per round and doubles each round, as the velocity of Copa
//! does.
//!
//! # What it converges to
//!
//! `w / R` is the sending rate, so `w * q / R` is the number of packets of this sender in the queue, beyond
//! those that noise may hide. The cwnd rests where this is `alpha`.
//!
//! - **Alone**, on a path of capacity `C`: `q = alpha / C`. The path is full, because `w > C * R0`. An error
//!   shrinks to `1 - gamma` of itself in a round.
//! - **With `N` senders:** each keeps `alpha` packets in the same queue, so all have the same rate `C / N`, and
//!   `q = N * alpha / C`. This holds if all have the same `R0`; ProbeRtt is there for that. It does not hold
//!   below 25 packets per second each, where the target is limited to 0.2 s. The shares converge by about
//!   `gamma * alpha` packets per round, which is slow on a path with a large BDP.
//! - **With jitter:** `n` grows with the jitter. The queue may be longer by `n`, and in exchange random delay
//!   does not reduce the cwnd.
//! - **With hops that retransmit in order:** over NTCP2, a lost segment delays all packets behind it for a
//!   round trip of the link. The packets that wait are not a queue of ours, and their number grows with the
//!   rate. A cwnd that follows this delay falls without end, although a larger one would be delivered. Such a
//!   path has much more jitter than a full queue. The lower bound permits `R = g * R0` there, so the delay that
//!   it adds is at most 0.9 base RTTs. On a path with such jitter and a fixed capacity, it adds a queue of
//!   this length and costs no goodput (rows 9b and 9c).
//! - **With random loss `p`:** loss does not change the cwnd. Healthy hops drop up to 2 % of the packets when
//!   they are busy, and tunnels reorder packets. The bound is divided by the delivered share, so that the
//!   cwnd can grow at any `p` below one half.
//! - **In a queue that is always full:** delay does not rise, and a loss rate above 10 % in two successive
//!   rounds is the only signal ([`overflow`]).
//!
//! # Invariants
//!
//! - The cwnd is at least half of the delivery rate times the base RTT. The tests of this module check this
//!   and the convergence of the cwnd on random paths.
//! - Noise is one number, [`DelayEstimator::noise`]. It separates delay that is a queue from delay that is
//!   not, for all states. Jitter too large for it counts only in the lower bound of the cwnd.
//! - Loss that proved spurious does not count.
//!
//! # Constants
//!
//! Each constant is marked: *specified* by the algorithm that is named, *derived* from a property of the
//! protocol, *tuned*, with the rows of the scenario table to run when it changes, or *chosen* for the reason
//! that is given.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

mod estimator;
mod filter;
mod overflow;
mod probe_rtt;
mod startup;
mod steady;

use self::{
    estimator::DelayEstimator,
    filter::MaxFilter,
    overflow::Overflow,
    probe_rtt::{PROBE_RTT_SHARE, ProbeRtt},
    startup::Startup,
    steady::Steady,
};
use super::{AckSample, Controller, ControllerFactory, CwndLimits, LossEvent, whole_packets};

/// Makes delay-target controllers: the cwnd follows the queueing delay, and loss alone does not change it. The
/// default of this crate.
#[derive(Debug, Clone, Default)]
pub struct DelayTargetConfig {}

impl ControllerFactory for DelayTargetConfig {
    fn build(self: Arc<Self>, now: Instant, limits: CwndLimits) -> Box<dyn Controller> {
        Box::new(DelayTarget {
            limits,
            state: State::Startup(Startup::default()),
            cwnd: f64::from(limits.initial),
            pacing_rate: None,
            ssthresh: f64::INFINITY,
            delivery_rate: MaxFilter::default(),
            smoothed_rate: 0.0,
            delivered_share: MaxFilter::default(),
            smoothed_share: 1.0,
            delay: DelayEstimator::new(now),
            overflow: Overflow::new(),
            round: Round {
                number: 0,
                end: 0,
                began: now,
                acked: 0,
                lost: 0,
            },
        })
    }
}

/// The state of the controller, named as in BBR.
#[derive(Debug)]
enum State {
    Startup(Startup),
    /// The queue that Startup built drains.
    Drain {
        since: Instant,
    },
    Steady(Steady),
    ProbeRtt(ProbeRtt),
}

#[derive(Debug)]
struct DelayTarget {
    limits: CwndLimits,
    state: State,
    /// In packets.
    cwnd: f64,
    /// In packets per second.
    pacing_rate: Option<f64>,
    /// Startup ends at this cwnd.
    ssthresh: f64,
    /// In packets per second.
    delivery_rate: MaxFilter,
    /// The delivery rate of rounds that were limited by the cwnd, smoothed, in packets per second.
    smoothed_rate: f64,
    /// The share of the packets that was delivered, smoothed over a few rounds.
    delivered_share: MaxFilter,
    smoothed_share: f64,
    delay: DelayEstimator,
    overflow: Overflow,
    round: Round,
}

/// A round: the time until a packet that was sent at its beginning is acknowledged.
#[derive(Debug)]
struct Round {
    number: u64,
    /// The round ends when a packet with this send order is acknowledged.
    end: u64,
    began: Instant,
    acked: u32,
    lost: u32,
}

impl DelayTarget {
    /// The bandwidth-delay product, in packets.
    fn bdp(&self) -> f64 {
        (self.max_rate() * self.delay.base_rtt().as_secs_f64()).max(MIN_CWND)
    }

    /// The maximum of the delivery rate, in packets per second.
    fn max_rate(&self) -> f64 {
        self.delivery_rate.get().unwrap_or(0.0)
    }

    /// The lower bound of the cwnd, in packets. It is higher on a path whose hops retransmit in order.
    fn floor(&self) -> f64 {
        let base_rtt = self.delay.base_rtt().as_secs_f64();
        let (from, to) = FLOOR_JITTER;
        let excess = ((self.delay.jitter_share() - from) / (to - from)).clamp(0.0, 1.0);
        let (min, max) = FLOOR_GAIN;
        (min + (max - min) * excess) * self.smoothed_rate * base_rtt
    }

    /// Applies an acknowledgement to the current state, and changes the state.
    fn advance(&mut self, sample: &AckSample) {
        let now = sample.now;
        let base_rtt = self.delay.base_rtt();
        match &mut self.state {
            State::Startup(startup) => {
                self.cwnd += Startup::growth(sample, self.cwnd, &self.limits);
                if let Some(rate) = startup.delivery_rate(sample) {
                    self.delivery_rate.insert(self.round.number, rate);
                }
                let lossy = self.round.lost >= MIN_STARTUP_LOST_PACKETS
                    && self.round.loss_share() > STARTUP_LOSS_SHARE;
                let queue = self.round.number >= 2 && startup.has_queue(&self.delay, self.cwnd);
                if startup.has_full_rate() || queue || lossy {
                    self.state = State::Drain { since: now };
                    self.cwnd = DRAIN_SHARE * self.bdp();
                } else if self.cwnd >= self.ssthresh {
                    self.enter_steady(Steady::default());
                }
            }
            State::Drain { since } => {
                let drained = now.saturating_duration_since(*since);
                self.cwnd = DRAIN_SHARE * self.bdp();
                let empty = f64::from(sample.in_flight) <= self.cwnd && drained > base_rtt;
                if empty || drained > base_rtt * MAX_DRAIN_ROUNDS {
                    self.cwnd = STEADY_ENTRY_SHARE * self.bdp();
                    self.enter_steady(Steady::after_drain());
                }
            }
            State::Steady(steady) => {
                let step = steady.step(sample, &self.delay, self.cwnd, &self.limits);
                let age = now.saturating_duration_since(self.delay.base_measured_at());
                match step {
                    steady::Step::Futile(cwnd) => {
                        self.enter_probe_rtt(ProbeRtt::futile(cwnd, &self.delay));
                    }
                    steady::Step::Cwnd(cwnd) if age > PROBE_INTERVAL.max(base_rtt * 8) => {
                        let steady = std::mem::take(steady);
                        self.enter_probe_rtt(ProbeRtt::regular(cwnd, steady, &self.delay));
                    }
                    steady::Step::Cwnd(cwnd) => self.cwnd = cwnd,
                }
            }
            State::ProbeRtt(probe) => {
                match probe.step(now, f64::from(sample.in_flight), base_rtt) {
                    probe_rtt::Step::Cwnd(cwnd) => self.cwnd = cwnd,
                    probe_rtt::Step::Measure(cwnd) => {
                        self.cwnd = cwnd;
                        self.delay.forget_recent();
                    }
                    probe_rtt::Step::Done(cwnd) => {
                        self.cwnd = cwnd;
                        self.delay.end_probe(now, probe.is_futile());
                        let steady = probe.resume_steady(now + sample.smoothed_rtt);
                        self.enter_steady(steady);
                    }
                }
            }
        }
    }

    fn enter_steady(&mut self, steady: Steady) {
        self.state = State::Steady(steady);
        self.ssthresh = f64::INFINITY;
        self.delay.forget_recent();
    }

    fn enter_probe_rtt(&mut self, probe: ProbeRtt) {
        self.cwnd = probe.cwnd();
        self.state = State::ProbeRtt(probe);
    }

    /// Ends a round.
    fn on_round(&mut self, sample: &AckSample) {
        let next = Round {
            number: self.round.number + 1,
            end: sample.next_order,
            began: sample.now,
            acked: 0,
            lost: 0,
        };
        let round = std::mem::replace(&mut self.round, next);
        self.smoothed_share += SHARE_GAIN * (1.0 - round.loss_share() - self.smoothed_share);
        let share = self.smoothed_share.max(MIN_DELIVERED_SHARE);
        self.delivered_share.insert(round.number, share);
        let rate = round.rate(sample.now, self.delay.base_rtt());
        if sample.cwnd_limited || rate > self.smoothed_rate {
            self.smoothed_rate += RATE_GAIN * (rate - self.smoothed_rate);
        }
        let max_rate = self.max_rate();
        match &mut self.state {
            State::Startup(startup) => {
                startup.on_round(rate, max_rate, sample.cwnd_limited);
            }
            State::Steady(steady) => {
                self.delay.end_steady_round();
                steady.on_round(&self.delay, self.cwnd, sample.cwnd_limited);
                self.respond_to_overflow(sample.now, &round);
            }
            State::Drain { .. } | State::ProbeRtt(_) => {}
        }
    }

    /// Reduces the cwnd if the queue is always full.
    fn respond_to_overflow(&mut self, now: Instant, round: &Round) {
        // Packets that are late by the noise may have been declared lost.
        let base_rtt = self.delay.base_rtt().as_secs_f64().max(0.001);
        let late_share = self.delay.random_delay().as_secs_f64() / base_rtt;
        if self.overflow.on_round(
            now,
            round.acked,
            round.lost,
            late_share,
            1.0 - self.smoothed_share,
        ) {
            let delivered = f64::from(round.acked);
            let resume = self.cwnd.min(PROBE_RTT_SHARE * delivered);
            let probe = ProbeRtt::new(
                OVERFLOW_CWND_SHARE * delivered,
                resume,
                Steady::default(),
                &self.delay,
            );
            self.enter_probe_rtt(probe);
        }
    }

    /// Applies the bounds of the cwnd and computes the pacing rate.
    fn update(&mut self, sample: &AckSample) {
        let rtt = sample.smoothed_rtt.as_secs_f64().max(0.001);
        if let State::Steady(_) = self.state {
            let share = self.delivered_share.get().unwrap_or(1.0);
            let sent = CWND_GAIN * self.max_rate() * rtt / share;
            let bound = sent + CWND_EXTRA_PACKETS;
            self.cwnd = self.cwnd.min(bound).max(self.floor());
        }
        let max = f64::from(self.limits.max).max(MIN_CWND);
        self.cwnd = self.cwnd.clamp(MIN_CWND, max);
        let round_rate = self.cwnd / rtt;
        let pacing_rate = match self.state {
            State::Startup(_) => {
                // A few packets need not be spread over a round trip of seconds.
                let min = MIN_STARTUP_RATES[usize::from(self.round.number >= 2)];
                (STARTUP_PACING_GAIN * round_rate).max(min.min(4.0 * round_rate))
            }
            _ => PACING_GAIN * round_rate,
        };
        self.pacing_rate = Some(pacing_rate.max(MIN_RATE));
    }
}

impl Controller for DelayTarget {
    fn on_ack(&mut self, sample: &AckSample) {
        self.round.acked += sample.acked;
        self.round.lost = (self.round.lost + sample.lost).saturating_sub(sample.spurious);
        if let Some(rtt) = sample.rtt {
            self.delay.on_rtt(sample.now, rtt, sample.smoothed_rtt);
            if let State::Startup(startup) = &mut self.state {
                startup.on_rtt(rtt);
            }
        }
        let new_round = sample.acked > 0 && sample.newest_order >= self.round.end;
        if let Some(rate) = sample.delivery_rate
            && (!rate.app_limited || rate.packets_per_second > self.max_rate())
        {
            let round = self.round.number + u64::from(new_round);
            self.delivery_rate.insert(round, rate.packets_per_second);
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
        self.delivery_rate.scale(0.5);
        self.smoothed_rate *= 0.5;
        // An outage causes many timeouts. The cwnd before the first one sets the threshold. A loss of the
        // first packet carries no information about the path.
        if self.ssthresh.is_infinite() && !self.delay.base_rtt().is_zero() {
            self.ssthresh = (self.cwnd / 2.0).max(MIN_CWND);
        }
        self.cwnd = f64::from(self.limits.initial).min(self.ssthresh);
        self.pacing_rate = self.pacing_rate.map(|rate| (rate * 0.5).max(MIN_RATE));
        self.state = State::Startup(Startup::default());
    }

    fn on_idle_restart(&mut self, now: Instant, keep: f64) {
        self.delivery_rate.scale(keep);
        self.smoothed_rate *= keep;
        self.cwnd = (self.cwnd * keep).max(f64::from(self.limits.initial));
        self.pacing_rate = self.pacing_rate.map(|rate| (rate * keep).max(MIN_RATE));
        self.delay.forget_recent();
        // The path may have changed: measure the base RTT again soon.
        self.delay.restart_probe_timer(now);
    }

    fn on_path_change(&mut self, now: Instant, rtt: Option<Duration>) {
        let old = self.delay.base_rtt();
        self.delay.migrate(now, rtt);
        let new = self.delay.base_rtt();
        if !old.is_zero() && !new.is_zero() {
            // The rate is kept: a longer path has a larger BDP.
            let ratio = new.as_secs_f64() / old.as_secs_f64().max(0.001);
            self.cwnd *= ratio.clamp(0.25, 4.0);
        }
        if let State::Steady(_) | State::ProbeRtt(_) = self.state {
            self.enter_steady(Steady::default());
        }
    }

    fn on_packet_size(&mut self, ratio: f64) {
        self.delivery_rate.scale(ratio);
        self.smoothed_rate *= ratio;
        self.ssthresh *= ratio;
        self.cwnd = (self.cwnd * ratio).clamp(MIN_CWND, f64::from(self.limits.max).max(MIN_CWND));
        self.pacing_rate = self.pacing_rate.map(|rate| (rate * ratio).max(MIN_RATE));
        match &mut self.state {
            State::Startup(startup) => startup.scale(ratio),
            State::ProbeRtt(probe) => probe.scale(ratio),
            State::Steady(steady) => steady.scale(ratio),
            State::Drain { .. } => {}
        }
    }

    fn cwnd(&self) -> u32 {
        whole_packets(self.cwnd, &self.limits)
    }

    fn pacing_rate(&self) -> Option<f64> {
        self.pacing_rate
    }
}

impl Round {
    /// The share of the packets that were lost.
    fn loss_share(&self) -> f64 {
        f64::from(self.lost) / f64::from((self.acked + self.lost).max(1))
    }

    /// The mean delivery rate until `now`, in packets per second. A round takes at least a base RTT.
    fn rate(&self, now: Instant, base_rtt: Duration) -> f64 {
        let took = now.saturating_duration_since(self.began).max(base_rtt);
        f64::from(self.acked) / took.as_secs_f64().max(0.001)
    }
}

/// The smallest cwnd and BDP, in packets. Derived: below, the acknowledgement delay would dominate the RTT.
const MIN_CWND: f64 = 4.0;
/// The lowest pacing rate in packets per second. Chosen so that sending never stops.
const MIN_RATE: f64 = 1.0;
/// The bound of the cwnd, as a multiple of the BDP with the current RTT, plus a number of packets. Derived:
/// it must exceed the largest growth of a round, a quarter, and the packets that one acknowledgement covers.
const CWND_GAIN: f64 = 1.25;
const CWND_EXTRA_PACKETS: f64 = 8.0;
/// The lower bound of the cwnd, as a multiple of the BDP: the first up to the first share of jitter in the
/// base RTT, the second from the second share. Tuned: with links of TCP that lose segments (rows 22 to 24s), more gain has more
/// goodput; with random jitter and a fixed capacity (rows 9, 9b and 9c), a gain of 2.2 overfills the
/// queue. A queue that competing senders fill has at most 2 % of jitter (rows 15 and 16).
const FLOOR_GAIN: (f64, f64) = (0.9, 1.9);
const FLOOR_JITTER: (f64, f64) = (0.05, 0.08);
/// The weight of a round in the smoothed delivery rate. Tuned: with an eighth, row 24s loses an eighth.
const RATE_GAIN: f64 = 0.25;
/// The weight of a round in the smoothed share of delivered packets. Chosen because a round may have few
/// packets.
const SHARE_GAIN: f64 = 0.25;
/// The smallest share that the bound accounts for. Derived: with 1.25 / 0.5, loss of one half permits a cwnd
/// of two and a half times the packets delivered in a round.
const MIN_DELIVERED_SHARE: f64 = 0.5;
/// Pacing rate as a multiple of `w / R`. Derived: packets that are acknowledged in bursts must leave within a
/// round. Tuned: rows 22 and 23.
const PACING_GAIN: f64 = 1.2;
/// The same in Startup. Specified: twice the rate, so that the cwnd can double in a round.
const STARTUP_PACING_GAIN: f64 = 2.0;
/// The lowest pacing rate of Startup in packets per second, in the first two rounds and after them. Tuned:
/// rows 11 and MS.
const MIN_STARTUP_RATES: [f64; 2] = [45.0, 120.0];
/// The loss rate of a round that ends Startup. Derived: a lossy path loses a few per cent, and more in
/// bursts; growth by half per round exceeds the capacity by a third, so this share is an overflowing queue.
const STARTUP_LOSS_SHARE: f64 = 0.3;
/// The fewest lost packets that end Startup. Derived: on a path that loses a fifth, a small round exceeds the
/// share by chance.
const MIN_STARTUP_LOST_PACKETS: u32 = 16;
/// The cwnd in Drain as a share of the BDP, and at the beginning of Steady. Derived: less than the BDP drains
/// the queue; a little more fills the path although acknowledgements are delayed.
const DRAIN_SHARE: f64 = 0.92;
const STEADY_ENTRY_SHARE: f64 = 1.05;
/// The longest time in Drain, in base RTTs. Chosen because the queue may be that of others.
const MAX_DRAIN_ROUNDS: u32 = 3;
/// The time after which the base RTT is measured again, or eight base RTTs if that is longer. Specified: BBR
/// probes after ten seconds. Tuned: with less, paths of 1 s lose goodput (row 5).
const PROBE_INTERVAL: Duration = Duration::from_secs(12);
/// The cwnd after an overflow, as a share of the packets delivered in a round. Derived: it drains a queue of
/// a third of the RTT.
const OVERFLOW_CWND_SHARE: f64 = 0.7;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests;
