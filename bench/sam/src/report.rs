//! The results.

use std::fmt;

use eepkit_bench_common::Report;

/// The measured implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Library,
    Bridge,
    I2pd,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(COLUMNS[*self as usize])
    }
}

const COLUMNS: &[&str] = &["the library", "our bridge", "i2pd's bridge"];

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
    pub(crate) fn name(self) -> &'static str {
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

/// An empty report on this network.
pub(crate) fn new_report(network: &str) -> Report {
    let title = format!("Over {network}");
    Report::new(
        &title,
        COLUMNS,
        Column::Bridge as usize,
        &ROWS.map(Row::name),
    )
}
