//! Properties that hold for every model.

use proptest::prelude::*;

use super::*;

fn time(most_ms: u64) -> impl Strategy<Value = Duration> {
    (0..=most_ms * 1000).prop_map(Duration::from_micros)
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        Just(Loss::NONE),
        Just(Loss::ALL),
        (0.0..0.5).prop_map(Loss::random),
        (0.0..0.5, 1.0..20.0).prop_map(|(share, length)| Loss::bursts(share, length)),
        (0.0..=1.0, 0.0..=1.0, 0.0..=1.0, 0.0..=1.0).prop_map(|(worsen, recover, good, bad)| {
            Loss::gilbert_elliott(worsen, recover, good, bad)
        }),
    ]
}

fn queue() -> impl Strategy<Value = Queue> {
    prop_oneof![
        time(500).prop_map(Queue::Time),
        (0..200_000_u64).prop_map(Queue::Bytes),
    ]
}

prop_compose! {
    fn model()(
        delay in time(2000),
        spread in time(500),
        jitter in time(200),
        loss in loss(),
        unit in proptest::option::of(1..2000_usize),
        rate in proptest::option::of(1..4_000_000_u64),
        queue in queue(),
        (up_to, reorder, hold_back) in (any::<bool>(), 0.0..=1.0, time(300)),
        duplicate in 0.0..=1.0,
    ) -> LinkModel {
        let model = LinkModel::default()
            .delay(delay)
            .spread(spread)
            .jitter(jitter)
            .loss(loss)
            .loss_unit(unit)
            .rate(rate.map(Rate::bytes_per_second))
            .queue(queue)
            .duplicate(duplicate);
        if up_to {
            model.reorder_up_to(reorder, hold_back)
        } else {
            model.reorder(reorder, hold_back)
        }
    }
}

/// Messages: the time since the previous one, and the length.
fn traffic() -> impl Strategy<Value = Vec<(Duration, usize)>> {
    proptest::collection::vec((time(50), 0..2000_usize), 1..200)
}

/// Offers the messages and returns for each the time of the offer and the fate.
fn fates(
    model: &LinkModel,
    seed: u64,
    start: Instant,
    traffic: &[(Duration, usize)],
) -> Vec<(Instant, Fate)> {
    let mut link = Netem::new(seed);
    let mut now = start;
    let offer = |(gap, bytes): &(Duration, usize)| {
        now += *gap;
        (now, link.offer(model, now, *bytes))
    };
    traffic.iter().map(offer).collect()
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_fates(model in model(), seed: u64, traffic in traffic()) {
        let start = some_instant();
        prop_assert_eq!(
            fates(&model, seed, start, &traffic),
            fates(&model, seed, start, &traffic)
        );
    }

    #[test]
    fn nothing_arrives_before_its_delay(model in model(), seed: u64, traffic in traffic()) {
        for (offered, fate) in fates(&model, seed, some_instant(), &traffic) {
            if let Fate::Arrives { at, again, .. } = fate {
                let least = offered + model.delay.saturating_sub(model.spread);
                prop_assert!(at >= least);
                prop_assert!(again.is_none_or(|again| again >= least));
            }
        }
    }

    #[test]
    fn messages_that_are_not_reordered_arrive_in_order(model in model(), seed: u64, traffic in traffic()) {
        let mut latest = None;
        for (_, fate) in fates(&model, seed, some_instant(), &traffic) {
            if let Fate::Arrives { at, again, reordered: false } = fate {
                prop_assert!(latest.is_none_or(|latest| latest <= at));
                prop_assert!(again.is_none_or(|again| again >= at));
                latest = Some(again.unwrap_or(at));
            }
        }
    }

    #[test]
    fn the_rate_is_respected_and_the_queue_limited(
        rate in 1000..4_000_000_u64,
        limit in queue(),
        delay in time(500),
        traffic in traffic(),
    ) {
        let rate = Rate::bytes_per_second(rate);
        let model = LinkModel::default().delay(delay).rate(rate).queue(limit);
        let longest = match limit {
            Queue::Time(time) => time,
            Queue::Bytes(bytes) => rate.time_of(usize::try_from(bytes).unwrap()),
        };
        let mut latest: Option<Instant> = None;
        let fates = fates(&model, 1, some_instant(), &traffic);
        for ((offered, fate), (_, bytes)) in fates.into_iter().zip(&traffic) {
            let transmission = rate.time_of(*bytes);
            match fate {
                Fate::Arrives { at, .. } => {
                    // Each message has the link for itself while it is transmitted.
                    let begins = latest.map_or(offered + delay, |latest| latest.max(offered + delay));
                    prop_assert_eq!(at, begins + transmission);
                    let nanosecond = Duration::from_nanos(1);
                    prop_assert!(at - offered <= delay + longest + transmission + nanosecond);
                    latest = Some(at);
                }
                Fate::Dropped(cause) => prop_assert_eq!(cause, LinkDrop::Queue),
            }
        }
    }

    #[test]
    fn delay_and_jitter_do_not_change_which_messages_are_lost(
        loss in loss(),
        (delay, jitter) in (time(500), time(500)),
        seed: u64,
        traffic in traffic(),
    ) {
        let lost = |model: &LinkModel| {
            let fates = fates(model, seed, some_instant(), &traffic);
            let lost = |(_, fate): (Instant, Fate)| matches!(fate, Fate::Dropped(_));
            fates.into_iter().map(lost).collect::<Vec<_>>()
        };
        let model = LinkModel::default().loss(loss);
        prop_assert_eq!(lost(&model), lost(&model.delay(delay).jitter(jitter)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn in_the_long_run_the_share_of_loss_is_the_configured_one(
        share in 0.02..0.6_f64,
        length in 1.0..5.0_f64,
        seed: u64,
    ) {
        for (loss, tolerance) in [(Loss::random(share), 0.1), (Loss::bursts(share, length), 0.2)] {
            let model = LinkModel::default().loss(loss);
            let lost = lost_share(&run(&model, seed, 20 * MESSAGES, MS, 1));
            prop_assert!((lost / share - 1.0).abs() < tolerance, "{loss:?}: {lost}");
        }
    }
}
