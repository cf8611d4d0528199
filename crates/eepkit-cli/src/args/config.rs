//! The arguments of `eepkit config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Check the configuration file of `eepkit run`
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Check(CheckArgs),
}

/// Show all errors of a configuration file, and change nothing
///
/// Each error is a line FILE:LINE: TEXT, followed by what can be done. The files that the
/// configuration names, such as keys and certificates, are read as well. Nothing is started.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit config check
  eepkit config check eepkit.toml
  eepkit config check --json | jq '.errors[] | {line, message}'

Exit codes: 0 if the file can be used, 7 if it has errors or cannot be read.")]
pub(crate) struct CheckArgs {
    /// The file [default: eepkit/eepkit.toml in the user's configuration directory]
    #[arg(value_name = "FILE", env = "EEPKIT_CONFIG")]
    pub(crate) file: Option<PathBuf>,

    /// Print one JSON object with the services and the errors
    #[arg(long)]
    pub(crate) json: bool,
}
