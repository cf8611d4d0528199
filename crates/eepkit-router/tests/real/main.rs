//! Real routers: private networks, and the embedded router on one of them.
//!
//! These tests take real time, but wait for events, never for a while.

#![cfg(feature = "embedded")]

mod devnet;
mod session;
