//! One stream.
//!
//! A connection consists of the handshake ([`handshake`]), the sending half ([`Sending`]), the
//! receiving half ([`Receiving`]) and a [`TimerTable`]. Congestion control, pacing and loss
//! detection are those of the [`Peer`]. Required reading: the streaming specification and its API
//! page ("Protocol Specification" to "Control Block Sharing").

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::PrivateKeys;

use crate::{
    CloseReason, ConnectionError, StreamConfig,
    config::Profile,
    fingerprint::Fingerprint,
    info::{Ports, StreamInfo},
    kind::PeerKind,
    packet::{Identity, Packet, VerifyError},
    peer::Peer,
    received::Verified,
    rtt::Rtt,
    stats::Stats,
    timer::{Timer, TimerTable},
};

mod built;
mod control;
mod handshake;
mod receive;
mod receiving;
mod sending;
mod timeouts;
mod transmit;

pub(crate) use self::built::Built;
use self::{control::Due, receiving::Receiving, sending::Sending};

/// The parts of the endpoint that a stream uses during a call.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    /// Seconds since the epoch.
    pub(crate) unix_now: u32,
    pub(crate) keys: &'a PrivateKeys,
    pub(crate) stats: &'a mut Stats,
    /// The current packet, if its signature was checked before.
    pub(crate) verified: Option<&'a Verified>,
    /// Memory that is left for received data of all streams.
    pub(crate) receive_memory: usize,
    pub(crate) dampening: f64,
}

impl Cx<'_> {
    /// Verifies that `peer` signed `packet`, unless this was done before.
    fn verify(&self, packet: &Packet<'_>, peer: &Identity) -> Result<Identity, VerifyError> {
        let before = self.verified;
        match before.and_then(|verified| verified.result(packet, Some(peer))) {
            Some(result) => result.clone(),
            None => packet.verify(Some(peer), self.unix_now),
        }
    }
}

/// The phase of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// This side opens the stream, and has not received the answer to its SYN.
    Opening,
    /// The peer sent SYN, and the application has not accepted the stream yet.
    Offered,
    /// Both ids are known.
    Open,
    /// The stream has ended.
    Done(CloseReason),
}

/// Events for the application that are pending. They are bits, so that repeated events do not
/// queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Notices(u8);

impl Notices {
    pub(crate) const CONNECTED: Self = Self(1);
    pub(crate) const READABLE: Self = Self(1 << 1);
    pub(crate) const WRITABLE: Self = Self(1 << 2);
    pub(crate) const FLUSHED: Self = Self(1 << 3);
    pub(crate) const CLOSED: Self = Self(1 << 5);
    pub(crate) const OFFERED: Self = Self(1 << 6);

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Clears `other`. Returns whether it was set.
    pub(crate) fn take(&mut self, other: Self) -> bool {
        let set = self.0 & other.0 != 0;
        self.0 &= !other.0;
        set
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    /// Whether this side opened the stream.
    pub(crate) initiator: bool,
    /// The id that this side chose. It is the send id of the peer's packets.
    pub(crate) local_id: u32,
    /// The id that the peer chose; 0 until it is known.
    pub(crate) remote_id: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) config: Arc<StreamConfig>,
    /// The peer and its signing key.
    identity: Identity,
    sending: Sending,
    receiving: Receiving,
    due: Due,
    /// Exists while the kind of the peer is Java.
    fingerprint: Option<Box<Fingerprint>>,
    pub(crate) timers: TimerTable,
    pub(crate) notices: Notices,
    /// When the stream last sent or received a packet.
    last_activity: Instant,
    /// When the stream last received a packet.
    last_received: Instant,
    /// When the peer was asked for a sign of life, until it sends anything.
    asked_for_life: Option<Instant>,

    /// Packets that arrived before the answer to our SYN.
    early: Vec<Bytes>,
    pub(crate) handle: Handle,
}

/// The application's handle of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    /// The application has not accepted the stream yet.
    Unclaimed,
    Held,
    /// The application dropped its handle.
    Released,
}

/// The parameters of a new stream.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) initiator: bool,
    pub(crate) local_id: u32,
    pub(crate) remote_id: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) config: Arc<StreamConfig>,
    pub(crate) identity: Identity,
}

impl Connection {
    pub(crate) fn new(now: Instant, opening: Opening) -> Self {
        let config = opening.config;
        // Until the first reply, messages carry the keys of a new session, which leaves less room
        // for payload.
        let mtu = config.mtu().min(FIRST_MTU);
        Self {
            phase: if opening.initiator {
                Phase::Opening
            } else {
                Phase::Offered
            },
            initiator: opening.initiator,
            local_id: opening.local_id,
            remote_id: opening.remote_id,
            local_port: opening.local_port,
            remote_port: opening.remote_port,
            sending: Sending::new(mtu, config.send_buffer),
            receiving: Receiving::new(now, &config),
            config,
            identity: opening.identity,
            due: Due::default(),
            fingerprint: None,
            timers: TimerTable::default(),
            notices: Notices::default(),
            last_activity: now,
            last_received: now,
            asked_for_life: None,
            early: Vec::new(),
            handle: if opening.initiator {
                Handle::Held
            } else {
                Handle::Unclaimed
            },
        }
    }

    /// Whether the peer has not answered SYN yet.
    pub(crate) fn is_opening(&self) -> bool {
        self.phase == Phase::Opening
    }

    /// Whether the application has dropped its handle, and all that it wrote was acknowledged. What
    /// is left is the end of the stream.
    pub(crate) fn is_only_ending(&self) -> bool {
        self.handle == Handle::Released && self.sending.buffer.is_all_data_acked()
    }

    /// Whether SYN was sent at most once and not answered.
    pub(crate) fn is_opening_for_the_first_time(&self) -> bool {
        self.phase == Phase::Opening && self.sending.attempts == 0
    }

    /// Whether SYN has not been sent yet.
    pub(crate) fn is_about_to_open(&self) -> bool {
        self.is_opening_for_the_first_time() && self.sending.packets_sent == 0
    }

    /// Whether the stream has ended.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    /// The fingerprint of a peer whose kind is Java. For other peers, drops it.
    fn fingerprint(&mut self, peer: &Peer) -> Option<&mut Fingerprint> {
        if peer.kind != PeerKind::Java || peer.is_certainly_java() {
            self.fingerprint = None;
            return None;
        }
        Some(self.fingerprint.get_or_insert_default())
    }

    pub(crate) fn read(
        &mut self,
        now: Instant,
        max: usize,
        rtt: &Rtt,
    ) -> Result<Option<Bytes>, ConnectionError> {
        if let Some(data) = self.receiving.read(now, max, rtt.estimate(), &self.config) {
            if self.receiving.unchoke() {
                self.report_room(now, rtt.estimate());
            }
            return Ok(Some(data));
        }
        match self.phase {
            _ if self.receiving.buffer.is_complete() => Ok(Some(Bytes::new())),
            Phase::Done(reason) => Err(reason.into()),
            _ => Ok(None),
        }
    }

    /// Whether no packet of the stream is in flight, and none has timed out.
    pub(crate) const fn has_nothing_in_flight(&self) -> bool {
        self.sending.attempts == 0 && self.sending.buffer.in_flight() == 0
    }

    pub(crate) fn write(&mut self, now: Instant, data: &[u8]) -> Result<usize, ConnectionError> {
        if let Phase::Done(reason) = self.phase {
            return Err(reason.into());
        }
        if self.sending.buffer.is_closing() {
            return Err(ConnectionError::WriteShutDown);
        }
        let taken = self.sending.buffer.write(data);
        if taken == 0 && !data.is_empty() && self.sending.buffer.is_exhausted() {
            return Err(ConnectionError::Exhausted);
        }
        self.sending.writer_waits = taken < data.len();
        if taken > 0 {
            self.sending.is_unflushed = true;
            self.sending.bytes_written += taken as u64;
            if self.syn_waits() {
                // SYN waits until its packet is full. The answer to SYN is sent with the first
                // data.
                if self
                    .sending
                    .buffer
                    .segment(0)
                    .is_some_and(|syn| syn.len() >= self.sending.mtu)
                    || self.phase == Phase::Open
                {
                    self.send_syn_now();
                }
            } else if self.config.profile == Profile::Interactive {
                self.sending.buffer.flush();
            } else if self.sending.buffer.is_coalescing() {
                self.timers
                    .set_earlier(Timer::Coalesce, now + COALESCE_DELAY);
            }
        }
        Ok(taken)
    }

    pub(crate) fn flush(&mut self) {
        if !self.is_over() {
            self.sending.buffer.flush();
            if self.syn_waits() && self.phase != Phase::Offered {
                self.send_syn_now();
            }
        }
    }

    pub(crate) fn shutdown(&mut self) {
        if !self.is_over() && !self.sending.buffer.is_closing() {
            self.sending.buffer.close();
            self.sending.is_unflushed = true;
            self.flush();
        }
    }

    pub(crate) fn reset(&mut self, peer: &mut Peer, reason: CloseReason) {
        if !self.is_over() {
            // A reset is needed only if the peer may have received a packet of the stream.
            self.due.reset = self.sending.packets_sent > 0 || !self.initiator;
            self.receiving.buffer.clear();
            self.finish(peer, reason);
        }
    }

    /// Whether this side ended the stream without the peer's agreement.
    pub(crate) fn has_reset(&self) -> bool {
        use CloseReason::{EndpointClosed, LingerTimeout, LocalReset, NotAccepted};
        let heard_of = self.sending.packets_sent > 0 || !self.initiator;
        heard_of
            && matches!(
                self.phase,
                Phase::Done(LocalReset | NotAccepted | LingerTimeout | EndpointClosed)
            )
    }

    /// Handles the loss of the application's handle. Unread data is dropped, and written data is
    /// still sent.
    pub(crate) fn release(&mut self, now: Instant, peer: &mut Peer) {
        self.handle = Handle::Released;
        self.receiving.buffer.discard();
        match self.phase {
            Phase::Done(_) => {}
            // Nothing was written and the peer has not answered, so there is nothing to finish.
            Phase::Opening
                if self.sending.buffer.unsent() == 0 && self.sending.bytes_written == 0 =>
            {
                self.reset(peer, CloseReason::LocalReset)
            }
            Phase::Offered => self.reset(peer, CloseReason::LocalReset),
            Phase::Opening | Phase::Open => {
                self.shutdown();
                self.timers.set(Timer::Linger, now + self.config.linger);
                self.check_finished(peer);
            }
        }
    }

    /// Handles the close of the endpoint. Written data is still sent, within the linger time.
    pub(crate) fn close_all(&mut self, now: Instant, peer: &mut Peer) {
        if self.phase == Phase::Opening && self.sending.bytes_written == 0 {
            self.reset(peer, CloseReason::EndpointClosed);
            return;
        }
        self.shutdown();
        if !self.is_over() {
            self.timers
                .set_earlier(Timer::Linger, now + self.config.linger);
        }
    }

    pub(crate) fn is_acked(&self) -> bool {
        self.sending.buffer.is_all_acked()
    }

    pub(crate) fn cost(&self) -> usize {
        self.receiving.buffer.cost()
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.sending.buffer.in_flight()
    }

    pub(crate) const fn unsent(&self) -> usize {
        self.sending.buffer.unsent()
    }

    pub(crate) fn info(&self, peer: &Peer) -> StreamInfo {
        StreamInfo {
            peer: peer.destination.clone(),
            peer_kind: peer.kind,
            ports: Ports {
                local: self.local_port,
                remote: self.remote_port,
            },
            initiator: self.initiator,
            established: self.phase == Phase::Open,
            closed: match self.phase {
                Phase::Done(reason) => Some(reason),
                _ => None,
            },
            rtt: peer.rtt.smoothed(),
            rto: peer.rtt.rto(),
            cwnd: peer.cwnd(),
            pacing_rate: peer.pacing_rate(),
            in_flight: self.in_flight(),
            mtu: self.sending.mtu,
            choked: self.sending.is_choked(),
            unsent: self.unsent(),
            unread: self.receiving.buffer.unread_cost(),
            bytes_written: self.sending.bytes_written,
            bytes_read: self.receiving.bytes_read,
            packets_sent: self.sending.packets_sent,
            packets_resent: self.sending.packets_resent,
            packets_received: self.receiving.packets_received,
        }
    }

    pub(crate) fn reconfigure(&mut self, config: Arc<StreamConfig>) {
        self.sending.buffer.set_limit(config.send_buffer);
        self.receiving.reconfigure(&config);
        self.config = config;
    }

    /// Whether the endpoint can remove the stream.
    pub(crate) fn is_disposable(&self) -> bool {
        self.is_over()
            && self.handle == Handle::Released
            && !self.wants_control()
            && self.notices.is_empty()
    }

    /// Whether acknowledgements can be sent. They need both ids, and SYN must have been sent.
    fn can_ack(&self) -> bool {
        self.phase == Phase::Open && self.sending.packets_sent > 0
    }

    fn check_finished(&mut self, peer: &mut Peer) {
        if self.phase != Phase::Open || !self.sending.buffer.is_close_acked() {
            return;
        }
        if self.receiving.buffer.is_complete() {
            self.finish(peer, CloseReason::Finished);
        }
    }

    fn finish(&mut self, peer: &mut Peer, reason: CloseReason) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Done(reason);
        self.timers.stop_all();
        peer.on_abandoned(&self.sending.buffer.clear());
        self.due.syn = false;
        self.due.probe = None;
        self.early = Vec::new();
        if reason != CloseReason::Finished {
            self.due.ack = false;
        }
        self.notices.add(Notices::CLOSED);
    }
}

/// The largest payload until the handshake is complete. Until then, each message carries keys and a
/// lease set.
const FIRST_MTU: usize = 1730;
/// How long a packet that is not full waits for more data. Waiting saves tunnel messages, which
/// have a fixed size. Chosen because the latency of a tunnel is hundreds of times longer.
const COALESCE_DELAY: Duration = Duration::from_millis(5);
