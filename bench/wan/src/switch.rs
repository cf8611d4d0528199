//! The switch between the hosts. It delays packets, drops some, and limits the rate of each host.
//!
//! It is implemented here and not by the kernel's `netem`, because many kernels are built without
//! it, because its random numbers follow a seed, and because it can change while routers and
//! sessions run.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;
use tun_rs::SyncDevice;

use crate::link_profile::LinkProfile;

/// The address of a host.
pub(crate) fn address(host: usize) -> Ipv4Addr {
    // Of the benchmarking range (RFC 2544), which is not routed and which i2pd accepts as public.
    let part = u8::try_from(host + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(198, 18, part, 1)
}

/// The destination host of an IPv4 packet.
fn destination(packet: &[u8], hosts: usize) -> Option<usize> {
    let header = packet.first_chunk::<IPV4_HEADER>()?;
    let to = [header[16], header[17], header[18], header[19]];
    let host = usize::from(to[2]).checked_sub(1)?;
    (header[0] >> 4 == 4 && host < hosts && address(host).octets() == to).then_some(host)
}

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;

/// Room for a packet: the devices' MTU is 1500.
const PACKET: usize = 2048;

/// Packets that are read from one host before the next host.
const BATCH: usize = 64;

/// The interval at which an idle switch checks whether it must stop.
const IDLE: Duration = Duration::from_millis(50);

/// The maximum number of packets in flight on all links. Further ones are lost. Chosen as the
/// traffic of 100 MB/s over links of one second, which takes 150 MB of memory.
const MAX_IN_FLIGHT: usize = 100_000;

/// A running switch. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    changes: AtomicU64,
    profile: Mutex<LinkProfile>,
    /// Bytes that each host has sent.
    sent: Vec<AtomicU64>,
    /// Packets lost at random, and at full queues.
    lost: AtomicU64,
    overflowed: AtomicU64,
}

/// The counters of a switch since its start.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    /// Bytes sent by each host.
    pub(crate) sent: Vec<u64>,
    /// Packets lost at random.
    pub(crate) lost: u64,
    /// Packets lost at full queues.
    pub(crate) overflowed: u64,
}

impl Switch {
    /// Joins the devices. The first one is that of host 0.
    pub(crate) fn start(
        devices: Vec<SyncDevice>,
        profile: LinkProfile,
        seed: u64,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            profile: Mutex::new(profile.clone()),
            sent: devices.iter().map(|_| AtomicU64::new(0)).collect(),
            lost: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
        });
        let wires = Wires::new(devices, profile, seed, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || wires.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Changes the links. Packets in flight are not affected.
    pub(crate) fn set(&self, profile: LinkProfile) {
        *self
            .shared
            .profile
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = profile;
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    /// The counters.
    pub(crate) fn counters(&self) -> Counters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            sent: self.shared.sent.iter().map(load).collect(),
            lost: load(&self.shared.lost),
            overflowed: load(&self.shared.overflowed),
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been reported.
            let _ = thread.join();
        }
    }
}

/// The switch's own state.
struct Wires {
    devices: Vec<SyncDevice>,
    shared: Arc<Shared>,
    changes: u64,
    profile: LinkProfile,
    seed: u64,
    rng: StdRng,
    /// One-way delays, by sender and receiver.
    delays: Vec<Vec<Duration>>,
    /// When the transmission of the last packet of each host ends.
    free_at: Vec<Instant>,
    /// By due time and then by order of arrival: time, number, slot.
    in_flight: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    slots: Vec<(usize, Vec<u8>)>,
    vacant: Vec<usize>,
    number: u64,
}

impl Wires {
    fn new(devices: Vec<SyncDevice>, profile: LinkProfile, seed: u64, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let hosts = devices.len();
        let mut wires = Self {
            devices,
            shared,
            changes: 0,
            profile,
            seed,
            rng: StdRng::seed_from_u64(seed),
            delays: Vec::new(),
            free_at: vec![now; hosts],
            in_flight: BinaryHeap::new(),
            slots: Vec::new(),
            vacant: Vec::new(),
            number: 0,
        };
        wires.draw_delays();
        wires
    }

    /// Draws the delays, which depend only on the seed and not on the traffic.
    fn draw_delays(&mut self) {
        let hosts = self.devices.len();
        let mut rng = StdRng::seed_from_u64(self.seed);
        let (from, to) = self.profile.delay;
        self.delays = vec![vec![Duration::ZERO; hosts]; hosts];
        for a in 0..hosts {
            for b in 0..a {
                let delay = from + to.saturating_sub(from).mul_f64(rng.random());
                self.delays[a][b] = delay;
                self.delays[b][a] = delay;
            }
        }
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let changes = self.shared.changes.load(Ordering::Acquire);
            if changes != self.changes {
                self.changes = changes;
                self.profile = self
                    .shared
                    .profile
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                self.draw_delays();
            }
            self.deliver_due();
            for host in self.wait() {
                self.take_from(host);
            }
        }
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((due, _, slot))) = self.in_flight.peek()
            && due <= now
        {
            self.in_flight.pop();
            let (to, packet) = &self.slots[slot];
            // A full device drops the packet, like a saturated link.
            let _ = self.devices[*to].send(packet);
            self.vacant.push(slot);
        }
    }

    /// Waits for packets or for the time of the next due one. Returns the hosts that have sent
    /// packets.
    fn wait(&self) -> Vec<usize> {
        let limit = self.in_flight.peek().map_or(IDLE, |Reverse((due, ..))| {
            due.saturating_duration_since(Instant::now()).min(IDLE)
        });
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut polled: Vec<PollFd<'_>> = self
            .devices
            .iter()
            .map(|device| PollFd::new(device, PollFlags::IN))
            .collect();
        // Interrupted by a signal. The next iteration checks the stop flag.
        if poll(&mut polled, Some(&limit)).is_err() {
            return Vec::new();
        }
        let ready = |polled: &PollFd<'_>| polled.revents().contains(PollFlags::IN);
        (0..polled.len())
            .filter(|&host| ready(&polled[host]))
            .collect()
    }

    fn take_from(&mut self, from: usize) {
        let now = Instant::now();
        let mut buffer = [0; PACKET];
        for _ in 0..BATCH {
            // No packet is queued, or the device no longer exists.
            let Ok(len) = self.devices[from].recv(&mut buffer) else {
                return;
            };
            let packet = &buffer[..len];
            // For example, IPv6 announcements.
            let Some(to) = destination(packet, self.devices.len()) else {
                continue;
            };
            self.shared.sent[from].fetch_add(len as u64, Ordering::Relaxed);
            match self.due(now, from, to, len) {
                None => {}
                Some(due) if due <= now => {
                    let _ = self.devices[to].send(packet);
                }
                Some(due) => self.keep(due, to, packet),
            }
        }
    }

    /// The arrival time of a packet; `None` if it is lost.
    fn due(&mut self, now: Instant, from: usize, to: usize, len: usize) -> Option<Instant> {
        if self.profile.loss > 0.0 && self.rng.random_bool(self.profile.loss) {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut due = now;
        if let Some(rate) = self.profile.rate {
            let start = self.free_at[from].max(now);
            if start.saturating_duration_since(now) > self.profile.queue {
                self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.free_at[from] = start + Duration::from_secs_f64(len as f64 / rate);
            due = self.free_at[from];
        }
        Some(due + self.delays[from][to] + self.profile.jitter.mul_f64(self.rng.random()))
    }

    fn keep(&mut self, due: Instant, to: usize, packet: &[u8]) {
        let slot = match self.vacant.pop() {
            Some(slot) => slot,
            None if self.slots.len() < MAX_IN_FLIGHT => {
                self.slots.push((0, Vec::with_capacity(packet.len())));
                self.slots.len() - 1
            }
            None => {
                self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let kept = &mut self.slots[slot];
        kept.0 = to;
        kept.1.clear();
        kept.1.extend_from_slice(packet);
        self.number += 1;
        self.in_flight.push(Reverse((due, self.number, slot)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(to: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; 28];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&to);
        packet
    }

    #[test]
    fn packets_go_to_the_host_of_their_address() {
        assert_eq!(destination(&packet(address(0).octets()), 2), Some(0));
        assert_eq!(destination(&packet(address(1).octets()), 2), Some(1));
    }

    #[test]
    fn packets_to_unknown_addresses_are_dropped() {
        for to in [
            [198, 18, 3, 1],
            [198, 18, 0, 1],
            [10, 0, 1, 1],
            [198, 18, 1, 2],
        ] {
            assert_eq!(destination(&packet(to), 2), None, "{to:?}");
        }
        let mut six = packet(address(0).octets());
        six[0] = 0x60;
        assert_eq!(destination(&six, 2), None);
        assert_eq!(destination(&[0x45; 19], 2), None);
        assert_eq!(destination(&[], 2), None);
    }
}
