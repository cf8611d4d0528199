//! The arguments of `eepkit import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Convert the configuration of another program to eepkit.toml
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    Sam(ImportSamArgs),
}

/// Import the configuration of Java I2P's SAM bridge
///
/// Reads sam.config, and the arguments of the bridge in clients.config (or a file of
/// clients.config.d), which take precedence. Writes eepkit.toml for `eepkit run`, and
/// sam-users.json if there are users, who keep their passwords. Settings without a counterpart are
/// reported.
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

    /// Print the contents of eepkit.toml, and write nothing
    #[arg(short, long)]
    pub(crate) print: bool,
}
