//! Host names of I2P and the address books that resolve them.
//!
//! A [`HostBook`] maps names that end in `.i2p` to destinations. It is kept in memory and can load
//! `hosts.txt` files. This crate does not depend on routers, sessions or the network.

#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hosts;

pub use hosts::{HostBook, HostError};
