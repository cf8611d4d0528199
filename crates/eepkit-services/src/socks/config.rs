//! The configuration of a SOCKS proxy.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use eepkit::Router;

use super::SocksProxy;
use crate::{
    access,
    options::{Opt, SessionOptions, Table},
    service::{Definition, ServiceError},
    users::Users,
};

/// The port at which programs expect a SOCKS proxy of an I2P router. Source: the default of i2pd.
pub const DEFAULT_PORT: u16 = 4447;

/// The configuration of a [`SocksProxy`].
///
/// The default listens on port 4447 of 127.0.0.1 and requires no password. Programs with different
/// user names or passwords use different destinations.
#[derive(Debug, Clone, PartialEq)]
pub struct SocksConfig {
    name: Option<String>,
    enabled: bool,
    listen: Vec<SocketAddr>,
    listen_unix: Vec<PathBuf>,
    users: Option<PathBuf>,
    require_password: bool,
    isolate: bool,
    outproxies: Vec<String>,
    datagrams: bool,
    request_timeout: Duration,
    connect_timeout: Duration,
    max_connections: usize,
    max_sessions: usize,
    session_idle: Duration,
    options: SessionOptions,
}

impl SocksConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))],
            listen_unix: Vec::new(),
            users: None,
            require_password: false,
            isolate: true,
            outproxies: Vec::new(),
            datagrams: true,
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            max_sessions: MAX_SESSIONS,
            session_idle: SESSION_IDLE,
            options: SessionOptions::new(),
        }
    }

    /// Listens on these addresses instead of the default one. With port 0 the system selects a
    /// port; see [`SocksProxy::tcp_addrs`].
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = addresses.into_iter().collect();
        self
    }

    /// Also listens on a Unix socket. Only the user of this process can connect.
    #[must_use]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.listen_unix.push(path.into());
        self
    }

    /// Requires a name and a password of this file of users.
    #[must_use]
    pub fn require_users(mut self, file: impl Into<PathBuf>) -> Self {
        self.users = Some(file.into());
        self.require_password = true;
        self
    }

    /// Sets whether programs with different names or passwords use different destinations; true by
    /// default.
    #[must_use]
    pub fn isolate(mut self, isolate: bool) -> Self {
        self.isolate = isolate;
        self
    }

    /// Adds a SOCKS 5 proxy on I2P, such as `exit.i2p:1080`, through which hosts of the public
    /// Internet are reached. Without one they are refused. One is chosen at random for each
    /// connection.
    #[must_use]
    pub fn outproxy(mut self, address: &str) -> Self {
        self.outproxies.push(address.to_owned());
        self
    }

    /// Sets the time limit for opening a stream, which includes the time until the router is ready;
    /// 60 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets an option of every session. An invalid value causes every connection to fail.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.options.push(key, value.to_string());
        self
    }

    /// Sets the maximum number of connections, and of sessions of isolated users.
    #[must_use]
    pub fn limits(mut self, connections: usize, sessions: usize) -> Self {
        (self.max_connections, self.max_sessions) = (connections, sessions);
        self
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.listen
    }

    pub(super) fn unix_paths(&self) -> &[PathBuf] {
        &self.listen_unix
    }

    pub(super) fn isolates(&self) -> bool {
        self.isolate
    }

    pub(super) fn outproxies(&self) -> &[String] {
        &self.outproxies
    }

    pub(super) fn allows_datagrams(&self) -> bool {
        self.datagrams
    }

    pub(super) fn request_limit(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn connect_limit(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn connections(&self) -> usize {
        self.max_connections
    }

    pub(super) fn sessions(&self) -> (usize, Duration) {
        (self.max_sessions, self.session_idle)
    }

    pub(super) fn session_options(&self) -> &SessionOptions {
        &self.options
    }

    /// Whether a name and a password are required, and the users who have one.
    pub(super) fn load_users(&self) -> Result<(bool, Users), ServiceError> {
        let users = match &self.users {
            Some(file) => Users::load(file)?,
            None => Users::new(),
        };
        let required = self.require_password || users.is_required();
        if required && users.is_empty() {
            return Err(ServiceError::NoUsers);
        }
        Ok((required, users))
    }
}

impl Default for SocksConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for SocksConfig {
    type Running = SocksProxy;

    const KIND: &'static str = "socks";
    const TITLE: &'static str = "SOCKS";
    const BY_DEFAULT: bool = false;

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
        if self.listen.is_empty() && self.listen_unix.is_empty() {
            return Err("a proxy has to listen somewhere, or enabled = false".to_owned());
        }
        if self.require_password && self.users.is_none() {
            return Err("require_password needs a file of users".to_owned());
        }
        for outproxy in &self.outproxies {
            if let Err(error) = outproxy.parse::<eepkit::Address>() {
                return Err(format!(
                    "the outproxy {outproxy:?} is no address on I2P: {error}"
                ));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.load_users().map(drop)
    }

    async fn launch(&self, router: &Router) -> Result<SocksProxy, ServiceError> {
        SocksProxy::start(router.clone(), self.clone()).await
    }
}

static TABLE: Table<SocksConfig> = Table {
    section: "socks",
    doc: "A SOCKS proxy, versions 4, 4a and 5. For several, write [[socks]] before each.",
    defaults: SocksConfig::new,
    options: &[
        Opt::new(
            "enabled",
            access!(SocksConfig, bool, enabled),
            "Whether the proxy runs.",
        ),
        Opt::new(
            "name",
            access!(SocksConfig, Option<String>, name),
            "The name of the proxy, in messages and for reloads.\n\
             Default: socks for the first, socks-2 for the second.",
        )
        .example("\"socks\""),
        Opt::new(
            "listen",
            access!(SocksConfig, Vec<SocketAddr>, listen),
            "TCP addresses for programs.\n\
             Whoever can connect can use the router.",
        ),
        Opt::new(
            "listen_unix",
            access!(SocksConfig, Vec<PathBuf>, listen_unix),
            "Paths of Unix sockets, to which only the user of this process can connect.\n\
             An unused socket file is replaced; any other file is an error.",
        ),
        Opt::new(
            "users",
            access!(SocksConfig, Option<PathBuf>, users),
            "File with names and hashes of passwords.\n\
             Default: any name and password are accepted.",
        )
        .example("\"socks-users.json\""),
        Opt::new(
            "require_password",
            access!(SocksConfig, bool, require_password),
            "Accept only programs with a name and a password from the file of users.\n\
             SOCKS 4 is then refused, because it has no password.",
        ),
        Opt::new(
            "isolate",
            access!(SocksConfig, bool, isolate),
            "Whether programs with different names or passwords use different destinations.\n\
             Peers cannot link them then. Each takes tunnels of its own.",
        ),
        Opt::new(
            "outproxies",
            access!(SocksConfig, Vec<String>, outproxies),
            "SOCKS 5 proxies on I2P through which hosts of the public Internet are reached.\n\
             Default: they are refused. They see the traffic to these hosts.",
        ),
        Opt::new(
            "datagrams",
            access!(SocksConfig, bool, datagrams),
            "Whether programs may send datagrams (UDP ASSOCIATE).\n\
             They use repliable datagrams of I2P.",
        ),
        Opt::new(
            "request_timeout",
            access!(SocksConfig, Duration, request_timeout),
            "How long a program may take to send its request.",
        ),
        Opt::new(
            "connect_timeout",
            access!(SocksConfig, Duration, connect_timeout),
            "Maximum time to wait for a stream, and for the tunnels that it needs.",
        ),
        Opt::new(
            "max_connections",
            access!(SocksConfig, usize, max_connections),
            "Maximum number of connections of programs.",
        ),
        Opt::new(
            "max_sessions",
            access!(SocksConfig, usize, max_sessions),
            "Maximum number of destinations of isolated users at a time.",
        ),
        Opt::new(
            "session_idle",
            access!(SocksConfig, Duration, session_idle),
            "How long the destination of an isolated user stays open without connections.",
        ),
        Opt::new(
            "options",
            access!(SocksConfig, SessionOptions, options),
            "I2CP and streaming options of the sessions.",
        )
        .example("{ \"inbound.quantity\" = 3, \"outbound.quantity\" = 3 }"),
    ],
};

/// Chosen because programs send the request at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Source: the default of streams; Java's tunnels wait as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Chosen because an idle connection takes some kilobytes, and systems allow for about this many
/// files.
const MAX_CONNECTIONS: usize = 4096;
/// Chosen because each takes tunnels, and routers limit these.
const MAX_SESSIONS: usize = 32;
/// Chosen as the lifetime of a tunnel: a shorter time builds tunnels that are hardly used.
const SESSION_IDLE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{File, FileError};

    fn read(text: &str) -> Result<SocksConfig, FileError> {
        let file = File::parse(text, "/etc/eepkit")?;
        let sections = file.sections("socks")?;
        let config = TABLE.read(&sections[0])?;
        config.validate().map_err(|why| sections[0].error(why))?;
        Ok(config)
    }

    #[test]
    fn every_documented_default_is_the_effective_default() {
        assert_eq!(read("[socks]\n"), Ok(SocksConfig::new()));
        for option in TABLE.options {
            let Some(default) = TABLE.default_of(option) else {
                assert!(!option.example.is_empty(), "{} has no example", option.key);
                continue;
            };
            let config = read(&format!("[socks]\n{} = {default}\n", option.key));
            assert_eq!(config, Ok(SocksConfig::new()), "{}", option.key);
        }
    }

    #[test]
    fn conflicting_options_are_refused() {
        for (text, why) in [
            (
                "listen = []",
                "a proxy has to listen somewhere, or enabled = false",
            ),
            (
                "require_password = true",
                "require_password needs a file of users",
            ),
        ] {
            let error = read(&format!("[socks]\n{text}\n")).expect_err(text);
            assert_eq!(error.to_string(), format!("line 1: [socks]: {why}"));
        }
        let error = read("[socks]\noutproxies = [\"exit.com\"]\n").expect_err("no address");
        assert!(error.to_string().contains("exit.com"), "{error}");
        assert!(read("[socks]\noutproxies = [\"exit.i2p:1080\"]\n").is_ok());
        assert!(read("[socks]\nlisten = []\nlisten_unix = \"a.sock\"\n").is_ok());
    }
}
