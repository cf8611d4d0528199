//! The state directory of an embedded router.
//!
//! | file | content |
//! |---|---|
//! | `lock` | locked while a process uses the directory |
//! | `router.keys` | the router's private keys and identity |
//! | `router.ports` | the ports that the system picked, to be asked for again |
//! | `router.info` | the router's own router info, for other programs |
//! | `netDb/routerInfo-<hash>.dat` | routers of the network, as Java I2P and i2pd name them |
//! | `profiles.json` | what was learned about them |
//!
//! The directory and its files are accessible to their owner only. Files are replaced atomically:
//! a crash leaves the old or the new one.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use eepkit_link::clock;
use eepkit_wire::{Codec, Hash, RouterInfo};
use emissary_core::{Profile, runtime::Storage};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::emissary::identity::Identity;

/// What `router.keys` begins with; the last digit is the version of the format.
const KEYS_MAGIC: &[u8; 8] = b"eepkitR1";

/// Most routers that are kept. Chosen because tunnels are built from a few hundred, and the router
/// reads all of them when it starts.
const MAX_ROUTERS: usize = 2_000;

/// Largest router info, bytes. Real ones have one to three thousand; the transport that carries
/// them allows more.
const MAX_ROUTER_INFO: u64 = 16 * 1024;

/// Largest `profiles.json`, bytes: [`MAX_ROUTERS`] entries have one megabyte.
const MAX_PROFILES: u64 = 8 * 1024 * 1024;

/// Age beyond which a router info is dropped. Chosen because most routers have another address,
/// or are gone, after some weeks; within them it beats asking a reseed host again.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long the last writes may take when a router stops. Chosen because it is a few thousand
/// small files at worst.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another router uses it.
    #[error("another router uses the state directory {0}; stop it or choose another directory")]
    InUse(String),
    /// A file or directory cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key file is damaged. It is not replaced, since that would change the router's identity.
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
    /// Unlocks the directory when it is dropped.
    _lock: File,
}

/// What a router starts with.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Router infos: parsed once, of the right network, recent.
    pub(crate) routers: Vec<Vec<u8>>,
    /// Profiles of those routers, by base64 hash.
    pub(crate) profiles: Vec<(String, Profile)>,
}

/// The ports that a router listened on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) ntcp2: Option<u16>,
    pub(crate) ssu2: Option<u16>,
}

impl StateDir {
    /// Opens the directory, creating it if needed, and locks it against other processes and other
    /// routers of this process.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        create_private_dir(path).map_err(io_error(path))?;
        let netdb = path.join("netDb");
        create_private_dir(&netdb).map_err(io_error(&netdb))?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path, true).map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse(path.display().to_string())),
            Err(TryLockError::Error(source)) => Err(io_error(&lock_path)(source)),
        }
    }

    /// The router's keys; new ones are drawn and kept the first time.
    pub(crate) fn identity(&self) -> Result<Identity, StateError> {
        let path = self.path.join("router.keys");
        let bad = |why| StateError::BadKeys {
            path: path.display().to_string(),
            why,
        };
        let length = KEYS_MAGIC.len() + Identity::LENGTH;
        match read_limited(&path, length as u64) {
            Ok(bytes) => {
                let (magic, keys) = bytes
                    .split_first_chunk()
                    .ok_or_else(|| bad("it is too short"))?;
                if magic != KEYS_MAGIC {
                    return Err(bad("it begins with something else"));
                }
                let keys = keys.try_into().map_err(|_| bad("it is too short"))?;
                Ok(Identity::from_bytes(keys))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Identity::new(&mut rand::rng());
                let bytes = [&KEYS_MAGIC[..], &identity.to_bytes()].concat();
                write_private(&path, &bytes).map_err(io_error(&path))?;
                Ok(identity)
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(bad("it is too long")),
            Err(source) => Err(io_error(&path)(source)),
        }
    }

    /// The ports of the last run; none where the file is missing or unreadable.
    pub(crate) fn ports(&self) -> Ports {
        let text = read_limited(&self.path.join("router.ports"), 1024).unwrap_or_default();
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

    /// Keeps the ports for the next run.
    pub(crate) fn save_ports(&self, ports: Ports) -> Result<(), StateError> {
        let path = self.path.join("router.ports");
        let line = |name, port: Option<u16>| port.map(|port| format!("{name}={port}\n"));
        let text = [line("ntcp2", ports.ntcp2), line("ssu2", ports.ssu2)];
        let text: String = text.into_iter().flatten().collect();
        write_private(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Writes the router's own router info.
    pub(crate) fn save_router_info(&self, router_info: &[u8]) -> Result<(), StateError> {
        let path = self.path.join("router.info");
        write_private(&path, router_info).map_err(io_error(&path))
    }

    /// The routers known from earlier runs. Files that are no router infos of this network, or old
    /// ones, are removed.
    pub(crate) fn known(&self, network_id: u8) -> Result<Known, StateError> {
        let netdb = self.path.join("netDb");
        let now = clock::unix_now();
        let mut routers = Vec::new();
        for entry in fs::read_dir(&netdb).map_err(io_error(&netdb))?.flatten() {
            let path = entry.path();
            match read_limited(&path, MAX_ROUTER_INFO) {
                Ok(info) if routers.len() < MAX_ROUTERS && is_usable(&info, network_id, now) => {
                    routers.push(info);
                }
                _ => remove(&path),
            }
        }
        Ok(Known {
            routers,
            profiles: self.profiles(),
        })
    }

    fn profiles(&self) -> Vec<(String, Profile)> {
        let Ok(text) = read_limited(&self.path.join("profiles.json"), MAX_PROFILES) else {
            return Vec::new();
        };
        // Learned anew if it cannot be read.
        let stored: BTreeMap<String, StoredProfile> =
            serde_json::from_slice(&text).unwrap_or_default();
        stored
            .into_iter()
            // The router takes for granted that the names are hashes in base64.
            .filter(|(name, _)| Hash::from_base64(name).is_ok())
            .map(|(name, profile)| (name, profile.into()))
            .collect()
    }

    /// Adds routers to those known.
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
        write_private(&path, info).map_err(io_error(&path))
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
                profiles.insert(name, StoredProfile::from(profile));
            }
        }
        let path = self.path.join("profiles.json");
        let text = serde_json::to_vec(&profiles)
            .map_err(|error| io_error(&path)(io::Error::other(error)))?;
        write_private(&path, &text).map_err(io_error(&path))?;
        self.forget_oldest()
    }

    /// Keeps the newest [`MAX_ROUTERS`] router infos.
    fn forget_oldest(&self) -> Result<(), StateError> {
        let netdb = self.path.join("netDb");
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&netdb)
            .map_err(io_error(&netdb))?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
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

/// Whether a stored router info is worth giving to the router.
fn is_usable(info: &[u8], network_id: u8, now: Duration) -> bool {
    RouterInfo::from_bytes(info).is_ok_and(|info| {
        let published = Duration::from_millis(info.published());
        info.network_id() == Some(network_id)
            && now.saturating_sub(published) < MAX_AGE
            && info.verify().is_ok()
    })
}

/// The hash of the router that an info describes, in base64; `None` for anything but a valid router
/// info.
fn name_of(info: &[u8]) -> Option<String> {
    let info = RouterInfo::from_bytes(info).ok()?;
    info.verify().ok()?;
    Some(info.hash().to_base64())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "cannot remove a stored router info");
    }
}

/// Takes what the router wants to keep. Writes in the background, in order.
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

    /// Waits until everything is written.
    pub(crate) async fn flush(&self) {
        self.writes.close();
        if timeout(FLUSH_DEADLINE, self.writes.wait()).await.is_err() {
            tracing::warn!("the router's state was not written in time");
        }
    }
}

impl Storage for Keeper {
    fn save_to_disk(&self, routers: Vec<(String, Option<Vec<u8>>, Profile)>) {
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
}

/// A [`Profile`] as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredProfile {
    /// Seconds since the Unix epoch, as are the other times.
    last_activity: u64,
    last_declined: Option<u64>,
    last_dial_failure: Option<u64>,
    accepted: usize,
    connections: usize,
    dial_failures: usize,
    lookup_failures: usize,
    lookup_no_responses: usize,
    lookup_successes: usize,
    rejected: usize,
    selected: usize,
    test_failures: usize,
    test_successes: usize,
    unanswered: usize,
}

impl From<Profile> for StoredProfile {
    fn from(profile: Profile) -> Self {
        Self {
            last_activity: profile.last_activity.as_secs(),
            last_declined: profile.last_declined.map(|time| time.as_secs()),
            last_dial_failure: profile.last_dial_failure.map(|time| time.as_secs()),
            accepted: profile.num_accepted,
            connections: profile.num_connection,
            dial_failures: profile.num_dial_failures,
            lookup_failures: profile.num_lookup_failures,
            lookup_no_responses: profile.num_lookup_no_responses,
            lookup_successes: profile.num_lookup_successes,
            rejected: profile.num_rejected,
            selected: profile.num_selected,
            test_failures: profile.num_test_failures,
            test_successes: profile.num_test_successes,
            unanswered: profile.num_unaswered,
        }
    }
}

impl From<StoredProfile> for Profile {
    fn from(stored: StoredProfile) -> Self {
        Self {
            last_activity: Duration::from_secs(stored.last_activity),
            last_declined: stored.last_declined.map(Duration::from_secs),
            // emissary-core takes a router for unreachable for good once a dial failed more than
            // three minutes ago; without the entry it tries again.
            last_dial_failure: None,
            num_accepted: stored.accepted,
            num_connection: stored.connections,
            num_dial_failures: stored.dial_failures,
            num_lookup_failures: stored.lookup_failures,
            num_lookup_no_responses: stored.lookup_no_responses,
            num_lookup_successes: stored.lookup_successes,
            num_rejected: stored.rejected,
            num_selected: stored.selected,
            num_test_failures: stored.test_failures,
            num_test_successes: stored.test_successes,
            num_unaswered: stored.unanswered,
        }
    }
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    {
        // It may have been there already, open to others.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(path, mode)?;
    }
    Ok(())
}

fn private_file(path: &Path, keep: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(!keep);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Replaces a file by one that only its owner can access.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = private_file(&new, false)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)
}

/// Reads a file of at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than expected",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
