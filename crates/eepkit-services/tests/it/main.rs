//! The services over real sockets and a simulated network, mostly in paused time.

mod abuse;
mod bob;
mod client;
mod client_set;
mod datagrams;
mod docs;
mod errors;
mod forwarding;
mod http_proxy;
mod lab;
mod names;
mod naming;
mod older;
mod options;
mod reload;
mod sessions;
mod site;
mod socks;
mod streams;
mod tunnels;
