//! Small applications over the public interface of eepkit.
//!
//! Each module is the logic of one application. The programs are in `examples`, the tests in
//! `tests/it` run each application on the simulated network.
//!
//! * [`chat`]: a group chat whose members reconnect;
//! * [`transfer`]: downloads that resume, with progress;
//! * [`site`]: a guest book with axum, and a client of it with hyper;
//! * [`ask`]: requests and responses over datagrams, with timeouts;
//! * [`gossip`]: a node that spreads short messages among its peers;
//! * [`embed`]: a program that waits for its router, serves, and shuts down gracefully;
//! * [`counter`]: one service over a codec, WebSocket and HTTP/2, on any stream.

pub mod ask;
pub mod chat;
pub mod counter;
pub mod embed;
pub mod gossip;
pub mod site;
pub mod transfer;
