//! Several peers at one endpoint.

use std::time::{Duration, Instant};

use eepkit_streaming::{EndpointConfig, Ports, Received, StreamConfig, StreamId, Transmit};

use crate::{Link, LinkConfig, Side, Transfer, arrive, keys, start};

/// Three peers misbehave as the input demands, while a fourth one sends to the same endpoint.
///
/// The endpoint stays consistent, each stream has the peer that opened it, the data of the fourth
/// peer arrives unchanged and in time, and no stream is left when everything has been closed.
///
/// An operation has two bytes: what is done, and its argument.
pub fn peers(data: &[u8]) {
    let mut room = Room::new();
    let mut rest = data;
    while let [operation, argument, after @ ..] = rest {
        rest = after;
        let who = 1 + usize::from(operation >> 4) % (PEERS - 1);
        rest = room.play(operation & 15, who, *argument, rest);
        room.drain();
        room.server.endpoint.assert_consistent();
    }
    room.finish();
}

/// The endpoint under test and its peers.
struct Room {
    now: Instant,
    server: Side,
    peers: Vec<Peer>,
    /// The data of the first peer.
    transfer: Transfer,
    /// The stream of the first peer, at the endpoint under test.
    accepted: Option<StreamId>,
    /// The other streams that the endpoint under test has accepted.
    others: Vec<StreamId>,
}

/// A peer, and the links between it and the endpoint under test.
struct Peer {
    side: Side,
    up: Link<Transmit>,
    down: Link<Transmit>,
    streams: Vec<StreamId>,
    /// The last packets to the endpoint under test.
    sent: Vec<Received>,
    /// The number of packets that get lost next.
    loses: u8,
}

impl Room {
    fn new() -> Self {
        let now = start();
        let side = |seed| {
            let config = EndpointConfig::default();
            Side::new(keys(seed), config, seed, now).remembering()
        };
        let peer = |number: u8| Peer {
            side: side(2 + number),
            up: Link::new(LinkConfig::delay(DELAY), 1),
            down: Link::new(LinkConfig::delay(DELAY), 2),
            streams: Vec::new(),
            sent: Vec::new(),
            loses: 0,
        };
        let mut room = Self {
            now,
            server: side(1),
            peers: (0..PEERS as u8).map(peer).collect(),
            transfer: Transfer::new(LENGTH),
            accepted: None,
            others: Vec::new(),
        };
        let listening = room.server.endpoint.listen(0, 1024);
        assert!(listening.is_ok(), "a new endpoint listens");
        room.connect(0);
        room
    }

    /// Performs one operation of a misbehaving peer. Returns the input that remains.
    fn play<'a>(&mut self, operation: u8, who: usize, argument: u8, rest: &'a [u8]) -> &'a [u8] {
        let now = self.now;
        let which = usize::from(argument);
        match operation {
            0 => self.connect(who),
            1 => {
                let peer = &mut self.peers[who];
                if let Some(id) = pick(&peer.streams, which) {
                    let bytes = vec![argument; which * 64];
                    let _ = peer.side.endpoint.write(now, id, &bytes);
                }
            }
            2 => {
                let peer = &mut self.peers[who];
                if let Some(id) = pick(&peer.streams, which) {
                    peer.side.endpoint.reset(now, id);
                }
            }
            3 => {
                let peer = &mut self.peers[who];
                if let Some(id) = pick(&peer.streams, which) {
                    peer.side.endpoint.shutdown(now, id);
                }
            }
            4 => self.peers[who].loses = argument % 16,
            5 => self.read(),
            6 => {
                if let Some(id) = pick(&self.others, which) {
                    let _ = self.server.endpoint.write(now, id, &[argument; 2000]);
                }
            }
            7 => {
                if let Some(id) = pick(&self.others, which) {
                    self.server.endpoint.reset(now, id);
                }
            }
            8 => {
                let to = self.server.endpoint.destination();
                let limit = Duration::from_secs(10);
                let peer = &mut self.peers[who].side.endpoint;
                peer.ping(now, to, Ports::default(), &vec![argument; which], limit);
            }
            // A packet again, whole or with another byte.
            9 => self.replay(who, which, None),
            10 => {
                if let [at, value, after @ ..] = rest {
                    self.replay(who, which, Some((usize::from(*at), *value)));
                    return after;
                }
            }
            // A packet again, with the IDs of a stream of another misbehaving peer.
            11 => {
                let other = 1 + which % (PEERS - 1);
                let ids = pick(&self.peers[other].sent, which / 4).map(|sent| sent.packet);
                let packet = pick(&self.peers[who].sent, which).map(|sent| sent.packet);
                if let (Some(ids), Some(packet)) = (ids, packet)
                    && let (Some(ids), Some(rest)) = (ids.get(..8), packet.get(8..))
                {
                    self.inject([ids, rest].concat());
                }
            }
            // Any bytes.
            12 => {
                let (packet, after) = rest.split_at(which.min(rest.len()));
                self.inject(packet.to_vec());
                return after;
            }
            _ => self.run(Duration::from_millis(20 * u64::from(argument))),
        }
        rest
    }

    fn connect(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        if peer.streams.len() >= STREAMS {
            return;
        }
        let to = self.server.endpoint.destination();
        let config = StreamConfig::default();
        let opened = peer
            .side
            .endpoint
            .connect(self.now, to, Ports::default(), &config);
        peer.streams.extend(opened);
    }

    /// Sends one of the last packets of a peer again.
    fn replay(&mut self, who: usize, which: usize, change: Option<(usize, u8)>) {
        let Some(sent) = pick(&self.peers[who].sent, which) else {
            return;
        };
        let mut packet = sent.packet.to_vec();
        if let Some((at, value)) = change {
            let length = packet.len().max(1);
            if let Some(byte) = packet.get_mut(at % length) {
                *byte = value;
            }
        }
        self.inject(packet);
    }

    fn inject(&mut self, packet: Vec<u8>) {
        let received = Received {
            from_port: 0,
            to_port: 0,
            packet: packet.into(),
        };
        self.server.receive(self.now, received);
    }

    /// Moves all packets that are due now onto the links.
    fn drain(&mut self) {
        let now = self.now;
        for peer in &mut self.peers {
            let Peer {
                side,
                up,
                sent,
                loses,
                ..
            } = peer;
            side.drain(now, |transmit| {
                if *loses > 0 {
                    *loses -= 1;
                    return;
                }
                if sent.len() >= REMEMBERED {
                    sent.remove(0);
                }
                sent.push(arrive(transmit.clone()));
                up.send(now, transmit);
            });
        }
        let peers = &mut self.peers;
        self.server.drain(now, |transmit| {
            let to = peers
                .iter_mut()
                .find(|peer| *peer.side.endpoint.destination() == transmit.to);
            let peer = to.expect("packets go to peers that have sent a signed packet");
            peer.down.send(now, transmit);
        });
        self.server.events.clear();
        for peer in &mut self.peers {
            peer.side.events.clear();
        }
    }

    /// Accepts streams and reads all data.
    fn read(&mut self) {
        let now = self.now;
        while let Some(incoming) = self.server.endpoint.accept(now, 0) {
            let from = self
                .peers
                .iter()
                .position(|peer| *peer.side.endpoint.destination() == incoming.peer);
            match from.expect("only these peers have opened streams") {
                0 => {
                    assert!(self.accepted.is_none(), "the first peer opens one stream");
                    self.accepted = Some(incoming.id);
                }
                _ => self.others.push(incoming.id),
            }
        }
        for id in &self.others {
            let _ = self.server.endpoint.read(now, *id, 5000);
        }
    }

    /// Writes and reads the data of the first peer.
    fn transfer(&mut self) {
        let peer = &mut self.peers[0];
        if let Some(id) = peer.streams.first() {
            self.transfer.write(&mut peer.side.endpoint, self.now, *id);
        }
        self.read();
        if let Some(id) = self.accepted {
            self.transfer.read(&mut self.server.endpoint, self.now, id);
        }
    }

    /// Advances to the next event, but not beyond `limit`. Returns whether there was one.
    fn step(&mut self, limit: Instant) -> bool {
        self.drain();
        let next = self
            .peers
            .iter()
            .flat_map(|peer| [peer.up.next(), peer.down.next(), peer.side.timeout])
            .chain([self.server.timeout])
            .flatten()
            .min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        for peer in &mut self.peers {
            while let Some(transmit) = peer.up.receive(now) {
                self.server.receive(now, arrive(transmit));
            }
            while let Some(transmit) = peer.down.receive(now) {
                peer.side.receive(now, arrive(transmit));
            }
            if peer.side.timeout.is_some_and(|at| at <= now) {
                peer.side.endpoint.handle_timeout(now);
            }
        }
        if self.server.timeout.is_some_and(|at| at <= now) {
            self.server.endpoint.handle_timeout(now);
        }
        true
    }

    /// Advances by this time, while the first peer sends.
    fn run(&mut self, span: Duration) {
        let limit = self.now + span;
        loop {
            self.transfer();
            if !self.step(limit) {
                return;
            }
        }
    }

    /// Checks that the data of the first peer arrives, closes everything and checks that nothing is
    /// left.
    fn finish(mut self) {
        let limit = self.now + IN_TIME;
        loop {
            self.transfer();
            if self.transfer.received == LENGTH {
                break;
            }
            assert!(
                self.step(limit),
                "{} of {LENGTH} bytes arrived: {:?}",
                self.transfer.received,
                self.accepted.map(|id| self.server.endpoint.info(id))
            );
        }
        let now = self.now;
        for id in self.others.iter().chain(&self.accepted) {
            self.server.endpoint.release(now, *id);
        }
        self.server.endpoint.close(now);
        for peer in &mut self.peers {
            for id in &peer.streams {
                peer.side.endpoint.release(now, *id);
            }
            peer.side.endpoint.close(now);
        }
        let limit = self.now + OVER;
        while self.step(limit) {}
        assert_eq!(self.server.endpoint.stream_count(), 0);
        self.server.endpoint.assert_consistent();
        for peer in &self.peers {
            assert_eq!(peer.side.endpoint.stream_count(), 0);
        }
    }
}

/// One of these, or none if there are none.
fn pick<T: Clone>(from: &[T], which: usize) -> Option<T> {
    let count = from.len().max(1);
    from.get(which % count).cloned()
}

/// The number of peers. The first one behaves.
const PEERS: usize = 4;

/// The most streams of one peer.
const STREAMS: usize = 16;

/// The number of packets of a peer that are kept for later.
const REMEMBERED: usize = 32;

/// One-way delay of the links.
const DELAY: Duration = Duration::from_millis(50);

/// Bytes that the first peer sends.
const LENGTH: u64 = 40_000;

/// The time in which the data of the first peer must have arrived once the others are silent.
/// Chosen as far more than the transfer takes alone, about a second.
const IN_TIME: Duration = Duration::from_secs(20);

/// The time after which a closed endpoint has no streams. Chosen as more than the longest time
/// limit of a stream that ends.
const OVER: Duration = Duration::from_secs(600);
