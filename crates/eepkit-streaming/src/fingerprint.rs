//! Recognises peers that run this library by their behaviour. Their packets have no such field.
//!
//! The first packet of this library looks like Java's. Only behaviour that Java never has is
//! evidence. This library acknowledges every second packet at the start of a stream. Java
//! acknowledges packets that request it, and others after half a second. The initial cwnd of this
//! library is many times larger. Its SYN is retransmitted sooner, and again with a request for an
//! immediate acknowledgement.
//!
//! Java remembers the cwnd of a destination for ten minutes. Its first packet requests an immediate
//! acknowledgement only if the cwnd is at most 3. A first packet that looks like Java's and has no
//! such request is therefore Java's, and its sender is not observed. If the sender of a first packet
//! with such a request is Java, its cwnd is at most 3.

use std::time::{Duration, Instant};

use crate::{path::PathId, sent_packet::AckedPacket};

/// Observations of the peer's behaviour on one stream.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint {
    /// The time from the last packet that requested an acknowledgement to its acknowledgement, with
    /// the path of the packet, and the minimum of these times.
    answer: Option<(PathId, Duration)>,
    min_answer: Option<Duration>,
    /// When the peer answered our SYN.
    accepted: Option<Instant>,
    /// Number of plain acknowledgements of new packets, and of those that Java would not have sent.
    acks: u32,
    unasked: u32,
    /// When a round trip began, and the sequence number that it began with.
    round: Option<(Instant, u32)>,
    /// When we first sent an acknowledgement.
    acked: Option<Instant>,
    /// When the peer's SYN first arrived, and whether it was retransmitted as only this library
    /// does. Java's default is nine seconds.
    opened: Option<Instant>,
    repeated: bool,
}

/// The packets that were not acknowledged before one acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    /// When the oldest of them was sent, and on which path.
    oldest: Option<(Instant, PathId)>,
    /// When the newest packet that requested an acknowledgement was sent.
    asked: Option<Instant>,
    /// One of them was retransmitted, or took another path.
    is_mixed: bool,
}

impl Covered {
    pub(crate) fn add(&mut self, packet: &AckedPacket) {
        let sent = &packet.sent;
        let (oldest, path) = self.oldest.unwrap_or((sent.sent_at, sent.path));
        self.oldest = Some((oldest.min(sent.sent_at), path));
        self.is_mixed |= packet.transmissions > 1 || sent.path != path;
        if sent.asks {
            self.asked = self.asked.max(Some(sent.sent_at));
        }
    }
}

impl Fingerprint {
    /// Handles an acknowledgement of new packets. `is_plain` states that it carries no data.
    /// Returns whether the peer certainly runs this library.
    ///
    /// Java sends a plain acknowledgement on request, half a second after a packet without a
    /// request, and after a duplicate. Duplicates are rare, so few of Java's acknowledgements have no
    /// visible reason.
    pub(crate) fn on_ack(&mut self, now: Instant, covered: &Covered, is_plain: bool) -> bool {
        let Some((oldest, path)) = covered.oldest.filter(|_| !covered.is_mixed) else {
            return false;
        };
        if let Some(asked) = covered.asked
            && self.accepted.is_none_or(|accepted| asked >= accepted)
        {
            let answer = now.saturating_duration_since(asked);
            self.answer = Some((path, answer));
            self.min_answer = Some(self.min_answer.map_or(answer, |least| least.min(answer)));
        }
        if !is_plain {
            return false;
        }
        self.acks = self.acks.saturating_add(1);
        if covered.asked.is_none()
            && let Some((same, answer)) = self.answer
            && same == path
            && now.saturating_duration_since(oldest) < answer + UNASKED_MARGIN
        {
            self.unasked = self.unasked.saturating_add(1);
        }
        self.unasked >= UNASKED_ACKS && self.unasked.saturating_mul(UNASKED_SHARE) > self.acks
    }

    /// Handles the answer to our SYN. The time that it took is no evidence about the path, because
    /// Java answers when its application accepts the stream.
    pub(crate) fn on_accepted(&mut self, now: Instant) {
        self.accepted = Some(now);
        self.answer = None;
        self.min_answer = None;
    }

    /// Handles the report that the peer buffers `buffered` packets behind a missing one. Returns
    /// whether the peer certainly runs this library.
    pub(crate) const fn on_buffered(buffered: u32) -> bool {
        buffered > JAVA_MAX_BUFFERED_PACKETS + JAVA_MAX_BUFFERED_PACKETS / 4
    }

    /// Handles a SYN of the peer, the first or a retransmission. `asks` states whether it requests
    /// an immediate acknowledgement. A retransmission of Java does not.
    pub(crate) fn on_syn(&mut self, now: Instant, asks: bool) {
        let opened = *self.opened.get_or_insert(now);
        let after = now.saturating_duration_since(opened);
        self.repeated |=
            asks && after.abs_diff(OUR_SYN_RETRANSMISSION) <= SYN_RETRANSMISSION_JITTER;
    }

    /// Records that an acknowledgement is sent.
    pub(crate) fn on_ack_sent(&mut self, now: Instant) {
        self.acked.get_or_insert(now);
    }

    /// Handles the arrival of packet `seq`. Returns whether the peer certainly runs this library:
    /// Java sends three packets before the first acknowledgement, and six more in the next round
    /// trip. `initiator` states whether this side opened the stream.
    ///
    /// Later, Java never sends more than its largest cwnd in a round trip.
    ///
    /// If the round trip is longer than the retransmission interval of SYN, our answer was sent
    /// twice and `rtt` is not known. Then the retransmission is the only evidence. It is used late.
    /// At that time, the peer has recognised this side by its acknowledgements, and this side can
    /// send fewer of them.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        seq: u32,
        rtt: Option<Duration>,
        initiator: bool,
    ) -> bool {
        let Some(rtt) = rtt else {
            return self.repeated && seq > RECOGNITION_PACKETS;
        };
        let (began, first) = *self.round.get_or_insert((now, seq));
        if now.saturating_duration_since(began) > self.lower_bound(rtt) {
            self.round = Some((now, seq));
        } else if seq.saturating_sub(first) > JAVA_MAX_CWND + JAVA_MAX_CWND / 4 {
            return true;
        }
        // Packets that arrive until then were sent when the peer had only our answer to its SYN.
        // Java needs another round trip for so many, so its delay does not matter.
        let rtt = self.measured(rtt);
        let (most, unaware) = if initiator {
            (JAVA_INITIAL_CWND * 4, rtt * 9 / 10)
        } else {
            (JAVA_INITIAL_CWND * 5, rtt * 9 / 5)
        };
        self.acked
            .is_some_and(|acked| seq > most && now.saturating_duration_since(acked) < unaware)
    }

    /// The round-trip time, including the time that the peer took to acknowledge. `smoothed`
    /// includes the time that the application took to accept the stream.
    fn measured(&self, smoothed: Duration) -> Duration {
        match self.min_answer {
            Some(answer) => answer.min(smoothed),
            // Chosen so that an application can accept a stream up to three round trips late.
            None => smoothed / 4,
        }
    }

    /// A lower bound of the true round-trip time.
    fn lower_bound(&self, smoothed: Duration) -> Duration {
        let measured = self.measured(smoothed);
        // Java's delay is also at most an eighth of its own estimate.
        measured
            .saturating_sub(JAVA_MAX_ACK_DELAY)
            .max(measured / 2)
    }
}

/// Upper bound of Java's delay of a requested acknowledgement, which is an eighth of a round trip.
const JAVA_MAX_ACK_DELAY: Duration = Duration::from_millis(120);
/// Java's initial cwnd.
const JAVA_INITIAL_CWND: u32 = 3;
/// When this library retransmits SYN: after a third of the initial timeout.
const OUR_SYN_RETRANSMISSION: Duration = Duration::from_secs(3);
/// The largest difference of the tunnel delays of two packets.
const SYN_RETRANSMISSION_JITTER: Duration = Duration::from_millis(600);
/// The number of packets after which a peer that runs this library has recognised this side. Chosen
/// as 1.5 times the number measured in the emulator at a round-trip time of 3 s and 2 % loss.
const RECOGNITION_PACKETS: u32 = 750;
/// Packets that Java buffers behind a missing one.
const JAVA_MAX_BUFFERED_PACKETS: u32 = 130;
/// Java's largest cwnd.
const JAVA_MAX_CWND: u32 = 128;
/// Java sends an acknowledgement at most 120 ms after a packet that requests it, and 500 ms after
/// other packets. An acknowledgement without a request that took at most this much longer than a
/// requested one is not Java's. The value is half of the difference.
const UNASKED_MARGIN: Duration = Duration::from_millis(190);
/// The required number of acknowledgements that Java would not have sent. One is not enough, because
/// duplicates in the network make Java send some.
const UNASKED_ACKS: u32 = 5;
/// At least one in this many acknowledgements must be of this kind.
const UNASKED_SHARE: u32 = 4;

#[cfg(test)]
mod tests;
