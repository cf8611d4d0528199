//! Scenarios of paths with a large BDP, run over emulated links, as one table.
//!
//! A row describes a path, its limit, the results of other implementations there, and the target.
//! [`table`] runs the rows and formats them. `cargo bench -p eepkit-testbed --bench scenarios` runs
//! all of them. A test runs each once and compares the table with a snapshot.
//!
//! The results of other implementations come from models of them, a simulator of their state
//! machines that agrees with measurements between routers. They are not measured here, unless the
//! scenario states that the other side is a model.
//!
//! A link counts tunnel messages of 1028 bytes: two for a packet of 1812 bytes of payload, one for
//! an acknowledgement. Its rate limit is in these bytes. The limit of the payload is therefore
//! 1812/2056 of it, minus the share that is lost.

use std::{fmt, time::Duration};

mod bulk;
mod fairness;
pub mod others;
mod paths;
mod reordering;
mod short;
mod streams;
mod tunnels;
mod world;

pub use world::World;

/// The length and number of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Length of rows that transfer for a fixed time, in per cent of the full length.
    pub length_percent: u32,
    /// Runs of each row that are averaged.
    pub seeds: u8,
}

impl Effort {
    /// The effort of the published results.
    pub const FULL: Self = Self {
        length_percent: 100,
        seeds: 8,
    };
    /// For the normal tests. A single run depends on chance, so its result is not compared with the
    /// target.
    pub const QUICK: Self = Self {
        length_percent: 100,
        seeds: 1,
    };

    fn length(self, full: Duration) -> Duration {
        full * self.length_percent / 100
    }

    /// `times` as many runs, for results that depend on whether a single packet is lost.
    fn repeated(self, times: u8) -> Self {
        Self {
            seeds: self.seeds.saturating_mul(times),
            ..self
        }
    }

    /// The mean over all seeds.
    fn mean(self, mut run: impl FnMut(u8) -> Measured) -> Measured {
        let runs: Vec<Measured> = (1..=self.seeds)
            .map(|seed| run(seed.wrapping_mul(16).wrapping_add(seed / 16)))
            .collect();
        Measured::mean(&runs)
    }
}

/// The unit of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Payload that the receiver read, MB/s; more is better.
    Goodput,
    /// Seconds; less is better.
    Seconds,
    /// Jain's index of fairness, 1 at best.
    Jain,
    /// Per cent lost; less is better.
    Percent,
    /// Goodput in per cent of that without this library; more is better.
    Kept,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Goodput => "MB/s",
            Self::Seconds => "s",
            Self::Jain => "Jain",
            Self::Percent => "%",
            Self::Kept => "% of",
        }
    }

    const fn more_is_better(self) -> bool {
        matches!(self, Self::Goodput | Self::Jain | Self::Kept)
    }
}

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// In the unit of the row.
    pub value: f64,
    /// Mean queueing delay at the bottleneck after the first quarter, in milliseconds.
    pub queue: Option<f64>,
    /// The 95th percentile of it, in milliseconds.
    pub queue_p95: Option<f64>,
    /// Share of packets with sequence numbers that were retransmissions, in per cent.
    pub resent: Option<f64>,
    /// Bytes on the wire, in both directions, per byte of payload delivered.
    pub wire: Option<f64>,
    /// Goodput in per cent of the limit of the path.
    pub share: Option<f64>,
}

impl Measured {
    fn mean(runs: &[Self]) -> Self {
        let of = |get: fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(get).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Self {
            value: of(|run| Some(run.value)).unwrap_or_default(),
            queue: of(|run| run.queue),
            queue_p95: of(|run| run.queue_p95),
            resent: of(|run| run.resent),
            wire: of(|run| run.wire),
            share: of(|run| run.share),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// The number; rows of one scenario have the same.
    pub number: &'static str,
    /// RTT, rate, loss and other properties.
    pub scenario: &'static str,
    /// The unit of the result.
    pub unit: Unit,
    /// The limit of the path.
    pub limit: Option<f64>,
    /// The results of i2pd, Java and emissary, published or simulated; empty if unknown.
    pub others: [&'static str; 3],
    /// The target.
    pub target: f64,
    /// Runs the scenario.
    pub run: fn(Effort) -> Measured,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.scenario)
    }
}

/// All rows, in order.
pub fn rows() -> Vec<Row> {
    [
        bulk::ROWS,
        short::ROWS,
        paths::ROWS,
        fairness::ROWS,
        others::ROWS,
        streams::ROWS,
        tunnels::ROWS,
        reordering::ROWS,
    ]
    .concat()
}

/// The heading of the table.
pub fn heading() -> String {
    format!(
        "{:<4} {:<42} {:<5} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7} {:>6} {:>5} {:>7} {:>7} {:>5}\n",
        "row",
        "scenario",
        "unit",
        "limit",
        "i2pd",
        "Java",
        "emiss.",
        "target",
        "ours",
        "share",
        "met",
        "queue",
        "resent",
        "wire"
    )
}

/// Runs a row and formats it as a line of the table.
pub fn line(row: &Row, effort: Effort) -> String {
    let measured = (row.run)(effort);
    let better = if row.unit.more_is_better() {
        measured.value >= row.target
    } else {
        measured.value <= row.target
    };
    let met = match (effort.seeds, better) {
        (..=1, _) => "-",
        (_, true) => "yes",
        (_, false) => "NO",
    };
    let share = measured.share.or_else(|| {
        let limit = row.limit.filter(|_| row.unit == Unit::Goodput)?;
        Some(100.0 * measured.value / limit)
    });
    let queue = match (measured.queue, measured.queue_p95) {
        (Some(mean), Some(high)) => format!("{mean:.0}/{high:.0}"),
        _ => String::from("-"),
    };
    let [i2pd, java, emissary] = row.others;
    format!(
        "{:<4} {:<42} {:<5} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7} {:>6} {:>5} {:>7} {:>7} {:>5}\n",
        row.number,
        row.scenario,
        row.unit.name(),
        row.limit.map_or_else(|| String::from("-"), short_number),
        i2pd,
        java,
        emissary,
        short_number(row.target),
        short_number(measured.value),
        share.map_or_else(|| String::from("-"), |share| format!("{share:.0} %")),
        met,
        queue,
        measured
            .resent
            .map_or_else(|| String::from("-"), |resent| format!("{resent:.1} %")),
        measured
            .wire
            .map_or_else(|| String::from("-"), |wire| format!("{wire:.2}")),
    )
}

/// Runs all rows.
pub fn table(effort: Effort) -> String {
    let mut table = heading();
    for row in rows() {
        table.push_str(&line(&row, effort));
    }
    table
}

/// A number with three significant digits.
fn short_number(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.1}")
    } else if value >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests;
