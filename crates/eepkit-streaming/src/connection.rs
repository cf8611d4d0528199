//! One stream.
//!
//! Wires the sub-machines together: [`SendBuffer`] and [`Reassembly`] for reliability, [`AckState`]
//! for acknowledgements, a [`TimerTable`]; window, pacing and loss detection are those of the
//! [`Peer`]. Required reading: the streaming specification and its API page ("Protocol
//! Specification" to "Control Block Sharing").

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::PrivateKeys;

use crate::{
    CloseReason, ConnectionError, StreamConfig,
    ack::AckState,
    config::{InactivityAction, Profile},
    endpoint::Verified,
    fingerprint::Fingerprint,
    kind::PeerKind,
    packet::{Identity, Packet, VerifyError},
    peer::Peer,
    reassembly::Reassembly,
    rtt::Rtt,
    send_buffer::{SendBuffer, State},
    stats::Stats,
    timer::{Timer, TimerTable},
};

mod receive;
mod transmit;

pub(crate) use transmit::Built;

/// What a stream needs from its endpoint while it works.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    /// Seconds since the epoch.
    pub(crate) unix_now: u32,
    pub(crate) keys: &'a PrivateKeys,
    pub(crate) stats: &'a mut Stats,
    /// The packet in hand, where its signature was checked before.
    pub(crate) verified: Option<&'a Verified>,
    /// Memory that received data of all streams may still take.
    pub(crate) receive_memory: usize,
    pub(crate) dampening: f64,
}

impl Cx<'_> {
    /// Checks that `peer` signed `packet`, unless that was done before.
    fn verify(&self, packet: &Packet<'_>, peer: &Identity) -> Result<Identity, VerifyError> {
        let before = self.verified;
        match before.and_then(|verified| verified.result(packet, Some(peer))) {
            Some(result) => result.clone(),
            None => packet.verify(Some(peer), self.unix_now),
        }
    }
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We sent or will send SYN and wait for the answer.
    Opening,
    /// The peer sent SYN and nobody accepted it yet.
    Offered,
    /// Both ids are known.
    Open,
    /// It is over.
    Done(CloseReason),
}

/// What the application should hear of. Bits, so that nothing queues up.
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

    /// Takes `other` out; returns whether it was set.
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
    /// We opened it.
    pub(crate) initiator: bool,
    /// The number that we chose; the peer's packets carry it as send id.
    pub(crate) local_id: u32,
    /// The number that the peer chose, 0 until known.
    pub(crate) remote_id: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) config: Arc<StreamConfig>,
    /// Who signs for the peer.
    identity: Identity,
    send: SendBuffer,
    recv: Reassembly,
    ack: AckState,
    /// While the peer claims to be Java.
    fingerprint: Option<Box<Fingerprint>>,
    pub(crate) timers: TimerTable,
    pub(crate) notices: Notices,
    /// Payload of our packets in bytes, and the most that it may be, after negotiation.
    mtu: usize,
    full_mtu: usize,

    /// SYN, or its answer, must be sent now.
    syn_due: bool,
    /// An acknowledgement must be sent now.
    ack_due: bool,
    /// A reset must be sent now.
    reset_due: bool,
    /// This packet must be sent now, whatever the window says.
    probe_due: Option<u32>,

    /// Timeouts since the peer showed that it hears us.
    attempts: u32,
    /// When the wait for an answer to the last of them is over.
    attempt_ends: Option<Instant>,
    /// Dead ways that this stream has taken note of.
    failures_seen: u32,
    /// Packets in a row that had arrived before.
    repeats: u8,
    /// Probes since the peer choked us.
    persists: u32,
    /// The peer has no room for data.
    choked: bool,
    /// We have no room for data.
    choking: bool,
    /// How often we still tell that we have room again.
    unchokes_left: u8,
    /// Packets that the peer's buffer seems to take, learned from being choked.
    receiver_limit: u32,
    /// When an acknowledgement at once was last asked for.
    last_request: Option<Instant>,
    last_activity: Instant,

    /// Bytes that may wait for the reader.
    recv_limit: usize,
    /// Bytes read since the given instant, to fit `recv_limit` to the reader's speed.
    read_since: (Instant, usize),
    /// Packets that came before the answer to our SYN.
    early: Vec<Bytes>,
    /// The application was told that there is no room to write.
    writer_waits: bool,
    /// Something was written that is not acknowledged yet.
    unflushed: bool,
    /// The application dropped its handle.
    pub(crate) released: bool,
    /// Whether it was ever handed to the application.
    pub(crate) accepted: bool,

    pub(crate) bytes_written: u64,
    pub(crate) bytes_read: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_resent: u64,
    pub(crate) packets_received: u64,
}

/// How a stream comes about.
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
        // Until the first reply, messages carry the keys of a new session and less payload fits.
        let mtu = config.mtu().min(FIRST_MTU);
        let recv_limit = config.receive_buffer.clamp(
            MIN_RECEIVE_BUFFER,
            config.max_receive_buffer.max(MIN_RECEIVE_BUFFER),
        );
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
            send: SendBuffer::new(mtu, config.send_buffer),
            recv: Reassembly::new(0),
            config,
            identity: opening.identity,
            ack: AckState::default(),
            fingerprint: None,
            timers: TimerTable::default(),
            notices: Notices::default(),
            mtu,
            full_mtu: mtu,
            syn_due: false,
            ack_due: false,
            reset_due: false,
            probe_due: None,
            attempts: 0,
            attempt_ends: None,
            failures_seen: 0,
            repeats: 0,
            persists: 0,
            choked: false,
            choking: false,
            unchokes_left: 0,
            receiver_limit: u32::MAX,
            last_request: None,
            last_activity: now,
            recv_limit,
            read_since: (now, 0),
            early: Vec::new(),
            writer_waits: false,
            unflushed: false,
            released: false,
            accepted: opening.initiator,
            bytes_written: 0,
            bytes_read: 0,
            packets_sent: 0,
            packets_resent: 0,
            packets_received: 0,
        }
    }

    /// Whether SYN was sent at most once, and not answered.
    pub(crate) fn is_opening_for_the_first_time(&self) -> bool {
        self.phase == Phase::Opening && self.attempts == 0
    }

    /// Whether its very first packet is next.
    pub(crate) fn is_about_to_open(&self) -> bool {
        self.is_opening_for_the_first_time() && self.packets_sent == 0
    }

    /// Whether the stream is over.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
    }

    /// Starts connecting.
    pub(crate) fn open(&mut self, now: Instant) {
        if let Some(timeout) = self.config.connect_timeout {
            self.timers.set(Timer::Connect, now + timeout);
        }
        if self.config.connect_delay.is_zero() {
            self.syn_due = true;
        } else {
            self.timers
                .set(Timer::Coalesce, now + self.config.connect_delay);
        }
    }

    /// The application takes an incoming stream: it will be answered, with data if some comes soon.
    pub(crate) fn accept(&mut self, now: Instant) {
        if self.phase == Phase::Offered {
            self.phase = Phase::Open;
            self.accepted = true;
            self.timers.stop(Timer::Accept);
            self.timers.set(Timer::Coalesce, now + REPLY_DELAY);
            self.start_inactivity(now);
        }
    }

    /// What was seen of a peer that claims to be Java; nothing is kept of others.
    fn fingerprint(&mut self, peer: &Peer) -> Option<&mut Fingerprint> {
        if peer.kind != PeerKind::Java {
            self.fingerprint = None;
            return None;
        }
        Some(self.fingerprint.get_or_insert_default())
    }

    // Application side.

    pub(crate) fn read(
        &mut self,
        now: Instant,
        max: usize,
        rtt: &Rtt,
    ) -> Result<Option<Bytes>, ConnectionError> {
        if let Some(data) = self.recv.read(max.max(1)) {
            self.bytes_read += data.len() as u64;
            self.fit_receive_buffer(now, data.len(), rtt.estimate());
            if self.choking && self.recv.cost() <= self.recv_limit / 2 {
                self.choking = false;
                self.unchokes_left = UNCHOKES;
                self.ack_due = true;
            }
            return Ok(Some(data));
        }
        match self.phase {
            _ if self.recv.is_complete() => Ok(Some(Bytes::new())),
            Phase::Done(reason) => Err(reason.into()),
            _ => Ok(None),
        }
    }

    /// Lets the receive buffer grow to twice what is read in a round trip.
    fn fit_receive_buffer(&mut self, now: Instant, read: usize, rtt: Duration) {
        let (since, bytes) = &mut self.read_since;
        *bytes += read;
        if now.saturating_duration_since(*since) >= rtt {
            let wanted = bytes.saturating_mul(2).min(self.config.max_receive_buffer);
            self.recv_limit = self.recv_limit.max(wanted);
            self.read_since = (now, 0);
        }
    }

    pub(crate) fn write(&mut self, now: Instant, data: &[u8]) -> Result<usize, ConnectionError> {
        if let Phase::Done(reason) = self.phase {
            return Err(reason.into());
        }
        if self.send.is_closing() {
            return Err(ConnectionError::WriteShutDown);
        }
        let taken = self.send.write(data);
        if taken == 0 && !data.is_empty() && self.send.is_exhausted() {
            return Err(ConnectionError::Exhausted);
        }
        self.writer_waits = taken < data.len();
        if taken > 0 {
            self.unflushed = true;
            self.bytes_written += taken as u64;
            if self.syn_waits() {
                // The first packet is full, or more will not come soon.
                if self
                    .send
                    .segment(0)
                    .is_some_and(|syn| syn.len() >= self.mtu)
                    || self.phase == Phase::Open
                {
                    self.hurry_syn();
                }
            } else if self.config.profile == Profile::Interactive {
                self.send.flush();
            } else if self.send.is_coalescing() {
                self.timers
                    .set_earlier(Timer::Coalesce, now + COALESCE_DELAY);
            }
        }
        Ok(taken)
    }

    pub(crate) fn flush(&mut self) {
        if !matches!(self.phase, Phase::Done(_)) {
            self.send.flush();
            if self.syn_waits() && self.phase != Phase::Offered {
                self.hurry_syn();
            }
        }
    }

    pub(crate) fn shutdown(&mut self) {
        if !matches!(self.phase, Phase::Done(_)) && !self.send.is_closing() {
            self.send.close();
            self.unflushed = true;
            self.flush();
        }
    }

    pub(crate) fn reset(&mut self, peer: &mut Peer, reason: CloseReason) {
        if !matches!(self.phase, Phase::Done(_)) {
            // A peer that has not heard of the stream needs no reset; one that may have, does.
            self.reset_due = self.packets_sent > 0 || !self.initiator;
            self.recv.clear();
            self.finish(peer, reason);
        }
    }

    /// Whether this side ended the stream without the peer's agreement.
    pub(crate) fn has_reset(&self) -> bool {
        use CloseReason::{EndpointClosed, LingerTimeout, LocalReset, NotAccepted};
        let heard_of = self.packets_sent > 0 || !self.initiator;
        heard_of
            && matches!(
                self.phase,
                Phase::Done(LocalReset | NotAccepted | LingerTimeout | EndpointClosed)
            )
    }

    /// The handle is gone: unread data is dropped, written data still goes out.
    pub(crate) fn release(&mut self, now: Instant, peer: &mut Peer) {
        self.released = true;
        self.recv.discard();
        match self.phase {
            Phase::Done(_) => {}
            // Nothing was written and nobody answered: there is nothing to finish.
            Phase::Opening if self.send.unsent() == 0 && self.bytes_written == 0 => {
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

    /// The peer sent its first packet again: our answer was lost, or is late.
    pub(crate) fn on_repeated_syn(&mut self, now: Instant, peer: &Peer) {
        if let Some(fingerprint) = self.fingerprint(peer) {
            fingerprint.on_syn(now);
        }
        let recent = now.saturating_duration_since(self.last_activity) < MIN_REPEAT_SPACING;
        if self.phase == Phase::Open && self.packets_sent > 0 && !recent {
            self.last_activity = now;
            if self.send.oldest() == 0 {
                self.syn_due = true;
            } else {
                self.ack_due = true;
            }
        }
    }

    /// The endpoint closes: what was written still goes out, within the linger time.
    pub(crate) fn close_all(&mut self, now: Instant, peer: &mut Peer) {
        if self.phase == Phase::Opening && self.bytes_written == 0 {
            self.reset(peer, CloseReason::EndpointClosed);
            return;
        }
        self.shutdown();
        if !matches!(self.phase, Phase::Done(_)) {
            self.timers
                .set_earlier(Timer::Linger, now + self.config.linger);
        }
    }

    pub(crate) fn is_acked(&self) -> bool {
        self.send.is_all_acked()
    }

    pub(crate) fn cost(&self) -> usize {
        self.recv.cost()
    }

    pub(crate) const fn choked(&self) -> bool {
        self.choked
    }

    pub(crate) const fn mtu(&self) -> usize {
        self.mtu
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.send.in_flight()
    }

    pub(crate) const fn unsent(&self) -> usize {
        self.send.unsent()
    }

    pub(crate) const fn unread(&self) -> usize {
        self.recv.unread_cost()
    }

    pub(crate) fn reconfigure(&mut self, config: Arc<StreamConfig>) {
        self.send.set_limit(config.send_buffer);
        self.recv_limit = self
            .recv_limit
            .max(config.receive_buffer)
            .min(config.max_receive_buffer.max(MIN_RECEIVE_BUFFER));
        self.config = config;
    }

    /// Whether the endpoint can forget it.
    pub(crate) fn is_disposable(&self) -> bool {
        matches!(self.phase, Phase::Done(_))
            && self.released
            && !self.wants_control()
            && self.notices.is_empty()
    }

    // Timers.

    /// Acts on every timer that has expired.
    pub(crate) fn handle_timeout(&mut self, cx: &Cx<'_>, peer: &mut Peer) {
        while let Some(timer) = self.timers.expire(cx.now) {
            match timer {
                Timer::Ack => self.ack_due = self.can_ack(),
                Timer::Probe => self.on_probe_timeout(cx, peer),
                Timer::Reorder => {
                    let mut batch = peer.begin();
                    self.detect_losses(cx.now, peer, &mut batch);
                    peer.finish(cx.now, &batch);
                }
                Timer::Persist => self.on_persist_timeout(cx, peer),
                Timer::Unchoke => {
                    if self.unchokes_left > 0 && !self.choking {
                        self.ack_due = self.can_ack();
                    }
                }
                Timer::Coalesce => {
                    self.send.flush();
                    if self.syn_waits() {
                        self.syn_due = true;
                    }
                }
                Timer::Connect => self.reset(peer, CloseReason::ConnectTimeout),
                Timer::Accept => self.reset(peer, CloseReason::NotAccepted),
                Timer::Linger => self.reset(peer, CloseReason::LingerTimeout),
                Timer::Inactivity => self.on_inactivity(cx.now, peer),
            }
        }
    }

    fn on_probe_timeout(&mut self, cx: &Cx<'_>, peer: &mut Peer) {
        if self.phase != Phase::Opening
            && let Some(end) = self.attempt_ends.filter(|end| cx.now < *end)
        {
            // Still the same attempt, which only looks more often whether the way is back.
            self.probe_due = Some(self.send.oldest()).filter(|_| self.send.span() > 0);
            self.wait_for_probe(cx.now, end);
            return;
        }
        self.attempts += 1;
        if self.attempts > self.config.max_resends {
            // A peer whose last packet was CLOSE (i2pd) may be gone without a word; for the stream
            // as a whole that is a failure all the same, because nobody knows what it received.
            let reason = if self.phase == Phase::Opening {
                CloseReason::ConnectTimeout
            } else {
                CloseReason::ResendLimit
            };
            self.reset(peer, reason);
            return;
        }
        // A peer that never answered on this way is more likely to have left it than to have lost a
        // packet.
        let patience = if self.phase == Phase::Opening {
            1
        } else {
            STALL_ATTEMPTS
        };
        if self.attempts >= patience {
            peer.report_stall(cx.now);
        }
        if self.phase == Phase::Opening {
            self.syn_due = true;
            return;
        }
        if self.attempts >= LOST_ATTEMPTS {
            let lost = self.send.mark_all_lost();
            peer.on_timeout(cx.now, &lost);
        }
        let new = self
            .send
            .next_new()
            .filter(|_| !self.choked && self.has_room_for_new(cx.now, peer));
        let lost = self.send.next_lost();
        // Behind too many missing packets new data could not be acknowledged; and where another way is
        // tried, the oldest packet lets the reader go on.
        let span = self.send.span();
        if lost.is_none() && span > 0 && (span > MAX_PROBE_SPAN || !peer.lead_path().is_any()) {
            self.probe_due = Some(self.send.oldest());
            return;
        }
        let known = if self.attempts < LOST_ATTEMPTS {
            new.or(lost)
        } else {
            lost.or(new)
        };
        if known.is_none() && self.attempts == 1 && peer.kind.dislikes_duplicates() {
            self.arm_probe(cx.now, peer);
            return;
        }
        self.probe_due = known.or_else(|| self.send.newest_in_flight());
    }

    /// The peer's leases were looked up anew: what it did not answer may reach it now.
    pub(crate) fn on_leases_renewed(&mut self, now: Instant, peer: &Peer) {
        if self.attempts == 0 || self.choked {
            return;
        }
        match self.phase {
            Phase::Opening => self.syn_due = true,
            Phase::Open if self.send.span() > 0 => {
                self.probe_due = Some(self.send.oldest());
                self.arm_probe(now, peer);
            }
            Phase::Open | Phase::Offered | Phase::Done(_) => {}
        }
    }

    fn on_persist_timeout(&mut self, cx: &Cx<'_>, peer: &mut Peer) {
        if !self.choked {
            return;
        }
        self.persists += 1;
        self.attempts += 1;
        if self.attempts > self.config.max_resends {
            self.reset(peer, CloseReason::ResendLimit);
            return;
        }
        // A full new packet is what makes Java look at its buffer again; it must not run ahead of
        // what the peer already misses.
        let oldest = self
            .send
            .next_lost()
            .or_else(|| (self.send.in_flight() > 0).then(|| self.send.oldest()));
        self.probe_due = oldest.or_else(|| self.send.next_new());
        let wait = Rtt::backed_off(peer.rtt.rto().max(MIN_PERSIST), self.persists);
        let wait = wait.min(MAX_PERSIST);
        self.timers.set(Timer::Persist, cx.now + wait);
    }

    fn on_inactivity(&mut self, now: Instant, peer: &mut Peer) {
        let due = self.last_activity + self.config.inactivity_timeout;
        if due > now {
            self.timers.set(Timer::Inactivity, due);
            return;
        }
        match self.config.inactivity_action {
            InactivityAction::Nothing => {}
            InactivityAction::Disconnect => {
                self.reset(peer, CloseReason::Inactive);
                return;
            }
            InactivityAction::Send => self.ack_due = self.can_ack(),
        }
        self.timers
            .set(Timer::Inactivity, now + self.config.inactivity_timeout);
    }

    fn start_inactivity(&mut self, now: Instant) {
        self.last_activity = now;
        if self.config.inactivity_action != InactivityAction::Nothing {
            self.timers
                .set(Timer::Inactivity, now + self.config.inactivity_timeout);
        }
    }

    /// Starts or restarts the wait for acknowledgements, where there is something to wait for.
    fn arm_probe(&mut self, now: Instant, peer: &Peer) {
        if self.choked || (self.send.in_flight() == 0 && self.send.next_lost().is_none()) {
            self.timers.stop(Timer::Probe);
            return;
        }
        let rtt = &peer.rtt;
        let base = rtt.probe_timeout(peer.kind.max_ack_delay(rtt.estimate()));
        // The first two probes come at the same distance: one of them may well have been lost too.
        let wait = Rtt::backed_off(base, self.attempts.saturating_sub(1));
        // Counted from when the packet left that is waited for longest, unless that was tried already.
        let oldest = self.send.segment(self.send.oldest());
        let since = oldest
            .filter(|segment| self.attempts == 0 && segment.state == State::InFlight)
            .and_then(|segment| segment.sent)
            .map_or(now, |sent| sent.sent_at);
        self.wait_for_probe(now, (since + wait).max(now + wait / 4));
    }

    /// Waits until `end` for an answer, probing now and then if that is long.
    fn wait_for_probe(&mut self, now: Instant, end: Instant) {
        self.attempt_ends = Some(end);
        self.timers
            .set(Timer::Probe, end.min(now + MAX_PROBE_PAUSE));
    }

    /// Takes what left over a way that was found dead for lost.
    pub(super) fn check_failed_paths(&mut self, now: Instant, peer: &mut Peer) {
        let (failures, dead) = peer.failures();
        if failures == self.failures_seen {
            return;
        }
        self.failures_seen = failures;
        let mut batch = peer.begin();
        for seq in self.send.oldest()..self.send.oldest() + self.send.span() {
            let sent = self.send.segment(seq).and_then(|segment| segment.sent);
            if let Some(sent) = sent.filter(|sent| sent.path == dead)
                && self.send.mark_lost(seq)
            {
                peer.lost(&mut batch, &sent);
            }
        }
        peer.finish(now, &batch);
    }

    fn arm_syn(&mut self, now: Instant, peer: &Peer) {
        let base = if peer.rtt.smoothed().is_some() {
            peer.rtt.rto().max(MIN_SYN_TIMEOUT)
        } else {
            self.config.initial_rto / 3
        };
        self.timers
            .set(Timer::Probe, now + Rtt::backed_off(base, self.attempts));
    }

    // Ends.

    /// Whether SYN or its answer waits for data.
    fn syn_waits(&self) -> bool {
        self.packets_sent == 0
            && !self.syn_due
            && matches!(self.phase, Phase::Opening | Phase::Open)
    }

    fn hurry_syn(&mut self) {
        self.timers.stop(Timer::Coalesce);
        self.syn_due = true;
    }

    /// Acknowledgements need both ids, and our SYN to be on its way.
    fn can_ack(&self) -> bool {
        self.phase == Phase::Open && self.packets_sent > 0
    }

    fn check_finished(&mut self, peer: &mut Peer) {
        if self.phase != Phase::Open || !self.send.is_close_acked() {
            return;
        }
        if self.recv.is_complete() {
            self.finish(peer, CloseReason::Finished);
        }
    }

    fn finish(&mut self, peer: &mut Peer, reason: CloseReason) {
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        self.phase = Phase::Done(reason);
        self.timers.stop_all();
        peer.on_abandoned(&self.send.clear());
        self.syn_due = false;
        self.probe_due = None;
        self.early = Vec::new();
        if reason != CloseReason::Finished {
            self.ack_due = false;
        }
        self.notices.add(Notices::CLOSED);
    }
}

/// Below the negotiated size until the session is established: keys and lease set travel along.
const FIRST_MTU: usize = 1730;
/// How long the answer to SYN waits for data to carry. Long enough for a server that answers at
/// once, short against any round trip.
const REPLY_DELAY: Duration = Duration::from_millis(5);
/// How long a packet that is not full waits for more. One packet per tunnel message is sent whether
/// it is full or not, and latency here is hundreds of times longer.
const COALESCE_DELAY: Duration = Duration::from_millis(5);
/// After so many timeouts without an answer the lease set of the peer may be stale.
const STALL_ATTEMPTS: u32 = 2;
/// After so many everything in flight counts as lost.
const LOST_ATTEMPTS: u32 = 3;
/// Between two probes of a silent peer, at most: it costs little, and a way that is back is found soon.
const MAX_PROBE_PAUSE: Duration = Duration::from_secs(5);
/// Below the 255 missing packets that an acknowledgement can list.
const MAX_PROBE_SPAN: u32 = 200;
/// Java repeats its unchoking eight times.
const UNCHOKES: u8 = 8;
/// Streaming documentation, "Transmit/Receive Windows and Choking": at least 128 packets.
const MIN_RECEIVE_BUFFER: usize = 128 * 1900;
const MIN_PERSIST: Duration = Duration::from_secs(1);
/// Java does not say that it has room again before something new arrives, so somebody waits all that
/// time.
const MAX_PERSIST: Duration = Duration::from_secs(4);
/// A repeated first packet is answered at most this often.
const MIN_REPEAT_SPACING: Duration = Duration::from_millis(250);
/// A known round-trip time may be that of a shorter path.
const MIN_SYN_TIMEOUT: Duration = Duration::from_secs(1);
