//! Subsessions: other destinations over the tunnels of a session.

use std::{fmt, sync::Arc};

use eepkit_link::{BoxFuture, Connector, Link, LinkError, Setup};
use tokio::time::Instant;

use crate::{
    builder::SessionBuilder, router::Router, session::Session, shared::Handle, stage::SessionStage,
};

impl Session {
    /// Begins another session with a destination of its own, over the tunnels of this one: peers see
    /// two destinations, the router builds tunnels once. For a program that wants keys of another
    /// type beside its own, say.
    ///
    /// It has the options of this session unless told otherwise, and the same encryption keys, by
    /// which **peers can tell that the two belong together**. It is lost and comes back with this
    /// session, and keeps it open.
    ///
    /// Only Java I2P has this (API 0.9.21), and only where the router is known to be one: from API 0.9.62
    /// on it is recognised, and older ones where it is said
    /// ([`I2cpRouter::kind`](crate::I2cpRouter::kind)). i2pd would lose this session when it is asked. Elsewhere opening fails with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn subsession(&self) -> SessionBuilder {
        let shared = &self.handle.shared;
        let router = Router::new(Subsessions {
            handle: self.handle.clone(),
        });
        router
            .session()
            .options(&shared.config.options)
            .option("i2cp.leaseSetPrivateKey", shared.encryption_keys.expose())
    }
}

/// A session as the router of its subsessions. It stays open as long as one of them does.
struct Subsessions {
    handle: Arc<Handle>,
}

impl Connector for Subsessions {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let shared = self.handle.shared.clone();
        Box::pin(async move {
            let limit = setup.timeout;
            let deadline = Instant::now() + limit;
            // Routers take subsessions once the session itself is open.
            let status = shared.watch().reached(SessionStage::Ready, limit).await;
            match status.stage() {
                SessionStage::Ready => {}
                stage if stage.is_over() => return Err(LinkError::Stopped),
                _ => return Err(LinkError::Timeout(limit)),
            }
            let connector = shared.lock("subsession").subsessions();
            let Some(connector) = connector else {
                let why = "only routers over I2CP have subsessions";
                return Err(LinkError::Unsupported(why));
            };
            let timeout = deadline.saturating_duration_since(Instant::now());
            connector.open(Setup { timeout, ..setup }).await
        })
    }

    fn name(&self) -> String {
        format!("session {}", self.handle.shared.keys.destination())
    }
}

impl fmt::Debug for Subsessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsessions")
            .field("of", self.handle.shared.keys.destination())
            .finish()
    }
}
