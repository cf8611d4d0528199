//! I2P routers that run in this process.
//!
//! * [`embedded`]: a router on the live network or on a private one, with a state directory,
//!   reseeding and port mapping;
//! * [`devnet`]: a private network of several routers on loopback.
//!
//! Both implement [`eepkit_link::Connector`] and report their progress through
//! [`eepkit_link::status`]. Sessions of the same process reach the routers in memory.
//!
//! Only `backend` depends on the implementation that runs.

mod backend;
pub mod devnet;
pub mod embedded;
mod error;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod port_mapping;
pub mod reseed;
mod sockets;
mod storage;

pub use backend::emissary::QUIET_FILTER;
pub use error::StartError;
pub use storage::StateError;
