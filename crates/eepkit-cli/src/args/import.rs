//! The arguments of `eepkit import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Turn the configuration of another program into eepkit.toml
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    Sam(ImportSamArgs),
}

/// Take over the SAM bridge of Java I2P
///
/// Reads sam.config, and the arguments that clients.config (or a file of clients.config.d) gives
/// the bridge, which win. Writes eepkit.toml for `eepkit run`, and sam-users.json if there are
/// users: they keep their passwords. What has no counterpart is told.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit import sam ~/.i2p/sam.config --print
  eepkit import sam ~/.i2p/sam.config ~/.i2p/clients.config.d/*SAM* --directory ~/.config/eepkit
  eepkit run --config eepkit.toml

The router stays Java I2P's, by I2CP. Private keys of programs are their own, and stay with them.")]
pub(crate) struct ImportSamArgs {
    /// sam.config, and files that start the bridge
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Where to write the files [default: the current directory]
    #[arg(short, long, value_name = "DIR", conflicts_with = "print")]
    pub(crate) directory: Option<PathBuf>,

    /// Overwrite files that exist
    #[arg(short, long, conflicts_with = "print")]
    pub(crate) force: bool,

    /// Print what eepkit.toml would hold, and write nothing
    #[arg(short, long)]
    pub(crate) print: bool,
}
