#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use super::*;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;
const RTT: Option<Duration> = Some(Duration::from_millis(800));
const SWITCHED: Option<Switched> = Some(Switched {
    rtt: RTT,
    failed: false,
});

fn way(id: u64, outbound: u64, lease: u64, expires: Option<Instant>) -> Way {
    Way {
        id,
        outbound,
        lease,
        expires,
    }
}

/// The ways with one lane on them.
#[derive(Default)]
struct One {
    ways: Ways,
    cursor: Cursor,
}

impl One {
    fn set(&mut self, now: Instant, ways: &[Way]) -> Option<Switched> {
        self.ways.set(ways);
        self.ways.follow(now, &mut self.cursor, &Taken::default())
    }

    fn next(&mut self, now: Instant) -> u64 {
        self.ways.next(now, &mut self.cursor, &Taken::default())
    }

    fn probe(&mut self, now: Instant, attempt: u32) -> u64 {
        self.ways.probe(now, &mut self.cursor, attempt)
    }

    fn renew(&mut self, now: Instant) -> Option<Switched> {
        self.ways.renew(now, &mut self.cursor, &Taken::default())
    }

    fn on_ack(&mut self, now: Instant, path: u64) -> Option<Switched> {
        self.ways.on_ack(now, &mut self.cursor, path, now, RTT)
    }

    fn give_up(&mut self, now: Instant) -> Option<Switched> {
        self.ways.give_up(now, &mut self.cursor, &Taken::default())
    }
}

#[test]
fn without_ways_the_router_chooses() {
    let now = Instant::now();
    let mut ways = One::default();
    assert_eq!(ways.next(now), 0);
    assert_eq!(ways.probe(now, 1), 0);
    assert_eq!(ways.renew(now), None);
    assert_eq!(ways.give_up(now), None);
}

#[test]
fn probes_first_try_a_way_that_has_nothing_in_common_with_that_in_use() {
    let now = Instant::now();
    let mut ways = One::default();
    let all = [
        way(1, 1, 1, None),
        way(2, 2, 1, None),
        way(3, 1, 2, None),
        way(4, 2, 2, None),
    ];
    assert!(ways.set(now, &all).is_some());
    assert_eq!(ways.cursor.active(), 1);
    let probes: Vec<u64> = (1..=4).map(|attempt| ways.probe(now, attempt)).collect();
    assert_eq!(probes, [4, 2, 3, 4]);
}

#[test]
fn a_way_is_left_when_only_the_probe_is_answered() {
    let now = Instant::now();
    let mut ways = One::default();
    ways.set(now, &[way(1, 1, 1, None), way(2, 2, 1, None)]);
    // Without a probe, an answer over another way proves nothing.
    assert_eq!(ways.on_ack(now, 2), None);
    ways.probe(now, 1);
    // The way in use was only slow.
    ways.on_ack(now, 1);
    assert_eq!(ways.on_ack(now, 2), None);
    ways.probe(now, 1);
    assert_eq!(ways.on_ack(now, 2), SWITCHED);
    assert_eq!(
        (ways.cursor.active(), ways.ways.dead, ways.ways.failures),
        (2, 1, 1)
    );
}

#[test]
fn a_way_that_ends_is_followed_by_one_that_was_tried_before() {
    let now = Instant::now();
    let mut ways = One::default();
    let all = [
        way(1, 1, 1, Some(now + SECONDS(100))),
        way(2, 2, 2, Some(now + SECONDS(600))),
    ];
    ways.set(now, &all[..1]);
    ways.set(now, &all);
    assert_eq!(ways.cursor.active(), 1, "no reason to change yet");
    let count = |ways: &mut One, at| (0..160).filter(|_| ways.next(at) == 2).count();
    assert_eq!(count(&mut ways, now), 0);
    let warm = now + SECONDS(45);
    assert_eq!(count(&mut ways, warm), 10);
    assert_eq!(ways.renew(now + SECONDS(75)), None, "never tried");
    ways.on_ack(warm, 2);
    assert_eq!(ways.renew(warm), None, "not yet");
    assert_eq!(ways.renew(now + SECONDS(75)), SWITCHED);
    assert_eq!(ways.next(now + SECONDS(76)), 2);
}

#[test]
fn a_way_that_is_gone_is_replaced_at_once() {
    let now = Instant::now();
    let mut ways = One::default();
    ways.set(now, &[way(1, 1, 1, None), way(2, 2, 2, None)]);
    assert!(ways.set(now, &[way(2, 2, 2, None)]).is_some());
    assert_eq!(ways.cursor.active(), 2);
    assert!(ways.set(now, &[]).is_some());
    assert_eq!(ways.cursor.active(), 0);
}

#[test]
fn lanes_share_neither_tunnel_nor_lease() {
    let now = Instant::now();
    let mut ways = Ways::default();
    let [mut first, mut second, mut third] = [Cursor::default(); 3];
    ways.set(&[
        way(1, 1, 1, None),
        way(2, 1, 2, None),
        way(3, 2, 1, None),
        way(4, 2, 2, None),
    ]);
    let taken = ways.taken([].iter());
    assert!(ways.begin(now, &mut first, &taken).is_some());
    let taken = ways.taken([first].iter());
    assert!(ways.begin(now, &mut second, &taken).is_some());
    assert_eq!((first.active(), second.active()), (1, 4));
    let taken = ways.taken([first, second].iter());
    assert_eq!(ways.begin(now, &mut third, &taken), None);
}

#[test]
fn a_lane_whose_way_is_dead_waits_until_another_is_free_or_the_way_may_be_tried_again() {
    let now = Instant::now();
    let mut ways = Ways::default();
    let [mut first, mut second] = [Cursor::default(); 2];
    ways.set(&[way(1, 1, 1, None), way(2, 2, 2, None)]);
    ways.begin(now, &mut first, &ways.taken([].iter()));
    let taken = ways.taken([first].iter());
    ways.begin(now, &mut second, &taken);
    assert!(ways.abandon(now, &mut second, &taken).is_some());
    assert_eq!((second.active(), ways.dead), (0, 2));
    assert_eq!(ways.begin(now + SECONDS(59), &mut second, &taken), None);
    let again = ways.begin(now + SECONDS(60), &mut second, &taken);
    assert!(again.is_some_and(|switched| switched.failed));
    assert_eq!(second.active(), 2);
}
