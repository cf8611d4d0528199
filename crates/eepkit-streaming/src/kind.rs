//! The streaming implementation a peer runs, and the limits that follow from it.
//!
//! All behaviour that is specific to one implementation is defined here, with tests. The first
//! packet is a hint. If the hint is wrong, the peer is only treated more carefully than necessary.

use std::time::Duration;

use crate::mtu::DEFAULT_MTU;

/// The streaming implementation of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PeerKind {
    /// Not recognised. Treated as Java I2P, which has the strictest limits.
    #[default]
    Unknown,
    /// Java I2P.
    Java,
    /// I2P+, a fork of Java I2P.
    I2pPlus,
    /// i2pd.
    I2pd,
    /// emissary.
    Emissary,
    /// This library.
    Eepkit,
}

impl PeerKind {
    /// Guesses the kind from a SYN packet: its resend delay byte, and whether it has a maximum
    /// size.
    ///
    /// Java sends a constant of 1 s. i2pd and go-i2p send their initial timeout of 9 s. emissary
    /// and I2P+ send zero, and only emissary omits the maximum size. This library sends the same as
    /// Java, and is recognised later; see [`crate::fingerprint`].
    pub(crate) const fn from_syn(resend_delay: u8, names_max_size: bool) -> Self {
        match (resend_delay, names_max_size) {
            (1, true) => Self::Java,
            (9, true) => Self::I2pd,
            (0, true) => Self::I2pPlus,
            (0, false) => Self::Emissary,
            _ => Self::Unknown,
        }
    }

    /// Maximum number of packets of one stream in flight. `lossy` states that a packet was lost in
    /// the last minute.
    pub(crate) const fn max_in_flight(self, lossy: bool) -> u32 {
        match self {
            // Java buffers 130 packets behind a missing one.
            Self::Unknown | Self::Java => {
                if lossy {
                    120
                } else {
                    255
                }
            }
            Self::I2pPlus => 384,
            // i2pd drops packets 1,536 or more beyond the last in-order packet.
            Self::I2pd => 1024,
            // As in `max_ahead`. emissary queues as many packets.
            Self::Emissary => 508,
            Self::Eepkit => 4096,
        }
    }

    /// Maximum number of packets that are sent before the answer to SYN, including SYN, if the kind
    /// is known from an earlier stream. The specification allows the initial cwnd.
    pub(crate) const fn max_early(self) -> u32 {
        match self {
            // emissary buffers six packets and resets the stream at the next.
            Self::Unknown | Self::Emissary => 6,
            // These accept packets at the start of a stream as in any later phase.
            Self::Java | Self::I2pPlus => 100,
            Self::I2pd | Self::Eepkit => 512,
        }
    }

    /// The largest payload, in bytes, if the peer does not send the option.
    pub(crate) const fn default_mtu(self) -> u16 {
        match self {
            // emissary never sends the option, uses 1812 itself, and accepts any size.
            Self::Emissary => 1812,
            // Streaming documentation, "MTU".
            _ => DEFAULT_MTU,
        }
    }

    /// Maximum distance of the newest packet from the oldest one that is not acknowledged.
    pub(crate) const fn max_span(self, lossy: bool) -> u32 {
        match self {
            // Java encodes its number of missing packets in one byte without limiting it.
            Self::Unknown | Self::Java | Self::I2pPlus => 255,
            // emissary buffers all packets that arrive; see `max_ahead`.
            Self::Emissary => 2048,
            Self::I2pd => {
                // The reassembly buffer of i2pd accepts fewer than 256 missing packets, and no gap
                // of 256 packets.
                if lossy { 1024 } else { 1400 }
            }
            Self::Eepkit => 8000,
        }
    }

    /// Maximum distance of the newest packet from the newest one that is known to have arrived.
    pub(crate) const fn max_ahead(self) -> u32 {
        match self {
            // emissary ends the stream on a packet more than 512 beyond the highest one received.
            Self::Emissary => 508,
            _ => u32::MAX,
        }
    }

    /// Maximum number of missing packets that the acknowledgements and buffers of the peer can
    /// represent.
    pub(crate) const fn max_holes(self) -> u32 {
        match self {
            Self::I2pd => 200,
            _ => 250,
        }
    }

    /// With several active paths, the maximum number of packets that overtake one on a longer path.
    /// It is below the number of missing packets that the peer accepts. It is also below half of
    /// the number of messages (320) for which the encryption session of a router keeps keys ahead.
    pub(crate) const fn max_overtaken(self) -> u32 {
        match self {
            Self::Eepkit => 150,
            _ => 100,
        }
    }

    /// Whether spurious retransmissions have a cost besides bandwidth. i2pd treats a duplicate as a
    /// sign that its own packets are lost: it changes tunnels and resets its cwnd.
    pub(crate) const fn dislikes_duplicates(self) -> bool {
        matches!(self, Self::I2pd)
    }

    /// Whether the peer signals the end of choking, and waits for such a signal. A choke of i2pd and
    /// emissary applies to one acknowledgement only, and they never signal the end. i2pd sends again
    /// after any acknowledgement without a choke, and emissary does not stop.
    pub(crate) const fn unchokes_explicitly(self) -> bool {
        !matches!(self, Self::I2pd | Self::Emissary)
    }

    /// Number of packets in flight for which there must still be room when the peer is choked: its
    /// cwnd, or what it is likely to have in flight.
    ///
    /// Without this reserve, a third of what is sent to a slow reader would be dropped. Java waits
    /// up to 45 s before it retransmits such packets, and keeps cwnd small for minutes afterwards.
    pub(crate) const fn packets_after_choke(self) -> usize {
        match self {
            Self::Unknown | Self::Java => 128,
            Self::I2pPlus => 384,
            Self::I2pd | Self::Eepkit => 512,
            // emissary ignores choking.
            Self::Emissary => 0,
        }
    }

    /// Whether a choking value only means that the peer dropped all packets that it does not
    /// acknowledge. i2pd sends it if too many packets are missing at once.
    pub(crate) const fn asks_to_go_back(self, delay: u16) -> bool {
        matches!(self, Self::I2pd) && delay == u16::MAX
    }

    /// Whether choking means that the peer has no room. emissary chokes if more packets are missing
    /// than an acknowledgement can list. Then the missing packets must be retransmitted.
    pub(crate) const fn chokes_for_room(self) -> bool {
        !matches!(self, Self::Emissary)
    }

    /// The smallest delay value that means choking. i2pd chokes with 60,000. In the specification,
    /// that is the largest value that does not mean choking.
    pub(crate) const fn choke_threshold(self) -> u16 {
        match self {
            Self::I2pd => 60_000,
            _ => 60_001,
        }
    }

    /// The pace of acknowledgements at which the peer sends fastest.
    pub(crate) fn ack_pace(self, rtt: Duration) -> AckPace {
        let ms = Duration::from_millis;
        match self {
            // Java retransmits a packet after three acknowledgements that report it missing, so
            // every packet is acknowledged while one is missing. Java requests the acknowledgements
            // that it needs. Otherwise, acknowledging every fourth packet is as good as every
            // packet.
            Self::Unknown | Self::Java | Self::I2pPlus => AckPace {
                packets: 4,
                delay: (rtt / 16).clamp(ms(1), ms(120)),
                spacing: Duration::ZERO,
                every_packet_in_holes: true,
                prompt: true,
            },
            // Every acknowledgement restarts the send timer of i2pd, and its RTT samples should not
            // depend on which packet is acknowledged. Acknowledgements are therefore few and evenly
            // spaced, regardless of requests. i2pd retransmits packets by their age, so earlier
            // reports of missing packets have no benefit.
            Self::I2pd => AckPace {
                packets: u32::MAX,
                delay: (rtt / 12).clamp(ms(60), ms(190)),
                spacing: ms(30),
                every_packet_in_holes: false,
                prompt: false,
            },
            // The cwnd of emissary grows with each acknowledged packet, independent of how many one
            // acknowledgement covers.
            Self::Emissary => AckPace {
                packets: 2,
                delay: (rtt / 32).clamp(ms(1), ms(20)),
                spacing: Duration::ZERO,
                every_packet_in_holes: false,
                prompt: true,
            },
            Self::Eepkit => AckPace {
                packets: 16,
                delay: (rtt / 16).clamp(ms(1), ms(120)),
                spacing: (rtt / 32).min(ms(60)),
                every_packet_in_holes: false,
                prompt: true,
            },
        }
    }

    /// Maximum delay of an acknowledgement by the peer, unless an immediate one was requested.
    pub(crate) fn max_ack_delay(self, rtt: Duration) -> Duration {
        match self {
            Self::Unknown | Self::Java | Self::I2pPlus => Duration::from_millis(500),
            Self::I2pd | Self::Emissary => Duration::from_millis(200),
            Self::Eepkit => (rtt / 16).max(Duration::from_millis(25)),
        }
    }
}

/// The rules for sending acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckPace {
    /// An acknowledgement is sent after this many packets.
    pub(crate) packets: u32,
    /// The largest delay of an acknowledgement after a packet.
    pub(crate) delay: Duration,
    /// The least time between two acknowledgements.
    pub(crate) spacing: Duration,
    /// Whether every packet is acknowledged at once while one is missing.
    pub(crate) every_packet_in_holes: bool,
    /// Whether acknowledgements are sent earlier on request, when a gap opens or closes, and at the
    /// start of a stream.
    pub(crate) prompt: bool,
}

/// The resend delay byte of our packets: the value of Java, which is the most common one. It has no
/// effect.
pub(crate) const OUR_RESEND_DELAY: u8 = 1;
/// The choking value of Java and its forks. No other implementation uses it.
pub(crate) const JAVA_CHOKE_DELAY_MS: u16 = 61_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_identifies_the_implementation() {
        let table = [
            (1, true, PeerKind::Java),
            (9, true, PeerKind::I2pd),
            (0, false, PeerKind::Emissary),
            (0, true, PeerKind::I2pPlus),
            (3, true, PeerKind::Unknown),
            (3, false, PeerKind::Unknown),
            (200, true, PeerKind::Unknown),
        ];
        for (delay, size, kind) in table {
            assert_eq!(PeerKind::from_syn(delay, size), kind);
        }
    }

    #[test]
    fn an_unknown_peer_is_treated_like_java() {
        for lossy in [false, true] {
            assert_eq!(
                PeerKind::Unknown.max_in_flight(lossy),
                PeerKind::Java.max_in_flight(lossy)
            );
            assert_eq!(
                PeerKind::Unknown.max_span(lossy),
                PeerKind::Java.max_span(lossy)
            );
        }
    }

    #[test]
    fn no_java_peer_is_ever_more_than_255_packets_behind() {
        for kind in [PeerKind::Unknown, PeerKind::Java, PeerKind::I2pPlus] {
            assert!(kind.max_span(false) <= 255);
        }
    }

    #[test]
    fn i2pd_is_acknowledged_evenly_and_not_more_than_17_times_a_second() {
        for rtt in [1, 520, 3000].map(Duration::from_millis) {
            let pace = PeerKind::I2pd.ack_pace(rtt);
            assert!(!pace.prompt && pace.packets == u32::MAX);
            assert!(pace.delay >= Duration::from_millis(60), "{rtt:?}");
            assert!(pace.delay < Duration::from_millis(200), "{rtt:?}");
        }
    }

    #[test]
    fn i2pd_chokes_with_a_lower_value_than_others() {
        assert_eq!(PeerKind::I2pd.choke_threshold(), 60_000);
        assert_eq!(PeerKind::Java.choke_threshold(), 60_001);
    }
}
