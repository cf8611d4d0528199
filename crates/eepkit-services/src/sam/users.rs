//! Who may use a bridge.

mod java;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use eepkit_sam::{
    Failure,
    server::{Answer, AuthChange, Secret},
};
use java::JavaHash;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::debug;

use super::{
    connection::Done,
    shared::{Shared, lock},
};

/// Users and the hashes of their passwords, perhaps kept in a file.
///
/// The file is JSON, readable for its owner only; each change is saved at once, and a crash leaves
/// the old file or the new one. Hashes are Argon2id, with a salt each; those that came from Java I2P
/// become so when their user connects for the first time.
#[derive(Clone, Default)]
pub struct Users {
    file: Option<PathBuf>,
    table: Table,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Whether clients need a name and a password.
    required: bool,
    users: BTreeMap<String, String>,
}

impl Users {
    /// No users, and none needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The users of a file, or none where there is no such file yet.
    ///
    /// # Errors
    ///
    /// [`UsersError`] when the file cannot be read.
    pub fn load(file: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let file = file.into();
        let table = match fs::read(&file) {
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

    /// Whether clients need a name and a password.
    pub fn is_required(&self) -> bool {
        self.table.required
    }

    /// Says whether clients need a name and a password.
    ///
    /// # Errors
    ///
    /// [`UserError::Save`]; then nothing changes.
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
    /// [`UserError`] when the user is there already, there are [`Users::MAX`], or the file cannot
    /// be written.
    pub fn add(&mut self, user: &str, password: &str) -> Result<(), UserError> {
        self.insert(user, || hash(password))
    }

    /// Adds a user with the salted hash that Java I2P keeps of the password in `sam.config`, as
    /// `sam.auth.USER.shash`: base64 of 16 bytes of salt and 32 bytes of hash.
    ///
    /// # Errors
    ///
    /// [`UserError`] as for [`Users::add`], and when the text is no such hash.
    pub fn add_from_java(&mut self, user: &str, shash: &str) -> Result<(), UserError> {
        self.insert(user, || match JavaHash::parse(shash) {
            Some(_) => Ok(format!("{FROM_JAVA}{shash}")),
            None => Err(UserError::NoHash),
        })
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// [`UserError`] when there is no such user, or the file cannot be written.
    pub fn remove(&mut self, user: &str) -> Result<(), UserError> {
        self.change(|table| {
            let removed = table.users.remove(user);
            removed.map(drop).ok_or(UserError::Unknown)
        })
    }

    /// Whether a user has this password. It takes some milliseconds, and as long for users that do
    /// not exist.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.table.users.get(user);
        let from_java = known.and_then(|hash| hash.strip_prefix(FROM_JAVA));
        let hash = match (known, from_java) {
            (Some(hash), None) => hash,
            _ => NOBODY,
        };
        let right = PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        match from_java {
            Some(hash) => JavaHash::parse(hash).is_some_and(|hash| hash.is_of(password)),
            None => known.is_some() && right,
        }
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.table.users.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.table.users.is_empty()
    }

    /// The most users. Chosen far above what one machine serves.
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

    /// Whether the hash of a user's password is one of Java I2P.
    fn is_from_java(&self, user: &str) -> bool {
        let hash = self.table.users.get(user);
        hash.is_some_and(|hash| hash.starts_with(FROM_JAVA))
    }

    /// Replaces the hash that a password was found right by, if it is still the one that `seen` has.
    fn renew(&mut self, seen: &Self, user: &str, password: &str) -> Result<(), UserError> {
        if self.table.users.get(user) != seen.table.users.get(user) {
            return Ok(());
        }
        let hash = hash(password)?;
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

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("required", &self.table.required)
            .field("users", &self.table.users.len())
            .finish_non_exhaustive()
    }
}

fn hash(password: &str) -> Result<String, UserError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| UserError::Hash)
}

/// Writes a file that only its owner can read, whole or not at all.
fn save(file: &Path, table: &Table) -> io::Result<()> {
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut temporary, table)?;
    temporary.write_all(b"\n")?;
    temporary.as_file().sync_all()?;
    temporary.persist(file)?;
    Ok(())
}

/// Checks a name and a password, away from the executor.
pub(super) async fn authenticate(shared: Arc<Shared>, user: String, password: Secret) -> Done {
    let Ok(permit) = shared.hashing.clone().acquire_owned().await else {
        return Answer::Authenticated(false).into();
    };
    let right = spawn_blocking(move || {
        let users = lock(&shared.users).clone();
        let right = users.verify(&user, &password.0);
        if right
            && users.is_from_java(&user)
            && let Err(error) = lock(&shared.users).renew(&users, &user, &password.0)
        {
            debug!(%error, "kept the old hash of a user's password");
        }
        drop(permit);
        right
    })
    .await;
    Answer::Authenticated(right.unwrap_or(false)).into()
}

/// Changes who may use the bridge, away from the executor.
pub(super) async fn change(shared: Arc<Shared>, change: AuthChange) -> Done {
    let Ok(permit) = shared.hashing.clone().acquire_owned().await else {
        return Answer::AuthChanged(Err(Failure::error("the bridge stops"))).into();
    };
    let changed = spawn_blocking(move || {
        let mut users = lock(&shared.users);
        let changed = match &change {
            AuthChange::Enable if users.is_empty() => Err(UserError::Nobody),
            AuthChange::Enable => users.set_required(true),
            AuthChange::Disable => users.set_required(false),
            AuthChange::Add { user, password } => users.add(user, &password.0),
            AuthChange::Remove { user } => users.remove(user),
            _ => Err(UserError::Unknown),
        };
        shared.directory().set_auth_required(users.is_required());
        drop(permit);
        changed
    })
    .await;
    let result = match changed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::error(error.to_string())),
        Err(_) => Err(Failure::error("the change failed")),
    };
    Answer::AuthChanged(result).into()
}

/// Why the file of users cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// It cannot be read.
    #[error("cannot read {file}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It does not hold users.
    #[error("{file} does not hold users")]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Why a change of the users is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The user is there already.
    #[error("the user is there already")]
    Exists,
    /// There is no such user.
    #[error("there is no such user")]
    Unknown,
    /// Passwords cannot be needed where nobody has one.
    #[error("add a user first, or nobody could connect any more")]
    Nobody,
    /// There are as many users as there can be.
    #[error("there are {} users already", Users::MAX)]
    TooMany,
    /// The password cannot be hashed.
    #[error("the password cannot be used")]
    Hash,
    /// The text is no salted hash of Java I2P.
    #[error("this is no salted hash as Java I2P keeps it")]
    NoHash,
    /// The file cannot be written.
    #[error("the file of users cannot be written")]
    Save(#[source] io::Error),
}

/// What stands before a hash that came from Java I2P.
const FROM_JAVA: &str = "$i2p-shash$";

/// A hash that no password has, so that a wrong name takes as long as a wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_survive_in_their_file_and_passwords_do_not() {
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

    /// That of the password `sésame`.
    const SHASH: &str = "AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM";

    #[test]
    fn users_of_java_keep_their_passwords_and_get_better_hashes() {
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
        // What was changed meanwhile is not changed back.
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
    fn a_user_is_added_once_and_removed_once() {
        let mut users = Users::new();
        users.add("foo", "a").expect("added");
        assert!(matches!(users.add("foo", "b"), Err(UserError::Exists)));
        assert!(users.verify("foo", "a"));
        users.remove("foo").expect("removed");
        assert!(matches!(users.remove("foo"), Err(UserError::Unknown)));
        assert!(users.is_empty());
    }

    #[test]
    fn a_change_that_cannot_be_saved_is_not_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut users = Users::load(dir.path().join("gone").join("users.json")).expect("none yet");
        assert!(matches!(users.add("foo", "a"), Err(UserError::Save(_))));
        assert!(users.is_empty());
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("users.json");
        fs::write(&file, "{\"users\":[]}").expect("written");
        assert!(matches!(
            Users::load(&file),
            Err(UsersError::Content { .. })
        ));
    }
}
