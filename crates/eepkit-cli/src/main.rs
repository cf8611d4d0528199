//! The program `eepkit`: demos, private networks, and netcat-like streams on I2P.
//!
//! `args` parses the command line, `commands` implements the commands, `ui` prints output,
//! `failure` and `exit` report the result.

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
