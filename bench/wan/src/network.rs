//! Networks of routers, one router on each host.

pub(crate) mod emissary;
mod i2pd;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use crate::{
    args::{LabOptions, RouterSoftware},
    hosts::Hosts,
};

/// The number of routers, from the first, that serve the network database. Chosen because i2pd asks
/// three of them before a look-up fails, and sends a lease set to three others.
const FLOODFILLS: usize = 4;

/// The network ID: neither that of the live network (2) nor those of devnets and tests.
const NETWORK: u8 = 88;

/// The port on which every router accepts connections and packets.
const PORT: u16 = 20_000;

/// The time limit for a router to write its router info. Measured: below a second.
const IDENTITY: Duration = Duration::from_secs(30);

/// The interval of checks for the router info.
const POLL: Duration = Duration::from_millis(50);

/// Running routers. Dropping this ends them.
pub(crate) struct Network {
    /// The version of the routers.
    version: String,
    routers: Vec<Child>,
    start: Box<Start>,
}

/// Starts the router of this number with all information that it has.
type Start = dyn Fn(usize) -> Result<Child, String> + Send + Sync;

impl Network {
    /// Starts a router on every host, twice: first for its identity, then with the router infos of
    /// all others in its network database, so that none needs a reseed.
    pub(crate) async fn start(
        software: RouterSoftware,
        hosts: &Hosts,
        options: &LabOptions,
        dir: &Path,
    ) -> Result<Self, String> {
        match software {
            RouterSoftware::I2pd => i2pd::start(hosts, options, dir).await,
            RouterSoftware::Emissary => emissary::start(hosts, options, dir).await,
        }
    }

    fn new(version: String, routers: usize, start: Box<Start>) -> Result<Self, String> {
        Ok(Self {
            version,
            routers: (0..routers).map(&start).collect::<Result<_, _>>()?,
            start,
        })
    }

    /// The version of the routers.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Restarts routers that have ended by themselves. Returns which, and how they ended.
    pub(crate) fn revive(&mut self) -> Result<Vec<String>, String> {
        let mut ended = Vec::new();
        for (number, router) in self.routers.iter_mut().enumerate() {
            if let Ok(Some(status)) = router.try_wait() {
                ended.push(format!(
                    "router {number} had ended ({status}); started again"
                ));
                *router = (self.start)(number)?;
            }
        }
        Ok(ended)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("version", &self.version)
            .field("routers", &self.routers)
            .finish_non_exhaustive()
    }
}

/// Creates the directories of the routers.
fn directories(options: &LabOptions, dir: &Path) -> Result<Vec<PathBuf>, String> {
    (0..options.routers)
        .map(|router| {
            let path = dir.join(router.to_string());
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path)
        })
        .collect()
}

/// Waits for the router info that a router writes, and reads it.
async fn router_info(dir: &Path, router: &mut Child) -> Result<Vec<u8>, String> {
    let path = dir.join("router.info");
    let deadline = Instant::now() + IDENTITY;
    loop {
        // Complete once it exists: a file of this size takes one write.
        match fs::read(&path) {
            Ok(info) if !info.is_empty() => return Ok(info),
            _ => {}
        }
        if let Ok(Some(status)) = router.try_wait()
            && !status.success()
        {
            return Err(format!("a router ended: {status}; see {}", dir.display()));
        }
        if Instant::now() > deadline {
            return Err(format!("a router has no identity; see {}", dir.display()));
        }
        sleep(POLL).await;
    }
}

/// Ends routers and waits until their processes have ended.
async fn stop(routers: Vec<Child>) {
    for mut router in routers {
        // Fails only if the process has already ended.
        let _ = router.kill().await;
    }
}
