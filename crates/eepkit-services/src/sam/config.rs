//! The configuration of a SAM bridge: one type with one table of options.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eepkit::SignatureType;
use eepkit_sam::server;

use super::{SamBridge, key_store::KeyStore};
use crate::{
    access,
    options::{Flag, Opt, SessionOptions, Table},
    service::{Context, Definition, ServiceError},
    tls::{ClientConfig, ServerConfig},
    users::Users,
};

/// The TCP port at which clients expect a bridge. Source: specification, section "SAM Connection
/// Handshake".
pub const DEFAULT_TCP_PORT: u16 = 7656;

/// The UDP port to which clients send datagrams. Source: specification, section "Sending Repliable
/// or Raw Datagrams".
pub const DEFAULT_UDP_PORT: u16 = 7655;

/// The configuration of a [`SamBridge`].
///
/// The default listens on TCP port 7656 and UDP port 7655 of 127.0.0.1 and, if IPv6 is available,
/// of ::1. It requires no password. `docs/sam.md` lists the options.
#[derive(Debug, Clone, PartialEq)]
pub struct SamConfig {
    name: Option<String>,
    enabled: bool,
    /// `None` for the default addresses. It is no error if ::1 does not exist.
    listen: Option<Vec<SocketAddr>>,
    listen_tls: Vec<SocketAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Replaces the files.
    tls: Option<Same<ServerConfig>>,
    listen_unix: Vec<PathBuf>,
    /// `None` for the default addresses. It is no error if ::1 does not exist.
    udp: Option<Vec<SocketAddr>>,
    /// Whether the bridge may have no address.
    in_process: bool,
    users_file: Option<PathBuf>,
    /// Replaces the file.
    users: Option<Users>,
    require_password: bool,
    trust: Option<PathBuf>,
    /// Replaces the file.
    forward_tls: Option<Same<ClientConfig>>,
    open_timeout: Duration,
    max_connections: usize,
    max_connections_per_client: Option<usize>,
    options: SessionOptions,
    overrides: SessionOptions,
    older_keys: Option<PathBuf>,
    protocol: server::Config,
}

impl SamConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            listen: None,
            listen_tls: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            tls: None,
            listen_unix: Vec::new(),
            udp: None,
            in_process: false,
            users_file: None,
            users: None,
            require_password: false,
            trust: None,
            forward_tls: None,
            open_timeout: OPEN_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_client: None,
            options: SessionOptions::new(),
            overrides: SessionOptions::new(),
            older_keys: None,
            protocol: server::Config::default(),
        }
    }

    /// Listens on this address and those of further calls, instead of the default ones. With port 0
    /// the system selects a port; see [`SamBridge::tcp_addrs`].
    ///
    /// The connections are not encrypted, and whoever can connect can use the router. Beyond
    /// loopback addresses, use [`SamConfig::listen_tls`] and users.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.get_or_insert_default().push(address);
        self
    }

    /// Uses no address at all. Only clients in this process can connect, with
    /// [`SamBridge::connect`](super::SamBridge::connect).
    #[must_use]
    pub fn in_process(mut self) -> Self {
        self.in_process = true;
        self.without_tcp().without_udp()
    }

    /// Disables listening on TCP without encryption.
    #[must_use]
    pub fn without_tcp(mut self) -> Self {
        self.listen = Some(Vec::new());
        self
    }

    /// Also listens on this address with TLS. All TLS addresses have the same certificate.
    #[must_use]
    pub fn listen_tls(mut self, address: SocketAddr, config: Arc<ServerConfig>) -> Self {
        self.listen_tls.push(address);
        self.tls = Some(Same(config));
        self
    }

    /// Also listens on a Unix socket. Only the user of this process can connect.
    ///
    /// An unused socket file is replaced. Any other file is an error. The file is removed when the
    /// bridge stops.
    #[must_use]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.listen_unix.push(path.into());
        self
    }

    /// Receives datagrams on this address and those of further calls, instead of the default ones.
    #[must_use]
    pub fn udp(mut self, address: SocketAddr) -> Self {
        self.udp.get_or_insert_default().push(address);
        self
    }

    /// Disables receiving datagrams over UDP. Datagrams of peers can still be forwarded to clients.
    #[must_use]
    pub fn without_udp(mut self) -> Self {
        self.udp = Some(Vec::new());
        self
    }

    /// Sets the users of the bridge, for which [`Users::set_required`] can require a password.
    #[must_use]
    pub fn users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Sets an option of every session whose client does not set it. An invalid value causes every
    /// session to fail.
    #[must_use]
    pub fn default_option(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.options.push(key, value.to_string());
        self
    }

    /// Sets an option of every session, which overrides that of the client.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.overrides.push(key, value.to_string());
        self
    }

    /// Sets the maximum time to wait for a session; 120 s by default.
    #[must_use]
    pub fn open_timeout(mut self, limit: Duration) -> Self {
        self.open_timeout = limit;
        self
    }

    /// Sets the maximum number of client connections, including streams and TLS handshakes; 4,096
    /// by default. Further clients get an error message and are closed.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the maximum number of connections of one address; three quarters of all by default.
    /// Of an IPv6 address the first 64 bits count, and all Unix sockets are one client. Further
    /// clients get an error message and are closed.
    #[must_use]
    pub fn max_connections_per_client(mut self, connections: usize) -> Self {
        self.max_connections_per_client = Some(connections);
        self
    }

    /// Sets the maximum number of sessions; 128 by default. Further ones are refused.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.protocol.max_sessions = sessions;
        self
    }

    /// Sets the maximum number of sessions of one client, which is the user that logged in, or
    /// without a login the address; three quarters of all by default. Further ones are refused.
    #[must_use]
    pub fn max_sessions_per_client(mut self, sessions: usize) -> Self {
        self.protocol.max_sessions_per_client = Some(sessions);
        self
    }

    /// Sets the certificates to trust for streams that are forwarded with `SSL=true`. Without them,
    /// such forwarding is refused.
    #[must_use]
    pub fn forward_tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.forward_tls = Some(Same(config));
        self
    }

    /// Allows clients to use SAM 1.0 and 2.0, on the same addresses as SAM 3. Only programs that
    /// nobody maintains need them. They have no users of their own, so [`SamConfig::users`] locks
    /// them out unless they send USER and PASSWORD.
    #[must_use]
    pub fn older_versions(mut self) -> Self {
        self.protocol.older_versions = true;
        self
    }

    /// Stores the keys of destinations that clients of SAM 1.0 and 2.0 name in this file, which has
    /// the format of `sam.keys` of Java I2P. It is created when it is needed. Without a file, the
    /// names are valid until the bridge stops.
    #[must_use]
    pub fn older_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.older_keys = Some(file.into());
        self
    }

    /// Changes the protocol configuration: versions, time limits, limits of sessions and streams.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut server::Config)) -> Self {
        change(&mut self.protocol);
        self
    }

    /// The options of sessions whose clients do not set them.
    pub(super) fn defaults(&self) -> &SessionOptions {
        &self.options
    }

    /// The options of all sessions.
    pub(super) fn overrides(&self) -> &SessionOptions {
        &self.overrides
    }

    pub(super) fn older_keys_file(&self) -> Option<&Path> {
        self.older_keys.as_deref()
    }

    pub(super) fn open_limit(&self) -> Duration {
        self.open_timeout
    }

    pub(super) fn connections(&self) -> usize {
        self.max_connections
    }

    /// The maximum number of connections of one client, at least 1.
    pub(super) fn connections_per_client(&self) -> usize {
        let default = || self.max_connections - self.max_connections / 4;
        self.max_connections_per_client
            .unwrap_or_else(default)
            .max(1)
    }

    pub(super) fn protocol(&self) -> &server::Config {
        &self.protocol
    }

    pub(super) fn is_in_process(&self) -> bool {
        self.in_process
    }

    /// TCP addresses without encryption; `None` for the default ones.
    pub(super) fn plain_addresses(&self) -> Option<&[SocketAddr]> {
        self.listen.as_deref()
    }

    pub(super) fn tls_addresses(&self) -> &[SocketAddr] {
        &self.listen_tls
    }

    pub(super) fn unix_paths(&self) -> &[PathBuf] {
        &self.listen_unix
    }

    /// UDP addresses; `None` for the default ones.
    pub(super) fn udp_addresses(&self) -> Option<&[SocketAddr]> {
        self.udp.as_deref()
    }

    /// Reads the files of the configuration.
    pub(super) fn files(&self) -> Result<Files, ServiceError> {
        let tls = match (&self.tls, &self.tls_certificate, &self.tls_key) {
            (Some(Same(config)), ..) => Some(config.clone()),
            (None, Some(certificate), Some(key)) => Some(crate::tls::server(certificate, key)?),
            _ => None,
        };
        let trust = match (&self.forward_tls, &self.trust) {
            (Some(Same(config)), _) => Some(config.clone()),
            (None, Some(file)) => Some(crate::tls::client(file)?),
            (None, None) => None,
        };
        let users = match (&self.users, &self.users_file) {
            (Some(users), _) => users.clone(),
            (None, Some(file)) => Users::load(file)?,
            (None, None) => Users::new(),
        };
        if self.require_password && users.is_empty() {
            return Err(ServiceError::NoUsers);
        }
        Ok(Files { tls, trust, users })
    }

    /// As [`SamConfig::files`]. Also requires a password from now on if the configuration requires
    /// one.
    pub(super) fn files_in_use(&self) -> Result<Files, ServiceError> {
        let mut files = self.files()?;
        if self.require_password && !files.users.is_required() {
            files.users.set_required(true)?;
        }
        Ok(files)
    }
}

impl Default for SamConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// The content of the files of a configuration.
pub(super) struct Files {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) trust: Option<Arc<ClientConfig>>,
    pub(super) users: Users,
}

/// A shared value that is equal only to itself.
struct Same<T>(Arc<T>);

impl<T> Clone for Same<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for Same<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> fmt::Debug for Same<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Same").finish_non_exhaustive()
    }
}

/// Port `port` of both loopback addresses.
pub(super) fn loopback(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ]
}

impl Definition for SamConfig {
    type Running = SamBridge;

    const KIND: &'static str = "sam";
    const TITLE: &'static str = "SAM";
    const BY_DEFAULT: bool = true;

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
        let has_files = self.tls_certificate.is_some() && self.tls_key.is_some();
        let has_a_file = self.tls_certificate.is_some() || self.tls_key.is_some();
        let has_tls = self.tls.is_some() || has_files;
        if has_tls == self.listen_tls.is_empty() || (has_a_file && !has_files) {
            return Err(
                "listen_tls needs both tls_certificate and tls_key, and they need listen_tls"
                    .to_owned(),
            );
        }
        let nowhere = self.listen.as_ref().is_some_and(Vec::is_empty)
            && self.listen_tls.is_empty()
            && self.listen_unix.is_empty();
        if self.older_keys.is_some() && !self.protocol.older_versions {
            return Err("older_keys needs older_versions = true".to_owned());
        }
        if nowhere {
            return Err("a bridge has to listen somewhere, or enabled = false".to_owned());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ServiceError> {
        KeyStore::open(self.older_keys_file())?;
        self.files().map(drop)
    }

    async fn launch(&self, context: &Context) -> Result<SamBridge, ServiceError> {
        SamBridge::start(context.router.clone(), self.clone()).await
    }
}

static TABLE: Table<SamConfig> = Table {
    section: "sam",
    doc: "A SAM bridge. For several, write [[sam]] before each.",
    defaults: SamConfig::new,
    options: &[
        Opt::new(
            "enabled",
            access!(SamConfig, bool, enabled),
            "Whether the bridge runs.",
        ),
        Opt::new(
            "name",
            access!(SamConfig, Option<String>, name),
            "The name of the bridge, in messages and for reloads.\n\
             Default: sam for the first, sam-2 for the second.",
        )
        .example("\"sam\""),
        Opt::new(
            "listen",
            access!(
                SamConfig,
                Vec<SocketAddr>,
                |config: &SamConfig| {
                    let default = || loopback(DEFAULT_TCP_PORT).to_vec();
                    config.listen.clone().unwrap_or_else(default)
                },
                |config: &mut SamConfig, value| config.listen = Some(value)
            ),
            "TCP addresses for clients, without encryption.\n\
             Whoever can connect can use the router.",
        )
        .flag(Flag::new("listen", "IP:PORT").short('l')),
        Opt::new(
            "listen_tls",
            access!(SamConfig, Vec<SocketAddr>, listen_tls),
            "TLS addresses for clients.\n\
             They need tls_certificate and tls_key.",
        )
        .flag(Flag::new("listen-tls", "IP:PORT").requires(&["tls_certificate"])),
        Opt::new(
            "tls_certificate",
            access!(SamConfig, Option<PathBuf>, tls_certificate),
            "Certificates for listen_tls, as PEM.",
        )
        .example("\"sam.crt\"")
        .flag(Flag::new("tls-certificate", "FILE").requires(&["tls_key", "listen_tls"])),
        Opt::new(
            "tls_key",
            access!(SamConfig, Option<PathBuf>, tls_key),
            "Private key for listen_tls, as PEM.",
        )
        .example("\"sam.key\"")
        .flag(Flag::new("tls-key", "FILE").requires(&["tls_certificate"])),
        Opt::new(
            "listen_unix",
            access!(SamConfig, Vec<PathBuf>, listen_unix),
            "Paths of Unix sockets, to which only the user of this process can connect.\n\
             An unused socket file is replaced; any other file is an error.",
        )
        .flag(Flag::new("unix", "PATH")),
        Opt::new(
            "udp",
            access!(
                SamConfig,
                Vec<SocketAddr>,
                |config: &SamConfig| {
                    let default = || loopback(DEFAULT_UDP_PORT).to_vec();
                    config.udp.clone().unwrap_or_else(default)
                },
                |config: &mut SamConfig, value| config.udp = Some(value)
            ),
            "UDP addresses for datagrams of clients.\n\
             With an empty list the bridge accepts none.",
        )
        .flag(Flag::new("udp", "IP:PORT").none("no-udp", "Accept no datagrams over UDP")),
        Opt::new(
            "users",
            access!(SamConfig, Option<PathBuf>, users_file),
            "File with names and hashes of passwords, which clients change with AUTH.\n\
             It is created if it does not exist. Default: users are not stored.",
        )
        .example("\"sam-users.json\"")
        .flag(Flag::new("users", "FILE")),
        Opt::new(
            "require_password",
            access!(SamConfig, bool, require_password),
            "Accept only clients with a name and a password from the file of users.\n\
             The file must contain users. Without this option, the file determines whether a\n\
             password is needed.",
        )
        .flag(Flag::new("require-password", "").requires(&["users"])),
        Opt::new(
            "auth_commands",
            access!(SamConfig, bool, protocol.auth_commands),
            "Whether clients may change users with AUTH.",
        ),
        Opt::new(
            "signature_type",
            access!(SamConfig, SignatureType, protocol.default_signature_type),
            "Signature type of new destinations if the client requests none, by number or name.",
        ),
        Opt::new(
            "forward_anywhere",
            access!(SamConfig, bool, protocol.forward_anywhere),
            "Whether streams and datagrams may be forwarded to any IP address.\n\
             Otherwise they go only to loopback addresses and the client's own.",
        ),
        Opt::new(
            "older_versions",
            access!(SamConfig, bool, protocol.older_versions),
            "Whether clients may use SAM 1.0 and 2.0, on the same addresses.\n\
             Only old programs need them. They are slower, and have no ports.",
        )
        .flag(Flag::new("older-versions", "")),
        Opt::new(
            "older_keys",
            access!(SamConfig, Option<PathBuf>, older_keys),
            "File with the keys of destinations that clients of SAM 1.0 and 2.0 name.\n\
             It has the format of sam.keys of Java I2P, and is created when it is needed.\n\
             Default: the names are valid until the bridge stops.",
        )
        .example("\"sam.keys\"")
        .flag(Flag::new("older-keys", "FILE").requires(&["older_versions"])),
        Opt::new(
            "trust",
            access!(SamConfig, Option<PathBuf>, trust),
            "Certificates to trust for streams that are forwarded with SSL=true, as PEM.\n\
             Default: such forwarding is refused.",
        )
        .example("\"trusted.pem\"")
        .flag(Flag::new("trust", "FILE")),
        Opt::new(
            "ping_after",
            access!(SamConfig, Option<Duration>, protocol.ping_after),
            "Send a PING to clients of SAM 3.2 and newer that are silent for this long.\n\
             The session of a client that does not answer is closed. Default: never, because some\n\
             clients do not answer.",
        )
        .example("\"3m\""),
        Opt::new(
            "hello_timeout",
            access!(SamConfig, Duration, protocol.hello_timeout),
            "How long a client may take to send HELLO.",
        ),
        Opt::new(
            "command_timeout",
            access!(SamConfig, Option<Duration>, protocol.command_timeout),
            "How long a client may take from HELLO to its first command.\n\
             Default: no limit.",
        )
        .example("\"10m\""),
        Opt::new(
            "open_timeout",
            access!(SamConfig, Duration, open_timeout),
            "Maximum time to wait for the tunnels of a session.",
        ),
        Opt::new(
            "max_connections",
            access!(SamConfig, usize, max_connections),
            "Maximum number of client connections, including streams and TLS handshakes.",
        ),
        Opt::new(
            "max_connections_per_client",
            access!(SamConfig, Option<usize>, max_connections_per_client),
            "Maximum number of connections of one address.\n\
             Default: three quarters of max_connections.",
        )
        .example("3072"),
        Opt::new(
            "max_sessions",
            access!(SamConfig, usize, protocol.max_sessions),
            "Maximum number of sessions.",
        ),
        Opt::new(
            "max_sessions_per_client",
            access!(SamConfig, Option<usize>, protocol.max_sessions_per_client),
            "Maximum number of sessions of one user, or of one address without a login.\n\
             Default: three quarters of max_sessions.",
        )
        .example("96"),
        Opt::new(
            "options",
            access!(SamConfig, SessionOptions, options),
            "I2CP and streaming options of sessions whose clients do not set them.",
        )
        .example("{ \"inbound.quantity\" = 3, \"outbound.quantity\" = 3 }")
        .flag(Flag::new("option", "KEY=VALUE").short('o')),
        Opt::new(
            "overrides",
            access!(SamConfig, SessionOptions, overrides),
            "I2CP and streaming options of all sessions, whatever their clients set.",
        )
        .example("{ \"inbound.length\" = 3, \"outbound.length\" = 3 }"),
    ],
};

/// The default of [`SamConfig::open_timeout`]. Chosen because routers that have just started need a
/// minute, and some clients wait for three.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// The default of [`SamConfig::max_connections`]. Chosen because an idle connection takes some
/// kilobytes, and systems allow for about this many files.
const MAX_CONNECTIONS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{
        File, FileError,
        testing::{assert_defaults, assert_keys},
    };

    fn read(text: &str) -> Result<SamConfig, FileError> {
        let file = File::parse(text, "/etc/eepkit")?;
        let sections = file.sections("sam")?;
        let config = TABLE.read(&sections[0])?;
        config.validate().map_err(|why| sections[0].error(why))?;
        Ok(config)
    }

    fn error(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(read("[sam]\n"), Ok(SamConfig::new()));
    }

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
                ("listen_tls", "[\"127.0.0.1:2\"]"),
                ("tls_certificate", "\"/c\""),
                ("tls_key", "\"/k\""),
                ("listen_unix", "[\"/s\"]"),
                ("udp", "[]"),
                ("users", "\"/u\""),
                ("require_password", "true"),
                ("auth_commands", "false"),
                ("signature_type", "\"1\""),
                ("forward_anywhere", "true"),
                ("older_versions", "true"),
                ("older_keys", "\"/o\""),
                ("trust", "\"/t\""),
                ("ping_after", "\"3m\""),
                ("hello_timeout", "\"5s\""),
                ("command_timeout", "\"10m\""),
                ("open_timeout", "\"7s\""),
                ("max_connections", "8"),
                ("max_connections_per_client", "7"),
                ("max_sessions", "9"),
                ("max_sessions_per_client", "5"),
                ("options", "{ \"inbound.length\" = \"1\" }"),
                ("overrides", "{ \"outbound.length\" = \"2\" }"),
            ],
        );
    }

    #[test]
    fn conflicting_options_are_refused() {
        let both = "[sam]: listen_tls needs both tls_certificate and tls_key, and they need \
                    listen_tls";
        for text in [
            "[sam]\nlisten_tls = \"127.0.0.1:1\"\n",
            "[sam]\ntls_key = \"x\"\n",
            "[sam]\nlisten_tls = \"127.0.0.1:1\"\ntls_key = \"x\"\n",
            "[sam]\ntls_key = \"x\"\ntls_certificate = \"y\"\n",
        ] {
            assert_eq!(error(text), format!("line 1: {both}"), "{text}");
        }
        assert_eq!(
            error("[sam]\nlisten = []\n"),
            "line 1: [sam]: a bridge has to listen somewhere, or enabled = false"
        );
        assert!(read("[sam]\nlisten = []\nlisten_unix = \"a.sock\"\n").is_ok());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = read("[sam]\nlisten_unix = [\"a.sock\", \"/b.sock\"]\nusers = \"u.json\"\n");
        let config = config.expect("valid");
        let paths = ["/etc/eepkit/a.sock", "/b.sock"].map(PathBuf::from);
        assert_eq!(config.listen_unix, paths);
        assert_eq!(config.users_file, Some("/etc/eepkit/u.json".into()));
    }
}
