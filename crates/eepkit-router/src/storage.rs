//! The state directory of an embedded router.
//!
//! | file | content |
//! |---|---|
//! | `lock` | locked while a process uses the directory |
//! | `router.keys` | the router's private keys and identity |
//! | `router.ports` | the ports that the system assigned, to be requested again |
//! | `router.info` | the router's own router info, for other programs |
//! | `netDb/routerInfo-<hash>.dat` | router infos, named as Java I2P and i2pd name them |
//! | `profiles.json` | statistics about each of these routers |
//!
//! Only the owner can access the files, and a directory that the router creates. A directory that
//! exists keeps its permissions. Files are replaced atomically: a crash leaves either the old or the
//! new content. Nothing is deleted because of the clock alone, and no file that the router did not
//! write.

#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod fuzzing;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use eepkit_files::{Lock, operation};
use eepkit_link::clock;
use eepkit_wire::{Codec, Hash, RouterInfo, SignatureError, Zeroizing};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The first bytes of `router.keys`. The last digit is the format version.
const KEYS_MAGIC: &[u8; 8] = b"eepkitR1";

/// The maximum number of stored router infos. Chosen because tunnels use a few hundred routers, and
/// the router reads all infos when it starts.
const MAX_ROUTERS: usize = 2_000;

/// The largest router info, in bytes. Chosen because real ones have 1,000 to 3,000 bytes, and
/// transports allow more.
const MAX_ROUTER_INFO: usize = 16 * 1024;

/// The largest `profiles.json`, in bytes. Chosen because [`MAX_ROUTERS`] entries need about one
/// megabyte.
const MAX_PROFILES: usize = 8 * 1024 * 1024;

/// The age above which a router info is not used. Chosen because most routers have changed their
/// address or disappeared after some weeks. An older list is still better than another request to a
/// reseed host.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long the last writes may take when a router stops. Chosen because there are at most a few
/// thousand small files.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// The reason why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another router uses the directory.
    #[error("another router uses the state directory {0}; stop it or choose another directory")]
    InUse(String),
    /// A file or directory cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// The error that the system reported.
        #[source]
        source: io::Error,
    },
    /// The key file is damaged. It is not replaced, because new keys would change the router's
    /// identity.
    #[error("{path} does not hold router keys: {why}; restore it, or remove it to begin anew")]
    BadKeys {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError + '_ {
    move |source| StateError::Io {
        path: path.display().to_string(),
        source,
    }
}

/// A locked state directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Dropping it unlocks the directory.
    _lock: Lock,
}

/// The router infos and profiles that a router has when it starts.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Router infos that are recent, of the right network and correctly signed.
    pub(crate) routers: Vec<Vec<u8>>,
    /// Profiles of those routers, by base64 hash.
    pub(crate) profiles: Vec<(String, Profile)>,
}

/// The ports at which a router listened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) ntcp2: Option<u16>,
    pub(crate) ssu2: Option<u16>,
}

impl StateDir {
    /// Opens the directory, creating it if needed, and locks it against other processes and other
    /// routers of this process.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        eepkit_files::create_private_dir(path).map_err(io_error(path))?;
        let lock_path = path.join("lock");
        let lock = Lock::acquire(&lock_path)
            .map_err(io_error(&lock_path))?
            .ok_or_else(|| StateError::InUse(path.display().to_string()))?;
        let netdb = path.join("netDb");
        eepkit_files::create_private_dir(&netdb).map_err(io_error(&netdb))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Returns the router's keys, which are random bytes. They are generated and stored at the
    /// first call.
    pub(crate) fn keys<const N: usize>(&self) -> Result<[u8; N], StateError> {
        let path = self.path.join("router.keys");
        let bad = |why| StateError::BadKeys {
            path: path.display().to_string(),
            why,
        };
        match eepkit_files::read_secret(&path, KEYS_MAGIC.len() + N) {
            Ok(bytes) => {
                let (magic, keys) = bytes
                    .split_first_chunk()
                    .ok_or_else(|| bad("it is too short"))?;
                if magic != KEYS_MAGIC {
                    return Err(bad("its first bytes are not those of a key file"));
                }
                keys.try_into().map_err(|_| bad("it is too short"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut keys = [0; N];
                rand::rng().fill_bytes(&mut keys);
                let bytes = Zeroizing::new([&KEYS_MAGIC[..], &keys].concat());
                // An existing file is never replaced.
                eepkit_files::create(&path, &bytes).map_err(io_error(&path))?;
                Ok(keys)
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(bad("it is too long")),
            Err(source) => Err(io_error(&path)(source)),
        }
    }

    /// Returns the ports of the last run, or none if the file is missing or unreadable.
    pub(crate) fn ports(&self) -> Ports {
        let text = eepkit_files::read(&self.path.join("router.ports"), 1024).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let port = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok().filter(|port| *port != 0)
        };
        Ports {
            ntcp2: port("ntcp2="),
            ssu2: port("ssu2="),
        }
    }

    /// Stores the ports for the next run.
    pub(crate) fn save_ports(&self, ports: Ports) -> Result<(), StateError> {
        let path = self.path.join("router.ports");
        let line = |name, port: Option<u16>| port.map(|port| format!("{name}={port}\n"));
        let text = [line("ntcp2", ports.ntcp2), line("ssu2", ports.ssu2)];
        let text: String = text.into_iter().flatten().collect();
        eepkit_files::replace(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Writes the router's own router info.
    pub(crate) fn save_router_info(&self, router_info: &[u8]) -> Result<(), StateError> {
        let path = self.path.join("router.info");
        eepkit_files::replace(&path, router_info).map_err(io_error(&path))
    }

    /// Returns the router infos of earlier runs that are recent and of this network.
    ///
    /// Deletes router infos that are damaged or certainly old, and what interrupted writes left.
    /// One is certainly old if it is so both by the clock and compared with the others: a clock that
    /// is weeks ahead makes all of them old, and must not cost the router its view of the network.
    pub(crate) fn known(&self, network_id: u8) -> Result<Known, StateError> {
        self.known_at(network_id, clock::unix_now())
    }

    fn known_at(&self, network_id: u8, now: Duration) -> Result<Known, StateError> {
        let mut routers = Vec::new();
        let mut dates = Vec::new();
        let mut old = Vec::new();
        for path in self.stored()? {
            // A file that cannot be read now may be readable later.
            let Ok(bytes) = eepkit_files::read(&path, MAX_ROUTER_INFO) else {
                continue;
            };
            let Some(info) = intact(&bytes) else {
                remove(&path);
                continue;
            };
            let published = Duration::from_millis(info.published());
            dates.push(published);
            if now.saturating_sub(published) >= MAX_AGE {
                old.push((published, path));
            } else if info.network_id() == Some(network_id) && routers.len() < MAX_ROUTERS {
                routers.push(bytes);
            }
        }
        dates.sort_unstable();
        let usual = dates.get(dates.len() / 2).copied().unwrap_or_default();
        let (stale, kept): (Vec<_>, Vec<_>) = old
            .into_iter()
            .partition(|(published, _)| usual.saturating_sub(*published) >= MAX_AGE);
        for (_, path) in stale {
            remove(&path);
        }
        if routers.is_empty() && !kept.is_empty() {
            tracing::warn!(
                routers = kept.len(),
                "all stored router infos are older than two weeks, or the clock is wrong; \
                 they are kept, and not used"
            );
        }
        Ok(Known {
            routers,
            profiles: self.profiles(),
        })
    }

    /// Returns the files of stored router infos. Deletes what interrupted writes left.
    fn stored(&self) -> Result<Vec<PathBuf>, StateError> {
        let netdb = self.path.join("netDb");
        let entries = operation("list the directory", || fs::read_dir(&netdb));
        let mut files = Vec::new();
        for entry in entries.map_err(io_error(&netdb))?.flatten() {
            match entry.file_name().to_str() {
                Some(name) if name.starts_with("routerInfo-") && name.ends_with(".dat") => {
                    files.push(entry.path());
                }
                // The lock excludes other writers.
                Some(name) if name.starts_with(".routerInfo-") && name.ends_with(".tmp") => {
                    remove(&entry.path());
                }
                _ => {}
            }
        }
        Ok(files)
    }

    fn profiles(&self) -> Vec<(String, Profile)> {
        let Ok(text) = eepkit_files::read(&self.path.join("profiles.json"), MAX_PROFILES) else {
            return Vec::new();
        };
        // A file that cannot be read is ignored, because the router collects the same statistics
        // again.
        let stored: BTreeMap<String, Profile> = serde_json::from_slice(&text).unwrap_or_default();
        stored
            .into_iter()
            // The router requires that the names are hashes in base64.
            .filter(|(name, _)| Hash::from_base64(name).is_ok())
            .collect()
    }

    /// Stores router infos. Invalid ones are skipped.
    pub(crate) fn add_routers(&self, routers: &[Vec<u8>]) -> Result<(), StateError> {
        for info in routers {
            if let Some(name) = name_of(info) {
                self.write_router(&name, info)?;
            }
        }
        Ok(())
    }

    fn write_router(&self, name: &str, info: &[u8]) -> Result<(), StateError> {
        let path = self
            .path
            .join("netDb")
            .join(format!("routerInfo-{name}.dat"));
        eepkit_files::replace(&path, info).map_err(io_error(&path))
    }

    fn write_backup(
        &self,
        routers: Vec<(String, Option<Vec<u8>>, Profile)>,
    ) -> Result<(), StateError> {
        let mut profiles = BTreeMap::new();
        for (name, info, profile) in routers {
            if let Some(info) = info {
                self.write_router(&name, &info)?;
            }
            if profiles.len() < MAX_ROUTERS {
                profiles.insert(name, profile);
            }
        }
        let path = self.path.join("profiles.json");
        let text = serde_json::to_vec(&profiles)
            .map_err(|error| io_error(&path)(io::Error::other(error)))?;
        eepkit_files::replace(&path, &text).map_err(io_error(&path))?;
        self.forget_oldest()
    }

    /// Deletes all router infos except the newest [`MAX_ROUTERS`].
    fn forget_oldest(&self) -> Result<(), StateError> {
        let modified = |path: &PathBuf| {
            let found = operation("look at a router info", || fs::metadata(path)).ok()?;
            found.modified().ok()
        };
        let mut files: Vec<(SystemTime, PathBuf)> = self
            .stored()?
            .into_iter()
            .filter_map(|path| Some((modified(&path)?, path)))
            .collect();
        if files.len() > MAX_ROUTERS {
            files.sort();
            let surplus = files.len() - MAX_ROUTERS;
            for (_, path) in files.drain(..surplus) {
                remove(&path);
            }
        }
        Ok(())
    }
}

/// Decodes a stored router info. Returns `None` if it is damaged.
fn intact(bytes: &[u8]) -> Option<RouterInfo> {
    let info = RouterInfo::from_bytes(bytes).ok()?;
    match info.verify() {
        Ok(()) | Err(SignatureError::UnsupportedType(_)) => Some(info),
        Err(_) => None,
    }
}

/// Returns the hash, in base64, of the router that an info describes. Returns `None` if the router
/// info is invalid.
fn name_of(info: &[u8]) -> Option<String> {
    id_of(info).map(|id| id.to_base64())
}

/// Returns the hash of the router that an info describes. Returns `None` if the router info is
/// invalid.
pub(crate) fn id_of(info: &[u8]) -> Option<Hash> {
    let info = RouterInfo::from_bytes(info).ok()?;
    info.verify().ok()?;
    Some(info.hash())
}

fn remove(path: &Path) {
    if let Err(error) = eepkit_files::remove(path) {
        tracing::debug!(%error, path = %path.display(), "cannot remove a stored router info");
    }
}

/// Writes the backups of a running router in the background and in order.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    dir: Arc<StateDir>,
    writes: TaskTracker,
    /// One backup is written at a time.
    turn: Arc<std::sync::Mutex<()>>,
}

impl Keeper {
    pub(crate) fn new(dir: Arc<StateDir>) -> Self {
        Self {
            dir,
            writes: TaskTracker::new(),
            turn: Arc::default(),
        }
    }

    /// Writes profiles of routers, by base64 hash, and their router infos if present.
    pub(crate) fn save(&self, routers: Vec<(String, Option<Vec<u8>>, Profile)>) {
        let (dir, turn) = (Arc::clone(&self.dir), Arc::clone(&self.turn));
        self.writes.spawn_blocking(move || {
            let _turn = turn
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(error) = dir.write_backup(routers) {
                tracing::warn!(%error, "the router's state could not be written");
            }
        });
    }

    /// Waits until everything is written.
    pub(crate) async fn flush(&self) {
        self.writes.close();
        if timeout(FLUSH_DEADLINE, self.writes.wait()).await.is_err() {
            tracing::warn!("the router's state was not written in time");
        }
    }
}

/// The statistics of a router about another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Profile {
    /// In seconds since the Unix epoch, as the other times.
    pub(crate) last_activity: u64,
    pub(crate) last_declined: Option<u64>,
    pub(crate) last_dial_failure: Option<u64>,
    pub(crate) accepted: usize,
    pub(crate) connections: usize,
    pub(crate) dial_failures: usize,
    pub(crate) lookup_failures: usize,
    pub(crate) lookup_no_responses: usize,
    pub(crate) lookup_successes: usize,
    pub(crate) rejected: usize,
    pub(crate) selected: usize,
    pub(crate) test_failures: usize,
    pub(crate) test_successes: usize,
    pub(crate) unanswered: usize,
}

#[cfg(test)]
mod tests;
