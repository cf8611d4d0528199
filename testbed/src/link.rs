//! A link that carries packets in virtual time.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use eepkit_netem::{Fate, LinkModel, Loss, Netem, Queue, Rate};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    tcp::{TcpConfig, TcpTunnel},
    udp::{UdpConfig, UdpTunnel},
    waits::Waits,
};

/// The behaviour of a [`Link`], in packets of full size: each of them takes two tunnel messages.
///
/// The link converts it to a [`LinkModel`]: a tunnel message counts as 1028 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// One-way delay.
    pub delay: Duration,
    /// Additional delay of each packet, uniformly distributed up to this. The order is kept.
    pub jitter: Duration,
    /// Which packets are lost. The share is that of packets of full size; larger ones are lost more
    /// often ([`LinkModel::loss_unit`]).
    pub loss: Loss,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Share of packets that are delayed by up to `reorder_by`, so that others overtake them.
    pub reorder: f64,
    /// See `reorder`.
    pub reorder_by: Duration,
    /// Packets per second; `None` is no limit.
    pub rate: Option<f64>,
    /// Packets that wait for the rate limit; more are dropped.
    pub queue: usize,
    /// Tunnels over TCP connections instead of all the above.
    pub tcp: Option<TcpConfig>,
    /// A path over links that do not keep the order instead of all the above.
    pub udp: Option<UdpConfig>,
}

impl LinkConfig {
    /// A link with a delay and no faults.
    pub const fn delay(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: Loss::NONE,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            rate: None,
            queue: 250,
            tcp: None,
            udp: None,
        }
    }

    /// Tunnels over TCP connections.
    pub const fn tcp(config: TcpConfig) -> Self {
        Self {
            tcp: Some(config),
            ..Self::delay(Duration::ZERO)
        }
    }

    /// A path over links that do not keep the order.
    pub const fn udp(config: UdpConfig) -> Self {
        Self {
            udp: Some(config),
            ..Self::delay(Duration::ZERO)
        }
    }

    /// Loses this share of packets at random.
    #[must_use]
    pub fn loss(self, share: f64) -> Self {
        Self {
            loss: Loss::random(share),
            ..self
        }
    }

    /// Sets the jitter.
    #[must_use]
    pub const fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// Delays this share of packets by up to `by`.
    #[must_use]
    pub const fn reorder(self, share: f64, by: Duration) -> Self {
        Self {
            reorder: share,
            reorder_by: by,
            ..self
        }
    }

    /// Duplicates this share of packets.
    #[must_use]
    pub const fn duplicate(self, share: f64) -> Self {
        Self {
            duplicate: share,
            ..self
        }
    }

    /// Limits the rate to this many packets per second, and the queue to this many packets.
    #[must_use]
    pub const fn rate(self, rate: f64, queue: usize) -> Self {
        Self {
            rate: Some(rate),
            queue,
            ..self
        }
    }

    /// Converts the configuration to that of the emulator.
    fn model(&self) -> LinkModel {
        let rate = |packets: f64| Rate::bytes_per_second_f64(packets * PACKET as f64);
        LinkModel::default()
            .delay(self.delay)
            .jitter(self.jitter)
            .loss(self.loss)
            .loss_unit(PACKET)
            .rate(self.rate.map(rate))
            .queue(Queue::Bytes((self.queue * PACKET) as u64))
            .reorder_up_to(self.reorder, self.reorder_by)
            .duplicate(self.duplicate)
    }
}

/// A tunnel message on the wire, in bytes.
const MESSAGE: usize = 1028;
/// A packet of full size on the wire, in bytes.
const PACKET: usize = 2 * MESSAGE;
/// Tunnel messages of a packet of full size.
const FULL_SIZE: u32 = 2;

/// A link in virtual time: [`Netem`] with the packets that are in flight, or tunnels over TCP.
#[derive(Debug)]
pub struct Link<T> {
    /// May be changed at any time; packets in flight are not affected.
    pub config: LinkConfig,
    netem: Netem,
    /// In flight, by arrival and then by order of sending.
    packets: BTreeMap<(Instant, u64), T>,
    /// Packets that were accepted, duplicates included.
    count: u64,
    tunnels: Vec<TcpTunnel<T>>,
    path: Option<UdpTunnel<T>>,
    /// Chooses the tunnel of each packet.
    rng: ChaCha8Rng,
    /// Packets lost, without those lost in tunnels over TCP.
    pub lost: u64,
    /// The longest wait for the rate limit.
    pub longest_wait: Duration,
    /// Waits for the rate limit.
    pub waits: Waits,
    /// Tunnel messages sent, including lost ones.
    pub messages: u64,
}

impl<T: Clone> Link<T> {
    /// An empty link. Links with the same `seed` lose the same packets.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        let tunnels = config.tcp.iter().flat_map(|tcp| {
            (0..tcp.tunnels as u64).map(move |tunnel| TcpTunnel::new(tcp, seed * 16 + tunnel))
        });
        Self {
            tunnels: tunnels.collect(),
            path: config.udp.as_ref().map(|udp| UdpTunnel::new(udp, seed)),
            config,
            netem: Netem::new(seed),
            packets: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            lost: 0,
            longest_wait: Duration::ZERO,
            waits: Waits::default(),
            messages: 0,
        }
    }

    /// Sends a packet of full size.
    pub fn send(&mut self, now: Instant, packet: T) {
        self.send_messages(now, packet, FULL_SIZE);
    }

    /// Sends a packet that takes this many tunnel messages.
    pub fn send_messages(&mut self, now: Instant, packet: T, messages: u32) {
        self.messages += u64::from(messages);
        if !self.tunnels.is_empty() {
            let tunnel = self.rng.next_u32() as usize % self.tunnels.len();
            self.tunnels[tunnel].send(now, packet, messages);
            return;
        }
        if let Some(path) = &mut self.path {
            path.send(now, packet, messages);
            return;
        }
        if self.config.rate.is_some() {
            let wait = self.netem.queueing_delay(now);
            self.longest_wait = self.longest_wait.max(wait);
            self.waits.add(wait);
        }
        let bytes = messages as usize * MESSAGE;
        match self.netem.offer(&self.config.model(), now, bytes) {
            Fate::Dropped(_) => self.lost += 1,
            Fate::Arrives { at, again, .. } => {
                if let Some(again) = again {
                    self.carry(at, packet.clone());
                    self.carry(again, packet);
                } else {
                    self.carry(at, packet);
                }
            }
        }
    }

    fn carry(&mut self, arrives: Instant, packet: T) {
        self.count += 1;
        self.packets.insert((arrives, self.count), packet);
    }

    /// When [`receive`](Self::receive) should be called: at the next arrival, or earlier at the
    /// next event of a tunnel over TCP.
    pub fn next(&self) -> Option<Instant> {
        let packets = self.packets.first_key_value().map(|((at, _), _)| *at);
        let tunnels = self.tunnels.iter().filter_map(TcpTunnel::next);
        let path = self.path.iter().filter_map(UdpTunnel::next);
        tunnels.chain(path).chain(packets).min()
    }

    /// The next packet that has arrived.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        let arrived = self
            .tunnels
            .iter_mut()
            .find_map(|tunnel| tunnel.receive(now));
        if arrived.is_some() {
            return arrived;
        }
        if let Some(path) = &mut self.path {
            return path.receive(now);
        }
        let entry = self.packets.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Loses all packets in flight.
    pub fn clear(&mut self) {
        self.lost += self.packets.len() as u64;
        self.packets.clear();
    }

    /// The number of packets in flight.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The packets in flight, the last arrival first.
    pub fn in_flight(&self) -> impl Iterator<Item = &T> {
        let mut order: Vec<_> = self.packets.iter().collect();
        order.sort_by_key(|(key, _)| Reverse(**key));
        order.into_iter().map(|(_, packet)| packet)
    }
}

/// The number of tunnel messages of a streaming packet of this length. The `first` packet includes
/// the lease set.
///
/// The packet has an overhead of 116 bytes: I2NP header 16 and length 4, tag 8 and authentication
/// 16, clove 49, gzip 23. A tunnel message carries 964 bytes of an unfragmented message, 960 of a
/// first fragment and 996 of each further one.
pub fn messages(packet: usize, first: bool) -> u32 {
    let lease_set = if first { LEASE_SET } else { 0 };
    let length = packet + 116 + lease_set;
    if length <= 964 {
        return 1;
    }
    let further = length.saturating_sub(960).div_ceil(996);
    1 + u32::try_from(further).unwrap_or(u32::MAX - 1)
}

/// A lease set with three leases, in bytes.
const LEASE_SET: usize = 850;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn arrivals(config: LinkConfig, count: u32, spacing: Duration) -> Vec<(Duration, u32)> {
        let begin = start();
        let mut link = Link::new(config, 7);
        for number in 0..count {
            link.send(begin + spacing * number, number);
        }
        let mut arrived = Vec::new();
        while let Some(at) = link.next() {
            arrived.extend(link.receive(at).map(|number| (at - begin, number)));
        }
        arrived
    }

    #[test]
    fn delay_and_order_are_kept() {
        let arrived = arrivals(LinkConfig::delay(MS(100)).jitter(MS(50)), 100, MS(1));
        assert_eq!(arrived.len(), 100);
        assert!(arrived.iter().map(|(_, number)| number).is_sorted());
        assert!(
            arrived
                .iter()
                .all(|(at, _)| *at >= MS(100) && *at <= MS(250))
        );
    }

    #[test]
    fn the_configured_share_is_lost_or_duplicated() {
        let arrived = arrivals(LinkConfig::delay(MS(1)).loss(0.1), 10_000, MS(1)).len();
        assert!((8_800..9_200).contains(&arrived), "{arrived}");
        let arrived = arrivals(LinkConfig::delay(MS(1)).duplicate(0.1), 10_000, MS(1)).len();
        assert!((10_800..11_200).contains(&arrived), "{arrived}");
    }

    #[test]
    fn rate_and_queue_are_in_packets() {
        let config = LinkConfig::delay(MS(10)).rate(100.0, 20);
        let mut link = Link::new(config.clone(), 7);
        let begin = start();
        for number in 0..100 {
            link.send(begin, number);
        }
        // The last accepted packet waits behind 20 packets.
        assert_eq!((link.len(), link.lost), (21, 79));
        assert_eq!(link.longest_wait, MS(210));
        let arrived = arrivals(config, 100, Duration::ZERO);
        assert_eq!(arrived[1].0, arrived[0].0 + MS(10));
    }

    #[test]
    fn reordering_changes_the_order() {
        let arrived = arrivals(LinkConfig::delay(MS(10)).reorder(0.3, MS(50)), 200, MS(1));
        assert_eq!(arrived.len(), 200);
        assert!(!arrived.iter().map(|(_, number)| number).is_sorted());
    }
}
