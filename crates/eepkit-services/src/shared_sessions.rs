//! The sessions of tunnels. Several tunnels of one program can use one session.
//!
//! Tunnels share a session if they have the same destination, which is that of their key file, or if
//! they name the same group.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use eepkit::{
    Destination, Hash, KeyFileError, OpenError, Options, Preset, PrivateKeys, Router, Session,
    SessionStage,
};
use tracing::{info, warn};

use crate::{files, options::SessionOptions};

/// The shared sessions of one program.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedSessions(Arc<Mutex<HashMap<Key, Entry>>>);

/// What tunnels with one session have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Destination(Hash),
    Group(String),
}

#[derive(Debug)]
struct Entry {
    inner: Arc<Inner>,
    tunnels: usize,
}

/// How a session is opened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionPlan {
    /// The name of the session in the router's console.
    pub(crate) nickname: String,
    /// The private key file, which is created if it does not exist. Without one the destination is
    /// new at each start.
    pub(crate) keys: Option<PathBuf>,
    /// The group of tunnels that share the session.
    pub(crate) group: Option<String>,
    pub(crate) preset: Preset,
    pub(crate) options: SessionOptions,
    /// Whether a session that was closed because it was idle comes back with a new destination.
    pub(crate) new_keys: bool,
}

/// A session that one tunnel uses, perhaps together with others.
#[derive(Debug)]
pub(crate) struct SharedSession {
    registry: SharedSessions,
    /// `None` if no other tunnel can use the session.
    key: Option<Key>,
    inner: Arc<Inner>,
    released: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    /// `None` for a session that somebody else has opened and closes.
    origin: Option<(Router, SessionPlan)>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    session: Session,
    /// Whether the session was used before.
    used: bool,
    /// Held by each use.
    in_use: Arc<()>,
}

/// A use of a session. The session keeps its destination as long as the value exists.
#[derive(Debug, Clone)]
pub(crate) struct SessionUse {
    session: Session,
    in_use: Arc<()>,
}

impl SessionUse {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The session, and what keeps it in use.
    pub(crate) fn into_parts(self) -> (Session, Arc<()>) {
        (self.session, self.in_use)
    }
}

impl SharedSessions {
    /// Opens a session, or joins the one that another tunnel has opened for the same destination or
    /// group. The session need not be ready.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the key file or an option cannot be used.
    pub(crate) fn open(
        &self,
        router: &Router,
        plan: SessionPlan,
    ) -> Result<SharedSession, OpenError> {
        let keys = plan
            .keys
            .as_deref()
            .map(|file| load_or_create(file, &plan.options))
            .transpose()?;
        let key = match (&keys, &plan.group) {
            (Some(keys), _) => Some(Key::Destination(keys.destination().hash())),
            (None, Some(group)) => Some(Key::Group(group.clone())),
            (None, None) => None,
        };
        let mut entries = self.lock();
        if let Some(key) = &key
            && let Some(entry) = entries.get_mut(key)
        {
            entry.tunnels += 1;
            if let Some((_, first)) = &entry.inner.origin
                && (first.preset, &first.options) != (plan.preset, &plan.options)
            {
                warn!(
                    tunnel = plan.nickname,
                    first = first.nickname,
                    "shares the session of another tunnel, whose options apply"
                );
            }
            return Ok(self.joined(Some(key.clone()), entry.inner.clone()));
        }
        let session = start(router, &plan, keys.as_ref())?;
        let inner = Inner::new(Some((router.clone(), plan)), session);
        if let Some(key) = &key {
            let entry = Entry {
                inner: inner.clone(),
                tunnels: 1,
            };
            entries.insert(key.clone(), entry);
        }
        Ok(self.joined(key, inner))
    }

    fn joined(&self, key: Option<Key>, inner: Arc<Inner>) -> SharedSession {
        SharedSession {
            registry: self.clone(),
            key,
            inner,
            released: AtomicBool::new(false),
        }
    }

    /// A panic while the lock is held leaves the table consistent: each change is one insertion or
    /// removal.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedSession {
    /// A session that the caller has opened, and closes.
    pub(crate) fn of(session: Session) -> Self {
        SharedSessions::default().joined(None, Inner::new(None, session))
    }

    /// The session for a new use. A session that was closed because it was idle is replaced by one
    /// with a new destination, if the plan says so.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the new session cannot be started.
    pub(crate) fn get(&self) -> Result<SessionUse, OpenError> {
        let mut current = self.inner.lock();
        if let Some((router, plan)) = &self.inner.origin
            && plan.new_keys
            && current.used
            && Arc::strong_count(&current.in_use) == 1
            && current.session.status().stage() == SessionStage::Idle
        {
            current.session = start(router, plan, None)?;
            info!(
                tunnel = plan.nickname,
                "comes back from being idle with a new destination"
            );
        }
        current.used = true;
        Ok(SessionUse {
            session: current.session.clone(),
            in_use: current.in_use.clone(),
        })
    }

    /// The current session, for listeners and the status.
    pub(crate) fn session(&self) -> Session {
        self.inner.lock().session.clone()
    }

    /// The current destination.
    pub(crate) fn destination(&self) -> Destination {
        self.session().destination().clone()
    }

    /// Ends the use of this tunnel. Closes the session if no other tunnel uses it.
    pub(crate) async fn release(&self) {
        if self.leave() && self.inner.origin.is_some() {
            self.session().close().await;
        }
    }

    /// Whether no other tunnel uses the session.
    fn leave(&self) -> bool {
        if self.released.swap(true, Ordering::SeqCst) {
            return false;
        }
        let Some(key) = &self.key else {
            return true;
        };
        let mut entries = self.registry.lock();
        let Some(entry) = entries.get_mut(key) else {
            return true;
        };
        entry.tunnels -= 1;
        let is_last = entry.tunnels == 0;
        if is_last {
            entries.remove(key);
        }
        is_last
    }
}

impl Drop for SharedSession {
    /// The session closes in the background with its last handle.
    fn drop(&mut self) {
        self.leave();
    }
}

impl Inner {
    fn new(origin: Option<(Router, SessionPlan)>, session: Session) -> Arc<Self> {
        Arc::new(Self {
            origin,
            current: Mutex::new(Current {
                session,
                used: false,
                in_use: Arc::new(()),
            }),
        })
    }

    /// A panic while the lock is held leaves the value consistent: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(
    router: &Router,
    plan: &SessionPlan,
    keys: Option<&PrivateKeys>,
) -> Result<Session, OpenError> {
    let mut builder = router
        .session()
        .preset(plan.preset)
        .nickname(&plan.nickname);
    for (key, value) in plan.options.iter() {
        builder = builder.option(key, value);
    }
    if let Some(keys) = keys {
        builder = builder.keys(keys.clone());
    }
    builder.start()
}

/// Reads a private key file, or creates it with a new destination.
fn load_or_create(file: &Path, options: &SessionOptions) -> Result<PrivateKeys, OpenError> {
    let mut parsed = Options::new();
    for (key, value) in options.iter() {
        // The session reports an invalid option.
        let _ = parsed.set(key, value);
    }
    let loaded = PrivateKeys::load_or_create(file, parsed.signature_type(), &mut rand::rng());
    let (keys, is_new) = loaded.map_err(|error| key_file_error(file, error))?;
    if is_new {
        info!(file = %file.display(), "made a new destination and wrote it there");
    }
    files::warn_if_open_to_others(file);
    Ok(keys)
}

/// Checks that a private key file can be used, without creating it.
///
/// # Errors
///
/// [`OpenError::KeyFile`] if it exists and cannot be used.
pub(crate) fn check_keys(file: &Path) -> Result<(), OpenError> {
    match PrivateKeys::load(file) {
        Err(error) if !error.is_not_found() => Err(key_file_error(file, error)),
        _ => Ok(()),
    }
}

fn key_file_error(file: &Path, error: KeyFileError) -> OpenError {
    OpenError::KeyFile {
        path: file.display().to_string(),
        source: Arc::new(error),
    }
}
