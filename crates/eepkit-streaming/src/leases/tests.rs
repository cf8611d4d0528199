#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use eepkit_wire::Hash;

use super::*;

/// Tunnels, and the leases and paths of one peer, at seconds since the start.
struct Lab {
    start: Instant,
    tunnels: Tunnels,
    leases: Leases,
    table: PathTable,
}

impl Lab {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            tunnels: Tunnels::default(),
            leases: Leases::new(0),
            table: PathTable::default(),
        }
    }

    /// Two tunnels, and a peer with these leases: tunnel and end of each.
    fn with_leases(leases: &[(u32, u64)]) -> Self {
        let mut lab = Self::new();
        lab.up(1, 600);
        lab.up(2, 600);
        assert!(lab.wants_lookup(0));
        lab.found(0, leases);
        lab
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn up(&mut self, tunnel: u64, until: u64) {
        self.tunnels.add(TunnelId(tunnel), Some(self.at(until)));
    }

    fn wants_lookup(&mut self, second: u64) -> bool {
        self.leases.begin_lookup(self.at(second))
    }

    fn wants_refresh(&mut self, second: u64) -> bool {
        self.leases.begin_refresh(self.at(second))
    }

    fn found(&mut self, second: u64, leases: &[(u32, u64)]) {
        let leases: Vec<_> = leases
            .iter()
            .map(|(tunnel, until)| PeerLease {
                id: lease(*tunnel),
                expires: self.at(*until),
            })
            .collect();
        self.leases.on_found(self.at(second), &leases);
    }

    fn suspect(&mut self, second: u64) {
        self.leases.suspect(self.at(second));
    }

    /// The paths, if they may have changed.
    fn paths(&mut self, second: u64) -> Option<Vec<Path>> {
        let now = self.at(second);
        let paths = self.leases.form_paths(now, &self.tunnels, &self.table)?;
        self.table.set(&paths);
        Some(paths)
    }

    /// Sends over the best path. Returns its tunnel and lease.
    fn send(&mut self, second: u64) -> Option<(u64, u32)> {
        let best = self.paths(second)?.first().copied()?;
        self.leases.on_used(&best);
        Some((best.tunnel.0, best.lease.tunnel))
    }
}

fn lease(tunnel: u32) -> LeaseId {
    LeaseId {
        gateway: Hash::of(b"gateway"),
        tunnel,
    }
}

const TWO: &[(u32, u64)] = &[(10, 600), (11, 600)];

#[test]
fn a_peer_without_leases_has_no_paths_and_one_lookup() {
    let mut lab = Lab::new();
    lab.up(1, 600);
    assert!(lab.wants_lookup(0));
    assert!(!lab.wants_lookup(0), "one at a time");
    assert_eq!(lab.paths(0), Some(Vec::new()));
}

#[test]
fn paths_are_formed_once_and_keep_their_names() {
    let mut lab = Lab::with_leases(TWO);
    let paths = lab.paths(1).unwrap();
    assert_eq!(paths.len(), 4);
    assert_ne!(paths[0].tunnel, paths[1].tunnel);
    assert_ne!(paths[0].lease, paths[1].lease);
    assert_eq!(paths[0].expires, Some(lab.at(600)));
    assert_eq!(lab.paths(2), None);
    lab.up(3, 500);
    let more = lab.paths(3).unwrap();
    assert_eq!(more.len(), 6);
    assert!(paths.iter().all(|path| more.contains(path)));
}

#[test]
fn a_tunnel_that_went_down_is_replaced() {
    let mut lab = Lab::with_leases(TWO);
    let (tunnel, _) = lab.send(1).unwrap();
    lab.tunnels.remove(TunnelId(tunnel));
    let (other, _) = lab.send(1).unwrap();
    assert_ne!(other, tunnel);
}

#[test]
fn a_suspect_lease_comes_last_and_is_looked_up_again() {
    let mut lab = Lab::with_leases(TWO);
    let (_, lease) = lab.send(1).unwrap();
    assert!(!lab.wants_lookup(1));
    lab.suspect(1);
    assert!(lab.wants_lookup(1));
    let (_, other) = lab.send(1).unwrap();
    assert_ne!(other, lease);
}

#[test]
fn a_lookup_that_fails_is_repeated_while_the_lease_is_suspect() {
    let mut lab = Lab::with_leases(&[(10, 600)]);
    lab.send(1).unwrap();
    lab.suspect(1);
    assert_eq!(lab.send(1), None, "the only lease is suspect");
    assert!(lab.wants_lookup(1));
    lab.leases.on_not_found();
    assert!(!lab.wants_lookup(2), "not all the time");
    assert!(lab.wants_lookup(7));
    lab.found(8, &[(20, 600)]);
    assert_eq!(lab.send(8).unwrap().1, 20);
}

#[test]
fn leases_are_looked_up_before_the_last_one_expires() {
    let mut lab = Lab::with_leases(TWO);
    assert!(!lab.wants_lookup(509));
    assert!(lab.wants_lookup(511));
    lab.leases.on_not_found();
    assert!(!lab.wants_lookup(512), "not all the time");
    assert!(lab.wants_lookup(517));
    lab.found(518, &[(12, 900)]);
    lab.up(4, 1200);
    assert_eq!(lab.send(601).unwrap(), (4, 12));
}

#[test]
fn a_lease_that_is_no_longer_published_is_used_until_its_end() {
    let mut lab = Lab::with_leases(TWO);
    let before = lab.paths(1).unwrap();
    lab.leases.on_used(&before[0]);
    let newer = [(20, 900), (21, 900)];
    lab.found(540, &newer);
    let after = lab.paths(540).unwrap();
    assert_eq!(after.len(), 2 * 4);
    assert!(after.iter().any(|path| path.id == before[0].id));
    // If the lease in use is suspect, old leases are not kept.
    lab.suspect(550);
    lab.found(551, &newer);
    assert_eq!(lab.paths(551).unwrap().len(), 2 * 2);
}

#[test]
fn an_expired_lease_is_not_alive() {
    let lab = Lab::with_leases(TWO);
    assert!(lab.leases.is_alive(lab.at(599), lease(10)));
    assert!(!lab.leases.is_alive(lab.at(600), lease(10)));
    assert!(!lab.leases.is_alive(lab.at(1), lease(12)));
}

#[test]
fn paths_in_use_stay_however_many_there_are() {
    let leases: Vec<(u32, u64)> = (0..8).map(|number| (10 + number, 600)).collect();
    let mut lab = Lab::with_leases(&leases);
    let before = lab.paths(1).unwrap();
    assert_eq!(before.len(), 16);
    for path in [before[3], before[15]] {
        lab.leases.on_used(&path);
    }
    for tunnel in 3..10 {
        lab.up(tunnel, 1200);
    }
    let after = lab.paths(2).unwrap();
    assert_eq!(after.len(), 16);
    for path in [before[3], before[15]] {
        assert!(after.contains(&path), "{path:?}");
    }
}

#[test]
fn look_ups_of_a_silent_peer_are_spaced() {
    let mut lab = Lab::new();
    assert!(lab.wants_refresh(0));
    assert!(!lab.wants_refresh(20), "one at a time");
    lab.leases.on_not_found();
    assert!(lab.wants_refresh(20));
    lab.leases.on_not_found();
    assert!(!lab.wants_refresh(29));
    assert!(lab.wants_refresh(30));
}
