//! The command line.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::link_profile::LinkProfile;

/// Measures streams of eepkit, i2pd and emissary side by side on an emulated wide-area network.
///
/// Must run as root. It creates a network namespace for each router, joins them by a switch of its
/// own that delays, drops and limits packets, and removes them when it ends, also after an error.
/// No packet leaves the machine. It requires `ip` (Debian: iproute2), /dev/net/tun, and for the
/// i2pd part an i2pd (Debian: i2pd, or the one that EEPKIT_I2PD names).
///
/// On each network and link profile, it opens sessions for the router's own streaming (over SAM)
/// and for eepkit's (over I2CP), on the same two routers with the same tunnel options. Both
/// transfer the same data alternately, twice per session. Then it measures the rate of plain
/// datagrams through the same tunnels.
///
/// The table is printed to standard output. The chart and the raw figures are written to --output.
/// Build it with --release: a debug build measures unoptimised code.
#[derive(Debug, Parser)]
#[command(
    version,
    name = "wan",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        wan                              everything; takes about half an hour\n  \
        wan --network i2pd --rounds 1    a first look\n  \
        wan --link lossy --bytes 4MiB    one link profile\n  \
        wan --link delay=200,loss=1,rate=500\n                                   \
        a link of one's own: ms (or FROM..TO), percent, KB/s per host;\n                                   \
        also jitter= and queue= in ms"
)]
pub(crate) struct Cli {
    /// The role of this process; without one, it measures.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Another task than the measurement, and the roles of processes that the measuring one starts.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Sends datagrams at fixed rates through one pair of sessions and prints their loss, delay and order.
    Probe(ProbeOptions),
    /// Opens sessions and transfers data inside a namespace, by requests on standard input.
    #[command(hide = true)]
    Agent,
    /// An emissary router inside a namespace.
    #[command(hide = true)]
    Router(RouterOptions),
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The router software.
    #[arg(long = "network", value_name = "ROUTERS", value_delimiter = ',',
          default_values_t = [RouterSoftware::I2pd, RouterSoftware::Emissary])]
    pub(crate) networks: Vec<RouterSoftware>,
    /// Links between the routers: a profile by name, or options as in the examples. `clean`: 50 ms,
    /// no loss. `lossy`: 20 to 80 ms, 5 ms jitter, 0.5 % loss, 1000 KB/s per host. `local`: no
    /// delay. May be given more than once.
    #[arg(long = "link", value_name = "PROFILE",
          default_values_t = [LinkProfile::clean(), LinkProfile::lossy(), LinkProfile::local()])]
    pub(crate) links: Vec<LinkProfile>,
    /// Amount of data of one transfer, such as 8MiB or 500kB.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    pub(crate) bytes: u64,
    /// Rounds per network and link. Each opens new sessions, with other tunnels.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Transfers per session. From the second on, our streams use the path state of the first.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) transfers: u32,
    #[command(flatten)]
    pub(crate) lab: LabOptions,
    /// The time limit of a transfer.
    #[arg(long, value_name = "TIME", default_value = "4min", value_parser = humantime::parse_duration)]
    pub(crate) limit: Duration,
    /// Do not measure datagrams.
    #[arg(long)]
    pub(crate) no_raw: bool,
    /// Also transfer data from our streams to the router's, and back.
    #[arg(long)]
    pub(crate) mixed: bool,
}

/// The network and the sessions.
#[derive(Debug, Args)]
pub(crate) struct LabOptions {
    /// Routers of a network.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(6..=60))]
    pub(crate) routers: u8,
    /// Hops of the sessions' tunnels.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) hops: u8,
    /// Tunnels of each session, each way.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) tunnels: u8,
    /// Inbound tunnels of our sessions, if other than --tunnels.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) our_inbound: Option<u8>,
    /// The most payload of a packet of our streams in bytes. 1812 bytes take two tunnel messages, 824
    /// take one. Default: what the peers negotiate.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(512..=16_384))]
    pub(crate) our_packet: Option<u16>,
    /// Transports between routers. i2pd uses Nagle's algorithm, so that over `ntcp2` sparse traffic
    /// has a longer delay than dense traffic.
    #[arg(long, value_enum, default_value_t = Transport::Both)]
    pub(crate) transport: Transport,
    /// Congestion control of the kernel's TCP, which carries NTCP2, such as cubic or bbr. Default:
    /// that of this machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) tcp: Option<String>,
    /// Seed of delays, losses and data.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,
    /// Directory for `wan.svg` (the chart), `wan.md` (the table) and `wan.jsonl` (every transfer).
    #[arg(long, value_name = "DIRECTORY", default_value = "target/wan")]
    pub(crate) output: PathBuf,
    /// Directory for files and logs of the routers. Default: a temporary directory, removed at the
    /// end.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state: Option<PathBuf>,
    /// The log level of i2pd: error, warn, info or debug. The logs are in --state.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: String,
}

/// What to probe.
#[derive(Debug, Args)]
pub(crate) struct ProbeOptions {
    /// The router software.
    #[arg(long, value_name = "ROUTERS", default_value_t = RouterSoftware::I2pd)]
    pub(crate) network: RouterSoftware,
    /// Links between the routers, as for a measurement.
    #[arg(long = "link", value_name = "PROFILE", default_values_t = [LinkProfile::lossy()])]
    pub(crate) links: Vec<LinkProfile>,
    /// Datagrams per second.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "50,200,400",
          value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) rate: Vec<u32>,
    /// Bytes of a datagram. The default is the size of a full streaming packet, which takes two tunnel
    /// messages.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "1834",
          value_parser = clap::value_parser!(u16).range(16..=30_000))]
    pub(crate) size: Vec<u16>,
    /// Datagrams that are sent at once. The pause between bursts keeps the rate.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) burst: u32,
    /// The time of each rate and size.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) time: Duration,
    /// Rounds per link. Each opens new sessions, with other tunnels.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// The interval at which the sender publishes its lease set again, to see whether the router changes
    /// the path.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) republish: Option<Duration>,
    /// Prints a line for each second, too.
    #[arg(long)]
    pub(crate) per_second: bool,
    #[command(flatten)]
    pub(crate) lab: LabOptions,
}

/// The software of all routers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum RouterSoftware {
    /// i2pd, in processes of its own.
    I2pd,
    /// emissary, embedded in processes of this program.
    Emissary,
}

impl RouterSoftware {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::I2pd => "i2pd",
            Self::Emissary => "emissary",
        }
    }
}

impl std::fmt::Display for RouterSoftware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Transports between routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Over TCP.
    Ntcp2,
    /// Over UDP.
    Ssu2,
    /// Both; the routers choose.
    Both,
}

impl Transport {
    pub(crate) fn ntcp2(self) -> bool {
        self != Self::Ssu2
    }

    pub(crate) fn ssu2(self) -> bool {
        self != Self::Ntcp2
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ntcp2 => "ntcp2",
            Self::Ssu2 => "ssu2",
            Self::Both => "both",
        }
    }
}

/// An emissary router.
#[derive(Debug, Args)]
pub(crate) struct RouterOptions {
    /// Its directory.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Directory with the router infos of the other routers.
    #[arg(long)]
    pub(crate) others: Option<PathBuf>,
    /// Its address.
    #[arg(long)]
    pub(crate) host: Ipv4Addr,
    /// Whether it serves the network database.
    #[arg(long)]
    pub(crate) floodfill: bool,
    /// Its transports.
    #[arg(long, value_enum)]
    pub(crate) transport: Transport,
}

/// A number of bytes with a unit: B, kB, KiB, MB, MiB, GB or GiB.
fn size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        unit => return Err(format!("unknown unit {unit}: kB, KiB, MB, MiB, GB or GiB")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "not a number of bytes".to_owned())?;
    match number.checked_mul(unit) {
        Some(bytes @ 1..=MAX_BYTES) => Ok(bytes),
        _ => Err("must be from 1 B to 4 GiB".to_owned()),
    }
}

/// Chosen because a larger transfer would take hours on the slower links.
const MAX_BYTES: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("8MiB"), Ok(8 << 20));
        assert_eq!(size("500kB"), Ok(500_000));
        assert_eq!(size("17"), Ok(17));
        assert!(size("8 parsecs").is_err());
        assert!(size("0").is_err());
        assert!(size("99999999999GiB").is_err());
    }
}
