//! Tunnels over TCP connections, as between routers. Each connection has its own delay and
//! congestion window.

use std::time::Duration;

use eepkit_streaming::EndpointConfig;

use super::{
    Effort, Measured, Row, Unit,
    bulk::{PAUSE, finish},
    world::World,
};
use crate::{LinkConfig, TcpConfig};

/// A chain of six routers. The delays are those of the links in the forward direction. For the
/// return direction they are rotated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routers {
    delays: [u64; 5],
    loss: f64,
    rate: Option<f64>,
    /// Whether connections use Nagle's algorithm, as i2pd does.
    nagle: bool,
    /// Inbound tunnels. Each packet takes a random one, as with emissary.
    tunnels: usize,
}

impl Routers {
    fn link(&self, back: bool) -> LinkConfig {
        let mut delays = self.delays.map(Duration::from_millis);
        if back {
            delays.rotate_left(2);
        }
        LinkConfig::tcp(TcpConfig {
            delays,
            loss: self.loss,
            rate: self.rate,
            nagle: self.nagle,
            queue: 2 << 20,
            tunnels: self.tunnels,
        })
    }

    pub(super) fn world(&self, seed: u8) -> (World, usize, usize) {
        let mut world = World::new(seed);
        let a = world.side(EndpointConfig::default());
        let b = world.side(EndpointConfig::default());
        let there = world.link(self.link(false));
        let back = world.link(self.link(true));
        world.route(a, 0, there);
        world.route(b, 0, back);
        (world, a, b)
    }
}

/// Goodput of a transfer of 8 MiB: the first one, or with `again` the second one after a pause.
fn speed(effort: Effort, routers: &Routers, again: bool) -> Measured {
    effort.mean(|seed| {
        let (mut world, a, b) = routers.world(seed);
        if again {
            let flow = finish(&mut world, (a, b), LENGTH);
            world.sides[a].endpoint.release(world.now, flow.id);
            world.drain(a);
            let pause = world.now + PAUSE;
            world.run(pause, |_, _| ());
        }
        let began = world.now;
        let flow = finish(&mut world, (a, b), LENGTH);
        let took = flow.flushed.unwrap_or(world.now) - began;
        Measured {
            value: LENGTH as f64 / took.as_secs_f64() / 1e6,
            resent: flow.resent(&world),
            ..Measured::default()
        }
    })
}

const LENGTH: u64 = 8 << 20;

const CLEAN: Routers = Routers {
    delays: [50; 5],
    loss: 0.0,
    rate: None,
    nagle: false,
    tunnels: 3,
};
const CLEAN_NAGLE: Routers = Routers {
    nagle: true,
    tunnels: 1,
    ..CLEAN
};
const LOSSY: Routers = Routers {
    delays: [30, 70, 50, 40, 60],
    loss: 0.005,
    rate: Some(1e6),
    ..CLEAN
};
const LOSSY_NAGLE: Routers = Routers {
    nagle: true,
    tunnels: 1,
    ..LOSSY
};

/// The goodput with 256 packets in flight (one tunnel) and 1024 (three tunnels), at RTTs of three
/// and four seconds. Each connection retransmits its losses itself, in order.
const LOSSY_LIMIT: f64 = 0.43;
const LOSSY_NAGLE_LIMIT: f64 = 0.147;

macro_rules! tunnels {
    ($number:literal, $scenario:literal, $routers:ident, $again:literal, $limit:expr, $others:expr, $target:literal) => {
        Row {
            number: $number,
            scenario: $scenario,
            unit: Unit::Goodput,
            limit: $limit,
            others: $others,
            target: $target,
            run: |effort| speed(effort, &$routers, $again),
        }
    };
}

/// The results of the other implementations were measured between real routers on such links.
pub(super) const ROWS: &[Row] = &[
    tunnels!(
        "20c",
        "TCP of 50 ms, Nagle, 8 MiB, cold",
        CLEAN_NAGLE,
        false,
        None,
        ["0.46", "", ""],
        0.92
    ),
    tunnels!(
        "20w",
        "TCP of 50 ms, Nagle, 8 MiB, warm",
        CLEAN_NAGLE,
        true,
        None,
        ["0.48", "", ""],
        1.4
    ),
    tunnels!(
        "21c",
        "TCP of 50 ms, 3 tunnels, 8 MiB, cold",
        CLEAN,
        false,
        None,
        ["", "", "0.28"],
        1.4
    ),
    tunnels!(
        "21w",
        "TCP of 50 ms, 3 tunnels, 8 MiB, warm",
        CLEAN,
        true,
        None,
        ["", "", "0.28"],
        3.0
    ),
    tunnels!(
        "22c",
        "TCP, 1 MB/s, .5 %, Nagle, cold",
        LOSSY_NAGLE,
        false,
        Some(LOSSY_NAGLE_LIMIT),
        ["0.18", "", ""],
        0.08
    ),
    tunnels!(
        "22w",
        "TCP, 1 MB/s, .5 %, Nagle, warm",
        LOSSY_NAGLE,
        true,
        Some(LOSSY_NAGLE_LIMIT),
        ["0.17", "", ""],
        0.08
    ),
    tunnels!(
        "23c",
        "TCP, 1 MB/s, .5 %, 3 tunnels, cold",
        LOSSY,
        false,
        Some(LOSSY_LIMIT),
        ["", "", "0.21"],
        0.21
    ),
    tunnels!(
        "23w",
        "TCP, 1 MB/s, .5 %, 3 tunnels, warm",
        LOSSY,
        true,
        Some(LOSSY_LIMIT),
        ["", "", "0.19"],
        0.21
    ),
];
