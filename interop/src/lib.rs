//! The infrastructure of the interoperability tests: private networks of i2pd routers, a SAM client
//! that shares no code with eepkit, and third-party programs.
//!
//! The tests are in `tests/interop`. `interop/README.md` describes how to run them.

mod i2pd;
mod java;
mod policy;
mod ports;
mod python;
mod sam;
mod sam_datagrams;

pub use i2pd::{I2pdNet, I2pdRouter, StartError, i2pd_program, router_hash};
pub use java::JavaStreaming;
pub use policy::{Peer, interop_is_required, java_is_requested, peers};
pub use ports::free_port;
pub use python::{I2plib, Txi2p, python3};
pub use sam::{Accepting, SamSession, sam_command};
pub use sam_datagrams::{SamDatagram, SamDatagrams};
