//! Tunnels whose hops are joined by links that retransmit but need not keep the order, as in SSU2.
//!
//! A message that is delayed or retransmitted arrives after later ones. i2pd 2.45 to 2.58 loses packets
//! of several tunnel messages when their parts are reordered, at two places:
//!
//! * The endpoint of a tunnel keeps the packet that it has begun last apart from the other incomplete
//!   ones. It forgets it when a later fragment of another packet arrives
//!   (`TunnelEndpoint::HandleDecryptedTunnelDataMsg`).
//! * Between the two tunnels a packet is one message, which SSU2 divides into two or more parts of
//!   random length. If there are three and the third arrives before the second, the packet is lost
//!   (`SSU2Session::HandleFollowOnFragment`).
//!
//! A packet of one tunnel message is lost at neither of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A path over two outbound and two inbound hops.
#[derive(Debug, Clone, PartialEq)]
pub struct UdpConfig {
    /// One-way delay of each link, in the order of the path.
    pub delays: [Duration; LINKS],
    /// Additional delay of each message on each link, uniformly distributed up to this.
    pub jitter: Duration,
    /// Which links keep the order, as NTCP2 does.
    pub ordered: [bool; LINKS],
    /// Share of messages that each link loses and retransmits.
    pub loss: f64,
    /// Bytes per second that each router sends; `None` is no limit.
    pub rate: Option<f64>,
    /// The longest wait for the rate limit. Further messages are lost and retransmitted.
    pub queue: Duration,
    /// Whether reordered parts are reassembled without the faults of i2pd.
    pub reassembles: bool,
}

/// Links of a path: to two outbound hops, to the gateway of the inbound tunnel, to its second hop, to the
/// receiver.
const LINKS: usize = 5;

/// The link between the two tunnels. On it a packet is one message of the transport.
const BETWEEN: usize = 2;

/// A tunnel message of 1028 bytes with the headers of I2NP, SSU2, UDP and IP.
const MESSAGE: f64 = 1100.0;

/// i2pd's retransmission timeout is 1.8 times the RTT of the link, and at least this.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Bytes that two SSU2 packets of 1200 bytes hold beyond a packet of two tunnel messages. i2pd leaves a
/// random part of them free in each. With less than [`PART_HEADER`] left, it needs a third.
const SPARE: f64 = 407.0;
const PART_HEADER: f64 = 8.0;

/// Transmissions of a message. Chosen because no link loses so many in a row, and a queue that is full
/// for so long is a fault of the scenario.
const TRANSMISSIONS: u32 = 10;

/// One path, and the packets in it.
#[derive(Debug)]
pub(super) struct UdpTunnel<T> {
    config: UdpConfig,
    rng: ChaCha8Rng,
    /// By time and order of planning.
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    /// When the transmission of the last message of each router ends.
    free: [Option<Instant>; LINKS],
    /// When the last message on each link arrives.
    latest: [Option<Instant>; LINKS],
    endpoints: [Endpoint; 2],
    /// Which parts of a packet have passed the link between the tunnels.
    between: BTreeMap<u64, Vec<bool>>,
    /// Packets by number, until they arrive.
    packets: BTreeMap<u64, T>,
    arrived: VecDeque<T>,
    next_packet: u64,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrival(Message),
    /// The transmission of this number is lost.
    Timeout(Message, u32),
}

/// A tunnel message on a link.
#[derive(Debug, Clone, Copy)]
struct Message {
    link: usize,
    packet: u64,
    fragment: u32,
    /// The tunnel messages of the packet.
    of: u32,
}

impl<T> UdpTunnel<T> {
    pub(super) fn new(config: &UdpConfig, seed: u64) -> Self {
        Self {
            config: config.clone(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            events: BTreeMap::new(),
            count: 0,
            free: [None; LINKS],
            latest: [None; LINKS],
            endpoints: [config.reassembles; 2].map(Endpoint::new),
            between: BTreeMap::new(),
            packets: BTreeMap::new(),
            arrived: VecDeque::new(),
            next_packet: 0,
        }
    }

    /// Sends a packet that consists of this many tunnel messages.
    pub(super) fn send(&mut self, now: Instant, packet: T, messages: u32) {
        let number = self.next_packet;
        self.next_packet += 1;
        self.packets.insert(number, packet);
        self.send_all(now, 0, number, messages);
    }

    /// The time of the next event.
    pub(super) fn next(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Handles all events up to `now` and returns the next packet that has arrived.
    pub(super) fn receive(&mut self, now: Instant) -> Option<T> {
        while self.arrived.is_empty() {
            let entry = self.events.first_entry()?;
            let at = entry.key().0;
            if at > now {
                return None;
            }
            match entry.remove() {
                Event::Arrival(message) => self.on_message(at, message),
                Event::Timeout(message, TRANSMISSIONS) => {
                    self.packets.remove(&message.packet);
                }
                Event::Timeout(message, number) => self.transmit(at, message, number + 1),
            }
        }
        self.arrived.pop_front()
    }

    fn send_all(&mut self, now: Instant, link: usize, packet: u64, of: u32) {
        let parts = if link == BETWEEN { self.parts(of) } else { of };
        if link == BETWEEN {
            self.between.insert(packet, vec![false; parts as usize]);
        }
        for fragment in 0..parts {
            self.transmit(
                now,
                Message {
                    link,
                    packet,
                    fragment,
                    of,
                },
                1,
            );
        }
    }

    /// The SSU2 packets of a message between the tunnels.
    fn parts(&mut self, of: u32) -> u32 {
        let first = SPARE * self.fraction();
        let second = (SPARE - first) * self.fraction();
        of + u32::from(of > 1 && first + second > SPARE - PART_HEADER)
    }

    fn plan(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Sends a message over its link, for the time of this `number`. A lost one is sent again.
    fn transmit(&mut self, now: Instant, message: Message, number: u32) {
        let link = message.link;
        let (lost, jitter) = (self.fraction(), self.fraction());
        let mut dropped = lost < self.config.loss;
        let mut leaves = now;
        if let Some(rate) = self.config.rate {
            let start = self.free[link].unwrap_or(now).max(now);
            if start - now > self.config.queue {
                dropped = true;
            } else {
                leaves = start + Duration::from_secs_f64(MESSAGE / rate);
                self.free[link] = Some(leaves);
            }
        }
        let delay = self.config.delays[link];
        if dropped {
            let round_trip = delay * 2 + self.config.jitter;
            let timeout = round_trip.mul_f64(1.8).max(MIN_TIMEOUT);
            // Nothing on an ordered link arrives before the retransmission.
            if self.config.ordered[link] {
                self.latest[link] = self.latest[link].max(Some(now + timeout + delay));
            }
            self.plan(now + timeout, Event::Timeout(message, number));
            return;
        }
        let mut arrives = leaves + delay + self.config.jitter.mul_f64(jitter);
        if self.config.ordered[link] {
            arrives = arrives.max(self.latest[link].unwrap_or(arrives));
            self.latest[link] = Some(arrives);
        }
        self.plan(arrives, Event::Arrival(message));
    }

    fn fraction(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    fn on_message(&mut self, now: Instant, message: Message) {
        let Message {
            link,
            packet,
            fragment,
            of,
        } = message;
        let next = link + 1;
        if link == BETWEEN {
            let Some(arrived) = self.between.get_mut(&packet) else {
                return;
            };
            arrived[fragment as usize] = true;
            if arrived.contains(&false) {
                return;
            }
            // The last part to arrive is neither the first nor the last of three or more.
            let inner = fragment > 0 && (fragment as usize) + 1 < arrived.len();
            self.between.remove(&packet);
            if inner && !self.config.ordered[link] && !self.config.reassembles {
                self.packets.remove(&packet);
            } else {
                self.send_all(now, next, packet, of);
            }
        } else if next == BETWEEN {
            if let Some((packet, of)) = self.endpoints[0].on_fragment(message) {
                self.send_all(now, next, packet, of);
            }
        } else if next == LINKS {
            if let Some((packet, _)) = self.endpoints[1].on_fragment(message) {
                self.arrived.extend(self.packets.remove(&packet));
            }
        } else {
            self.transmit(
                now,
                Message {
                    link: next,
                    ..message
                },
                1,
            );
        }
    }
}

/// The endpoint of a tunnel, which reassembles packets.
#[derive(Debug)]
struct Endpoint {
    reassembles: bool,
    /// The packet that was begun last, and its next fragment.
    current: Option<(u64, u32)>,
    /// Other packets that were begun.
    incomplete: BTreeMap<u64, u32>,
    out_of_sequence: BTreeSet<(u64, u32)>,
}

impl Endpoint {
    fn new(reassembles: bool) -> Self {
        Self {
            reassembles,
            current: None,
            incomplete: BTreeMap::new(),
            out_of_sequence: BTreeSet::new(),
        }
    }

    /// Returns the packet that this fragment completes, with its number of tunnel messages.
    fn on_fragment(&mut self, message: Message) -> Option<(u64, u32)> {
        let Message {
            packet,
            fragment,
            of,
            ..
        } = message;
        if fragment == 0 {
            self.incomplete.extend(self.current.take());
            self.current = Some((packet, 1));
        } else {
            match self.current {
                Some((current, next)) if current == packet && next == fragment => {
                    self.current = Some((packet, next + 1));
                }
                current => {
                    if self.reassembles {
                        self.incomplete.extend(current);
                    }
                    self.current = None;
                    self.out_of_sequence.insert((packet, fragment));
                    // Continues an incomplete packet, but does not make it the current one.
                    let next = self.incomplete.remove(&packet)?;
                    let next = self.advance(packet, next);
                    if next == of {
                        return Some((packet, of));
                    }
                    self.incomplete.insert(packet, next);
                    return None;
                }
            }
        }
        let (packet, next) = self.current?;
        let next = self.advance(packet, next);
        self.current = (next < of).then_some((packet, next));
        (next == of).then_some((packet, of))
    }

    /// Takes fragments that arrived early. Returns the next one that is missing.
    fn advance(&mut self, packet: u64, mut next: u32) -> u32 {
        while self.out_of_sequence.remove(&(packet, next)) {
            next += 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(reassembles: bool, fragments: &[(u64, u32)]) -> Vec<u64> {
        let mut endpoint = Endpoint::new(reassembles);
        let complete = fragments.iter().filter_map(|&(packet, fragment)| {
            endpoint.on_fragment(Message {
                link: 0,
                packet,
                fragment,
                of: 2,
            })
        });
        complete.map(|(packet, _)| packet).collect()
    }

    #[test]
    fn fragments_in_order_and_reversed_are_reassembled() {
        assert_eq!(endpoint(false, &[(1, 0), (1, 1), (2, 1), (2, 0)]), [1, 2]);
        assert_eq!(endpoint(false, &[(1, 0), (2, 0), (1, 1), (2, 1)]), [1]);
        assert_eq!(endpoint(true, &[(1, 0), (2, 0), (1, 1), (2, 1)]), [1, 2]);
    }

    #[test]
    fn a_follow_on_fragment_of_another_packet_loses_the_current_one() {
        let fragments = [(1, 0), (2, 1), (1, 1), (2, 0)];
        assert_eq!(endpoint(false, &fragments), [2]);
        assert_eq!(endpoint(true, &fragments), [1, 2]);
    }
}
