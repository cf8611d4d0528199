//! Look-ups of lease sets that the endpoint requests.

use std::time::Duration;

use eepkit_link::{self as link, Command, LookupTarget, clock};
use eepkit_streaming::{Event, PeerLease};
use eepkit_wire::{Destination, Lease, LeaseId};
use tokio::time::Instant;
use tracing::debug;

use super::Driver;
use crate::shared::Core;

impl Driver<'_> {
    pub(super) fn on_endpoint_event(&mut self, core: &mut Core, event: Event) {
        match event {
            Event::LeaseSetLookup { to } => self.look_up(core, to),
            Event::PeerSilent { peer, silence } => {
                let hash = peer.hash();
                debug!(peer = %hash, ?silence, "the encryption session with a peer may be lost");
                core.commands.push(Command::Renew {
                    peer: hash,
                    silence,
                });
                core.on_silence(peer, silence);
                self.renews = true;
            }
            Event::PingTimeout(_) => {
                core.on_event(event);
                // It may be a peer that is pinged again, see [`Core::greet_recent_peers`].
                self.renews = true;
            }
            event => core.on_event(event),
        }
    }

    pub(super) fn on_lookup_done(
        &mut self,
        core: &mut Core,
        id: u32,
        result: Result<link::LookupAnswer, link::LinkLookupError>,
    ) {
        let Some(hash) = self.lookups.remove(&id) else {
            return core.lookups.finish(id, result);
        };
        let Some(endpoint) = &mut core.endpoint else {
            return;
        };
        match result {
            Ok(answer) => {
                let now = Instant::now();
                let leases = peer_leases(&answer.leases, now);
                endpoint.lease_set_found(now.into_std(), &hash, &leases);
            }
            Err(_) => endpoint.lease_set_not_found(&hash),
        }
    }

    /// Looks up the lease set of a peer for the endpoint.
    fn look_up(&mut self, core: &mut Core, to: Destination) {
        let id = core.lookups.next_id();
        self.lookups.insert(id, to.hash());
        core.commands.push(Command::Lookup {
            id,
            target: LookupTarget::LeaseSet(to),
            timeout: LOOKUP_TIMEOUT,
        });
        core.wake_driver();
    }
}

/// The leases that have not expired, with their end times converted to the runtime's clock.
fn peer_leases(leases: &[Lease], now: Instant) -> Vec<PeerLease> {
    let unix_ms = u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX);
    leases
        .iter()
        .filter_map(|lease| {
            let left = lease.end.checked_sub(unix_ms).filter(|left| *left > 0)?;
            Some(PeerLease {
                id: LeaseId::of(lease),
                expires: (now + Duration::from_millis(left)).into_std(),
            })
        })
        .collect()
}

/// Time limit of one look-up of a lease set. Chosen because routers stop searching after about 10
/// s.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
