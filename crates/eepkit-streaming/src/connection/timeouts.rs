//! Handling of expired timers of a stream.

use std::time::{Duration, Instant};

use super::{Connection, Cx, Phase, sending::PeerWindow};
use crate::{
    CloseReason, config::InactivityAction, peer::Peer, rtt::Rtt, send_buffer::State, timer::Timer,
};

impl Connection {
    /// Handles all timers that have expired.
    pub(crate) fn handle_timeout(&mut self, cx: &Cx<'_>, peer: &mut Peer) {
        while let Some(timer) = self.timers.expire(cx.now) {
            match timer {
                Timer::Ack => self.due.ack = self.can_ack(),
                Timer::Probe => self.on_probe_timeout(cx, peer),
                Timer::Reorder => {
                    let mut batch = peer.begin();
                    self.detect_losses(cx.now, peer, &mut batch);
                    peer.finish(cx.now, &batch);
                }
                Timer::Persist => self.on_persist_timeout(cx, peer),
                Timer::Unchoke => {
                    if self.receiving.count_unchoke() {
                        self.report_room(cx.now, peer.rtt.estimate());
                    }
                }
                Timer::Coalesce => {
                    self.sending.buffer.flush();
                    if self.syn_waits() {
                        self.due.syn = true;
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
            && let Some(end) = self.sending.attempt_ends.filter(|end| cx.now < *end)
        {
            // The same attempt continues. This probe only tests whether the path works again.
            self.due.probe =
                Some(self.sending.buffer.oldest()).filter(|_| self.sending.buffer.span() > 0);
            self.wait_for_probe(cx.now, end);
            return;
        }
        self.sending.attempts += 1;
        if self.sending.attempts > self.config.max_resends {
            // i2pd sends nothing after its CLOSE. The stream fails in this case too, because it is
            // unknown which data the peer received.
            let reason = if self.phase == Phase::Opening {
                CloseReason::ConnectTimeout
            } else {
                CloseReason::ResendLimit
            };
            self.reset(peer, reason);
            return;
        }
        // If SYN is not acknowledged, a failed path is likelier than a lost packet.
        let stalled_after = if self.phase == Phase::Opening {
            1
        } else {
            STALL_ATTEMPTS
        };
        if self.sending.attempts >= stalled_after {
            peer.report_stall(cx.now);
            peer.silence.on_unanswered(cx.now, peer.heard);
        }
        if self.phase != Phase::Opening
            && self.sending.attempts >= LOST_ATTEMPTS
            && peer.heard.is_some()
        {
            peer.silence.on_unheard(cx.now);
        }
        if self.phase == Phase::Opening {
            self.due.syn = true;
            return;
        }
        if self.sending.attempts >= LOST_ATTEMPTS {
            let lost = self.sending.buffer.mark_all_lost();
            peer.on_timeout(cx.now, &lost);
        }
        let new = self
            .sending
            .buffer
            .next_new()
            .filter(|_| !self.sending.is_choked() && self.has_room_for_new(cx.now, peer));
        let lost = self.sending.buffer.next_lost();
        // With too many missing packets, new data could not be acknowledged. On a link with several
        // paths, the oldest packet is the probe, because it ends head-of-line blocking.
        let span = self.sending.buffer.span();
        if lost.is_none() && span > 0 && (span > MAX_PROBE_SPAN || !peer.lead_path().is_any()) {
            self.due.probe = Some(self.sending.buffer.oldest());
            return;
        }
        let known = if self.sending.attempts < LOST_ATTEMPTS {
            new.or(lost)
        } else {
            lost.or(new)
        };
        if known.is_none() && self.sending.attempts == 1 && peer.kind.dislikes_duplicates() {
            self.arm_probe(cx.now, peer);
            return;
        }
        self.due.probe = known.or_else(|| self.sending.buffer.newest_in_flight());
    }

    /// Handles new leases of the peer: unacknowledged packets may reach it now.
    pub(crate) fn on_leases_renewed(&mut self, now: Instant, peer: &Peer) {
        if self.sending.attempts == 0 || self.sending.is_choked() {
            return;
        }
        match self.phase {
            Phase::Opening => self.due.syn = true,
            Phase::Open if self.sending.buffer.span() > 0 => {
                self.due.probe = Some(self.sending.buffer.oldest());
                self.arm_probe(now, peer);
            }
            Phase::Open | Phase::Offered | Phase::Done(_) => {}
        }
    }

    /// Handles evidence that the peer can be reached, although it may not have been before the
    /// instant `before`. A SYN or data that was sent by then and not answered is sent again.
    pub(crate) fn on_reachable(&mut self, now: Instant, peer: &Peer, before: Instant) {
        if self.last_activity >= before {
            return;
        }
        if self.phase == Phase::Opening {
            self.due.syn |= self.sending.packets_sent > 0;
        } else {
            self.on_leases_renewed(now, peer);
        }
    }

    fn on_persist_timeout(&mut self, cx: &Cx<'_>, peer: &mut Peer) {
        let PeerWindow::Choked { probes, .. } = &mut self.sending.peer_window else {
            return;
        };
        *probes += 1;
        let probes = *probes;
        self.sending.attempts += 1;
        if self.sending.attempts > self.config.max_resends {
            self.reset(peer, CloseReason::ResendLimit);
            return;
        }
        // Java checks its buffer again when a full new packet arrives. Missing packets have
        // priority.
        let oldest = self.sending.buffer.next_lost().or_else(|| {
            (self.sending.buffer.in_flight() > 0).then(|| self.sending.buffer.oldest())
        });
        self.due.probe = oldest.or_else(|| self.sending.buffer.next_new());
        let wait = Rtt::backed_off(peer.rtt.rto().max(MIN_PERSIST), probes);
        let wait = wait.min(MAX_PERSIST);
        self.timers.set(Timer::Persist, cx.now + wait);
    }

    /// Sends an acknowledgement that reports that there is room again, and schedules the next one.
    pub(super) fn report_room(&mut self, now: Instant, rtt: Duration) {
        self.due.ack |= self.can_ack();
        self.timers.set(Timer::Unchoke, now + rtt / 2);
    }

    fn on_inactivity(&mut self, now: Instant, peer: &mut Peer) {
        let timeout = self.config.inactivity_timeout;
        let since = match (self.config.inactivity_action, self.asked_for_life) {
            (InactivityAction::Nothing, _) => return,
            (InactivityAction::Disconnect, _) => self.last_activity,
            (InactivityAction::Send, None) => self.last_received,
            (InactivityAction::Send, Some(asked)) => asked,
        };
        let due = since + timeout;
        if due > now {
            self.timers.set(Timer::Inactivity, due);
            return;
        }
        // A timer that is this late means that the process was stopped, perhaps with an answer
        // unread.
        let stopped = now.saturating_duration_since(due) > LATE;
        let asked = self.asked_for_life.is_some() && !stopped;
        if self.config.inactivity_action == InactivityAction::Disconnect || asked {
            self.reset(peer, CloseReason::Inactive);
            return;
        }
        self.asked_for_life = Some(now);
        self.ask_for_life();
        self.timers.set(Timer::Inactivity, now + timeout);
    }

    /// Sends a packet that the peer answers, unless an unacknowledged one does so already.
    fn ask_for_life(&mut self) {
        if !self.can_ack() || self.sending.buffer.span() > 0 {
            return;
        }
        if !self.sending.buffer.write_empty() {
            // After CLOSE there is no further number. Only this library expects data then, and it
            // answers a request in an acknowledgement.
            self.due.ack = true;
            self.due.ack_asks = true;
        }
    }

    pub(super) fn start_inactivity(&mut self, now: Instant) {
        self.last_activity = now;
        self.last_received = now;
        if self.config.inactivity_action != InactivityAction::Nothing {
            self.timers
                .set(Timer::Inactivity, now + self.config.inactivity_timeout);
        }
    }

    /// Starts or restarts the probe timeout if packets are in flight or lost.
    pub(super) fn arm_probe(&mut self, now: Instant, peer: &Peer) {
        if self.sending.is_choked()
            || (self.sending.buffer.in_flight() == 0 && self.sending.buffer.next_lost().is_none())
        {
            self.timers.stop(Timer::Probe);
            return;
        }
        let rtt = &peer.rtt;
        let base = rtt.probe_timeout(peer.kind.max_ack_delay(rtt.estimate()));
        // The backoff begins with the third probe, because one of the first two may be lost too.
        let wait = Rtt::backed_off(base, self.sending.attempts.saturating_sub(1));
        // The timeout starts at the transmission of the oldest packet, unless a probe was sent
        // already.
        let oldest = self.sending.buffer.segment(self.sending.buffer.oldest());
        let since = oldest
            .filter(|segment| self.sending.attempts == 0 && segment.state == State::InFlight)
            .and_then(|segment| segment.sent)
            .map_or(now, |sent| sent.sent_at);
        self.wait_for_probe(now, (since + wait).max(now + wait / 4));
    }

    /// Waits until `end` for an answer, and sends probes at intervals until then.
    fn wait_for_probe(&mut self, now: Instant, end: Instant) {
        self.sending.attempt_ends = Some(end);
        self.timers
            .set(Timer::Probe, end.min(now + MAX_PROBE_INTERVAL));
    }

    /// Declares the packets lost that were sent over a path that failed.
    pub(super) fn check_failed_paths(&mut self, now: Instant, peer: &mut Peer) {
        let (failures, failed) = peer.failures();
        if failures == self.sending.failures_seen {
            return;
        }
        self.sending.failures_seen = failures;
        let mut batch = peer.begin();
        for seq in
            self.sending.buffer.oldest()..self.sending.buffer.oldest() + self.sending.buffer.span()
        {
            let sent = self
                .sending
                .buffer
                .segment(seq)
                .and_then(|segment| segment.sent);
            if let Some(sent) = sent.filter(|sent| sent.path == failed)
                && self.sending.buffer.mark_lost(seq)
            {
                peer.lost(&mut batch, &sent);
            }
        }
        peer.finish(now, &batch);
    }
}

/// How late the inactivity timer may be before the process counts as having been stopped.
const LATE: Duration = Duration::from_secs(5);
/// Timeouts without an answer after which the lease set of the peer may be stale.
const STALL_ATTEMPTS: u32 = 2;
/// Timeouts after which all packets in flight are declared lost.
const LOST_ATTEMPTS: u32 = 3;
/// Longest time between two probes of a silent peer. Chosen because a probe costs little and
/// detects early that a path works again.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Chosen below the 255 missing packets that an acknowledgement can list.
const MAX_PROBE_SPAN: u32 = 200;
/// Bounds of the time between probes of a peer that has no room. Java reports that it has room
/// again only after a new packet has arrived, so a stream may wait for the upper bound.
pub(super) const MIN_PERSIST: Duration = Duration::from_secs(1);
const MAX_PERSIST: Duration = Duration::from_secs(4);
