//! The SAM bridge over real sockets and a simulated network, mostly in paused time.

mod abuse;
mod datagrams;
mod lab;
mod sessions;
mod streams;
