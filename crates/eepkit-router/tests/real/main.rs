//! Tests with real routers: private networks, and the embedded router on one of them.
//!
//! These tests run in real time, but wait for events, never for a fixed duration.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod devnet;
mod embedded;
#[expect(dead_code, reason = "the unit tests of reseeding need more of it")]
#[path = "../../src/reseed/testing.rs"]
mod reseed_host;
mod session;
