//! Wall time for drivers.
//!
//! The protocols put dates on the wire (lease ends, publication times), so a driver needs to know
//! what time it is. This clock asks the system once and from then on adds what tokio's clock has
//! counted. It therefore stands still with `tokio::time::pause` and jumps with
//! `tokio::time::advance`: an hour of simulated traffic sees an hour pass.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// The moment the process first asked for the time, on both clocks.
static ORIGIN: OnceLock<(Instant, Duration)> = OnceLock::new();

/// Time since the Unix epoch.
///
/// Monotonic within one tokio runtime: a correction of the system's clock after the first call is
/// not seen. A system clock from before 1970 reads as the epoch.
///
/// Several paused runtimes in one process (as in a test binary) share the origin, but each follows
/// its own tokio clock from there.
///
/// # Panics
///
/// Never. Outside a tokio runtime tokio's clock is the system's monotonic clock.
pub fn unix_now() -> Duration {
    let (instant, unix) = ORIGIN.get_or_init(|| (Instant::now(), system_now()));
    let now = Instant::now();
    // A paused runtime may have been started (its clock frozen) before the origin was taken, by
    // another thread of the same process; then the time passed is negative.
    match now.checked_duration_since(*instant) {
        Some(passed) => unix.saturating_add(passed),
        None => unix.saturating_sub(instant.duration_since(now)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the system is asked for the wall time"
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
    async fn stands_still_while_tokio_is_paused_and_follows_when_it_advances() {
        let before = unix_now();
        assert_eq!(unix_now(), before);

        tokio::time::advance(Duration::from_secs(3600)).await;

        assert_eq!(unix_now(), before + Duration::from_secs(3600));
    }

    #[test]
    fn agrees_with_the_system_outside_a_runtime() {
        let system = system_now();
        let difference = unix_now().abs_diff(system);

        assert!(difference < Duration::from_secs(5), "{difference:?}");
    }
}
