//! Tunnels between local ports and destinations, as I2PTunnel of Java I2P has them.
//!
//! A [`ClientTunnel`] listens for local programs and reaches destinations. A [`ServerTunnel`] accepts
//! the streams of peers and connects them with local servers. Each kind of tunnel is a service of its
//! own, with a section in the configuration file and a table of options.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::{
//!     service::{Context, Definition as _},
//!     tunnel::ClientTunnelConfig,
//! };
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let tunnel = ClientTunnelConfig::new()
//!     .listen([([127, 0, 0, 1], 6668).into()])
//!     .destination("irc.postman.i2p:6667".parse()?)
//!     .launch(&Context::new(router))
//!     .await?;
//! println!("IRC clients connect to {}", tunnel.tcp_addrs()[0]);
//! # tunnel.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Kinds of tunnels
//!
//! A kind for local programs implements `outgoing::Local` and starts with
//! [`ClientTunnel`]`::launch`. Its configuration has the parts `local::LocalConfig` and
//! `session::SessionConfig`, whose options `outgoing_options!` adds to its table, and whose setters
//! `outgoing_setters!` adds to its functions. A kind for peers
//! implements `incoming::Remote`, starts with [`ServerTunnel`]`::launch`, and has the parts
//! `incoming::IncomingConfig` and `session::SessionConfig` (`incoming_options!`,
//! `incoming_setters!`).

mod admission;
mod client;
mod datagrams;
mod destinations;
pub(crate) mod filter;
mod http_gateway;
mod http_server;
pub(crate) mod incoming;
mod irc_client;
pub(crate) mod irc_filter;
mod irc_server;
pub(crate) mod local;
pub(crate) mod outgoing;
pub(crate) mod relaying;
mod server;
pub(crate) mod session;
mod setters;
mod streamr;
mod target;
mod udp_client;
mod udp_server;

pub(crate) use self::session::SessionConfig;
pub use self::{
    client::ClientTunnelConfig,
    datagrams::DatagramTunnel,
    http_server::HttpServerTunnelConfig,
    incoming::ServerTunnel,
    irc_client::IrcClientConfig,
    irc_server::IrcServerConfig,
    outgoing::ClientTunnel,
    server::ServerTunnelConfig,
    streamr::{StreamrClientConfig, StreamrServerConfig},
    target::Target,
    udp_client::UdpClientConfig,
    udp_server::UdpServerConfig,
};

/// The table of the documentation with the headers that tunnels to web servers drop.
pub fn http_header_table() -> String {
    http_gateway::markdown()
}

/// The table of options of a tunnel for local programs: its own options, followed by those of the
/// parts of its configuration, which are the fields `local` and `session`.
macro_rules! outgoing_options {
    ($config:ty, [$($own:expr),* $(,)?]) => {{
        use std::{net::SocketAddr, path::PathBuf, time::Duration};

        use $crate::{access, options::SessionOptions, tunnel::{local, session}};

        &[
            $crate::options::Opt::new(
                "enabled",
                access!($config, bool, enabled),
                "Whether the tunnel runs.",
            ),
            $crate::options::Opt::new(
                "name",
                access!($config, Option<String>, name),
                "The name of the tunnel, in messages and for reloads, and of its session.\n\
                 Default: that of the section for the first, and with -2 for the second.",
            )
            .example("\"my tunnel\""),
            local::listen(access!($config, Vec<SocketAddr>, local.listen)),
            local::listen_unix(access!($config, Vec<PathBuf>, local.listen_unix)),
            local::tls_certificate(access!($config, Option<PathBuf>, local.tls_certificate)),
            local::tls_key(access!($config, Option<PathBuf>, local.tls_key)),
            $($own,)*
            local::max_connections(access!($config, usize, local.max_connections)),
            session::keys(access!($config, Option<PathBuf>, session.keys)),
            session::shared(access!($config, Option<String>, session.shared)),
            session::preset(access!($config, eepkit::Preset, session.preset)),
            session::reduce_idle(access!($config, Option<Duration>, session.reduce_idle)),
            session::reduce_quantity(access!($config, Option<usize>, session.reduce_quantity)),
            session::close_idle(access!($config, Option<Duration>, session.close_idle)),
            session::new_keys(access!($config, bool, session.new_keys)),
            session::delay_open(access!($config, bool, session.delay_open)),
            session::options(access!($config, SessionOptions, session.options)),
        ]
    }};
}
pub(crate) use outgoing_options;

/// The table of options of a tunnel for peers: its own options, followed by those of the parts of its
/// configuration, which are the fields `incoming` and `session`.
macro_rules! incoming_options {
    ($config:ty, [$($own:expr),* $(,)?]) => {{
        use std::{path::PathBuf, time::Duration};

        use $crate::{access, options::SessionOptions, tunnel::{admission, incoming, session, target}};

        &[
            $crate::options::Opt::new(
                "enabled",
                access!($config, bool, enabled),
                "Whether the tunnel runs.",
            ),
            $crate::options::Opt::new(
                "name",
                access!($config, Option<String>, name),
                "The name of the tunnel, in messages and for reloads, and of its session.\n\
                 Default: that of the section for the first, and with -2 for the second.",
            )
            .example("\"my server\""),
            target::target(access!($config, Option<target::Target>, incoming.target.target)),
            target::targets(access!($config, target::PortTargets, incoming.target.targets)),
            session::keys(access!($config, Option<PathBuf>, session.keys)),
            incoming::alternative_keys(access!($config, Vec<PathBuf>, incoming.alternative_keys)),
            incoming::port(access!($config, Option<u16>, incoming.port)),
            $($own,)*
            target::trust(access!($config, Option<PathBuf>, incoming.target.trust)),
            target::unique_local(access!($config, bool, incoming.target.unique_local)),
            target::connect_timeout(access!($config, Duration, incoming.target.connect_timeout)),
            incoming::idle_timeout(access!($config, Option<Duration>, incoming.idle_timeout)),
            admission::allow(access!($config, Vec<eepkit::Address>, incoming.admission.allow)),
            admission::deny(access!($config, Vec<eepkit::Address>, incoming.admission.deny)),
            admission::filter(access!($config, Option<PathBuf>, incoming.admission.filter)),
            admission::max_streams(access!($config, usize, incoming.admission.max_streams)),
            admission::max_peer_streams(
                access!($config, usize, incoming.admission.max_peer_streams),
            ),
            admission::rate(
                "peer_per_minute",
                access!($config, Option<usize>, incoming.admission.per_peer.minute),
                "Maximum number of new streams of one peer in a minute.\nDefault: no limit.",
            ),
            admission::rate(
                "peer_per_hour",
                access!($config, Option<usize>, incoming.admission.per_peer.hour),
                "Maximum number of new streams of one peer in an hour.\nDefault: no limit.",
            ),
            admission::rate(
                "peer_per_day",
                access!($config, Option<usize>, incoming.admission.per_peer.day),
                "Maximum number of new streams of one peer in a day.\nDefault: no limit.",
            ),
            admission::rate(
                "total_per_minute",
                access!($config, Option<usize>, incoming.admission.total.minute),
                "Maximum number of new streams of all peers in a minute.\nDefault: no limit.",
            ),
            admission::rate(
                "total_per_hour",
                access!($config, Option<usize>, incoming.admission.total.hour),
                "Maximum number of new streams of all peers in an hour.\nDefault: no limit.",
            ),
            admission::rate(
                "total_per_day",
                access!($config, Option<usize>, incoming.admission.total.day),
                "Maximum number of new streams of all peers in a day.\nDefault: no limit.",
            ),
            admission::ban(access!($config, Option<Duration>, incoming.admission.ban)),
            session::shared(access!($config, Option<String>, session.shared)),
            session::preset(access!($config, eepkit::Preset, session.preset)),
            session::reduce_idle(access!($config, Option<Duration>, session.reduce_idle)),
            session::reduce_quantity(access!($config, Option<usize>, session.reduce_quantity)),
            session::options(access!($config, SessionOptions, session.options)),
        ]
    }};
}
pub(crate) use incoming_options;

#[cfg(test)]
mod tests;
