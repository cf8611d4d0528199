//! Users of services and their passwords.

#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod fuzzing;
mod java;
mod password;

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit_wire::Zeroizing;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::debug;

use self::{
    java::{JavaDigest, JavaHash},
    password::Hasher,
};
use crate::files;

/// Users and the hashes of their passwords, stored in a file or only in memory.
///
/// The file is JSON, and only its owner can read it. Each change is saved immediately. After a
/// crash the file has the old or the new content. Hashes are Argon2id with one salt each. A hash
/// imported from Java I2P is replaced by an Argon2id hash when its user logs in for the first time.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    file: Option<PathBuf>,
    table: Table,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Whether clients need a name and a password.
    required: bool,
    users: BTreeMap<String, String>,
}

impl Users {
    /// Creates a table without users in memory. No password is required.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the users of a file. A file that does not exist is an empty table.
    ///
    /// # Errors
    ///
    /// [`UsersError`] if the file cannot be read.
    pub fn load(file: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let file = file.into();
        files::warn_if_open_to_others(&file);
        let table = match files::read(&file, MAX_FILE) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| UsersError::Content {
                file: file.clone(),
                source,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Table::default(),
            Err(source) => return Err(UsersError::File { file, source }),
        };
        Ok(Self {
            file: Some(file),
            table,
        })
    }

    /// Writes the users to a file, which is replaced if it exists. Later changes are saved there.
    ///
    /// # Errors
    ///
    /// [`UserError::Save`]; the file is then unchanged.
    pub fn save_as(&mut self, file: impl Into<PathBuf>) -> Result<(), UserError> {
        let file = file.into();
        save(&file, &self.table).map_err(UserError::Save)?;
        self.file = Some(file);
        Ok(())
    }

    /// Whether clients need a name and a password.
    pub fn is_required(&self) -> bool {
        self.table.required
    }

    /// Sets whether clients need a name and a password.
    ///
    /// # Errors
    ///
    /// [`UserError::Save`]; the change is then not made.
    pub fn set_required(&mut self, required: bool) -> Result<(), UserError> {
        self.change(|table| {
            table.required = required;
            Ok(())
        })
    }

    /// Adds a user.
    ///
    /// # Errors
    ///
    /// [`UserError`] if the user exists already, if there are [`Users::MAX`] users, or if the file
    /// cannot be written.
    pub fn add(&mut self, user: &str, password: &str) -> Result<(), UserError> {
        self.insert(user, || password::hash(password))
    }

    /// Sets another password of a user.
    ///
    /// # Errors
    ///
    /// [`UserError`] if the user does not exist, or if the file cannot be written.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<(), UserError> {
        let hash = password::hash(password)?;
        self.change(|table| {
            let stored = table.users.get_mut(user).ok_or(UserError::Unknown)?;
            *stored = hash;
            Ok(())
        })
    }

    /// Adds a user with the salted hash that Java I2P stores in `sam.config` as
    /// `sam.auth.USER.shash`: base64 of 16 bytes of salt and 32 bytes of hash.
    ///
    /// # Errors
    ///
    /// [`UserError`] as for [`Users::add`], and if the text is not such a hash.
    pub fn add_from_java(&mut self, user: &str, shash: &str) -> Result<(), UserError> {
        self.insert(user, || match JavaHash::parse(shash) {
            Some(_) => Ok(format!("{FROM_JAVA}{shash}")),
            None => Err(UserError::NoHash),
        })
    }

    /// Adds a user with the digest that Java I2P stores in `i2ptunnel.config` as
    /// `proxy.auth.USER.sha256`: SHA-256 of the name, the realm and the password, in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`UserError`] as for [`Users::add`], and if the text is not such a digest.
    pub fn add_from_java_proxy(
        &mut self,
        user: &str,
        realm: &str,
        sha256: &str,
    ) -> Result<(), UserError> {
        let stored = format!("{sha256}${realm}");
        self.insert(user, || match JavaDigest::parse(&stored) {
            Some(_) => Ok(format!("{FROM_JAVA_PROXY}{stored}")),
            None => Err(UserError::NoHash),
        })
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// [`UserError`] if the user does not exist, or if the file cannot be written.
    pub fn remove(&mut self, user: &str) -> Result<(), UserError> {
        self.change(|table| {
            let removed = table.users.remove(user);
            removed.map(drop).ok_or(UserError::Unknown)
        })
    }

    /// Whether a user has this password. Verification takes some milliseconds of CPU time and 19
    /// MiB of memory. It takes the same for users that do not exist.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        self.verify_with(&Hasher::default(), user, password)
    }

    fn verify_with(&self, hasher: &Hasher, user: &str, password: &str) -> bool {
        let known = self.table.users.get(user);
        let stored = known.map_or(Stored::Argon2(NOBODY), |hash| Stored::of(hash));
        let hash = match stored {
            Stored::Argon2(hash) => hash,
            _ => NOBODY,
        };
        let right = hasher.verify(password, hash);
        match stored {
            Stored::Java(hash) => JavaHash::parse(hash).is_some_and(|hash| hash.is_of(password)),
            Stored::JavaProxy(digest) => {
                JavaDigest::parse(digest).is_some_and(|digest| digest.is_of(user, password))
            }
            Stored::Argon2(_) => known.is_some() && right,
        }
    }

    /// The names of the users, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.users.keys().map(String::as_str)
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.table.users.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.table.users.is_empty()
    }

    /// The maximum number of users. Chosen far above what one machine serves.
    pub const MAX: usize = 1024;

    fn insert(
        &mut self,
        user: &str,
        hash: impl FnOnce() -> Result<String, UserError>,
    ) -> Result<(), UserError> {
        if self.table.users.contains_key(user) {
            return Err(UserError::Exists);
        }
        if self.table.users.len() >= Self::MAX {
            return Err(UserError::TooMany);
        }
        let hash = hash()?;
        self.change(|table| {
            table.users.insert(user.to_owned(), hash);
            Ok(())
        })
    }

    /// Whether the hash of a user's password is in the format of Java I2P.
    fn is_from_java(&self, user: &str) -> bool {
        let hash = self.table.users.get(user);
        hash.is_some_and(|hash| !matches!(Stored::of(hash), Stored::Argon2(_)))
    }

    /// Replaces the hash with which a password was verified, if it is still the hash in `seen`.
    fn renew(&mut self, seen: &Self, user: &str, password: &str) -> Result<(), UserError> {
        if self.table.users.get(user) != seen.table.users.get(user) {
            return Ok(());
        }
        let hash = password::hash(password)?;
        self.change(|table| {
            table.users.insert(user.to_owned(), hash);
            Ok(())
        })
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut Table) -> Result<(), UserError>,
    ) -> Result<(), UserError> {
        let mut table = self.table.clone();
        change(&mut table)?;
        if let Some(file) = &self.file {
            save(file, &table).map_err(UserError::Save)?;
        }
        self.table = table;
        Ok(())
    }
}

/// The hash of a password, as it is stored.
#[derive(Debug, Clone, Copy)]
enum Stored<'a> {
    Argon2(&'a str),
    /// Of a router's users.
    Java(&'a str),
    /// Of the users of a proxy.
    JavaProxy(&'a str),
}

impl<'a> Stored<'a> {
    fn of(text: &'a str) -> Self {
        if let Some(hash) = text.strip_prefix(FROM_JAVA) {
            return Self::Java(hash);
        }
        match text.strip_prefix(FROM_JAVA_PROXY) {
            Some(digest) => Self::JavaProxy(digest),
            None => Self::Argon2(text),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("required", &self.table.required)
            .field("users", &self.table.users.len())
            .finish_non_exhaustive()
    }
}

/// Writes a file that only its owner can read. After a crash the file has the old or the new
/// content.
fn save(file: &Path, table: &Table) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(table)?;
    text.push(b'\n');
    eepkit_files::replace(file, &text)
}

/// The users of a running service. Passwords are verified on separate threads, a few at a time,
/// with reused memory.
#[derive(Debug)]
pub struct Gate {
    users: Mutex<Users>,
    hasher: Hasher,
}

impl Gate {
    /// Creates a gate for these users.
    pub fn new(users: Users) -> Self {
        Self {
            users: Mutex::new(users),
            hasher: Hasher::default(),
        }
    }

    /// Whether clients need a name and a password.
    pub fn is_required(&self) -> bool {
        self.users().is_required()
    }

    /// Whether a user has this password.
    ///
    /// A correct password with a hash of Java I2P gets a stronger hash.
    pub async fn verify(self: &Arc<Self>, user: String, password: Password) -> bool {
        let Some(permit) = self.hasher.permit().await else {
            return false;
        };
        let gate = self.clone();
        let verifying = spawn_blocking(move || {
            let users = gate.users().clone();
            let right = users.verify_with(&gate.hasher, &user, &password.0);
            if right
                && users.is_from_java(&user)
                && let Err(error) = gate.users().renew(&users, &user, &password.0)
            {
                debug!(%error, "kept the old hash of a user's password");
            }
            drop(permit);
            right
        });
        verifying.await.unwrap_or(false)
    }

    /// Makes a change, and returns whether a name and a password are required afterwards.
    ///
    /// # Errors
    ///
    /// [`UserError`]; the change is then not made.
    pub async fn change(self: &Arc<Self>, change: Change) -> Result<bool, UserError> {
        let Some(permit) = self.hasher.permit().await else {
            return Err(UserError::Hash);
        };
        let gate = self.clone();
        let changing = spawn_blocking(move || {
            let mut users = gate.users();
            let changed = match change {
                Change::Require(true) if users.is_empty() => Err(UserError::Nobody),
                Change::Require(required) => users.set_required(required),
                Change::Add(user, password) => users.add(&user, &password.0),
                Change::Remove(user) => users.remove(&user),
            };
            drop(permit);
            changed.map(|()| users.is_required())
        });
        // The log reports a panic. The client only learns that the change failed.
        changing.await.unwrap_or(Err(UserError::Hash))
    }

    /// Replaces the users.
    pub fn replace(&self, users: Users) {
        *self.users() = users;
    }

    /// A panic while the lock is held leaves the table consistent, because a change replaces it as
    /// a whole.
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A password. Debug output omits it, and its memory is zeroed when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl From<Zeroizing<String>> for Password {
    fn from(password: Zeroizing<String>) -> Self {
        Self(password)
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A change of [`Users`].
#[derive(Debug, Clone)]
pub enum Change {
    /// Whether clients need a name and a password.
    Require(bool),
    /// Adds a user.
    Add(String, Password),
    /// Removes a user.
    Remove(String),
}

/// The reason why a file of users cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    #[error("cannot read {file}")]
    File {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The content is not a list of users.
    #[error("{file} does not hold users")]
    Content {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// The reason why a change of users is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The user exists already.
    #[error("the user is there already")]
    Exists,
    /// The user does not exist.
    #[error("there is no such user")]
    Unknown,
    /// Passwords cannot be required while there are no users.
    #[error("add a user first, or nobody could connect any more")]
    Nobody,
    /// The table already contains [`Users::MAX`] users.
    #[error("there are {} users already", Users::MAX)]
    TooMany,
    /// The password cannot be hashed.
    #[error("the password cannot be used")]
    Hash,
    /// The text is not a hash of Java I2P.
    #[error("this is not a hash as Java I2P keeps it")]
    NoHash,
    /// The file cannot be written.
    #[error("the file of users cannot be written")]
    Save(#[source] io::Error),
}

/// The prefix of a hash imported from Java I2P.
const FROM_JAVA: &str = "$i2p-shash$";
/// The prefix of a digest imported from a proxy of Java I2P.
const FROM_JAVA_PROXY: &str = "$i2p-proxy$";

/// The largest file of users. Chosen as four times the size with [`Users::MAX`] users.
const MAX_FILE: usize = 1 << 20;

/// A hash that matches no password, so that verifying an unknown name takes as long as verifying a
/// wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_contains_users_but_no_passwords() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        let mut users = Users::load(&file).expect("no file is no error");
        assert!(!users.is_required());
        users.add("foo", "secret").expect("added");
        users.set_required(true).expect("saved");

        let text = fs::read_to_string(&file).expect("it is there");
        assert!(!text.contains("secret"), "{text}");
        let users = Users::load(&file).expect("it was saved");
        assert!(users.is_required());
        assert!(users.verify("foo", "secret"));
        assert!(!users.verify("foo", "Secret"));
        assert!(!users.verify("bar", "secret"));
        assert!(!users.verify("bar", ""));
    }

    /// The hash of the password `sésame`.
    const SHASH: &str = "AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM";

    #[test]
    fn imported_users_keep_their_passwords_and_get_stronger_hashes() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        let mut users = Users::load(&file).expect("no file is no error");
        users.add_from_java("foo", SHASH).expect("a hash");
        assert!(matches!(
            users.add_from_java("foo", SHASH),
            Err(UserError::Exists)
        ));
        assert!(matches!(
            users.add_from_java("bar", "c2VzYW1l"),
            Err(UserError::NoHash)
        ));
        let mut users = Users::load(&file).expect("it was saved");
        assert!(users.verify("foo", "sésame"));
        assert!(!users.verify("foo", "sesame"));
        assert!(!users.verify("foo", SHASH));
        assert!(users.is_from_java("foo"));

        let seen = users.clone();
        users.renew(&seen, "foo", "sésame").expect("saved");
        let mut users = Users::load(&file).expect("it was saved");
        assert!(!users.is_from_java("foo"));
        assert!(users.verify("foo", "sésame"));
        assert!(!users.verify("foo", "sesame"));
        // An intermediate change is not reverted.
        users.renew(&seen, "foo", "old").expect("nothing to do");
        assert!(users.verify("foo", "sésame"));
        users.remove("foo").expect("removed");
        users.renew(&seen, "foo", "sésame").expect("nothing to do");
        assert!(users.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        let mut users = Users::load(&file).expect("no file is no error");
        users.add("foo", "secret").expect("added");
        let mode = fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn users_cannot_be_added_or_removed_twice() {
        let mut users = Users::new();
        users.add("foo", "a").expect("added");
        assert!(matches!(users.add("foo", "b"), Err(UserError::Exists)));
        assert!(users.verify("foo", "a"));
        users.remove("foo").expect("removed");
        assert!(matches!(users.remove("foo"), Err(UserError::Unknown)));
        assert!(users.is_empty());
    }

    #[test]
    fn a_change_that_cannot_be_saved_has_no_effect() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut users = Users::load(dir.path().join("gone").join("users.json")).expect("none yet");
        assert!(matches!(users.add("foo", "a"), Err(UserError::Save(_))));
        assert!(users.is_empty());
    }

    #[test]
    fn a_file_with_other_content_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        fs::write(&file, "{\"users\":[]}").expect("written");
        assert!(matches!(
            Users::load(&file),
            Err(UsersError::Content { .. })
        ));
    }

    #[tokio::test]
    async fn a_gate_accepts_the_right_password_and_saves_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        let gate = Arc::new(Gate::new(Users::load(&file).expect("none yet")));
        let password = |text: &str| Password::from(text.to_owned());
        assert!(matches!(
            gate.change(Change::Require(true)).await,
            Err(UserError::Nobody)
        ));
        let add = Change::Add("foo".to_owned(), password("secret"));
        assert!(matches!(gate.change(add).await, Ok(false)));
        assert!(matches!(gate.change(Change::Require(true)).await, Ok(true)));
        assert!(gate.verify("foo".to_owned(), password("secret")).await);
        assert!(!gate.verify("foo".to_owned(), password("wrong")).await);
        assert!(!gate.verify("bar".to_owned(), password("secret")).await);
        assert_eq!(Users::load(&file).expect("saved").len(), 1);
        assert_eq!(format!("{:?}", password("secret")), "Password(..)");
    }

    #[test]
    fn after_a_fault_at_any_point_a_file_has_the_users_before_or_after_the_change() {
        let runs = eepkit_files::faults::at_every_point(
            || {
                let dir = tempfile::tempdir().expect("a directory");
                let file = dir.path().join("users.json");
                let mut users = Users::new();
                users.set_required(true).expect("in memory");
                users.save_as(&file).expect("written");
                (dir, file)
            },
            |(_, file)| -> Result<Users, Box<dyn std::error::Error>> {
                let mut users = Users::load(file)?;
                users.set_required(false)?;
                Ok(users)
            },
            |(_, file), result, fault| {
                let found = Users::load(file).expect("never neither");
                if let Ok(users) = result {
                    assert_eq!(found.is_required(), users.is_required(), "{fault:?}");
                }
            },
        );
        assert!(runs > 40, "{runs}");
    }
}
