//! Reduces and closes the link of an idle session.

use std::{future::pending, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use crate::{idle::IdlePolicy, shared::Shared};

/// Reduces the tunnels of an idle session and restores their number. Returns when the link is to be
/// closed, with the number of uses at that time. Runs as long as the link.
pub(crate) async fn run(shared: &Shared) -> u64 {
    let idle = &shared.idle;
    let IdlePolicy { reduce, close, .. } = *idle.policy();
    if reduce.is_none() && close.is_none() {
        return pending().await;
    }
    // A session that was opened is used.
    idle.touch();
    let mut reduced = false;
    loop {
        let uses = idle.uses();
        let quiet = idle.quiet();
        if close.is_some_and(|after| quiet >= after) && !shared.has_streams() {
            info!(
                ?quiet,
                "the session is idle and is closed until its next use"
            );
            return uses;
        }
        let reduces = reduce.filter(|(after, _)| quiet >= *after);
        if reduces.is_some() != reduced {
            reduced = reduces.is_some();
            set_reduced(shared, reduces.map(|(_, tunnels)| tunnels));
        }
        let next = [reduce.map(|(after, _)| after), close]
            .into_iter()
            .flatten()
            .map(|after| after.saturating_sub(quiet))
            .filter(|left| !left.is_zero())
            .min()
            .unwrap_or(LOOK_AGAIN);
        if reduced {
            // Tunnels are restored at once.
            let _ = timeout(next, idle.used_after(uses)).await;
        } else {
            sleep(next).await;
        }
    }
}

fn set_reduced(shared: &Shared, tunnels: Option<u8>) {
    debug!(?tunnels, "changes the number of tunnels of an idle session");
    let options = &shared.config.options;
    let wanted = (options.inbound_quantity(), options.outbound_quantity());
    shared.lock("idle").reduce_quantity(tunnels, wanted);
    shared
        .status
        .update(|activity| activity.tunnels_reduced = tunnels.is_some());
}

/// The pause before a session with open streams is considered again. Chosen as a fifth of the
/// shortest idle time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
