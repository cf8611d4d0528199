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

pub(crate) mod connect;
pub(crate) mod hosts;
pub(crate) mod identity;
pub(crate) mod instance;
pub(crate) mod runtime;
pub(crate) mod scope;
mod storage;
pub(crate) mod tunnels;

/// A `tracing-subscriber` filter that shows what an application wants to see: our own events from
/// `info`, the router's only where something is wrong with the router itself.
pub const QUIET_FILTER: &str = "info,emissary=error";
