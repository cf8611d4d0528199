//! ProbeRtt: the queue drains for a round trip, so that the base RTT can be measured.
//!
//! The base RTT is only correct if the queue was empty when it was measured. All senders on a path observe
//! the same empty queue and start their timers from it, so they drain the queue together the next time.
//! Senders that joined later then measure the correct base RTT.

use std::time::{Duration, Instant};

use super::{estimator::DelayEstimator, steady::Steady};

/// The state of ProbeRtt.
#[derive(Debug)]
pub(super) struct ProbeRtt {
    phase: Phase,
    /// The cwnd of the probe.
    cwnd: f64,
    /// The cwnd after it.
    resume: f64,
    /// The queueing delay before it, in seconds.
    queueing_delay: f64,
    /// Steady reduced the cwnd without effect on the delay.
    futile: bool,
    /// Steady before it.
    steady: Steady,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// More packets are in flight than the cwnd allows.
    Draining,
    /// Packets in flight were sent with the smaller cwnd. The queue is empty at the first instant; the
    /// measurement ends at the second, a round trip later.
    Measuring { from: Instant, until: Instant },
    /// Measuring, and sending with the earlier cwnd again.
    Resumed { until: Instant },
}

/// What ProbeRtt decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// Continue with this cwnd.
    Cwnd(f64),
    /// Continue with this cwnd. From now on, packets are acknowledged that were sent during the probe, while
    /// packets sent from now on may queue again.
    Measure(f64),
    /// Return to Steady with this cwnd.
    Done(f64),
}

impl ProbeRtt {
    /// A probe with `cwnd`, after which `resume` applies.
    pub(super) fn new(cwnd: f64, resume: f64, steady: Steady, delay: &DelayEstimator) -> Self {
        Self {
            phase: Phase::Draining,
            cwnd: cwnd.min(resume),
            resume,
            queueing_delay: delay.queueing_delay(),
            futile: false,
            steady,
        }
    }

    /// The regular probe: the cwnd is [`PROBE_RTT_SHARE`] of the BDP, as far as `cwnd` fills the path.
    pub(super) fn regular(cwnd: f64, steady: Steady, delay: &DelayEstimator) -> Self {
        let base_rtt = delay.base_rtt().as_secs_f64().max(0.001);
        let rtt = delay.median_rtt().as_secs_f64().max(base_rtt);
        Self::new(PROBE_RTT_SHARE * cwnd * base_rtt / rtt, cwnd, steady, delay)
    }

    /// The probe after the cwnd was reduced without effect on the delay.
    pub(super) fn futile(cwnd: f64, delay: &DelayEstimator) -> Self {
        Self {
            futile: true,
            ..Self::regular(cwnd, Steady::default(), delay)
        }
    }

    /// Multiplies the cwnd by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        self.cwnd *= factor;
        self.resume *= factor;
        self.steady.scale(factor);
    }

    pub(super) const fn cwnd(&self) -> f64 {
        self.cwnd
    }

    /// Steady after the probe.
    pub(super) fn resume_steady(&self, until: Instant) -> Steady {
        self.steady.after_probe(self.queueing_delay, until)
    }

    pub(super) const fn is_futile(&self) -> bool {
        self.futile
    }

    /// Applies an acknowledgement.
    pub(super) fn step(&mut self, now: Instant, in_flight: f64, base_rtt: Duration) -> Step {
        if let Phase::Draining = self.phase
            && in_flight <= self.cwnd + 1.0
        {
            self.phase = Phase::Measuring {
                from: now + base_rtt,
                until: now + base_rtt * 2,
            };
        }
        match self.phase {
            Phase::Measuring { from, until } if now >= from => {
                self.phase = Phase::Resumed { until };
                Step::Measure(self.resume)
            }
            Phase::Resumed { until } if now >= until => Step::Done(self.resume),
            Phase::Resumed { .. } => Step::Cwnd(self.resume),
            Phase::Draining | Phase::Measuring { .. } => Step::Cwnd(self.cwnd),
        }
    }
}

/// The cwnd of a probe, as a share of the BDP. Derived: below 1 the queue drains; each hundredth costs a
/// hundredth of the goodput of two round trips.
pub(super) const PROBE_RTT_SHARE: f64 = 0.9;
