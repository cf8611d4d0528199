//! Measures the SAM bridge, the library alone and i2pd's bridge.
//!
//! All use the same routers of a private i2pd network, alternately and in one run: the library and
//! our bridge over I2CP, and i2pd's bridge in the routers. A simulated network, whose cost is
//! small, then measures library and bridge alone. `bench/sam/README.md` explains the results.

#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod bridge;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod pair;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod sam;

use std::{io::Write as _, process::ExitCode};

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser as _;

    let cli = args::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    let result = match cli.role {
        None => runtime.block_on(measure::run(&cli.options)),
        Some(args::Role::Bridge { routers }) => runtime.block_on(bridge::serve(&routers)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    fail("this measurement needs Linux: the i2pd network, and /proc")
}

fn fail(why: &str) -> ExitCode {
    // Fails only if standard error is closed.
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::FAILURE
}
