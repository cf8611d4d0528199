//! A SOCKS proxy: versions 4, 4a and 5, on one port.
//!
//! Programs reach hosts on I2P by name. Hosts of the public Internet are refused, unless an outproxy
//! is configured. Local addresses are refused in any case. The proxy never resolves a name outside of
//! I2P.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::socks::{SocksConfig, SocksProxy};
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let proxy = SocksProxy::start(router, SocksConfig::new()).await?;
//! println!("curl --proxy socks5h://{} http://i2p-projekt.i2p/", proxy.tcp_addrs()[0]);
//! # proxy.stop().await;
//! # Ok(())
//! # }
//! ```

mod associate;
mod config;
mod connection;
mod local;
mod outproxy;
mod shared;
mod virtual_addresses;

use std::{fmt, net::SocketAddr};

use eepkit::Router;

pub use self::config::{DEFAULT_PORT, SocksConfig};
use self::shared::Shared;
use crate::{
    proxy::{ProxyFrame, Serving},
    serve::Addresses,
    service::{Context, Running, ServiceError, Statistic},
};

/// A running proxy.
///
/// It stops with [`SocksProxy::stop`], or when it is dropped. All connections end then.
pub struct SocksProxy {
    serving: Serving<Shared>,
}

impl SocksProxy {
    /// Starts a proxy on `router`, which need not be ready yet.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or a file cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start(router: Router, config: SocksConfig) -> Result<Self, ServiceError> {
        Self::start_in(&Context::new(router), config).await
    }

    /// Starts a proxy beside other services, with which it can share a session.
    pub(crate) async fn start_in(
        context: &Context,
        config: SocksConfig,
    ) -> Result<Self, ServiceError> {
        let (frame, bound) = ProxyFrame::bind(context, "SOCKS", config.proxy()).await?;
        let shared = Shared::new(frame, config);
        let serving = bound.serve(shared.into(), connection::serve);
        Ok(Self { serving })
    }

    /// The TCP addresses for programs.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.serving.addresses.tcp
    }

    /// The current statistics.
    pub fn stats(&self) -> SocksStats {
        let frame = &self.serving.shared.frame;
        let counters = &frame.counters;
        SocksStats {
            connections: frame.server.connections(),
            sessions: frame.sessions.len(),
            streams: counters.streams(),
            refused: frame.server.refused(),
            datagrams_dropped: counters.datagrams_dropped(),
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

impl Running<SocksConfig> for SocksProxy {
    fn addresses(&self) -> Addresses {
        self.serving.addresses.clone()
    }

    fn statistics(&self) -> Vec<Statistic> {
        let frame = &self.serving.shared.frame;
        let mut statistics = frame
            .counters
            .statistics(&frame.server, frame.sessions.len());
        statistics.push(frame.counters.datagram_statistic());
        statistics
    }

    fn reload(&self, config: &SocksConfig) -> Result<(), ServiceError> {
        self.serving.shared.frame.reload(config.proxy())
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl fmt::Debug for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocksProxy")
            .field("addresses", &self.serving.addresses)
            .finish_non_exhaustive()
    }
}

/// The statistics of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SocksStats {
    /// Open connections of programs.
    pub connections: usize,
    /// Sessions: the common one, and one for each isolated user.
    pub sessions: usize,
    /// Open streams.
    pub streams: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Datagrams that were dropped.
    pub datagrams_dropped: u64,
    /// Bytes sent by programs into streams that have ended.
    pub bytes_sent: u64,
    /// Bytes received by programs from streams that have ended.
    pub bytes_received: u64,
}
