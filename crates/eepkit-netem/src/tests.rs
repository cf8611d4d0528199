use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::*;

mod properties;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MESSAGES: usize = 20_000;

/// An arbitrary start of time.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other source of an Instant"
)]
fn some_instant() -> Instant {
    Instant::now()
}

/// Returns the arrival time of each of `count` messages of `bytes` bytes, offered at intervals of
/// `gap`, or `None` for a lost message.
fn run(
    model: &LinkModel,
    seed: u64,
    count: usize,
    gap: Duration,
    bytes: usize,
) -> Vec<Option<Duration>> {
    let start = some_instant();
    let mut link = Netem::new(seed);
    (0..count)
        .map(|i| {
            let now = start + gap * u32::try_from(i).expect("few messages");
            match link.offer(model, now, bytes) {
                Fate::Arrives { at, .. } => Some(at - now),
                Fate::Dropped(_) => None,
            }
        })
        .collect()
}

fn lost_share(arrivals: &[Option<Duration>]) -> f64 {
    arrivals.iter().filter(|a| a.is_none()).count() as f64 / arrivals.len() as f64
}

/// Lengths of the runs of losses.
fn bursts(arrivals: &[Option<Duration>]) -> Vec<usize> {
    arrivals
        .split(Option::is_some)
        .map(<[_]>::len)
        .filter(|length| *length > 0)
        .collect()
}

#[test]
fn the_default_link_has_no_faults_and_no_delay() {
    let arrivals = run(&LinkModel::default(), 1, 1000, MS, 60_000);

    assert!(arrivals.iter().all(|delay| *delay == Some(Duration::ZERO)));
}

#[test]
fn a_seed_determines_all_fates() {
    let model = LinkModel::default()
        .delay(100 * MS)
        .spread(50 * MS)
        .jitter(20 * MS)
        .loss(Loss::bursts(0.1, 3.0))
        .reorder(0.05, 30 * MS)
        .duplicate(0.05);

    assert_eq!(run(&model, 7, 1000, MS, 100), run(&model, 7, 1000, MS, 100));
    assert_ne!(run(&model, 7, 1000, MS, 100), run(&model, 8, 1000, MS, 100));
}

#[test]
fn random_loss_has_the_configured_share_and_no_longer_runs_than_chance() {
    for share in [0.01, 0.05, 0.1, 0.5] {
        let arrivals = run(
            &LinkModel::default().loss(Loss::random(share)),
            3,
            10 * MESSAGES,
            MS,
            1,
        );

        let lost = lost_share(&arrivals);
        assert!((lost / share - 1.0).abs() < 0.12, "{share}: {lost}");
        let runs = bursts(&arrivals);
        let mean = runs.iter().sum::<usize>() as f64 / runs.len() as f64;
        assert!((mean * (1.0 - share) - 1.0).abs() < 0.05, "{share}: {mean}");
    }
}

#[test]
fn bursts_have_the_configured_share_and_mean_length() {
    for (share, length) in [(0.01, 4.0), (0.05, 10.0), (0.2, 2.0)] {
        let model = LinkModel::default().loss(Loss::bursts(share, length));
        let arrivals = run(&model, 11, 10 * MESSAGES, MS, 1);

        let lost = lost_share(&arrivals);
        assert!((lost / share - 1.0).abs() < 0.12, "{share}: {lost}");
        let runs = bursts(&arrivals);
        let mean = runs.iter().sum::<usize>() as f64 / runs.len() as f64;
        assert!((mean / length - 1.0).abs() < 0.12, "{length}: {mean}");
    }
}

#[test]
fn a_share_too_high_for_the_burst_length_lengthens_the_bursts() {
    let model = LinkModel::default().loss(Loss::bursts(0.8, 1.0));

    let lost = lost_share(&run(&model, 5, MESSAGES, MS, 1));

    assert!((0.78..0.82).contains(&lost), "{lost}");
}

#[test]
fn certain_loss_loses_everything_and_odd_probabilities_are_clamped() {
    for loss in [Loss::random(1.0), Loss::random(7.0), Loss::bursts(1.0, 3.0)] {
        assert_eq!(
            lost_share(&run(&LinkModel::default().loss(loss), 1, 500, MS, 1)),
            1.0
        );
    }
    for loss in [
        Loss::NONE,
        Loss::random(-1.0),
        Loss::random(f64::NAN),
        Loss::bursts(0.0, 9.0),
    ] {
        assert_eq!(
            lost_share(&run(&LinkModel::default().loss(loss), 1, 500, MS, 1)),
            0.0
        );
    }
}

#[test]
fn jitter_stays_in_its_bounds_and_keeps_the_order() {
    let model = LinkModel::default().delay(100 * MS).jitter(40 * MS);
    let arrivals = run(&model, 2, MESSAGES, MS, 1);

    let mut latest = Duration::ZERO;
    let mut distinct = BTreeMap::new();
    for (i, delay) in arrivals.iter().enumerate() {
        let delay = delay.expect("nothing is lost");
        assert!((100 * MS..=140 * MS).contains(&delay), "{delay:?}");
        let at = MS * u32::try_from(i).expect("few messages") + delay;
        assert!(at >= latest);
        latest = at;
        *distinct.entry(delay).or_insert(0) += 1;
    }
    assert!(distinct.len() > 100, "{}", distinct.len());
}

#[test]
fn links_spread_around_the_delay() {
    let model = LinkModel::default().delay(300 * MS).spread(200 * MS);
    let delays: Vec<_> = (0..1000)
        .map(|seed| run(&model, seed, 2, MS, 1))
        .inspect(|two| assert_eq!(two[0], two[1]))
        .filter_map(|two| two[0])
        .collect();

    assert!(
        delays
            .iter()
            .all(|delay| (100 * MS..=500 * MS).contains(delay))
    );
    let mean = delays.iter().sum::<Duration>() / 1000;
    assert!((290 * MS..310 * MS).contains(&mean), "{mean:?}");
    assert!(delays.iter().any(|delay| *delay < 150 * MS));
    assert!(delays.iter().any(|delay| *delay > 450 * MS));
}

#[test]
fn the_rate_is_exact_to_the_byte() {
    let model = LinkModel::default()
        .rate(Rate::bytes_per_second(100_000))
        .queue(Duration::from_secs(100));
    let start = some_instant();
    let mut link = Netem::new(1);

    // A thousand messages at once, 1 kB each: the last leaves after ten seconds.
    let last = (0..1000)
        .map(|_| link.offer(&model, start, 1000))
        .last()
        .expect("a thousand");

    let Fate::Arrives { at, .. } = last else {
        panic!("{last:?}");
    };
    assert_eq!(at - start, Duration::from_secs(10));
}

#[test]
fn an_idle_bottleneck_accumulates_no_credit() {
    let model = LinkModel::default().rate(Rate::bytes_per_second(1000));
    let arrivals = run(&model, 1, 100, 5 * MS, 1);

    assert!(arrivals.iter().all(|delay| *delay == Some(MS)));
}

#[test]
fn messages_that_would_wait_longer_than_the_limit_are_dropped() {
    // 10 ms per message. The queue has room for those that wait 0, 10, ... 100 ms.
    let model = LinkModel::default()
        .rate(Rate::bytes_per_second(100_000))
        .queue(100 * MS);
    let start = some_instant();
    let mut link = Netem::new(1);

    let fates: Vec<_> = (0..20).map(|_| link.offer(&model, start, 1000)).collect();

    let arrived = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Arrives { .. }))
        .count();
    assert_eq!(arrived, 11);
    assert!(
        fates[11..]
            .iter()
            .all(|fate| *fate == Fate::Dropped(LinkDrop::Queue))
    );
    // Once there is room, messages are accepted again.
    assert!(matches!(
        link.offer(&model, start + 50 * MS, 1000),
        Fate::Arrives { .. }
    ));
}

#[test]
fn offered_twice_the_rate_half_is_dropped() {
    let model = LinkModel::default().rate(Rate::bytes_per_second(500_000));
    let arrivals = run(&model, 1, MESSAGES, MS, 1000);

    let lost = lost_share(&arrivals);
    assert!((0.48..0.5).contains(&lost), "{lost}");
}

#[test]
fn reordered_messages_are_overtaken_and_the_others_keep_their_order() {
    let model = LinkModel::default().delay(50 * MS).reorder(0.1, 5 * MS);
    let start = some_instant();
    let mut link = Netem::new(4);
    let mut held = 0;
    for i in 0..10_000 {
        let now = start + MS * i;
        let Fate::Arrives {
            at,
            again,
            reordered,
        } = link.offer(&model, now, 1)
        else {
            panic!("nothing is lost");
        };
        assert_eq!(again, None);
        assert_eq!(at - now, if reordered { 55 * MS } else { 50 * MS });
        held += u32::from(reordered);
    }
    assert!((900..1100).contains(&held), "{held}");
}

#[test]
fn duplicates_have_the_configured_share() {
    let model = LinkModel::default().duplicate(0.2);
    let start = some_instant();
    let mut link = Netem::new(4);

    let twice = (0..10_000)
        .filter(|_| {
            matches!(
                link.offer(&model, start, 1),
                Fate::Arrives { again: Some(_), .. }
            )
        })
        .count();

    assert!((1900..2100).contains(&twice), "{twice}");
}

#[test]
fn a_change_of_the_model_applies_from_the_next_message() {
    let start = some_instant();
    let mut link = Netem::new(1);
    let slow = LinkModel::default().delay(500 * MS);
    let lossy = LinkModel::default().loss(1.0);

    assert!(
        matches!(link.offer(&slow, start, 1), Fate::Arrives { at, .. } if at == start + 500 * MS)
    );
    assert_eq!(link.offer(&lossy, start, 1), Fate::Dropped(LinkDrop::Loss));
    // A shorter delay does not make messages overtake those already on the link.
    let fast = LinkModel::default().delay(10 * MS);
    assert!(
        matches!(link.offer(&fast, start, 1), Fate::Arrives { at, .. } if at == start + 500 * MS)
    );
}

#[test]
fn absurd_sizes_and_rates_do_not_overflow() {
    let model = LinkModel::default()
        .rate(Rate::bytes_per_second(0))
        .queue(Duration::MAX);
    let mut link = Netem::new(1);

    assert!(matches!(
        link.offer(&model, some_instant(), 1 << 20),
        Fate::Arrives { .. }
    ));
    assert_eq!(
        Rate::mib_per_second(u64::MAX).as_bytes_per_second(),
        u64::MAX / 1000
    );
    assert_eq!(
        Rate::bytes_per_second_f64(f64::NAN).time_of(1),
        1000 * SECOND
    );
}

#[test]
fn a_queue_limit_in_bytes_applies_to_waiting_bytes() {
    // Eleven messages: the last one waits behind ten times 1000 bytes.
    let model = LinkModel::default()
        .rate(Rate::bytes_per_second(100_000))
        .queue(Queue::Bytes(10_000));
    let start = some_instant();
    let mut link = Netem::new(1);

    let fates: Vec<_> = (0..20).map(|_| link.offer(&model, start, 1000)).collect();

    let arrived = |fate: &&Fate| matches!(fate, Fate::Arrives { .. });
    assert_eq!(fates.iter().filter(arrived).count(), 11);
    assert!(fates[..11].iter().all(|fate| arrived(&fate)));
    assert_eq!(link.queueing_delay(start), 110 * MS);
    assert_eq!(link.queueing_delay(start + 200 * MS), Duration::ZERO);
}

#[test]
fn long_messages_are_lost_as_often_as_one_of_their_pieces_is() {
    let model = LinkModel::default().loss(0.1).loss_unit(1000);
    for (bytes, share) in [(100, 0.1), (1000, 0.1), (3000, 1.0 - 0.9_f64.powi(3))] {
        let lost = lost_share(&run(&model, 3, MESSAGES, MS, bytes));
        assert!((lost / share - 1.0).abs() < 0.1, "{bytes}: {lost}");
    }
}

#[test]
fn messages_are_held_back_by_different_times_up_to_the_longest() {
    let model = LinkModel::default().reorder_up_to(1.0, 100 * MS);
    let arrivals = run(&model, 1, 1000, MS, 1);

    assert!(arrivals.iter().flatten().all(|delay| *delay <= 100 * MS));
    let mean = arrivals.iter().flatten().sum::<Duration>() / 1000;
    assert!((45 * MS..55 * MS).contains(&mean), "{mean:?}");
}

#[test]
fn duplicates_have_a_jitter_of_their_own_and_keep_the_order() {
    let model = LinkModel::default().jitter(100 * MS).duplicate(1.0);
    let start = some_instant();
    let mut link = Netem::new(1);
    let mut apart = 0;
    for i in 0..100 {
        // Far enough apart that each message is alone on the link.
        let Fate::Arrives {
            at,
            again: Some(again),
            ..
        } = link.offer(&model, start + 200 * MS * i, 1)
        else {
            panic!("every message arrives twice");
        };
        assert!(again >= at);
        apart += u32::from(again > at);
    }
    assert!((30..70).contains(&apart), "{apart}");
}

#[test]
fn a_rate_may_have_a_fractional_part() {
    let third = Rate::bytes_per_second_f64(1e6 / 3.0);

    assert_eq!(third.time_of(2056), Duration::from_micros(6168));
    assert_eq!(third.as_bytes_per_second(), 333_333);
}
