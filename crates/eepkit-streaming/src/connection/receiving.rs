//! The receiving half of a stream.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{StreamConfig, ack::AckState, kind::PeerKind, reassembly::Reassembly};

/// The state of the receiving half.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) buffer: Reassembly,
    pub(super) ack: AckState,
    pub(super) window: LocalWindow,
    /// The size of the receive buffer in bytes.
    limit: usize,
    /// An instant, and the bytes read since then. The limit grows with the rate of the reader.
    read_since: (Instant, usize),
    /// Consecutive packets that had arrived before.
    pub(super) repeats: u8,
    pub(super) bytes_read: u64,
    pub(super) packets_received: u64,
}

/// Whether this side accepts data, as acknowledgements report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalWindow {
    Open,
    /// There is no room.
    Choking,
    /// There is room again. Each acknowledgement reports it until [`Timer::Unchoke`] has expired
    /// `left` more times. Data from a peer that waits for this report is no reason to stop: it may
    /// have been sent before the peer was choked, or be a probe of a peer that is still choked.
    ///
    /// [`Timer::Unchoke`]: crate::timer::Timer::Unchoke
    Unchoking {
        left: u8,
    },
}

impl Receiving {
    pub(super) fn new(now: Instant, config: &StreamConfig) -> Self {
        let limit = config.receive_buffer.clamp(
            MIN_RECEIVE_BUFFER,
            config.max_receive_buffer.max(MIN_RECEIVE_BUFFER),
        );
        Self {
            buffer: Reassembly::new(0),
            ack: AckState::default(),
            window: LocalWindow::Open,
            limit,
            read_since: (now, 0),
            repeats: 0,
            bytes_read: 0,
            packets_received: 0,
        }
    }

    /// Returns up to `max` bytes that arrived in order.
    pub(super) fn read(
        &mut self,
        now: Instant,
        max: usize,
        rtt: Duration,
        config: &StreamConfig,
    ) -> Option<Bytes> {
        let data = self.buffer.read(max.max(1))?;
        self.bytes_read += data.len() as u64;
        // The limit is at least twice the bytes that are read in a round trip.
        let (since, bytes) = &mut self.read_since;
        *bytes += data.len();
        if now.saturating_duration_since(*since) >= rtt {
            let wanted = bytes.saturating_mul(2).min(config.max_receive_buffer);
            self.limit = self.limit.max(wanted);
            self.read_since = (now, 0);
        }
        Some(data)
    }

    /// Applies a changed configuration.
    pub(super) fn reconfigure(&mut self, config: &StreamConfig) {
        self.limit = self
            .limit
            .max(config.receive_buffer)
            .min(config.max_receive_buffer.max(MIN_RECEIVE_BUFFER));
    }

    pub(super) fn is_choking(&self) -> bool {
        self.window == LocalWindow::Choking
    }

    /// Ends choking if there is room again after a read. Returns whether it did.
    pub(super) fn unchoke(&mut self) -> bool {
        self.buffer.cost() <= self.limit / 2 && self.stop_choking()
    }

    /// Ends choking. Returns whether the peer was choked, so that it must be told.
    pub(super) fn stop_choking(&mut self) -> bool {
        let choked = self.is_choking();
        if choked {
            self.window = LocalWindow::Unchoking { left: UNCHOKES };
        }
        choked
    }

    /// Whether acknowledgements report that there is room again.
    pub(super) fn is_unchoking(&self) -> bool {
        matches!(self.window, LocalWindow::Unchoking { .. })
    }

    /// Counts a report that there is room again. Returns whether more are needed.
    pub(super) fn count_unchoke(&mut self) -> bool {
        let LocalWindow::Unchoking { left } = &mut self.window else {
            return false;
        };
        *left -= 1;
        if *left == 0 {
            self.window = LocalWindow::Open;
        }
        self.is_unchoking()
    }

    /// Whether a peer that recovers badly from dropped packets must be choked, while there is still
    /// room for the packets in flight.
    pub(super) fn should_choke_early(&self, kind: PeerKind, config: &StreamConfig) -> bool {
        let reserve = kind.packets_after_choke() * PACKET_COST;
        let room = self
            .hard_limit(kind, config)
            .saturating_sub(self.buffer.unread_cost());
        !self.is_choking() && reserve > 0 && room < reserve && self.is_reader_slow()
    }

    /// Memory for received data, including the packets that are in flight when the peer is choked.
    pub(super) fn hard_limit(&self, kind: PeerKind, config: &StreamConfig) -> usize {
        let reserve = kind.packets_after_choke() * PACKET_COST;
        (self.limit + reserve).min(config.max_receive_buffer.max(self.limit))
    }

    /// Whether unread data in order fills half of the buffer.
    pub(super) fn is_reader_slow(&self) -> bool {
        self.buffer.unread_cost() >= self.limit / 2
    }

    /// Makes room for another packet if packets behind a gap fill the buffer. The peer must not be
    /// choked then, because it has to close the gap.
    pub(super) fn grow_for_gap(&mut self, packet: usize, config: &StreamConfig) {
        if self.buffer.cost() + packet >= self.limit && !self.is_reader_slow() {
            let wanted = self.limit.saturating_mul(2);
            self.limit = wanted.min(config.max_receive_buffer).max(self.limit);
        }
    }
}

/// How often the end of choking is reported, twice in a round trip. The number is chosen as in Java.
const UNCHOKES: u8 = 8;
/// Streaming documentation, "Transmit/Receive Windows and Choking": at least 128 packets.
const MIN_RECEIVE_BUFFER: usize = 128 * 1900;
/// Memory of a full packet of another implementation.
const PACKET_COST: usize = 1900;
