//! The last resort when a peer does not answer: the session is opened anew.
//!
//! A router may keep the lease set of a peer that has restarted, and the encryption session with
//! it. A peer that uses this library sends a message when it is back, which replaces both (see
//! [`Core::greet_recent_peers`]). For other peers, the client can only discard what its own router
//! holds. i2pd and Java I2P have no operation for one peer, so the whole session is replaced. Its
//! destination, listeners and datagram sockets stay the same.

use eepkit_link::LostReason;
use eepkit_wire::Hash;
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{Driver, End};
use crate::shared::Core;

impl Driver<'_> {
    /// Handles the report that the router cannot renew a peer that does not answer.
    ///
    /// The session is opened anew only if the peer answered before on this link, and if nothing else
    /// depends on it: there is no established stream, and few other peers have sent something for
    /// some time. These are pinged when the session is restored.
    pub(super) fn on_not_renewed(
        core: &mut Core,
        peer: &Hash,
        silence: Duration,
    ) -> Result<(), End> {
        let now = Instant::now();
        let Some(endpoint) = &core.endpoint else {
            return Ok(());
        };
        let reopened = core.reopened.is_some_and(|at| now - at < SPACING);
        if silence < SILENCE || reopened || !endpoint.is_only_connecting_to(peer) {
            return Ok(());
        }
        let recent = endpoint.recent_peers(now.into_std(), IN_USE, MAX_RECENT + 1);
        if recent.len() > MAX_RECENT || recent.iter().all(|recent| recent.hash() != *peer) {
            return Ok(());
        }
        debug!(%peer, "a peer does not answer; the session is opened anew");
        core.reopened = Some(now);
        let why = format!("the peer {peer} stopped answering");
        Err(End::Lost(LostReason::Reopened(why)))
    }
}

/// How long a peer must have answered neither SYN nor ping. Chosen so that a later SYN of a
/// connection attempt reaches it, after the time in which the peer's own message would have
/// arrived, and that the attempt can still succeed.
const SILENCE: Duration = Duration::from_secs(12);
/// A peer that did not answer within this time needs no new session. Chosen as the lifetime of a
/// lease set and of an encryption session, after which routers replace both.
const IN_USE: Duration = Duration::from_secs(600);
/// A session that more peers used within that time is not opened anew. Chosen so that all of them
/// are pinged at once.
const MAX_RECENT: usize = 8;
/// The least time between two such replacements. Chosen because building tunnels is expensive. A peer
/// that stays offline causes only one: it must have answered since the last.
const SPACING: Duration = Duration::from_secs(60);
