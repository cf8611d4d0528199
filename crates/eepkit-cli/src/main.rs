//! The program `eepkit`: demos, private networks, and netcat-like streams on I2P.
//!
//! `args` says what can be asked for, `commands` does it, `ui` tells about it, `failure` and `exit`
//! say how it ended.

mod args;
mod commands;
mod config;
mod exit;
mod failure;
mod import;
mod logs;
mod pipe;
mod stop;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use self::{args::Cli, exit::Exit, ui::Ui};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.global);
    logs::start(&cli.global);
    match commands::run(cli.command, &ui) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit().into()
        }
    }
}
