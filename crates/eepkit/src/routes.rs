//! Which way a message takes, on a link that shows its paths.
//!
//! For each peer the pairs of an outbound tunnel and a lease are listed and named; the streaming machine
//! chooses among them, because it sees which of them work. A link without paths (I2CP) never reports
//! any, and every route is `Auto`.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    time::Duration,
};

use eepkit_link::{Direction, Event, LeaseId, LookupAnswer, PathChoice, TunnelId};
use eepkit_streaming::{self as streaming, Path, PathId};
use eepkit_wire::Hash;
use tokio::time::Instant;

/// The tunnels of a session and the leases of its peers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    outbound: Vec<Outbound>,
    peers: HashMap<Hash, Peer>,
    /// Deals outbound tunnels to peers in turn.
    turn: usize,
    /// Counts changes of the outbound tunnels.
    changes: u64,
}

#[derive(Debug)]
struct Outbound {
    path: TunnelId,
    expires: Option<Instant>,
    /// Messages that it takes now; `None` while the link has set no limit.
    credit: Option<u32>,
}

#[derive(Debug)]
struct Peer {
    /// With the end of each, in milliseconds since 1970.
    leases: Vec<(LeaseId, u64)>,
    /// What it was told of last: each pair with its name.
    pairs: Vec<(Path, TunnelId, LeaseId)>,
    /// The last name given.
    named: u64,
    /// By what changes `pairs` is made, of tunnels and of leases; `None` where it must be made anew.
    made_by: Option<u64>,
    /// With which of the tunnels its pairs begin.
    turn: usize,
    /// The lease that was used last, and the pairs, the last one first.
    used_lease: Option<LeaseId>,
    recent: VecDeque<(TunnelId, LeaseId)>,
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
pub(crate) enum Decision {
    /// Send it so.
    Take(PathChoice),
    /// Hold it back: its tunnel takes no message at the moment.
    Wait,
}

impl Routes {
    /// Takes note of an event of the link.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match *event {
            Event::TunnelUp {
                tunnel: path,
                direction: Direction::Outbound,
                expires,
                ..
            } if path != TunnelId::ANY && self.outbound.len() < MAX_TUNNELS => {
                self.outbound.push(Outbound {
                    path,
                    expires,
                    credit: None,
                });
                self.changes += 1;
            }
            Event::TunnelDown { tunnel: path, .. } => {
                self.outbound.retain(|tunnel| tunnel.path != path);
                self.changes += 1;
            }
            Event::Credit {
                tunnel: path,
                messages,
            } => {
                if let Some(tunnel) = self.outbound.iter_mut().find(|one| one.path == path) {
                    tunnel.credit = Some(tunnel.credit.unwrap_or(0).saturating_add(messages));
                }
            }
            _ => {}
        }
    }

    /// The way of the next message to the peer, for which the machine chose the pair of this name.
    /// Counts it against the credit of its tunnel.
    pub(crate) fn route(&mut self, to: &Hash, name: PathId, now: Now) -> Decision {
        if self.outbound.is_empty() {
            return Decision::Take(PathChoice::Auto);
        }
        if self.outbound.iter().all(|tunnel| tunnel.credit == Some(0)) {
            return Decision::Wait;
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return Decision::Take(PathChoice::Auto);
        };
        peer.used = now.instant;
        let pair = peer.pairs.iter().find(|(pair, _, _)| pair.id == name);
        let Some((outbound, lease)) = pair.map(|(_, outbound, lease)| (*outbound, *lease)) else {
            return Decision::Take(PathChoice::Auto);
        };
        let alive = peer.alive(now).any(|(alive, _)| alive == lease);
        let tunnel = self.outbound.iter_mut().find(|one| one.path == outbound);
        let Some(tunnel) = tunnel.filter(|_| alive) else {
            return Decision::Take(PathChoice::Auto);
        };
        if let Some(credit) = &mut tunnel.credit {
            match credit.checked_sub(1) {
                Some(left) => *credit = left,
                None => return Decision::Wait,
            }
        }
        peer.used_lease = Some(lease);
        if peer.recent.front() != Some(&(outbound, lease)) {
            peer.recent.retain(|recent| *recent != (outbound, lease));
            peer.recent.push_front((outbound, lease));
            peer.recent.truncate(MAX_RECENT);
        }
        Decision::Take(PathChoice::Pinned { outbound, lease })
    }

    /// The pairs to a peer, the best first, if they are others than when last asked. Tunnels that last
    /// longest come first, beginning with another one for each peer.
    pub(crate) fn pairs(&mut self, to: &Hash, now: Now) -> Option<Vec<Path>> {
        let peer = self.peers.get_mut(to)?;
        if peer.made_by == Some(self.changes) {
            return None;
        }
        peer.made_by = Some(self.changes);
        let mut tunnels: Vec<&Outbound> = self
            .outbound
            .iter()
            .filter(|tunnel| tunnel.expires.is_none_or(|end| end > now.instant))
            .collect();
        tunnels.sort_by_key(|tunnel| (Reverse(tunnel.expires), tunnel.path));
        let better_half = tunnels.len().div_ceil(2).max(1);
        if !tunnels.is_empty() {
            let first = tunnels.remove(peer.turn % better_half);
            tunnels.insert(0, first);
        }
        let leases = peer.usable(now);
        let mut all = Vec::with_capacity(leases.len() * tunnels.len());
        for shift in 0..leases.len() {
            for (index, tunnel) in tunnels.iter().enumerate() {
                let (lease, end) = leases[(index + shift) % leases.len()];
                all.push((*tunnel, lease, end));
            }
        }
        if all.len() > MAX_PAIRS {
            // Those in use stay: the machine leaves them in its own time.
            all.sort_by_key(|(tunnel, lease, _)| !peer.recent.contains(&(tunnel.path, *lease)));
            all.truncate(MAX_PAIRS);
        }
        let named = |(tunnel, lease, end)| peer.name(tunnel, lease, end, now);
        peer.pairs = all.into_iter().map(named).collect();
        Some(peer.pairs.iter().map(|(pair, _, _)| *pair).collect())
    }

    /// Nobody took note of the pairs: [`Routes::pairs`] should tell them again.
    pub(crate) fn tell_again(&mut self, to: &Hash) {
        if let Some(peer) = self.peers.get_mut(to) {
            peer.made_by = None;
        }
    }

    /// Whether the leases of a peer should be looked up now. Having said so once, it says no until
    /// [`Routes::searched`].
    pub(crate) fn wants_search(&mut self, to: &Hash, now: Now) -> bool {
        if self.outbound.is_empty() {
            return false;
        }
        let peer = self.peer(to, now);
        peer.is_running_out(now) && peer.begin_search(now, SEARCH_PAUSE)
    }

    /// Whether the leases of a peer that does not answer should be looked up although the link shows no
    /// paths: the router may go on to use leases that are gone. It counts as
    /// [`Routes::wants_search`] does.
    pub(crate) fn wants_refresh(&mut self, to: &Hash, now: Now) -> bool {
        self.outbound.is_empty() && self.peer(to, now).begin_search(now, REFRESH_PAUSE)
    }

    fn peer(&mut self, to: &Hash, now: Now) -> &mut Peer {
        if !self.peers.contains_key(to) {
            self.make_room();
            self.turn = self.turn.wrapping_add(1);
        }
        let turn = self.turn;
        self.peers
            .entry(*to)
            .or_insert_with(|| Peer::new(now.instant, turn))
    }

    /// The way to a peer seems dead: its lease is suspect, and the leases are due for a look-up.
    pub(crate) fn suspect(&mut self, to: &Hash, now: Now) {
        if self.outbound.is_empty() {
            return;
        }
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        if let Some(lease) = peer.used_lease {
            peer.suspect = Some((lease, now.instant));
            peer.made_by = None;
        }
        peer.searched = None;
    }

    /// A look-up ended; `answer` tells the leases of the peer if it has some.
    pub(crate) fn searched(&mut self, to: &Hash, answer: Option<&LookupAnswer>, now: Now) {
        let Some(peer) = self.peers.get_mut(to) else {
            return;
        };
        peer.searching = false;
        if let Some(answer) = answer {
            let named = |lease: &eepkit_wire::Lease| LeaseId {
                gateway: lease.gateway,
                tunnel: lease.tunnel,
            };
            let before = std::mem::take(&mut peer.leases);
            peer.leases = answer
                .leases
                .iter()
                .take(MAX_LEASES)
                .map(|lease| (named(lease), lease.end))
                .collect();
            // A lease that is about to end is no longer told, and good to its end. It is used until a new
            // one is known better.
            if peer.suspect.is_none() {
                for (lease, end) in before {
                    let told = peer.leases.iter().any(|(id, _)| *id == lease);
                    if !told && end > now.unix_ms && peer.leases.len() < MAX_LEASES {
                        peer.leases.push((lease, end));
                    }
                }
            }
            // The network may go on for a while to tell the leases of a session that is gone.
            peer.suspect = peer
                .suspect
                .filter(|(suspect, _)| peer.leases.iter().all(|(id, _)| id == suspect));
            peer.made_by = None;
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
    fn new(now: Instant, turn: usize) -> Self {
        Self {
            leases: Vec::new(),
            pairs: Vec::new(),
            named: 0,
            made_by: None,
            turn,
            used_lease: None,
            recent: VecDeque::new(),
            suspect: None,
            searching: false,
            searched: None,
            used: now,
        }
    }

    /// Takes note that a look-up begins, unless one is under way or began less than `pause` ago.
    fn begin_search(&mut self, now: Now, pause: Duration) -> bool {
        let recent = self
            .searched
            .is_some_and(|at| now.instant.saturating_duration_since(at) < pause);
        if self.searching || recent {
            return false;
        }
        self.searching = true;
        self.searched = Some(now.instant);
        true
    }

    fn alive(&self, now: Now) -> impl Iterator<Item = (LeaseId, u64)> {
        self.leases
            .iter()
            .filter(move |(_, end)| *end > now.unix_ms)
            .copied()
    }

    /// The pair of a tunnel and a lease, by the name that it has or a new one.
    fn name(
        &mut self,
        tunnel: &Outbound,
        lease: LeaseId,
        end: u64,
        now: Now,
    ) -> (Path, TunnelId, LeaseId) {
        let old = self
            .pairs
            .iter()
            .find(|(_, path, id)| *path == tunnel.path && *id == lease);
        let id = old.map_or_else(
            || {
                self.named += 1;
                PathId(self.named)
            },
            |(pair, _, _)| pair.id,
        );
        let left = Duration::from_millis(end.saturating_sub(now.unix_ms));
        let lease_ends = now.instant + left;
        let expires = tunnel.expires.map_or(lease_ends, |end| end.min(lease_ends));
        let pair = Path {
            id,
            tunnel: streaming::TunnelId(tunnel.path.0),
            lease,
            expires: Some(expires.into_std()),
        };
        (pair, tunnel.path, lease)
    }

    fn is_suspect(&self, now: Now) -> bool {
        let age = |at| now.instant.saturating_duration_since(at);
        self.suspect.is_some_and(|(_, at)| age(at) < SUSPICION)
    }

    /// The leases to use: all that live, the suspect one last, or none if there is only that one; the
    /// router may know another.
    fn usable(&self, now: Now) -> Vec<(LeaseId, u64)> {
        let mut leases: Vec<_> = self.alive(now).collect();
        if self.is_suspect(now) {
            if leases.len() < 2 {
                return Vec::new();
            }
            leases.sort_by_key(|(id, _)| self.suspect.is_some_and(|(suspect, _)| suspect == *id));
        }
        leases
    }

    /// Whether the leases are unknown, suspect, or about to end.
    fn is_running_out(&self, now: Now) -> bool {
        let soon = now.unix_ms.saturating_add(LEASE_MARGIN_MS);
        self.is_suspect(now)
            || self.searched.is_none()
            || !self.leases.iter().any(|(_, end)| *end > soon)
    }
}

/// Outbound tunnels of a session: 16 and as many in replacement.
const MAX_TUNNELS: usize = 32;
/// Peers whose leases are kept; the one unused for longest makes room. Chosen because each takes
/// about a kilobyte.
const MAX_PEERS: usize = 1024;
/// Leases of a lease set (common structures, "LeaseSet2": up to 16).
const MAX_LEASES: usize = 16;
/// Pairs told to the machine, which considers no more.
const MAX_PAIRS: usize = 16;
/// Pairs that the machine may be using, one for each way at once and their successors.
const MAX_RECENT: usize = 8;
/// Leases that end sooner are replaced in time. Chosen above the minute in which the machine gets to
/// know a successor, and the time that a look-up takes.
const LEASE_MARGIN_MS: u64 = 90_000;
/// How long a lease is suspect while nothing better is known. Chosen above the time that a new
/// lease set takes to get around.
const SUSPICION: Duration = Duration::from_secs(60);
/// Pause between two look-ups of the same peer, unless its way seems dead.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);
/// The same where the link shows no paths: a peer that is gone is not worth more of the network's time.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "routes/tests.rs"]
mod tests;
