//! Tests against software that we did not write. See `interop/README.md`.

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::Arguments;

use crate::lab::Lab;

mod i2pd_alone;
mod lab;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // The tests wait for tunnels most of the time: all at once take as long as one.
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
    libtest_mimic::run(&args, trials).exit_code()
}
