//! A BOB bridge, for old programs that set up tunnels with it. New programs use [`sam`](crate::sam).
//!
//! A client describes a tunnel, starts it, and may then close its connection: tunnels belong to no
//! connection. They run as the tunnels of [`tunnel`](crate::tunnel) do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::bob::{BobBridge, BobConfig};
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let bridge = BobBridge::start(router, BobConfig::new()).await?;
//! println!("BOB at {:?}", bridge.tcp_addrs());
//! # bridge.stop().await;
//! # Ok(())
//! # }
//! ```

mod active;
mod config;
mod connection;
mod kinds;
mod saving;
mod shared;
mod state;
mod tunnels;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use eepkit::Router;
use tracing::warn;

pub use self::config::{BobConfig, DEFAULT_PORT};
use self::shared::Shared;
use crate::{
    serve::{Addresses, Endpoint, Limits, Listeners, Server},
    service::{Running, ServiceError, Statistic, Work},
};

/// A running bridge.
///
/// It stops with [`BobBridge::stop`], or when it is dropped. All tunnels end then. Those that a
/// state file contains run again after the next start.
pub struct BobBridge {
    shared: Arc<Shared>,
    server: Server,
    addresses: Addresses,
}

impl BobBridge {
    /// Starts a bridge on `router`, which need not be ready yet, and the tunnels of the state file.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or the state file cannot be used.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn start(router: Router, config: BobConfig) -> Result<Self, ServiceError> {
        let (database, running) = state::load(config.state_file(), config.limits())?;
        let endpoints = config.addresses().iter().copied().map(Endpoint::Tcp);
        let listeners = Listeners::bind(endpoints).await?;
        if listeners.is_empty() {
            return Err(ServiceError::NoAddress);
        }
        let addresses = listeners.addresses().clone();
        let limits = Limits::new(config.connections()).refusal(TOO_MANY);
        let server = Server::new(limits);
        let shared = Arc::new(Shared::new(server.handle(), router, config, database));
        warn!("BOB is enabled, which only old programs need; SAM is its successor");
        for nick in running {
            let bridge = shared.clone();
            shared
                .server
                .spawn(async move { tunnels::resume(&bridge, &nick).await });
        }
        let bridge = shared.clone();
        server.serve(listeners, move |accepted| {
            connection::serve(bridge.clone(), accepted.socket)
        });
        shared.server.spawn(saving::keep(shared.clone()));
        shared.server.spawn(tunnels::zap(shared.clone()));
        Ok(Self {
            shared,
            server,
            addresses,
        })
    }

    /// The TCP addresses for clients.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.tcp
    }

    /// The current statistics.
    pub fn stats(&self) -> BobStats {
        BobStats {
            connections: self.shared.server.connections(),
            tunnels: self.shared.database().len(),
            active: self.shared.active(),
            tasks: self.shared.server.tasks(),
            refused: self.shared.server.refused(),
        }
    }

    /// Waits until a client stops the bridge with `zap`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn zapped(&self) {
        self.shared.zapped.cancelled().await;
    }

    /// Closes all connections and tunnels. Returns when all of them are closed, after some seconds at
    /// most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the bridge stops in the background.
    pub async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        // The tunnels are still saved as running.
        saving::save(&self.shared).await;
        tunnels::stop_all(&self.shared).await;
    }
}

impl Running<BobConfig> for BobBridge {
    fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    fn statistics(&self) -> Vec<Statistic> {
        let stats = self.stats();
        vec![
            Statistic::gauge("connections", "Connections of programs", stats.connections),
            Statistic::gauge("tunnels", "Tunnels of programs", stats.tunnels),
            Statistic::gauge("sessions", "Sessions of running tunnels", stats.active),
            Statistic::counter(
                "connections_refused_total",
                "Connections refused because there were too many",
                stats.refused,
            ),
        ]
    }

    fn reload(&self, _: &BobConfig) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }

    fn ended(&self) -> Option<Work<'static, ()>> {
        let closing = self.shared.server.closing().clone();
        Some(Box::pin(closing.cancelled_owned()))
    }
}

impl fmt::Debug for BobBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BobBridge")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The statistics of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BobStats {
    /// Open connections of clients, without those of tunnels.
    pub connections: usize,
    /// Tunnels, whether they run or not.
    pub tunnels: usize,
    /// Tunnels that start, run or stop. Each has a session.
    pub active: usize,
    /// Running tasks, without those of tunnels.
    pub tasks: usize,
    /// Connections refused because there were too many.
    pub refused: u64,
}

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The answer to a client that exceeds the limit.
const TOO_MANY: &str = "ERROR the bridge has the most connections that its option max_connections \
                        allows\n";
