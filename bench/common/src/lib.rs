//! What the benchmarks of services share: sessions with the same tunnels, transfers, the cost of
//! processes, and reports.
#![cfg(target_os = "linux")]

pub mod processes;
mod report;
mod streams;

use std::{error, io::Write as _, time::Duration};

pub use self::{
    report::{Report, short},
    streams::{Io, Tunnels, connect, transfer},
};

/// An error. It ends the run, or only its measurement if others can go on.
pub type Failed = Box<dyn error::Error + Send + Sync>;

/// The result of a step.
pub type Outcome<T> = Result<T, Failed>;

/// The time limit of a step: i2pd has its first tunnels after 20 to 40 s.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The delay before a request is repeated that the network could not answer yet.
pub const RETRY: Duration = Duration::from_millis(500);

/// Reports progress.
pub fn say(line: &str) {
    // Fails only if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
