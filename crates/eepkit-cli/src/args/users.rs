//! The command line of `eepkit users`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make and change files with the names and passwords of users
///
/// The proxies and the SAM bridge read such a file (--users), and require a name and a password of
/// it with --require-password. Passwords are stored as hashes (Argon2id). `eepkit run` reads a changed
/// file on `eepkit reload`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit users add users.json ann              reads the password from standard input
  pass show proxy | eepkit users add users.json ann
  eepkit users list users.json
  eepkit http-proxy --users users.json --require-password")]
pub(crate) struct UsersArgs {
    #[command(subcommand)]
    pub(crate) command: UsersCommand,
}

/// What is done with a file of users.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Add a user; the password is a line of standard input
    ///
    /// The file is created if it does not exist. Only its owner can read it. There is no option for the
    /// password, because other users of the machine can read arguments.
    Add {
        /// The file of users
        file: PathBuf,
        /// The name, which the user sends with the password
        name: String,
        /// Replace the password of a user who exists
        #[arg(long)]
        replace: bool,
    },
    /// Remove a user
    Remove {
        /// The file of users
        file: PathBuf,
        /// The name
        name: String,
    },
    /// Print the names of users
    List {
        /// The file of users
        file: PathBuf,
        /// Print one JSON object on one line
        #[arg(long)]
        json: bool,
    },
}
