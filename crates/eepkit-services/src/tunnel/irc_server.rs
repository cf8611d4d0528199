//! Tunnels from a destination to a local IRC server.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Address, Destination, Hash, Preset, Stream};
use eepkit_irc::{Method, ServerFilter};
use rand::RngExt as _;
use tokio::io::AsyncWriteExt as _;

use super::{
    incoming::{Incoming, IncomingConfig, Remote, ServerTunnel},
    incoming_options,
    irc_filter::Filtered,
    session::SessionConfig,
    setters::{incoming_setters, tunnel_definition, tunnel_setters},
    target::Target,
};
use crate::{
    options::{Opt, Table},
    relay::Prefixed,
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from a destination to a local IRC server.
///
/// The server gets a host name for each peer, see [`eepkit_irc::ServerFilter`]. The default has no
/// target. One must be set.
#[derive(Clone, PartialEq)]
pub struct IrcServerConfig {
    name: Option<String>,
    enabled: bool,
    incoming: IncomingConfig,
    session: SessionConfig,
    host: String,
    cloak_key: Option<String>,
    webirc_password: Option<String>,
    webirc_address: IpAddr,
}

impl IrcServerConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            incoming: IncomingConfig::new(),
            session: SessionConfig::new(Preset::Server),
            host: "%f.b32.i2p".to_owned(),
            cloak_key: None,
            webirc_password: None,
            webirc_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    tunnel_setters!();
    incoming_setters!();

    /// Sets the host name that the server gets for a peer. `%f` is the base32 hash of the peer, `%c`
    /// a hash of it and of the cloak key. `%f.b32.i2p` by default.
    #[must_use]
    pub fn host(mut self, pattern: impl Into<String>) -> Self {
        self.host = pattern.into();
        self
    }

    /// Sets the key of cloaked host names. By default it is new at each start.
    #[must_use]
    pub fn cloak_key(mut self, key: impl Into<String>) -> Self {
        self.cloak_key = Some(key.into());
        self
    }

    /// Also states the host name with the message `WEBIRC`, for which the server must be configured
    /// with this password.
    #[must_use]
    pub fn webirc_password(mut self, password: impl Into<String>) -> Self {
        self.webirc_password = Some(password.into());
        self
    }

    fn method(&self) -> Result<Method, String> {
        match &self.webirc_password {
            None => Ok(Method::User),
            Some(password) => {
                Method::web_irc(password, self.webirc_address).map_err(|error| error.to_string())
            }
        }
    }
}

/// Hides the password and the key.
impl std::fmt::Debug for IrcServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IrcServerConfig")
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .field("incoming", &self.incoming)
            .field("session", &self.session)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Default for IrcServerConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for IrcServerConfig {
    type Running = ServerTunnel;

    tunnel_definition!("irc-server", "IRC server tunnel", TABLE);

    fn validate(&self) -> Result<(), String> {
        self.incoming.validate()?;
        self.method()?;
        let sample = host_name(&self.host, Hash::from([0; 32]), &[]);
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if sample.is_empty() || sample.len() > MAX_HOST || !sample.chars().all(is_host) {
            return Err(format!(
                "host is at most {MAX_HOST} letters, digits, \".\" and \"-\", where %f and %c stand for 52"
            ));
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.incoming.check()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<ServerTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let cloak = match &self.cloak_key {
            Some(key) => Hash::of(key.trim().as_bytes()).as_bytes().to_vec(),
            None => rand::rng().random::<[u8; 32]>().to_vec(),
        };
        let server = IrcServer {
            method: self.method().map_err(ServiceError::Invalid)?,
            host: self.host.clone(),
            cloak,
        };
        ServerTunnel::launch(context, name, &self.incoming, &self.session, server).await
    }
}

impl Running<IrcServerConfig> for ServerTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &IrcServerConfig) -> Result<(), ServiceError> {
        config.check()
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Connects each peer with the server, which gets its host name.
struct IrcServer {
    method: Method,
    host: String,
    cloak: Vec<u8>,
}

impl IrcServer {
    fn host_of(&self, peer: &Destination) -> String {
        host_name(&self.host, peer.hash(), &self.cloak)
    }
}

impl Remote for IrcServer {
    async fn serve(&self, tunnel: &Arc<Incoming>, mut stream: Stream) {
        match tunnel
            .connect(stream.local_port(), stream.peer().hash())
            .await
        {
            Some(socket) => {
                let filter = ServerFilter::new(self.method.clone(), &self.host_of(stream.peer()));
                let socket = Prefixed::new(Bytes::new(), socket);
                let local = Filtered::new(socket, filter, Some(REGISTRATION));
                tunnel.relay(local, stream).await;
            }
            None => {
                // So that the user does not look for the fault in the own router.
                let refusal = ServerFilter::refusal("this IRC server cannot be reached now");
                let saying = async {
                    stream.write_all(&refusal).await?;
                    stream.shutdown().await
                };
                let _ = tokio::time::timeout(GOODBYE, saying).await;
            }
        }
    }
}

/// The host name of a peer: `%f` is its base32 hash, `%c` the hash of that and of a key.
fn host_name(pattern: &str, peer: Hash, cloak: &[u8]) -> String {
    let base32 = |hash: Hash| hash.to_b32().trim_end_matches(".b32.i2p").to_owned();
    let cloaked = Hash::of(&[peer.as_bytes(), cloak].concat());
    pattern
        .replace("%f", &base32(peer))
        .replace("%c", &base32(cloaked))
}

static TABLE: Table<IrcServerConfig> = Table {
    section: "irc-server",
    doc: "A tunnel from a destination to a local IRC server. For several, write [[irc-server]] before each.",
    defaults: IrcServerConfig::new,
    options: incoming_options!(
        IrcServerConfig,
        [
            Opt::new(
                "host",
                access!(IrcServerConfig, String, host),
                "The host name that the server gets for a peer.\n\
                 %f is the base32 hash of the peer, %c a hash of it and of cloak_key.",
            ),
            Opt::new(
                "cloak_key",
                access!(IrcServerConfig, Option<String>, cloak_key),
                "The key of cloaked host names (%c).\n\
                 Default: new at each start, so that users cannot be recognized after it.",
            )
            .example("\"a secret\""),
            Opt::new(
                "webirc_password",
                access!(IrcServerConfig, Option<String>, webirc_password),
                "States the host name also with WEBIRC, which the server must allow with this password.\n\
                 Default: only in USER, which most servers ignore.",
            )
            .example("\"secret\""),
            Opt::new(
                "webirc_address",
                access!(IrcServerConfig, IpAddr, webirc_address),
                "The IP address of all peers in WEBIRC.",
            ),
        ]
    ),
};

/// The time for USER. Chosen as in Java I2P.
const REGISTRATION: Duration = Duration::from_secs(30);
/// Chosen because a peer reads a refusal at once, or has gone.
const GOODBYE: Duration = Duration::from_secs(5);
/// The longest host name, in bytes. Source: `HOSTLEN` of IRC servers.
const MAX_HOST: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_of_the_pattern() {
        let peer = Hash::from([7; 32]);
        let full = host_name("%f.b32.i2p", peer, &[]);
        assert_eq!(full, peer.to_b32());
        let cloaked = host_name("%c.i2p", peer, b"key");
        assert_eq!(cloaked.len(), 56);
        assert_ne!(cloaked, host_name("%c.i2p", peer, b"other"));
        assert_eq!(host_name("users.i2p", peer, &[]), "users.i2p");
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = IrcServerConfig::new()
            .webirc_password("secret")
            .cloak_key("hidden");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("hidden"),
            "{shown}"
        );
    }

    #[test]
    fn impossible_host_names_and_passwords_are_refused() {
        let target = || IrcServerConfig::new().target(Target::Tcp(([127, 0, 0, 1], 6667).into()));
        assert_eq!(target().validate(), Ok(()));
        for host in ["", "a b", "%f.%c", "%f.a-name-that-is-too-long.i2p", "a\nb"] {
            assert!(target().host(host).validate().is_err(), "{host}");
        }
        assert!(target().webirc_password("a b").validate().is_err());
    }
}
