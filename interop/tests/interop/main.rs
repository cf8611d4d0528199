//! Tests against third-party software. See `interop/README.md`.

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::Arguments;

use crate::lab::Lab;

mod bridges;
mod chaos;
mod clock;
mod datagrams;
mod dialogues;
mod failures;
mod hole;
mod i2pd_alone;
mod i2plib;
mod java;
mod lab;
mod net;
mod network_program;
mod older;
mod restarts;
mod sam_client;
mod streams;
mod tunnels;
mod yosemite;

fn main() -> ExitCode {
    if let Some(code) = clock::serve_if_requested() {
        return code;
    }
    // Logs of the library are written to standard error according to RUST_LOG.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut args = Arguments::from_args();
    // The tests mostly wait for tunnels, so all of them together take as long as one.
    args.test_threads.get_or_insert(32);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return lab::give_up(&format!("no tokio runtime: {error}")),
    };
    let lab = match Lab::new(runtime.handle().clone()) {
        Ok(lab) => Arc::new(lab),
        Err(why) => return lab::give_up(&why),
    };
    let mut trials = Vec::new();
    i2pd_alone::add(&lab, &mut trials);
    network_program::add(&lab, &mut trials);
    streams::add(&lab, &mut trials);
    datagrams::add(&lab, &mut trials);
    tunnels::add(&lab, &mut trials);
    failures::add(&lab, &mut trials);
    chaos::add(&lab, &mut trials);
    clock::add(&lab, &mut trials);
    restarts::add(&lab, &mut trials);
    sam_client::add(&lab, &mut trials);
    yosemite::add(&lab, &mut trials);
    i2plib::add(&lab, &mut trials);
    older::add(&lab, &mut trials);
    dialogues::add(&lab, &mut trials);
    java::add(&lab, &mut trials);
    libtest_mimic::run(&args, trials).exit_code()
}
