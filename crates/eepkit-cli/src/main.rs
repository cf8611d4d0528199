//! The program `eepkit`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    eepkit_cli::run(env::args_os()).into()
}
