//! Selection and construction of the packets that a stream sends.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Connection, Cx, Notices, Phase, built::Built, control::Control};
use crate::{
    mtu::ONE_MESSAGE,
    packet::{DataHeader, Encoded, Flags, Repr, replay_guard},
    peer::Peer,
    send_buffer::State,
    timer::Timer,
};

impl Connection {
    /// Whether [`Connection::poll_control`] would return something.
    pub(crate) fn wants_control(&self) -> bool {
        !self.due.is_empty()
    }

    /// The next packet that is sent regardless of cwnd.
    pub(crate) fn poll_control(&mut self, cx: &Cx<'_>, peer: &mut Peer) -> Option<Built> {
        while let Some(control) = self.due.next() {
            let attempts = self.sending.attempts;
            let built = match control {
                Control::Reset => Some(self.build_reset(cx, peer)),
                Control::Syn => return self.build_segment(cx, peer, 0, attempts),
                Control::Probe(seq) => self.build_segment(cx, peer, seq, attempts),
                Control::Ack => Some(self.build_ack(cx, peer)),
            };
            if built.is_some() {
                return built;
            }
        }
        None
    }

    /// Whether the stream has data that may be sent now.
    pub(crate) fn wants_data(&self, now: Instant, peer: &Peer) -> bool {
        self.next_data(now, peer).is_some()
    }

    fn next_data(&self, now: Instant, peer: &Peer) -> Option<u32> {
        // SYN and its answer are not data, and are sent before all data.
        if self.sending.is_choked() || self.sending.packets_sent == 0 {
            return None;
        }
        match self.phase {
            Phase::Open => {
                let lost = self.sending.buffer.next_lost();
                lost.or_else(|| {
                    self.sending
                        .buffer
                        .next_new()
                        .filter(|_| self.has_room_for_new(now, peer))
                })
            }
            Phase::Opening => {
                // Before the answer, more packets are sent up to the limit of the peer. If there is
                // no RTT sample, the initial cwnd is a limit too.
                let window = if peer.rtt.smoothed().is_some() {
                    u32::MAX
                } else {
                    self.config.initial_window
                };
                let early = peer.kind.max_early().min(window);
                self.sending
                    .buffer
                    .next_new()
                    .filter(|_| self.sending.buffer.span() < early)
            }
            Phase::Offered | Phase::Done(_) => None,
        }
    }

    /// Whether the peer accepts another packet beyond those that it may miss.
    pub(super) fn has_room_for_new(&self, now: Instant, peer: &Peer) -> bool {
        let lossy = peer.is_lossy(now);
        self.sending
            .has_room_for_new(peer.kind, lossy, &self.config)
    }

    /// The next data packet, for which the peer's cwnd has room.
    pub(crate) fn poll_data(&mut self, cx: &Cx<'_>, peer: &mut Peer) -> Option<Built> {
        let seq = self.next_data(cx.now, peer)?;
        self.build_segment(cx, peer, seq, 0)
    }

    /// Builds the packet `seq`. `attempt` is not 0 if the packet is a probe.
    fn build_segment(
        &mut self,
        cx: &Cx<'_>,
        peer: &mut Peer,
        seq: u32,
        attempt: u32,
    ) -> Option<Built> {
        let segment = self.sending.buffer.segment(seq)?;
        let (syn, close, state, resent) = (
            segment.syn,
            segment.close,
            segment.state,
            segment.transmissions > 0,
        );
        let payload = segment.len();
        if state == State::Acked {
            return None;
        }
        let before = segment.sent.filter(|_| state == State::InFlight);
        let mut sent = match state {
            _ if attempt > 0 => peer.on_probe(cx.now, attempt, before.as_ref()),
            State::InFlight => peer.on_resent(cx.now, before.as_ref()),
            _ => peer.on_sent(cx.now, cx.dampening),
        };
        // A probe within the first attempt. It does not extend the attempt.
        let continues = attempt == 0 && state == State::InFlight;
        let is_signed = syn || close;
        // A signed packet always asks, as Java's do. Java answers SYN, and acknowledges CLOSE and the
        // answer to its own SYN, half a second later otherwise.
        let last = self.sending.last_request;
        let asks = is_signed || self.asks_for_ack(cx.now, peer, seq, resent);
        let delay = self.delay_option(cx.now, asks);
        if is_signed {
            self.sending.last_request = last;
        }
        sent.asks = delay == Some(0);
        sent.is_long = payload > ONE_MESSAGE;
        let packet = if is_signed {
            self.build_signed(cx, peer, seq, delay)?
        } else {
            self.build_plain(cx, peer, seq, delay)?.into()
        };
        self.sending.buffer.on_sent(seq, sent);
        self.sending.packets_sent += 1;
        self.sending.packets_resent += u64::from(resent);
        self.last_activity = cx.now;
        if syn && self.phase == Phase::Open && self.receiving.buffer.has_holes() {
            // Some packets were reordered before the answer could be sent.
            self.due.ack = true;
        }
        if self.phase == Phase::Opening {
            if syn {
                self.arm_syn(cx.now, peer);
            }
        } else if !self.timers.is_running(Timer::Probe)
            || (attempt == 0 && !continues && (resent || self.sending.buffer.is_all_sent()))
        {
            self.arm_probe(cx.now, peer);
        }
        if self.sending.take_writable(&self.config) {
            self.notices.add(Notices::WRITABLE);
        }
        Some(Built {
            packet,
            first: syn,
            compress: if syn {
                payload > UNCOMPRESSED_SYN
            } else {
                self.config.compress
            },
            lifetime: (peer.rtt.rto() * 2).max(MIN_LIFETIME),
            path: sent.path,
        })
    }

    /// The acknowledgement on a data packet: the last packet that arrived without a gap. Gaps are
    /// reported in plain acknowledgements, so that data headers have a fixed size.
    fn piggyback(&mut self, cx: &Cx<'_>, peer: &Peer) -> Option<u32> {
        if self.phase == Phase::Opening {
            return None;
        }
        if !self.receiving.buffer.has_holes() {
            // A packet with data does not report that there is room again.
            self.due.ack &= self.receiving.is_unchoking();
            self.timers.stop(Timer::Ack);
            self.receiving
                .ack
                .on_sent_with_data(cx.now, peer.rtt.estimate());
            if let Some(fingerprint) = self.fingerprint(peer) {
                fingerprint.on_ack_sent(cx.now);
            }
        }
        self.receiving.buffer.acknowledge_in_order()
    }

    /// The delay option of a packet with a sequence number.
    fn delay_option(&mut self, now: Instant, asks: bool) -> Option<u16> {
        if self.receiving.is_choking() {
            return Some(CHOKE);
        }
        if !asks {
            return None;
        }
        self.sending.last_request = Some(now);
        Some(0)
    }

    fn build_plain(
        &mut self,
        cx: &Cx<'_>,
        peer: &Peer,
        seq: u32,
        delay: Option<u16>,
    ) -> Option<Bytes> {
        let header = DataHeader {
            send_id: self.remote_id,
            recv_id: self.local_id,
            seq,
            ack: self.piggyback(cx, peer),
            resend_delay: self.config.initial_resend_delay,
            delay,
        };
        Some(
            self.sending
                .buffer
                .segment_mut(seq)?
                .packet(header.encode().as_bytes()),
        )
    }

    /// Whether to request an immediate acknowledgement: with the last packet of a flight, with
    /// retransmissions, and often enough that Java does not delay an acknowledgement by half a
    /// second.
    fn asks_for_ack(&self, now: Instant, peer: &Peer, seq: u32, resent: bool) -> bool {
        let last = self.sending.buffer.segment(seq + 1).is_none();
        let full = peer.in_flight() >= peer.cwnd() || !self.has_room_for_new(now, peer);
        let due = self
            .sending
            .last_request
            .is_none_or(|asked| now.saturating_duration_since(asked) >= peer.rtt.estimate() / 8);
        resent || last || full || due
    }

    /// A packet with SYN, CLOSE or both.
    fn build_signed(
        &mut self,
        cx: &Cx<'_>,
        peer: &Peer,
        seq: u32,
        delay: Option<u16>,
    ) -> Option<Encoded> {
        let ack = self.piggyback(cx, peer);
        let segment = self.sending.buffer.segment(seq)?;
        let mut flags = Flags::default();
        flags.set(Flags::SYN, segment.syn);
        flags.set(Flags::CLOSE, segment.close);
        flags.set(Flags::NO_ACK, ack.is_none());
        let opening = segment.syn && self.initiator;
        let guard = opening.then(|| replay_guard(&self.identity.destination.hash()));
        let repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            seq,
            ack_through: ack.unwrap_or(0),
            nacks: guard.as_ref().map_or(&[], |guard| &guard[..]),
            resend_delay: self.config.initial_resend_delay,
            flags,
            delay,
            // An offline signature is only valid together with a destination.
            from: (segment.syn || cx.keys.offline().is_some()).then(|| cx.keys.destination()),
            max_size: segment
                .syn
                .then(|| u16::try_from(self.config.mtu()).unwrap_or(u16::MAX)),
            payload: segment.payload(),
        };
        Some(repr.unsigned(cx.keys))
    }

    fn build_ack(&mut self, cx: &Cx<'_>, peer: &Peer) -> Built {
        let asks = std::mem::take(&mut self.due.ack_asks);
        let mut nacks = Vec::new();
        let through = self.receiving.buffer.acknowledge(&mut nacks);
        let delay = if self.receiving.is_choking() {
            Some(CHOKE)
        } else if self.receiving.is_unchoking() {
            Some(UNCHOKE)
        } else {
            asks.then_some(0)
        };
        let repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            ack_through: through.unwrap_or(0),
            nacks: &nacks,
            resend_delay: self.config.initial_resend_delay,
            flags: if through.is_none() {
                Flags::NO_ACK
            } else {
                Flags::default()
            },
            delay,
            ..Repr::default()
        };
        let mut packet = Vec::with_capacity(HEADER_ROOM + nacks.len() * 4);
        repr.encode(&mut packet);
        self.timers.stop(Timer::Ack);
        self.receiving.ack.on_sent(cx.now);
        if let Some(fingerprint) = self.fingerprint(peer) {
            fingerprint.on_ack_sent(cx.now);
        }
        Built {
            packet: packet.into(),
            first: false,
            compress: false,
            lifetime: MIN_LIFETIME,
            path: peer.lead_path(),
        }
    }

    fn build_reset(&self, cx: &Cx<'_>, peer: &Peer) -> Built {
        let ack = self.receiving.buffer.acknowledge_in_order();
        let repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            // i2pd handles a reset only if it is the next packet in order.
            seq: self.sending.buffer.oldest(),
            ack_through: ack.unwrap_or(0),
            flags: if ack.is_none() {
                Flags::RESET | Flags::NO_ACK
            } else {
                Flags::RESET
            },
            // Required before API 0.9.20, and ignored since.
            from: Some(cx.keys.destination()),
            ..Repr::default()
        };
        Built {
            packet: repr.unsigned(cx.keys),
            first: false,
            compress: false,
            lifetime: MIN_LIFETIME,
            path: peer.lead_path(),
        }
    }
}

/// The delay value for choking. The specification requires more than 60,000. Java's value would
/// make i2pd treat this side as Java and limit its cwnd to 64 packets permanently. On 65,535, i2pd
/// retransmits all unacknowledged packets.
pub(super) const CHOKE: u16 = 60_001;
/// The delay value that ends choking. It may be any up to 60,000 except 0, which requests an
/// answer.
pub(super) const UNCHOKE: u16 = 1;
/// The largest payload in bytes of a first packet that is not compressed. Java has the same value.
const UNCOMPRESSED_SYN: usize = 50;
/// The shortest lifetime of a packet. Routers drop expired messages, so it must be longer than
/// queueing and the search for a tunnel take.
const MIN_LIFETIME: Duration = Duration::from_secs(20);
/// Header and delay option, in bytes.
const HEADER_ROOM: usize = 24;
