//! Routers: what carries a session's messages.

use std::{
    env, fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use eepkit_attach::{i2cp::I2cpRouter, sam::SamRouter};
use eepkit_link::{Connector, Layer, RouterWatch};
use tokio::time::Instant;

use crate::{error::AttachError, shared::Shared, stage::SessionStage};

/// A router that sessions are opened on.
///
/// A cheap handle; clones are the same router. A program may use many routers, and open many
/// sessions on each. Where the router comes from makes no difference to the sessions:
///
#[cfg_attr(
    feature = "embedded",
    doc = "* [`Router::start`]: a router inside this process,"
)]
/// * [`Router::attach`]: a router that runs already, reached over I2CP or SAM,
#[cfg_attr(
    feature = "embedded",
    doc = "* [`Router::attach_or_start`]: one that runs already, or else one inside this process,"
)]
/// * [`Router::from_env`]: the router that the user names in the environment,
/// * [`Router::new`]: any other [`Connector`], such as a [`SimNet`](crate::sim::SimNet) or a
///   router of a private network.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Arc<dyn Connector>,
    /// Sessions opened here, for [`Router::shutdown`]. Those that are gone are swept out whenever
    /// one is added.
    sessions: Mutex<Vec<Weak<Shared>>>,
}

impl Router {
    /// A router that runs already, by the address at which it offers I2CP:
    ///
    /// * `i2cp://HOST:PORT`, where the host is an IP address or `localhost`, and the port 7654 if
    ///   it is left out; with `USER:PASSWORD@` before the host if the router asks for it,
    /// * `i2cps://HOST:PORT`, the same with TLS, in builds with the feature `tls`,
    /// * `i2cp+unix:PATH`, a Unix socket.
    ///
    /// or SAM, where the router has nothing else:
    ///
    /// * `sam://HOST:PORT`, `sam+tls://HOST:PORT` and `sam+unix:PATH`, as above; the port is 7656
    ///   if it is left out. `?udp=PORT` is the bridge's UDP port for datagrams, 7655 by default.
    ///
    /// Over SAM **the router gets the keys of the destination**, and makes streams and datagrams
    /// itself. What it does not report or do is missing: pings of peers, acknowledgements,
    /// [`StreamInfo`](crate::StreamInfo), settings of streams. `docs/sam.md` has the list.
    ///
    /// Java I2P offers I2CP by default, i2pd once it is enabled (`[i2cp] enabled = true`). Without
    /// TLS the connection is not encrypted: use it on this machine, or through a network that you
    /// trust.
    ///
    /// Nothing is connected yet: each session has its own connection, and
    /// [`SessionBuilder::open`](crate::SessionBuilder::open) reports what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`AttachError`] when the text is no such address; its source names the rule.
    pub fn attach(address: &str) -> Result<Self, AttachError> {
        Ok(Self::of(connector_at(address)?))
    }

    /// The router at the address in the environment variable `EEPKIT_ROUTER`, in the forms of
    /// [`Router::attach`]. If the variable is unset or empty, the router that offers I2CP on this
    /// machine, `i2cp://127.0.0.1:7654`.
    ///
    /// # Errors
    ///
    /// [`AttachError`] when the variable holds something else. This includes `embedded`, which the
    /// program `eepkit` takes: a library cannot know where to keep the state of a router.
    pub fn from_env() -> Result<Self, AttachError> {
        let value = env::var_os(ROUTER_VARIABLE).unwrap_or_default();
        match value.to_string_lossy().trim() {
            "" => Self::attach(DEFAULT_ADDRESS),
            address => Self::attach(address),
        }
    }

    /// A router reached by any connector. [`Router::watch`] and [`Router::shutdown`] pass on to it.
    pub fn new(connector: impl Connector) -> Self {
        Self::of(Arc::new(connector))
    }

    pub(crate) fn of(connector: Arc<dyn Connector>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connector,
                sessions: Mutex::default(),
            }),
        }
    }

    /// Follows the status of the router, where it runs in this process; `None` for one that runs
    /// elsewhere, which reports nothing but the status of sessions.
    ///
    /// [`RouterWatch::ready`] waits until the router has tunnels. Opening a session does not need
    /// that: it waits by itself.
    pub fn watch(&self) -> Option<RouterWatch> {
        self.inner.connector.router_watch()
    }

    /// A short name for progress lines, such as `i2cp://127.0.0.1:7654`. It may hold an IP
    /// address.
    pub fn name(&self) -> String {
        self.inner.connector.name()
    }

    /// Whether the router makes the streams, as one over SAM does: then settings of streams are
    /// refused.
    pub fn makes_streams(&self) -> bool {
        self.inner.connector.layer() == Layer::Streams
    }

    /// Closes every session that was opened through this handle and its clones, each as
    /// [`Session::close`](crate::Session::close) does, side by side. Then stops the router if it is
    /// an embedded one; any other goes on.
    ///
    /// # Cancel safety
    ///
    /// The sessions close in the background all the same. The router may still run.
    pub async fn shutdown(&self) {
        let sessions: Vec<Arc<Shared>> = {
            let mut sessions = self.lock();
            sessions
                .drain(..)
                .filter_map(|weak| weak.upgrade())
                .collect()
        };
        let mut longest = Duration::ZERO;
        for session in &sessions {
            session.begin_close(session.config.linger);
            longest = longest.max(session.config.linger);
        }
        let limit = Instant::now() + longest + CLOSE_GRACE;
        for session in &sessions {
            let left = limit.saturating_duration_since(Instant::now());
            session.watch().reached(SessionStage::Closed, left).await;
        }
        self.inner.connector.stop_router().await;
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.inner.connector.clone()
    }

    pub(crate) fn remember(&self, session: &Arc<Shared>) {
        let mut sessions = self.lock();
        sessions.retain(|weak| weak.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.inner
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connector for an address; see [`Router::attach`].
pub(crate) fn connector_at(address: &str) -> Result<Arc<dyn Connector>, AttachError> {
    if address.trim_start().starts_with("sam") {
        let router: SamRouter = address.parse()?;
        return Ok(Arc::new(router));
    }
    let router: I2cpRouter = address.parse()?;
    Ok(Arc::new(router))
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router")
            .field(&self.inner.connector)
            .finish()
    }
}

/// See [`Router::from_env`]; the program `eepkit` reads the same variable.
const ROUTER_VARIABLE: &str = "EEPKIT_ROUTER";

/// The port that Java I2P and i2pd choose for I2CP.
const DEFAULT_ADDRESS: &str = "i2cp://127.0.0.1:7654";

/// How much longer than the linger time closing may take: the supervisor has to get its turn.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
