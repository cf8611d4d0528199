//! The configuration of an HTTP proxy.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use eepkit_naming::JumpService;

use super::HttpProxy;
use crate::{
    access,
    options::{Flag, Opt, SessionOptions, Table},
    proxy::{self, Login, Logins, ProxyOptions, proxy_setters},
    service::{Context, Definition, ServiceError},
};

/// The port at which programs expect the HTTP proxy of an I2P router. Source: the default of Java
/// I2P and i2pd.
pub const DEFAULT_PORT: u16 = 4444;

/// The configuration of an [`HttpProxy`].
///
/// The default listens on port 4444 of 127.0.0.1, requires no password, and hides what differs from
/// program to program. `docs/http-proxy.md` lists the options.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpProxyConfig {
    pub(super) name: Option<String>,
    pub(super) enabled: bool,
    pub(super) proxy: ProxyOptions,
    pub(super) outproxies: Vec<String>,
    pub(super) logins: Logins,
    pub(super) address_helper: bool,
    pub(super) jump_services: Vec<String>,
    pub(super) send_host_name: bool,
    pub(super) send_user_agent: bool,
    pub(super) send_referer: bool,
    pub(super) send_accept: bool,
    pub(super) connect_only: bool,
    pub(super) response_timeout: Duration,
}

impl HttpProxyConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            proxy: ProxyOptions::new(DEFAULT_PORT),
            outproxies: Vec::new(),
            logins: Logins::default(),
            address_helper: true,
            jump_services: JumpService::DEFAULTS.map(str::to_owned).to_vec(),
            send_host_name: false,
            send_user_agent: false,
            send_referer: false,
            send_accept: false,
            connect_only: false,
            response_timeout: RESPONSE_TIMEOUT,
        }
    }

    proxy_setters!();

    /// Adds an HTTP proxy on I2P, such as `exit.i2p:8888`, through which hosts of the public
    /// Internet are reached. Without one they are refused. One is chosen at random for each
    /// request.
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

    /// Sets whether sites receive the host name of a request instead of the base32 address of their
    /// destination; false by default.
    #[must_use]
    pub fn send_host_name(mut self, send: bool) -> Self {
        self.send_host_name = send;
        self
    }

    /// Sets whether links may give names a destination, after the user's confirmation; true by
    /// default.
    #[must_use]
    pub fn address_helper(mut self, allow: bool) -> Self {
        self.address_helper = allow;
        self
    }

    /// Accepts only CONNECT, with which programs open streams to any port; false by default.
    #[must_use]
    pub fn connect_only(mut self, only: bool) -> Self {
        self.connect_only = only;
        self
    }

    /// Sets how long a site may take to begin its response after the request was sent; 5 min by
    /// default.
    #[must_use]
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }
}

impl Default for HttpProxyConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for HttpProxyConfig {
    type Running = HttpProxy;

    const KIND: &'static str = "http-proxy";
    const TITLE: &'static str = "HTTP proxy";
    const BY_DEFAULT: bool = false;

    fn example_command(address: &str) -> Option<String> {
        Some(format!("curl -x http://{address} http://i2p-projekt.i2p/"))
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
        for service in &self.jump_services {
            if JumpService::new(service).is_err() {
                return Err(format!(
                    "the jump service {service:?} is no URL of a site on I2P, such as \
                     http://stats.i2p/cgi-bin/jump.cgi?a="
                ));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.proxy.check()
    }

    async fn launch(&self, context: &Context) -> Result<HttpProxy, ServiceError> {
        HttpProxy::start_in(context, self.clone()).await
    }
}

static TABLE: Table<HttpProxyConfig> = Table {
    section: "http-proxy",
    doc: "An HTTP proxy for browsers and other programs. For several, write [[http-proxy]] before each.",
    defaults: HttpProxyConfig::new,
    options: &[
        Opt::new(
            "enabled",
            access!(HttpProxyConfig, bool, enabled),
            "Whether the proxy runs.",
        ),
        Opt::new(
            "name",
            access!(HttpProxyConfig, Option<String>, name),
            "The name of the proxy, in messages and for reloads.\n\
             Default: http-proxy for the first, http-proxy-2 for the second.",
        )
        .example("\"http-proxy\""),
        proxy::listen(access!(HttpProxyConfig, Vec<SocketAddr>, proxy.listen)),
        proxy::listen_unix(access!(HttpProxyConfig, Vec<PathBuf>, proxy.listen_unix)),
        proxy::users(access!(HttpProxyConfig, Option<PathBuf>, proxy.users)),
        proxy::require_password(
            access!(HttpProxyConfig, bool, proxy.require_password),
            "Accept only programs with a name and a password from the file of users.\n\
             The authentication scheme is Basic.",
        ),
        proxy::isolate(
            access!(HttpProxyConfig, bool, proxy.isolate),
            "Whether programs with different names, passwords or Tor-Stream-Isolation headers use \
             different destinations.\n\
             Sites cannot link them then. Each takes tunnels of its own.",
        ),
        Opt::new(
            "outproxies",
            access!(HttpProxyConfig, Vec<String>, outproxies),
            "HTTP proxies on I2P through which hosts of the public Internet are reached.\n\
             Default: they are refused. They see the traffic to these hosts.",
        )
        .flag(Flag::new("outproxy", "HOST:PORT").hyphen()),
        proxy::outproxy_logins(access!(HttpProxyConfig, Logins, logins)),
        Opt::new(
            "address_helper",
            access!(HttpProxyConfig, bool, address_helper),
            "Whether links may give a name a destination (i2paddresshelper).\n\
             The user must confirm each of them on a page of the proxy.",
        ),
        Opt::new(
            "jump_services",
            access!(HttpProxyConfig, Vec<String>, jump_services),
            "Sites that look up unknown names, as URLs to which the name is appended.\n\
             The page of an unknown name links to them.",
        ),
        Opt::new(
            "send_host_name",
            access!(HttpProxyConfig, bool, send_host_name),
            "Whether sites receive the requested host name.\n\
             Otherwise they receive the base32 address of their destination, because a name from a\n\
             local address book identifies its user.",
        ),
        Opt::new(
            "send_user_agent",
            access!(HttpProxyConfig, bool, send_user_agent),
            "Whether sites receive the User-Agent of the program.\n\
             Otherwise they receive the one that all users of I2P have.",
        ),
        Opt::new(
            "send_referer",
            access!(HttpProxyConfig, bool, send_referer),
            "Whether sites receive Referer and Origin unchanged.\n\
             Otherwise a site receives only those of its own pages, without the host name.",
        ),
        Opt::new(
            "send_accept",
            access!(HttpProxyConfig, bool, send_accept),
            "Whether sites receive Accept and Accept-Language unchanged.\n\
             Otherwise Accept has one of a few common values, and the languages are dropped.",
        ),
        Opt::new(
            "connect_only",
            access!(HttpProxyConfig, bool, connect_only),
            "Accept only CONNECT, with which programs open streams to any port.",
        )
        .flag(Flag::new("connect-only", "")),
        proxy::request_timeout(access!(HttpProxyConfig, Duration, proxy.request_timeout)),
        proxy::connect_timeout(access!(HttpProxyConfig, Duration, proxy.connect_timeout)),
        Opt::new(
            "response_timeout",
            access!(HttpProxyConfig, Duration, response_timeout),
            "How long a site may take to begin its response after the last byte of the request.",
        ),
        proxy::max_connections(access!(HttpProxyConfig, usize, proxy.max_connections)),
        proxy::max_sessions(access!(HttpProxyConfig, usize, proxy.max_sessions)),
        proxy::session_idle(access!(HttpProxyConfig, Duration, proxy.session_idle)),
        proxy::keys(access!(HttpProxyConfig, Option<PathBuf>, proxy.keys)),
        proxy::shared(access!(HttpProxyConfig, Option<String>, proxy.shared)),
        proxy::session_options(access!(HttpProxyConfig, SessionOptions, proxy.options)),
    ],
};

/// Chosen because pages that are made slowly, and long polling, take minutes. Source: Java's proxy
/// waits as long.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{
        File, FileError,
        testing::{assert_defaults, assert_keys},
    };

    fn read(text: &str) -> Result<HttpProxyConfig, FileError> {
        let file = File::parse(text, "/etc/eepkit")?;
        let sections = file.sections("http-proxy")?;
        let config = TABLE.read(&sections[0])?;
        config.validate().map_err(|why| sections[0].error(why))?;
        Ok(config)
    }

    #[test]
    fn every_documented_default_is_the_effective_default() {
        assert_eq!(read("[http-proxy]\n"), Ok(HttpProxyConfig::new()));
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
                ("address_helper", "false"),
                ("jump_services", "[]"),
                ("send_host_name", "true"),
                ("send_user_agent", "true"),
                ("send_referer", "true"),
                ("send_accept", "true"),
                ("connect_only", "true"),
                ("request_timeout", "\"5s\""),
                ("connect_timeout", "\"7s\""),
                ("response_timeout", "\"9s\""),
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
    fn addresses_outside_of_i2p_are_refused() {
        for text in [
            "outproxies = [\"exit.com\"]",
            "jump_services = [\"http://example.com/\"]",
            "listen = []",
            "require_password = true",
        ] {
            assert!(read(&format!("[http-proxy]\n{text}\n")).is_err(), "{text}");
        }
        let text = "[http-proxy]\njump_services = [\"http://a.i2p/?q=\"]\n";
        assert!(read(text).is_ok());
    }
}
