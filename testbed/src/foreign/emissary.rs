//! emissary 0.4.0.
//!
//! Modelled:
//!
//! * The initial cwnd is 1. It doubles with each acknowledged packet to 64, and then grows by one
//!   to 128. Bursts have the length of the cwnd, without pacing.
//! * Retransmitted packets give RTT samples too.
//! * There is one timer, which restarts with 9 s after every expiry. An expiry discards the RTT,
//!   changes tunnels and reduces the cwnd by one packet.
//! * An acknowledgement is sent 200 ms after the first packet that it covers, even if the peer
//!   requests one earlier. It lists at most 255 missing packets. If there are as many, it chokes
//!   with 60,001. Choking by the peer is ignored.
//! * A packet more than 512 beyond the highest received one ends the stream.
//! * An incoming stream that waits to be accepted buffers six packets. The next one causes a reset.
//!   Packets out of order are lost.
//! * The SYN has no data and no maximum size. It is retransmitted five times, every 2.5 s.
//!
//! Not modelled: its queue of 512 packets between tasks, which only bursts of the router below
//! fill.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use eepkit_streaming::packet::{Flags, Packet, Repr};

use super::{Model, Wire, due, earliest};

/// A stream of emissary.
#[derive(Debug)]
pub(super) struct Emissary {
    wire: Wire,
    state: State,
    /// When the application accepts an incoming stream.
    accept_at: Option<Duration>,
    window: usize,
    next_seq: u32,
    unacked: BTreeMap<u32, Unacked>,
    /// Packets that are built and wait for room in the cwnd.
    pending: BTreeMap<u32, Bytes>,
    rtt: Option<Duration>,
    timeout: Timeout,
    syns: u32,
    /// The highest sequence number received.
    highest: u32,
    syn_timer: Option<Duration>,
    resend_timer: Option<Duration>,
    ack_timer: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Opening,
    /// Answered and not yet accepted by the application, with the number of buffered packets.
    Waiting {
        kept: usize,
    },
    Open,
}

#[derive(Debug)]
struct Unacked {
    sent: Duration,
    packet: Bytes,
}

/// The retransmission timeout.
#[derive(Debug, Clone, Copy)]
enum Timeout {
    Unsampled,
    Sampled {
        timeout: Duration,
        variance: Duration,
        backoff: u32,
    },
}

impl Timeout {
    const fn get(self) -> Duration {
        match self {
            Self::Unsampled => INITIAL_TIMEOUT,
            Self::Sampled { timeout, .. } => timeout,
        }
    }

    fn backed_off(&mut self) -> Duration {
        match self {
            Self::Unsampled => INITIAL_TIMEOUT,
            Self::Sampled {
                timeout, backoff, ..
            } => {
                let wait = *timeout * *backoff;
                *backoff += 1;
                wait
            }
        }
    }
}

impl Emissary {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            state: State::Idle,
            accept_at: None,
            window: 1,
            next_seq: 1,
            unacked: BTreeMap::new(),
            pending: BTreeMap::new(),
            rtt: None,
            timeout: Timeout::Unsampled,
            syns: 0,
            highest: 0,
            syn_timer: None,
            resend_timer: None,
            ack_timer: None,
        }
    }

    fn send_syn(&mut self, now: Duration) {
        self.syns += 1;
        let syn = self.wire.encode_syn(Repr::default());
        self.wire.send(syn, self.syns > 1);
        self.syn_timer = Some(now + SYN_INTERVAL);
    }

    /// Handles a packet of a stream that the application has not accepted.
    fn on_waiting(&mut self, packet: &Packet<'_>, kept: usize) {
        if packet.flags().is_reset() || packet.flags().is_close() {
            self.wire.dead = true;
            return;
        }
        if packet.payload().is_empty() || packet.seq() <= self.highest {
            return;
        }
        if kept == MAX_WAITING {
            let reset = self.wire.encode(Repr {
                flags: Flags::RESET,
                ..Repr::default()
            });
            self.wire.out.push_back(reset);
            self.wire.dead = true;
            return;
        }
        self.state = State::Waiting { kept: kept + 1 };
        self.wire.counters.received += 1;
        self.highest = packet.seq();
        // Everything that is missing before it counts as received.
        self.wire.inbox.next = packet.seq();
        self.wire.inbox.put(packet.seq(), packet.payload());
        self.wire.send_ack(Repr {
            ack_through: packet.seq(),
            ..Repr::default()
        });
    }

    fn on_acks(&mut self, now: Duration, packet: &Packet<'_>) {
        let through = packet.ack_through();
        if through > self.next_seq {
            return;
        }
        let nacks: Vec<_> = packet.nacks().collect();
        let acked: Vec<_> = self
            .unacked
            .range(..=through)
            .map(|(seq, _)| *seq)
            .filter(|seq| !nacks.contains(seq))
            .collect();
        for seq in acked {
            if let Some(packet) = self.unacked.remove(&seq) {
                self.measure(now.saturating_sub(packet.sent));
            }
            if self.window < EXPONENTIAL_UNTIL {
                self.window *= 2;
            } else if self.window < MAX_WINDOW {
                self.window += 1;
            }
        }
    }

    fn measure(&mut self, sample: Duration) {
        let rtt = self
            .rtt
            .map_or(sample, |rtt| rtt.mul_f64(0.875) + sample.mul_f64(0.125));
        self.rtt = Some(rtt);
        self.timeout = match self.timeout {
            Timeout::Unsampled => Timeout::Sampled {
                timeout: rtt * 2,
                variance: rtt / 2,
                backoff: 1,
            },
            Timeout::Sampled { variance, .. } => {
                let variance = variance.mul_f64(0.75) + rtt.abs_diff(sample).mul_f64(0.25);
                Timeout::Sampled {
                    timeout: rtt + variance * 4,
                    variance,
                    backoff: 2,
                }
            }
        };
    }

    /// The fields of an acknowledgement: the highest packet, the missing ones, and the choking
    /// value.
    fn acknowledgement(&self) -> (u32, Vec<u32>, Option<u16>) {
        let nacks = self.wire.inbox.missing(MAX_NACKS);
        let choke = (nacks.len() >= MAX_NACKS).then_some(CHOKE);
        (self.highest, nacks, choke)
    }

    /// Puts written data into packets and sends as many as the cwnd allows.
    fn pump(&mut self, now: Duration) {
        if self.state != State::Open {
            return;
        }
        loop {
            while self.unacked.len() < self.window {
                let Some((seq, packet)) = self.pending.pop_first() else {
                    break;
                };
                self.transmit(now, seq, packet);
            }
            // emissary reads from the application only after it has sent all data that it has read.
            if !self.pending.is_empty() || self.wire.unsent.is_empty() {
                return;
            }
            let mut left = READ_BUFFER;
            while left > 0 && !self.wire.unsent.is_empty() {
                let payload = self.wire.take(left.min(MTU));
                left -= payload.len();
                let (ack_through, nacks, delay) = self.acknowledgement();
                let seq = self.next_seq;
                self.next_seq += 1;
                let packet = self.wire.encode(Repr {
                    seq,
                    ack_through,
                    nacks: &nacks,
                    delay,
                    payload: &payload,
                    ..Repr::default()
                });
                self.pending.insert(seq, packet);
            }
        }
    }

    fn transmit(&mut self, now: Duration, seq: u32, packet: Bytes) {
        self.wire.send(packet.clone(), false);
        self.unacked.insert(seq, Unacked { sent: now, packet });
        self.resend_timer
            .get_or_insert_with(|| now + self.timeout.get() + TICK);
    }

    fn resend(&mut self, now: Duration) {
        if self.unacked.is_empty() {
            return;
        }
        let timeout = self.timeout.get();
        let expired: Vec<_> = self
            .unacked
            .iter_mut()
            .take_while(|(_, packet)| now.saturating_sub(packet.sent) > timeout)
            .take(self.window)
            .map(|(_, packet)| {
                packet.sent = now;
                packet.packet.clone()
            })
            .collect();
        if expired.is_empty() {
            self.resend_timer = Some(now + timeout + TICK);
            return;
        }
        self.wire.counters.path_changes += 1;
        self.timeout = Timeout::Unsampled;
        self.rtt = None;
        for packet in expired {
            self.wire.send(packet, true);
        }
        self.resend_timer = Some(now + self.timeout.backed_off() + TICK);
        self.window = self.window.max(2) - 1;
    }

    fn on_data(&mut self, now: Duration, packet: &Packet<'_>) {
        let seq = packet.seq();
        self.wire.counters.received += 1;
        if seq > self.highest + 1 && seq - self.highest - 1 > MAX_AHEAD {
            self.wire.dead = true;
            return;
        }
        if self.wire.inbox.put(seq, packet.payload()) == super::Arrival::Duplicate {
            self.wire.counters.duplicates += 1;
        }
        self.highest = self.highest.max(seq);
        self.ack_timer.get_or_insert(now + ACK_DELAY);
    }

    fn send_ack(&mut self) {
        let (ack_through, nacks, delay) = self.acknowledgement();
        self.wire.counters.chokes_sent += u64::from(delay.is_some());
        self.wire.send_ack(Repr {
            ack_through,
            nacks: &nacks,
            delay,
            ..Repr::default()
        });
    }
}

impl Model for Emissary {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn open(&mut self, now: Duration) {
        self.wire.initiator = true;
        self.state = State::Opening;
        self.wire.inbox.next = 1;
        self.send_syn(now);
    }

    fn on_packet(&mut self, now: Duration, packet: &Packet<'_>) {
        let syn = packet.flags().is_syn();
        match self.state {
            State::Idle if syn => {
                self.wire.meet(packet);
                self.wire.inbox.put(0, packet.payload());
                let answer = self.wire.encode_syn(Repr::default());
                self.wire.send(answer.clone(), false);
                if self.accept_at.is_some_and(|at| at > now) {
                    let kept = usize::from(!packet.payload().is_empty());
                    self.state = State::Waiting { kept };
                    return;
                }
                self.state = State::Open;
                let unacked = Unacked {
                    sent: now,
                    packet: answer,
                };
                self.unacked.insert(0, unacked);
                self.resend_timer = Some(now + INITIAL_TIMEOUT);
            }
            // Packets that overtake the SYN are dropped.
            State::Idle => {}
            State::Opening if syn => {
                self.wire.meet(packet);
                self.state = State::Open;
                self.syn_timer = None;
                if !packet.payload().is_empty() {
                    self.wire
                        .inbox
                        .push(Bytes::copy_from_slice(packet.payload()));
                }
                self.pump(now);
            }
            State::Opening => {}
            State::Waiting { kept } => self.on_waiting(packet, kept),
            State::Open => {
                if packet.flags().is_reset() {
                    self.wire.dead = true;
                    return;
                }
                if syn {
                    self.wire.send_ack(Repr::default());
                }
                if !packet.flags().is_no_ack() {
                    self.on_acks(now, packet);
                }
                // emissary ignores choking.
                if packet.seq() > 0 {
                    self.on_data(now, packet);
                }
                self.pump(now);
            }
        }
    }

    fn on_timers(&mut self, now: Duration) {
        if due(&mut self.syn_timer, now) {
            if self.syns > MAX_SYN_RETRIES {
                self.wire.dead = true;
                return;
            }
            self.send_syn(now);
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            if matches!(self.state, State::Waiting { .. }) {
                self.state = State::Open;
                self.pump(now);
            }
        }
        if due(&mut self.resend_timer, now) {
            self.resend(now);
        }
        if due(&mut self.ack_timer, now) {
            self.send_ack();
        }
    }

    fn next_timer(&self) -> Option<Duration> {
        earliest(&[
            self.syn_timer,
            self.resend_timer,
            self.ack_timer,
            self.accept_at,
        ])
    }

    fn on_written(&mut self, now: Duration) {
        self.pump(now);
    }

    fn window(&self) -> f64 {
        self.window as f64
    }

    fn accept_at(&mut self, at: Duration) {
        self.accept_at = Some(at);
    }
}

const INITIAL_TIMEOUT: Duration = Duration::from_secs(9);
const ACK_DELAY: Duration = Duration::from_millis(200);
const SYN_INTERVAL: Duration = Duration::from_millis(2500);
const MAX_SYN_RETRIES: u32 = 5;
const EXPONENTIAL_UNTIL: usize = 64;
const MAX_WINDOW: usize = 128;
/// The largest distance of a packet from the highest received.
const MAX_AHEAD: u32 = 512;
const MAX_NACKS: usize = 255;
const CHOKE: u16 = 60_001;
/// Buffered packets of a stream that is not accepted, and the largest payload of its SYN.
const MAX_WAITING: usize = 6;
/// emissary ignores the maximum size of the peer.
const MTU: usize = 1812;
/// Bytes of one read from the application.
const READ_BUFFER: usize = 65_535;
/// Timers expire this much late, so that a packet as old as the timeout counts as older.
const TICK: Duration = Duration::from_millis(1);
