//! Wall time for drivers.
//!
//! The protocols put dates on the wire (expirations of leases, publication times), so a driver
//! needs the wall time. This clock reads the system's clock once, and then adds the time that has
//! passed on tokio's clock. It therefore stops with `tokio::time::pause` and jumps with
//! `tokio::time::advance`, so dates are consistent with simulated time.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// The moment of the first call in this process, on both clocks.
static ORIGIN: OnceLock<(Instant, Duration)> = OnceLock::new();

/// Time since the Unix epoch.
///
/// Monotonic within one tokio runtime: a correction of the system's clock after the first call has
/// no effect. If the system's clock is before 1970, the first call returns the epoch.
///
/// Several paused runtimes in one process (as in a test binary) share the moment of the first call.
/// From there, each follows its own tokio clock.
///
/// # Panics
///
/// Never. Outside a tokio runtime tokio's clock is the system's monotonic clock.
pub fn unix_now() -> Duration {
    let (instant, unix) = ORIGIN.get_or_init(|| (Instant::now(), system_now()));
    let now = Instant::now();
    // Another thread may have set the origin after the clock of this runtime was paused. The time
    // that has passed since the origin is then negative.
    match now.checked_duration_since(*instant) {
        Some(passed) => unix.saturating_add(passed),
        None => unix.saturating_sub(instant.duration_since(now)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that reads the system's wall clock"
)]
fn system_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stops_and_advances_with_the_clock_of_tokio() {
        let before = unix_now();
        assert_eq!(unix_now(), before);

        tokio::time::advance(Duration::from_secs(3600)).await;

        assert_eq!(unix_now(), before + Duration::from_secs(3600));
    }

    #[test]
    fn outside_a_runtime_the_clock_follows_the_system() {
        let system = system_now();
        let difference = unix_now().abs_diff(system);

        assert!(difference < Duration::from_secs(5), "{difference:?}");
    }
}
