//! Host names of I2P, and the books that hold them.
//!
//! A [`HostBook`] maps names in `.i2p` to destinations. It reads `hosts.txt` files and holds its
//! content in memory. It knows nothing of routers, sessions or the network.

mod hosts;

pub use hosts::{HostBook, HostError};
