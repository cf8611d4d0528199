//! A limit on log lines that others can cause.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Limits log lines of one kind that a router, a peer or a client can cause as often as it likes.
///
/// ```
/// use eepkit_link::LogLimit;
///
/// static LIMIT: LogLimit = LogLimit::new();
///
/// if let Some(left_out) = LIMIT.admit() {
///     // Log the line, with `left_out`.
/// #   assert_eq!(left_out, 0);
/// }
/// # assert_eq!(LIMIT.admit(), None);
/// ```
#[derive(Debug, Default)]
pub struct LogLimit {
    /// The time of the last line, and the number of lines left out since then.
    last: Mutex<Option<(Instant, u64)>>,
}

impl LogLimit {
    /// The shortest time between two lines. Chosen so that a day of a flood takes one or two
    /// megabytes.
    pub const PAUSE: Duration = Duration::from_secs(10);

    /// Creates a limit that admits a line.
    pub const fn new() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }

    /// Counts a line. Returns the number of lines left out since the last one if this line should
    /// be logged.
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        // Nothing panics while it is held.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, left_out)) if now.saturating_duration_since(*at) < Self::PAUSE => {
                *left_out += 1;
                None
            }
            last => last
                .replace((now, 0))
                .map_or(Some(0), |(_, left_out)| Some(left_out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_lines_becomes_one_line_per_pause_with_a_count() {
        let limit = LogLimit::new();
        let mut lines = Vec::new();
        for _ in 0..3000 {
            lines.extend(limit.admit());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(lines, [0, 999, 999]);
    }
}
