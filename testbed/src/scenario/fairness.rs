//! Several streams to different destinations over one bottleneck.

use std::time::Duration;

use eepkit_streaming::{EndpointConfig, StreamConfig};

use super::{
    Effort, Measured, Row, Unit,
    bulk::{LONG, Path, cost, limit},
    world::{Flow, World},
};

/// Starts `count` flows, each `GAP` after the one before, and measures over the last two thirds.
/// Returns the bytes per second of each.
pub(super) fn shares(path: &Path, count: usize, span: Duration, seed: u8) -> (Vec<f64>, World) {
    let mut world = World::new(seed);
    let (there, back) = path.links();
    let there = world.link(there);
    let back = world.link(back);
    let pairs: Vec<_> = (0..count)
        .map(|_| {
            let a = world.side(EndpointConfig::default());
            let b = world.side(EndpointConfig::default());
            world.route(a, 0, there);
            world.route(b, 0, back);
            (a, b)
        })
        .collect();
    let began = world.now;
    let mut flows: Vec<Flow> = Vec::new();
    let advance = |flows: &mut Vec<Flow>, world: &mut World, side: usize| {
        // Endpoints were created in pairs, in the order of the flows.
        if let Some(flow) = flows.get_mut(side / 2) {
            flow.advance(world, side);
        }
    };
    for (pair, wait) in pairs.into_iter().zip(0..) {
        world.run(began + GAP * wait, |world, side| {
            advance(&mut flows, world, side)
        });
        let flow = Flow::open(&mut world, pair, u64::MAX, &StreamConfig::default());
        flows.push(flow);
    }
    world.run(began + span / 3, |world, side| {
        advance(&mut flows, world, side)
    });
    world.links[there].waits = Default::default();
    let before: Vec<u64> = flows.iter().map(|flow| flow.transfer.received).collect();
    world.run(began + span, |world, side| advance(&mut flows, world, side));
    let seconds = (span * 2 / 3).as_secs_f64();
    let shares = flows
        .iter()
        .zip(before)
        .map(|(flow, before)| (flow.transfer.received - before) as f64 / seconds)
        .collect();
    (shares, world)
}

/// Jain's fairness index: 1 if all flows have the same rate, 1/n if one flow has the total rate.
pub(super) fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares.max(f64::MIN_POSITIVE))
}

fn fairness(effort: Effort, path: &Path, count: usize) -> Measured {
    effort.mean(|seed| {
        let (shares, world) = shares(path, count, effort.length(SPAN), seed);
        let together = shares.iter().sum::<f64>() / 1e6;
        Measured {
            value: jain(&shares),
            wire: None,
            share: limit(path).map(|limit| 100.0 * together / limit),
            ..cost(&world, path, 1)
        }
    })
}

/// A path with a queue of six seconds.
const DEEP: Path = Path {
    queue: 3000,
    ..LONG
};
const SPAN: Duration = Duration::from_secs(180);
const GAP: Duration = Duration::from_secs(2);

const fn row(
    scenario: &'static str,
    others: [&'static str; 3],
    run: fn(Effort) -> Measured,
) -> Row {
    Row {
        number: "15",
        scenario,
        unit: Unit::Jain,
        limit: Some(1.0),
        others,
        target: 0.95,
        run,
    }
}

pub(super) const ROWS: &[Row] = &[
    row(
        "1 s, 1 MB/s, 4 flows, one every 2 s",
        ["0.88", "0.99", ""],
        |effort| fairness(effort, &LONG, 4),
    ),
    row(
        "1 s, 1 MB/s, 10 flows, one every 2 s",
        ["0.90", "", ""],
        |effort| fairness(effort, &LONG, 10),
    ),
    row("the same ten, queue of 3000", ["", "", ""], |effort| {
        fairness(effort, &DEEP, 10)
    }),
];
