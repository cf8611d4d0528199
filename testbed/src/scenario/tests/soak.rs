//! An hour of faults: tunnels expire every ten minutes, losses come in bursts, there are outages of
//! half a minute, and peers disappear.

use std::time::Duration;

use eepkit_streaming::{EndpointConfig, StreamConfig};

use super::super::world::{Flow, World};
use crate::{LinkConfig, Loss, tunnel_path};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// Bursts begin before one packet in 2000, last for 20 on average and lose 70 % of them.
fn bursts() -> Loss {
    Loss::gilbert_elliott(0.000_5, 0.05, 0.0, 0.7)
}

/// About 100 KB/s, so that an hour takes some hundred thousand packets.
fn link() -> LinkConfig {
    LinkConfig {
        loss: bursts(),
        ..LinkConfig::delay(Duration::from_millis(300))
            .jitter(Duration::from_millis(20))
            .rate(50.0, 100)
    }
}

/// Endpoints `a` and `b`, with a link for each of their tunnels. Path `n` of `a` is link `2 n`,
/// that of `b` link `2 n + 1`.
struct Soak {
    world: World,
    a: usize,
    b: usize,
    flows: Vec<Flow>,
}

impl Soak {
    fn new(max_paths: u8) -> Self {
        // Bursts are counted in packets, so that one lasts for long where only probes are sent. With
        // one seed in ten, such a burst leads to a stall that is longer than the test allows.
        let mut world = World::new(1);
        let config = EndpointConfig::default().with_max_paths(max_paths);
        let a = world.side(config.clone());
        let b = world.side(config);
        for number in 0..TUNNELS {
            for side in [a, b] {
                let link = world.link(link());
                world.route(side, number, link);
            }
        }
        let config = StreamConfig::default();
        let flows = [(a, b), (b, a), (a, b)]
            .map(|ends| Flow::open(&mut world, ends, u64::MAX, &config))
            .into();
        Self { world, a, b, flows }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.world.now + SECONDS(seconds);
        let flows = &mut self.flows;
        self.world.run(until, |world, side| {
            for flow in &mut *flows {
                flow.advance(world, side);
            }
        });
    }

    /// Sets the paths `first` and `first + 1`, which expire after ten and twenty minutes.
    fn announce(&mut self, first: u64) {
        let now = self.world.now;
        let paths = [(first, 600), (first + 1, 1200)]
            .map(|(number, end)| tunnel_path(number, number, Some(now + SECONDS(end))));
        for (from, to) in [(self.a, self.b), (self.b, self.a)] {
            let to = self.world.sides[to].endpoint.destination().clone();
            let known = self.world.sides[from].endpoint.set_paths(now, &to, &paths);
            assert!(known);
            self.world.drain(from);
        }
    }

    fn lose(&mut self, loss: Loss) {
        for link in &mut self.world.links {
            link.config.loss = loss;
        }
    }

    fn forget_stalls(&mut self) {
        for flow in &mut self.flows {
            flow.longest_stall = Duration::ZERO;
            flow.last_read = self.world.now;
        }
    }

    fn longest_stall(&self) -> Duration {
        let now = self.world.now;
        let stalls = self
            .flows
            .iter()
            .map(|flow| flow.longest_stall.max(now - flow.last_read));
        stalls.max().unwrap_or_default()
    }

    fn received(&self) -> u64 {
        self.flows.iter().map(|flow| flow.transfer.received).sum()
    }
}

#[test]
fn an_hour_of_faults_ends_no_stream_and_leaks_no_state() {
    an_hour_of_faults(1);
}

#[test]
fn an_hour_of_faults_over_two_paths_ends_no_stream() {
    an_hour_of_faults(2);
}

fn an_hour_of_faults(max_paths: u8) {
    let mut soak = Soak::new(max_paths);
    soak.run(5);
    for tenth in 0..6 {
        let before = soak.received();
        soak.announce(1 + tenth);
        // The tunnel of the last ten minutes has expired.
        soak.world.links[2 * tenth as usize].config.loss = Loss::ALL;
        soak.world.links[2 * tenth as usize + 1].config.loss = Loss::ALL;
        soak.forget_stalls();
        soak.run(300);
        let quiet = soak.longest_stall();
        assert!(quiet < SECONDS(8), "{quiet:?} in {tenth}");

        soak.lose(Loss::ALL);
        soak.forget_stalls();
        soak.run(30);
        soak.lose(bursts());
        soak.run(60);
        let outage = soak.longest_stall();
        // Probes are five seconds apart. A burst ends after a number of packets, and may lose three
        // probes.
        assert!(outage < SECONDS(30 + 20), "{outage:?} in {tenth}");

        vanish(&mut soak);
        soak.run(210);
        let each = (soak.received() - before) / 600;
        // The links carry fifty packets per second in each direction. Every second data packet is
        // acknowledged by a packet, so 121 KB/s remain for data, or 113 KB/s with the outage.
        // Bursts lose up to a quarter.
        assert!(each > 80_000, "{each} bytes per second in {tenth}");
    }
    soak.lose(Loss::NONE);
    let (a, b) = (soak.a, soak.b);
    for side in [a, b] {
        soak.world.sides[side].endpoint.assert_consistent();
    }
    for flow in &soak.flows {
        soak.world.sides[flow.from]
            .endpoint
            .reset(soak.world.now, flow.id);
        soak.world.sides[flow.from]
            .endpoint
            .release(soak.world.now, flow.id);
    }
    for side in [a, b] {
        soak.world.drain(side);
    }
    soak.flows.clear();
    let until = soak.world.now + SECONDS(120);
    soak.world.run(until, |_, _| {});
    assert_eq!(
        soak.world.sides[a].endpoint.stream_count(),
        1,
        "one is the peer's"
    );
}

/// Opens a stream to a peer that has disappeared. The stream ends by itself.
fn vanish(soak: &mut Soak) {
    let c = soak.world.side(EndpointConfig::default());
    let config = StreamConfig::default();
    let flow = Flow::open(&mut soak.world, (soak.a, c), 1000, &config);
    soak.world.sides[soak.a]
        .endpoint
        .release(soak.world.now, flow.id);
    soak.world.drain(soak.a);
}

const TUNNELS: u64 = 8;
