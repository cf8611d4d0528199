//! Deviations of other software from the specification of Datagram2.

use std::fmt;

/// How the sender of a Datagram2 implements the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// As specified: the signature covers the hash of the receiver.
    #[default]
    Specified,
    /// i2pd 2.58 signs its own hash instead of the receiver's. Such a packet is valid for every
    /// receiver.
    I2pd,
    /// emissary-core 0.4.0 writes the two bytes of the flags in reverse order. It cannot receive
    /// Datagram2: a short packet in this dialect makes its session panic.
    Emissary,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Specified => "the specification",
            Self::I2pd => "i2pd",
            Self::Emissary => "emissary",
        })
    }
}

/// The dialects of Datagram2 that are accepted besides the specified one; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dialects {
    /// Accepts [`Dialect::I2pd`]. Any receiver of such a packet can replay it to this one, as with
    /// Datagram1.
    pub i2pd: bool,
    /// Accepts [`Dialect::Emissary`]. This does not weaken the signature.
    pub emissary: bool,
}

impl Dialects {
    /// Only the specified form.
    pub const NONE: Self = Self {
        i2pd: false,
        emissary: false,
    };

    /// All dialects.
    pub const ALL: Self = Self {
        i2pd: true,
        emissary: true,
    };
}
