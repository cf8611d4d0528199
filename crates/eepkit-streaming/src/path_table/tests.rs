#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use eepkit_wire::Hash;

use super::*;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;
const RTT: Option<Duration> = Some(Duration::from_millis(800));
const MIGRATED: Option<Migration> = Some(Migration {
    rtt: RTT,
    failed: false,
});

fn path(id: u64, tunnel: u64, lease: u32, expires: Option<Instant>) -> Path {
    Path {
        id: PathId(id),
        tunnel: TunnelId(tunnel),
        lease: LeaseId {
            gateway: Hash::new([0; 32]),
            tunnel: lease,
        },
        expires,
    }
}

/// A table with one active path.
#[derive(Default)]
struct Single {
    table: PathTable,
    active: ActivePath,
}

impl Single {
    fn set(&mut self, now: Instant, paths: &[Path]) -> Option<Migration> {
        self.table.set(paths);
        self.table
            .replace_gone(now, &mut self.active, &InUse::default())
    }

    fn next(&mut self, now: Instant) -> u64 {
        self.table.next(now, &mut self.active, &InUse::default()).0
    }

    fn probe(&mut self, now: Instant) -> u64 {
        self.table.probe(now, &mut self.active).0
    }

    fn renew(&mut self, now: Instant) -> Option<Migration> {
        self.table.renew(now, &mut self.active, &InUse::default())
    }

    fn on_ack(&mut self, now: Instant, path: u64) -> Option<Migration> {
        self.table
            .on_ack(now, &mut self.active, PathId(path), now, RTT)
    }

    fn give_up(&mut self, now: Instant) -> Option<Migration> {
        self.table.give_up(now, &mut self.active, &InUse::default())
    }

    fn active(&self) -> u64 {
        self.active.id().0
    }
}

#[test]
fn without_paths_the_router_chooses() {
    let now = Instant::now();
    let mut single = Single::default();
    assert_eq!(single.next(now), 0);
    assert_eq!(single.probe(now), 0);
    assert_eq!(single.renew(now), None);
    assert_eq!(single.give_up(now), None);
}

#[test]
fn the_first_probe_takes_a_path_that_shares_nothing_with_the_active_one() {
    let now = Instant::now();
    let mut single = Single::default();
    let all = [
        path(1, 1, 1, None),
        path(2, 2, 1, None),
        path(3, 1, 2, None),
        path(4, 2, 2, None),
    ];
    assert!(single.set(now, &all).is_some());
    assert_eq!(single.active(), 1);
    let probes: Vec<u64> = (1..=4).map(|_| single.probe(now)).collect();
    assert_eq!(probes, [4, 2, 3, 4]);
}

#[test]
fn probes_soon_take_the_only_tunnel_that_works() {
    let now = Instant::now();
    for works in 1..=3 {
        let mut single = Single::default();
        let mut all = Vec::new();
        for (tunnel, lease) in [1, 2, 3].into_iter().flat_map(|t| [(t, 1), (t, 2), (t, 3)]) {
            all.push(path(10 * tunnel + u64::from(lease), tunnel, lease, None));
        }
        single.set(now, &all);
        let tunnels: Vec<u64> = (0..3).map(|_| single.probe(now) / 10).collect();
        let is_tried = tunnels.contains(&works) || single.active() / 10 == works;
        assert!(is_tried, "{tunnels:?}");
    }
}

#[test]
fn a_path_fails_when_only_the_probe_is_acknowledged() {
    let now = Instant::now();
    let mut single = Single::default();
    single.set(now, &[path(1, 1, 1, None), path(2, 2, 1, None)]);
    // Without a probe, an acknowledgement of another path proves nothing.
    assert_eq!(single.on_ack(now, 2), None);
    single.probe(now);
    // The active path was only slow.
    single.on_ack(now, 1);
    assert_eq!(single.on_ack(now, 2), None);
    single.probe(now);
    assert_eq!(single.on_ack(now, 2), MIGRATED);
    assert_eq!(single.active(), 2);
    assert_eq!(
        (single.table.last_failed, single.table.failures),
        (PathId(1), 1)
    );
}

#[test]
fn a_path_that_expires_is_followed_by_one_that_was_measured_before() {
    let now = Instant::now();
    let mut single = Single::default();
    let all = [
        path(1, 1, 1, Some(now + SECONDS(100))),
        path(2, 2, 2, Some(now + SECONDS(600))),
    ];
    single.set(now, &all[..1]);
    single.set(now, &all);
    assert_eq!(single.active(), 1, "no reason to migrate yet");
    let count = |single: &mut Single, at| (0..160).filter(|_| single.next(at) == 2).count();
    assert_eq!(count(&mut single, now), 0);
    let warm = now + SECONDS(45);
    assert_eq!(count(&mut single, warm), 10);
    assert_eq!(single.renew(now + SECONDS(75)), None, "never measured");
    single.on_ack(warm, 2);
    assert_eq!(single.renew(warm), None, "not yet");
    assert_eq!(single.renew(now + SECONDS(75)), MIGRATED);
    assert_eq!(single.next(now + SECONDS(76)), 2);
}

#[test]
fn a_path_that_is_gone_is_replaced_at_once() {
    let now = Instant::now();
    let mut single = Single::default();
    single.set(now, &[path(1, 1, 1, None), path(2, 2, 2, None)]);
    assert!(single.set(now, &[path(2, 2, 2, None)]).is_some());
    assert_eq!(single.active(), 2);
    assert!(single.set(now, &[]).is_some());
    assert_eq!(single.active(), 0);
}

#[test]
fn active_paths_share_neither_tunnel_nor_lease() {
    let now = Instant::now();
    let mut table = PathTable::default();
    let [mut first, mut second, mut third] = [ActivePath::default(); 3];
    table.set(&[
        path(1, 1, 1, None),
        path(2, 1, 2, None),
        path(3, 2, 1, None),
        path(4, 2, 2, None),
    ]);
    let in_use = table.in_use([].iter());
    assert!(table.assign(now, &mut first, &in_use).is_some());
    let in_use = table.in_use([first].iter());
    assert!(table.assign(now, &mut second, &in_use).is_some());
    assert_eq!((first.id(), second.id()), (PathId(1), PathId(4)));
    let in_use = table.in_use([first, second].iter());
    assert_eq!(table.assign(now, &mut third, &in_use), None);
}

#[test]
fn a_path_that_failed_is_tried_again_only_after_a_minute() {
    let now = Instant::now();
    let mut table = PathTable::default();
    let [mut first, mut second] = [ActivePath::default(); 2];
    table.set(&[path(1, 1, 1, None), path(2, 2, 2, None)]);
    table.assign(now, &mut first, &table.in_use([].iter()));
    let in_use = table.in_use([first].iter());
    table.assign(now, &mut second, &in_use);
    assert!(table.abandon(now, &mut second, &in_use).is_some());
    assert_eq!((second.id(), table.last_failed), (PathId::ANY, PathId(2)));
    assert_eq!(table.assign(now + SECONDS(59), &mut second, &in_use), None);
    let again = table.assign(now + SECONDS(60), &mut second, &in_use);
    assert!(again.is_some_and(|migration| migration.failed));
    assert_eq!(second.id(), PathId(2));
}
