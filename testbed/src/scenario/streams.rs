//! Many streams, most of them idle.

use std::time::Duration;

use eepkit_streaming::StreamConfig;

use super::{
    Effort, Measured, Row, Unit,
    bulk::LONG,
    world::{Flow, World},
};

/// Drains of the sending endpoint in a minute of bulk transfer, with this many idle streams.
fn turns(idle: usize, span: Duration, seed: u8) -> u64 {
    let (mut world, a, b) = LONG.world(seed);
    let mut flows: Vec<Flow> = Vec::new();
    for _ in 0..idle {
        let mut flow = Flow::open(&mut world, (a, b), 1, &StreamConfig::default());
        let limit = world.now + Duration::from_secs(60);
        while flow.flushed.is_none()
            && let Some(side) = world.step(limit)
        {
            flow.advance(&mut world, side);
        }
        flows.push(flow);
    }
    settle(&mut world);
    let began = world.now;
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    world.turns = 0;
    world.run(began + span, |world, side| flow.advance(world, side));
    world.turns
}

fn settle(world: &mut World) {
    let until = world.now + Duration::from_secs(10);
    world.run(until, |_, _| {});
}

pub(super) const ROWS: &[Row] = &[Row {
    number: "19",
    scenario: "1000 idle streams beside one: more turns",
    unit: Unit::Percent,
    limit: Some(0.0),
    others: ["", "", ""],
    target: 5.0,
    run: |effort: Effort| {
        let span = effort.length(Duration::from_secs(120));
        let idle = 10 * effort.length_percent as usize;
        let alone = turns(1, span, 1) as f64;
        let beside = turns(idle, span, 1) as f64;
        Measured {
            value: (100.0 * (beside / alone - 1.0)).max(0.0),
            ..Measured::default()
        }
    },
}];
