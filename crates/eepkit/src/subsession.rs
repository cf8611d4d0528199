//! Subsessions: other destinations over the tunnels of a session.

use std::{fmt, sync::Arc};

use eepkit_link::{BoxFuture, Connector, Link, LinkError, Setup};
use tokio::time::Instant;

use crate::{builder::SessionBuilder, router::Router, shared::Handle, stage::SessionStage};

/// Begins a subsession; see [`crate::Session::subsession`].
pub(crate) fn begin(handle: &Arc<Handle>) -> SessionBuilder {
    let shared = &handle.shared;
    let router = Router::new(Subsessions {
        handle: handle.clone(),
    });
    router
        .session()
        .options(&shared.config.options)
        .option("i2cp.leaseSetPrivateKey", shared.encryption_keys.expose())
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
            let connector = shared.lock().subsessions.clone();
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
