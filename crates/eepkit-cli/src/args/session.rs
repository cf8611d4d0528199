//! Options of every command that opens a session on a router.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use eepkit::Preset;

use eepkit_services::options::Span;

use super::values::{InOut, KeyValue, RouterChoice, tunnel_length, tunnel_quantity};

/// Which router, and how long to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Router")]
pub(crate) struct RouterArgs {
    /// `i2cp://HOST:PORT` for a router that runs, `embedded` for one in this process
    ///
    /// `sam://HOST:PORT` for one that has only SAM: the router gets the keys of the destination.
    ///
    /// Without it, the router at i2cp://127.0.0.1:7654 is used: that is where i2pd, Java I2P and
    /// I2P+ offer I2CP unless told otherwise. `embedded` joins the live network with a router in
    /// this process, which needs the internet, and some minutes at the first start.
    #[arg(
        short,
        long,
        value_name = "ROUTER",
        env = "EEPKIT_ROUTER",
        hide_env_values = true
    )]
    pub(crate) router: Option<RouterChoice>,

    /// Where the embedded router keeps its identity and what it knows of the network
    /// [default: eepkit/router in the user's data directory]
    #[arg(long, value_name = "DIR", env = "EEPKIT_STATE", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,

    /// List of routers for the embedded router's first start (i2pseeds.su3), where the reseed hosts
    /// cannot be reached
    #[arg(long, value_name = "FILE")]
    pub(crate) reseed_file: Option<PathBuf>,

    /// Give up when the router has no tunnels for us after this
    /// [default: 60s; 3m for the embedded router]
    #[arg(long, value_name = "TIME")]
    pub(crate) start_timeout: Option<Span>,
}

impl RouterArgs {
    /// The default limit for a router in this process to start, find other routers and build
    /// tunnels. Chosen because a first start takes two or three minutes.
    pub(crate) const EMBEDDED_LIMIT: Duration = Duration::from_secs(180);

    /// Whether the router runs in this process.
    pub(crate) fn is_embedded(&self) -> bool {
        self.router == Some(RouterChoice::Embedded)
    }
}

/// Options of the session itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tunnels")]
pub(crate) struct SessionArgs {
    /// Settings for a purpose: standard, interactive, bulk, server or test
    ///
    /// interactive: a hop less, for what is typed. bulk: more tunnels and larger buffers, for large
    /// files. server: more tunnels inbound, for many clients. test: one hop and one tunnel, on
    /// private networks only. The options below win over it.
    #[arg(long, value_name = "NAME", default_value_t = Preset::default())]
    pub(crate) preset: Preset,

    /// Hops of each tunnel, or IN,OUT [default: 3]
    ///
    /// More hops are slower and harder to trace; 0 hides nothing.
    #[arg(short, long, value_name = "HOPS", value_parser = tunnel_length)]
    pub(crate) length: Option<InOut>,

    /// Tunnels in each direction, or IN,OUT [default: 2]
    #[arg(long, value_name = "N", value_parser = tunnel_quantity)]
    pub(crate) quantity: Option<InOut>,

    /// Any other I2CP or streaming option, such as i2p.streaming.maxWindowSize=128
    ///
    /// May be given several times.
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    pub(crate) options: Vec<KeyValue>,
}
