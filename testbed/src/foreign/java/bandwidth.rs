//! Java's bandwidth estimate: two filters over acknowledged packets (Westwood+).

use std::time::Duration;

/// The estimated delivery rate, in packets per second.
#[derive(Debug)]
pub(super) struct Bandwidth {
    estimate: f64,
    raw: f64,
    /// Packets since `since`; `None` before the first.
    packets: Option<f64>,
    since: Duration,
}

impl Bandwidth {
    pub(super) const fn new() -> Self {
        Self {
            estimate: 0.0,
            raw: 0.0,
            packets: None,
            since: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, now: Duration, rtt: Duration, packets: u32) {
        let packets = f64::from(packets);
        if let Some(sum) = &mut self.packets {
            *sum += packets;
            self.estimate(now, rtt);
        } else {
            self.raw = packets / now.saturating_sub(self.since).max(MIN_SPAN).as_secs_f64();
            self.estimate = self.raw;
            self.packets = Some(0.0);
            self.since = now;
        }
    }

    /// The current estimate. If a round has passed, it includes the packets acknowledged since the
    /// last update.
    pub(super) fn estimate(&mut self, now: Duration, rtt: Duration) -> f64 {
        let round = rtt.max(MIN_SPAN).as_secs_f64();
        let mut span = now.saturating_sub(self.since).as_secs_f64();
        let Some(packets) = self.packets.filter(|_| span >= round) else {
            return self.estimate;
        };
        if span > 2.0 * round {
            let empty = ((span / round) as u32)
                .saturating_sub(1)
                .min(MAX_EMPTY_ROUNDS);
            for _ in 0..empty {
                self.decay();
            }
            span -= f64::from(empty) * round;
        }
        if packets > 0.0 {
            self.raw = filter(self.raw, packets / span);
            self.estimate = filter(self.estimate, self.raw);
        } else {
            self.decay();
        }
        self.packets = Some(0.0);
        self.since = now;
        self.estimate
    }

    fn decay(&mut self) {
        self.raw *= 7.0 / 8.0;
        self.estimate = filter(self.estimate, self.raw);
    }
}

fn filter(old: f64, new: f64) -> f64 {
    (7.0 * old + new) / 8.0
}

/// The shortest duration of a round.
const MIN_SPAN: Duration = Duration::from_millis(500);
const MAX_EMPTY_ROUNDS: u32 = 16;
