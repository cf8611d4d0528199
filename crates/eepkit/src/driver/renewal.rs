//! What is done when a peer does not answer, and the router cannot renew what it holds about it.
//!
//! **First, another path is requested.** i2pd sends all messages to a peer through one outbound
//! tunnel to one lease, for up to two minutes, although the tunnel or the lease may have failed.
//! I2CP has no message that changes this. i2pd chooses others if the peer does not confirm a lease
//! set, so that a lease set with the same leases is published again.
//!
//! **The last resort is a new session.** A router may keep the lease set of a peer that has restarted, and the encryption session with
//! it. A peer that uses this library sends a message when it is back, which replaces both (see
//! [`Core::greet_recent_peers`]). For other peers, the client can only discard what its own router
//! holds. i2pd and Java I2P have no operation for one peer, so the whole session is replaced. Its
//! destination, listeners and datagram sockets stay the same.

use eepkit_link::{Command, LostReason};
use eepkit_wire::{Hash, Lease};
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::{Driver, End};
use crate::shared::{Core, Reopened};

/// A lease set that was published.
#[derive(Debug)]
pub(super) struct Published {
    leases: Vec<Lease>,
    /// The time on the router's clock, since 1970.
    router_time: Duration,
    /// The time on the runtime's clock.
    at: Instant,
}

impl Published {
    pub(super) fn new(leases: &[Lease], router_time: Duration) -> Self {
        Self {
            leases: leases.to_vec(),
            router_time,
            at: Instant::now(),
        }
    }
}

impl Driver<'_> {
    /// Whether the lease set is to be published again, because nothing seems to reach a peer, or
    /// nothing arrives from it, over the present path. Pings then make the router try one path after
    /// another, because it chooses one only for a message.
    pub(super) fn wants_other_path(
        &mut self,
        core: &mut Core,
        peer: &Hash,
        silence: Duration,
    ) -> bool {
        let now = Instant::now();
        let Some(endpoint) = &core.endpoint else {
            return false;
        };
        let is_cut_off = !silence.is_zero() || endpoint.is_unheard(now.into_std(), peer);
        let recently = self
            .republished
            .is_some_and(|at| now - at < REPUBLICATION_SPACING);
        if !is_cut_off || recently {
            return false;
        }
        let Some(destination) = endpoint.destination_of(peer).cloned() else {
            return false;
        };
        if !core.search_path(now, destination) {
            return false;
        }
        debug!(%peer, ?silence, "another path to a peer is requested");
        self.republished = Some(now);
        true
    }

    /// Publishes the lease set again when a peer has answered over another path. The router otherwise
    /// leaves this path, too: it sent the last lease set over the path before.
    pub(super) fn keep_found_path(&mut self) -> Result<(), End> {
        let shared = self.shared.clone();
        if !std::mem::take(&mut shared.lock("found path").found_path) {
            return Ok(());
        }
        debug!("a peer was reached over another path");
        if let Some(publish) = self.sign_again()? {
            shared.lock("publish").commands.push_first(publish);
        }
        Ok(())
    }

    /// Signs the lease set that was published last again, with the present time.
    pub(super) fn sign_again(&mut self) -> Result<Option<Command>, End> {
        let Some(published) = self.published.take() else {
            return Ok(None);
        };
        let router_time = published.router_time + published.at.elapsed();
        self.sign(&published.leases, router_time)
    }

    /// Handles the report that the router cannot renew a peer that does not answer.
    ///
    /// The session is opened anew only if the peer answered before on this link, and if nothing else
    /// depends on it: there is no established stream, and few other peers have sent something for
    /// some time. These are pinged when the session is restored. If the peer stays silent, this is
    /// repeated: the router may have found the old lease set of the peer again, which it then keeps.
    pub(super) fn on_not_renewed(
        core: &mut Core,
        peer: &Hash,
        silence: Duration,
    ) -> Result<(), End> {
        let now = Instant::now();
        let Some(endpoint) = &core.endpoint else {
            return Ok(());
        };
        let last = core.reopened.as_ref();
        let too_early = last.is_some_and(|last| now - last.at < SPACING * last.times);
        if silence < SILENCE || too_early || !endpoint.is_only_connecting_to(peer) {
            return Ok(());
        }
        let recent = endpoint.recent_peers(now.into_std(), IN_USE, MAX_RECENT + 1);
        let answered = recent.iter().any(|recent| recent.hash() == *peer);
        let times = match last {
            _ if answered => 1,
            Some(last) if last.peer == *peer && last.times < MOST_TIMES => last.times + 1,
            _ => return Ok(()),
        };
        if recent.len() > MAX_RECENT {
            return Ok(());
        }
        debug!(%peer, times, "a peer does not answer; the session is opened anew");
        core.reopened = Some(Reopened {
            peer: *peer,
            at: now,
            times,
        });
        let why = format!("the peer {peer} stopped answering");
        Err(End::Lost(LostReason::Reopened(why)))
    }
}

/// The least time between two publications for another path. Chosen above the 4 s after which i2pd
/// chooses one, and because the lease set is attached to the next message to each peer.
const REPUBLICATION_SPACING: Duration = Duration::from_secs(10);
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
/// The least time after such a replacement; twice that after the second one for the same peer. Chosen
/// because building tunnels is expensive, and because routers publish a new lease set within a
/// minute or two.
const SPACING: Duration = Duration::from_secs(60);
/// The most replacements for a peer that does not answer. Chosen because it is offline then.
const MOST_TIMES: u32 = 3;
