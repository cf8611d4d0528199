//! The results.

use std::{fmt, io::Write as _};

use crate::measure::Outcome;

/// The measured implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Library,
    Bridge,
    I2pd,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Library => "the library",
            Self::Bridge => "our bridge",
            Self::I2pd => "i2pd's bridge",
        })
    }
}

const COLUMNS: [Column; 3] = [Column::Library, Column::Bridge, Column::I2pd];

/// The measured quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Bytes,
    Cpu,
    OwnCpu,
    Streams,
    Sessions,
    Accepts,
    AcceptRate,
    AcceptMemory,
    Datagrams,
    DatagramsLost,
}

const ROWS: [Row; 10] = [
    Row::Bytes,
    Row::Cpu,
    Row::OwnCpu,
    Row::Streams,
    Row::Sessions,
    Row::Accepts,
    Row::AcceptRate,
    Row::AcceptMemory,
    Row::Datagrams,
    Row::DatagramsLost,
];

impl Row {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "one stream, MiB/s",
            Self::Cpu => "processor time of all processes, ms/MiB",
            Self::OwnCpu => "of these, without the routers, ms/MiB",
            Self::Streams => "streams opened and used, 1/s",
            Self::Sessions => "sessions opened at once, 1/s",
            Self::Accepts => "sockets that wait for streams",
            Self::AcceptRate => "such sockets opened, 1/s",
            Self::AcceptMemory => "memory for each, KiB",
            Self::Datagrams => "signed datagrams of 1 KiB, 1/s",
            Self::DatagramsLost => "of these lost, %",
        }
    }
}

/// The figures of one network.
#[derive(Debug)]
pub(crate) struct Report {
    title: &'static str,
    figures: Vec<(Row, Column, f64)>,
}

impl Report {
    pub(crate) fn new(title: &'static str) -> Self {
        Self {
            title,
            figures: Vec::new(),
        }
    }

    /// Adds a figure. Of several, the median counts. Failures are reported and omitted.
    pub(crate) fn add(&mut self, row: Row, column: Column, figure: Outcome<f64>) {
        match figure {
            Ok(figure) => self.figures.push((row, column, figure)),
            Err(error) => say(&format!("{}: {column}: {error}", row.name())),
        }
    }

    fn median(&self, row: Row, column: Column) -> Option<f64> {
        let mut figures: Vec<f64> = self
            .figures
            .iter()
            .filter(|figure| (figure.0, figure.1) == (row, column))
            .map(|figure| figure.2)
            .collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let mut text = format!("\nOver {}:\n\n", self.title);
        text += "| | the library | our bridge | i2pd's bridge | our bridge / library | our bridge / i2pd's |\n";
        text += "|---|---|---|---|---|---|\n";
        for row in ROWS {
            let figures = COLUMNS.map(|column| self.median(row, column));
            if figures.iter().all(Option::is_none) {
                continue;
            }
            let [library, bridge, i2pd] = figures;
            let cells = figures.map(|figure| figure.map_or_else(|| "-".to_owned(), short));
            let ratio = |to: Option<f64>| match (bridge, to) {
                (Some(bridge), Some(to)) if to > 0.0 => format!("{:.2}", bridge / to),
                _ => "-".to_owned(),
            };
            text += &format!(
                "| {} | {} | {} | {} |\n",
                row.name(),
                cells.join(" | "),
                ratio(library),
                ratio(i2pd),
            );
        }
        // Fails only if standard error is closed.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// A number with three significant digits.
fn short(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// Reports progress.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
