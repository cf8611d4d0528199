//! The difference between the clock of the router and that of this machine.

use std::time::Duration;

use crate::ui;

/// Describes by how much the router is ahead or behind, such as `31 s ahead of`.
pub(super) fn describe(ahead_ms: i64) -> String {
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let difference = Duration::from_millis(ahead_ms.unsigned_abs());
    format!("{} {side}", ui::duration(difference))
}

/// Whether routers on such clocks have trouble with each other.
pub(super) fn is_wrong(ahead_ms: i64) -> bool {
    ahead_ms.unsigned_abs() > u64::from(TOLERANCE_MS)
}

/// The advice for a difference that [`is_wrong`].
pub(super) const HINT: &str =
    "set the clock that is wrong, and restart the router; I2P tolerates a minute";

/// Routers refuse a session configuration whose date is off by 30 seconds (I2CP, "Session Config").
const TOLERANCE_MS: u32 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_side_and_counts_beyond_half_a_minute() {
        for (ahead, text, wrong) in [
            (0, "behind", false),
            (30_000, "ahead of", false),
            (31_000, "31.0 s ahead of", true),
            (-10_800_000, "3 h 0 min behind", true),
            (i64::MIN, "behind", true),
        ] {
            let described = describe(ahead);
            assert!(described.ends_with(text), "{described}");
            assert_eq!(is_wrong(ahead), wrong, "{ahead}");
        }
    }
}
