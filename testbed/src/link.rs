//! A link that delays, loses, repeats and reorders.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::tcp::{Chain, TcpConfig};

/// How a [`Link`] treats packets.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// How long a packet takes.
    pub delay: Duration,
    /// Up to how much longer, at random. Alone it does not reorder.
    pub jitter: Duration,
    /// How packets get lost.
    pub loss: Loss,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Share of packets that take up to `reorder_by` longer, past the order.
    pub reorder: f64,
    /// See `reorder`.
    pub reorder_by: Duration,
    /// Packets per second that pass; `None` is no limit.
    pub rate: Option<f64>,
    /// Packets that wait where `rate` is a limit; more are lost.
    pub queue: usize,
    /// Tunnels over TCP connections instead of all the above.
    pub tcp: Option<TcpConfig>,
}

impl LinkConfig {
    /// A link that only delays.
    pub const fn delay(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            rate: None,
            queue: 250,
            tcp: None,
        }
    }

    /// Tunnels over TCP connections.
    pub const fn tcp(config: TcpConfig) -> Self {
        Self {
            tcp: Some(config),
            ..Self::delay(Duration::ZERO)
        }
    }

    /// As it is, losing this share of packets at random.
    #[must_use]
    pub const fn loss(self, share: f64) -> Self {
        Self {
            loss: Loss::Random(share),
            ..self
        }
    }

    /// As it is, with this much jitter.
    #[must_use]
    pub const fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// As it is, with this share of packets up to `by` late.
    #[must_use]
    pub const fn reorder(self, share: f64, by: Duration) -> Self {
        Self {
            reorder: share,
            reorder_by: by,
            ..self
        }
    }

    /// As it is, repeating this share of packets.
    #[must_use]
    pub const fn duplicate(self, share: f64) -> Self {
        Self {
            duplicate: share,
            ..self
        }
    }

    /// As it is, passing this many packets per second and keeping `queue` waiting.
    #[must_use]
    pub const fn rate(self, rate: f64, queue: usize) -> Self {
        Self {
            rate: Some(rate),
            queue,
            ..self
        }
    }
}

/// How packets get lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Not at all.
    None,
    /// Each with this probability.
    Random(f64),
    /// In bursts (Gilbert-Elliott): probabilities, per packet, that a burst begins, that it ends, and
    /// that a packet within it is lost.
    Burst {
        /// A burst begins.
        begin: f64,
        /// It ends.
        end: f64,
        /// A packet within it is lost.
        loss: f64,
    },
    /// Everything.
    All,
}

/// A link in virtual time.
#[derive(Debug)]
pub struct Link<T> {
    /// May be changed at any time.
    pub config: LinkConfig,
    rng: ChaCha8Rng,
    in_burst: bool,
    /// When the rate limit lets the next packet pass.
    free: Option<Instant>,
    /// When the last packet in order arrives.
    last: Option<Instant>,
    /// On their way, by arrival and then by order of sending.
    packets: BTreeMap<(Instant, u64), T>,
    count: u64,
    tunnels: Vec<Chain<T>>,
    /// Packets lost.
    pub lost: u64,
    /// The longest that a packet waited for the rate limit.
    pub longest_wait: Duration,
    /// How long packets waited for the rate limit, in the order in which they came.
    pub waits: Waits,
    /// Tunnel messages sent, those lost included.
    pub messages: u64,
}

/// How long packets waited, in whole milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    counts: Vec<u32>,
    total: u64,
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        let ms = usize::try_from(wait.as_millis()).map_or(MAX_WAIT_MS, |ms| ms.min(MAX_WAIT_MS));
        if self.counts.len() <= ms {
            self.counts.resize(ms + 1, 0);
        }
        self.counts[ms] += 1;
        self.total += 1;
    }

    /// The mean, zero without any.
    pub fn mean(&self) -> Duration {
        let sum: u64 = (0_u64..)
            .zip(&self.counts)
            .map(|(ms, count)| ms * u64::from(*count))
            .sum();
        Duration::from_micros((sum * 1000).checked_div(self.total).unwrap_or(0))
    }

    /// What this share of packets, in per cent, did not exceed.
    pub fn percentile(&self, percent: u64) -> Duration {
        let mut left = self.total * percent / 100;
        for (ms, count) in (0_u64..).zip(&self.counts) {
            let count = u64::from(*count);
            if left < count {
                return Duration::from_millis(ms);
            }
            left -= count;
        }
        Duration::from_millis(self.counts.len().saturating_sub(1) as u64)
    }
}

/// Longer waits count as this.
const MAX_WAIT_MS: usize = 20_000;

impl<T: Clone> Link<T> {
    /// An empty link; the same `seed` loses the same packets.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        let tunnels = config.tcp.iter().flat_map(|tcp| {
            (0..tcp.tunnels as u64).map(move |tunnel| Chain::new(tcp, seed * 16 + tunnel))
        });
        Self {
            tunnels: tunnels.collect(),
            config,
            rng: ChaCha8Rng::seed_from_u64(seed),
            in_burst: false,
            free: None,
            last: None,
            packets: BTreeMap::new(),
            count: 0,
            lost: 0,
            longest_wait: Duration::ZERO,
            waits: Waits::default(),
            messages: 0,
        }
    }

    /// A number from 0 to 1.
    fn draw(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX)
    }

    fn loses(&mut self, messages: u32) -> bool {
        let draw = self.draw();
        match self.config.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Random(share) => {
                // The share is that of packets of two messages; each further one may get lost too.
                let each = (1.0 - share).sqrt();
                let arrives = (2..messages).fold(1.0 - share, |arrives, _| arrives * each);
                draw < 1.0 - arrives
            }
            Loss::Burst { begin, end, loss } => {
                let change = self.draw();
                self.in_burst = if self.in_burst {
                    change >= end
                } else {
                    change < begin
                };
                self.in_burst && draw < loss
            }
        }
    }

    /// Puts a packet of full size on its way.
    pub fn send(&mut self, now: Instant, packet: T) {
        self.send_messages(now, packet, 2);
    }

    /// Puts a packet on its way that takes this many tunnel messages. Where the rate is limited, two
    /// count as one packet.
    pub fn send_messages(&mut self, now: Instant, packet: T, messages: u32) {
        let mut leaves = now;
        self.messages += u64::from(messages);
        if !self.tunnels.is_empty() {
            let tunnel = self.rng.next_u32() as usize % self.tunnels.len();
            self.tunnels[tunnel].send(now, packet, messages);
            return;
        }
        if let Some(rate) = self.config.rate {
            let free = self.free.unwrap_or(now).max(now);
            let wait = free - now;
            self.longest_wait = self.longest_wait.max(wait);
            self.waits.add(wait);
            if wait.as_secs_f64() * rate > self.config.queue as f64 {
                self.lost += 1;
                return;
            }
            leaves = free + Duration::from_secs_f64(f64::from(messages) / 2.0 / rate);
            self.free = Some(leaves);
        }
        if self.loses(messages) {
            self.lost += 1;
            return;
        }
        let copies = if self.draw() < self.config.duplicate {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = self.config.jitter.mul_f64(self.draw());
            let mut arrives = leaves + self.config.delay + jitter;
            if self.draw() < self.config.reorder {
                arrives += self.config.reorder_by.mul_f64(self.draw());
            } else {
                arrives = self.last.map_or(arrives, |last| last.max(arrives));
                self.last = Some(arrives);
            }
            self.count += 1;
            self.packets.insert((arrives, self.count), packet.clone());
        }
    }

    /// When the next packet arrives, or may.
    pub fn next(&self) -> Option<Instant> {
        let packets = self.packets.first_key_value().map(|((at, _), _)| *at);
        let tunnels = self.tunnels.iter().filter_map(Chain::next);
        tunnels.chain(packets).min()
    }

    /// The next packet that has arrived.
    pub fn receive(&mut self, now: Instant) -> Option<T> {
        let arrived = self.tunnels.iter_mut().find_map(|chain| chain.receive(now));
        if arrived.is_some() {
            return arrived;
        }
        let entry = self.packets.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Loses what is on its way.
    pub fn clear(&mut self) {
        self.lost += self.packets.len() as u64;
        self.packets.clear();
    }

    /// Packets on their way.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets on their way in the order of their arrival, last first.
    pub fn in_flight(&self) -> impl Iterator<Item = &T> {
        let mut order: Vec<_> = self.packets.iter().collect();
        order.sort_by_key(|(key, _)| Reverse(**key));
        order.into_iter().map(|(_, packet)| packet)
    }
}

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
    fn delay_is_kept_and_order_too() {
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
    fn about_the_configured_share_is_lost_or_repeated() {
        let arrived = arrivals(LinkConfig::delay(MS(1)).loss(0.1), 10_000, MS(1)).len();
        assert!((8_800..9_200).contains(&arrived), "{arrived}");
        let arrived = arrivals(LinkConfig::delay(MS(1)).duplicate(0.1), 10_000, MS(1)).len();
        assert!((10_800..11_200).contains(&arrived), "{arrived}");
    }

    #[test]
    fn bursts_lose_packets_in_a_row() {
        let loss = Loss::Burst {
            begin: 0.01,
            end: 0.1,
            loss: 1.0,
        };
        let config = LinkConfig {
            loss,
            ..LinkConfig::delay(MS(1))
        };
        let arrived = arrivals(config, 10_000, MS(1));
        let gaps = arrived
            .windows(2)
            .filter(|pair| pair[1].1 - pair[0].1 > 4)
            .count();
        assert!(gaps > 20, "{gaps}");
    }

    #[test]
    fn the_rate_limit_spaces_packets_and_drops_what_does_not_fit() {
        let arrived = arrivals(
            LinkConfig::delay(MS(10)).rate(100.0, 20),
            100,
            Duration::ZERO,
        );
        assert!((20..=22).contains(&arrived.len()), "{}", arrived.len());
        assert_eq!(arrived[1].0, arrived[0].0 + MS(10));
    }

    #[test]
    fn reordering_changes_the_order() {
        let arrived = arrivals(LinkConfig::delay(MS(10)).reorder(0.3, MS(50)), 200, MS(1));
        assert_eq!(arrived.len(), 200);
        assert!(!arrived.iter().map(|(_, number)| number).is_sorted());
    }
}
