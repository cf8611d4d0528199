//! The program `eepkit`: demos, private networks, and netcat-like streams on I2P.
//!
//! `args` parses the command line, `commands` implements the commands, `ui` prints output,
//! `failure` and `exit` report the result.
//!
//! It is a library, so that packages for other languages can contain the program.

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

use std::ffi::OsString;

use clap::Parser;

use self::{args::Cli, exit::Exit, ui::Ui};

/// Runs the program with these arguments, of which the first is the name of the program, and
/// returns its exit code.
///
/// Ends the process if the arguments are invalid, and for `--help` and `--version`.
///
/// # Panics
///
/// If the process has a global subscriber of [`tracing`] already, for example because this function
/// was called before.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::parse_from(arguments);
    let ui = Ui::new(&cli.global);
    logs::start(&cli.global);
    let exit = match commands::run(cli.command, &ui) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            ui.failure(&failure);
            failure.exit()
        }
    };
    exit.code()
}
