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
    I2pd(ImportI2pdArgs),
    I2ptunnel(ImportI2ptunnelArgs),
}

/// Import the tunnels of i2pd
///
/// Reads tunnels.conf and the files of tunnels.d. Writes eepkit.toml for `eepkit run`, and reports
/// what became of each setting. Key files stay where they are, and so do the destinations.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit import i2pd /etc/i2pd/tunnels.conf /etc/i2pd/tunnels.conf.d --data-dir /var/lib/i2pd --print
  eepkit import i2pd ~/.i2pd/tunnels.conf --directory ~/.config/eepkit
  eepkit config check eepkit.toml

The router stays i2pd's, by I2CP ([i2cp] enabled = true in i2pd.conf). Remove the tunnels from
i2pd before you start them here, because both would listen on the same ports.")]
pub(crate) struct ImportI2pdArgs {
    #[command(flatten)]
    pub(crate) tunnels: ImportTunnelsArgs,
}

/// Import the tunnels of Java I2P
///
/// Reads i2ptunnel.config and the files of i2ptunnel.config.d. Writes eepkit.toml for `eepkit run`,
/// and reports what became of each setting. Key files stay where they are, and so do the
/// destinations.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit import i2ptunnel ~/.i2p/i2ptunnel.config.d --print
  eepkit import i2ptunnel ~/.i2p/i2ptunnel.config --directory ~/.config/eepkit
  eepkit config check eepkit.toml

The router stays Java I2P's, by I2CP. Stop the tunnels there before you start them here, because
both would listen on the same ports.")]
pub(crate) struct ImportI2ptunnelArgs {
    #[command(flatten)]
    pub(crate) tunnels: ImportTunnelsArgs,
}

/// The arguments of both imports of tunnels.
#[derive(Debug, Args)]
pub(crate) struct ImportTunnelsArgs {
    /// Files with tunnels, and directories of such files
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// The directory of the other router's key files [default: that of the first file]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Where to write eepkit.toml [default: the current directory]
    #[arg(short, long, value_name = "DIR", conflicts_with = "print")]
    pub(crate) directory: Option<PathBuf>,

    /// Overwrite a file that exists
    #[arg(short, long, conflicts_with = "print")]
    pub(crate) force: bool,

    /// Print the contents of eepkit.toml, and write nothing
    #[arg(short, long)]
    pub(crate) print: bool,
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
