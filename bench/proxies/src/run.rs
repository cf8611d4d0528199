//! The measurements and their order.

use eepkit_bench_common::{Outcome, Report, processes, say};

use crate::{
    args::{Measurement, Network, Options},
    bytes, idle, names,
    network::{COLUMNS, Column, Setup},
    requests,
};

/// Runs all requested measurements.
pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let needed = idle::FILES_PER_CONNECTION * u64::from(options.idle) + OTHER_FILES;
    let files = processes::raise_file_limit(needed);
    let idle = (files - OTHER_FILES.min(files)) / idle::FILES_PER_CONNECTION;
    let idle = options.idle.min(u32::try_from(idle).unwrap_or(u32::MAX));
    if idle < options.idle {
        say(&format!(
            "{files} open files are allowed: {idle} idle connections"
        ));
    }
    for network in &options.networks {
        let setup = match network {
            Network::I2pd => Setup::i2pd(options).await?,
            Network::Sim => Setup::sim(options).await?,
        };
        let rows = [&requests::ROWS[..], &bytes::ROWS, &idle::ROWS].concat();
        let mut report = Report::new(&setup.title, COLUMNS, Column::Ours as usize, &rows);
        // First, because the allocator keeps the memory of other measurements.
        if options.wants(Measurement::Idle) {
            match network {
                Network::I2pd => idle::on(&mut report, &setup, idle / 10, options.seconds).await,
                Network::Sim => idle::simulated(&mut report, idle, options.seconds).await?,
            }
        }
        if options.wants(Measurement::Requests) || options.wants(Measurement::Burst) {
            requests::until_ready(&setup, options).await?;
        }
        if options.wants(Measurement::Requests) {
            requests::rates(&mut report, &setup, options).await;
        }
        if options.wants(Measurement::Bytes) {
            bytes::rates(&mut report, &setup, options).await;
        }
        if options.wants(Measurement::Burst) {
            requests::bursts(&mut report, &setup, options).await;
        }
        report.print();
    }
    if options.wants(Measurement::Names) {
        names::measure(options.names).await?;
    }
    Ok(())
}

/// For everything but idle connections.
const OTHER_FILES: u64 = 500;
