//! The session with which a bridge looks up names for clients without a session.

use std::{sync::Arc, time::Duration};

use eepkit::{OpenError, Router, Session};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use crate::{options::SessionOptions, serve::Handle};

/// The session that looks up names for connections without a session. It exists while it is used.
/// It has its own destination, so that look-ups of one client do not use the tunnels of another.
#[derive(Debug, Clone, Default)]
pub(crate) struct LookupSession {
    /// The session, and the time of its last use.
    current: Arc<Mutex<Option<(Session, Instant)>>>,
}

impl LookupSession {
    /// Returns the session, which is opened if it does not exist. It closes when it was not used for
    /// a while, and when the server stops.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it cannot be started.
    pub(crate) async fn session(
        &self,
        router: &Router,
        server: &Handle,
        nickname: &str,
        options: &SessionOptions,
    ) -> Result<Session, OpenError> {
        let mut current = self.current.lock().await;
        if let Some((session, used)) = current.as_mut()
            && !session.status().stage().is_over()
        {
            *used = Instant::now();
            return Ok(session.clone());
        }
        let mut builder = router
            .session()
            .tunnel_quantity(1)
            .option("i2cp.dontPublishLeaseSet", true)
            .nickname(nickname)
            .linger(Duration::ZERO);
        for (key, value) in options.iter() {
            builder = builder.option(key, value);
        }
        let session = builder.start()?;
        *current = Some((session.clone(), Instant::now()));
        drop(current);
        let (this, handle) = (self.clone(), server.clone());
        server.spawn(async move { this.close_when_unused(&handle).await });
        Ok(session)
    }

    async fn close_when_unused(&self, server: &Handle) {
        let mut look_again = Instant::now() + IDLE;
        loop {
            tokio::select! {
                () = sleep_until(look_again) => {}
                () = server.closing().cancelled() => {}
            }
            let mut current = self.current.lock().await;
            let Some((session, used)) = current.as_ref() else {
                return;
            };
            if used.elapsed() < IDLE && !server.closing().is_cancelled() {
                look_again = *used + IDLE;
                continue;
            }
            let session = session.clone();
            *current = None;
            drop(current);
            session.close().await;
            return;
        }
    }
}

/// The idle time after which the session for look-ups is closed. Chosen because its tunnels use
/// bandwidth of other routers, and building them again delays the next look-up by some seconds.
const IDLE: Duration = Duration::from_secs(600);
