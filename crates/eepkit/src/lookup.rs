//! Look-ups of the destination of a host.

use std::{sync::Arc, time::Duration};

use eepkit_link::{self as link, LookupAnswer, LookupTarget};
use eepkit_wire::Destination;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{address::Host, error::LookupError, shared::Shared, stage::SessionStage};

/// Finds the destination of `host` within `limit`; see [`crate::Session::lookup`] for the order.
pub(crate) async fn resolve(
    shared: &Arc<Shared>,
    host: &Host,
    limit: Duration,
) -> Result<Destination, LookupError> {
    let now = Instant::now();
    let own = shared.keys.destination();
    let target = match host {
        Host::Destination(destination) => return Ok(destination.clone()),
        Host::Hash(hash) if *hash == own.hash() => return Ok(own.clone()),
        Host::Hash(hash) => match shared.names.by_hash(hash) {
            Some(destination) => return Ok(destination),
            None => LookupTarget::Hash(*hash),
        },
        Host::Name(name) => {
            if let Some(destination) = shared.names.by_host_map(name) {
                return Ok(destination);
            }
            match from_source(shared, name, limit).await? {
                Some(Host::Name(_)) | None => {}
                Some(host) => return Box::pin(resolve(shared, &host, limit)).await,
            }
            match shared.names.by_name(name, now) {
                Some(destination) => return Ok(destination),
                None => LookupTarget::Name(name.clone()),
            }
        }
    };
    let answer = timeout_at(now + limit, async {
        wait_for_link(shared, limit).await?;
        search(shared, target, limit).await
    })
    .await
    .unwrap_or(Err(link::LinkLookupError::Timeout));
    let found = answer.map_err(|error| {
        let over = !shared.lock("look up").lifecycle.is_open();
        match (error, host) {
            (link::LinkLookupError::SessionLost, _) if over => LookupError::Closed,
            (link::LinkLookupError::SessionLost, _) => LookupError::SessionLost,
            (link::LinkLookupError::NameNotFound, Host::Name(name)) => {
                LookupError::NameNotFound(name.clone())
            }
            (link::LinkLookupError::NameNotFound | link::LinkLookupError::LeaseSetNotFound, _) => {
                LookupError::LeaseSetNotFound
            }
            (link::LinkLookupError::Locked, _) => LookupError::Locked,
            (link::LinkLookupError::Timeout, _) => LookupError::Timeout(shared.timed_out(limit)),
            _ => LookupError::Unsupported,
        }
    })?;
    let destination = found.destination;
    let now = Instant::now();
    match host {
        Host::Name(name) => shared.names.learn_name(name, &destination, now),
        // An answer with a different destination is not cached.
        Host::Hash(hash) if *hash != destination.hash() => {
            return Err(LookupError::LeaseSetNotFound);
        }
        _ => {}
    }
    shared.names.learn(&destination, now);
    Ok(destination)
}

/// The host that the source of names of the session has for a name.
async fn from_source(
    shared: &Shared,
    name: &str,
    limit: Duration,
) -> Result<Option<Host>, LookupError> {
    let Some(source) = &shared.config.name_source else {
        return Ok(None);
    };
    match timeout_at(Instant::now() + limit, source.resolve(name)).await {
        Ok(found) => found,
        Err(_) => Err(LookupError::Timeout(limit.into())),
    }
}

/// The options in the lease set of a destination; see [`crate::Session::lease_set_options`].
pub(crate) async fn lease_set_options(
    shared: &Arc<Shared>,
    destination: Destination,
    limit: Duration,
) -> Result<Vec<(String, String)>, LookupError> {
    let target = LookupTarget::LeaseSet(destination);
    let answer = timeout_at(Instant::now() + limit, async {
        wait_for_link(shared, limit).await?;
        ask(shared, target, limit).await
    })
    .await
    .unwrap_or(Err(link::LinkLookupError::Timeout));
    match answer {
        Ok(answer) => Ok(answer
            .options
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()),
        Err(link::LinkLookupError::NameNotFound | link::LinkLookupError::LeaseSetNotFound) => {
            Err(LookupError::LeaseSetNotFound)
        }
        Err(link::LinkLookupError::Locked) => Err(LookupError::Locked),
        Err(link::LinkLookupError::Timeout) => Err(LookupError::Timeout(shared.timed_out(limit))),
        Err(link::LinkLookupError::SessionLost) => Err(LookupError::SessionLost),
        Err(_) => Err(LookupError::Unsupported),
    }
}

/// Waits until the session is connected to its router, initially or after a loss.
async fn wait_for_link(shared: &Shared, limit: Duration) -> Result<(), link::LinkLookupError> {
    shared.idle.touch();
    let state = shared
        .watch()
        .reached(SessionStage::BuildingTunnels, limit)
        .await;
    match state.stage().has_link() {
        true => Ok(()),
        false => Err(link::LinkLookupError::SessionLost),
    }
}

/// Asks the router, and repeats look-ups by hash for a while if nothing is found. In the first
/// seconds of a session routers fail to find existing destinations, and a recently published lease
/// set takes time to propagate.
async fn search(
    shared: &Shared,
    target: LookupTarget,
    limit: Duration,
) -> Result<LookupAnswer, link::LinkLookupError> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        // The link gets the same limit, so that it drops the look-up in time.
        let left = limit.saturating_sub(began.elapsed());
        let answer = ask(shared, target.clone(), left).await;
        let again = matches!(target, LookupTarget::Hash(_))
            && matches!(answer, Err(link::LinkLookupError::LeaseSetNotFound))
            && began.elapsed() + pause < RETRY_LIMIT.min(limit);
        if !again {
            return answer;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks the router once. Dropping the future discards the answer; the link enforces `limit`.
pub(crate) async fn ask(
    shared: &Shared,
    target: LookupTarget,
    limit: Duration,
) -> Result<LookupAnswer, link::LinkLookupError> {
    let Ok(_permit) = shared.lookup_permits.acquire().await else {
        return Err(link::LinkLookupError::SessionLost);
    };
    let answer = shared.lock("look up").lookup(target, limit);
    answer
        .await
        .unwrap_or(Err(link::LinkLookupError::SessionLost))
}

/// Pause after the first look-up that found nothing; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause. Chosen so that a look-up soon follows the propagation of a lease set.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long look-ups are repeated. i2pd and emissary were observed to miss existing destinations
/// for up to 25 s after a session opened, and a mistyped address should not take longer to fail.
const RETRY_LIMIT: Duration = Duration::from_secs(25);
