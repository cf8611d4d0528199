//! Look-ups of clients.

use std::sync::Arc;

use eepkit::{Address, Session};
use eepkit_sam::{
    Failure,
    server::{Answer, Found, SessionKey},
};

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
    let options = shared.config.overrides();
    let session = shared
        .lookups
        .session(&shared.router, &shared.server, "SAM look-ups", options)
        .await;
    session.map_err(|error| sam_failure(Attempt::LookUp, error))
}
