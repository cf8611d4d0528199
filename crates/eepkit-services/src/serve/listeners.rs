//! Bound sockets.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use tokio::net::{TcpListener, TcpSocket};

#[cfg(unix)]
use super::unix;
use super::{accept::Accept, socket::Incoming};
use crate::tls;

/// An address to listen on.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// TCP, without encryption. With port 0 the system selects a port.
    Tcp(SocketAddr),
    /// TCP with TLS.
    Tls(SocketAddr, tls::Identity),
    /// A Unix socket at this path. Only the user of this process can connect.
    ///
    /// An unused socket file is replaced. Any other file is left unchanged, and binding fails. When
    /// the server stops, it removes the file if the path still refers to the same file.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Bound sockets, for [`Server::serve`](super::Server::serve). Clients can connect, and wait until
/// they are served.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(super) list: Vec<Listener>,
    addresses: Addresses,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: ListenerSocket,
    pub(super) transport: Transport,
    #[cfg(unix)]
    pub(super) file: Option<unix::SocketFile>,
}

#[derive(Debug)]
pub(super) enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

#[derive(Debug, Clone)]
pub(super) enum Transport {
    Plain,
    Tls(tls::Identity),
}

impl Listeners {
    /// Creates an empty set of sockets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds all of these addresses.
    ///
    /// # Errors
    ///
    /// [`BindError`] for the first address that cannot be bound. The sockets bound before it are
    /// closed.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn bind(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, BindError> {
        let mut listeners = Self::new();
        for endpoint in endpoints {
            listeners.add(endpoint).await?;
        }
        Ok(listeners)
    }

    /// Binds one more address.
    ///
    /// # Errors
    ///
    /// [`BindError`]. The other sockets stay bound.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn add(&mut self, endpoint: Endpoint) -> Result<(), BindError> {
        let name = endpoint.to_string();
        let failed = |source| BindError {
            address: name,
            source,
        };
        let (address, transport) = match endpoint {
            Endpoint::Tcp(address) => (address, Transport::Plain),
            Endpoint::Tls(address, identity) => (address, Transport::Tls(identity)),
            Endpoint::Unix(path) => return self.add_unix(path).map_err(failed),
        };
        let (listener, address) = bind_tcp(address).map_err(failed)?;
        self.addresses.tcp.push(address);
        self.list.push(Listener {
            socket: ListenerSocket::Tcp(listener),
            transport,
            #[cfg(unix)]
            file: None,
        });
        Ok(())
    }

    #[cfg(unix)]
    fn add_unix(&mut self, path: PathBuf) -> io::Result<()> {
        let (listener, file) = unix::bind(&path)?;
        self.addresses.unix.push(path);
        self.list.push(Listener {
            socket: ListenerSocket::Unix(listener),
            transport: Transport::Plain,
            file: Some(file),
        });
        Ok(())
    }

    #[cfg(not(unix))]
    fn add_unix(&mut self, _path: PathBuf) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The addresses of the sockets.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether there are no sockets.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Windows, the option would let another program listen at the same address.
    if cfg!(not(windows)) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

impl Accept for ListenerSocket {
    type Connection = Incoming;

    async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(listener) => {
                let (socket, client) = listener.accept().await?;
                Ok(Incoming::Tcp(socket, canonical(client.ip())))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok(Incoming::Unix(socket))
            }
        }
    }
}

/// The number of clients that wait to be accepted. With more at once, the system drops packets: those
/// clients connect a second later, or are gone and their connections remain here until they time
/// out. Chosen because programs open some hundreds of connections at once, and the standard library's
/// 128 are too few. The system may have a lower limit.
const BACKLOG: u32 = 1024;

/// Returns an address with IPv4-mapped IPv6 as IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The addresses at which a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// TCP, with and without TLS.
    pub tcp: Vec<SocketAddr>,
    /// UDP.
    pub udp: Vec<SocketAddr>,
    /// Paths of Unix sockets.
    pub unix: Vec<PathBuf>,
    /// Addresses on I2P, as `HASH.b32.i2p` with a port if there is one.
    pub i2p: Vec<String>,
}

/// The reason why an address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address or path.
    pub address: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}
