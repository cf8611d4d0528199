//! I2P routers that run in this process.
//!
//! * [`embedded`]: a router on the live network or on a private one, with a state directory, reseeding
//!   and port mapping;
//! * [`devnet`]: a private network of several routers on loopback.
//!
//! Both implement [`eepkit_link::Connector`] and report their progress through
//! [`eepkit_link::status`]. Only [`backend`] knows which implementation runs.

pub mod backend;
pub mod devnet;
pub mod embedded;
mod port_mapping;
pub mod reseed;
mod storage;
