#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

use super::*;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;
const RTT: Option<Duration> = Some(Duration::from_millis(800));

fn way(id: u64, outbound: u64, lease: u64, expires: Option<Instant>) -> Way {
    Way {
        id,
        outbound,
        lease,
        expires,
    }
}

#[test]
fn without_ways_the_router_chooses() {
    let now = Instant::now();
    let mut ways = Ways::default();
    assert_eq!(ways.next(now), 0);
    assert_eq!(ways.probe(now, 1), 0);
    assert_eq!(ways.renew(now), None);
    assert_eq!(ways.give_up(now), None);
}

#[test]
fn probes_try_another_tunnel_first_and_then_another_lease() {
    let now = Instant::now();
    let mut ways = Ways::default();
    let all = [way(1, 1, 1, None), way(2, 2, 1, None), way(3, 2, 2, None)];
    assert!(ways.set(now, &all).is_some());
    assert_eq!(ways.active(), 1);
    assert_eq!(ways.probe(now, 1), 2);
    assert_eq!(ways.probe(now, 2), 3);
}

#[test]
fn a_way_is_left_when_only_the_probe_is_answered() {
    let now = Instant::now();
    let mut ways = Ways::default();
    ways.set(now, &[way(1, 1, 1, None), way(2, 2, 1, None)]);
    // Without a probe, an answer over another way proves nothing.
    assert_eq!(ways.on_ack(now, 2, now, RTT), None);
    ways.probe(now, 1);
    // The way in use was only slow.
    ways.on_ack(now, 1, now, RTT);
    assert_eq!(ways.on_ack(now, 2, now, RTT), None);
    ways.probe(now, 1);
    assert_eq!(ways.on_ack(now, 2, now, RTT), Some(Switched { rtt: RTT }));
    assert_eq!((ways.active(), ways.dead, ways.failures), (2, 1, 1));
}

#[test]
fn a_way_that_ends_is_followed_by_one_that_was_tried_before() {
    let now = Instant::now();
    let mut ways = Ways::default();
    let all = [
        way(1, 1, 1, Some(now + SECONDS(100))),
        way(2, 2, 2, Some(now + SECONDS(600))),
    ];
    ways.set(now, &all[..1]);
    ways.set(now, &all);
    assert_eq!(ways.active(), 1, "no reason to change yet");
    let count = |ways: &mut Ways, at| (0..160).filter(|_| ways.next(at) == 2).count();
    assert_eq!(count(&mut ways, now), 0);
    let warm = now + SECONDS(45);
    assert_eq!(count(&mut ways, warm), 10);
    assert_eq!(ways.renew(now + SECONDS(75)), None, "never tried");
    ways.on_ack(warm, 2, warm, RTT);
    assert_eq!(ways.renew(warm), None, "not yet");
    assert_eq!(ways.renew(now + SECONDS(75)), Some(Switched { rtt: RTT }));
    assert_eq!(ways.next(now + SECONDS(76)), 2);
}

#[test]
fn a_way_that_is_gone_is_replaced_at_once() {
    let now = Instant::now();
    let mut ways = Ways::default();
    ways.set(now, &[way(1, 1, 1, None), way(2, 2, 2, None)]);
    assert!(ways.set(now, &[way(2, 2, 2, None)]).is_some());
    assert_eq!(ways.active(), 2);
    assert!(ways.set(now, &[]).is_some());
    assert_eq!(ways.active(), 0);
}
