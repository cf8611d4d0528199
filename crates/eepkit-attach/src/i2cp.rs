//! The link to a router over I2CP. The router runs in another process, or in this one behind a
//! socket.
//!
//! Every session has its own connection, because i2pd and emissary accept one session per
//! connection. Only subsessions share the connection of their session. The link exposes no tunnels
//! and grants no credits; see [`eepkit_link`].

mod address;
mod driver;
mod ports;
mod reports;
mod subsession;
#[cfg(test)]
mod tests;
mod translate;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

#[cfg(unix)]
use std::path::PathBuf;

use eepkit_i2cp::{Config, Handle, Options, RouterKind, Session};
use eepkit_link::{BoxFuture, Command, Connector, Event, Link, LinkError, RouterIdentity, Setup};
use eepkit_wire::{Hash, PrivateKeys, SignatureType};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tracing::{Instrument, debug_span};

#[cfg(feature = "tls")]
use crate::transport::Trust;
use crate::{queues::Queues, transport::Transport};
use driver::Driver;
use ports::Port;
use subsession::Subsessions;

/// A router that is reached over I2CP.
///
/// # Examples
///
/// ```
/// use eepkit_attach::i2cp::I2cpRouter;
///
/// let router: I2cpRouter = "i2cp://127.0.0.1:7654".parse()?;
/// let socket: I2cpRouter = "i2cp+unix:/run/i2p/i2cp.sock".parse()?;
/// # Ok::<(), eepkit_attach::RouterAddressError>(())
/// ```
#[derive(Clone)]
pub struct I2cpRouter {
    transport: Transport,
    name: String,
    login: Option<(String, String)>,
    kind: Option<RouterKind>,
    open: OpenDestinations,
}

impl I2cpRouter {
    /// A router that listens at this TCP address. The default port of routers is 7654.
    ///
    /// The connection is not encrypted, although it carries private encryption keys.
    pub fn tcp(at: SocketAddr) -> Self {
        Self::new(Transport::Tcp(at), format!("i2cp://{at}")).known_by_name()
    }

    /// A router that listens at this Unix socket.
    #[cfg(unix)]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = format!("i2cp+unix:{}", path.display());
        Self::new(Transport::Unix(path), name).known_by_name()
    }

    /// A router that listens with TLS at this TCP address.
    #[cfg(feature = "tls")]
    pub fn tls(at: SocketAddr, trust: Trust) -> Self {
        Self::new(Transport::Tls { at, trust }, format!("i2cps://{at}")).known_by_name()
    }

    /// A router in this process, to which `connect` makes connections.
    ///
    /// A connection that ends or cannot be made means that the router has stopped for good, unless
    /// [`I2cpRouter::stopped_when`] sets another rule.
    pub fn in_process<F, Fut, S>(name: impl Into<String>, connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::new(Transport::in_process(connect), name.into())
    }

    /// Sets the rule by which an in-process router counts as stopped for good: `stopped` is called
    /// after a connection has ended or could not be made. While it returns false, such a failure is
    /// one of the connection ([`LostReason::Connection`], [`LinkError::Unreachable`]), and the
    /// router may come back.
    ///
    /// [`LostReason::Connection`]: eepkit_link::LostReason::Connection
    ///
    /// No effect on routers outside this process.
    #[must_use]
    pub fn stopped_when(mut self, stopped: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.transport.set_stopped(Arc::new(stopped));
        self
    }

    fn new(transport: Transport, name: String) -> Self {
        Self {
            transport,
            name,
            login: None,
            kind: None,
            open: OpenDestinations::default(),
        }
    }

    /// The same router as others of this process with the same name, which is its address.
    fn known_by_name(self) -> Self {
        Self {
            open: OpenDestinations::of(&self.name),
            ..self
        }
    }

    /// Logs in with this name and password, unless the options of a session contain a login.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Sets which program the router is. Default: detected as far as the link needs it.
    #[must_use]
    pub fn kind(mut self, kind: RouterKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Returns the options of a session with the login.
    fn options(&self, mut options: Options) -> Result<Options, LinkError> {
        let Some((user, password)) = &self.login else {
            return Ok(options);
        };
        for (key, value) in [("i2cp.username", user), ("i2cp.password", password)] {
            if options.get(key).is_none() {
                options
                    .set(key, value)
                    .map_err(|error| LinkError::BadOption {
                        key: key.to_owned(),
                        why: format!("allowed is {}", error.allowed),
                    })?;
            }
        }
        Ok(options)
    }

    async fn open_session(self, setup: Setup) -> Result<Box<dyn Link>, LinkError> {
        let options = self.options(setup.options)?;
        let opened = self
            .open
            .insert(setup.keys.destination().hash())
            .ok_or(LinkError::Duplicate)?;
        let mut driver = self.dial(setup.keys, options, setup.timeout).await?;
        let identity = driver.connect(&self.name, setup.timeout).await?;
        setup.progress.connected(identity);
        driver.open(&self.name, setup.timeout).await?;
        let wants_new_keys = driver.wants_new_keys();

        let (queues, task) = Queues::new();
        let (subsessions, requests) = Subsessions::new(&self.name, self.open.clone());
        let port = Port::new(Handle::PRIMARY, task.commands, task.events);
        let span = debug_span!("i2cp", router = %self.name);
        tokio::spawn(driver.run(port, requests).instrument(span));
        Ok(Box::new(I2cpLink {
            queues,
            opened: Some(opened),
            subsessions: Some(Arc::new(subsessions)),
            wants_new_keys,
        }))
    }

    /// Connects and starts the session machine.
    async fn dial(
        &self,
        keys: Arc<PrivateKeys>,
        options: Options,
        limit: Duration,
    ) -> Result<Driver, LinkError> {
        let connection = self.transport.connect(&self.name).await?;
        let config = Config {
            keys,
            options,
            router: self.kind,
            open_timeout: limit,
        };
        let session = Session::new(config, Instant::now().into_std());
        Ok(Driver::new(connection, session, self.transport.stopped()))
    }

    /// Exchanges the first messages with the router, and closes the connection before a session is
    /// requested.
    async fn ask_who(self, limit: Duration) -> Result<RouterIdentity, LinkError> {
        let options = self.options(Options::new())?;
        let mut rng: rand::rngs::StdRng = rand::make_rng();
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).map_err(|error| {
            LinkError::BadOption {
                key: "i2cp.destination.sigType".to_owned(),
                why: error.to_string(),
            }
        })?;
        let mut driver = self.dial(Arc::new(keys), options, limit).await?;
        driver.connect(&self.name, limit).await
    }
}

impl Connector for I2cpRouter {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let router = self.clone();
        Box::pin(async move {
            let limit = setup.timeout;
            // The session machine has the same limit. This one also covers the connection attempt.
            match timeout(limit, router.open_session(setup)).await {
                Ok(result) => result,
                Err(_) => Err(LinkError::Timeout(limit)),
            }
        })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<RouterIdentity, LinkError>>> {
        let asking = self.clone().ask_who(limit);
        Some(Box::pin(async move {
            match timeout(limit, asking).await {
                Ok(result) => result,
                Err(_) => Err(LinkError::Timeout(limit)),
            }
        }))
    }
}

impl fmt::Debug for I2cpRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("I2cpRouter")
            .field("name", &self.name)
            .field("has_login", &self.login.is_some())
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// One session over I2CP. A separate task owns the connection. Dropping the link ends the session
/// on the router, after the commands that were submitted.
struct I2cpLink {
    queues: Queues,
    /// Dropped when the session is lost.
    opened: Option<OpenDestination>,
    /// `None` for a subsession.
    subsessions: Option<Arc<Subsessions>>,
    wants_new_keys: bool,
}

impl Link for I2cpLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.queues.poll_ready(cx)
    }

    fn submit(&mut self, command: Command) {
        self.queues.submit(command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let event = self.queues.poll_event(cx);
        if self.queues.has_ended() {
            self.opened = None;
        }
        event
    }

    fn subsessions(&self) -> Option<Arc<dyn Connector>> {
        let subsessions = self.subsessions.clone()?;
        Some(subsessions)
    }

    fn wants_new_keys(&self) -> bool {
        self.wants_new_keys
    }
}

impl fmt::Debug for I2cpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("I2cpLink")
            .field("has_ended", &self.queues.has_ended())
            .finish_non_exhaustive()
    }
}

/// The destinations that have a session of this process on one router.
///
/// Most routers refuse a second session for a destination. emissary opens it, and each message then
/// reaches only one of the two.
#[derive(Clone, Default)]
struct OpenDestinations(Arc<Mutex<HashSet<Hash>>>);

impl OpenDestinations {
    /// Those on the router at an address, which several connectors may have.
    fn of(address: &str) -> Self {
        static ROUTERS: Mutex<BTreeMap<String, Weak<Mutex<HashSet<Hash>>>>> =
            Mutex::new(BTreeMap::new());

        // Nothing panics while it is held.
        let mut routers = ROUTERS.lock().unwrap_or_else(PoisonError::into_inner);
        routers.retain(|_, known| known.strong_count() > 0);
        let known = routers.get(address).and_then(Weak::upgrade);
        let open = Self(known.unwrap_or_default());
        routers.insert(address.to_owned(), Arc::downgrade(&open.0));
        open
    }

    /// Registers a session until the returned value is dropped. Returns `None` if the destination
    /// already has one.
    fn insert(&self, destination: Hash) -> Option<OpenDestination> {
        let inserted = self.lock().insert(destination);
        inserted.then(|| OpenDestination {
            among: self.clone(),
            destination,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Hash>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unregisters the session of a destination when dropped.
struct OpenDestination {
    among: OpenDestinations,
    destination: Hash,
}

impl Drop for OpenDestination {
    fn drop(&mut self) {
        self.among.lock().remove(&self.destination);
    }
}
