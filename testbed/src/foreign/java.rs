//! Java I2P 2.8.0.
//!
//! Modelled:
//!
//! * The initial cwnd is 3. It doubles per round trip to 64, and then grows by one per round trip
//!   to 128.
//! * At most 128 packets, or twice the cwnd, are sent beyond the first unacknowledged one. At most
//!   half of the cwnd are retransmissions. Bursts have the length of the cwnd.
//! * There is one timer by RFC 6298, at least 100 ms, which doubles with each expiry. On expiry,
//!   half of the packets in flight, at most 16, are retransmitted, and the cwnd is 1.
//! * A packet that three acknowledgements report missing is retransmitted once.
//! * The threshold after a loss comes from a bandwidth estimate (Westwood+), and is at most 64.
//! * Acknowledgements are requested when less than a third of the cwnd is left. A requested
//!   acknowledgement is sent after 120 ms or an eighth of the RTT, others after 500 ms. Those for
//!   duplicates are half an RTT apart.
//! * Every packet lists all missing packets. Their count is one byte, which overflows.
//! * The buffer holds 130 packets. Beyond it, the receiver chokes with 61,000. After a new large
//!   packet, eight packets end the choking. While choked, no new packets are sent.
//! * Packets that are not full are sent after 100 ms.
//!
//! The caller provides the state that outlives a stream ([`super::Foreign::remember`]).
//!
//! Not modelled: delays in its message queue and in that of the router, profiles, and inactivity.

use std::{collections::BTreeMap, time::Duration};

use eepkit_streaming::packet::{Flags, Packet, Repr};

use super::{Arrival, Model, Wire, due, earliest};

mod bandwidth;

use bandwidth::Bandwidth;

/// A stream of Java I2P.
#[derive(Debug)]
pub(super) struct Java {
    wire: Wire,
    mtu: usize,
    begun: bool,
    next_seq: u32,
    sent: BTreeMap<u32, Sent>,
    window: u32,
    threshold: u32,
    /// All packets below this have been acknowledged.
    acked_through: i64,
    /// The packet at which the cwnd may grow again with a single packet in flight.
    window_end: i64,
    /// Retransmitted packets that are not acknowledged.
    active_resends: u32,
    /// Whether an acknowledgement has arrived since the last congestion.
    acked_since: bool,
    /// The last packet that had been sent at the last congestion.
    congested_through: i64,
    rtt: Duration,
    deviation: Duration,
    least_rtt: Option<Duration>,
    samples: u32,
    timeout: Duration,
    bandwidth: Bandwidth,
    choked: bool,
    choking: bool,
    unchokes: u32,
    last_send: Duration,
    resend_timer: Option<Duration>,
    ack_timer: Option<Duration>,
    /// For a duplicate: when it requested an acknowledgement, and the time of the last packet sent
    /// then.
    again_timer: Option<Duration>,
    again_since: Duration,
    flush_timer: Option<Duration>,
    flush: bool,
}

#[derive(Debug)]
struct Sent {
    payload: Vec<u8>,
    syn: bool,
    created: Duration,
    last: Duration,
    sends: u32,
    nacks: u32,
    hurried: bool,
}

impl Java {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            mtu: MTU,
            begun: false,
            next_seq: 0,
            sent: BTreeMap::new(),
            window: 3,
            threshold: MAX_THRESHOLD,
            acked_through: -1,
            window_end: 2,
            active_resends: 0,
            acked_since: true,
            congested_through: -1,
            rtt: INITIAL_RTT,
            deviation: Duration::ZERO,
            least_rtt: None,
            samples: 0,
            timeout: INITIAL_TIMEOUT,
            bandwidth: Bandwidth::new(),
            choked: false,
            choking: false,
            unchokes: 0,
            last_send: Duration::ZERO,
            resend_timer: None,
            ack_timer: None,
            again_timer: None,
            again_since: Duration::ZERO,
            flush_timer: None,
            flush: false,
        }
    }

    /// The delay option of a packet. `hurry` is whether it would request an acknowledgement.
    fn delay_option(&mut self, hurry: bool) -> Option<u16> {
        if self.choking {
            self.wire.counters.chokes_sent += 1;
            return Some(CHOKE);
        }
        let unchoke = self.unchokes > 1;
        self.unchokes = self.unchokes.saturating_sub(1);
        (hurry || unchoke).then_some(0)
    }

    fn transmit(&mut self, now: Duration, seq: u32, again: bool) {
        let in_flight = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        let left = self.window.saturating_sub(in_flight);
        let hurry = !again && (left < 3 || left < self.window.div_ceil(3));
        let delay = self.delay_option(hurry);
        let acks = self.acknowledgement();
        let Some(sent) = self.sent.get(&seq) else {
            return;
        };
        let Some((ack_through, nacks)) = acks else {
            self.wire.counters.malformed_acks += 1;
            return;
        };
        let repr = Repr {
            seq,
            ack_through: ack_through.unwrap_or(0),
            nacks: &nacks,
            resend_delay: 1,
            // A SYN acknowledges packet 0 even if it has not arrived. Receivers take this into
            // account.
            delay,
            payload: &sent.payload,
            ..Repr::default()
        };
        let packet = if sent.syn {
            self.wire.encode_syn(Repr {
                flags: if ack_through.is_none() {
                    Flags::NO_ACK
                } else {
                    Flags::default()
                },
                max_size: Some(1812),
                ..repr
            })
        } else {
            self.wire.encode(repr)
        };
        self.wire.send(packet, again);
        self.on_sent(now);
        self.resend_timer.get_or_insert(now + self.timeout);
    }

    fn on_sent(&mut self, now: Duration) {
        self.ack_timer = None;
        self.last_send = now;
    }

    /// The highest packet received and all missing ones, unless they are too many to be encoded.
    fn acknowledgement(&self) -> Option<(Option<u32>, Vec<u32>)> {
        let nacks = self.wire.inbox.missing(256);
        (nacks.len() < 256).then(|| (self.wire.inbox.highest(), nacks))
    }

    fn send_ack(&mut self, now: Duration) {
        if !self.begun {
            // The answer to the SYN.
            self.flush = true;
            self.pump(now);
            return;
        }
        let delay = self.delay_option(false);
        self.on_sent(now);
        let Some((ack_through, nacks)) = self.acknowledgement() else {
            self.wire.counters.malformed_acks += 1;
            return;
        };
        self.wire.send_ack(Repr {
            ack_through: ack_through.unwrap_or(0),
            nacks: &nacks,
            resend_delay: 1,
            delay,
            ..Repr::default()
        });
    }

    fn has_room(&self) -> bool {
        let in_flight = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        let span = i64::from(self.next_seq) - 1 - self.acked_through;
        !self.choked
            && in_flight < self.window
            && self.active_resends < self.window.div_ceil(2)
            && span < i64::from(MAX_WINDOW.min(2 * self.window))
    }

    /// Sends what the cwnd allows: full packets, and a partial one when it has waited.
    fn pump(&mut self, now: Duration) {
        if self.wire.remote_id == 0 && (self.begun || !self.wire.initiator) {
            return;
        }
        loop {
            let length = self.wire.unsent.len();
            let answers = !self.begun && self.flush;
            let ready = length >= self.mtu || (self.flush && length > 0) || answers;
            if !ready || !self.has_room() {
                break;
            }
            let payload = self.wire.take(self.mtu);
            let sent = Sent {
                payload,
                syn: !self.begun,
                created: now,
                last: now,
                sends: 1,
                nacks: 0,
                hurried: false,
            };
            self.begun = true;
            let seq = self.next_seq;
            self.next_seq += 1;
            self.sent.insert(seq, sent);
            self.transmit(now, seq, false);
            self.flush = false;
        }
        if !self.wire.unsent.is_empty() && self.wire.unsent.len() < self.mtu && !self.flush {
            self.flush_timer.get_or_insert(now + FLUSH_DELAY);
        }
    }

    fn measure(&mut self, sample: Duration) {
        self.least_rtt = Some(self.least_rtt.map_or(sample, |least| least.min(sample)));
        if self.samples == 0 {
            self.rtt = sample;
            self.deviation = sample / 2;
            self.timeout = sample.mul_f64(1.5);
        } else {
            let off = sample.abs_diff(self.rtt);
            self.deviation = self.deviation.mul_f64(0.75) + off.mul_f64(0.25);
            self.rtt = self.rtt.mul_f64(0.875) + sample.mul_f64(0.125);
            self.timeout = self.rtt + self.deviation * 4;
        }
        self.samples += 1;
        self.timeout = self.timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }

    fn double_timeout(&mut self) {
        self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
    }

    /// The estimated BDP: the packets that arrive in the min RTT.
    fn cut_threshold(&mut self, now: Duration) {
        let least = self.least_rtt.unwrap_or(self.rtt).as_secs_f64();
        let estimate = self.bandwidth.estimate(now, self.rtt) * least;
        self.threshold = (estimate as u32).clamp(2, MAX_THRESHOLD);
    }

    fn note_congestion(&mut self) {
        if self.acked_since {
            self.acked_since = false;
            self.congested_through = i64::from(self.next_seq) - 1;
        }
    }

    fn on_acks(&mut self, now: Duration, packet: &Packet<'_>, congested: bool) {
        let through = packet.ack_through();
        let nacks: Vec<_> = packet.nacks().collect();
        if let Some(lowest) = nacks.iter().min() {
            self.acked_through = self.acked_through.max(i64::from(*lowest) - 1);
        } else {
            self.acked_through = self.acked_through.max(i64::from(through));
        }
        let mut hurry = Vec::new();
        let mut acked = 0;
        let mut sample = None;
        let covered: Vec<_> = self.sent.range(..=through).map(|(seq, _)| *seq).collect();
        for seq in covered {
            if nacks.contains(&seq) {
                if let Some(sent) = self.sent.get_mut(&seq) {
                    sent.nacks += 1;
                    let rested = sent.sends == 1 || sent.last + RESEND_REST < now;
                    if sent.nacks >= ENOUGH_NACKS && !sent.hurried && rested {
                        sent.hurried = true;
                        hurry.push(seq);
                    }
                }
                continue;
            }
            if let Some(sent) = self.sent.remove(&seq) {
                acked += 1;
                if sent.sends > 1 {
                    self.active_resends = self.active_resends.saturating_sub(1);
                } else {
                    // The maximum, as they are likely to have arrived together.
                    sample = sample.max(Some(now.saturating_sub(sent.created)));
                }
            }
        }
        if self.sent.is_empty() {
            self.active_resends = 0;
        }
        if acked > 0 {
            self.acked_since = true;
            self.bandwidth.add(now, self.rtt, acked);
            self.resend_timer = (!self.sent.is_empty()).then(|| now + self.timeout);
        }
        if let Some(sample) = sample.filter(|sample| !sample.is_zero()) {
            self.measure(sample);
        }
        if self.acked_through >= self.window_end || acked > 1 || !self.sent.is_empty() {
            if acked > 0 && !congested {
                self.grow(acked);
            }
            self.window_end = self.acked_through + i64::from(self.window);
        }
        for seq in hurry {
            self.resend_hurried(now, seq);
        }
    }

    fn grow(&mut self, acked: u32) {
        if self.window < self.threshold {
            self.window = (self.window + acked).min(self.threshold);
        } else if self.wire.random(self.window) < acked {
            self.window += 1;
        }
        self.window = self.window.min(MAX_WINDOW);
    }

    /// Retransmits packets that were reported missing often enough.
    fn resend_hurried(&mut self, now: Duration, seq: u32) {
        let Some(sends) = self.sent.get(&seq).map(|sent| sent.sends) else {
            return;
        };
        if self.choked {
            self.note_congestion();
            self.window = 1;
        } else if self.acked_since && i64::from(seq) > self.congested_through {
            self.note_congestion();
            self.double_timeout();
            if sends == 1 {
                self.cut_threshold(now);
                self.window = self.window.min(self.threshold);
            }
        }
        self.send_again(now, seq);
    }

    fn send_again(&mut self, now: Duration, seq: u32) {
        let Some(sent) = self.sent.get_mut(&seq) else {
            return;
        };
        if sent.sends > MAX_RESENDS {
            self.wire.dead = true;
            return;
        }
        if sent.sends == 1 {
            self.active_resends += 1;
        }
        sent.sends += 1;
        sent.last = now;
        self.transmit(now, seq, true);
    }

    fn on_resend_timer(&mut self, now: Duration) {
        self.note_congestion();
        self.double_timeout();
        self.resend_timer = Some(now + self.timeout);
        let Some((_, oldest)) = self.sent.first_key_value() else {
            self.resend_timer = None;
            return;
        };
        if oldest.sends == 1 {
            self.cut_threshold(now);
            self.window = 1;
        }
        let half = self.sent.len().div_ceil(2).min(MAX_AT_ONCE);
        let again: Vec<_> = self.sent.keys().take(half).copied().collect();
        for seq in again {
            self.send_again(now, seq);
        }
    }

    /// Whether the buffer has space for a packet with payload.
    fn accepts(&self, seq: u32, length: usize) -> bool {
        let inbox = &self.wire.inbox;
        if length == 0 || seq < ALWAYS_ACCEPTED || seq < inbox.next {
            return true;
        }
        let kept = inbox.ready.len() + inbox.early.len();
        if kept * self.mtu < BUFFER_PACKETS * self.mtu || inbox.early.contains_key(&seq) {
            return true;
        }
        let unread: usize = inbox.ready.iter().map(bytes::Bytes::len).sum();
        let available = (BUFFER_PACKETS * self.mtu).saturating_sub(unread);
        let ahead = (seq - inbox.next + 1) as usize;
        available > 0 && ahead <= available / self.mtu && inbox.ready.len() < MAX_READY
    }

    fn set_choking(&mut self, now: Duration, choking: bool) {
        if choking != self.choking {
            self.choking = choking;
            if !choking {
                self.unchokes = UNCHOKES;
            }
            self.send_ack(now);
        } else if choking {
            self.send_ack(now);
        }
    }

    /// Acknowledges after `delay`, or earlier if an acknowledgement is already due.
    fn plan_ack(&mut self, now: Duration, delay: Duration) {
        let at = now + delay.min(ACK_DELAY);
        self.ack_timer = Some(self.ack_timer.map_or(at, |planned| planned.min(at)));
    }

    fn on_duplicate(&mut self, now: Duration) {
        let at = self.last_send + ACK_DELAY.min(self.rtt / 2);
        if at <= now {
            self.send_ack(now);
        } else if self.again_timer.is_none() {
            self.again_timer = Some(at);
            self.again_since = self.last_send;
        }
    }

    fn on_choked(&mut self, choked: bool) {
        self.choked = choked;
        if choked {
            self.wire.counters.chokes_received += 1;
            self.note_congestion();
            self.window = 1;
        }
    }
}

impl Model for Java {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn open(&mut self, now: Duration) {
        self.wire.initiator = true;
        self.flush = true;
        self.pump(now);
    }

    fn on_packet(&mut self, now: Duration, packet: &Packet<'_>) {
        let flags = packet.flags();
        if flags.is_reset() {
            self.wire.dead = true;
            return;
        }
        if self.wire.remote_id == 0 && !flags.is_syn() && packet.seq() >= EARLY_PACKETS {
            return;
        }
        self.wire.meet(packet);
        if flags.is_syn() {
            let theirs = packet.max_size().map_or(DEFAULT_MTU, usize::from);
            self.mtu = MTU.min(theirs);
        }
        let choke = packet.delay().is_some_and(|delay| delay > MAX_DELAY);
        if packet.delay().is_some() {
            self.on_choked(choke);
        }
        let sequenced = packet.seq() > 0 || flags.is_syn();
        let length = packet.payload().len();
        if sequenced && !self.accepts(packet.seq(), length) {
            self.wire.counters.dropped += 1;
            self.set_choking(now, true);
            return;
        }
        let mut is_new = false;
        if sequenced {
            self.wire.counters.received += 1;
            is_new = self.wire.inbox.put(packet.seq(), packet.payload()) != Arrival::Duplicate;
            if is_new && length > UNCHOKING_SIZE {
                self.set_choking(now, false);
            }
            if is_new {
                match packet.delay() {
                    Some(0) => self.plan_ack(now, HURRIED_ACK_DELAY.min(self.rtt / 8)),
                    Some(delay) => self.plan_ack(now, Duration::from_millis(u64::from(delay))),
                    None => self.plan_ack(now, ACK_DELAY),
                }
            } else {
                self.wire.counters.duplicates += 1;
                self.on_duplicate(now);
            }
        }
        if packet.send_id() != 0 && !flags.is_no_ack() && self.wire.remote_id != 0 {
            let congested = choke || self.choked || (sequenced && !is_new);
            self.on_acks(now, packet, congested);
        }
        self.pump(now);
    }

    fn on_timers(&mut self, now: Duration) {
        if due(&mut self.resend_timer, now) {
            self.on_resend_timer(now);
        }
        if due(&mut self.ack_timer, now) {
            self.send_ack(now);
        }
        if due(&mut self.again_timer, now) && self.again_since == self.last_send {
            self.send_ack(now);
        }
        if due(&mut self.flush_timer, now) {
            self.flush = true;
        }
        self.pump(now);
    }

    fn next_timer(&self) -> Option<Duration> {
        earliest(&[
            self.resend_timer,
            self.ack_timer,
            self.again_timer,
            self.flush_timer,
        ])
    }

    fn on_written(&mut self, now: Duration) {
        self.pump(now);
    }

    fn window(&self) -> f64 {
        f64::from(self.window)
    }

    fn remember(&mut self, window: u32, rtt: Duration) {
        self.window = window;
        self.window_end = i64::from(window) - 1;
        self.samples = 1;
        self.rtt = rtt;
        self.deviation = rtt / 2;
        self.timeout = (rtt * 3).clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }
}

const MTU: usize = 1812;
/// The maximum size for peers that do not announce one.
const DEFAULT_MTU: usize = 1730;
const INITIAL_RTT: Duration = Duration::from_secs(8);
const INITIAL_TIMEOUT: Duration = Duration::from_secs(9);
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_TIMEOUT: Duration = Duration::from_secs(45);
const MAX_WINDOW: u32 = 128;
const MAX_THRESHOLD: u32 = 64;
const ENOUGH_NACKS: u32 = 3;
/// A retransmitted packet is not retransmitted again within this time when it is reported missing.
const RESEND_REST: Duration = Duration::from_secs(4);
const MAX_AT_ONCE: usize = 16;
const MAX_RESENDS: u32 = 8;
const ACK_DELAY: Duration = Duration::from_millis(500);
const HURRIED_ACK_DELAY: Duration = Duration::from_millis(120);
const FLUSH_DELAY: Duration = Duration::from_millis(100);
/// Packets of this stream that may be sent before the answer to its SYN.
const EARLY_PACKETS: u32 = 3;
/// The first packets are always accepted.
const ALWAYS_ACCEPTED: u32 = 16;
const BUFFER_PACKETS: usize = 130;
const MAX_READY: usize = 4 * MAX_WINDOW as usize;
const CHOKE: u16 = 61_000;
/// Larger values are chokes.
const MAX_DELAY: u16 = 60_000;
/// Only larger packets end the choking.
const UNCHOKING_SIZE: usize = 1500;
const UNCHOKES: u32 = 8;
