//! Look-ups of the session's own lease set, which verify that it was published.

use std::{convert::Infallible, future::pending, time::Duration};

use eepkit_link::{Layer, LinkLookupError, LookupTarget};
use tokio::time::sleep;
use tracing::debug;

use crate::{lookup, shared::Shared, stage::SessionStage, status::Verification};

/// Looks up the session's own lease set after the session became ready, until it is found, and
/// reports each result in the status. Runs as long as the link, and then waits for ever.
pub(crate) async fn run(shared: &Shared) -> Infallible {
    // A bridge answers a look-up of a destination of its own from its table of sessions.
    let possible = shared.config.verify && shared.layer == Layer::Messages;
    if !possible {
        return report_and_wait(shared, Verification::Unavailable).await;
    }
    let mut watch = shared.watch();
    while watch.stage() != SessionStage::Ready {
        if watch.changed().await.is_none() {
            return pending().await;
        }
    }
    let mut pause = FIRST_PAUSE;
    let mut failed = 0_u32;
    loop {
        sleep(pause).await;
        let own = LookupTarget::LeaseSet(shared.keys.destination().clone());
        match lookup::ask(shared, own, LIMIT).await {
            Ok(_) => {
                let after = shared.watch().current().age();
                return report_and_wait(shared, Verification::Found { after }).await;
            }
            Err(LinkLookupError::Unsupported) => {
                return report_and_wait(shared, Verification::Unavailable).await;
            }
            Err(LinkLookupError::SessionLost) => return pending().await,
            Err(error) => {
                failed = failed.saturating_add(1);
                debug!(%error, failed, "the session's own lease set was not found");
                report(shared, Verification::NotFound { lookups: failed });
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn report_and_wait(shared: &Shared, result: Verification) -> Infallible {
    report(shared, result);
    pending().await
}

fn report(shared: &Shared, result: Verification) {
    shared
        .status
        .update(|activity| activity.verification = result);
}

/// The pause before the first look-up; doubled after each. Chosen because a router publishes a
/// lease set within a few seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause. Chosen so that a lease set that never appears costs one search a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Time limit of one look-up. Chosen because routers stop after about 10 s.
const LIMIT: Duration = Duration::from_secs(15);
