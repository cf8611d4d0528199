//! The library over the simulated network, in virtual time.
//!
//! Each test runs over both kinds of link: one that reports its tunnels, and I2CP.

mod bulk;
mod closing;
mod datagrams;
mod errors;
mod http;
mod lab;
mod listening;
mod paths;
mod privacy;
mod protocols;
mod routers;
mod serving;
mod sessions;
mod streams;
mod subsessions;
