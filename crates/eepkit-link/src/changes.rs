//! Changes of the system that make an attempt worthwhile before its time: the clock was set, the
//! system or the process was suspended, or the network changed.

use std::{fmt, net::IpAddr, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::clock;

/// A change of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The system's clock was set by this number of milliseconds, or the system was suspended for
    /// that time.
    ClockSet(i64),
    /// The process did not run for this time.
    Stopped(Duration),
    /// The addresses of the system's network interfaces changed.
    Network,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockSet(ms) if *ms >= 0 => write!(
                f,
                "the clock was set ahead by {} s, or the system was suspended",
                ms / 1000
            ),
            Self::ClockSet(ms) => write!(f, "the clock was set back by {} s", -(ms / 1000)),
            Self::Stopped(time) => write!(f, "the process was stopped for {} s", time.as_secs()),
            Self::Network => f.write_str("the network changed"),
        }
    }
}

/// Observes the system's clocks, and its network if that is requested.
#[derive(Debug)]
pub struct Watch {
    /// The same moment on tokio's clock and on the wall clock.
    seen: (Instant, Duration),
    /// The addresses of the network interfaces, in order; `None` if they are not observed.
    addresses: Option<Vec<IpAddr>>,
}

impl Watch {
    /// Observes the clocks.
    pub fn clocks() -> Self {
        Self {
            seen: (Instant::now(), clock::unix_now()),
            addresses: None,
        }
    }

    /// Observes the clocks and the addresses of the network interfaces.
    pub fn clocks_and_network() -> Self {
        Self {
            addresses: Some(addresses()),
            ..Self::clocks()
        }
    }

    /// Waits until a change is noticed, which takes at most five seconds.
    ///
    /// Cancel safe: a change between two calls is reported by the second one.
    pub async fn changed(&mut self) -> Change {
        loop {
            let due = self.seen.0 + TICK;
            sleep_until(due).await;
            if let Some(change) = self.look(due) {
                return change;
            }
        }
    }

    fn look(&mut self, due: Instant) -> Option<Change> {
        let (then, wall_then) = self.seen;
        let (now, wall_now) = (Instant::now(), clock::unix_now());
        self.seen = (now, wall_now);
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let passed = now.saturating_duration_since(then);
        let step = millis(wall_now)
            .saturating_sub(millis(wall_then))
            .saturating_sub(millis(passed));
        if step.saturating_abs() > millis(TOLERANCE) {
            return Some(Change::ClockSet(step));
        }
        let late = now.saturating_duration_since(due);
        if late > STOPPED {
            return Some(Change::Stopped(late));
        }
        let before = self.addresses.as_mut()?;
        let addresses = addresses();
        if addresses == *before {
            return None;
        }
        // Without an address there is nothing to try.
        let gone = addresses.is_empty();
        *before = addresses;
        (!gone).then_some(Change::Network)
    }
}

/// The addresses of the network interfaces that are not local to this system. Empty if they cannot
/// be read.
fn addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The time between two observations. Chosen because reading two clocks costs nothing, and because a
/// person who wakes a computer does not notice this delay.
const TICK: Duration = Duration::from_secs(5);

/// How far the clocks may drift apart between two observations. Chosen above what a time service
/// corrects gradually.
const TOLERANCE: Duration = Duration::from_secs(2);

/// How late an observation may be before the process counts as stopped. Chosen above the delays of a
/// busy system.
const STOPPED: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    /// The first change within `limit`.
    async fn within(watch: &mut Watch, limit: Duration) -> Option<Change> {
        tokio::time::timeout(limit, watch.changed()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_is_no_change() {
        let mut watch = Watch::clocks();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(within(&mut watch, day).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_once_in_either_direction() {
        let mut watch = Watch::clocks();
        for step in [3_600_000, -3_600_000, i64::from(i32::MAX) * 1000] {
            clock::step_simulated(step);
            let change = within(&mut watch, TICK * 2).await;
            assert_eq!(change, Some(Change::ClockSet(step)));
            assert_eq!(within(&mut watch, TICK * 10).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_process_is_noticed() {
        let mut watch = Watch::clocks();
        tokio::time::advance(Duration::from_secs(690)).await;
        let change = within(&mut watch, TICK).await;
        assert_eq!(change, Some(Change::Stopped(Duration::from_secs(685))));
        assert_eq!(within(&mut watch, TICK * 10).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn other_addresses_are_a_change_of_the_network() {
        let mut watch = Watch::clocks_and_network();
        assert_eq!(within(&mut watch, TICK * 3).await, None);
        let unlike = IpAddr::from([192, 0, 2, 1]);
        watch.addresses.as_mut().expect("observed").push(unlike);
        let change = within(&mut watch, TICK * 2).await;
        // A system without addresses of its own has nothing to try.
        let expected = (!addresses().is_empty()).then_some(Change::Network);
        assert_eq!(change, expected);
    }
}
