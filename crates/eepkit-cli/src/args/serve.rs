//! The command line of `eepkit serve`.

use std::path::PathBuf;

use clap::Args;

use super::{RouterArgs, SessionArgs};

/// Put a folder or a local web server online as a web site
///
/// Puts a destination online, prints its address, and answers HTTP requests with the files of the
/// folder until Ctrl-C. `index.html` is the start page of a directory. Only files in the folder are
/// published: no file or directory whose name begins with a dot, and nothing outside to which a
/// symbolic link leads. Answers contain neither the time nor the name of a program.
///
/// With --port, requests are passed to a web server of this machine instead. Headers with which
/// visitors could pretend to be someone else, and those that name the software and the clock of the
/// server, are dropped.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  eepkit serve public                        the folder `public`, at a new address
  eepkit serve public --keys site.dat        at an address that stays the same
  eepkit serve public --keys site.dat --qr   with a QR code of the address
  eepkit serve public --router embedded      on the live network, with a router of its own
  eepkit serve --port 8080 --keys site.dat   the web server at 127.0.0.1:8080

To see the site, start `eepkit http-proxy`, and give its address to a browser or to curl:
  curl --proxy http://127.0.0.1:4444 http://ADDRESS/

The address is printed on standard output once the site is online. Other files can be added, changed
and removed while it is. Who knows the address can read all of them.")]
pub(crate) struct ServeArgs {
    /// The folder
    #[arg(value_name = "DIR", required_unless_present = "port")]
    pub(crate) folder: Option<PathBuf>,

    /// Pass requests to the web server at this port of 127.0.0.1, instead of a folder
    #[arg(long, value_name = "PORT", conflicts_with = "folder", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// The Host header that the web server receives [default: that of the request]
    #[arg(long, value_name = "HOST", requires = "port")]
    pub(crate) host: Option<String>,

    /// Private key file of the destination; created if it does not exist
    ///
    /// Without it, a new destination is created for this run and discarded afterwards.
    #[arg(short = 'K', long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    /// Print the address as a QR code, too, for a terminal with a dark background
    #[arg(long)]
    pub(crate) qr: bool,

    #[command(flatten)]
    pub(crate) router: RouterArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}
