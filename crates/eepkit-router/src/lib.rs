//! Routers for applications of eepkit, and the link by which sessions reach them.
//!
//! * [`link`]: what a session needs of a router, and the I2CP link to routers of any kind;
//! * [`sim`]: a simulated network, for tests in virtual time;
//! * `devnet` (feature `embedded`): a private network of real routers in this process;
//! * `embedded` (feature `embedded`): a real router on the live network.

pub mod clock;
#[cfg(feature = "embedded")]
pub mod devnet;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "embedded")]
pub mod emissary;
pub mod hosts;
pub mod link;
#[cfg(feature = "embedded")]
mod port_mapping;
pub mod readiness;
#[cfg(feature = "embedded")]
pub mod reseed;
pub mod sim;
#[cfg(feature = "embedded")]
mod storage;
