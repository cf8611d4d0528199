//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures the SAM bridge, the library alone and i2pd's bridge, on the same routers.
///
/// The i2pd network requires an i2pd (Debian: i2pd, or the one that EEPKIT_I2PD names) and a C
/// compiler. The simulated network has no requirements. No packet leaves the machine. Build it with
/// --release: a debug build measures unoptimised code.
#[derive(Debug, Parser)]
#[command(
    version,
    name = "sam-bench",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        sam-bench                            everything; takes some five minutes\n  \
        sam-bench --network sim              without i2pd, in a minute\n  \
        sam-bench --only accepts,datagrams   some of the measurements"
)]
pub(crate) struct Cli {
    /// The role of this process; without one, it measures.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The roles of processes that the measuring one starts.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Bridges to routers, one for each.
    #[command(hide = true)]
    Bridge {
        /// The routers, as `i2cp://` addresses.
        #[arg(required = true)]
        routers: Vec<String>,
    },
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The networks.
    #[arg(long = "network", value_name = "NETWORK", value_delimiter = ',',
          default_values_t = [Network::I2pd, Network::Sim])]
    pub(crate) networks: Vec<Network>,
    /// The measurements; all by default.
    #[arg(long, value_name = "MEASUREMENT", value_delimiter = ',')]
    pub(crate) only: Vec<Measurement>,
    /// Number of transfers, of which the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Size of a transfer in MiB.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) mebibytes: u16,
    /// Hops of each tunnel.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) hops: u8,
    /// Number of streams for the rate of opening streams.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) streams: u16,
    /// Number of sessions for the rate of opening sessions.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) sessions: u16,
    /// Number of sockets that wait for a stream at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) accepts: u16,
    /// Number of datagrams of 1 KiB.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) datagrams: u32,
}

impl Options {
    pub(crate) fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }
}

/// A network to measure on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// A private network of i2pd routers.
    I2pd,
    /// The simulated network, without delay.
    Sim,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::I2pd => "i2pd",
            Self::Sim => "sim",
        })
    }
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Bytes per second through one stream, and their cost.
    Bytes,
    /// Streams opened per second.
    Streams,
    /// Sessions opened per second.
    Sessions,
    /// Sockets that wait for streams, and the cost of each.
    Accepts,
    /// Datagrams per second.
    Datagrams,
}
