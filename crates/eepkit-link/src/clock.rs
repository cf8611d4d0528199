//! Wall time for drivers.
//!
//! The protocols put dates on the wire (expirations of leases, publication times), so a driver
//! needs the wall time. This clock is the system's clock, which may be set at any time. While
//! tokio's time is simulated (`tokio::time::pause`), it is the moment of the first call plus the
//! time that has passed on tokio's clock, so dates are consistent with simulated time.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// The moment of the first call in this process, on both clocks.
static ORIGIN: OnceLock<(Instant, Duration)> = OnceLock::new();

thread_local! {
    /// How far the simulated clock of this thread was set ahead, in milliseconds.
    static SIMULATED_STEP_MS: Cell<i64> = const { Cell::new(0) };
}

/// Time since the Unix epoch.
///
/// Not monotonic: it follows corrections of the system's clock. If the system's clock is before
/// 1970, the result is the epoch. [`changes`](crate::changes) reports when the clock was set.
///
/// Several paused runtimes in one process (as in a test binary) share the moment of the first call.
/// From there, each follows its own tokio clock.
///
/// # Panics
///
/// Never. Outside a tokio runtime the result is the system's clock.
pub fn unix_now() -> Duration {
    let (now, is_simulated) = now();
    if !is_simulated {
        return system_now();
    }
    let (instant, unix) = ORIGIN.get_or_init(|| (now, system_now()));
    // Another thread may have set the origin after the clock of this runtime was paused. The time
    // that has passed since the origin is then negative.
    let time = match now.checked_duration_since(*instant) {
        Some(passed) => unix.saturating_add(passed),
        None => unix.saturating_sub(instant.duration_since(now)),
    };
    let step = SIMULATED_STEP_MS.get();
    let by = Duration::from_millis(step.unsigned_abs());
    match step >= 0 {
        true => time.saturating_add(by),
        false => time.saturating_sub(by),
    }
}

/// Time since the Unix epoch, for code that cannot handle a clock that is set back.
///
/// It follows the system's clock when that is set ahead. When that is set back, it stands still until
/// the system's clock has caught up. With simulated time it is [`unix_now`].
pub fn unix_now_not_back() -> Duration {
    static LATEST_MS: AtomicU64 = AtomicU64::new(0);
    let (_, is_simulated) = now();
    if is_simulated {
        return unix_now();
    }
    let now_ms = u64::try_from(system_now().as_millis()).unwrap_or(u64::MAX);
    let latest = LATEST_MS.fetch_max(now_ms, Ordering::Relaxed);
    Duration::from_millis(latest.max(now_ms))
}

/// Sets the simulated clock of this thread ahead, or back if `milliseconds` is negative, as an
/// administrator sets the clock of a system. Only for tests. No effect on time that is not
/// simulated.
pub fn step_simulated(milliseconds: i64) {
    SIMULATED_STEP_MS.set(SIMULATED_STEP_MS.get().saturating_add(milliseconds));
}

/// The time on tokio's clock, and whether it is simulated.
#[expect(
    clippy::disallowed_methods,
    reason = "the system's clock shows whether that of tokio is paused"
)]
fn now() -> (Instant, bool) {
    // tokio has no function for this. A clock that is not paused is between two readings of the
    // system's clock.
    let before = SystemInstant::now();
    let now = Instant::now();
    let after = SystemInstant::now();
    let is_simulated = !(before..=after).contains(&now.into_std());
    (now, is_simulated)
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

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_can_be_set() {
        let before = unix_now();
        step_simulated(-3_600_000);
        assert_eq!(unix_now(), before.saturating_sub(Duration::from_secs(3600)));
        step_simulated(3_601_000);
        assert_eq!(unix_now(), before + Duration::from_secs(1));
    }

    #[test]
    fn outside_a_runtime_the_clock_follows_the_system() {
        step_simulated(3_600_000);
        for _ in 0..1_000 {
            let difference = unix_now().abs_diff(system_now());
            assert!(difference < Duration::from_secs(5), "{difference:?}");
        }
    }

    #[tokio::test]
    async fn the_clock_of_a_running_runtime_follows_the_system() {
        step_simulated(3_600_000);
        for _ in 0..1_000 {
            let difference = unix_now().abs_diff(system_now());
            assert!(difference < Duration::from_secs(5), "{difference:?}");
        }
    }
}
