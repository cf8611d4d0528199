//! The configuration of a SOCKS proxy.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::SocksProxy;
use crate::{
    access,
    options::{Flag, Opt, SessionOptions, Table},
    proxy::{self, Login, Logins, ProxyOptions, proxy_setters},
    service::{Context, Definition, ServiceError},
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
    proxy: ProxyOptions,
    outproxies: Vec<String>,
    logins: Logins,
    datagrams: bool,
    irc_filter: bool,
}

impl SocksConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            proxy: ProxyOptions::new(DEFAULT_PORT),
            outproxies: Vec::new(),
            logins: Logins::default(),
            datagrams: true,
            irc_filter: false,
        }
    }

    proxy_setters!();

    /// Adds a SOCKS 5 proxy on I2P, such as `exit.i2p:1080`, through which hosts of the public
    /// Internet are reached. Without one they are refused. One is chosen at random for each
    /// connection.
    #[must_use]
    pub fn outproxy(mut self, address: &str) -> Self {
        self.outproxies.push(address.to_owned());
        self
    }

    /// Sets the name and the password at an outproxy, by its address as in [`Self::outproxy`].
    #[must_use]
    pub fn outproxy_login(mut self, outproxy: &str, user: &str, password: &str) -> Self {
        self.logins.push(outproxy, Login::new(user, password));
        self
    }

    /// Filters what programs exchange with IRC servers, see [`eepkit_irc::ClientFilter`]. The proxy is
    /// then for IRC clients only.
    #[must_use]
    pub fn irc_filter(mut self, filter: bool) -> Self {
        self.irc_filter = filter;
        self
    }

    pub(super) fn proxy(&self) -> &ProxyOptions {
        &self.proxy
    }

    pub(super) fn outproxies(&self) -> &[String] {
        &self.outproxies
    }

    pub(super) fn logins(&self) -> &Logins {
        &self.logins
    }

    pub(super) fn allows_datagrams(&self) -> bool {
        self.datagrams && !self.irc_filter
    }

    pub(super) fn filters_irc(&self) -> bool {
        self.irc_filter
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

    fn example_command(address: &str) -> Option<String> {
        Some(format!(
            "curl -x socks5h://{address} http://i2p-projekt.i2p/"
        ))
    }

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
        self.proxy.validate()?;
        self.logins.check_with(&self.outproxies)?;
        Ok(())
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.proxy.check()
    }

    async fn launch(&self, context: &Context) -> Result<SocksProxy, ServiceError> {
        SocksProxy::start_in(context, self.clone()).await
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
        proxy::listen(access!(SocksConfig, Vec<SocketAddr>, proxy.listen)),
        proxy::listen_unix(access!(SocksConfig, Vec<PathBuf>, proxy.listen_unix)),
        proxy::users(access!(SocksConfig, Option<PathBuf>, proxy.users)),
        proxy::require_password(
            access!(SocksConfig, bool, proxy.require_password),
            "Accept only programs with a name and a password from the file of users.\n\
             SOCKS 4 is then refused, because it has no password.",
        ),
        proxy::isolate(
            access!(SocksConfig, bool, proxy.isolate),
            "Whether programs with different names or passwords use different destinations.\n\
             Peers cannot link them then. Each takes tunnels of its own.",
        ),
        Opt::new(
            "outproxies",
            access!(SocksConfig, Vec<String>, outproxies),
            "SOCKS 5 proxies on I2P through which hosts of the public Internet are reached.\n\
             Default: they are refused. They see the traffic to these hosts.",
        )
        .flag(Flag::new("outproxy", "HOST:PORT").hyphen()),
        proxy::outproxy_logins(access!(SocksConfig, Logins, logins)),
        Opt::new(
            "datagrams",
            access!(SocksConfig, bool, datagrams),
            "Whether programs may send datagrams (UDP ASSOCIATE).\n\
             They use repliable datagrams of I2P.",
        ),
        Opt::new(
            "irc_filter",
            access!(SocksConfig, bool, irc_filter),
            "Whether the proxy is for IRC clients, and filters as an IRC client tunnel does.\n\
             Other protocols, IRC with TLS and datagrams do not pass then.",
        )
        .flag(Flag::new("irc-filter", "")),
        proxy::request_timeout(access!(SocksConfig, Duration, proxy.request_timeout)),
        proxy::connect_timeout(access!(SocksConfig, Duration, proxy.connect_timeout)),
        proxy::max_connections(access!(SocksConfig, usize, proxy.max_connections)),
        proxy::max_sessions(access!(SocksConfig, usize, proxy.max_sessions)),
        proxy::session_idle(access!(SocksConfig, Duration, proxy.session_idle)),
        proxy::keys(access!(SocksConfig, Option<PathBuf>, proxy.keys)),
        proxy::shared(access!(SocksConfig, Option<String>, proxy.shared)),
        proxy::session_options(access!(SocksConfig, SessionOptions, proxy.options)),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{
        File, FileError,
        testing::{assert_defaults, assert_keys},
    };

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
                ("listen_unix", "[\"/s\"]"),
                ("users", "\"/u\""),
                ("require_password", "true"),
                ("isolate", "false"),
                ("outproxies", "[\"exit.i2p\"]"),
                ("outproxy_logins", "{ \"exit.i2p\" = \"a:b\" }"),
                ("datagrams", "false"),
                ("irc_filter", "true"),
                ("request_timeout", "\"5s\""),
                ("connect_timeout", "\"7s\""),
                ("max_connections", "8"),
                ("max_sessions", "9"),
                ("session_idle", "\"1h\""),
                ("keys", "\"/k\""),
                ("shared", "\"g\""),
                ("options", "{ \"inbound.length\" = \"1\" }"),
            ],
        );
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
