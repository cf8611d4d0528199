//! The sending half of a stream.

use std::time::Instant;

use crate::{
    StreamConfig,
    kind::PeerKind,
    mtu::{ONE_MESSAGE, TWO_MESSAGES, tunnel_messages},
    send_buffer::SendBuffer,
};

/// The state of the sending half.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) buffer: SendBuffer,
    /// Payload of our packets in bytes.
    pub(super) mtu: usize,
    /// The negotiated upper bound of `mtu`.
    full_mtu: usize,
    /// Whether packets of one tunnel message are used or were tried.
    fragments: Fragments,
    /// Timeouts since the peer last acknowledged a new packet.
    pub(super) attempts: u32,
    /// When the current timeout ends.
    pub(super) attempt_ends: Option<Instant>,
    /// Path failures that this stream has handled.
    pub(super) failures_seen: u32,
    pub(super) peer_window: PeerWindow,
    /// The estimated size of the peer's buffer in packets, after the peer has choked.
    receiver_limit: u32,
    /// When an acknowledgement was last requested.
    pub(super) last_request: Option<Instant>,
    /// The last write was partial, so the writer waits for room.
    pub(super) writer_waits: bool,
    /// Data was written, and [`Sending::take_flushed`] has not returned true since then.
    pub(super) is_unflushed: bool,
    pub(super) bytes_written: u64,
    pub(super) packets_sent: u64,
    pub(super) packets_resent: u64,
}

/// Whether the peer accepts data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerWindow {
    Open,
    /// The peer has had no room since `at`. `probes` is the number of probes since then.
    Choked {
        at: Instant,
        probes: u32,
    },
}

impl Sending {
    pub(super) fn new(mtu: usize, send_buffer: usize) -> Self {
        Self {
            buffer: SendBuffer::new(mtu, send_buffer),
            mtu,
            full_mtu: mtu,
            fragments: Fragments::default(),
            attempts: 0,
            attempt_ends: None,
            failures_seen: 0,
            peer_window: PeerWindow::Open,
            receiver_limit: u32::MAX,
            last_request: None,
            writer_waits: false,
            is_unflushed: false,
            bytes_written: 0,
            packets_sent: 0,
            packets_resent: 0,
        }
    }

    /// Sets the largest payload that the peer accepts.
    pub(super) fn negotiate_mtu(&mut self, mtu: usize) {
        self.full_mtu = mtu;
        self.set_mtu(mtu);
    }

    fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
        self.buffer.set_mtu(mtu);
    }

    /// Sends smaller packets while many tunnel messages are lost: a packet is lost with any of its
    /// messages, and i2pd also loses packets whose messages are reordered. `known` is the number of
    /// packets of which it is newly known whether they are lost.
    pub(super) fn fit_mtu(&mut self, loss_share: f64, known: u32) {
        if self.full_mtu > ONE_MESSAGE {
            match self.fragments.on_fate(loss_share, known) {
                Some(Size::OneMessage) => return self.set_mtu(ONE_MESSAGE),
                Some(Size::Full) => return self.set_mtu(self.full_mtu.min(TWO_MESSAGES)),
                None if self.fragments.trial.is_some() => return,
                None => {}
            }
        }
        if self.full_mtu <= TWO_MESSAGES {
            return;
        }
        let messages = u32::try_from(tunnel_messages(self.mtu)).unwrap_or(u32::MAX);
        let each = loss_share / f64::from(messages);
        if each > MUCH_LOSS && self.mtu > TWO_MESSAGES {
            self.set_mtu(TWO_MESSAGES);
        } else if each < MUCH_LOSS / 2.0 && self.mtu < self.full_mtu {
            self.set_mtu(self.full_mtu);
        }
    }

    pub(super) const fn is_choked(&self) -> bool {
        matches!(self.peer_window, PeerWindow::Choked { .. })
    }

    /// When the peer choked, if it still does.
    pub(super) const fn choked_at(&self) -> Option<Instant> {
        match self.peer_window {
            PeerWindow::Choked { at, .. } => Some(at),
            PeerWindow::Open => None,
        }
    }

    /// Handles that the peer has no more room.
    pub(super) fn choke(&mut self, now: Instant) {
        self.peer_window = PeerWindow::Choked { at: now, probes: 0 };
        // The peer's buffer holds about as much as was in flight.
        self.receiver_limit = (self.buffer.span() * 7 / 8).max(MIN_RECEIVER_LIMIT);
    }

    /// Raises the estimate of the peer's buffer after `packets` were acknowledged.
    ///
    /// The increase is additive. If a slow reader had filled the buffer, there may be more room
    /// later. But the buffer of Java has a fixed size, and packets beyond it must be retransmitted.
    pub(super) fn raise_receiver_limit(&mut self, packets: u32) {
        if self.receiver_limit != u32::MAX {
            self.receiver_limit = self
                .receiver_limit
                .saturating_add(packets.div_ceil(PACKETS_PER_STEP));
        }
    }

    /// Whether the peer accepts another packet beyond those that may be missing there. `lossy`
    /// states that packets were lost recently.
    pub(super) fn has_room_for_new(
        &self,
        kind: PeerKind,
        lossy: bool,
        config: &StreamConfig,
    ) -> bool {
        let max_in_flight = kind
            .max_in_flight(lossy)
            .min(config.max_window)
            .min(self.receiver_limit);
        self.buffer.in_flight() < max_in_flight
            && self.buffer.span() < kind.max_span(lossy).min(self.receiver_limit)
            && self.buffer.ahead() < kind.max_ahead()
            && self.buffer.hole_count() < kind.max_holes()
    }

    /// Whether a writer waits and there is room again. Returns true once for each wait.
    pub(super) fn take_writable(&mut self, config: &StreamConfig) -> bool {
        let wake = self.writer_waits && self.buffer.room() >= config.send_buffer / 2;
        self.writer_waits &= !wake;
        wake
    }

    /// Whether all written data is acknowledged. Returns true once after each write.
    pub(super) fn take_flushed(&mut self) -> bool {
        let flushed = self.is_unflushed && self.buffer.is_all_acked();
        self.is_unflushed &= !flushed;
        flushed
    }
}

/// The decision whether packets take one tunnel message.
///
/// i2pd loses packets of several tunnel messages if these are reordered, but none of one. Packets of
/// one tunnel message carry a tenth less per tunnel message. They are therefore tried where much is
/// lost, and kept only if they lose much less.
#[derive(Debug, Default)]
struct Fragments {
    /// Packets of one tunnel message are used.
    trial: Option<Trial>,
    /// Packets until the next trial.
    pause: u32,
    /// Packets of the current span, and spans in a row with a large loss.
    span: u32,
    lossy_spans: u32,
    /// Earlier trials. Each doubles the time until the next change.
    trials: u32,
}

#[derive(Debug)]
struct Trial {
    /// The share of lost packets before it.
    loss_before: f64,
    /// The number of packets since its beginning.
    packets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    OneMessage,
    Full,
}

impl Fragments {
    /// Records that `known` packets were acknowledged or lost. Returns the size to change to.
    fn on_fate(&mut self, loss_share: f64, known: u32) -> Option<Size> {
        match &mut self.trial {
            Some(trial) => {
                trial.packets = trial.packets.saturating_add(known);
                let useless = trial.packets > TRIAL && loss_share > trial.loss_before / 3.0;
                let kept = KEPT << self.trials.min(MAX_DOUBLINGS);
                if !useless && trial.packets < kept {
                    return None;
                }
                self.trials += 1;
                // The path may have changed. If it has not, larger packets lose as much again.
                self.pause = if useless { kept } else { TRIAL };
                self.trial = None;
                Some(Size::Full)
            }
            None if self.pause > 0 => {
                self.pause = self.pause.saturating_sub(known);
                None
            }
            None => self.is_lossy(loss_share, known).then(|| {
                self.trial = Some(Trial {
                    loss_before: loss_share,
                    packets: 0,
                });
                Size::OneMessage
            }),
        }
    }

    /// Whether the loss has been large for [`LOSSY_SPANS`] spans.
    fn is_lossy(&mut self, loss_share: f64, known: u32) -> bool {
        if loss_share < FRAGMENT_LOSS {
            (self.span, self.lossy_spans) = (0, 0);
            return false;
        }
        self.span += known;
        if self.span >= SPAN {
            self.span = 0;
            self.lossy_spans += 1;
        }
        if self.lossy_spans < LOSSY_SPANS {
            return false;
        }
        self.lossy_spans = 0;
        true
    }
}

/// Share of lost packets above which packets of one tunnel message are tried. Chosen because their
/// smaller payload costs as much.
const FRAGMENT_LOSS: f64 = 0.09;
/// A trial begins after this many spans of this many packets with such a loss. Chosen because a burst
/// of losses, as at the end of Startup or when a tunnel fails, ends sooner.
const LOSSY_SPANS: u32 = 4;
const SPAN: u32 = 256;
/// Packets after which the share of lost ones has followed a change. It is a mean over 256 packets.
const TRIAL: u32 = 1024;
/// Packets of one tunnel message before larger ones are tried again, doubled each time. Chosen
/// because i2pd keeps a path for 30 to 120 seconds.
const KEPT: u32 = 8192;
const MAX_DOUBLINGS: u32 = 4;

/// Fraction of lost tunnel messages above which packets of three or four messages are less
/// efficient than smaller ones.
const MUCH_LOSS: f64 = 0.015;
/// The peer's buffer is assumed to hold at least this many packets.
const MIN_RECEIVER_LIMIT: u32 = 8;
/// Acknowledged packets per increase of the estimate of the peer's buffer by one packet. Chosen by
/// throughput and retransmissions to Java at a loss of 1 to 5 %.
const PACKETS_PER_STEP: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn sending() -> Sending {
        let mut sending = Sending::new(1812, 100_000);
        sending.negotiate_mtu(1812);
        sending
    }

    #[test]
    fn packets_are_smaller_while_loss_is_high() {
        let mut sending = sending();
        sending.negotiate_mtu(3804);
        sending.fit_mtu(0.01, 10);
        assert_eq!(sending.mtu, 3804);
        sending.fit_mtu(0.08, 10);
        assert_eq!(sending.mtu, TWO_MESSAGES);
        sending.fit_mtu(0.0, 10);
        assert_eq!(sending.mtu, 3804);
    }

    #[test]
    fn packets_of_one_tunnel_message_are_kept_where_they_are_not_lost() {
        let mut sending = sending();
        lose_much(&mut sending);
        sending.fit_mtu(0.01, 2 * TRIAL);
        assert_eq!(sending.mtu, ONE_MESSAGE);
        sending.fit_mtu(0.01, KEPT);
        assert_eq!(sending.mtu, TWO_MESSAGES);
        sending.fit_mtu(0.2, TRIAL);
        lose_much(&mut sending);
    }

    #[test]
    fn packets_of_one_tunnel_message_are_left_if_they_are_lost_as_well() {
        let mut sending = sending();
        lose_much(&mut sending);
        sending.fit_mtu(0.15, TRIAL + 1);
        assert_eq!(sending.mtu, TWO_MESSAGES);
        sending.fit_mtu(0.2, KEPT);
        assert_eq!(sending.mtu, TWO_MESSAGES);
        lose_much(&mut sending);
    }

    #[test]
    fn a_smaller_negotiated_size_is_restored_after_packets_of_one_tunnel_message() {
        let mut sending = sending();
        sending.negotiate_mtu(1730);
        for _ in 0..LOSSY_SPANS {
            sending.fit_mtu(0.2, SPAN);
        }
        assert_eq!(sending.mtu, ONE_MESSAGE);
        sending.fit_mtu(0.2, TRIAL + 1);
        assert_eq!(sending.mtu, 1730);
    }

    /// Loses packets for so long that smaller ones are tried.
    fn lose_much(sending: &mut Sending) {
        for _ in 0..LOSSY_SPANS {
            assert_eq!(sending.mtu, TWO_MESSAGES);
            sending.fit_mtu(0.2, SPAN);
        }
        assert_eq!(sending.mtu, ONE_MESSAGE);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to count from"
    )]
    fn the_receiver_limit_grows_slowly_after_choking() {
        let mut sending = sending();
        sending.choke(Instant::now());
        assert!(sending.is_choked());
        assert_eq!(sending.receiver_limit, MIN_RECEIVER_LIMIT);
        sending.raise_receiver_limit(1);
        sending.raise_receiver_limit(PACKETS_PER_STEP);
        assert_eq!(sending.receiver_limit, MIN_RECEIVER_LIMIT + 2);
    }
}
