use eepkit_link::TunnelDownReason;
use eepkit_wire::{Destination, Lease, Mapping, PrivateKeys, SignatureType};
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;

fn peer() -> Destination {
    let mut rng = StdRng::seed_from_u64(7);
    PrivateKeys::generate(SignatureType::ED25519, &mut rng)
        .expect("Ed25519 keys can be made")
        .destination()
        .clone()
}

fn at(second: u64) -> Now {
    // Tests compare instants of one runtime clock only with one another.
    thread_local!(static START: Instant = Instant::now());
    Now {
        instant: START.with(|start| *start) + Duration::from_secs(second),
        unix_ms: 1_000_000 + second * 1000,
    }
}

fn up(path: u64, until: u64) -> Event {
    Event::TunnelUp {
        tunnel: TunnelId(path),
        direction: Direction::Outbound,
        expires: Some(at(until).instant),
        hops: 1,
        lease: None,
    }
}

fn answer(destination: &Destination, tunnels: &[(u32, u64)]) -> LookupAnswer {
    LookupAnswer {
        destination: destination.clone(),
        leases: tunnels
            .iter()
            .map(|(tunnel, until)| Lease {
                gateway: Hash::of(b"gateway"),
                tunnel: *tunnel,
                end: at(*until).unix_ms,
            })
            .collect(),
        options: Mapping::default(),
    }
}

/// The way of a message that takes the best pair.
fn route(routes: &mut Routes, to: &Hash, now: Now) -> Decision {
    routes.pairs(to, now);
    let best = routes
        .peers
        .get(to)
        .and_then(|peer| peer.pairs.first())
        .map_or(PathId::ANY, |(pair, _, _)| pair.id);
    routes.route(to, best, now)
}

fn pinned(decision: Decision) -> (u64, u32) {
    match decision {
        Decision::Take(PathChoice::Pinned { outbound, lease }) => (outbound.0, lease.tunnel),
        other => panic!("not pinned: {other:?}"),
    }
}

/// Routes with two tunnels, and a peer with two leases.
fn known() -> (Routes, Destination, Hash) {
    with_leases(&[(10, 600), (11, 600)])
}

fn with_leases(leases: &[(u32, u64)]) -> (Routes, Destination, Hash) {
    let (mut routes, destination) = (Routes::default(), peer());
    let hash = destination.hash();
    routes.on_event(&up(1, 600));
    routes.on_event(&up(2, 600));
    assert!(routes.wants_search(&hash, at(0)));
    routes.searched(&hash, Some(&answer(&destination, leases)), at(0));
    (routes, destination, hash)
}

#[test]
fn a_link_without_paths_gets_auto_and_no_searches() {
    let mut routes = Routes::default();
    let hash = peer().hash();
    assert!(!routes.wants_search(&hash, at(0)));
    assert_eq!(
        route(&mut routes, &hash, at(0)),
        Decision::Take(PathChoice::Auto)
    );
}

#[test]
fn an_unknown_peer_gets_auto_until_its_leases_are_known() {
    let mut routes = Routes::default();
    let hash = peer().hash();
    routes.on_event(&up(1, 600));
    assert!(routes.wants_search(&hash, at(0)));
    assert!(!routes.wants_search(&hash, at(0)), "one at a time");
    assert_eq!(
        route(&mut routes, &hash, at(0)),
        Decision::Take(PathChoice::Auto)
    );
}

#[test]
fn pairs_are_told_once_and_keep_their_names() {
    let (mut routes, _, hash) = known();
    let pairs = routes.pairs(&hash, at(1)).expect("known");
    assert_eq!(pairs.len(), 4);
    assert_ne!(pairs[0].tunnel, pairs[1].tunnel);
    assert_ne!(pairs[0].lease, pairs[1].lease);
    assert_eq!(pairs[0].expires, Some(at(600).instant.into_std()));
    assert_eq!(routes.pairs(&hash, at(2)), None);
    let first = pinned(routes.route(&hash, pairs[0].id, at(2)));
    routes.on_event(&up(3, 500));
    let more = routes.pairs(&hash, at(3)).expect("changed");
    assert_eq!(more.len(), 6);
    assert!(pairs.iter().all(|pair| more.contains(pair)));
    assert_eq!(pinned(routes.route(&hash, pairs[0].id, at(500))), first);
}

#[test]
fn a_tunnel_that_went_down_is_replaced() {
    let (mut routes, _, hash) = known();
    let (path, _) = pinned(route(&mut routes, &hash, at(1)));
    routes.on_event(&Event::TunnelDown {
        tunnel: TunnelId(path),
        reason: TunnelDownReason::Failed,
    });
    let (other, _) = pinned(route(&mut routes, &hash, at(1)));
    assert_ne!(other, path);
}

#[test]
fn a_suspect_lease_comes_last_and_is_searched_anew() {
    let (mut routes, _, hash) = known();
    let (_, lease) = pinned(route(&mut routes, &hash, at(1)));
    assert!(!routes.wants_search(&hash, at(1)));
    routes.suspect(&hash, at(1));
    assert!(routes.wants_search(&hash, at(1)));
    let (_, other_lease) = pinned(route(&mut routes, &hash, at(1)));
    assert_ne!(other_lease, lease);
}

#[test]
fn a_search_that_fails_is_repeated_while_the_way_is_suspect() {
    let (mut routes, destination, hash) = with_leases(&[(10, 600)]);
    pinned(route(&mut routes, &hash, at(1)));
    routes.suspect(&hash, at(1));
    assert_eq!(
        route(&mut routes, &hash, at(1)),
        Decision::Take(PathChoice::Auto),
        "the only lease is suspect"
    );
    assert!(routes.wants_search(&hash, at(1)));
    routes.searched(&hash, None, at(2));
    assert!(!routes.wants_search(&hash, at(2)), "not all the time");
    assert!(routes.wants_search(&hash, at(7)));
    routes.searched(&hash, Some(&answer(&destination, &[(20, 600)])), at(8));
    assert_eq!(pinned(route(&mut routes, &hash, at(8))).1, 20);
}

#[test]
fn leases_are_searched_before_the_last_one_ends() {
    let (mut routes, destination, hash) = known();
    assert!(!routes.wants_search(&hash, at(509)));
    assert!(routes.wants_search(&hash, at(511)));
    routes.searched(&hash, None, at(512));
    assert!(!routes.wants_search(&hash, at(512)), "not all the time");
    assert!(routes.wants_search(&hash, at(517)));
    routes.searched(&hash, Some(&answer(&destination, &[(12, 900)])), at(518));
    routes.on_event(&up(4, 1200));
    assert_eq!(pinned(route(&mut routes, &hash, at(601))).1, 12);
}

#[test]
fn without_a_living_lease_the_router_chooses() {
    let (mut routes, _, hash) = known();
    route(&mut routes, &hash, at(1));
    assert_eq!(
        route(&mut routes, &hash, at(600)),
        Decision::Take(PathChoice::Auto)
    );
}

#[test]
fn credit_holds_messages_back_until_there_is_more() {
    let (mut routes, _, hash) = known();
    for path in [1, 2] {
        routes.on_event(&Event::Credit {
            tunnel: TunnelId(path),
            messages: 2,
        });
    }
    let first = pinned(route(&mut routes, &hash, at(1))).0;
    assert_eq!(pinned(route(&mut routes, &hash, at(1))).0, first);
    assert_eq!(route(&mut routes, &hash, at(1)), Decision::Wait);
    routes.on_event(&Event::Credit {
        tunnel: TunnelId(first),
        messages: 1,
    });
    assert_eq!(pinned(route(&mut routes, &hash, at(1))).0, first);
}

#[test]
fn peers_are_bounded() {
    let mut routes = Routes::default();
    routes.on_event(&up(1, 600));
    for number in 0..MAX_PEERS as u32 + 10 {
        routes.wants_search(&Hash::of(&number.to_be_bytes()), at(u64::from(number)));
    }
    assert_eq!(routes.peers.len(), MAX_PEERS);
}

#[test]
fn a_lease_that_is_no_longer_told_is_good_to_its_end() {
    let (mut routes, destination, hash) = known();
    let before = routes.pairs(&hash, at(1)).expect("known");
    pinned(routes.route(&hash, before[0].id, at(1)));
    let newer = answer(&destination, &[(20, 900), (21, 900)]);
    routes.searched(&hash, Some(&newer), at(540));
    let after = routes.pairs(&hash, at(540)).expect("changed");
    assert_eq!(after.len(), 2 * 4);
    assert!(after.iter().any(|pair| pair.id == before[0].id));
    // One that is suspect is not.
    routes.suspect(&hash, at(550));
    routes.searched(&hash, Some(&newer), at(551));
    assert_eq!(routes.pairs(&hash, at(551)).expect("changed").len(), 2 * 2);
}

#[test]
fn pairs_in_use_are_told_however_many_there_are() {
    let leases: Vec<(u32, u64)> = (0..8).map(|number| (10 + number, 600)).collect();
    let (mut routes, _, hash) = with_leases(&leases);
    let before = routes.pairs(&hash, at(1)).expect("known");
    assert_eq!(before.len(), 16);
    for pair in [before[3], before[15]] {
        pinned(routes.route(&hash, pair.id, at(1)));
    }
    for path in 3..10 {
        routes.on_event(&up(path, 1200));
    }
    let after = routes.pairs(&hash, at(2)).expect("changed");
    assert_eq!(after.len(), 16);
    for pair in [before[3], before[15]] {
        assert!(after.contains(&pair), "{pair:?}");
    }
}

#[test]
fn without_paths_leases_are_looked_up_when_a_peer_falls_silent_but_not_all_the_time() {
    let mut routes = Routes::default();
    let hash = peer().hash();
    routes.suspect(&hash, at(0));
    assert!(routes.wants_refresh(&hash, at(0)));
    assert!(!routes.wants_refresh(&hash, at(20)), "one at a time");
    routes.searched(&hash, None, at(20));
    assert!(routes.wants_refresh(&hash, at(20)));
    routes.searched(&hash, None, at(21));
    routes.suspect(&hash, at(29));
    assert!(!routes.wants_refresh(&hash, at(29)));
    assert!(routes.wants_refresh(&hash, at(30)));
    routes.on_event(&up(1, 600));
    assert!(!routes.wants_refresh(&hash, at(99)));
}
