//! The load of this machine, which limits routers that share few cores.

use std::fs;

use serde::Serialize;
use tokio::time::Instant;

/// The work of the machine in a time, or, from [`Load::now`], since its start.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Load {
    /// Length of the time.
    pub(crate) seconds: f64,
    /// Share of the time of all cores that was spent working, 0 to 1.
    pub(crate) busy: f64,
    #[serde(skip)]
    at: Option<Instant>,
    #[serde(skip)]
    ticks: (u64, u64),
}

impl Load {
    /// The current counters.
    pub(crate) fn now() -> Self {
        Self {
            seconds: 0.0,
            busy: 0.0,
            at: Some(Instant::now()),
            ticks: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| ticks(&text))
                .unwrap_or_default(),
        }
    }

    /// The difference to `before`.
    pub(crate) fn since(self, before: &Self) -> Self {
        let seconds = match (self.at, before.at) {
            (Some(now), Some(then)) => (now - then).as_secs_f64(),
            _ => 0.0,
        };
        let worked = self.ticks.0.saturating_sub(before.ticks.0);
        let all = self.ticks.1.saturating_sub(before.ticks.1).max(1);
        Self {
            seconds,
            busy: worked as f64 / all as f64,
            ..self
        }
    }
}

/// Ticks spent working and ticks altogether, of all cores (proc(5), `/proc/stat`).
fn ticks(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        // The further fields, the time of guests, are contained in the first two.
        .take(8)
        .collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy_time() {
        let text = "cpu  10 1 5 80 4 0 0 0 7 0\ncpu0 1 1 1 1 1\n";
        assert_eq!(ticks(text), Some((16, 100)));
        assert_eq!(ticks(""), None);
        assert_eq!(ticks("cpu  1 2"), None);
    }
}
