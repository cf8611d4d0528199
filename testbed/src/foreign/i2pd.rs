//! i2pd 2.58.
//!
//! Modelled:
//!
//! * The initial cwnd is ten packets. The largest is 512, or 64 to peers that choke with 61,000.
//! * Packets are paced over the min RTT plus twice the jitter.
//! * The cwnd grows by a credit. Acknowledgements add to the credit, and any sign of a queue
//!   removes it. The cwnd is halved when the slow average of the RTT rises by six times the jitter.
//! * The send timer of 10 to 12 ms restarts on every acknowledgement.
//! * A packet that is reported missing is retransmitted only if it is older than the timeout. On
//!   each timeout, one packet is retransmitted. The second timeout resets the cwnd and changes the
//!   lease or the outbound tunnel.
//! * The choking values 60,000 and 65,535 are sent and received.
//! * An acknowledgement is sent a tenth of the RTT after a packet, at most 200 ms. A requested one
//!   is sent at once, without the packet that requested it. One for an early packet or a duplicate
//!   is sent at once if none is due.
//! * Duplicates of the last packet cause a change of the lease, which resets the cwnd.
//! * At most 1536 packets are accepted ahead, with 255 missing.
//! * After 7.5 to 10.7 s without sending, an acknowledgement is requested.
//!
//! Not modelled: the state that streams to one destination share (packets in flight, the path),
//! tunnels that expire, rate limits, and that a write of 8 KiB restarts the send timer.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use eepkit_streaming::packet::{Flags, Packet, Repr};

use super::{Arrival, Model, Wire, due, earliest};

mod window;

use window::Control;

/// A stream of i2pd. Its clock counts milliseconds.
#[derive(Debug)]
pub(super) struct I2pd {
    wire: Wire,
    control: Control,
    /// The SYN or its answer was sent.
    begun: bool,
    next_seq: u32,
    sent: BTreeMap<u32, Sent>,
    nacked: Vec<u32>,
    /// Packets that the last acknowledgement reported missing wait for their retransmission.
    is_nacked: bool,
    /// All data was sent. Packets that are too old are then retransmitted without being reported
    /// missing.
    is_tail: bool,
    is_timed_out: bool,
    attempts: u32,
    choked: bool,
    /// The peer requested all packets again from the first missing one.
    choked_back: bool,
    buffer_empty: bool,
    send_time: bool,
    last_send: u64,
    packets_due: i64,
    pacing_rest: u64,
    last_request: u64,
    request_pending: bool,
    /// The highest packet received without a gap below.
    last_received: i64,
    previous_duplicate: i64,
    ack_scheduled: bool,
    last_ack_sent: u64,
    /// A packet was dropped for lack of space since the last acknowledgement.
    overflow: bool,
    send_timer: Option<Duration>,
    resend_timer: Option<Duration>,
    ack_timer: Option<Duration>,
}

#[derive(Debug)]
struct Sent {
    at: u64,
    /// Whether the packet was retransmitted and gives no RTT sample.
    resent: bool,
    packet: Bytes,
}

/// The clock is never 0, because 0 means "never".
fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX) + 1_000_000
}

impl I2pd {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            control: Control::new(),
            begun: false,
            next_seq: 0,
            sent: BTreeMap::new(),
            nacked: Vec::new(),
            is_nacked: false,
            is_tail: false,
            is_timed_out: false,
            attempts: 0,
            choked: false,
            choked_back: false,
            buffer_empty: false,
            send_time: true,
            last_send: 0,
            packets_due: 0,
            pacing_rest: 0,
            last_request: 0,
            request_pending: false,
            last_received: -1,
            previous_duplicate: -1,
            ack_scheduled: false,
            last_ack_sent: 0,
            overflow: false,
            send_timer: None,
            resend_timer: None,
            ack_timer: None,
        }
    }

    fn schedule_send(&mut self, now: Duration) {
        let interval = 10_000 + u64::from(self.wire.random(2000));
        let interval = interval.max(self.control.pacing);
        self.send_timer = Some(now + Duration::from_micros(interval));
    }

    fn schedule_resend(&mut self, now: Duration) {
        self.resend_timer = Some(now + Duration::from_millis(self.control.timeout));
    }

    fn schedule_ack(&mut self, now: Duration) {
        let delay = self.control.ack_delay().max(2);
        self.ack_scheduled = true;
        self.ack_timer = Some(now + Duration::from_millis(delay));
    }

    /// Sends the first packet, or as many packets as are due.
    fn send_buffer(&mut self, now: Duration) {
        let ts = millis(now);
        if self.begun || self.wire.initiator {
            self.schedule_send(now);
        }
        let room = self.control.window as i64 - self.sent.len() as i64;
        if room <= 0 || !self.send_time {
            self.last_send = ts;
            return;
        }
        let mut count = room.min(self.packets_due);
        let was_empty = self.sent.is_empty();
        let mut any = false;
        if !self.begun {
            self.begun = true;
            any = true;
            self.send_syn(ts);
            count -= 1;
        }
        while self.wire.remote_id != 0 && !self.wire.unsent.is_empty() && count > 0 {
            self.send_data(ts);
            any = true;
            count -= 1;
        }
        self.buffer_empty = self.wire.unsent.is_empty();
        if any {
            if self.wire.inbox.early.is_empty() {
                self.ack_scheduled = false;
                self.ack_timer = None;
            }
            self.last_send = ts;
            self.send_time = false;
            if was_empty {
                self.schedule_resend(now);
            }
        }
    }

    fn send_syn(&mut self, ts: u64) {
        let payload = self.wire.take(MTU);
        let no_ack = self.last_received < 0;
        let packet = self.wire.encode_syn(Repr {
            ack_through: u32::try_from(self.last_received).unwrap_or(0),
            resend_delay: u8::try_from(self.control.timeout / 1000).unwrap_or(u8::MAX),
            flags: if no_ack {
                Flags::NO_ACK
            } else {
                Flags::default()
            },
            max_size: Some(1812),
            payload: &payload,
            ..Repr::default()
        });
        self.keep(ts, packet);
    }

    fn send_data(&mut self, ts: u64) {
        let asks = self.last_request == 0
            || (ts - self.last_request) as f64 > self.control.least_rtt / 10.0;
        if asks {
            self.last_request = ts;
        }
        let payload = self.wire.take(MTU);
        let packet = self.wire.encode(Repr {
            seq: self.next_seq,
            ack_through: u32::try_from(self.last_received).unwrap_or(0),
            resend_delay: u8::try_from(self.control.timeout / 1000).unwrap_or(u8::MAX),
            delay: asks.then_some(0),
            payload: &payload,
            ..Repr::default()
        });
        self.keep(ts, packet);
    }

    fn keep(&mut self, ts: u64, packet: Bytes) {
        self.wire.send(packet.clone(), false);
        let sent = Sent {
            at: ts,
            resent: false,
            packet,
        };
        self.sent.insert(self.next_seq, sent);
        self.next_seq += 1;
    }

    fn on_send_timer(&mut self, now: Duration) {
        let ts = millis(now);
        if self.last_send == 0 || ts * 1000 <= self.last_send * 1000 + self.control.pacing {
            self.schedule_send(now);
            return;
        }
        let passed = self.pacing_rest + (ts - self.last_send) * 1000;
        let pacing = self.control.pacing.max(1);
        self.packets_due = i64::try_from(passed / pacing).unwrap_or(i64::MAX);
        self.pacing_rest = passed % pacing;
        self.send_time = true;
        self.control
            .grow(ts, self.packets_due, !self.wire.unsent.is_empty());
        if self.is_nacked || self.is_tail || self.choked || self.choked_back {
            self.resend(now);
        } else if self.control.window as usize > self.sent.len() {
            self.send_buffer(now);
        }
    }

    fn on_resend_timer(&mut self, now: Duration) {
        self.send_time = true;
        self.control.timeout = self.control.timeout.min(window::INITIAL_TIMEOUT);
        self.send_timer = None;
        self.is_timed_out = true;
        self.is_nacked = false;
        self.is_tail = false;
        self.packets_due = 1;
        self.resend(now);
    }

    fn resend(&mut self, now: Duration) {
        let answer_lost = !self.wire.initiator && self.next_seq == 1 && self.attempts > 0;
        if answer_lost || self.attempts >= MAX_ATTEMPTS {
            self.wire.dead = true;
            return;
        }
        let ts = millis(now);
        let again = self.collect(ts);
        if again.is_empty() || !self.send_time {
            if !self.choked && !self.choked_back {
                self.send_buffer(now);
            }
        } else {
            if self.is_nacked {
                self.attempts = 1;
            } else if self.is_timed_out {
                self.attempts += 1;
            }
            let first = self.attempts == 1 && self.control.timeout != window::INITIAL_TIMEOUT;
            if !first && self.is_timed_out {
                self.change_path();
            }
            for packet in again {
                self.wire.send(packet, true);
            }
            self.last_send = ts;
        }
        self.send_time = false;
        if self.is_timed_out {
            self.schedule_resend(now);
        } else if self.is_nacked || self.is_tail || self.choked || self.choked_back {
            self.schedule_send(now);
        }
    }

    /// The packets to be retransmitted now.
    fn collect(&mut self, ts: u64) -> Vec<Bytes> {
        let reported = self.is_nacked && !self.choked && !self.choked_back;
        let order: Vec<u32> = if reported {
            self.nacked.clone()
        } else {
            self.sent.keys().copied().collect()
        };
        let timeout = self.control.timeout;
        let limit = usize::try_from(self.packets_due).unwrap_or(0).max(1);
        let mut again = Vec::new();
        for seq in order {
            let Some(sent) = self.sent.get_mut(&seq) else {
                continue;
            };
            if ts < sent.at + timeout {
                continue;
            }
            sent.resent = ts < sent.at + timeout * 3;
            sent.at = ts;
            again.push(sent.packet.clone());
            if self.choked_back && i64::from(seq) == self.control.drop_seq {
                self.choked_back = false;
            }
            if again.len() >= limit {
                break;
            }
        }
        again
    }

    /// After a second timeout: changes the outbound tunnel and the lease, alternately.
    fn change_path(&mut self) {
        self.wire.counters.path_changes += 1;
        self.control.start_over_after_timeout();
        if self.attempts.is_multiple_of(2) {
            self.change_lease();
        }
    }

    fn change_lease(&mut self) {
        let next = i64::from(self.next_seq);
        let in_flight = self.sent.len() as i64;
        self.control.start_over(next, in_flight, self.choked);
    }

    fn on_acks(&mut self, now: Duration, packet: &Packet<'_>) {
        let through = packet.ack_through();
        self.nacked.clear();
        if through > self.next_seq {
            return;
        }
        let ts = millis(now);
        let mut sample = None;
        let mut acked = 0;
        self.is_nacked = false;
        self.is_tail = false;
        let nacks: Vec<_> = packet.nacks().collect();
        let covered: Vec<_> = self.sent.range(..=through).map(|(seq, _)| *seq).collect();
        for seq in covered {
            if nacks.contains(&seq) {
                self.nacked.push(seq);
                self.is_nacked = true;
                continue;
            }
            let Some(sent) = self.sent.remove(&seq) else {
                continue;
            };
            let rtt = ts.saturating_sub(sent.at);
            if seq == 0 {
                self.control.is_first_sample = true;
                sample = Some(rtt.max(1));
            } else if !sent.resent {
                sample = Some(sample.map_or(rtt, |least: u64| least.min(rtt)));
            }
            acked += 1;
        }
        let first_timeout = self.control.on_ack(ts, sample, acked, self.buffer_empty);
        if let Some(dropped) = self.control.drop_if_congested(sample, self.choked) {
            self.control.drop_seq = i64::from(self.next_seq) + dropped;
        }
        self.control.after_sample(sample);
        if first_timeout {
            self.schedule_resend(now);
        }
        self.after_acks(now, through, acked);
    }

    fn after_acks(&mut self, now: Duration, through: u32, acked: usize) {
        let over = i64::from(through) >= self.control.drop_seq || self.sent.is_empty();
        self.choked &= !over;
        self.choked_back &= !over;
        self.control.after_acks(through, self.sent.len());
        if acked > 0 || self.is_nacked {
            self.schedule_resend(now);
        }
        if self.wire.unsent.is_empty() && !self.sent.is_empty() {
            self.is_tail = true;
            self.control.set_tail_timeout();
        }
        if self.sent.is_empty() && self.wire.unsent.is_empty() {
            self.resend_timer = None;
            self.send_timer = None;
            self.control.forget_ack_interval();
        }
        if acked > 0 {
            self.control.is_first_ack = false;
            self.attempts = 0;
            self.is_timed_out = false;
            self.send_buffer(now);
        }
    }

    /// Handles the delay option.
    fn on_delay(&mut self, now: Duration, delay: Option<u16>) {
        let Some(delay) = delay else { return };
        if delay == 0 {
            // At most once per millisecond, because this is also called for buffered packets.
            if self.last_ack_sent != millis(now) {
                self.send_ack(now);
                if self.ack_scheduled {
                    self.schedule_ack(now);
                }
            }
            return;
        }
        if self.ack_scheduled {
            return;
        }
        if f64::from(delay) < self.control.rtt {
            self.ack_scheduled = true;
            self.ack_timer = Some(now + Duration::from_millis(u64::from(delay)));
        }
        if delay < CHOKE {
            return;
        }
        self.wire.counters.chokes_received += 1;
        self.control.drop_seq = i64::from(self.next_seq) - 1;
        if delay == CHOKE_BACK {
            self.choked_back = true;
        } else if !self.choked {
            self.choked = true;
            self.control.choke(delay == CHOKE_OF_JAVA);
        }
    }

    fn on_sequenced(&mut self, now: Duration, packet: &Packet<'_>) {
        let seq = packet.seq();
        self.wire.counters.received += 1;
        match self.wire.inbox.classify(seq) {
            Arrival::InOrder => self.on_next(now, packet),
            Arrival::Duplicate if i64::from(seq) <= self.last_received => {
                self.wire.counters.duplicates += 1;
                let seq = i64::from(seq);
                if seq <= self.previous_duplicate || seq == self.last_received {
                    self.wire.counters.path_changes += 1;
                    self.change_lease();
                }
                self.previous_duplicate = seq;
                self.ack_quickly(now);
            }
            _ => {
                self.on_early(packet);
                if self.last_received >= 0 {
                    self.ack_quickly(now);
                }
            }
        }
    }

    /// Sends an acknowledgement at once, unless one is scheduled.
    fn ack_quickly(&mut self, now: Duration) {
        if !self.ack_scheduled {
            self.send_ack(now);
            self.schedule_ack(now);
        }
    }

    fn on_next(&mut self, now: Duration, packet: &Packet<'_>) {
        // Options are handled first: an acknowledgement on request does not cover the packet that
        // requested it.
        self.on_delay(now, packet.delay());
        self.wire.inbox.put(packet.seq(), packet.payload());
        let first = self.last_received < 0;
        // Requests of buffered packets are handled one by one, which results in one
        // acknowledgement.
        let through = self.wire.inbox.next;
        if self.wire.inbox.asked.iter().any(|seq| *seq < through) {
            self.wire.inbox.asked.retain(|seq| *seq >= through);
            self.last_received = i64::from(through) - 2;
            self.on_delay(now, Some(0));
        }
        self.last_received = i64::from(through) - 1;
        if first && !self.begun {
            self.send_buffer(now);
        } else if !self.ack_scheduled {
            self.schedule_ack(now);
        }
    }

    fn on_early(&mut self, packet: &Packet<'_>) {
        let seq = packet.seq();
        let ahead = i64::from(seq) - self.last_received;
        let highest = self.wire.inbox.early.last_key_value().map(|(seq, _)| *seq);
        let too_far = match highest {
            _ if ahead as f64 >= self.control.max_window * 3.0 => true,
            None => ahead >= 256,
            // i2pd counts in one byte, and from the highest packet, even if the new packet is below
            // it.
            Some(highest) => {
                let missing = i64::from(self.wire.inbox.missing_count() % 256);
                missing + i64::from(seq) - i64::from(highest) >= 256
            }
        };
        if too_far {
            self.overflow = true;
            self.wire.counters.dropped += 1;
            return;
        }
        if packet.delay() == Some(0) {
            self.wire.inbox.asked.push(seq);
        }
        if self.wire.inbox.put(seq, packet.payload()) == Arrival::Duplicate {
            self.wire.counters.duplicates += 1;
        }
    }

    fn send_ack(&mut self, now: Duration) {
        if self.last_received < 0 {
            return;
        }
        let ts = millis(now);
        let mut choking = self.overflow;
        let through = u32::try_from(self.last_received).unwrap_or(0);
        let mut ack_through = through;
        let mut nacks = Vec::new();
        let mut next = through + 1;
        for seq in self.wire.inbox.early.keys() {
            if nacks.len() + (seq - next.min(*seq)) as usize >= 256 {
                choking = true;
                break;
            }
            nacks.extend(next..*seq);
            ack_through = *seq;
            next = seq + 1;
        }
        let silent = self.last_send > 0
            && ts > self.last_send + ASK_AFTER + u64::from(self.wire.random(ASK_VARIANCE));
        let delay = if self.overflow {
            Some(CHOKE_BACK)
        } else if choking {
            Some(CHOKE)
        } else {
            silent.then_some(0)
        };
        if delay == Some(0) {
            self.last_send = ts;
            self.request_pending = true;
        }
        self.wire.counters.chokes_sent += u64::from(choking);
        self.wire.send_ack(Repr {
            ack_through,
            nacks: &nacks,
            delay,
            ..Repr::default()
        });
        self.last_ack_sent = ts;
        self.overflow = false;
    }

    fn on_plain(&mut self, now: Duration, packet: &Packet<'_>) {
        if packet.flags() != Flags::default() {
            self.on_delay(now, packet.delay());
        } else if std::mem::take(&mut self.request_pending) {
            let sample = millis(now).saturating_sub(self.last_send);
            self.control.on_answer(sample);
        }
    }
}

impl Model for I2pd {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn open(&mut self, now: Duration) {
        self.wire.initiator = true;
        self.send_buffer(now);
    }

    fn on_packet(&mut self, now: Duration, packet: &Packet<'_>) {
        let syn = packet.flags().is_syn();
        if packet.flags().is_reset() && i64::from(packet.seq()) == self.last_received + 1 {
            self.wire.dead = true;
            return;
        }
        if syn && self.last_received >= 0 {
            // Our answer was lost, so i2pd changes the path. Its timer retransmits the answer.
            self.wire.counters.path_changes += 1;
            return;
        }
        self.wire.meet(packet);
        if !packet.flags().is_no_ack() && self.begun {
            self.on_acks(now, packet);
        }
        if packet.seq() == 0 && self.last_received >= 0 {
            self.on_plain(now, packet);
            return;
        }
        self.on_sequenced(now, packet);
    }

    fn on_timers(&mut self, now: Duration) {
        if due(&mut self.send_timer, now) {
            self.on_send_timer(now);
        }
        if due(&mut self.resend_timer, now) {
            self.on_resend_timer(now);
        }
        if due(&mut self.ack_timer, now) {
            if self.ack_scheduled {
                self.send_ack(now);
            }
            self.ack_scheduled = false;
        }
    }

    fn next_timer(&self) -> Option<Duration> {
        earliest(&[self.send_timer, self.resend_timer, self.ack_timer])
    }

    fn on_written(&mut self, now: Duration) {
        self.buffer_empty = false;
        if self.begun && self.send_timer.is_none() && !self.wire.unsent.is_empty() {
            self.send_buffer(now);
        }
    }

    fn window(&self) -> f64 {
        self.control.window
    }
}

const MTU: usize = 1812;
const MAX_ATTEMPTS: u32 = 10;
/// On this choking value, i2pd sets its cwnd to one packet, or three, until the packets in flight
/// are acknowledged.
const CHOKE: u16 = 60_000;
/// On this choking value, i2pd also treats the peer as Java.
const CHOKE_OF_JAVA: u16 = 61_000;
/// This choking value requests all packets again.
const CHOKE_BACK: u16 = 65_535;
/// Milliseconds without sending after which i2pd requests an acknowledgement.
const ASK_AFTER: u64 = 7500;
const ASK_VARIANCE: u32 = 3200;
