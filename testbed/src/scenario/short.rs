//! Transfers that take a few round trips.

use super::{
    Effort, Measured, Row, Unit,
    bulk::{LOSSY, completion},
};

/// The mean over more runs than requested, because the result depends on whether a packet is lost.
fn seconds(effort: Effort, length: u64, warm_up: Option<u64>) -> Measured {
    effort.repeated(RUNS).mean(|seed| {
        let (took, measured) = completion(&LOSSY, length, warm_up, seed);
        Measured {
            value: took.as_secs_f64(),
            queue: None,
            ..measured
        }
    })
}

macro_rules! short {
    ($number:literal, $scenario:literal, $length:expr, $warm:expr, $limit:literal, $others:expr, $target:literal) => {
        Row {
            number: $number,
            scenario: $scenario,
            unit: Unit::Seconds,
            limit: Some($limit),
            others: $others,
            target: $target,
            run: |effort| seconds(effort, $length, $warm),
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    short!(
        "11c",
        "1 s, 1 MB/s, 1 %, 100 KiB, cold",
        100 << 10,
        None,
        2.0,
        ["9.7", "7.5", "7.2"],
        3.9
    ),
    short!(
        "11w",
        "1 s, 1 MB/s, 1 %, 100 KiB, warm",
        100 << 10,
        Some(8 << 20),
        1.2,
        ["", "", ""],
        1.8
    ),
    short!(
        "12c",
        "1 s, 1 MB/s, 1 %, 1 MiB, cold",
        1 << 20,
        None,
        3.2,
        ["17", "51", "18"],
        9.0
    ),
    short!(
        "12w",
        "1 s, 1 MB/s, 1 %, 1 MiB, warm",
        1 << 20,
        Some(8 << 20),
        2.2,
        ["", "", ""],
        3.6
    ),
];

/// Runs for each requested one.
const RUNS: u8 = 20;
