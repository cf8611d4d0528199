//! The control socket: a flag of commands, and the section `[control]` of the configuration file.

use std::path::PathBuf;

use clap::Args;
use eepkit_services::{
    access,
    options::{Opt, Table},
};

/// Where `eepkit run` listens for other commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlConfig {
    pub(crate) enabled: bool,
    pub(crate) socket: Option<PathBuf>,
}

/// The options of the section.
pub(crate) static CONTROL: Table<ControlConfig> = Table {
    section: "control",
    doc: "The socket through which `eepkit status`, `reload` and `stop` reach this program.",
    defaults: || ControlConfig {
        enabled: true,
        socket: None,
    },
    options: &[
        Opt::new(
            "enabled",
            access!(ControlConfig, bool, enabled),
            "Whether there is a control socket. `--no-control` turns it off.",
        ),
        Opt::new(
            "socket",
            access!(ControlConfig, Option<PathBuf>, socket),
            "Path of the Unix socket. Only the user of this program can connect.\n\
             Default: eepkit/control.sock in $XDG_RUNTIME_DIR, else in the user's state directory.",
        )
        .example("\"/run/eepkit/control.sock\""),
    ],
};

/// How commands find a running `eepkit run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlArgs {
    /// Control socket of the running program [default: that of the configuration file, else
    /// eepkit/control.sock in $XDG_RUNTIME_DIR]
    #[arg(
        long = "control",
        value_name = "PATH",
        env = "EEPKIT_CONTROL",
        hide_env_values = true
    )]
    pub(crate) socket: Option<PathBuf>,

    /// Configuration file of the running program, which may name its control socket
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "EEPKIT_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
}
