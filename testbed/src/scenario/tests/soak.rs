//! An hour of faults: tunnels expire every ten minutes, losses come in bursts, there are outages of
//! half a minute, and peers disappear.

use std::time::Duration;

use eepkit_netem::Rng;
use eepkit_streaming::{EndpointConfig, StreamConfig};

use super::super::world::{Flow, World};
use crate::{LinkConfig, Loss, tunnel_path};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// About 100 KB/s, so that an hour takes some hundred thousand packets.
fn link() -> LinkConfig {
    LinkConfig::delay(Duration::from_millis(300))
        .jitter(Duration::from_millis(20))
        .rate(50.0, 100)
}

/// Endpoints `a` and `b`, with a link for each of their tunnels. Path `n` of `a` is link `2 n`,
/// that of `b` link `2 n + 1`.
struct Soak {
    world: World,
    a: usize,
    b: usize,
    flows: Vec<Flow>,
    /// The links, in the order of their numbers.
    states: Vec<State>,
    chance: Rng,
}

/// What happens on a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Usable,
    /// 70 % of the packets are lost.
    Burst,
    /// Everything is lost until the link is usable again.
    Outage,
    /// Everything is lost.
    Expired,
}

impl State {
    fn loss(self) -> Loss {
        match self {
            Self::Usable => Loss::NONE,
            Self::Burst => Loss::random(0.7),
            Self::Outage | Self::Expired => Loss::ALL,
        }
    }
}

impl Soak {
    fn new(seed: u8, max_paths: u8) -> Self {
        let mut world = World::new(seed);
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
        let states = vec![State::Usable; world.links.len()];
        let chance = Rng::new(seed.into(), &[1]);
        Self {
            world,
            a,
            b,
            flows,
            states,
            chance,
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.world.now + SECONDS(seconds);
        while self.world.now < end {
            self.change_bursts();
            let until = self.world.now + STEP;
            let flows = &mut self.flows;
            self.world.run(until, |world, side| {
                for flow in &mut *flows {
                    flow.advance(world, side);
                }
            });
        }
    }

    /// Begins and ends bursts. They are counted in time, because a burst of some number of packets
    /// lasts for minutes where only probes are sent.
    fn change_bursts(&mut self) {
        for link in 0..self.states.len() {
            let chance = self.chance.unit();
            match self.states[link] {
                State::Usable if chance < BEGINS => self.set(link, State::Burst),
                State::Burst if chance < ENDS => self.set(link, State::Usable),
                _ => {}
            }
        }
    }

    fn set(&mut self, link: usize, state: State) {
        self.states[link] = state;
        self.world.links[link].config.loss = state.loss();
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

    /// Changes all links that have not expired.
    fn set_all(&mut self, state: State) {
        for link in 0..self.states.len() {
            if self.states[link] != State::Expired {
                self.set(link, state);
            }
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
    an_hour_of_faults(2, 1);
}

#[test]
fn an_hour_of_faults_over_two_paths_ends_no_stream() {
    an_hour_of_faults(2, 2);
}

fn an_hour_of_faults(seed: u8, max_paths: u8) {
    let mut soak = Soak::new(seed, max_paths);
    soak.run(5);
    for tenth in 0..6 {
        let before = soak.received();
        soak.announce(1 + tenth);
        // The tunnel of the last ten minutes has expired.
        soak.set(2 * tenth as usize, State::Expired);
        soak.set(2 * tenth as usize + 1, State::Expired);
        soak.forget_stalls();
        soak.run(300);
        let quiet = soak.longest_stall();
        assert!(quiet < SECONDS(8), "{quiet:?} in {tenth}");

        soak.set_all(State::Outage);
        soak.forget_stalls();
        soak.run(30);
        soak.set_all(State::Usable);
        soak.run(60);
        let outage = soak.longest_stall();
        // Probes are five seconds apart. A burst may lose one of them.
        assert!(outage < SECONDS(30 + 20), "{outage:?} in {tenth}");

        vanish(&mut soak);
        soak.run(210);
        let each = (soak.received() - before) / 600;
        // The links carry fifty packets per second in each direction. Every second data packet is
        // acknowledged by a packet, so 121 KB/s remain for data, or 113 KB/s with the outage.
        // Bursts lose up to a quarter.
        assert!(each > 80_000, "{each} bytes per second in {tenth}");
    }
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
    soak.set_all(State::Usable);
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
/// How often bursts begin and end.
const STEP: Duration = Duration::from_millis(100);
/// The probabilities of both. On average, a burst begins after 40 s and lasts for 0.4 s.
const BEGINS: f64 = 0.002_5;
const ENDS: f64 = 0.25;
