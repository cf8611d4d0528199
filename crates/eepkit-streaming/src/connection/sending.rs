//! The sending half of a stream.

use std::time::Instant;

use crate::{
    StreamConfig,
    kind::PeerKind,
    mtu::{ONE_MESSAGE, TWO_MESSAGES, tunnel_messages},
    packet_size::{PacketSize, TRIAL_PACKETS},
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
        if self.mtu != mtu {
            self.mtu = mtu;
            self.buffer.set_mtu(mtu);
        }
    }

    /// Sends smaller packets while many tunnel messages are lost. `loss_share` is the share of
    /// packets that were lost recently.
    pub(super) fn fit_mtu(&mut self, size: &mut PacketSize, loss_share: f64) {
        let two = self.full_mtu.min(TWO_MESSAGES);
        if size.is_short() && self.full_mtu > ONE_MESSAGE {
            self.set_mtu(ONE_MESSAGE);
            // Only a writer that waits has as much data as a trial needs.
            if self.writer_waits && size.take_trial() {
                self.buffer.lengthen(two, TRIAL_PACKETS);
            }
            return;
        }
        if self.mtu < two {
            self.set_mtu(two);
        }
        if self.full_mtu == two {
            return;
        }
        let messages = u32::try_from(tunnel_messages(self.mtu)).unwrap_or(u32::MAX);
        let each = loss_share / f64::from(messages);
        if each > MUCH_LOSS {
            self.set_mtu(two);
        } else if each < MUCH_LOSS / 2.0 {
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
        let mut size = PacketSize::default();
        sending.negotiate_mtu(3804);
        sending.fit_mtu(&mut size, 0.01);
        assert_eq!(sending.mtu, 3804);
        sending.fit_mtu(&mut size, 0.08);
        assert_eq!(sending.mtu, TWO_MESSAGES);
        sending.fit_mtu(&mut size, 0.0);
        assert_eq!(sending.mtu, 3804);
    }

    #[test]
    fn packets_take_one_tunnel_message_where_those_of_two_are_lost() {
        for negotiated in [1730, 1812, 3804] {
            let mut sending = sending();
            let mut size = PacketSize::short();
            sending.negotiate_mtu(negotiated);
            sending.fit_mtu(&mut size, 0.2);
            assert_eq!(sending.mtu, ONE_MESSAGE);
            sending.fit_mtu(&mut PacketSize::default(), 0.05);
            assert_eq!(sending.mtu, negotiated.min(TWO_MESSAGES));
        }
        let mut small = sending();
        small.negotiate_mtu(512);
        small.fit_mtu(&mut PacketSize::short(), 0.2);
        assert_eq!(small.mtu, 512);
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
