//! Subsessions: additional destinations that share the tunnels of a session.

use std::{fmt, sync::Arc};

use eepkit_link::{BoxFuture, Connector, Link, LinkError, Setup};
use tokio::time::Instant;

use crate::{
    builder::SessionBuilder, router::Router, session::Session, shared::Handle, stage::SessionStage,
};

impl Session {
    /// Returns a builder of another session, with its own destination, that shares the tunnels of
    /// this session. The router builds the tunnels once. One use is a second destination with keys
    /// of another type.
    ///
    /// The builder starts with the options of this session. Both sessions have the same encryption
    /// keys, so **peers can detect that the two destinations belong together**. The subsession is
    /// lost and restored with this session, and keeps it open.
    ///
    /// Only Java I2P supports subsessions (API 0.9.21). Java I2P is detected from API 0.9.62 on.
    /// For older versions, the program must set the kind of the router
    /// ([`I2cpRouter::kind`](crate::I2cpRouter::kind)). No request is sent to other routers,
    /// because i2pd would end this session. Opening a subsession there fails with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn subsession(&self) -> SessionBuilder {
        let shared = &self.handle.shared;
        let router = Router::new(Subsessions {
            handle: self.handle.clone(),
            _in_use: shared.idle.hold(),
        });
        router.session().options(&shared.config.options).option(
            "i2cp.leaseSetPrivateKey",
            shared.encryption_keys.share().as_str(),
        )
    }
}

/// A session as the connector of its subsessions. It holds a handle, so that the session stays open
/// while a subsession exists.
struct Subsessions {
    handle: Arc<Handle>,
    /// Messages of subsessions pass the session by.
    _in_use: Arc<()>,
}

impl Connector for Subsessions {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let shared = self.handle.shared.clone();
        Box::pin(async move {
            let limit = setup.timeout;
            let deadline = Instant::now() + limit;
            // Routers accept a subsession only after the session itself is open.
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
