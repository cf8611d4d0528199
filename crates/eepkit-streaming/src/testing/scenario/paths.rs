//! A peer that is reached over several tunnels, of which some die and all end.

use std::time::{Duration, Instant};

use super::{
    Effort, Measured, Row, Unit,
    bulk::{LONG, Path},
    world::{Flow, World},
};
use crate::{EndpointConfig, StreamConfig, Way, testing::Loss};

/// The way of a number: every second one over another lease, each over a tunnel of its own.
const fn way(number: u64, expires: Option<Instant>) -> Way {
    Way {
        id: number,
        outbound: number,
        lease: number / 2,
        expires,
    }
}

/// Two endpoints and a link for each of the ways 1 to 4 between them, counted from 0 in the world.
/// The way back is link 4.
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

/// The longest that nothing arrives in order after the tunnel in use went silent.
fn blackhole(seed: u8) -> Measured {
    let (mut world, a, b) = world(&MIDDLE, seed);
    let began = world.now;
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    let to = world.sides[b].endpoint.destination().clone();
    let ways = [1, 2, 3, 4].map(|number| way(number, None));
    world.sides[a].endpoint.set_ways(world.now, &to, &ways);
    world.run(began + Duration::from_secs(20), |world, side| {
        flow.advance(world, side)
    });
    world.links[0].config.loss = Loss::All;
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

/// Bytes in order in eleven minutes, and the share sent again; tunnels are replaced where `roll`.
fn eleven_minutes(span: Duration, roll: bool, seed: u8) -> (f64, Option<f64>) {
    let (mut world, a, b) = world(&LONG, seed);
    let began = world.now;
    // The successor is a little longer.
    world.links[1].config.delay += Duration::from_millis(60);
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    let to = world.sides[b].endpoint.destination().clone();
    let ends = [span * 4 / 10, span * 8 / 10, span * 2].map(|after| Some(began + after));
    let told = |world: &mut World, from: u64| {
        let ways: Vec<Way> = (from..4)
            .zip(&ends[usize::try_from(from - 1).unwrap_or(0)..])
            .take(2)
            .map(|(number, end)| way(number, end.filter(|_| roll)))
            .collect();
        world.sides[a].endpoint.set_ways(world.now, &to, &ways);
    };
    told(&mut world, 1);
    for (number, end) in ends.iter().take(2).enumerate() {
        if let Some(end) = end {
            world.run(*end, |world, side| flow.advance(world, side));
        }
        if roll {
            world.links[number].config.loss = Loss::All;
            told(&mut world, number as u64 + 2);
        }
    }
    world.run(began + span, |world, side| flow.advance(world, side));
    (flow.transfer.received as f64, flow.resent(&world))
}

const MIDDLE: Path = Path {
    rtt_ms: 600,
    ..LONG
};
const SPAN: Duration = Duration::from_secs(660);

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
];
