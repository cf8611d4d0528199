//! Tunnels whose hops are joined by TCP connections, as in NTCP2.
//!
//! A TCP connection keeps the order, retransmits lost segments and has its own congestion window. A
//! tunnel of such connections rarely loses messages, but its delay varies. A lost segment blocks
//! all later segments. A connection with a small congestion window queues messages. With Nagle's
//! algorithm, a segment that is not full waits for the acknowledgement of all segments before it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A chain of TCP connections. Tunnel messages pass through all of them in order.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpConfig {
    /// One-way delay of each connection, in the order of the chain.
    pub delays: [Duration; LINKS],
    /// Share of segments that each connection loses.
    pub loss: f64,
    /// Bytes per second of each connection; `None` is no limit.
    pub rate: Option<f64>,
    /// Whether connections use Nagle's algorithm (no `TCP_NODELAY`).
    pub nagle: bool,
    /// Bytes that wait at each connection; further messages are lost.
    pub queue: u64,
    /// Number of tunnels. Each packet takes a random one, as with several leases.
    pub tunnels: usize,
}

/// One chain of connections, and the packets in it.
#[derive(Debug)]
pub(super) struct TcpTunnel<T> {
    hops: Vec<Hop>,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    rng: ChaCha8Rng,
    /// Packets by number, until their last message has passed the chain.
    packets: BTreeMap<u64, T>,
    arrived: VecDeque<T>,
    next_packet: u64,
    /// Packets that lost a message.
    pub(super) lost: u64,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Segment {
        hop: usize,
        from: u64,
        to: u64,
        order: u64,
    },
    Ack {
        hop: usize,
        upto: u64,
    },
    DelayedAck {
        hop: usize,
        armed: u64,
    },
    Timer {
        hop: usize,
        armed: u64,
    },
}

/// One connection.
#[derive(Debug)]
struct Hop {
    delay: Duration,
    loss: f64,
    rate: Option<f64>,
    nagle: bool,
    queue: u64,
    /// When the transmission of the last segment ends.
    free: Option<Instant>,
    /// Messages that were written: the end in the byte stream, the packet, and whether it is the
    /// last message of the packet.
    written: VecDeque<(u64, u64, bool)>,
    write_end: u64,
    sent: u64,
    acked: u64,
    /// Segments in flight, by the position of their beginning: the end, the number of the
    /// transmission, and whether it was declared lost and waits for its retransmission.
    segments: BTreeMap<u64, (u64, u64, bool)>,
    transmissions: u64,
    window: f64,
    threshold: f64,
    /// The window is not reduced again before this position is acknowledged.
    recover: u64,
    received: u64,
    beyond: BTreeSet<(u64, u64)>,
    unacked_segments: u32,
    delayed: u64,
    timer: u64,
    last_sent: Option<Instant>,
}

impl Hop {
    fn new(config: &TcpConfig, delay: Duration) -> Self {
        Self {
            delay,
            loss: config.loss,
            rate: config.rate,
            nagle: config.nagle,
            queue: config.queue,
            free: None,
            written: VecDeque::new(),
            write_end: 0,
            sent: 0,
            acked: 0,
            segments: BTreeMap::new(),
            transmissions: 0,
            window: INITIAL_WINDOW,
            threshold: f64::INFINITY,
            recover: 0,
            received: 0,
            beyond: BTreeSet::new(),
            unacked_segments: 0,
            delayed: 0,
            timer: 0,
            last_sent: None,
        }
    }

    fn in_flight(&self) -> u64 {
        self.segments
            .iter()
            .filter(|(_, (_, _, waits))| !waits)
            .map(|(from, (to, _, _))| to - from)
            .sum()
    }

    fn timeout(&self) -> Duration {
        self.delay * 2 + MIN_TIMEOUT
    }

    /// Handles an acknowledgement of everything before `upto`.
    fn on_ack(&mut self, upto: u64) {
        if upto <= self.acked {
            return;
        }
        let newly = (upto - self.acked) as f64;
        self.acked = upto;
        self.segments.retain(|from, _| *from >= upto);
        let used = (self.sent - upto) as f64 + newly + SEGMENT as f64 >= self.window;
        if !used {
            return;
        }
        if self.window < self.threshold {
            self.window += newly;
        } else {
            self.window += GROWTH * SEGMENT as f64 * newly / self.window;
        }
    }

    /// Handles the arrival of the segment at `from`. Earlier segments that were sent sufficiently
    /// before it are declared lost.
    fn on_selective_ack(&mut self, from: u64, order: u64) {
        let mut lost = false;
        for (_, sent, waits) in self.segments.range_mut(..from).map(|(_, value)| value) {
            if *sent + REORDERED <= order && !*waits {
                *waits = true;
                lost = true;
            }
        }
        if lost && self.acked >= self.recover {
            self.window = (self.window * CUT).max(2.0 * SEGMENT as f64);
            self.threshold = self.window;
            self.recover = self.sent;
        }
    }
}

impl<T> TcpTunnel<T> {
    pub(super) fn new(config: &TcpConfig, seed: u64) -> Self {
        Self {
            hops: config
                .delays
                .iter()
                .map(|delay| Hop::new(config, *delay))
                .collect(),
            events: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            packets: BTreeMap::new(),
            arrived: VecDeque::new(),
            next_packet: 0,
            lost: 0,
        }
    }

    /// Sends a packet that consists of this many tunnel messages.
    pub(super) fn send(&mut self, now: Instant, packet: T, messages: u32) {
        let number = self.next_packet;
        self.next_packet += 1;
        self.packets.insert(number, packet);
        for message in 1..=messages {
            self.write(now, 0, number, message == messages);
        }
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
            let event = entry.remove();
            self.handle(at, event);
        }
        self.arrived.pop_front()
    }

    fn plan(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn write(&mut self, now: Instant, hop: usize, packet: u64, last: bool) {
        let Some(connection) = self.hops.get_mut(hop) else {
            if last {
                self.arrived.extend(self.packets.remove(&packet));
            }
            return;
        };
        if connection.write_end - connection.acked > connection.queue {
            self.lost += u64::from(self.packets.remove(&packet).is_some());
            return;
        }
        let idle = connection
            .last_sent
            .is_some_and(|at| now.saturating_duration_since(at) > connection.timeout());
        if idle && connection.segments.is_empty() {
            connection.window = connection.window.min(INITIAL_WINDOW);
        }
        connection.write_end += MESSAGE;
        let end = connection.write_end;
        connection.written.push_back((end, packet, last));
        self.pump(now, hop);
    }

    /// Sends as many segments as the window allows.
    fn pump(&mut self, now: Instant, hop: usize) {
        loop {
            let connection = &mut self.hops[hop];
            let room = connection.window - connection.in_flight() as f64;
            if room < SEGMENT as f64 {
                return;
            }
            let again = connection
                .segments
                .iter_mut()
                .find(|(_, (_, _, waits))| *waits);
            connection.transmissions += 1;
            let order = connection.transmissions;
            let (from, to) = if let Some((from, (to, sent, waits))) = again {
                *waits = false;
                *sent = order;
                (*from, *to)
            } else {
                let left = connection.write_end - connection.sent;
                let held = connection.nagle && !connection.segments.is_empty();
                if left == 0 || (left < SEGMENT && held) {
                    return;
                }
                let from = connection.sent;
                connection.sent += left.min(SEGMENT);
                connection
                    .segments
                    .insert(from, (connection.sent, order, false));
                (from, connection.sent)
            };
            self.transmit(now, hop, (from, to, order));
        }
    }

    fn transmit(&mut self, now: Instant, hop: usize, (from, to, order): (u64, u64, u64)) {
        let draw = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        let connection = &mut self.hops[hop];
        connection.last_sent = Some(now);
        let mut leaves = now;
        if let Some(rate) = connection.rate {
            leaves = connection.free.unwrap_or(now).max(now)
                + Duration::from_secs_f64((to - from) as f64 / rate);
            connection.free = Some(leaves);
        }
        connection.timer += 1;
        let armed = connection.timer;
        let due = leaves + connection.timeout();
        let arrives = leaves + connection.delay;
        let lost = draw < connection.loss;
        self.plan(due, Event::Timer { hop, armed });
        if !lost {
            self.plan(
                arrives,
                Event::Segment {
                    hop,
                    from,
                    to,
                    order,
                },
            );
        }
    }

    fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Segment {
                hop,
                from,
                to,
                order,
            } => self.on_segment(now, hop, (from, to, order)),
            Event::Ack { hop, upto } => {
                self.hops[hop].on_ack(upto);
                self.pump(now, hop);
            }
            Event::DelayedAck { hop, armed } => {
                let connection = &self.hops[hop];
                if connection.delayed == armed && connection.unacked_segments > 0 {
                    self.acknowledge(now, hop);
                }
            }
            Event::Timer { hop, armed } => {
                let connection = &mut self.hops[hop];
                if connection.timer == armed && !connection.segments.is_empty() {
                    for (_, _, waits) in connection.segments.values_mut() {
                        *waits = true;
                    }
                    connection.threshold = (connection.window * CUT).max(2.0 * SEGMENT as f64);
                    connection.window = SEGMENT as f64;
                    connection.recover = connection.sent;
                    self.pump(now, hop);
                }
            }
        }
    }

    fn on_segment(&mut self, now: Instant, hop: usize, (from, to, order): (u64, u64, u64)) {
        let connection = &mut self.hops[hop];
        let in_order = from <= connection.received;
        if in_order {
            connection.received = connection.received.max(to);
            while let Some((from, to)) = connection.beyond.first().copied()
                && from <= connection.received
            {
                connection.received = connection.received.max(to);
                connection.beyond.pop_first();
            }
        } else {
            connection.beyond.insert((from, to));
        }
        connection.unacked_segments += 1;
        if !in_order || connection.unacked_segments >= 2 || !connection.beyond.is_empty() {
            self.acknowledge(now, hop);
        } else {
            connection.delayed += 1;
            let armed = connection.delayed;
            self.plan(now + DELAYED_ACK, Event::DelayedAck { hop, armed });
        }
        if !in_order {
            // The selective acknowledgement is applied at once and not after the delay, which has
            // little effect.
            self.hops[hop].on_selective_ack(from, order);
        }
        let received = self.hops[hop].received;
        while let Some((end, packet, last)) = self.hops[hop].written.front().copied()
            && end <= received
        {
            self.hops[hop].written.pop_front();
            self.write(now, hop + 1, packet, last);
        }
    }

    fn acknowledge(&mut self, now: Instant, hop: usize) {
        let connection = &mut self.hops[hop];
        connection.unacked_segments = 0;
        connection.delayed += 1;
        let (at, upto) = (now + connection.delay, connection.received);
        self.plan(at, Event::Ack { hop, upto });
    }
}

/// Connections between two routers over two tunnels of two hops each.
pub(super) const LINKS: usize = 5;
/// A tunnel message with its NTCP2 frame, in bytes.
const MESSAGE: u64 = 1066;
/// The payload of a segment with an MTU of 1500 bytes.
const SEGMENT: u64 = 1448;
/// As in Linux: an initial congestion window of ten segments, delayed acknowledgements after 40 ms,
/// a retransmission timeout of the RTT plus 200 ms, and a reordering threshold of three segments.
const INITIAL_WINDOW: f64 = 14_480.0;
const DELAYED_ACK: Duration = Duration::from_millis(40);
const MIN_TIMEOUT: Duration = Duration::from_millis(200);
const REORDERED: u64 = 3;
/// CUBIC in its Reno-friendly region (RFC 9438, section 4.3).
const CUT: f64 = 0.7;
const GROWTH: f64 = 0.53;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn config(loss: f64, nagle: bool) -> TcpConfig {
        TcpConfig {
            delays: [MS(50); LINKS],
            loss,
            rate: None,
            nagle,
            queue: 16 << 20,
            tunnels: 1,
        }
    }

    /// Sends packets of two messages and returns the delay of each, in the order of arrival.
    fn delays(config: &TcpConfig, count: u32, spacing: Duration) -> Vec<(u32, Duration)> {
        let begin = start();
        let mut chain = TcpTunnel::new(config, 5);
        let mut took = Vec::new();
        let mut number = 0;
        while number < count || chain.next().is_some() {
            let sends = (number < count).then(|| begin + spacing * number);
            let next = [sends, chain.next()].into_iter().flatten().min();
            let Some(now) = next else { break };
            if sends == Some(now) {
                chain.send(now, number, 2);
                number += 1;
            }
            while let Some(packet) = chain.receive(now) {
                took.push((packet, now - (begin + spacing * packet)));
            }
        }
        took
    }

    #[test]
    fn lost_segments_neither_lose_nor_reorder_packets() {
        let took = delays(&config(0.02, false), 2_000, MS(5));
        assert_eq!(took.len(), 2_000);
        assert!(took.iter().map(|(packet, _)| packet).is_sorted());
        let late = took.iter().filter(|(_, took)| *took > MS(300)).count();
        assert!(late > 100, "{late}");
    }

    #[test]
    fn without_loss_a_packet_takes_as_long_as_the_links() {
        let took = delays(&config(0.0, false), 100, MS(40));
        assert!(took.iter().all(|(_, took)| *took == MS(250)), "{took:?}");
    }

    #[test]
    fn with_nagle_sparse_traffic_is_slower_than_dense_traffic() {
        let mean = |spacing| {
            let took = delays(&config(0.0, true), 2_000, spacing);
            // The second half, when the windows have grown.
            let settled = took.iter().skip(1_000);
            settled.map(|(_, took)| *took).sum::<Duration>() / 1_000
        };
        let (thin, much) = (mean(MS(40)), mean(MS(2)));
        assert!(thin > much + MS(100), "{thin:?} {much:?}");
    }

    #[test]
    fn messages_beyond_the_queue_are_lost() {
        let mut config = config(0.0, false);
        config.queue = 50_000;
        let took = delays(&config, 500, Duration::ZERO);
        assert!((20..200).contains(&took.len()), "{}", took.len());
    }
}
