//! The library over the simulated network, in virtual time.
//!
//! Each test runs over both kinds of link: one that shows its paths, and I2CP.

mod bulk;
mod closing;
mod datagrams;
mod errors;
mod lab;
mod listening;
mod paths;
mod privacy;
mod sessions;
mod streams;
mod subsessions;
