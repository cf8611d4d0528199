//! Options of every command that opens a session.

use clap::Args;
use eepkit::Preset;

use super::values::{InOut, KeyValue, tunnel_length, tunnel_quantity};

/// Options of the session itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tunnels")]
pub(crate) struct SessionArgs {
    /// Settings for a purpose: standard, interactive, bulk, server or test
    ///
    /// interactive: one hop less, for typed text. bulk: more tunnels and larger buffers, for large
    /// files. server: more inbound tunnels, for many clients. test: one hop and one tunnel, on
    /// private networks only. The options below take precedence.
    #[arg(long, value_name = "NAME", default_value_t = Preset::default())]
    pub(crate) preset: Preset,

    /// Hops of each tunnel, or IN,OUT [default: 3]
    ///
    /// More hops are slower and harder to trace. 0 hops give no anonymity.
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
