//! The keys of destinations that clients of SAM 1.0 and 2.0 name.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use eepkit::{PrivateKeys, SignatureType};
use eepkit_sam::Failure;
use eepkit_wire::{ConfigFile, Zeroizing};
use tracing::{error, info};

use crate::{files, service::ServiceError};

/// Keys by name, in memory and, if there is a file, also there.
///
/// The file has a line of `name=key` for each name, as `sam.keys` of Java I2P.
pub(super) struct KeyStore {
    file: Option<PathBuf>,
    keys: Mutex<Vec<(String, Zeroizing<String>)>>,
}

impl KeyStore {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the file cannot be read, or contains something that is not a key.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, ServiceError> {
        let mut keys = Vec::new();
        if let Some(file) = file {
            let invalid = |why: String| {
                ServiceError::Invalid(format!("older_keys, {}: {why}", file.display()))
            };
            let text = read(file).map_err(|error| invalid(error.to_string()))?;
            let read = ConfigFile::parse(&text).map_err(|error| invalid(error.to_string()))?;
            for (name, key) in read.iter() {
                if eepkit_sam::parse_private_keys(key).is_err() {
                    return Err(invalid(format!(
                        "the value of {name:?} is not a private key"
                    )));
                }
                keys.push((name.to_owned(), Zeroizing::new(key.to_owned())));
            }
            files::warn_if_open_to_others(file);
        }
        Ok(Self {
            file: file.map(Path::to_owned),
            keys: Mutex::new(keys),
        })
    }

    /// Returns the keys of a name. If there are none, generates and stores them.
    ///
    /// Reads and writes files, so it must not be called by a task of the runtime.
    ///
    /// # Errors
    ///
    /// [`Failure`], which is the answer to the client.
    pub(super) fn keys(&self, name: &str, kind: SignatureType) -> Result<PrivateKeys, Failure> {
        // A panic while the lock is held leaves the list consistent: each change is one insertion.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = keys.iter().find(|(there, _)| there == name) {
            return eepkit_sam::parse_private_keys(key)
                .map_err(|error| Failure::error(error.to_string()));
        }
        if keys.len() >= MAX_NAMES {
            return Err(Failure::error(format!(
                "the bridge has the keys of {MAX_NAMES} names, which is the most"
            )));
        }
        let new = PrivateKeys::generate(kind, &mut rand::rng())
            .map_err(|_| Failure::error(format!("SIGNATURE_TYPE {kind} cannot be made here")))?;
        keys.push((name.to_owned(), Zeroizing::new(new.to_base64().to_string())));
        if let Some(file) = &self.file {
            if let Err(problem) = write(file, &keys) {
                keys.pop();
                error!(file = %file.display(), error = %problem, "cannot store a new destination");
                return Err(Failure::error(
                    "the bridge cannot store the keys of this name",
                ));
            }
            info!(file = %file.display(), name, "made a new destination and wrote it there");
        }
        Ok(new)
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = match eepkit_files::read_secret(file, ConfigFile::MAX_LENGTH) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Zeroizing::default()),
        bytes => bytes?,
    };
    let text = std::str::from_utf8(&bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn write(file: &Path, keys: &[(String, Zeroizing<String>)]) -> io::Result<()> {
    let length = keys.iter().map(|(name, key)| name.len() + key.len() + 2);
    // A buffer that grows would leave copies of the keys.
    let mut text = Zeroizing::new(String::with_capacity(length.sum()));
    for (name, key) in keys {
        text.push_str(name);
        text.push('=');
        text.push_str(key);
        text.push('\n');
    }
    eepkit_files::replace(file, text.as_bytes())
}

/// The most names. Chosen because a client must not fill the disk, and far above practical values: a
/// bridge has at most some hundred sessions.
const MAX_NAMES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_same_keys_after_a_restart() {
        let dir = tempfile::tempdir().expect("can be created");
        let file = dir.path().join("sam.keys");
        let store = KeyStore::open(Some(&file)).expect("there is no file yet");
        let keys = |store: &KeyStore, name| store.keys(name, SignatureType::ED25519);
        let first = keys(&store, "chat").expect("can be stored");
        assert_eq!(keys(&store, "chat"), Ok(first.clone()));
        assert_ne!(keys(&store, "files"), Ok(first.clone()));
        let again = KeyStore::open(Some(&file)).expect("can be read");
        assert_eq!(keys(&again, "chat"), Ok(first));
        assert_eq!(eepkit_files::mode_open_to_others(&file), None);
    }

    #[test]
    fn a_file_of_java_is_read_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().expect("can be created");
        let file = dir.path().join("sam.keys");
        let java = PrivateKeys::generate(SignatureType::DSA_SHA1, &mut rand::rng());
        let java = java.expect("can be made");
        let text = format!("# comment\nmouse={}\n", &*java.to_base64());
        std::fs::write(&file, text).expect("can be written");
        let store = KeyStore::open(Some(&file)).expect("can be read");
        assert_eq!(store.keys("mouse", SignatureType::ED25519), Ok(java));
        std::fs::write(&file, "mouse=AAAA\n").expect("can be written");
        let error = KeyStore::open(Some(&file)).expect_err("no key").to_string();
        assert!(
            error.ends_with("the value of \"mouse\" is not a private key"),
            "{error}"
        );
    }

    #[test]
    fn keys_that_cannot_be_stored_are_not_used() {
        let file = Path::new("/dev/null/sam.keys");
        let store = KeyStore {
            file: Some(file.to_owned()),
            keys: Mutex::default(),
        };
        let failure = store
            .keys("chat", SignatureType::ED25519)
            .expect_err("no file");
        assert_eq!(
            failure.message,
            "the bridge cannot store the keys of this name"
        );
        assert!(store.keys.lock().expect("no panic").is_empty());
    }

    #[test]
    fn the_number_of_names_is_limited() {
        let store = KeyStore::open(None).expect("without a file");
        let full = (0..MAX_NAMES).map(|at| (at.to_string(), Zeroizing::default()));
        store.keys.lock().expect("no panic").extend(full);
        let failure = store
            .keys("chat", SignatureType::ED25519)
            .expect_err("full");
        assert_eq!(
            failure.message,
            "the bridge has the keys of 1024 names, which is the most"
        );
    }
}
