//! The SAM bridge: versions 3.0 to 3.3.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::sam::SamBridge;
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let bridge = SamBridge::builder(router).start().await?;
//! println!("SAM at {:?}", bridge.tcp_addrs());
//! # bridge.stop().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod connection;
mod lookups;
mod options;
mod reading;
mod sessions;
mod shared;
mod socket;
mod streams;
mod udp;
mod users;

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use builder::{DEFAULT_TCP_PORT, DEFAULT_UDP_PORT, SamBuilder};
use eepkit::Router;
pub use eepkit_sam::server::Config;
use shared::Shared;
use tokio_util::task::TaskTracker;
pub use users::{UserError, Users, UsersError};

/// A bridge that runs.
///
/// It ends with [`SamBridge::stop`], or when it is dropped; every session of its clients ends with
/// it.
pub struct SamBridge {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    tcp: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    unix: Vec<PathBuf>,
}

impl SamBridge {
    /// A bridge to `router`.
    pub fn builder(router: Router) -> SamBuilder {
        SamBuilder::new(router)
    }

    /// Where it listens by TCP.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Where it takes datagrams.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where it listens by Unix sockets.
    pub fn unix_paths(&self) -> impl Iterator<Item = &Path> {
        self.unix.iter().map(PathBuf::as_path)
    }

    /// What it holds, and what it did.
    pub fn stats(&self) -> SamStats {
        self.shared.stats()
    }

    /// Closes every socket and session. Returns when all of them are gone, after at most some
    /// seconds.
    ///
    /// # Cancel safety
    ///
    /// The bridge stops in the background all the same.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        // A session that does not close in time is the router's business.
        let _ = tokio::time::timeout(STOP_LIMIT, self.tasks.wait()).await;
        for path in &self.unix {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for SamBridge {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        for path in &self.unix {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl fmt::Debug for SamBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamBridge")
            .field("tcp", &self.tcp)
            .field("udp", &self.udp)
            .field("unix", &self.unix)
            .finish_non_exhaustive()
    }
}

/// What a bridge holds now, and what it did since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SamStats {
    /// Sockets of clients that are open, streams included.
    pub connections: usize,
    /// Sessions, subsessions not counted.
    pub sessions: usize,
    /// Subsessions.
    pub subsessions: usize,
    /// Streams that are joined with a socket.
    pub streams: usize,
    /// Tasks that run.
    pub tasks: usize,
    /// Sockets that were refused because there were too many.
    pub refused: u64,
    /// Datagrams of clients that were dropped: they could not be read, or not be sent.
    pub datagrams_dropped: u64,
}

/// Why a bridge does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address or path.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file with the users cannot be used.
    #[error("cannot use the file of users")]
    Users(#[from] UsersError),
    /// There is nothing to listen on.
    #[error("no address to listen on")]
    NoAddress,
}

/// How long stopping may take. Chosen as longer than a session takes to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);
