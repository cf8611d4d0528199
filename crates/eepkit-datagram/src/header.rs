//! The flags and options of Datagram2 and Datagram3.

use eepkit_wire::{Codec, DecodeError, Mapping, Reader};

/// Bits 3 to 0: the version.
const VERSION: u16 = 0x0f;
/// Bit 4: options follow.
const OPTIONS: u16 = 1 << 4;
/// Bit 5, in Datagram2 only: an offline signature follows.
const OFFLINE: u16 = 1 << 5;

/// The flags of a packet. Undefined bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) fn new(version: u16, options: &Mapping, offline: bool) -> Self {
        let options = if options.is_empty() { 0 } else { OPTIONS };
        let offline = if offline { OFFLINE } else { 0 };
        Self(version | options | offline)
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u16("datagram flags").map(Self)
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    /// The flags with their two bytes in reverse order.
    pub(crate) fn swapped(self) -> Self {
        Self(self.0.swap_bytes())
    }

    pub(crate) fn version(self) -> u16 {
        self.0 & VERSION
    }

    pub(crate) fn has_offline_signature(self) -> bool {
        self.0 & OFFLINE != 0
    }

    /// Reads the options that follow the flags, if the flags announce options.
    pub(crate) fn read_options(self, r: &mut Reader<'_>) -> Result<Mapping, DecodeError> {
        if self.0 & OPTIONS == 0 {
            return Ok(Mapping::new());
        }
        Mapping::read(r)
    }
}

/// Appends the options. Appends nothing if there are none, which the flags then state.
pub(crate) fn encode_options(options: &Mapping, out: &mut Vec<u8>) {
    if !options.is_empty() {
        options.encode(out);
    }
}

/// The length of the encoded options, in bytes.
pub(crate) fn options_len(options: &Mapping) -> usize {
    if options.is_empty() {
        return 0;
    }
    // Two bytes for the length of the mapping; for each pair two length bytes, `=` and `;`.
    let pairs = options
        .iter()
        .map(|(key, value)| 4 + key.len() + value.len());
    2 + pairs.sum::<usize>()
}

pub(crate) fn wrong_version(what: &'static str) -> DecodeError {
    DecodeError::Invalid {
        what,
        why: "the flags have another version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_options_is_that_of_their_encoding() {
        let mut options = Mapping::new();
        assert_eq!(options_len(&options), 0);
        for (key, value) in [("a", ""), ("key", "value"), ("", "x")] {
            options.insert(key, value).unwrap();
            assert_eq!(options_len(&options), options.to_bytes().len());
        }
    }
}
