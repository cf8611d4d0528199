//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures proxies, tunnels and names beside the library alone and i2pd, on the same routers.
///
/// The i2pd network requires an i2pd (Debian: i2pd, or the one that EEPKIT_I2PD names) and a C
/// compiler. The simulated network has no requirements. No packet leaves the machine. Build it with
/// --release: a debug build measures unoptimised code.
#[derive(Debug, Parser)]
#[command(
    version,
    name = "proxy-bench",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        proxy-bench                          everything; takes some ten minutes\n  \
        proxy-bench --quick                  one short round of everything\n  \
        proxy-bench --network sim            without i2pd\n  \
        proxy-bench --only requests,bytes    some of the measurements"
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
    /// A proxy and a client tunnel on one router, and a server tunnel on another.
    #[command(hide = true)]
    Services {
        /// The router of the proxy and the client tunnel, as an `i2cp://` address.
        client: String,
        /// The router of the server tunnel.
        server: String,
        /// The local server, as `IP:PORT`.
        target: std::net::SocketAddr,
        /// Hops of each tunnel.
        hops: u8,
    },
    /// Two ends on a simulated network, between which connections are idle.
    #[command(hide = true)]
    Idle {
        /// The number of connections.
        count: u32,
        /// The time until their memory is measured, and of the measurement of processor time.
        seconds: u16,
        /// The local server, as `IP:PORT`. Without one, the library opens the streams itself.
        target: Option<std::net::SocketAddr>,
    },
    /// Look-ups in a store of address books.
    #[command(hide = true)]
    Names {
        /// The store.
        store: PathBuf,
        /// The number of names in it.
        names: u32,
    },
}

/// What to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The networks.
    #[arg(long = "network", value_name = "NETWORK", value_delimiter = ',',
          default_values_t = [Network::I2pd, Network::Sim])]
    pub(crate) networks: Vec<Network>,
    /// The measurements; all by default.
    #[arg(long, value_name = "MEASUREMENT", value_delimiter = ',')]
    pub(crate) only: Vec<Measurement>,
    /// One short round: --rounds 1 --seconds 1 --mebibytes 4 --idle 1000 --names 100000.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Number of rounds. Each has every implementation once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Seconds of each measurement of requests, and of idle connections.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) seconds: u16,
    /// Number of programs that send requests at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) programs: u16,
    /// Size of a response in bytes.
    #[arg(long, default_value_t = 1024)]
    pub(crate) response: u32,
    /// Number of requests that are in progress at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=4000))]
    pub(crate) burst: u16,
    /// Size of a transfer in MiB.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) mebibytes: u16,
    /// Hops of each tunnel.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) hops: u8,
    /// Number of idle connections on the simulated network; a tenth on the i2pd network.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=25_000))]
    pub(crate) idle: u32,
    /// Number of names.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=4_000_000))]
    pub(crate) names: u32,
}

impl Options {
    pub(crate) fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// The values of `--quick` instead of those that were not given.
    pub(crate) fn resolved(mut self) -> Self {
        if self.quick {
            self.rounds = 1;
            self.seconds = 1;
            self.mebibytes = self.mebibytes.min(4);
            self.idle = self.idle.min(1000);
            self.names = self.names.min(100_000);
        }
        self
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
    /// Requests per second and their latency.
    Requests,
    /// Many requests in progress at once.
    Burst,
    /// Bytes per second through one connection, and their cost.
    Bytes,
    /// Idle connections, and the memory of each.
    Idle,
    /// Look-ups of names, and the start of the store.
    Names,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_quick_run_has_one_round_and_keeps_smaller_values() {
        let cli = Cli::parse_from(["proxy-bench", "--quick", "--idle", "500"]);
        let options = cli.options.resolved();
        assert_eq!((options.rounds, options.idle), (1, 500));
        assert!(options.wants(Measurement::Names));
    }
}
