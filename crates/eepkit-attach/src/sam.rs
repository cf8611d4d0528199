//! The link to a router that offers only SAM.
//!
//! The router implements the streams and the signatures of datagrams, so the layer of the link is
//! [`Layer::Streams`]: it carries streams and datagrams ([`eepkit_link::streams`]) instead of
//! messages. **The router gets all keys of the destination**, because SAM requires them.
//!
//! A session is one connection. On it the link requests a PRIMARY session, so that streams and
//! datagrams of every format share its destination. If the bridge does not support PRIMARY, the
//! link opens a STREAM session, and a separate session with the same keys for each datagram format,
//! which i2pd allows. Each stream, each look-up and each pending accept uses a separate connection.

mod address;
mod connection;
mod datagrams;
mod driver;
mod options;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

#[cfg(unix)]
use std::path::PathBuf;

use eepkit_link::{
    BoxFuture, Command, Connector, Event, Layer, Link, LinkError, RouterIdentity, Setup, clock,
    streams::{Duplex, Opener},
};
use eepkit_sam::{Version, client::Login};
use eepkit_wire::{Hash, PrivateKeys};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug_span};

#[cfg(feature = "tls")]
use crate::transport::Trust;
use crate::{queues::Queues, transport::Transport};
use connection::Dialer;
use driver::Driver;
use streams::Streams;

/// A router that is reached over SAM.
///
/// # Examples
///
/// ```
/// use eepkit_attach::sam::SamRouter;
///
/// let router: SamRouter = "sam://127.0.0.1:7656".parse()?;
/// # Ok::<(), eepkit_attach::RouterAddressError>(())
/// ```
#[derive(Clone)]
pub struct SamRouter {
    transport: Transport,
    name: String,
    login: Option<Login>,
    udp: Option<SocketAddr>,
}

impl SamRouter {
    /// A bridge that listens at this TCP address. The default port of routers is 7656.
    ///
    /// The connection is not encrypted, although it carries all keys of the destination.
    pub fn tcp(at: SocketAddr) -> Self {
        Self::new(Transport::Tcp(at), format!("sam://{at}"))
            .udp(SocketAddr::new(at.ip(), DEFAULT_UDP_PORT))
    }

    /// A bridge that listens at this Unix socket. The link then has no datagrams.
    #[cfg(unix)]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = format!("sam+unix:{}", path.display());
        Self::new(Transport::Unix(path), name)
    }

    /// A bridge that listens with TLS at this TCP address. Datagrams to and from the bridge are not
    /// encrypted.
    #[cfg(feature = "tls")]
    pub fn tls(at: SocketAddr, trust: Trust) -> Self {
        Self::new(Transport::Tls { at, trust }, format!("sam+tls://{at}"))
            .udp(SocketAddr::new(at.ip(), DEFAULT_UDP_PORT))
    }

    /// A bridge in this process. `connect` opens connections to it. If it fails, the bridge has
    /// stopped.
    pub fn in_process<F, Fut, S>(name: impl Into<String>, connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Duplex,
    {
        Self::new(Transport::in_process(connect), name.into())
    }

    fn new(transport: Transport, name: String) -> Self {
        Self {
            transport,
            name,
            login: None,
            udp: None,
        }
    }

    /// Logs in with this name and password, which bridges since 3.2 may require.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login::new(user, password));
        self
    }

    /// Sets the UDP address at which the bridge accepts datagrams. Default: port 7655 of its TCP
    /// address.
    #[must_use]
    pub fn udp(mut self, at: SocketAddr) -> Self {
        self.udp = Some(at);
        self
    }

    fn dialer(&self) -> Dialer {
        Dialer {
            transport: self.transport.clone(),
            name: self.name.as_str().into(),
            login: self.login.clone(),
            old: Arc::default(),
        }
    }

    async fn open_session(self, setup: Setup) -> Result<Box<dyn Link>, LinkError> {
        let options = options::for_bridge(&setup.options)?;
        let dialer = self.dialer();
        let control = dialer.dial().await?;
        setup.progress.connected(identity(control.version));
        let streams = Streams::new(dialer.clone());
        let (queues, task) = Queues::new();
        let driver = Driver::new(
            driver::Plan {
                id: session_id(&setup.keys),
                keys: setup.keys,
                options,
                udp: self.udp,
                dialer,
                streams: streams.clone(),
            },
            task.commands,
            task.events,
        );
        let span = debug_span!("sam", bridge = %self.name);
        tokio::spawn(driver.run(control).instrument(span));
        Ok(Box::new(SamLink { queues, streams }))
    }
}

impl Connector for SamRouter {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let router = self.clone();
        Box::pin(async move {
            let limit = setup.timeout;
            match timeout(limit, router.open_session(setup)).await {
                Ok(result) => result,
                Err(_) => Err(LinkError::Timeout(limit)),
            }
        })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn layer(&self) -> Layer {
        Layer::Streams
    }

    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<RouterIdentity, LinkError>>> {
        let dialer = self.dialer();
        Some(Box::pin(async move {
            match timeout(limit, dialer.dial()).await {
                Ok(result) => result.map(|conn| identity(conn.version)),
                Err(_) => Err(LinkError::Timeout(limit)),
            }
        }))
    }
}

impl fmt::Debug for SamRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamRouter")
            .field("name", &self.name)
            .field("has_login", &self.login.is_some())
            .field("udp", &self.udp)
            .finish_non_exhaustive()
    }
}

/// One session over SAM. A separate task owns the connection. Dropping the link ends the session.
struct SamLink {
    queues: Queues,
    streams: Streams,
}

impl Link for SamLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.queues.poll_ready(cx)
    }

    fn submit(&mut self, command: Command) {
        self.queues.submit(command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.queues.poll_event(cx)
    }

    fn streams(&self) -> Option<Arc<dyn Opener>> {
        Some(Arc::new(self.streams.clone()))
    }
}

impl fmt::Debug for SamLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamLink")
            .field("has_ended", &self.queues.has_ended())
            .finish_non_exhaustive()
    }
}

/// What a bridge reports about itself.
fn identity(version: Version) -> RouterIdentity {
    RouterIdentity {
        version: Some(format!("SAM {version}")),
        ..RouterIdentity::default()
    }
}

/// Generates a session ID that is unique and cannot be guessed, because a client with the ID can
/// open streams of the session. It has only hexadecimal digits, because of i2pd.
fn session_id(keys: &PrivateKeys) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut seed = keys.to_bytes();
    let unique = [
        u128::from(NEXT.fetch_add(1, Ordering::Relaxed)),
        u128::from(std::process::id()),
        clock::unix_now().as_nanos(),
        // Simulated time repeats between runs, but the address of a task usually differs.
        Instant::now().elapsed().as_nanos(),
    ];
    for number in unique {
        seed.extend_from_slice(&number.to_be_bytes());
    }
    let hash = Hash::of(&seed);
    hash.as_bytes()
        .iter()
        .take(ID_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The length of a session ID in bytes. Chosen so that it cannot be guessed.
const ID_BYTES: usize = 16;

/// The default UDP port of bridges (SAM V3, "SAM Repliable Datagrams").
const DEFAULT_UDP_PORT: u16 = 7655;
