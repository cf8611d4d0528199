//! The sessions of a service through which local programs open streams.
//!
//! Programs share one session, and therefore one destination, unless they are isolated: each
//! [`IsolationKey`] has a session of its own, so that peers cannot link the users.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{ErrorKind, OpenError, Preset, Router, Session};
use tokio::time::Instant;
use tracing::debug;

use crate::{options::SessionOptions, shared_sessions::SharedSession};

/// What separates users. Two programs with different keys use different destinations.
pub(crate) type IsolationKey = Vec<u8>;

/// The sessions of one service.
pub(crate) struct ClientSessions {
    router: Router,
    nickname: String,
    options: SessionOptions,
    connect_timeout: Duration,
    /// The most isolated sessions.
    limit: usize,
    /// How long an unused isolated session stays open.
    idle: Duration,
    /// The session of users that are not isolated, if it is not one of the entries.
    common: Option<SharedSession>,
    entries: Mutex<HashMap<Option<IsolationKey>, Entry>>,
}

struct Entry {
    session: Session,
    /// Held by each user of the session.
    users: Arc<()>,
    last_used: Instant,
}

/// A session in use. It stays open as long as this value exists.
#[derive(Debug, Clone)]
pub(crate) struct ClientSession {
    session: Session,
    _in_use: Arc<()>,
}

impl ClientSession {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }
}

impl ClientSessions {
    pub(crate) fn new(router: Router, nickname: &str) -> Self {
        Self {
            router,
            nickname: nickname.to_owned(),
            options: SessionOptions::new(),
            connect_timeout: Duration::from_secs(60),
            limit: 1,
            idle: Duration::from_secs(600),
            common: None,
            entries: Mutex::default(),
        }
    }

    /// Sets the session of users that are not isolated.
    pub(crate) fn common(mut self, session: Option<SharedSession>) -> Self {
        self.common = session;
        self
    }

    /// Sets the options of all sessions.
    pub(crate) fn options(mut self, options: SessionOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the time limit for opening a stream. It includes the time until the session is ready.
    pub(crate) fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the most isolated sessions, and how long an unused one stays open.
    pub(crate) fn isolated(mut self, limit: usize, idle: Duration) -> Self {
        (self.limit, self.idle) = (limit, idle);
        self
    }

    /// The number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.lock().len() + usize::from(self.common.is_some())
    }

    /// The session for this key, or the common one. It is started if there is none. It need not be
    /// ready: a stream waits for it.
    ///
    /// # Errors
    ///
    /// [`SessionError`] if an option is invalid, or if all isolated sessions are in use.
    pub(crate) fn get(&self, key: Option<IsolationKey>) -> Result<ClientSession, SessionError> {
        if key.is_none()
            && let Some(common) = &self.common
        {
            let (session, in_use) = common.get()?.into_parts();
            return Ok(ClientSession {
                session,
                _in_use: in_use,
            });
        }
        let mut entries = self.lock();
        let now = Instant::now();
        if let Some(entry) = entries.get_mut(&key) {
            entry.last_used = now;
            return Ok(entry.use_it());
        }
        if key.is_some() && entries.keys().flatten().count() >= self.limit {
            let unused = entries
                .iter()
                .filter(|(key, entry)| key.is_some() && entry.is_unused())
                .min_by_key(|(_, entry)| entry.last_used)
                .map(|(key, _)| key.clone());
            let Some(unused) = unused else {
                return Err(SessionError::Limit(self.limit));
            };
            entries.remove(&unused);
        }
        let entry = Entry {
            session: self.start()?,
            users: Arc::new(()),
            last_used: now,
        };
        let session = entry.use_it();
        entries.insert(key, entry);
        Ok(session)
    }

    fn start(&self) -> Result<Session, OpenError> {
        let mut builder = self
            .router
            .session()
            .preset(Preset::Standard)
            .nickname(&self.nickname)
            .connect_timeout(self.connect_timeout);
        for (key, value) in self.options.iter() {
            builder = builder.option(key, value);
        }
        builder.start()
    }

    /// Closes isolated sessions that were not used for a while, at intervals, without end.
    pub(crate) async fn close_unused(&self) {
        loop {
            tokio::time::sleep(self.idle / 4).await;
            let unused: Vec<Session> = {
                let mut entries = self.lock();
                let mut unused = Vec::new();
                entries.retain(|key, entry| {
                    if !entry.is_unused() {
                        entry.last_used = Instant::now();
                    }
                    let is_kept = key.is_none() || entry.last_used.elapsed() < self.idle;
                    if !is_kept {
                        unused.push(entry.session.clone());
                    }
                    is_kept
                });
                unused
            };
            if !unused.is_empty() {
                debug!(count = unused.len(), "closes unused sessions");
            }
            for session in unused {
                session.close().await;
            }
        }
    }

    /// Closes all sessions.
    pub(crate) async fn close(&self) {
        let entries = std::mem::take(&mut *self.lock());
        for entry in entries.into_values() {
            entry.session.close().await;
        }
        if let Some(common) = &self.common {
            common.release().await;
        }
    }

    /// A panic while the lock is held leaves the table consistent: each change is one insertion or
    /// removal.
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IsolationKey>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn use_it(&self) -> ClientSession {
        ClientSession {
            session: self.session.clone(),
            _in_use: self.users.clone(),
        }
    }

    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

/// The reason why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// All isolated sessions are in use.
    #[error("{0} isolated users have connections, the most that the option max_sessions allows")]
    Limit(usize),
    /// The session cannot be started.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl SessionError {
    /// The coarse kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit(_) => ErrorKind::Limit,
            Self::Open(error) => error.kind(),
        }
    }
}
