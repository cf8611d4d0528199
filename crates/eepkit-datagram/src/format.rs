//! The four datagram formats.

use std::fmt;

use eepkit_wire::{Hash, PrivateKeys};

use crate::length::MAX_PACKET_LEN;

/// The layout of a packet, which also determines what it contains about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Only the payload. The sender is unknown.
    Raw,
    /// The sender's destination, and its signature of the payload. All routers and libraries
    /// support it. It does not support offline keys, and a receiver can replay a packet to other
    /// receivers.
    Datagram1,
    /// The sender's destination, and its signature of the payload and the receiver's hash. It
    /// supports offline keys and options. Since API 0.9.66.
    Datagram2,
    /// The hash of the sender, without any proof. It supports options. Since API 0.9.66.
    Datagram3,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Datagram1, Self::Datagram2, Self::Datagram3];

    /// The I2CP protocol number of the format. Applications may use others.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Datagram1 => 17,
            Self::Raw => 18,
            Self::Datagram2 => 19,
            Self::Datagram3 => 20,
        }
    }

    /// The format of an I2CP protocol number, or `None` if the number is not that of a datagram
    /// format.
    pub const fn from_protocol(protocol: u8) -> Option<Self> {
        match protocol {
            17 => Some(Self::Datagram1),
            18 => Some(Self::Raw),
            19 => Some(Self::Datagram2),
            20 => Some(Self::Datagram3),
            _ => None,
        }
    }

    /// Whether a packet contains its sender, so that the receiver can reply.
    pub const fn is_repliable(self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// Whether a packet proves its sender.
    pub const fn is_authenticated(self) -> bool {
        matches!(self, Self::Datagram1 | Self::Datagram2)
    }

    /// Whether packets can contain options.
    pub const fn has_options(self) -> bool {
        matches!(self, Self::Datagram2 | Self::Datagram3)
    }

    /// Whether destinations with offline keys can send packets of this format.
    pub const fn takes_offline_keys(self) -> bool {
        !matches!(self, Self::Datagram1)
    }

    /// The number of bytes that the format adds to a payload sent with `keys` and without options.
    pub fn overhead(self, keys: &PrivateKeys) -> usize {
        let destination = keys.destination().as_bytes().len();
        let signature = keys.signature_type().signature_len().unwrap_or_default();
        match self {
            Self::Raw => 0,
            Self::Datagram1 => destination + signature,
            Self::Datagram2 => {
                let offline = keys.offline().map_or(0, |offline| {
                    // 6 bytes for expiration and type of the transient key, then key and signature.
                    6 + offline.transient().as_bytes().len() + offline.signature().as_bytes().len()
                });
                destination + FLAGS_LEN + offline + signature
            }
            Self::Datagram3 => Hash::LENGTH + FLAGS_LEN,
        }
    }

    /// The longest payload that can be sent with `keys` and without options, in bytes.
    pub fn max_payload_len(self, keys: &PrivateKeys) -> usize {
        MAX_PACKET_LEN.saturating_sub(self.overhead(keys))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "raw",
            Self::Datagram1 => "Datagram1",
            Self::Datagram2 => "Datagram2",
            Self::Datagram3 => "Datagram3",
        })
    }
}

/// The length of the flags of Datagram2 and Datagram3, in bytes.
const FLAGS_LEN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_protocol_number() {
        for format in Format::ALL {
            assert_eq!(Format::from_protocol(format.protocol()), Some(format));
        }
        assert_eq!(Format::from_protocol(6), None);
        assert_eq!(Format::from_protocol(0), None);
    }
}
