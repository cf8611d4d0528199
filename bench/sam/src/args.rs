//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures the SAM bridge beside the library alone and i2pd's bridge, on the same routers.
///
/// The i2pd network needs an i2pd (Debian: i2pd, or the one that EEPKIT_I2PD names) and a C compiler;
/// the simulated network needs nothing. No packet leaves the machine. Build it with --release, or it
/// measures the compiler.
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
    /// What this process is, when it is not the one that was started by hand.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What processes of the program are besides the one that measures.
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
    /// Where.
    #[arg(long = "network", value_name = "NETWORK", value_delimiter = ',',
          default_values_t = [Network::I2pd, Network::Sim])]
    pub(crate) networks: Vec<Network>,
    /// Which measurements; all by default.
    #[arg(long, value_name = "MEASUREMENT", value_delimiter = ',')]
    pub(crate) only: Vec<Measurement>,
    /// Times that each transfer is made; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Mebibytes of a transfer.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) mebibytes: u16,
    /// Hops of each tunnel.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) hops: u8,
    /// Streams that are opened to see how fast that goes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) streams: u16,
    /// Sessions that are opened to see how fast that goes.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) sessions: u16,
    /// Sockets that wait for a stream at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) accepts: u16,
    /// Datagrams of 1 KiB that are sent.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) datagrams: u32,
}

impl Options {
    pub(crate) fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }
}

/// Where to measure.
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
    /// Bytes per second through one stream, and what they cost.
    Bytes,
    /// Streams opened per second.
    Streams,
    /// Sessions opened per second.
    Sessions,
    /// Sockets that wait for streams, and what each costs.
    Accepts,
    /// Datagrams per second.
    Datagrams,
}
