//! Scheduling of acknowledgements.

use std::time::{Duration, Instant};

use crate::{kind::AckPace, reassembly::Inserted};

/// The state of the acknowledgements of one stream.
#[derive(Debug, Default)]
pub(crate) struct AckState {
    /// Packets that no acknowledgement has covered yet.
    pending: u32,
    /// Packets received so far.
    received: u64,
    last_sent: Option<Instant>,
}

/// The properties of a received packet that determine its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) inserted: Inserted,
    /// The sender requested an immediate acknowledgement.
    pub(crate) asked: bool,
    /// The packet ends the stream.
    pub(crate) close: bool,
    /// Packets are still missing after this one was inserted.
    pub(crate) holes: bool,
}

impl AckState {
    /// Handles a received packet. Returns when the received packets are to be acknowledged.
    pub(crate) fn on_packet(&mut self, now: Instant, pace: &AckPace, arrival: Arrival) -> Instant {
        self.pending = self.pending.saturating_add(1);
        self.received += 1;
        if arrival.close {
            return now;
        }
        // At the start of a stream, every second packet is acknowledged, because the sender's cwnd
        // is small and grows with acknowledgements.
        let enough = if pace.prompt && self.received < FIRST_PACKETS {
            pace.packets.min(2)
        } else {
            pace.packets
        };
        let news = matches!(
            arrival.inserted,
            Inserted::Early { hole: true } | Inserted::InOrder { filled: true }
        );
        let urgent = (pace.prompt && (arrival.asked || news))
            || self.pending >= enough
            || (arrival.holes && pace.every_packet_in_holes);
        if urgent {
            self.earliest(now, pace.spacing)
        } else {
            now + pace.delay
        }
    }

    /// The earliest instant that keeps `spacing` from the last acknowledgement.
    pub(crate) fn earliest(&self, now: Instant, spacing: Duration) -> Instant {
        self.last_sent.map_or(now, |last| now.max(last + spacing))
    }

    /// Records that all received packets are acknowledged.
    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.pending = 0;
        self.last_sent = Some(now);
    }
}

/// Chosen as the cwnd at which Java's slow start ends.
const FIRST_PACKETS: u64 = 64;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]
mod tests {
    use super::*;
    use crate::kind::PeerKind;

    const RTT: Duration = Duration::from_millis(800);

    fn arrival() -> Arrival {
        Arrival {
            inserted: Inserted::InOrder { filled: false },
            asked: false,
            close: false,
            holes: false,
        }
    }

    #[test]
    fn one_packet_waits_and_a_second_does_not_wait_longer() {
        let now = Instant::now();
        let pace = PeerKind::Java.ack_pace(RTT);
        let mut ack = AckState::default();
        assert_eq!(ack.on_packet(now, &pace, arrival()), now + RTT / 16);
        assert_eq!(ack.on_packet(now, &pace, arrival()), now);
    }

    #[test]
    fn this_library_is_acknowledged_rarely_after_the_start() {
        let mut now = Instant::now();
        let pace = PeerKind::Eepkit.ack_pace(RTT);
        let mut ack = AckState::default();
        let mut acks = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(2);
            if ack.on_packet(now, &pace, arrival()) <= now {
                ack.on_sent(now);
                acks += 1;
            }
        }
        assert!((60..=100).contains(&acks), "{acks}");
    }

    #[test]
    fn a_hole_is_reported_at_once_within_the_spacing() {
        let now = Instant::now();
        let pace = PeerKind::Eepkit.ack_pace(RTT);
        let mut ack = AckState::default();
        let hole = Arrival {
            inserted: Inserted::Early { hole: true },
            holes: true,
            ..arrival()
        };
        assert_eq!(ack.on_packet(now, &pace, hole), now);
        ack.on_sent(now);
        assert_eq!(ack.on_packet(now, &pace, hole), now + pace.spacing);
    }

    #[test]
    fn i2pd_gets_delayed_acknowledgements_except_of_the_end() {
        let now = Instant::now();
        let pace = PeerKind::I2pd.ack_pace(RTT);
        let mut ack = AckState::default();
        let hole = Arrival {
            inserted: Inserted::Early { hole: true },
            holes: true,
            ..arrival()
        };
        let asked = Arrival {
            asked: true,
            ..arrival()
        };
        let close = Arrival {
            close: true,
            ..arrival()
        };
        for arrival in [arrival(), hole, asked] {
            assert_eq!(ack.on_packet(now, &pace, arrival), now + pace.delay);
        }
        assert_eq!(ack.on_packet(now, &pace, close), now);
    }

    #[test]
    fn java_gets_an_acknowledgement_per_packet_while_one_is_missing() {
        let now = Instant::now();
        let pace = PeerKind::Java.ack_pace(RTT);
        let mut ack = AckState::default();
        let early = Arrival {
            inserted: Inserted::Early { hole: false },
            holes: true,
            ..arrival()
        };
        for _ in 0..5 {
            assert_eq!(ack.on_packet(now, &pace, early), now);
            ack.on_sent(now);
        }
    }

    #[test]
    fn the_end_and_a_request_are_answered_at_once() {
        let now = Instant::now();
        let pace = PeerKind::Emissary.ack_pace(RTT);
        let asked = Arrival {
            asked: true,
            ..arrival()
        };
        let close = Arrival {
            close: true,
            ..arrival()
        };
        assert_eq!(AckState::default().on_packet(now, &pace, asked), now);
        assert_eq!(AckState::default().on_packet(now, &pace, close), now);
    }
}
