use proptest::{prelude::*, test_runner::RngSeed};

use self::path::{Network, Path};
use super::{
    super::{
        RateSample,
        tests::{LIMITS, ack, keeps_to_its_bounds},
    },
    *,
};

mod path;

const RTT: Duration = Duration::from_millis(500);
const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

fn nothing(_: &path::Sender, _: &Path) {}

/// Paths from 60 KB/s to 2 MB/s, of 0.2 to 2 s, with a queue of at least 0.2 s.
fn any_path() -> impl Strategy<Value = Path> {
    (30.0..1000.0_f64, 200..2000_u64, 0.2..2.0_f64, 0..40_u64).prop_map(
        |(rate, base_rtt, queue, jitter)| Path {
            rate,
            base_rtt: MS(base_rtt),
            queue: (rate * queue).max(20.0),
            jitter: MS(jitter),
            loss: 0.0,
            stalls: (0.0, Duration::ZERO),
        },
    )
}

/// Packets per second after a minute, on this path with one sender.
fn goodput(path: &Path, seed: u64) -> f64 {
    let mut network = Network::new(path.clone(), seed);
    network.add_sender();
    network.run(S(60), nothing);
    network.run(S(60), nothing).0[0]
}

proptest! {
    // The same paths in each run: on one path of a few hundred, chance exceeds a bound.
    #![proptest_config(ProptestConfig {
        cases: 16,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_sender_fills_a_path_with_a_short_queue(path in any_path(), seed: u64) {
        let mut network = Network::new(path.clone(), seed);
        network.add_sender();
        network.run(S(60), nothing);
        let (rates, queue) = network.run(S(60), nothing);
        prop_assert!(rates[0] > 0.9 * path.rate, "{} of {}", rates[0], path.rate);
        // alpha packets, at most 0.2 s, the noise, and what is left of a longer queue.
        let target = (5.0 / path.rate).min(0.2) + 0.08;
        let limit = target + 0.05 + path.base_rtt.as_secs_f64() / 20.0;
        prop_assert!(queue.as_secs_f64() < limit, "{queue:?}, target {target}");
    }

    #[test]
    fn the_cwnd_is_never_below_what_the_delivery_rate_justifies(
        path in any_path(),
        loss in 0.0..0.2_f64,
        seed: u64,
    ) {
        let path = Path { loss, ..path };
        let mut network = Network::new(path, seed);
        network.add_sender();
        let mut lowest = f64::INFINITY;
        network.run(S(20), nothing);
        network.run(S(120), |sender, path| {
            let rate = sender.rate.min(path.rate);
            let bdp = rate * path.base_rtt.as_secs_f64();
            lowest = lowest.min((f64::from(sender.controller.cwnd()) + 2.0) / bdp);
        });
        prop_assert!(lowest > 0.5, "{lowest}");
    }

    #[test]
    fn another_capacity_is_used_after_thirty_rounds(
        path in any_path(),
        change in prop_oneof![0.4..0.7_f64, 1.5..3.0_f64],
        seed: u64,
    ) {
        let mut network = Network::new(path, seed);
        network.add_sender();
        network.run(S(60), nothing);
        network.path.rate *= change;
        network.path.queue *= change.max(1.0);
        let rounds = network.path.base_rtt * 30;
        network.run(rounds, nothing);
        let (rates, queue) = network.run(rounds.max(S(10)), nothing);
        let rate = network.path.rate;
        prop_assert!(rates[0] > 0.85 * rate, "{} of {rate}", rates[0]);
        let target = (5.0 / rate).min(0.2) + 0.08;
        prop_assert!(queue.as_secs_f64() < target + 0.1, "{queue:?}, target {target}");
    }

    #[test]
    fn another_base_rtt_is_accepted(
        path in any_path(),
        change in prop_oneof![0.5..0.8_f64, 1.2..2.0_f64],
        seed: u64,
    ) {
        let mut network = Network::new(path, seed);
        network.add_sender();
        network.run(S(60), nothing);
        network.path.base_rtt = network.path.base_rtt.mul_f64(change);
        // Three intervals between probes, each of eight rounds or 12 s.
        let rounds = network.path.base_rtt.max(MS(1500)) * 30;
        network.run(rounds, nothing);
        let (rates, _) = network.run(S(60), nothing);
        let rate = network.path.rate;
        prop_assert!(rates[0] > 0.85 * rate, "{} of {rate}", rates[0]);
    }

    #[test]
    fn two_senders_have_nearly_the_same_rate(path in any_path(), gap in 0..20_u64, seed: u64) {
        // At lower rates, alpha packets of each would cause more than 0.2 s of delay.
        let path = Path {
            rate: path.rate.clamp(60.0, 400.0),
            base_rtt: path.base_rtt.min(S(1)),
            ..path
        };
        let mut network = Network::new(path.clone(), seed);
        network.add_sender();
        network.run(S(gap), nothing);
        network.add_sender();
        // The difference shrinks by gamma * alpha packets per round.
        let bdp = path.rate * path.base_rtt.as_secs_f64();
        network.run(S(60) + path.base_rtt.mul_f64(bdp), nothing);
        let (rates, _) = network.run(S(120), nothing);
        let ratio = rates[0].max(rates[1]) / rates[0].min(rates[1]);
        // Below 1.25 on all but one of 300 paths.
        prop_assert!(ratio < 1.4, "{rates:?}");
        prop_assert!(rates[0] + rates[1] > 0.9 * path.rate, "{rates:?} of {}", path.rate);
    }

    #[test]
    fn random_loss_costs_little_more_than_itself(path in any_path(), loss in 0.0..0.2_f64, seed: u64) {
        let clean = goodput(&path, seed);
        let lossy = goodput(&Path { loss, ..path }, seed);
        let cost = 1.0 - lossy / clean;
        // Usually less than 5 % below 2 % of loss, and less than 35 % at 20 %.
        prop_assert!(cost < if loss < 0.02 { 0.06 } else { 0.38 }, "{cost} at {loss}");
    }
}

#[test]
fn packets_that_wait_for_a_retransmission_of_a_hop_are_no_queue() {
    let path = Path {
        rate: 500.0,
        base_rtt: MS(500),
        queue: 500.0,
        jitter: MS(10),
        loss: 0.0,
        stalls: (0.03, MS(300)),
    };
    let rate = goodput(&path, 1);
    assert!(rate > 400.0, "{rate}");
}

#[test]
fn a_timeout_restarts_with_half_the_rate() {
    let start = Instant::now();
    let mut controller = Arc::new(DelayTargetConfig::default()).build(start, LIMITS);
    for round in 1..20 {
        let mut sample = ack(start + RTT * round, u64::from(round) * 50, 50, RTT);
        sample.delivery_rate = Some(RateSample {
            packets_per_second: 100.0,
            prior_delivered: 0,
            app_limited: false,
        });
        controller.on_ack(&sample);
    }
    let before = controller.pacing_rate().unwrap();
    controller.on_timeout(start + S(12));
    assert_eq!(controller.cwnd(), LIMITS.initial);
    assert!(controller.pacing_rate().unwrap() <= before / 2.0 + 1.0);
}

/// A controller after a minute at 100 packets per second, and the time.
fn settled() -> (Box<dyn Controller>, Instant) {
    let start = Instant::now();
    let limits = CwndLimits {
        max: 4096,
        ..LIMITS
    };
    let mut controller = Arc::new(DelayTargetConfig::default()).build(start, limits);
    for round in 1..=120 {
        controller.on_ack(&at_100_per_second(start + RTT * round, u64::from(round)));
    }
    (controller, start + RTT * 120)
}

/// The end of the `round`th round, with 50 packets.
fn at_100_per_second(now: Instant, round: u64) -> AckSample {
    AckSample {
        delivery_rate: Some(RateSample {
            packets_per_second: 100.0,
            prior_delivered: 0,
            app_limited: false,
        }),
        ..ack(now, round * 50, 50, RTT)
    }
}

#[test]
fn packets_that_arrive_at_once_after_an_outage_do_not_raise_the_lower_bound() {
    let (mut controller, now) = settled();
    let before = controller.cwnd();
    for round in 121..126 {
        controller.on_ack(&at_100_per_second(now + MS(round), round));
    }
    assert!(controller.cwnd() < before * 2, "{}", controller.cwnd());
}

#[test]
fn twice_as_many_packets_of_half_the_size_may_be_in_flight() {
    let (mut controller, now) = settled();
    let before = (controller.cwnd(), controller.pacing_rate().unwrap());
    controller.on_packet_size(2.0);
    assert!(controller.cwnd().abs_diff(before.0 * 2) <= 1);
    assert!((controller.pacing_rate().unwrap() / before.1 - 2.0).abs() < 0.01);
    controller.on_ack(&at_100_per_second(now + MS(1), 121));
    assert!(controller.cwnd() > before.0 * 3 / 2);
    controller.on_packet_size(0.5);
    assert!(controller.cwnd() < before.0 * 5 / 4);
}

#[test]
fn the_loss_of_the_first_packet_does_not_end_startup() {
    let path = Path {
        rate: 400.0,
        base_rtt: RTT,
        queue: 200.0,
        jitter: Duration::ZERO,
        loss: 0.0,
        stalls: (0.0, Duration::ZERO),
    };
    let mut network = Network::new(path, 1);
    network.add_sender();
    network.senders[0].controller.on_timeout(Instant::now());
    network.run(RTT * 5, nothing);
    let cwnd = network.senders[0].controller.cwnd();
    assert!(cwnd > LIMITS.initial * 4, "{cwnd}");
}

#[test]
fn ten_senders_that_began_in_a_full_queue_share_it() {
    let path = Path {
        rate: 486.0,
        base_rtt: S(1),
        queue: 250.0,
        jitter: MS(20),
        loss: 0.0,
        stalls: (0.0, Duration::ZERO),
    };
    let mut network = Network::new(path, 3);
    for _ in 0..10 {
        network.add_sender();
        network.run(S(2), nothing);
    }
    network.run(S(100), nothing);
    let (rates, queue) = network.run(S(200), nothing);
    let total: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    let jain = total * total / (10.0 * squares);
    assert!(jain > 0.95, "{jain}: {rates:?}");
    assert!(queue < MS(250), "{queue:?}");
}

#[test]
fn stays_within_its_bounds() {
    keeps_to_its_bounds(Arc::new(DelayTargetConfig::default()), Instant::now());
}
