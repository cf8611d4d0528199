//! An HTTP proxy for browsers and other programs.
//!
//! Programs reach sites on I2P by name, with plain HTTP, WebSocket and CONNECT. Hosts of the public
//! Internet are refused, unless an outproxy is configured. Local addresses are refused in any case.
//! The proxy never resolves a name outside of I2P. What differs from program to program is removed
//! from requests: `docs/http-proxy.md` has the table.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::{
//!     http_proxy::{HttpProxy, HttpProxyConfig},
//!     naming::Names,
//! };
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let proxy = HttpProxy::start(router, Names::none(), HttpProxyConfig::new()).await?;
//! println!("curl --proxy http://{} http://i2p-projekt.i2p/", proxy.tcp_addrs()[0]);
//! # proxy.stop().await;
//! # Ok(())
//! # }
//! ```

mod config;
mod connection;
mod forms;
#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod fuzzing;
mod headers;
mod own_pages;
mod pages;
mod peer;
mod problem;
mod program;
mod request;
mod shared;
mod site;
mod tunnel;
mod upstream;

use std::{fmt, net::SocketAddr, sync::Arc};

use eepkit::Router;

pub use self::config::{DEFAULT_PORT, HttpProxyConfig};
use self::shared::Shared;
use crate::{
    naming::Names,
    proxy::{HasFrame as _, ProxyFrame, Serving},
    serve::Addresses,
    service::{Context, Running, ServiceError, Statistic},
};

/// A running proxy.
///
/// It stops with [`HttpProxy::stop`], or when it is dropped. All connections end then.
pub struct HttpProxy {
    serving: Serving<Shared>,
}

impl HttpProxy {
    /// Starts a proxy on `router`, which need not be ready yet. It looks up names in `names`, then
    /// with the router.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start(
        router: Router,
        names: Names,
        config: HttpProxyConfig,
    ) -> Result<Self, ServiceError> {
        let context = Context::new(router).names(names);
        Self::start_in(&context, config).await
    }

    /// Starts a proxy beside other services, with which it can share a session.
    pub(crate) async fn start_in(
        context: &Context,
        config: HttpProxyConfig,
    ) -> Result<Self, ServiceError> {
        let (frame, bound) = ProxyFrame::bind(context, "HTTP proxy", &config.proxy).await?;
        let shared = Arc::new(Shared::new(frame, config, context.names.clone()));
        let expiring = shared.clone();
        shared.frame().server.spawn(async move {
            tokio::select! {
                () = expiring.pool.expire() => {}
                () = expiring.frame().server.closing().cancelled() => expiring.pool.clear(),
            }
        });
        let serving = bound.serve(shared, connection::serve);
        Ok(Self { serving })
    }

    /// The TCP addresses for programs.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.serving.addresses.tcp
    }

    /// The current statistics.
    pub fn stats(&self) -> HttpProxyStats {
        let frame = self.serving.shared.frame();
        let counters = &frame.counters;
        HttpProxyStats {
            connections: frame.server.connections(),
            sessions: frame.sessions.len(),
            streams: counters.streams(),
            refused: frame.server.refused(),
            bytes_sent: counters.bytes_sent(),
            bytes_received: counters.bytes_received(),
        }
    }

    /// Closes all connections and sessions. Returns when all of them are closed, after some seconds
    /// at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the proxy stops in the background.
    pub async fn stop(&self) {
        self.serving.stop().await;
    }
}

impl Running<HttpProxyConfig> for HttpProxy {
    fn addresses(&self) -> Addresses {
        self.serving.addresses.clone()
    }

    fn statistics(&self) -> Vec<Statistic> {
        let frame = self.serving.shared.frame();
        let sessions = frame.sessions.len();
        frame.counters.statistics(&frame.server, sessions)
    }

    fn reload(&self, config: &HttpProxyConfig) -> Result<(), ServiceError> {
        self.serving.shared.frame().reload(&config.proxy)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProxy")
            .field("addresses", &self.serving.addresses)
            .finish_non_exhaustive()
    }
}

/// The table of the headers of requests in Markdown, for the documentation.
pub fn header_table() -> String {
    headers::markdown()
}

/// The statistics of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HttpProxyStats {
    /// Open connections of programs.
    pub connections: usize,
    /// Sessions: the common one, and one for each isolated user.
    pub sessions: usize,
    /// Open streams, including those that wait for the next request.
    pub streams: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Bytes sent by programs into streams that have ended.
    pub bytes_sent: u64,
    /// Bytes received by programs from streams that have ended.
    pub bytes_received: u64,
}
