//! The four formats.

use std::fmt;

use eepkit_wire::{Hash, PrivateKeys};

use crate::length::MAX_PACKET_LEN;

/// How a packet is laid out, and with it what it says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Nothing but the payload: nobody knows who sent it.
    Raw,
    /// Destination and signature of the sender. What all routers and libraries understand; without
    /// offline keys, and open to replay to other receivers.
    Datagram1,
    /// Destination and signature of the sender over the payload and the receiver's hash. With
    /// offline keys and options. Since API 0.9.66.
    Datagram2,
    /// The hash of the sender, which proves nothing. With options. Since API 0.9.66.
    Datagram3,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Datagram1, Self::Datagram2, Self::Datagram3];

    /// The I2CP protocol number that stands for the format. Applications may use others.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Datagram1 => 17,
            Self::Raw => 18,
            Self::Datagram2 => 19,
            Self::Datagram3 => 20,
        }
    }

    /// The format that an I2CP protocol number stands for.
    pub const fn from_protocol(protocol: u8) -> Option<Self> {
        match protocol {
            17 => Some(Self::Datagram1),
            18 => Some(Self::Raw),
            19 => Some(Self::Datagram2),
            20 => Some(Self::Datagram3),
            _ => None,
        }
    }

    /// Whether the receiver learns whom to answer.
    pub const fn is_repliable(self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// Whether the receiver can be sure of the sender.
    pub const fn is_authenticated(self) -> bool {
        matches!(self, Self::Datagram1 | Self::Datagram2)
    }

    /// Whether packets carry options beside the payload.
    pub const fn has_options(self) -> bool {
        matches!(self, Self::Datagram2 | Self::Datagram3)
    }

    /// Whether destinations with offline keys can send packets of this format.
    pub const fn takes_offline_keys(self) -> bool {
        !matches!(self, Self::Datagram1)
    }

    /// What the format adds to a payload that is sent with `keys` and without options, in bytes.
    pub fn overhead(self, keys: &PrivateKeys) -> usize {
        let destination = keys.destination().as_bytes().len();
        let signature = keys.signature_type().signature_len().unwrap_or_default();
        match self {
            Self::Raw => 0,
            Self::Datagram1 => destination + signature,
            Self::Datagram2 => {
                let offline = keys.offline().map_or(0, |offline| {
                    // Expiry and type of the transient key, its bytes, and the signature.
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

/// Bytes of the flags of Datagram2 and 3.
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
