//! Which way a message takes, on a link that shows its paths.
//!
//! Each peer keeps to one pair of an outbound tunnel and a lease for as long as both last, because
//! packets that take turns over several ways arrive out of order. When a peer seems dead the next
//! pair is tried. A link without paths (I2CP) never reports any, and every route is `Auto`.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use eepkit_router::link::{Direction, Event, LeaseId, LookupAnswer, PathId, Route};
use eepkit_wire::Hash;
use tokio::time::Instant;

/// The tunnels of a session and the leases of its peers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    outbound: Vec<Outbound>,
    peers: HashMap<Hash, Peer>,
    /// Deals outbound tunnels to peers in turn.
    turn: usize,
}

#[derive(Debug)]
struct Outbound {
    path: PathId,
    expires: Option<Instant>,
    /// Messages that it takes now; `None` while the link has set no limit.
    credit: Option<u32>,
}

#[derive(Debug)]
struct Peer {
    /// With the end of each, in milliseconds since 1970.
    leases: Vec<(LeaseId, u64)>,
    chosen: Option<(PathId, LeaseId)>,
    /// Counts the pairs that were chosen.
    choices: u64,
    /// The tunnel that was suspected last.
    avoided: Option<PathId>,
    /// Where in `leases` the next choice begins.
    turn: usize,
    /// The lease by which the way to it seemed dead, and when, until a look-up brings others.
    suspect: Option<(LeaseId, Instant)>,
    /// Whether a look-up is under way, and when the last one began.
    searching: bool,
    searched: Option<Instant>,
    used: Instant,
}

/// Both clocks at one moment: tunnels end by the one, leases by the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) unix_ms: u64,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Send it so.
    Take(Route),
    /// Hold it back: its tunnel takes no message at the moment.
    Wait,
}

impl Routes {
    /// Takes note of an event of the link.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match *event {
            Event::PathUp {
                path,
                direction: Direction::Outbound,
                expires,
                ..
            } if path != PathId::ANY && self.outbound.len() < MAX_TUNNELS => {
                self.outbound.push(Outbound {
                    path,
                    expires,
                    credit: None,
                });
            }
            Event::PathDown { path, .. } => {
                self.outbound.retain(|tunnel| tunnel.path != path);
            }
            Event::Credit { path, messages } => {
                if let Some(tunnel) = self.outbound.iter_mut().find(|one| one.path == path) {
                    tunnel.credit = Some(tunnel.credit.unwrap_or(0).saturating_add(messages));
                }
            }
            _ => {}
        }
    }

    /// The way of the next message to the peer. Counts it against the credit of its tunnel.
    pub(crate) fn route(&mut self, to: &Hash, now: Now) -> Way {
        if self.outbound.is_empty() {
            return Way::Take(Route::Auto);
        }
        if self.outbound.iter().all(|tunnel| tunnel.credit == Some(0)) {
            return Way::Wait;
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return Way::Take(Route::Auto);
        };
        peer.used = now.instant;
        let tunnels = &mut self.outbound;
        let standing = peer.chosen.filter(|(path, lease)| {
            tunnels.iter().any(|tunnel| tunnel.path == *path)
                && peer.alive(now).any(|alive| alive == *lease)
        });
        let chosen = standing.or_else(|| {
            let lease = peer.pick_lease(now)?;
            let path = pick_tunnel(tunnels, peer.avoided, self.turn, now)?;
            self.turn = self.turn.wrapping_add(1);
            peer.choices += 1;
            Some((path, lease))
        });
        peer.chosen = chosen;
        let Some((outbound, lease)) = chosen else {
            return Way::Take(Route::Auto);
        };
        if let Some(tunnel) = tunnels.iter_mut().find(|one| one.path == outbound)
            && let Some(credit) = &mut tunnel.credit
        {
            match credit.checked_sub(1) {
                Some(left) => *credit = left,
                None => return Way::Wait,
            }
        }
        Way::Take(Route::Pinned { outbound, lease })
    }

    /// Names the way that messages to the peer take, differently each time it changes; `None`
    /// where the router chooses.
    pub(crate) fn path(&self, to: &Hash) -> Option<u64> {
        let peer = self.peers.get(to)?;
        peer.chosen.map(|_| peer.choices)
    }

    /// Whether the leases of a peer should be looked up now. Having said so once, it says no until
    /// [`Routes::searched`].
    pub(crate) fn wants_search(&mut self, to: &Hash, now: Now) -> bool {
        if self.outbound.is_empty() {
            return false;
        }
        if !self.peers.contains_key(to) {
            self.make_room();
            self.peers.insert(*to, Peer::new(now.instant));
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return false;
        };
        let waited = |pause| {
            peer.searched
                .is_none_or(|at| now.instant.saturating_duration_since(at) >= pause)
        };
        let wanted = !peer.searching && peer.is_running_out(now) && waited(SEARCH_PAUSE);
        if wanted {
            peer.searching = true;
            peer.searched = Some(now.instant);
        }
        wanted
    }

    /// The way to a peer seems dead: both halves of it are suspects, so the next differs in both,
    /// and the leases are due for a look-up.
    pub(crate) fn suspect(&mut self, to: &Hash, now: Now) {
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        if let Some((path, lease)) = peer.chosen.take() {
            peer.avoided = Some(path);
            peer.suspect = Some((lease, now.instant));
            // Last in line, should the look-up bring nothing new.
            if let Some(at) = peer.leases.iter().position(|(id, _)| *id == lease) {
                peer.turn = at + 1;
            }
        }
        peer.searched = None;
    }

    /// A look-up ended; `answer` tells the leases of the peer if it has some.
    pub(crate) fn searched(&mut self, to: &Hash, answer: Option<&LookupAnswer>) {
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        peer.searching = false;
        if let Some(answer) = answer {
            let named = |lease: &eepkit_wire::Lease| LeaseId {
                gateway: lease.gateway,
                tunnel: lease.tunnel,
            };
            peer.leases = answer
                .leases
                .iter()
                .take(MAX_LEASES)
                .map(|lease| (named(lease), lease.end))
                .collect();
            // The network may go on for a while to tell the leases of a session that is gone.
            peer.suspect = peer
                .suspect
                .filter(|(suspect, _)| peer.leases.iter().all(|(id, _)| id == suspect));
        }
    }

    fn make_room(&mut self) {
        if self.peers.len() < MAX_PEERS {
            return;
        }
        let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.used);
        if let Some(hash) = oldest.map(|(hash, _)| *hash) {
            self.peers.remove(&hash);
        }
    }
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self {
            leases: Vec::new(),
            chosen: None,
            choices: 0,
            avoided: None,
            turn: 0,
            suspect: None,
            searching: false,
            searched: None,
            used: now,
        }
    }

    fn alive(&self, now: Now) -> impl Iterator<Item = LeaseId> {
        self.leases
            .iter()
            .filter(move |(_, end)| *end > now.unix_ms)
            .map(|(id, _)| *id)
    }

    fn is_suspect(&self, now: Now) -> bool {
        let age = |at| now.instant.saturating_duration_since(at);
        self.suspect.is_some_and(|(_, at)| age(at) < SUSPICION)
    }

    fn pick_lease(&self, now: Now) -> Option<LeaseId> {
        if self.is_suspect(now) && self.alive(now).count() < 2 {
            // There is no other to try; the router may know one.
            return None;
        }
        let (before, from) = self.leases.split_at(self.turn.min(self.leases.len()));
        from.iter()
            .chain(before)
            .find(|(_, end)| *end > now.unix_ms)
            .map(|(id, _)| *id)
    }

    /// Whether the leases are unknown, suspect, or about to end.
    fn is_running_out(&self, now: Now) -> bool {
        let soon = now.unix_ms.saturating_add(LEASE_MARGIN_MS);
        self.is_suspect(now)
            || self.searched.is_none()
            || !self.leases.iter().any(|(_, end)| *end > soon)
    }
}

/// Deals from the half of the tunnels that last longest, leaving one out if there are others.
fn pick_tunnel(
    tunnels: &[Outbound],
    avoided: Option<PathId>,
    turn: usize,
    now: Now,
) -> Option<PathId> {
    let mut usable: Vec<&Outbound> = tunnels
        .iter()
        .filter(|tunnel| {
            tunnel.credit != Some(0) && tunnel.expires.is_none_or(|end| end > now.instant)
        })
        .collect();
    if usable.len() > 1 {
        usable.retain(|tunnel| Some(tunnel.path) != avoided);
    }
    usable.sort_by_key(|tunnel| (Reverse(tunnel.expires), tunnel.path));
    let better_half = usable.len().div_ceil(2).max(1);
    usable.get(turn % better_half).map(|tunnel| tunnel.path)
}

/// Outbound tunnels of a session: 16 and as many in replacement.
const MAX_TUNNELS: usize = 32;
/// Peers whose leases are kept; the one unused for longest makes room. Chosen because each takes
/// about a kilobyte.
const MAX_PEERS: usize = 1024;
/// Leases of a lease set (common structures, "LeaseSet2": up to 16).
const MAX_LEASES: usize = 16;
/// Leases that end sooner are replaced in time. Chosen above the time that a look-up and the
/// messages under way take.
const LEASE_MARGIN_MS: u64 = 20_000;
/// How long a lease is suspect while nothing better is known. Chosen above the time that a new
/// lease set takes to get around.
const SUSPICION: Duration = Duration::from_secs(60);
/// Pause between two look-ups of the same peer, unless its way seems dead.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "routes/tests.rs"]
mod tests;
