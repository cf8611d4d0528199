//! What the router crate, emissary-core, needs from us, and what we know about it.
//!
//! emissary-core is written against a `Runtime` trait: sockets, timers, tasks, metrics. Ours is in
//! `runtime`; it adds what an embedded router needs and emissary does not have:
//!
//! * every task belongs to a `scope::Scope`, so that stopping one router of several in a process
//!   ends all of its tasks and closes all of its sockets, at once and verifiably (emissary's own
//!   shutdown ends only the transports, and may take ten minutes);
//! * a scope may be confined to loopback, although emissary binds its transports to `0.0.0.0`;
//! * the metrics that emissary keeps are where readiness is read from: they change at the moment
//!   a tunnel is built, while its event stream reports once a second;
//! * tunnels that are dead are noticed and replaced, where emissary would use
//!   them for the rest of their ten minutes;
//! * a task that panics does not take its siblings with it.
//!
//! Log lines of emissary-core have targets that begin with `emissary::`. At `warn` a private
//! network writes a handful of lines about tunnels that it cannot build yet; the recommended
//! filter for applications is [`QUIET_FILTER`].

#[cfg(test)]
mod assumptions;
mod config;
mod hosts;
mod instance;
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

/// A `tracing-subscriber` filter that shows what an application wants to see: our own events from
/// `info`, the router's only where something is wrong with the router itself.
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
