//! Tests on the simulated network, in virtual time.
//!
//! Most tests run over both kinds of link: the direct link, which reports its tunnels, and I2CP.

mod bulk;
mod closing;
mod datagrams;
mod errors;
mod http;
mod idle;
mod lab;
mod limits;
mod listening;
mod paths;
mod privacy;
mod protocols;
mod reachability;
mod restarts;
mod routers;
mod serving;
mod sessions;
mod streams;
mod subsessions;
