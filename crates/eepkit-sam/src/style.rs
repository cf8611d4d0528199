//! Session styles.

use std::{fmt, str::FromStr};

/// The style of a session or subsession.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Style {
    /// Streams.
    Stream,
    /// Datagrams with a sender and a signature.
    Datagram,
    /// As [`Style::Datagram`], in a newer format that prevents replay to another destination and
    /// supports offline keys.
    Datagram2,
    /// Datagrams with a sender but without a signature, so the sender is not authenticated.
    Datagram3,
    /// Datagrams without a sender.
    Raw,
    /// No traffic of its own: subsessions of the other styles share its destination and tunnels.
    Primary,
}

impl Style {
    /// All styles.
    pub const ALL: [Self; 6] = [
        Self::Stream,
        Self::Datagram,
        Self::Datagram2,
        Self::Datagram3,
        Self::Raw,
        Self::Primary,
    ];

    /// The name as it appears on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "STREAM",
            Self::Datagram => "DATAGRAM",
            Self::Datagram2 => "DATAGRAM2",
            Self::Datagram3 => "DATAGRAM3",
            Self::Raw => "RAW",
            Self::Primary => "PRIMARY",
        }
    }

    /// Whether the style sends and receives datagrams of any kind.
    pub const fn is_datagrams(self) -> bool {
        !matches!(self, Self::Stream | Self::Primary)
    }

    /// Whether the style supports keys with an offline signature. [`Style::Datagram`] does not,
    /// because its format has no field for one.
    pub const fn takes_offline_keys(self) -> bool {
        !matches!(self, Self::Datagram)
    }

    /// The I2CP protocol number of the style. `None` for [`Style::Raw`], where the session chooses
    /// it, and for [`Style::Primary`].
    pub const fn protocol(self) -> Option<u8> {
        match self {
            Self::Stream => Some(6),
            Self::Datagram => Some(17),
            Self::Datagram2 => Some(19),
            Self::Datagram3 => Some(20),
            Self::Raw | Self::Primary => None,
        }
    }

    /// The largest payload of a datagram that the specification allows a client to send, in bytes.
    /// Source: sections "Sending Repliable or Raw Datagrams" and "SAM Anonymous (Raw) Datagrams".
    pub const fn max_payload(self) -> usize {
        match self {
            Self::Raw => 32_768,
            _ => 31_744,
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Style {
    type Err = UnknownStyle;

    /// Parses the name of a style. MASTER is the old name of PRIMARY.
    fn from_str(text: &str) -> Result<Self, UnknownStyle> {
        if text == "MASTER" {
            return Ok(Self::Primary);
        }
        Self::ALL
            .into_iter()
            .find(|style| style.as_str() == text)
            .ok_or(UnknownStyle)
    }
}

/// Which streams a session of SAM 1.0 or 2.0 can have. Source: their specifications, "SAM Sessions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// The client opens streams and accepts those of peers.
    Both,
    /// The client only accepts streams of peers.
    Receive,
    /// The client only opens streams. Streams of peers are refused.
    Create,
}

impl Direction {
    /// Parses a value of DIRECTION.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "BOTH" => Some(Self::Both),
            "RECEIVE" => Some(Self::Receive),
            "CREATE" => Some(Self::Create),
            _ => None,
        }
    }

    /// The value as it appears on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "BOTH",
            Self::Receive => "RECEIVE",
            Self::Create => "CREATE",
        }
    }
}

/// The text is not the name of a style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("STYLE is STREAM, DATAGRAM, DATAGRAM2, DATAGRAM3, RAW or PRIMARY")]
pub struct UnknownStyle;

/// The default I2CP protocol number of raw datagrams. Source: specification, "I2CP Ports and
/// Protocol".
pub const DEFAULT_RAW_PROTOCOL: u8 = 18;

/// Protocol numbers that raw datagrams cannot use, because streaming and the datagrams with a
/// sender use them.
pub const RESERVED_PROTOCOLS: [u8; 4] = [6, 17, 19, 20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_round_trip_and_master_is_primary() {
        for style in Style::ALL {
            assert_eq!(style.as_str().parse(), Ok(style));
        }
        assert_eq!("MASTER".parse(), Ok(Style::Primary));
        assert_eq!("stream".parse::<Style>(), Err(UnknownStyle));
        assert_eq!("".parse::<Style>(), Err(UnknownStyle));
    }

    #[test]
    fn every_protocol_number_of_a_style_is_reserved() {
        let mut owned: Vec<u8> = Style::ALL.into_iter().filter_map(Style::protocol).collect();
        owned.sort_unstable();
        assert_eq!(owned, RESERVED_PROTOCOLS);
    }
}
