//! The adapter to the router crate emissary-core, and the known behaviour of that crate.
//!
//! emissary-core requires an implementation of its `Runtime` trait: sockets, timers, tasks,
//! metrics. The implementation in `runtime` adds what an embedded router needs and emissary does
//! not provide:
//!
//! * Every task belongs to a `scope::Scope`. Stopping one of several routers in a process therefore
//!   ends all of its tasks and closes all of its sockets immediately and verifiably. Emissary's own
//!   shutdown ends only the transports, and may take ten minutes.
//! * A scope may be confined to loopback, although emissary binds its transports to `0.0.0.0`.
//! * Readiness is read from the metrics that emissary keeps. They change at the moment a tunnel is
//!   built, while its event stream reports once a second.
//! * Dead tunnels are detected and replaced. Emissary alone would use them for the rest of their
//!   ten minutes.
//! * A panic in one task does not end the other tasks of the same join set.
//! * The encryption session with a peer that lost its keys is discarded on request (`renewal`).
//!
//! The targets of emissary-core's log lines begin with `emissary::`. At level `warn` a private
//! network logs a few lines about tunnels that it cannot build yet. The recommended filter for
//! applications is [`QUIET_FILTER`].

#[cfg(test)]
mod assumptions;
mod config;
mod hosts;
mod instance;
mod renewal;
mod router_info;
mod runtime;
mod scope;
mod sockets;
mod storage;
#[cfg(test)]
mod tests;
mod tunnels;

use std::sync::Arc;

use eepkit_i2cp::RouterKind;
use eepkit_link::{BoxFuture, RouterStage, status::Reporter};

use super::{
    config::RouterConfig,
    interface::{self, Backend},
};
use crate::error::StartError;
use instance::Instance;

/// A `tracing-subscriber` filter for applications. It passes events of eepkit from level `info`,
/// and of emissary only errors, which concern the router itself.
pub const QUIET_FILTER: &str = "info,emissary=error";

/// Routers of emissary-core.
#[derive(Debug)]
pub(crate) struct Emissary;

impl Backend for Emissary {
    fn start(
        &self,
        config: RouterConfig,
        reporter: Arc<Reporter<RouterStage>>,
    ) -> BoxFuture<Result<Arc<dyn interface::Instance>, StartError>> {
        Box::pin(async move {
            let instance: Arc<dyn interface::Instance> =
                Arc::new(Instance::start(config, reporter).await?);
            Ok(instance)
        })
    }

    fn router_info(&self, config: &RouterConfig) -> Vec<u8> {
        router_info::of(config)
    }

    fn kind(&self) -> RouterKind {
        RouterKind::Emissary
    }
}
