//! What a bridge is built with.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eepkit::Router;
use eepkit_sam::server::Config;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::{TlsAcceptor, rustls};
use tracing::debug;

use super::{
    SamBridge, StartError, connection,
    reading::Ends,
    shared::{Settings, Shared},
    socket,
    udp::{self, UdpSockets},
    users::Users,
};

/// The TCP port that clients expect a bridge at: specification, section "SAM Connection Handshake".
pub const DEFAULT_TCP_PORT: u16 = 7656;

/// The UDP port that clients send datagrams to: specification, "Sending Repliable or Raw
/// Datagrams".
pub const DEFAULT_UDP_PORT: u16 = 7655;

/// Builds a [`SamBridge`].
///
/// Without any call it listens on port 7656 of 127.0.0.1 and, where there is IPv6, of ::1, and
/// takes datagrams on port 7655 of both. Nobody needs a password.
#[must_use = "a bridge runs once `start` is called"]
pub struct SamBuilder {
    router: Router,
    config: Config,
    tcp: Vec<(SocketAddr, Option<Arc<rustls::ServerConfig>>)>,
    /// Whether the default addresses are listened on, too.
    default_tcp: bool,
    unix: Vec<PathBuf>,
    udp: Option<Vec<SocketAddr>>,
    users: Users,
    settings: Settings,
}

impl SamBuilder {
    pub(super) fn new(router: Router) -> Self {
        Self {
            router,
            config: Config::default(),
            tcp: Vec::new(),
            default_tcp: false,
            unix: Vec::new(),
            udp: None,
            users: Users::new(),
            settings: Settings {
                defaults: Vec::new(),
                overrides: Vec::new(),
                open_timeout: OPEN_TIMEOUT,
                max_connections: MAX_CONNECTIONS,
                forward_tls: None,
            },
        }
    }

    /// Listens on this address, instead of the default ones, and on those of further calls. With
    /// port 0 the system chooses; see [`SamBridge::tcp_addrs`].
    ///
    /// What is said there is not encrypted, and whoever can connect can use the router: beyond
    /// loopback use [`SamBuilder::listen_tls`] and users.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.tcp.push((address, None));
        self
    }

    /// Listens on the default addresses besides others.
    pub fn listen_default(mut self) -> Self {
        self.default_tcp = true;
        self
    }

    /// Listens on this address with TLS.
    pub fn listen_tls(mut self, address: SocketAddr, config: Arc<rustls::ServerConfig>) -> Self {
        self.tcp.push((address, Some(config)));
        self
    }

    /// Listens on a Unix socket that only its owner can connect to. The file is removed when the
    /// bridge stops; one that is left over from a bridge that crashed is replaced.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix.push(path.into());
        self
    }

    /// Takes datagrams on this address, instead of the default one, and on those of further calls.
    pub fn udp(mut self, address: SocketAddr) -> Self {
        self.udp.get_or_insert_default().push(address);
        self
    }

    /// Takes no datagrams by UDP. Those that come for clients can still be forwarded to them.
    pub fn without_udp(mut self) -> Self {
        self.udp = Some(Vec::new());
        self
    }

    /// Who may use the bridge, if that is required ([`Users::set_required`]).
    pub fn users(mut self, users: Users) -> Self {
        self.users = users;
        self
    }

    /// An option of every session that does not set it itself.
    pub fn default_option(mut self, key: &str, value: impl fmt::Display) -> Self {
        let pair = (key.to_owned(), value.to_string());
        self.settings.defaults.push(pair);
        self
    }

    /// An option of every session, whatever its client asks for.
    pub fn option(mut self, key: &str, value: impl fmt::Display) -> Self {
        let pair = (key.to_owned(), value.to_string());
        self.settings.overrides.push(pair);
        self
    }

    /// How long a client waits for its session at most; 120 s by default.
    pub fn open_timeout(mut self, limit: Duration) -> Self {
        self.settings.open_timeout = limit;
        self
    }

    /// The most sockets of clients at once, streams included; 4,096 by default. Further ones are
    /// told so and closed.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections;
        self
    }

    /// What streams are forwarded with whose client asks for `SSL=true`. Without it, that is
    /// refused.
    pub fn forward_tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.settings.forward_tls = Some(config);
        self
    }

    /// Changes how the bridge speaks: versions, time limits, limits of sessions and streams.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the bridge. It needs no router that is ready yet.
    ///
    /// # Errors
    ///
    /// [`StartError`] when an address is taken.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(mut self) -> Result<SamBridge, StartError> {
        let listeners = self.bind_tcp().await?;
        let unix = bind_unix(&self.unix)?;
        if listeners.is_empty() && unix.is_empty() {
            return Err(StartError::NoAddress);
        }
        let sockets = self.bind_udp().await?;
        let tcp: Vec<_> = listeners
            .iter()
            .filter_map(|(listener, _)| listener.local_addr().ok())
            .collect();
        let udp_addrs: Vec<_> = sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect();
        self.config.udp.clone_from(&udp_addrs);
        let shared = Arc::new(Shared::new(
            self.config,
            self.settings,
            self.router,
            self.users,
            UdpSockets::new(sockets.clone()),
        ));
        for (listener, tls) in listeners {
            shared.tasks.spawn(listen_tcp(
                shared.clone(),
                listener,
                tls.map(TlsAcceptor::from),
            ));
        }
        #[cfg(unix)]
        for listener in unix {
            shared.tasks.spawn(listen_unix(shared.clone(), listener));
        }
        for socket in sockets {
            shared.tasks.spawn(udp::serve(shared.clone(), socket));
        }
        Ok(SamBridge {
            tasks: shared.tasks.clone(),
            shared,
            tcp,
            udp: udp_addrs,
            unix: self.unix,
        })
    }

    async fn bind_tcp(
        &self,
    ) -> Result<Vec<(TcpListener, Option<Arc<rustls::ServerConfig>>)>, StartError> {
        let mut listeners = Vec::new();
        for (address, tls) in &self.tcp {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|source| failed(address, source))?;
            listeners.push((listener, tls.clone()));
        }
        if self.default_tcp || (self.tcp.is_empty() && self.unix.is_empty()) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_TCP_PORT));
            let listener = TcpListener::bind(address).await;
            listeners.push((listener.map_err(|source| failed(address, source))?, None));
            // Programs that connect to `localhost` may try only this one.
            let address = SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_TCP_PORT));
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push((listener, None)),
                Err(error) => debug!(%error, "no SAM on ::1"),
            }
        }
        Ok(listeners)
    }

    async fn bind_udp(&self) -> Result<Vec<Arc<UdpSocket>>, StartError> {
        let default = [SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_UDP_PORT))];
        let addresses = self.udp.as_deref().unwrap_or(&default);
        let mut sockets = Vec::new();
        for address in addresses {
            let socket = UdpSocket::bind(address).await;
            let socket = socket.map_err(|source| failed(address, source))?;
            sockets.push(Arc::new(socket));
        }
        if self.udp.is_none() {
            // For those who send to `localhost`, which may be this one first.
            let address = SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_UDP_PORT));
            match UdpSocket::bind(address).await {
                Ok(socket) => sockets.push(Arc::new(socket)),
                Err(error) => debug!(%error, "no datagrams of SAM on ::1"),
            }
        }
        Ok(sockets)
    }
}

impl fmt::Debug for SamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamBuilder")
            .field("router", &self.router)
            .field("config", &self.config)
            .field("unix", &self.unix)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

fn failed(address: impl fmt::Display, source: io::Error) -> StartError {
    StartError::Listen {
        address: address.to_string(),
        source,
    }
}

async fn listen_tcp(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        if socket::prepare(&socket).is_err() {
            // It is gone already.
            continue;
        }
        let client = Some(socket::client_ip(client.ip()));
        // What a program reads of TLS is not what it reads of its socket.
        let ends = Ends::of(&socket).filter(|_| tls.is_none());
        let tls = tls.clone();
        let bridge = shared.clone();
        shared.tasks.spawn(async move {
            match tls {
                None => connection::serve(bridge, socket, client, ends).await,
                Some(tls) => {
                    if let Some(socket) = handshake(&tls, socket).await {
                        connection::serve(bridge, socket, client, None).await;
                    }
                }
            }
        });
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    socket: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(socket)).await {
        Ok(Ok(socket)) => Some(socket),
        Ok(Err(error)) => {
            debug!(%error, "TLS with a client of SAM failed");
            None
        }
        Err(_) => None,
    }
}

/// Out of file descriptors, most likely: some will be free again.
async fn accept_failed(error: &io::Error) {
    debug!(%error, "cannot take a client of SAM");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(unix)]
fn bind_unix(paths: &[PathBuf]) -> Result<Vec<tokio::net::UnixListener>, StartError> {
    paths
        .iter()
        .map(|path| bind_unix_path(path).map_err(|source| failed(path.display(), source)))
        .collect()
}

#[cfg(unix)]
fn bind_unix_path(path: &Path) -> io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;

    use socket2::{Domain, SockAddr, Socket, Type};

    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        // Nobody listens there any more.
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before anybody can connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(UNIX_BACKLOG)?;
    socket.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(socket.into())
}

#[cfg(unix)]
async fn listen_unix(shared: Arc<Shared>, listener: tokio::net::UnixListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let bridge = shared.clone();
                let serving = connection::serve(bridge, socket, None, None);
                shared.tasks.spawn(serving);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

#[cfg(not(unix))]
fn bind_unix(paths: &[PathBuf]) -> Result<Vec<()>, StartError> {
    match paths.first() {
        None => Ok(Vec::new()),
        Some(path) => Err(failed(
            path.display(),
            io::Error::from(io::ErrorKind::Unsupported),
        )),
    }
}

/// See [`SamBuilder::open_timeout`]. Chosen because routers that have just started need a minute,
/// and clients exist that wait for three.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// See [`SamBuilder::max_connections`]. Chosen because a socket that waits costs some kilobytes,
/// and systems allow for about this many files.
const MAX_CONNECTIONS: usize = 4096;

/// Clients that wait to be taken by a Unix socket; that of the standard library.
#[cfg(unix)]
const UNIX_BACKLOG: i32 = 128;

/// How long TLS may take to be agreed on; as long as HELLO may take in Java I2P would be too long
/// for what needs no human.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Chosen so that a lack of file descriptors costs no CPU, and its end is noticed at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
