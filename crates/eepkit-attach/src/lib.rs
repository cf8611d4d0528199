//! Links to routers that run already.
//!
//! * [`i2cp`]: routers that speak I2CP, over TCP, TLS, a Unix socket, or in memory;
//! * [`sam`]: routers that speak only SAM.
//!
//! Quirks of a particular router are handled here and in the protocol crates' `quirks` modules, so
//! that nothing above a link knows which router it talks to.

mod address;
pub mod i2cp;
pub mod sam;
mod transport;

pub use address::RouterAddressError;
#[cfg(feature = "tls")]
pub use transport::{CertificateError, Trust};
