//! Sizes of packets, and the number of tunnel messages that carry them.

/// The payload length of at most `size` with the most bytes per tunnel message.
///
/// Two tunnel messages carry a payload of 1812 bytes with all headers. Each further message carries
/// 996 bytes more. A slightly larger packet needs another message that is nearly empty. A packet is
/// lost if one of its messages is lost.
pub(crate) fn fitting(size: usize) -> usize {
    let Some(beyond) = size.checked_sub(TWO_MESSAGES) else {
        return size;
    };
    let further = beyond / FURTHER_MESSAGE;
    let full = TWO_MESSAGES + further * FURTHER_MESSAGE;
    let fuller = size * (further + 2) >= full * (further + 3);
    if fuller { size } else { full }
}

/// Number of tunnel messages of a packet with this payload.
pub(crate) fn tunnel_messages(payload: usize) -> usize {
    payload
        .saturating_sub(TWO_MESSAGES)
        .div_ceil(FURTHER_MESSAGE)
        + 2
}

/// Payload of a packet that fits into one tunnel message. It could have 824 bytes, but i2pd pads
/// messages by up to 19 bytes unless they fill two tunnel messages.
pub(crate) const ONE_MESSAGE: usize = 800;
/// Payload of a packet that fills two tunnel messages (streaming documentation, "MTU").
pub(crate) const TWO_MESSAGES: usize = 1812;
/// Bytes in a follow-on fragment (tunnel message specification): 1003 less a header of 7.
const FURTHER_MESSAGE: usize = 996;
/// Streaming documentation, "Other Parameters": MIN_MESSAGE_SIZE.
pub(crate) const MIN_MTU: u16 = 512;
/// Chosen because a message of 16 tunnel fragments is lost too often to be useful.
pub(crate) const MAX_MTU: u16 = 16_384;
/// Streaming documentation, "MTU": the value for a peer that does not send its maximum.
pub(crate) const DEFAULT_MTU: u16 = 1730;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_wastes_a_tunnel_message_is_reduced() {
        let table = [
            (512, 512),
            (1730, 1730),
            (1812, 1812),
            (1813, 1812),
            (2500, 1812),
            (2730, 2730),
            (2808, 2808),
            (3000, 2808),
            (3804, 3804),
            (4000, 3804),
        ];
        for (size, expected) in table {
            assert_eq!(fitting(size), expected, "{size}");
        }
    }

    #[test]
    fn tunnel_messages_of_full_packets_are_full() {
        for (payload, messages) in [(1812, 2), (1813, 3), (2808, 3), (2809, 4), (3804, 4)] {
            assert_eq!(tunnel_messages(payload), messages, "{payload}");
        }
    }
}
