//! The configuration of a BOB bridge: one type with one table of options.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use eepkit::SignatureType;
use eepkit_bob::{Limits, server};

use super::{BobBridge, state};
use crate::{
    access,
    options::{Flag, Opt, SessionOptions, Table},
    service::{Context, Definition, ServiceError},
};

/// The port at which clients expect a bridge. Source: specification, section "Examples".
pub const DEFAULT_PORT: u16 = 2827;

/// The configuration of a [`BobBridge`].
///
/// The default listens on port 2827 of 127.0.0.1 and saves nothing. `docs/bob.md` lists the options.
#[derive(Debug, Clone, PartialEq)]
pub struct BobConfig {
    name: Option<String>,
    enabled: bool,
    listen: Vec<SocketAddr>,
    state: Option<PathBuf>,
    signature_type: SignatureType,
    anywhere: bool,
    zap: bool,
    open_timeout: Duration,
    connect_timeout: Duration,
    max_connections: usize,
    max_tunnels: usize,
    options: SessionOptions,
}

impl BobConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT))],
            state: None,
            signature_type: SignatureType::ED25519,
            anywhere: false,
            zap: true,
            open_timeout: OPEN_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            max_tunnels: MAX_TUNNELS,
            options: SessionOptions::new(),
        }
    }

    /// Listens on these addresses instead of the default one. With port 0 the system selects a port;
    /// see [`BobBridge::tcp_addrs`]. Whoever can connect can use the router, and read the private
    /// keys of all tunnels.
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = addresses.into_iter().collect();
        self
    }

    /// Saves the tunnels in this file, and starts those again that ran. It contains private keys.
    #[must_use]
    pub fn state(mut self, file: impl Into<PathBuf>) -> Self {
        self.state = Some(file.into());
        self
    }

    /// Sets the signature type of new keys; Ed25519 by default. Some old programs read only keys of
    /// DSA_SHA1, whose base64 has no padding.
    #[must_use]
    pub fn signature_type(mut self, kind: SignatureType) -> Self {
        self.signature_type = kind;
        self
    }

    /// Allows tunnels to listen on and to connect to addresses other than loopback ones.
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    /// Makes `zap` close the connection of the client only.
    #[must_use]
    pub fn without_zap(mut self) -> Self {
        self.zap = false;
        self
    }

    /// Sets an option of new tunnels. Clients can change it.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.options.push(key, value.to_string());
        self
    }

    /// Sets the maximum numbers of connections and of tunnels. Further ones are refused.
    #[must_use]
    pub fn max(mut self, connections: usize, tunnels: usize) -> Self {
        (self.max_connections, self.max_tunnels) = (connections, tunnels);
        self
    }

    /// Sets the time limits for the session of a tunnel, and for a stream.
    #[must_use]
    pub fn timeouts(mut self, open: Duration, connect: Duration) -> Self {
        (self.open_timeout, self.connect_timeout) = (open, connect);
        self
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.listen
    }

    pub(super) fn state_file(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    pub(super) fn session_options(&self) -> &SessionOptions {
        &self.options
    }

    pub(super) fn connections(&self) -> usize {
        self.max_connections
    }

    pub(super) fn open_limit(&self) -> Duration {
        self.open_timeout
    }

    pub(super) fn connect_limit(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.tunnels = self.max_tunnels;
        limits
    }

    /// The configuration of the machines.
    pub(super) fn protocol(&self) -> server::Config {
        let mut config = server::Config::default();
        config.default_signature_type = self.signature_type;
        config.anywhere = self.anywhere;
        config.zap = self.zap;
        let options = self.options.iter();
        config.options = options
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        config
    }
}

impl Default for BobConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for BobConfig {
    type Running = BobBridge;

    const KIND: &'static str = "bob";
    const TITLE: &'static str = "BOB";
    const BY_DEFAULT: bool = false;
    const WITHOUT_FILE: bool = false;

    fn table() -> &'static Table<Self> {
        &TABLE
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn validate(&self) -> Result<(), String> {
        match self.listen.is_empty() {
            true => Err("a bridge has to listen somewhere, or enabled = false".to_owned()),
            false => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ServiceError> {
        state::load(self.state_file(), self.limits()).map(drop)
    }

    async fn launch(&self, context: &Context) -> Result<BobBridge, ServiceError> {
        BobBridge::start(context.router.clone(), self.clone()).await
    }
}

static TABLE: Table<BobConfig> = Table {
    section: "bob",
    doc: "A BOB bridge, for old programs. New programs use SAM.",
    defaults: BobConfig::new,
    options: &[
        Opt::new(
            "enabled",
            access!(BobConfig, bool, enabled),
            "Whether the bridge runs.",
        ),
        Opt::new(
            "name",
            access!(BobConfig, Option<String>, name),
            "The name of the bridge, in messages and for reloads.\n\
             Default: bob for the first, bob-2 for the second.",
        )
        .example("\"bob\""),
        Opt::new(
            "listen",
            access!(BobConfig, Vec<SocketAddr>, listen),
            "TCP addresses for clients.\n\
             Whoever can connect can use the router, and read the private keys of all tunnels.",
        )
        .flag(Flag::new("listen", "IP:PORT").short('l')),
        Opt::new(
            "state",
            access!(BobConfig, Option<PathBuf>, state),
            "File with the tunnels and their private keys. Those that ran are started again.\n\
             It is created when it is needed. Default: tunnels end with the bridge.",
        )
        .example("\"bob.state\"")
        .flag(Flag::new("state", "FILE")),
        Opt::new(
            "signature_type",
            access!(BobConfig, SignatureType, signature_type),
            "Signature type of new keys, by number or name.",
        ),
        Opt::new(
            "anywhere",
            access!(BobConfig, bool, anywhere),
            "Whether tunnels may listen on and connect to addresses other than loopback ones.",
        ),
        Opt::new(
            "zap",
            access!(BobConfig, bool, zap),
            "Whether zap stops the bridge, as in Java I2P.\n\
             Otherwise it closes the connection of the client, as in i2pd.",
        ),
        Opt::new(
            "open_timeout",
            access!(BobConfig, Duration, open_timeout),
            "Maximum time to wait for the session of a tunnel.",
        ),
        Opt::new(
            "connect_timeout",
            access!(BobConfig, Duration, connect_timeout),
            "Maximum time to wait for a stream, and for the tunnels that it needs.",
        ),
        Opt::new(
            "max_connections",
            access!(BobConfig, usize, max_connections),
            "Maximum number of connections of clients, and of each tunnel.",
        ),
        Opt::new(
            "max_tunnels",
            access!(BobConfig, usize, max_tunnels),
            "Maximum number of tunnels, whether they run or not.",
        ),
        Opt::new(
            "options",
            access!(BobConfig, SessionOptions, options),
            "I2CP and streaming options of new tunnels. Clients can change them.",
        )
        .example("{ \"inbound.length\" = 3, \"outbound.length\" = 3 }")
        .flag(Flag::new("option", "KEY=VALUE").short('o')),
    ],
};

/// The default of [`BobConfig::timeouts`]. Chosen as in SAM.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// The default of [`BobConfig::timeouts`]. Source: the default of streams.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The default for connections. Chosen because an idle connection takes 20 kB, and a program has one
/// or two.
const MAX_CONNECTIONS: usize = 1024;

/// The default for tunnels. Chosen as the number of sessions of a SAM bridge.
const MAX_TUNNELS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::testing::{assert_defaults, assert_keys};

    #[test]
    fn every_documented_default_is_the_effective_default() {
        assert_defaults(&TABLE);
    }

    #[test]
    fn every_key_changes_only_its_own_option() {
        assert_keys(
            &TABLE,
            &[
                ("enabled", "false"),
                ("name", "\"x\""),
                ("listen", "[\"127.0.0.1:1\"]"),
                ("state", "\"/s\""),
                ("signature_type", "\"1\""),
                ("anywhere", "true"),
                ("zap", "false"),
                ("open_timeout", "\"7s\""),
                ("connect_timeout", "\"8s\""),
                ("max_connections", "8"),
                ("max_tunnels", "9"),
                ("options", "{ \"inbound.length\" = \"1\" }"),
            ],
        );
    }
}
