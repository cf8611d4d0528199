//! What a session carries.

use std::{fmt, str::FromStr};

/// The style of a session or subsession.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Style {
    /// Streams.
    Stream,
    /// Datagrams that say who sent them, signed.
    Datagram,
    /// As [`Style::Datagram`], in the newer format: no replay to another destination, offline keys.
    Datagram2,
    /// Datagrams that say who sent them, unsigned: anybody can claim to be anybody.
    Datagram3,
    /// Datagrams without a sender.
    Raw,
    /// Nothing itself: subsessions of the other styles share its destination and tunnels.
    Primary,
}

impl Style {
    /// Every style.
    pub const ALL: [Self; 6] = [
        Self::Stream,
        Self::Datagram,
        Self::Datagram2,
        Self::Datagram3,
        Self::Raw,
        Self::Primary,
    ];

    /// The word for it.
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

    /// Whether it sends and receives datagrams of any kind.
    pub const fn is_datagrams(self) -> bool {
        !matches!(self, Self::Stream | Self::Primary)
    }

    /// Whether keys with an offline signature can be used: not where the format of the datagrams
    /// has no place for one.
    pub const fn takes_offline_keys(self) -> bool {
        !matches!(self, Self::Datagram)
    }

    /// The I2CP protocol number of what it sends; that of [`Style::Raw`] is the session's choice.
    pub const fn protocol(self) -> Option<u8> {
        match self {
            Self::Stream => Some(6),
            Self::Datagram => Some(17),
            Self::Datagram2 => Some(19),
            Self::Datagram3 => Some(20),
            Self::Raw | Self::Primary => None,
        }
    }

    /// The longest payload of a datagram that the specification lets a client send, in bytes:
    /// sections "Sending Repliable or Raw Datagrams" and "SAM Anonymous (Raw) Datagrams".
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

    /// The word as it is written; MASTER is the old word for PRIMARY.
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

/// No style has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("STYLE is STREAM, DATAGRAM, DATAGRAM2, DATAGRAM3, RAW or PRIMARY")]
pub struct UnknownStyle;

/// The protocol of raw datagrams where nothing else is said: specification, "I2CP Ports and
/// Protocol".
pub const DEFAULT_RAW_PROTOCOL: u8 = 18;

/// Protocols that raw datagrams cannot be sent with, because others own them: streaming, and the
/// datagrams that say who sent them.
pub const RESERVED_PROTOCOLS: [u8; 4] = [6, 17, 19, 20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_read_as_they_are_written_and_master_is_primary() {
        for style in Style::ALL {
            assert_eq!(style.as_str().parse(), Ok(style));
        }
        assert_eq!("MASTER".parse(), Ok(Style::Primary));
        assert_eq!("stream".parse::<Style>(), Err(UnknownStyle));
        assert_eq!("".parse::<Style>(), Err(UnknownStyle));
    }

    #[test]
    fn every_protocol_that_a_style_owns_is_reserved() {
        let mut owned: Vec<u8> = Style::ALL.into_iter().filter_map(Style::protocol).collect();
        owned.sort_unstable();
        assert_eq!(owned, RESERVED_PROTOCOLS);
    }
}
