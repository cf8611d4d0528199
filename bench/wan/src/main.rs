//! Measures the streams of eepkit, i2pd and emissary on an emulated wide-area network.
//!
//! The network is emulated on this machine. Every router has a network namespace of its own. A
//! switch in this program carries the packets between them, with the configured delay, loss and
//! rate. On the same routers, in one run and alternately, the routers' own streaming (over SAM) and
//! ours (over I2CP) transfer the same amount of data. `bench/wan/README.md` explains the results.

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod chart;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod link_profile;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod prerequisites;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod switch;
#[cfg(target_os = "linux")]
mod ui;
#[cfg(target_os = "linux")]
mod wire;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser as _;

    let cli = args::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return ui::fail(&format!("no runtime: {error}")),
    };
    let result = match cli.role {
        None => runtime.block_on(measure::run(cli.options)),
        Some(args::Role::Probe(options)) => runtime.block_on(measure::probe(options)),
        Some(args::Role::Agent) => runtime.block_on(agent::serve()),
        Some(args::Role::Router(options)) => runtime.block_on(network::emissary::run(options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ui::fail(&error),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    use std::io::Write as _;

    let _ = writeln!(
        std::io::stderr(),
        "error: this measurement needs Linux: network namespaces and TUN devices"
    );
    ExitCode::FAILURE
}
