//! Look-ups of clients.

use std::{sync::Arc, time::Duration};

use eepkit::{Address, Session};
use eepkit_sam::{
    Failure,
    server::{Answer, Found, SessionKey},
};
use tokio::time::{Instant, sleep_until};

use super::{done::Done, shared::Shared, streams};
use crate::errors::{Attempt, sam_failure};

/// Looks up a name.
pub(super) async fn look_up(
    shared: Arc<Shared>,
    session: Option<SessionKey>,
    target: eepkit_wire::Host,
    options: bool,
) -> Done {
    Done::from(Answer::Found(
        try_look_up(&shared, session, target, options).await,
    ))
}

async fn try_look_up(
    shared: &Arc<Shared>,
    session: Option<SessionKey>,
    target: eepkit_wire::Host,
    options: bool,
) -> Result<Found, Failure> {
    let address =
        Address::new(streams::host(target).map_err(|failure| {
            Failure::new(eepkit_sam::ResultCode::KeyNotFound, failure.message)
        })?);
    let live = session.and_then(|session| shared.live(session));
    let session = match live {
        Some(live) => live.session,
        None => own_session(shared).await?,
    };
    let destination = session
        .lookup(&address)
        .await
        .map_err(|error| sam_failure(Attempt::LookUp, error))?;
    let options = match options {
        false => Vec::new(),
        true => session
            .lease_set_options(&destination)
            .await
            .map_err(|error| sam_failure(Attempt::LookUpOptions, error))?,
    };
    Ok(Found {
        destination,
        options,
    })
}

/// Returns the session for look-ups, which is opened if it does not exist.
async fn own_session(shared: &Arc<Shared>) -> Result<Session, Failure> {
    let mut current = shared.lookups.current.lock().await;
    if let Some((session, used)) = current.as_mut()
        && !session.status().stage().is_over()
    {
        *used = Instant::now();
        return Ok(session.clone());
    }
    let mut builder = shared
        .router
        .session()
        .tunnel_quantity(1)
        .option("i2cp.dontPublishLeaseSet", true)
        .nickname("SAM look-ups")
        .linger(Duration::ZERO);
    for (key, value) in shared.config.overrides().iter() {
        builder = builder.option(key, value);
    }
    let session = builder
        .start()
        .map_err(|error| sam_failure(Attempt::LookUp, error))?;
    *current = Some((session.clone(), Instant::now()));
    drop(current);
    let bridge = shared.clone();
    shared.server.spawn(async move {
        let mut look_again = Instant::now() + IDLE;
        loop {
            tokio::select! {
                () = sleep_until(look_again) => {}
                () = bridge.server.closing().cancelled() => {}
            }
            let mut current = bridge.lookups.current.lock().await;
            let Some((session, used)) = current.as_ref() else {
                return;
            };
            if used.elapsed() < IDLE && !bridge.server.closing().is_cancelled() {
                look_again = *used + IDLE;
                continue;
            }
            let session = session.clone();
            *current = None;
            drop(current);
            session.close().await;
            return;
        }
    });
    Ok(session)
}

/// The idle time after which the session for look-ups is closed. Chosen because its tunnels use
/// bandwidth of other routers, and building them again delays the next look-up by some seconds.
const IDLE: Duration = Duration::from_secs(600);
