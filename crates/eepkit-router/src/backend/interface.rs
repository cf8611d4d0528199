//! What this crate sees of a router implementation.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use eepkit_i2cp::RouterKind;
use eepkit_link::{BoxFuture, RouterStage, status::Reporter};
use tokio::sync::mpsc;

use super::{clients::Clients, config::RouterConfig};
use crate::error::StartError;

/// A router implementation.
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Starts a router, which reports its stages to `reporter`.
    ///
    /// Dropping the future leaves nothing running.
    fn start(
        &self,
        config: RouterConfig,
        reporter: Arc<Reporter<RouterStage>>,
    ) -> BoxFuture<Result<Arc<dyn Instance>, StartError>>;

    /// The router info that a router with this configuration starts with, for other routers. It
    /// publishes the NTCP2 address of the configuration, which must have one.
    fn router_info(&self, config: &RouterConfig) -> Vec<u8>;

    /// Whose I2CP the routers speak.
    fn kind(&self) -> RouterKind;
}

/// A running router. Dropping it stops the router without waiting.
pub(crate) trait Instance: fmt::Debug + Send + Sync + 'static {
    /// Where the router listens.
    fn addresses(&self) -> Addresses;

    /// The router's own router info, as it was when the router started.
    fn router_info(&self) -> &[u8];

    /// Makes I2CP connections to the router, in memory.
    fn clients(&self) -> Clients;

    /// Takes the addresses under which the Internet reaches the router, as they are found out.
    fn external_addresses(&self) -> mpsc::Sender<Ipv4Addr>;

    /// Lets a router build tunnels that was started with [`RouterConfig::build_tunnels`] off.
    fn allow_tunnels(&self);

    /// Stops the router, as does dropping the future. When the future is ready, the router's sockets
    /// are closed and its tasks have ended.
    fn stop(&self) -> BoxFuture<()>;
}

/// Where a running router listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ntcp2_port: Option<u16>,
    pub(crate) ssu2_port: Option<u16>,
    pub(crate) i2cp: Option<SocketAddr>,
    pub(crate) sam_tcp: Option<SocketAddr>,
    pub(crate) sam_udp: Option<SocketAddr>,
}
