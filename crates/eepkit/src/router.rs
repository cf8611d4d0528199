//! Routers: what carries a session's messages.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use eepkit_attach::{i2cp::I2cpRouter, sam::SamRouter};
use eepkit_link::{Connector, Layer};

use crate::{builder::SessionBuilder, error::AttachError, shared::Shared, stage::SessionStage};

/// A router that sessions are opened on.
///
/// A cheap handle; clones are the same router. A program may use many routers, and open many
/// sessions on each. Where the router comes from makes no difference to the sessions:
///
/// * [`Router::attach`]: a router that runs already, reached over I2CP or SAM,
#[cfg_attr(
    feature = "embedded",
    doc = "* [`Router::embedded`]: a router inside this process,"
)]
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
    /// The router that stops with this handle's [`Router::shutdown`].
    #[cfg(feature = "embedded")]
    owned: Option<eepkit_router::embedded::EmbeddedRouter>,
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
    /// itself. What it does not tell or do is missing: pings of peers, acknowledgements,
    /// [`StreamInfo`](crate::StreamInfo), settings of streams. `docs/sam.md` has the list.
    ///
    /// Java I2P offers I2CP by default, i2pd once it is enabled (`[i2cp] enabled = true`). Without
    /// TLS the connection is not encrypted: use it on this machine, or through a network that you
    /// trust.
    ///
    /// Nothing is connected yet: each session has its own connection, and
    /// [`SessionBuilder::open`] says what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`AttachError`] when the text is no such address; its source tells the rule.
    pub fn attach(address: &str) -> Result<Self, AttachError> {
        if address.trim_start().starts_with("sam") {
            let router: SamRouter = address.parse()?;
            return Ok(Self::new(router));
        }
        let router: I2cpRouter = address.parse()?;
        Ok(Self::new(router))
    }

    /// A router reached by any connector.
    pub fn new(connector: impl Connector) -> Self {
        Self {
            inner: Arc::new(Inner {
                connector: Arc::new(connector),
                sessions: Mutex::default(),
                #[cfg(feature = "embedded")]
                owned: None,
            }),
        }
    }

    #[cfg(feature = "embedded")]
    pub(crate) fn with_owned(
        connector: Arc<dyn Connector>,
        owned: Option<eepkit_router::embedded::EmbeddedRouter>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                connector,
                sessions: Mutex::default(),
                owned,
            }),
        }
    }

    #[cfg(feature = "embedded")]
    pub(crate) fn owned(&self) -> Option<&eepkit_router::embedded::EmbeddedRouter> {
        self.inner.owned.as_ref()
    }

    /// Begins a session: [`SessionBuilder::open`] puts it online.
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder::new(self.clone())
    }

    /// A short name for progress lines, such as `i2cp://127.0.0.1:7654`. It may hold an IP
    /// address.
    pub fn name(&self) -> String {
        self.inner.connector.name()
    }

    /// Whether the router makes the streams, as one over SAM does: then settings of streams are none
    /// of the program's.
    pub fn makes_streams(&self) -> bool {
        self.inner.connector.layer() == Layer::Streams
    }

    /// Closes every session that was opened through this handle and its clones, each as
    /// [`Session::close`](crate::Session::close) does, side by side.
    ///
    /// A router in this process that was turned into this one (`Router::from`) is stopped, too;
    /// any other goes on.
    ///
    /// # Cancel safety
    ///
    /// The sessions close in the background all the same.
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
        let limit = tokio::time::Instant::now() + longest + Duration::from_secs(1);
        for session in &sessions {
            let left = limit.saturating_duration_since(tokio::time::Instant::now());
            session.watch().reached(SessionStage::Closed, left).await;
        }
        #[cfg(feature = "embedded")]
        if let Some(router) = &self.inner.owned {
            router.stop().await;
        }
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.inner.connector.clone()
    }

    pub(crate) fn remember(&self, session: &Arc<Shared>) {
        let mut sessions = self.lock();
        sessions.retain(|weak| weak.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Shared>>> {
        self.inner
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router")
            .field(&self.inner.connector)
            .finish()
    }
}
