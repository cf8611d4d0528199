//! Measures proxies, tunnels and names, beside the library alone and i2pd.
//!
//! All use the same routers of a private i2pd network, alternately and in one run: the library and
//! our services over I2CP, and i2pd's proxy and tunnels in the routers. A simulated network, whose
//! cost is small, then measures the library and our services alone. `bench/proxies/README.md`
//! explains the results.

#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod bytes;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod requests;
#[cfg(target_os = "linux")]
mod route;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod services;
#[cfg(target_os = "linux")]
mod site;

use std::{io::Write as _, process::ExitCode};

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser as _;

    let cli = args::Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    let result = runtime.block_on(async {
        match cli.role {
            None => run::run(&cli.options.resolved()).await,
            Some(args::Role::Services {
                client,
                server,
                target,
                hops,
            }) => services::serve([client, server], target, hops).await,
            Some(args::Role::Idle {
                count,
                seconds,
                target,
            }) => idle::serve(count, seconds, target).await,
            Some(args::Role::Names { store, names }) => names::look_up(&store, names),
        }
    });
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
