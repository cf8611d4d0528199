//! Protection against replays of old commands.

use eepkit_wire::{Codec, DecodeError, Hash, Reader};

/// What a name remembers of the commands that were applied to it.
///
/// Feeds repeat all commands in each download, in any order. A command is therefore applied only if
/// it is not older than one that was applied, by the dates that their owners signed. A command with
/// the same date, or without a date where none had one, cannot restore a destination that the name
/// gave up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Guard {
    /// The newest date of an applied command, in seconds since the epoch.
    date: Option<u64>,
    /// The destinations that the name gave up. The oldest is first.
    retired: Vec<Hash>,
}

impl Guard {
    /// Whether a command with this date is as new as every one that was applied. A command without a
    /// date is if none had one.
    pub(crate) fn is_current(&self, date: Option<u64>) -> bool {
        date >= self.date
    }

    /// Whether the name gave up this destination.
    pub(crate) fn is_retired(&self, hash: Hash) -> bool {
        self.retired.contains(&hash)
    }

    /// Whether a command with this date may give the name this destination.
    pub(crate) fn permits(&self, hash: Hash, date: Option<u64>) -> bool {
        // The order of commands with one date is not known.
        date > self.date || (date == self.date && !self.is_retired(hash))
    }

    /// Records that a command was applied.
    pub(crate) fn applied(&mut self, date: Option<u64>) {
        self.date = self.date.max(date);
    }

    /// Records that the name gave up a destination.
    pub(crate) fn retire(&mut self, hash: Hash) {
        self.restore(hash);
        if self.retired.len() == MAX_RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(hash);
    }

    /// Records that the name has a destination.
    pub(crate) fn restore(&mut self, hash: Hash) {
        self.retired.retain(|retired| *retired != hash);
    }

    /// Whether nothing was recorded.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The form of the store: a version, the date (0 for none), the hashes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.date.unwrap_or(0).to_be_bytes());
        for hash in &self.retired {
            hash.encode(&mut out);
        }
        out
    }

    /// Reads the form of the store.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8("guard")? != VERSION {
            return Err(DecodeError::Invalid {
                what: "guard",
                why: "written by a newer version",
            });
        }
        let date = Some(r.u64("guard")?).filter(|&date| date != 0);
        let mut retired = Vec::new();
        while !r.is_empty() {
            retired.push(Hash::read(&mut r)?);
        }
        Ok(Self { date, retired })
    }
}

/// The largest number of destinations that are remembered for a name. Chosen because owners change
/// keys at most once in years.
const MAX_RETIRED: usize = 16;

/// The version of the store's form.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_commands_are_permitted() {
        let [a, b] = [Hash::of(b"a"), Hash::of(b"b")];
        let mut guard = Guard::default();
        assert!(guard.permits(a, None));

        guard.applied(None);
        guard.retire(a);
        assert!(!guard.permits(a, None));
        assert!(guard.permits(b, None));
        assert!(guard.permits(a, Some(1)));

        guard.applied(Some(5));
        assert!(!guard.permits(b, None));
        assert!(!guard.permits(b, Some(4)));
        assert!(guard.permits(b, Some(5)));
        assert!(!guard.permits(a, Some(5)));
        assert!(!guard.is_current(Some(4)));
        assert!(!guard.is_current(None));
        assert!(guard.permits(a, Some(6)));
        assert_eq!(Guard::from_bytes(&guard.to_bytes()), Ok(guard));
    }

    #[test]
    fn the_oldest_destination_is_forgotten_first() {
        let mut guard = Guard::default();
        for n in 0..=MAX_RETIRED {
            guard.retire(Hash::of(&[n as u8]));
        }
        assert!(!guard.is_retired(Hash::of(&[0])));
        assert!(guard.is_retired(Hash::of(&[1])));
    }
}
