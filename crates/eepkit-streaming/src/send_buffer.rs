//! The send buffer, which keeps written data, split into packets, until it is acknowledged.
//!
//! The payload of a packet is stored in the buffer that is sent, after room for the header. It is
//! written once and not copied again. There is one allocation per packet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{
    sent_packet::{AckedPacket, PerPath, SentPacket},
    seq::{LAST_SEQ, SeqRing},
};

/// The sending half of a stream.
///
/// Packets get their sequence numbers when data is split, so that all state is found by number. The
/// ring contains first the packets that were sent, and then those that were not.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    ring: SeqRing<Segment>,
    /// The first packet that was never sent.
    next: u32,
    /// Every sent packet below this is acknowledged or in `holes`.
    reported: u32,
    /// Sent packets below `reported` that are not acknowledged, in order.
    holes: VecDeque<u32>,
    /// Packets declared lost and not retransmitted yet, in order.
    lost: VecDeque<u32>,
    in_flight: u32,
    /// Payload bytes that were never sent.
    unsent: usize,
    /// The most unsent bytes (`i2p.streaming.bufferSize`).
    limit: usize,
    /// The payload size of later packets, and of the last one.
    mtu: usize,
    last_mtu: usize,
    /// The payload size of packets of a trial, and their number.
    trial: (usize, u32),
    closing: bool,
    /// Packets below this are sent even if they are not full.
    flushed: u32,
}

/// One packet.
#[derive(Debug)]
pub(crate) struct Segment {
    data: Data,
    pub(crate) state: State,
    /// The last transmission. Present when the state is not [`State::Unsent`].
    pub(crate) sent: Option<SentPacket>,
    /// How often it was sent.
    pub(crate) transmissions: u8,
    pub(crate) syn: bool,
    pub(crate) close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Unsent,
    InFlight,
    Lost,
    Acked,
}

/// Header room and payload.
#[derive(Debug)]
enum Data {
    /// May still grow.
    Open(BytesMut),
    /// Shared with the packet that was returned for sending.
    Shared(Bytes),
    /// Acknowledged.
    Gone,
}

impl Segment {
    const fn new() -> Self {
        Self {
            data: Data::Gone,
            state: State::Unsent,
            sent: None,
            transmissions: 0,
            syn: false,
            close: false,
        }
    }

    /// Payload bytes.
    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::Open(data) => data.len().saturating_sub(HEADROOM),
            Data::Shared(data) => data.len().saturating_sub(HEADROOM),
            Data::Gone => 0,
        }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        let data: &[u8] = match &self.data {
            Data::Open(data) => data,
            Data::Shared(data) => data,
            Data::Gone => &[],
        };
        data.get(HEADROOM..).unwrap_or_default()
    }

    /// Writes `header` right in front of the payload and returns both, without copying the payload
    /// unless an earlier transmission still waits to be sent. `header` is at most [`HEADROOM`]
    /// long.
    pub(crate) fn packet(&mut self, header: &[u8]) -> Bytes {
        let start = HEADROOM.saturating_sub(header.len());
        let mut data = match std::mem::replace(&mut self.data, Data::Gone) {
            Data::Open(data) => data,
            Data::Shared(data) => data
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..])),
            Data::Gone => BytesMut::zeroed(HEADROOM),
        };
        data[start..HEADROOM].copy_from_slice(header);
        let data = data.freeze();
        let packet = data.slice(start..);
        self.data = Data::Shared(data);
        packet
    }

    fn append(&mut self, bytes: &[u8], mtu: usize) {
        if matches!(self.data, Data::Gone) {
            // A write that fills the packet allocates exactly its size. After small writes, the
            // allocation grows by doubling.
            let mut data = BytesMut::with_capacity(HEADROOM + bytes.len().min(mtu));
            data.resize(HEADROOM, 0);
            self.data = Data::Open(data);
        }
        if let Data::Open(data) = &mut self.data {
            data.extend_from_slice(bytes);
        }
    }
}

/// The result of an acknowledgement. Newly acknowledged transmissions are reported one by one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Packets newly acknowledged.
    pub(crate) packets: u32,
    /// Whether the oldest packet was among them.
    pub(crate) advanced: bool,
}

impl SendBuffer {
    /// A buffer with the SYN packet, which has number 0 and is unsent and empty.
    pub(crate) fn new(mtu: usize, limit: usize) -> Self {
        let mut ring = SeqRing::new(0);
        ring.push(Segment {
            syn: true,
            ..Segment::new()
        });
        Self {
            ring,
            next: 0,
            reported: 0,
            holes: VecDeque::new(),
            lost: VecDeque::new(),
            in_flight: 0,
            unsent: 0,
            limit: limit.max(1),
            mtu: mtu.max(1),
            last_mtu: mtu.max(1),
            trial: (0, 0),
            closing: false,
            flushed: 0,
        }
    }

    /// Appends as much of `bytes` as there is room for. Returns the number of bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.closing {
            return 0;
        }
        let room = self.limit.saturating_sub(self.unsent);
        let mut rest = &bytes[..bytes.len().min(room)];
        let before = rest.len();
        while !rest.is_empty() {
            let appendable = self.ring.end() > self.next
                && self
                    .ring
                    .back()
                    .is_some_and(|tail| tail.len() < self.last_mtu);
            if !appendable {
                if self.ring.end() >= LAST_SEQ {
                    break;
                }
                self.last_mtu = self.take_mtu();
                self.ring.push(Segment::new());
            }
            let mtu = self.last_mtu;
            let Some(tail) = self.ring.back_mut() else {
                break;
            };
            let (now, later) = rest.split_at(rest.len().min(mtu - tail.len().min(mtu)));
            tail.append(now, mtu);
            rest = later;
        }
        let taken = before - rest.len();
        self.unsent += taken;
        taken
    }

    /// The payload size of a new packet.
    fn take_mtu(&mut self) -> usize {
        let (mtu, packets) = &mut self.trial;
        match packets.checked_sub(1) {
            Some(fewer) => {
                *packets = fewer;
                (*mtu).max(1)
            }
            None => self.mtu,
        }
    }

    /// Appends a packet without data that is sent at once, so that the peer acknowledges it. Returns
    /// whether there was a number for it.
    pub(crate) fn write_empty(&mut self) -> bool {
        if self.closing || self.ring.end() >= LAST_SEQ {
            return false;
        }
        if self.ring.end() == self.next {
            self.last_mtu = self.mtu;
            self.ring.push(Segment::new());
        }
        self.flush();
        true
    }

    /// Ends the stream after the written data. A second call has no effect.
    pub(crate) fn close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        if self.ring.end() == self.next {
            self.last_mtu = self.mtu;
            self.ring.push(Segment::new());
        }
        if let Some(tail) = self.ring.back_mut() {
            tail.close = true;
        }
        self.flush();
    }

    /// Makes everything written so far ready to send.
    pub(crate) fn flush(&mut self) {
        self.flushed = self.ring.end();
    }

    /// Sets the payload size of the next `packets` packets that are written.
    pub(crate) const fn lengthen(&mut self, mtu: usize, packets: u32) {
        self.trial = (mtu, packets);
    }

    /// Sets the payload size of later packets. Splits unsent packets that are longer.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu.max(1);
        self.last_mtu = self.mtu;
        self.trial = (0, 0);
        let too_long = (self.next..self.ring.end())
            .any(|seq| self.ring.get(seq).is_some_and(|s| s.len() > self.mtu));
        if !too_long {
            return;
        }
        let mut segments = Vec::new();
        while self.ring.end() > self.next {
            segments.extend(self.ring.pop_back());
        }
        let flushed = self.flushed > self.next;
        let (closing, limit) = (self.closing, self.limit);
        self.closing = false;
        self.limit = usize::MAX;
        self.unsent = 0;
        for segment in segments.iter().rev() {
            self.write(segment.payload());
        }
        self.limit = limit;
        if closing {
            self.close();
        } else if flushed {
            self.flush();
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
    }

    /// Room for more data, in bytes.
    pub(crate) fn room(&self) -> usize {
        if self.closing {
            0
        } else {
            self.limit.saturating_sub(self.unsent)
        }
    }

    /// The packet to send next: the first lost one, else the first new one that may be sent.
    ///
    /// A packet that is not full waits for more data while others are in flight, unless flushed.
    #[cfg(test)]
    pub(crate) fn next_to_send(&self) -> Option<u32> {
        self.next_lost().or_else(|| self.next_new())
    }

    pub(crate) fn next_lost(&self) -> Option<u32> {
        self.lost.front().copied()
    }

    pub(crate) fn next_new(&self) -> Option<u32> {
        let segment = self.ring.get(self.next)?;
        let last = self.next + 1 == self.ring.end();
        let ready = !last
            || segment.syn
            || segment.close
            || self.next < self.flushed
            || segment.len() >= self.last_mtu
            || (self.in_flight == 0 && segment.len() > 0);
        ready.then_some(self.next)
    }

    /// Whether a packet that is not full waits for more data, or will wait after those before it
    /// were sent.
    pub(crate) fn is_coalescing(&self) -> bool {
        let partial = |tail: &Segment| !tail.syn && !tail.close && tail.len() < self.last_mtu;
        self.ring.end() > self.next.max(self.flushed) && self.ring.back().is_some_and(partial)
    }

    pub(crate) fn segment(&self, seq: u32) -> Option<&Segment> {
        self.ring.get(seq)
    }

    pub(crate) fn segment_mut(&mut self, seq: u32) -> Option<&mut Segment> {
        self.ring.get_mut(seq)
    }

    /// Records a transmission of `seq`, the first one or a retransmission.
    pub(crate) fn on_sent(&mut self, seq: u32, sent: SentPacket) {
        let Some(segment) = self.ring.get_mut(seq) else {
            return;
        };
        segment.sent = Some(sent);
        segment.transmissions = segment.transmissions.saturating_add(1);
        match segment.state {
            State::Unsent => {
                self.unsent -= segment.len().min(self.unsent);
                self.in_flight += 1;
                self.next = seq + 1;
            }
            State::Lost => {
                self.in_flight += 1;
                if let Some(index) = self.lost.iter().position(|lost| *lost == seq) {
                    self.lost.remove(index);
                }
            }
            State::InFlight | State::Acked => {}
        }
        segment.state = State::InFlight;
    }

    /// Processes an acknowledgement: everything up to `through` arrived except `nacks`, which are
    /// in ascending order. Calls `acked` for every packet that is newly known to have arrived.
    ///
    /// Returns `None` for an acknowledgement of a packet that was never sent.
    pub(crate) fn on_ack(
        &mut self,
        through: u32,
        nacks: &[u32],
        mut acked: impl FnMut(AckedPacket),
    ) -> Option<Acked> {
        if through >= self.next {
            return None;
        }
        let mut outcome = Acked::default();
        let oldest = self.ring.first();
        // Packets that were reported missing before, and are not any more, have arrived.
        let mut nack = 0;
        let mut kept = 0;
        for index in 0..self.holes.len() {
            let seq = self.holes[index];
            while nacks.get(nack).is_some_and(|nacked| *nacked < seq) {
                nack += 1;
            }
            if seq > through || nacks.get(nack) == Some(&seq) {
                self.holes[kept] = seq;
                kept += 1;
            } else {
                outcome.packets += self.acknowledge(seq, &mut acked);
            }
        }
        self.holes.truncate(kept);
        // Packets not covered by an earlier acknowledgement.
        nack = nacks.partition_point(|nacked| *nacked < self.reported);
        for seq in self.reported..=through {
            if nacks.get(nack) == Some(&seq) {
                nack += 1;
                self.holes.push_back(seq);
            } else {
                outcome.packets += self.acknowledge(seq, &mut acked);
            }
            while nacks.get(nack).is_some_and(|nacked| *nacked <= seq) {
                nack += 1;
            }
        }
        self.reported = self.reported.max(through + 1);
        while self
            .ring
            .front()
            .is_some_and(|front| front.state == State::Acked)
        {
            self.ring.pop_front();
        }
        self.ring.shrink(KEEP_SEGMENTS);
        outcome.advanced = self.ring.first() != oldest;
        Some(outcome)
    }

    /// Records that a packet arrived. This implies nothing about earlier packets.
    pub(crate) fn on_arrived(&mut self, seq: u32, mut acked: impl FnMut(AckedPacket)) {
        if seq < self.next {
            self.acknowledge(seq, &mut acked);
        }
    }

    fn acknowledge(&mut self, seq: u32, acked: &mut impl FnMut(AckedPacket)) -> u32 {
        let Some(segment) = self.ring.get_mut(seq) else {
            return 0;
        };
        let was_lost = segment.state == State::Lost;
        match segment.state {
            State::InFlight => self.in_flight -= 1,
            State::Lost => self.lost.retain(|lost| *lost != seq),
            State::Acked | State::Unsent => return 0,
        }
        segment.state = State::Acked;
        segment.data = Data::Gone;
        let transmissions = segment.transmissions;
        if let Some(sent) = segment.sent.take() {
            acked(AckedPacket {
                sent,
                transmissions,
                was_lost,
            });
        }
        1
    }

    /// Packets that the peer reports missing, in order.
    #[cfg(test)]
    pub(crate) fn holes(&self) -> impl Iterator<Item = u32> + '_ {
        self.holes.iter().copied()
    }

    pub(crate) fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    pub(crate) fn hole_count(&self) -> u32 {
        u32::try_from(self.holes.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn hole(&self, index: u32) -> Option<u32> {
        self.holes.get(usize::try_from(index).ok()?).copied()
    }

    /// Declares `seq` lost. Returns whether it was in flight.
    pub(crate) fn mark_lost(&mut self, seq: u32) -> bool {
        let Some(segment) = self.ring.get_mut(seq) else {
            return false;
        };
        if segment.state != State::InFlight {
            return false;
        }
        segment.state = State::Lost;
        self.in_flight -= 1;
        // The index is nearly always the end, because losses are found in order.
        let index = self.lost.partition_point(|lost| *lost < seq);
        self.lost.insert(index, seq);
        true
    }

    /// Declares all packets in flight lost. Returns their numbers.
    pub(crate) fn mark_all_lost(&mut self) -> PerPath {
        let counts = self.in_flight_by_path();
        for seq in self.ring.first()..self.next {
            self.mark_lost(seq);
        }
        counts
    }

    fn in_flight_by_path(&self) -> PerPath {
        let mut counts = PerPath::default();
        for seq in self.ring.first()..self.next {
            let segment = self.ring.get(seq);
            let sent = segment
                .filter(|segment| segment.state == State::InFlight)
                .and_then(|segment| segment.sent);
            if let Some(count) = sent.and_then(|sent| counts.get_mut(usize::from(sent.state))) {
                *count += 1;
            }
        }
        counts
    }

    /// The newest packet in flight.
    pub(crate) fn newest_in_flight(&self) -> Option<u32> {
        (self.ring.first()..self.next).rev().find(|seq| {
            self.ring
                .get(*seq)
                .is_some_and(|s| s.state == State::InFlight)
        })
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The distance from the newest acknowledged or missing packet to the newest sent one, in
    /// packets.
    pub(crate) const fn ahead(&self) -> u32 {
        self.next - self.reported
    }

    /// The distance from the oldest packet that is not acknowledged to the newest sent one, in
    /// packets.
    pub(crate) fn span(&self) -> u32 {
        self.next - self.ring.first().min(self.next)
    }

    /// Whether all written data was sent at least once.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.next == self.ring.end()
    }

    /// Whether the peer has acknowledged all written data, SYN and CLOSE.
    pub(crate) fn is_all_acked(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether the peer has acknowledged all written data. SYN and CLOSE need not be acknowledged.
    pub(crate) fn is_all_data_acked(&self) -> bool {
        (self.ring.first()..self.ring.end())
            .filter_map(|seq| self.ring.get(seq))
            .all(|segment| segment.payload().is_empty())
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether CLOSE was sent and acknowledged.
    pub(crate) fn is_close_acked(&self) -> bool {
        self.closing && self.ring.is_empty()
    }

    /// The oldest packet that is not acknowledged.
    pub(crate) fn oldest(&self) -> u32 {
        self.ring.first()
    }

    /// Whether all sequence numbers are used.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ring.end() >= LAST_SEQ
    }

    /// Payload bytes that were never sent.
    pub(crate) const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Drops all data. Returns the number of packets that were in flight.
    pub(crate) fn clear(&mut self) -> PerPath {
        let counts = self.in_flight_by_path();
        self.ring.clear();
        self.next = self.ring.end();
        self.reported = self.next;
        self.holes = VecDeque::new();
        self.lost = VecDeque::new();
        self.unsent = 0;
        self.closing = true;
        self.in_flight = 0;
        counts
    }
}

/// Room for the header of a data packet: 22 bytes, and two for the delay option. Packets with other
/// options are rare and encoded separately.
pub(crate) const HEADROOM: usize = 24;
/// Packets that stay allocated when the buffer is empty. Chosen so that an idle stream does not
/// keep the memory of its largest cwnd.
const KEEP_SEGMENTS: usize = 8;

#[cfg(test)]
mod tests;
