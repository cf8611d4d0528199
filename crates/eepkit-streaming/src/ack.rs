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
    /// When a packet last requested an acknowledgement, until data is sent.
    request: Option<Instant>,
    /// Whether the last request was answered with data within [`answer_time`]. The next answer of
    /// the application is then expected to carry the acknowledgement. The answer to a SYN counts too,
    /// because most streams begin with a question.
    answers: bool,
}

/// The properties of a received packet that determine its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) inserted: Inserted,
    /// The sender requested an immediate acknowledgement.
    pub(crate) asked: bool,
    /// The packet is not full, so that it may end a message.
    pub(crate) short: bool,
    /// The packet ends the stream.
    pub(crate) close: bool,
    /// Packets are still missing after this one was inserted.
    pub(crate) holes: bool,
}

impl AckState {
    /// Handles a received packet. Returns when the received packets are to be acknowledged.
    ///
    /// If an answer of the application is expected, a requested acknowledgement waits for it. An
    /// exchange of short messages then takes half as many packets.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        rtt: Duration,
        pace: &AckPace,
        arrival: Arrival,
    ) -> Instant {
        self.pending = self.pending.saturating_add(1);
        self.received += 1;
        if arrival.asked {
            self.request = Some(now);
        }
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
        let urgent = (pace.prompt && news)
            || self.pending >= enough
            || (arrival.holes && pace.every_packet_in_holes);
        if urgent {
            return self.earliest(now, pace.spacing);
        }
        if !(pace.prompt && arrival.asked) {
            return now + pace.delay;
        }
        let at = self.earliest(now, pace.spacing);
        let is_next = arrival.inserted == Inserted::InOrder { filled: false } && !arrival.holes;
        if self.answers && is_next && arrival.short {
            at.max(now + answer_time(rtt))
        } else {
            at
        }
    }

    /// The earliest instant that keeps `spacing` from the last acknowledgement.
    pub(crate) fn earliest(&self, now: Instant, spacing: Duration) -> Instant {
        self.last_sent.map_or(now, |last| now.max(last + spacing))
    }

    /// Records that a packet without data acknowledges all received packets.
    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.pending = 0;
        self.last_sent = Some(now);
        self.answers = false;
    }

    /// Records that a packet with data acknowledges all received packets.
    pub(crate) fn on_sent_with_data(&mut self, now: Instant, rtt: Duration) {
        self.pending = 0;
        self.last_sent = Some(now);
        if let Some(request) = self.request.take() {
            self.answers = now.saturating_duration_since(request) <= answer_time(rtt);
        }
    }
}

/// The time that an application may take for an answer with which its acknowledgement waits. Short
/// compared to the RTT, because the peer measures it as a part of the RTT. The limits are chosen as
/// the resolution of tokio's timer, and as a time in which a local server answers.
fn answer_time(rtt: Duration) -> Duration {
    (rtt / 8).clamp(Duration::from_millis(1), Duration::from_millis(5))
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
            short: true,
            close: false,
            holes: false,
        }
    }

    #[test]
    fn one_packet_waits_and_a_second_does_not_wait_longer() {
        let now = Instant::now();
        let pace = PeerKind::Java.ack_pace(RTT);
        let mut ack = AckState::default();
        assert_eq!(ack.on_packet(now, RTT, &pace, arrival()), now + RTT / 16);
        assert_eq!(ack.on_packet(now, RTT, &pace, arrival()), now);
    }

    #[test]
    fn this_library_is_acknowledged_rarely_after_the_start() {
        let mut now = Instant::now();
        let pace = PeerKind::Eepkit.ack_pace(RTT);
        let mut ack = AckState::default();
        let mut acks = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(2);
            if ack.on_packet(now, RTT, &pace, arrival()) <= now {
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
        assert_eq!(ack.on_packet(now, RTT, &pace, hole), now);
        ack.on_sent(now);
        assert_eq!(ack.on_packet(now, RTT, &pace, hole), now + pace.spacing);
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
            assert_eq!(ack.on_packet(now, RTT, &pace, arrival), now + pace.delay);
        }
        assert_eq!(ack.on_packet(now, RTT, &pace, close), now);
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
            assert_eq!(ack.on_packet(now, RTT, &pace, early), now);
            ack.on_sent(now);
        }
    }

    #[test]
    fn a_request_waits_for_the_application_if_it_answered_the_last_one() {
        let start = Instant::now();
        let pace = PeerKind::Eepkit.ack_pace(RTT);
        let asked = Arrival {
            asked: true,
            ..arrival()
        };
        let ms = Duration::from_millis;
        let mut ack = AckState::default();
        assert_eq!(ack.on_packet(start, RTT, &pace, asked), start);
        ack.on_sent(start);
        ack.on_sent_with_data(start + ms(3), RTT);

        let second = start + ms(900);
        assert_eq!(ack.on_packet(second, RTT, &pace, asked), second + ms(5));
        ack.on_sent_with_data(second + ms(2), RTT);

        let third = start + ms(1800);
        assert_eq!(ack.on_packet(third, RTT, &pace, asked), third + ms(5));
        // The application is slower this time.
        ack.on_sent(third + ms(5));
        ack.on_sent_with_data(third + ms(40), RTT);

        let fourth = start + ms(2700);
        assert_eq!(ack.on_packet(fourth, RTT, &pace, asked), fourth);
    }

    #[test]
    fn an_expected_answer_delays_no_report_of_the_end_a_hole_a_duplicate_or_a_full_packet() {
        let start = Instant::now();
        let pace = PeerKind::Eepkit.ack_pace(RTT);
        let mut ack = AckState::default();
        let asked = Arrival {
            asked: true,
            ..arrival()
        };
        ack.on_packet(start, RTT, &pace, asked);
        ack.on_sent_with_data(start, RTT);

        let now = start + RTT;
        let close = Arrival {
            close: true,
            ..asked
        };
        assert_eq!(ack.on_packet(now, RTT, &pace, close), now);
        let hole = Arrival {
            inserted: Inserted::Early { hole: true },
            holes: true,
            ..asked
        };
        assert_eq!(ack.on_packet(now, RTT, &pace, hole), now);
        let duplicate = Arrival {
            inserted: Inserted::Duplicate,
            ..asked
        };
        assert_eq!(ack.on_packet(now, RTT, &pace, duplicate), now);
        let full = Arrival {
            short: false,
            ..asked
        };
        assert_eq!(ack.on_packet(now, RTT, &pace, full), now);
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
        assert_eq!(AckState::default().on_packet(now, RTT, &pace, asked), now);
        assert_eq!(AckState::default().on_packet(now, RTT, &pace, close), now);
    }
}
