//! Links to running routers.
//!
//! * [`i2cp`]: routers over I2CP, by TCP, TLS, a Unix socket, or in memory;
//! * [`sam`]: routers that offer only SAM.
//!
//! Quirks of a particular router are handled here and in the `quirks` modules of the protocol
//! crates. Code above a link therefore does not depend on the router in use.

mod address;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod i2cp;
mod queues;
pub mod sam;
mod transport;

pub use address::RouterAddressError;
#[cfg(feature = "tls")]
pub use transport::{CertificateError, Trust};
