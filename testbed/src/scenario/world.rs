//! Any number of endpoints and links between them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use eepkit_streaming::{EndpointConfig, Ports, StreamConfig, StreamId, Transmit};
use eepkit_wire::Hash;

use crate::{Link, LinkConfig, Side, Transfer, arrive, keys, messages, start};

/// Endpoints on shared links.
///
/// Endpoints and links are numbered in the order of their creation. A packet takes the link that
/// [`World::route`] set for its endpoint and path.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Instant,
    /// The endpoints.
    pub sides: Vec<Side>,
    /// The links. Packets carry the number of the endpoint that they are for.
    pub links: Vec<Link<(usize, Transmit)>>,
    addresses: HashMap<Hash, usize>,
    routes: HashMap<(usize, u64), usize>,
    /// The next timeout of each endpoint.
    due: Vec<Option<Instant>>,
    /// Drains of endpoints, as a measure of work that does not depend on the machine.
    pub turns: u64,
    seed: u8,
}

impl World {
    /// An empty world. `seed` decides the fate of packets.
    pub fn new(seed: u8) -> Self {
        Self {
            now: start(),
            sides: Vec::new(),
            links: Vec::new(),
            addresses: HashMap::new(),
            routes: HashMap::new(),
            due: Vec::new(),
            turns: 0,
            seed,
        }
    }

    /// Adds an endpoint.
    pub fn side(&mut self, config: EndpointConfig) -> usize {
        let index = self.sides.len();
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
        let seed = self.seed.wrapping_add(number);
        let side = Side::new(keys(number), config, seed, self.now);
        self.addresses
            .insert(side.endpoint.destination().hash(), index);
        self.sides.push(side);
        self.due.push(Some(self.now));
        index
    }

    /// Adds a link.
    pub fn link(&mut self, config: LinkConfig) -> usize {
        let index = self.links.len();
        let seed = u64::from(self.seed) * 1000 + index as u64;
        self.links.push(Link::new(config, seed));
        index
    }

    /// Sets the link for packets of `side` over `path`.
    pub fn route(&mut self, side: usize, path: u64, link: usize) {
        self.routes.insert((side, path), link);
    }

    /// Handles all output that an endpoint has at this time.
    pub fn drain(&mut self, side: usize) {
        let Self {
            now,
            sides,
            links,
            addresses,
            routes,
            due,
            turns,
            ..
        } = self;
        *turns += 1;
        sides[side].drain(*now, |transmit| {
            let link = routes
                .get(&(side, transmit.path.0))
                .or_else(|| routes.get(&(side, 0)));
            let to = addresses.get(&transmit.to.hash());
            if let (Some(link), Some(to)) = (link, to) {
                let messages = messages(transmit.packet.len(), transmit.first);
                links[*link].send_messages(*now, (*to, transmit), messages);
            }
        });
        due[side] = sides[side].timeout;
    }

    /// Advances to the next event, but not beyond `limit`. Returns the endpoint that it concerned.
    pub fn step(&mut self, limit: Instant) -> Option<usize> {
        loop {
            let arrival = (0..self.links.len())
                .filter_map(|link| Some((self.links[link].next()?, link)))
                .min();
            let due = (0..self.sides.len())
                .filter_map(|side| Some((self.due[side]?, side)))
                .min();
            let next = [arrival.map(|(at, _)| at), due.map(|(at, _)| at)]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at <= limit);
            let Some(next) = next else {
                self.now = self.now.max(limit);
                return None;
            };
            self.now = self.now.max(next);
            let side = match (arrival, due) {
                (Some((at, link)), _) if at <= self.now => {
                    let Some((to, transmit)) = self.links[link].receive(self.now) else {
                        continue;
                    };
                    let endpoint = &mut self.sides[to].endpoint;
                    endpoint.handle_packet(self.now, arrive(transmit));
                    to
                }
                (_, Some((_, side))) => {
                    self.sides[side].endpoint.handle_timeout(self.now);
                    side
                }
                _ => return None,
            };
            self.drain(side);
            return Some(side);
        }
    }

    /// Advances to `at` and calls `each` for the endpoint of every event.
    pub fn run(&mut self, at: Instant, mut each: impl FnMut(&mut Self, usize)) {
        while let Some(side) = self.step(at) {
            each(self, side);
        }
    }

    /// Opens a stream and does not wait for the answer.
    ///
    /// # Panics
    ///
    /// The endpoint returned an error.
    pub fn connect(&mut self, from: usize, to: usize, config: &StreamConfig) -> StreamId {
        let to = self.sides[to].endpoint.destination().clone();
        #[expect(clippy::unwrap_used, reason = "a scenario of a test")]
        self.sides[from]
            .endpoint
            .connect(self.now, &to, Ports::default(), config)
            .unwrap()
    }
}

/// A stream between two endpoints of a [`World`] and the transfer over it.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) id: StreamId,
    accepted: Option<StreamId>,
    pub(super) transfer: Transfer,
    /// When all data was acknowledged.
    pub(super) flushed: Option<Instant>,
    /// When data was last read, and the longest time without any.
    pub(super) last_read: Instant,
    pub(super) longest_stall: Duration,
}

impl Flow {
    /// Opens a stream and writes data at once.
    pub(super) fn open(
        world: &mut World,
        (from, to): (usize, usize),
        length: u64,
        config: &StreamConfig,
    ) -> Self {
        // An error means that it listens already.
        let _ = world.sides[to].endpoint.listen(0, 1024);
        let id = world.connect(from, to, config);
        let mut flow = Self {
            from,
            to,
            id,
            accepted: None,
            transfer: Transfer::new(length),
            flushed: None,
            last_read: world.now,
            longest_stall: Duration::ZERO,
        };
        // Written before the endpoint is polled, so that the first packet carries data.
        let first = usize::try_from(length).map_or(FIRST_WRITE, |length| length.min(FIRST_WRITE));
        flow.transfer = Transfer::new(first as u64);
        flow.transfer
            .write(&mut world.sides[from].endpoint, world.now, id);
        flow.transfer.length = length;
        world.drain(from);
        flow.advance(world, from);
        flow
    }

    /// Writes and reads as much as possible, if `side` is one of its endpoints.
    pub(super) fn advance(&mut self, world: &mut World, side: usize) {
        let now = world.now;
        if side == self.from {
            let Self { transfer, id, .. } = self;
            while transfer.written < transfer.length {
                let sender = &mut world.sides[side];
                let before = transfer.written;
                transfer.write(&mut sender.endpoint, now, *id);
                if transfer.written == transfer.length {
                    sender.endpoint.flush(now, *id);
                }
                if transfer.written == before {
                    break;
                }
                world.drain(side);
            }
            let sender = &mut world.sides[side];
            sender.events.clear();
            if transfer.written == transfer.length
                && self.flushed.is_none()
                && sender.endpoint.is_acked(*id)
            {
                self.flushed = Some(now);
            }
        } else if side == self.to {
            let receiver = &mut world.sides[side];
            let mut changed = false;
            if self.accepted.is_none() {
                let incoming = receiver.endpoint.accept(now, 0);
                changed = incoming.is_some();
                self.accepted = incoming.map(|incoming| incoming.id);
            }
            receiver.events.clear();
            if let Some(id) = self.accepted {
                let before = self.transfer.received;
                self.transfer.read(&mut receiver.endpoint, now, id);
                if self.transfer.received > before {
                    self.longest_stall = self.longest_stall.max(now - self.last_read);
                    self.last_read = now;
                    changed = true;
                }
            }
            if changed {
                world.drain(side);
            }
        }
    }

    /// Share of retransmissions, in per cent.
    pub(super) fn resent(&self, world: &World) -> Option<f64> {
        let info = world.sides[self.from].endpoint.info(self.id)?;
        Some(100.0 * info.packets_resent as f64 / info.packets_sent.max(1) as f64)
    }
}

/// Bytes written before the first packet is sent.
const FIRST_WRITE: usize = 32_768;
