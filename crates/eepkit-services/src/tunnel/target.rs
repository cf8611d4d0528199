//! Where a server tunnel connects to: TCP, TLS or a Unix socket of this machine.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eepkit::Hash;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tracing::warn;

use crate::{
    options::{Access, Element, Flag, Form, Input, Mistake, Opt, Value},
    serve::{Socket, prepare},
    service::ServiceError,
    tls::{self, ClientConfig},
};

/// An address of a local server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// TCP with TLS.
    Tls(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// `IP:PORT`, `tls:IP:PORT` or `unix:PATH`.
impl Element for Target {
    fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match cfg!(unix) {
                true => PathBuf::parse(path, directory).map(Self::Unix),
                false => Err("this system has no Unix sockets".to_owned()),
            };
        }
        let (address, kind): (&str, fn(SocketAddr) -> Self) = match text.strip_prefix("tls:") {
            Some(address) => (address, Self::Tls),
            None => (text, Self::Tcp),
        };
        let address = SocketAddr::parse(address, directory).map_err(|_| {
            "expected IP:PORT, tls:IP:PORT or unix:PATH; no name but localhost is looked up"
                .to_owned()
        })?;
        match address.port() {
            0 => Err("port 0 is no port of a server".to_owned()),
            _ => Ok(kind(address)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Tls(address) => write!(f, "tls:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Targets by port of the destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PortTargets(pub(crate) Vec<(u16, Target)>);

impl PortTargets {
    fn read_one(key: &str, text: &str, directory: &Path) -> Result<(u16, Target), String> {
        let port = match key.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("{key:?} is not a port (1 to 65535)")),
        };
        let target = Target::parse(text, directory).map_err(|why| format!("{text:?}: {why}"))?;
        Ok((port, target))
    }
}

impl Value for PortTargets {
    const FORM: Form = Form::Pairs;

    fn read(input: &Input<'_>, directory: &Path) -> Result<Self, Mistake> {
        let mut targets = Vec::new();
        for (key, value) in input.pairs("{ 22 = \"127.0.0.1:22\" }")? {
            let Input::Text(text) = value.value else {
                let why = format!("the target of port {key} is a text in quotes");
                return Err(Mistake::sentence(why).at(value.at));
            };
            let target = Self::read_one(key, text, directory)
                .map_err(|why| Mistake::sentence(why).at(value.at))?;
            targets.push(target);
        }
        Ok(Self(targets))
    }

    fn write(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let pairs = self.0.iter().map(|(port, target)| {
            let target = toml::Value::from(target.to_string());
            format!("{port} = {target}")
        });
        Some(format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")))
    }

    fn check(text: &str) -> Result<(), String> {
        let (port, target) = text
            .split_once('=')
            .ok_or("expected PORT=TARGET, as in 22=127.0.0.1:22")?;
        Self::read_one(port.trim(), target.trim(), Path::new("")).map(drop)
    }
}

/// The local servers of a tunnel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TargetConfig {
    pub(crate) target: Option<Target>,
    pub(crate) targets: PortTargets,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) unique_local: bool,
    pub(crate) connect_timeout: Duration,
}

impl TargetConfig {
    /// The defaults: no target.
    pub(crate) fn new() -> Self {
        Self {
            target: None,
            targets: PortTargets::default(),
            trust: None,
            unique_local: false,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.target.is_none() && self.targets.0.is_empty() {
            return Err("needs a target: target = \"127.0.0.1:PORT\"".to_owned());
        }
        for (index, (port, _)) in self.targets.0.iter().enumerate() {
            if self.targets.0[..index]
                .iter()
                .any(|(other, _)| other == port)
            {
                return Err(format!("targets has port {port} twice"));
            }
        }
        for target in self.all() {
            if let Target::Tls(address) = target
                && !address.ip().is_loopback()
                && self.trust.is_none()
            {
                return Err(format!(
                    "trust is needed for the target {target} on another machine: the certificates \
                     that it may have"
                ));
            }
            if let Target::Tcp(address) | Target::Tls(address) = target
                && self.unique_local
                && !matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback())
            {
                return Err(format!(
                    "unique_local needs targets on 127.0.0.1, and {target} is elsewhere"
                ));
            }
        }
        Ok(())
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, ServiceError> {
        Ok(match &self.trust {
            Some(file) => tls::client(file)?,
            None => tls::client_without_verification(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Target> {
        let by_port = self.targets.0.iter().map(|(_, target)| target);
        self.target.iter().chain(by_port)
    }

    /// Reads the trusted certificates.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the file cannot be used.
    pub(crate) fn open(&self) -> Result<Targets, ServiceError> {
        Ok(Targets {
            config: self.clone(),
            tls: RwLock::new(self.tls()?),
            unbindable: AtomicBool::new(false),
        })
    }
}

/// The local servers of a running tunnel.
pub(crate) struct Targets {
    config: TargetConfig,
    tls: RwLock<Arc<ClientConfig>>,
    /// Whether addresses of 127.0.0.0/8 cannot be bound, as on systems other than Linux.
    unbindable: AtomicBool,
}

impl Targets {
    /// The target of streams to this port.
    pub(crate) fn of(&self, port: u16) -> Option<&Target> {
        let by_port = self.config.targets.0.iter().find(|(of, _)| *of == port);
        by_port
            .map(|(_, target)| target)
            .or(self.config.target.as_ref())
    }

    /// Whether there is a target for this port in particular.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.config.targets.0.iter().any(|(of, _)| *of == port)
    }

    /// Connects with a target on behalf of a peer.
    ///
    /// # Errors
    ///
    /// That of the system or of TLS, or a time-out.
    pub(crate) async fn connect(&self, target: &Target, peer: Hash) -> io::Result<Socket> {
        let connecting = async {
            match target {
                Target::Tcp(address) => self.tcp(*address, peer).await.map(Socket::Tcp),
                Target::Tls(address) => {
                    let socket = self.tcp(*address, peer).await?;
                    let name = ServerName::IpAddress(address.ip().into());
                    let connector = TlsConnector::from(self.tls());
                    let socket = connector.connect(name, socket).await?;
                    Ok(Socket::TlsClient(Box::new(socket)))
                }
                #[cfg(unix)]
                Target::Unix(path) => tokio::net::UnixStream::connect(path)
                    .await
                    .map(Socket::Unix),
                #[cfg(not(unix))]
                Target::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
            }
        };
        match timeout(self.config.connect_timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Reads the trusted certificates again.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if they cannot be used. The old ones then stay in use.
    pub(crate) fn reload(&self, config: &TargetConfig) -> Result<(), ServiceError> {
        let tls = config.tls()?;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        Ok(())
    }

    fn tls(&self) -> Arc<ClientConfig> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        tls.clone()
    }

    async fn tcp(&self, address: SocketAddr, peer: Hash) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if self.config.unique_local && !self.unbindable.load(Ordering::Relaxed) {
            let from = SocketAddr::from((unique_address(peer), 0));
            if let Err(error) = socket.bind(from) {
                self.unbindable.store(true, Ordering::Relaxed);
                warn!(
                    %error,
                    "this system cannot use an address of its own for each peer (unique_local)"
                );
            }
        }
        let socket = socket.connect(address).await?;
        prepare(&socket)?;
        Ok(socket)
    }
}

/// The local address for a peer: 127 and the first three bytes of its hash, as in Java I2P and i2pd.
pub(crate) fn unique_address(peer: Hash) -> Ipv4Addr {
    let [a, b, c, ..] = *peer.as_bytes();
    match [a, b, c] {
        // The address of the network and its broadcast address cannot be bound.
        [0, 0, 0] | [255, 255, 255] => Ipv4Addr::LOCALHOST,
        [a, b, c] => Ipv4Addr::new(127, a, b, c),
    }
}

pub(crate) const fn target<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "target",
        access,
        "The local server: IP:PORT, tls:IP:PORT or unix:PATH.\n\
         Whoever knows the destination can connect to it.",
    )
    .example("\"127.0.0.1:8080\"")
    .flag(Flag::new("target", "TARGET").short('t'))
}

pub(crate) const fn targets<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "targets",
        access,
        "Local servers by port of the destination.\n\
         Streams to other ports reach target, and are reset if there is none.",
    )
    .example("{ 22 = \"127.0.0.1:22\", 443 = \"tls:127.0.0.1:8443\" }")
    .flag(Flag::new("target-for-port", "PORT=TARGET"))
}

pub(crate) const fn trust<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "trust",
        access,
        "Certificates (PEM) that targets with TLS may have.\n\
         Default: any certificate, and only targets on this machine.",
    )
    .example("\"target.pem\"")
    .flag(Flag::new("trust", "FILE"))
}

pub(crate) const fn unique_local<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "unique_local",
        access,
        "Whether connections to the target come from an address in 127.0.0.0/8 for each peer.\n\
         The server can then tell peers apart. Works on Linux.",
    )
    .flag(Flag::new("unique-local", ""))
}

pub(crate) const fn connect_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "connect_timeout",
        access,
        "Maximum time to connect with the target.",
    )
}

/// Chosen because a local server accepts within milliseconds unless it is overloaded.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_of_this_machine_or_numeric() {
        let parse = |text: &str| Target::parse(text, Path::new("/etc/eepkit"));
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("tls:[::1]:443", "tls:[::1]:443"),
            ("unix:web.sock", "unix:/etc/eepkit/web.sock"),
        ] {
            assert_eq!(
                parse(text).map(|target| target.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in ["", "80", "example.com:80", "127.0.0.1:0", "unix:", "tls:80"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_peer_has_a_local_address_that_can_be_bound() {
        let address = |start: [u8; 3]| {
            let mut hash = [7; 32];
            hash[..3].copy_from_slice(&start);
            unique_address(Hash::from(hash)).to_string()
        };
        assert_eq!(address([1, 2, 3]), "127.1.2.3");
        assert_eq!(address([0, 0, 0]), "127.0.0.1");
        assert_eq!(address([255, 255, 255]), "127.0.0.1");
    }

    #[test]
    fn ports_of_the_command_line_have_a_target_each() {
        assert_eq!(PortTargets::check("22=127.0.0.1:22"), Ok(()));
        for wrong in ["22", "0=127.0.0.1:22", "x=127.0.0.1:22", "22=host:22"] {
            assert!(PortTargets::check(wrong).is_err(), "{wrong}");
        }
    }
}
