//! One stream that sends without pauses.

use std::time::Duration;

use eepkit_streaming::{EndpointConfig, StreamConfig};

use super::{
    Effort, Measured, Row, Unit,
    world::{Flow, World},
};
use crate::LinkConfig;

/// A path: RTT, rate in bytes on the wire, queue in packets, loss, and jitter in each direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) rtt_ms: u64,
    pub(super) rate: Option<f64>,
    pub(super) queue: usize,
    pub(super) loss: f64,
    pub(super) jitter_ms: u64,
    pub(super) reorder_ms: u64,
}

impl Path {
    /// The forward and the return link. Only the forward link has a rate limit.
    pub(super) fn links(&self) -> (LinkConfig, LinkConfig) {
        let mut back = LinkConfig::delay(Duration::from_millis(self.rtt_ms / 2))
            .jitter(Duration::from_millis(self.jitter_ms))
            .loss(self.loss);
        if self.reorder_ms > 0 {
            back = back
                .jitter(Duration::ZERO)
                .reorder(1.0, Duration::from_millis(self.reorder_ms));
        }
        let mut there = back.clone();
        there.rate = self.rate.map(|bytes| bytes / WIRE_BYTES);
        there.queue = self.queue;
        (there, back)
    }

    pub(super) fn world(&self, seed: u8) -> (World, usize, usize) {
        let mut world = World::new(seed);
        let a = world.side(EndpointConfig::default());
        let b = world.side(EndpointConfig::default());
        let (there, back) = self.links();
        let there = world.link(there);
        let back = world.link(back);
        world.route(a, 0, there);
        world.route(b, 0, back);
        (world, a, b)
    }
}

/// Goodput over `span`, including the handshake.
pub(super) fn goodput(path: &Path, span: Duration, seed: u8) -> Measured {
    let (mut world, a, b) = path.world(seed);
    let began = world.now;
    let mut flow = Flow::open(&mut world, (a, b), u64::MAX, &StreamConfig::default());
    world.run(began + span / 4, |world, side| flow.advance(world, side));
    world.links[0].waits = Default::default();
    world.run(began + span, |world, side| flow.advance(world, side));
    Measured {
        value: flow.transfer.received as f64 / span.as_secs_f64() / 1e6,
        resent: flow.resent(&world),
        ..cost(&world, path, flow.transfer.received)
    }
}

/// The cost of a transfer to the network.
pub(super) fn cost(world: &World, path: &Path, payload: u64) -> Measured {
    let messages: u64 = world.links.iter().map(|link| link.messages).sum();
    let waits = &world.links[0].waits;
    let limited = path.rate.is_some();
    Measured {
        value: 0.0,
        queue: limited.then(|| waits.mean().as_secs_f64() * 1e3),
        queue_p95: limited.then(|| waits.percentile(95).as_secs_f64() * 1e3),
        resent: None,
        wire: Some(messages as f64 * 1028.0 / payload.max(1) as f64),
        share: None,
    }
}

/// Time until `length` bytes are acknowledged, including the handshake.
pub(super) fn completion(
    path: &Path,
    length: u64,
    warm_up: Option<u64>,
    seed: u8,
) -> (Duration, Measured) {
    let (mut world, a, b) = path.world(seed);
    if let Some(length) = warm_up {
        let flow = finish(&mut world, (a, b), length);
        world.sides[a].endpoint.release(world.now, flow.id);
        world.drain(a);
        let pause = world.now + PAUSE;
        world.run(pause, |_, _| ());
        for link in &mut world.links {
            link.messages = 0;
            link.waits = Default::default();
        }
    }
    let began = world.now;
    let flow = finish(&mut world, (a, b), length);
    let took = flow.flushed.unwrap_or(world.now) - began;
    let measured = Measured {
        resent: flow.resent(&world),
        ..cost(&world, path, length)
    };
    (took, measured)
}

/// Runs a stream until all data is acknowledged, for at most [`MAX_DURATION`].
pub(super) fn finish(world: &mut World, ends: (usize, usize), length: u64) -> Flow {
    let mut flow = Flow::open(world, ends, length, &StreamConfig::default());
    let limit = world.now + MAX_DURATION;
    while flow.flushed.is_none()
        && let Some(side) = world.step(limit)
    {
        flow.advance(world, side);
    }
    flow
}

const MINUTES: Duration = Duration::from_secs(120);
/// The time limit of a transfer. Chosen because a transfer that takes longer does not make
/// progress.
const MAX_DURATION: Duration = Duration::from_secs(600);
/// Time between the stream that warms up the path and the measured one.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// A packet of 1812 bytes of payload, in bytes on the wire.
const WIRE_BYTES: f64 = 2056.0;

const OPEN: Path = Path {
    rtt_ms: 520,
    rate: None,
    queue: 250,
    loss: 0.0,
    jitter_ms: 10,
    reorder_ms: 0,
};
pub(super) const LONG: Path = Path {
    rtt_ms: 1000,
    rate: Some(1e6),
    jitter_ms: 20,
    ..OPEN
};
pub(super) const LOSSY: Path = Path { loss: 0.01, ..LONG };

pub(super) const fn limit(path: &Path) -> Option<f64> {
    match path.rate {
        Some(rate) => Some(rate / 1e6 * 1812.0 / 2056.0 * (1.0 - path.loss)),
        None => None,
    }
}

fn speed(effort: Effort, length: u64, warm_up: Option<u64>) -> Measured {
    effort.mean(|seed| {
        let (took, measured) = completion(&OPEN, length, warm_up, seed);
        Measured {
            value: length as f64 / took.as_secs_f64() / 1e6,
            ..measured
        }
    })
}

const SHORT_RTT: Path = Path {
    rtt_ms: 300,
    jitter_ms: 10,
    ..LONG
};
const VERY_LOSSY: Path = Path { loss: 0.05, ..LONG };
const FAT: Path = Path {
    rate: Some(4e6),
    queue: 1000,
    loss: 0.005,
    ..LONG
};
const FAR: Path = Path {
    rtt_ms: 3000,
    rate: Some(250e3),
    loss: 0.02,
    jitter_ms: 50,
    ..LONG
};
const REORDERED: Path = Path {
    reorder_ms: 200,
    ..LOSSY
};
const REORDERED_MORE: Path = Path {
    reorder_ms: 400,
    ..LOSSY
};
const REORDERED_SHORT: Path = Path {
    rtt_ms: 400,
    reorder_ms: 200,
    ..LOSSY
};
const SHALLOW: Path = Path {
    rate: Some(100e3),
    queue: 30,
    ..LOSSY
};
const SHALLOW_CLEAN: Path = Path { queue: 40, ..LONG };

macro_rules! bulk {
    ($number:literal, $scenario:literal, $path:ident, $others:expr, $target:literal) => {
        Row {
            number: $number,
            scenario: $scenario,
            unit: Unit::Goodput,
            limit: limit(&$path),
            others: $others,
            target: $target,
            run: |effort| effort.mean(|seed| goodput(&$path, effort.length(MINUTES), seed)),
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        number: "2c",
        scenario: ".52 s, no limit, 8 MiB, cold",
        unit: Unit::Goodput,
        limit: None,
        others: ["0.50", "0.25", "0.27"],
        target: 1.4,
        run: |effort| speed(effort, 8 << 20, None),
    },
    Row {
        number: "2w",
        scenario: ".52 s, no limit, 8 MiB, warm",
        unit: Unit::Goodput,
        limit: None,
        others: ["", "", ""],
        target: 3.0,
        run: |effort| speed(effort, 8 << 20, Some(8 << 20)),
    },
    Row {
        number: "3",
        scenario: ".52 s, no limit, 100 MB",
        unit: Unit::Goodput,
        limit: None,
        others: ["1.3", "0.37", "0.31"],
        target: 5.0,
        run: |effort| speed(effort, 1_000_000 * u64::from(effort.length_percent), None),
    },
    bulk!(
        "4",
        ".3 s, 1 MB/s",
        SHORT_RTT,
        ["0.75", "0.62", "0.44"],
        0.84
    ),
    bulk!(
        "5",
        "1 s, 1 MB/s, 1 %",
        LOSSY,
        ["0.67", "0.02", "0.17"],
        0.80
    ),
    bulk!(
        "6",
        "1 s, 1 MB/s, 5 %",
        VERY_LOSSY,
        ["0.56", "0.006", "0.13"],
        0.72
    ),
    bulk!("7", "1 s, 4 MB/s, .5 %", FAT, ["0.70", "0.03", "0.18"], 3.0),
    bulk!(
        "8",
        "3 s, 250 KB/s, 2 %",
        FAR,
        ["0.074", "0.005", "0.054"],
        0.17
    ),
    bulk!(
        "9",
        "1 s, 1 MB/s, 1 %, reordered by 200 ms",
        REORDERED,
        ["0.57", "0.02", "0.15"],
        0.70
    ),
    bulk!(
        "9b",
        "1 s, 1 MB/s, 1 %, reordered by 400 ms",
        REORDERED_MORE,
        ["", "", ""],
        0.70
    ),
    bulk!(
        "9c",
        ".4 s, 1 MB/s, 1 %, reordered by 200 ms",
        REORDERED_SHORT,
        ["", "", ""],
        0.70
    ),
    bulk!(
        "10",
        "1 s, 100 KB/s, 1 %, queue of 30",
        SHALLOW,
        ["0.067", "0.015", "0.056"],
        0.082
    ),
    bulk!(
        "K",
        "1 s, 1 MB/s, queue of 40",
        SHALLOW_CLEAN,
        ["0.71", "0.04", "0.17"],
        0.78
    ),
];
