//! A peer that is reached over several tunnels, some of which fail and all of which expire.

use std::time::{Duration, Instant};

use eepkit_streaming::{EndpointConfig, StreamConfig};

use super::{
    Effort, Measured, Row, Unit,
    bulk::{LONG, Path, cost, limit},
    world::{Flow, World},
};
use crate::{Loss, tunnel_path};

/// The path with this number, over its own tunnel. Two paths share a lease.
fn numbered(number: u64, expires: Option<Instant>) -> crate::Path {
    tunnel_path(number, number / 2, expires)
}

/// Two endpoints with a link for each of the paths 1 to 4. These are the links 0 to 3. Link 4 is
/// the return link.
fn world(path: &Path, seed: u8) -> (World, usize, usize) {
    let mut world = World::new(seed);
    let a = world.side(EndpointConfig::default());
    let b = world.side(EndpointConfig::default());
    let (there, back) = path.links();
    for number in 1..=4 {
        let link = world.link(there.clone());
        world.route(a, number, link);
    }
    world.route(a, 0, 0);
    let back = world.link(back);
    world.route(b, 0, back);
    (world, a, b)
}

/// The longest time without data in order, after the tunnel in use starts to lose all packets.
fn blackhole(seed: u8) -> Measured {
    let (mut world, a, b) = world(&MIDDLE, seed);
    let began = world.now;
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    let to = world.sides[b].endpoint.destination().clone();
    let paths = [1, 2, 3, 4].map(|number| numbered(number, None));
    world.sides[a].endpoint.set_paths(world.now, &to, &paths);
    world.run(began + Duration::from_secs(20), |world, side| {
        flow.advance(world, side)
    });
    world.links[0].config.loss = Loss::ALL;
    flow.longest_stall = Duration::ZERO;
    world.run(began + Duration::from_secs(40), |world, side| {
        flow.advance(world, side)
    });
    Measured {
        value: flow.longest_stall.as_secs_f64(),
        resent: flow.resent(&world),
        ..Measured::default()
    }
}

/// Bytes in order within `span` and the share of retransmissions. With `roll`, both tunnels are
/// replaced.
fn eleven_minutes(span: Duration, roll: bool, seed: u8) -> (f64, Option<f64>) {
    let (mut world, a, b) = world(&LONG, seed);
    let began = world.now;
    // The successor has a longer delay.
    world.links[1].config.delay += Duration::from_millis(60);
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    let to = world.sides[b].endpoint.destination().clone();
    let ends = [span * 4 / 10, span * 8 / 10, span * 2].map(|after| Some(began + after));
    let told = |world: &mut World, from: u64| {
        let paths: Vec<_> = (from..4)
            .zip(&ends[usize::try_from(from - 1).unwrap_or(0)..])
            .take(2)
            .map(|(number, end)| numbered(number, end.filter(|_| roll)))
            .collect();
        world.sides[a].endpoint.set_paths(world.now, &to, &paths);
    };
    told(&mut world, 1);
    for (number, end) in ends.iter().take(2).enumerate() {
        if let Some(end) = end {
            world.run(*end, |world, side| flow.advance(world, side));
        }
        if roll {
            world.links[number].config.loss = Loss::ALL;
            told(&mut world, number as u64 + 2);
        }
    }
    world.run(began + span, |world, side| flow.advance(world, side));
    (flow.transfer.received as f64, flow.resent(&world))
}

/// Tunnels with a low rate and no hop in common. Each is longer than the one before by `step_ms`.
/// At most `max_paths` are used at once. The return link is the last one.
fn narrow(tunnels: u64, max_paths: u8, step_ms: u64, seed: u8) -> (World, Flow) {
    let mut world = World::new(seed);
    let a = world.side(EndpointConfig::default().with_max_paths(max_paths));
    let b = world.side(EndpointConfig::default());
    let (there, back) = NARROW.links();
    for number in 1..=tunnels {
        let mut there = there.clone();
        there.delay += Duration::from_millis(step_ms * (number - 1));
        let link = world.link(there);
        world.route(a, number, link);
    }
    world.route(a, 0, 0);
    let back = world.link(back);
    world.route(b, 0, back);
    let flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    let to = world.sides[b].endpoint.destination().clone();
    let all: Vec<_> = (1..=tunnels)
        .map(|number| tunnel_path(number, number, None))
        .collect();
    world.sides[a].endpoint.set_paths(world.now, &to, &all);
    (world, flow)
}

/// Goodput over several tunnels.
fn together(tunnels: u64, max_paths: u8, step_ms: u64, effort: Effort) -> Measured {
    effort.mean(|seed| {
        let span = effort.length(MINUTES);
        let (mut world, mut flow) = narrow(tunnels, max_paths, step_ms, seed);
        let began = world.now;
        world.run(began + span, |world, side| flow.advance(world, side));
        let received = flow.transfer.received;
        Measured {
            value: received as f64 / span.as_secs_f64() / 1e6,
            resent: flow.resent(&world),
            ..cost(&world, &NARROW, received)
        }
    })
}

/// The longest time without data in order, after one of three tunnels in use starts to lose all
/// packets.
fn one_of_three_dies(seed: u8) -> Measured {
    let (mut world, mut flow) = narrow(3, 3, 40, seed);
    let began = world.now;
    world.run(began + Duration::from_secs(20), |world, side| {
        flow.advance(world, side)
    });
    world.links[1].config.loss = Loss::ALL;
    flow.longest_stall = Duration::ZERO;
    let before = flow.transfer.received;
    let span = Duration::from_secs(60);
    let end = world.now + span;
    world.run(end, |world, side| flow.advance(world, side));
    let goodput = (flow.transfer.received - before) as f64 / span.as_secs_f64() / 1e6;
    Measured {
        value: flow.longest_stall.as_secs_f64(),
        resent: flow.resent(&world),
        // In per cent of the capacity of the other two.
        share: limit(&NARROW).map(|limit| 100.0 * goodput / (2.0 * limit)),
        ..Measured::default()
    }
}

const NARROW: Path = Path {
    rtt_ms: 600,
    rate: Some(1e6 / 3.0),
    loss: 0.005,
    ..LONG
};
const MINUTES: Duration = Duration::from_secs(120);

const MIDDLE: Path = Path {
    rtt_ms: 600,
    ..LONG
};
const SPAN: Duration = Duration::from_secs(660);

/// Runs of row 14d per requested run. Chosen because the standard deviation of a run is 0.29 s: the mean of
/// eight has an error of a tenth.
const RUNS: u8 = 20;

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "13",
        scenario: ".6 s, 1 MB/s, tunnel dies: longest stall",
        unit: Unit::Seconds,
        limit: Some(0.6),
        others: ["11", "", "2-10"],
        target: 2.0,
        run: |effort: Effort| effort.mean(blackhole),
    },
    Row {
        number: "14",
        scenario: "1 s, 1 MB/s, two rollovers: goodput lost",
        unit: Unit::Percent,
        limit: Some(0.0),
        others: ["6", "", ""],
        target: 0.5,
        run: |effort: Effort| {
            effort.mean(|seed| {
                let span = effort.length(SPAN);
                let (alone, _) = eleven_minutes(span, false, seed);
                let (rolled, resent) = eleven_minutes(span, true, seed);
                Measured {
                    value: (100.0 * (1.0 - rolled / alone)).max(0.0),
                    resent,
                    ..Measured::default()
                }
            })
        },
    },
    Row {
        number: "14m",
        scenario: ".6 s, three tunnels of .33 MB/s, one used",
        unit: Unit::Goodput,
        limit: Some(0.292),
        others: ["", "", ""],
        target: 0.26,
        run: |effort| together(3, 1, 40, effort),
    },
    Row {
        number: "14m",
        scenario: ".6 s, two tunnels of .33 MB/s together",
        unit: Unit::Goodput,
        limit: Some(0.585),
        others: ["", "", ""],
        target: 0.53,
        run: |effort| together(2, 2, 40, effort),
    },
    Row {
        number: "14m",
        scenario: ".6 s, three tunnels of .33 MB/s together",
        unit: Unit::Goodput,
        limit: Some(0.877),
        others: ["", "", ""],
        target: 0.79,
        run: |effort| together(3, 3, 40, effort),
    },
    Row {
        number: "14m",
        scenario: "the three of .6, .75 and .9 s",
        unit: Unit::Goodput,
        limit: Some(0.877),
        others: ["", "", ""],
        target: 0.79,
        run: |effort| together(3, 3, 150, effort),
    },
    Row {
        number: "14d",
        scenario: "one of the three dies: longest stall",
        unit: Unit::Seconds,
        limit: Some(0.6),
        others: ["", "", ""],
        target: 2.0,
        run: |effort| effort.repeated(RUNS).mean(one_of_three_dies),
    },
];
