//! Configuration files in the format of Java I2P.

use std::fmt;

use crate::codec::DecodeError;

/// A configuration file: configuration specification, section "General Format".
///
/// A file consists of lines of `key=value` in UTF-8. A `#` begins a comment anywhere in a line, a
/// `;` only in the first column. There are no quotes, escapes or continuation lines. White space
/// around keys and values is ignored, and so are lines without a key and `=`. If a key is repeated,
/// the last value is used. Keys are in the order of their first occurrence. Comments are not
/// stored.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConfigFile {
    pairs: Vec<(String, String)>,
}

impl ConfigFile {
    /// The largest file that is accepted, in bytes.
    ///
    /// Chosen because a file with a hundred tunnels, each with a full destination, has about
    /// 150 kB.
    pub const MAX_LENGTH: usize = 1 << 20;

    /// The largest number of keys in a file.
    ///
    /// Chosen because a hundred tunnels with all their options have about 5000.
    pub const MAX_KEYS: usize = 16_384;

    /// Creates a file without keys.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    ///
    /// If the content is too long, has too many keys, or is not UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid {
            what: "config file",
            why: "not valid utf-8",
        })?;
        Self::parse(text)
    }

    /// Parses the content of a file.
    ///
    /// # Errors
    ///
    /// If the content is too long or has too many keys.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let too_long = |what, length, limit| DecodeError::TooLong {
            what,
            length,
            limit,
        };
        if text.len() > Self::MAX_LENGTH {
            return Err(too_long("config file", text.len(), Self::MAX_LENGTH));
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (key, value) in text.lines().filter_map(pair) {
            match places.get(key) {
                Some(&at) => {
                    let (_, old): &mut (String, String) = &mut pairs[at];
                    value.clone_into(old);
                }
                None => {
                    places.insert(key, pairs.len());
                    pairs.push((key.to_owned(), value.to_owned()));
                }
            }
            if pairs.len() > Self::MAX_KEYS {
                return Err(too_long("list of config keys", pairs.len(), Self::MAX_KEYS));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of `key`. Keys are case-sensitive.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, _)| other == key)
            .map(|(_, value)| value.as_str())
    }

    /// Sets `key` to `value`, and returns the previous value. A new key is added at the end of the
    /// file.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Invalid`] if the format cannot express the pair: if key or value contain a
    /// line end or `#`, or begin or end with white space; or if the key is empty, contains `=` or
    /// begins with `;`.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Option<String>, DecodeError> {
        let written = format!("{key}={value}");
        let unreadable = written.contains(['\n', '\r']) || written.starts_with(BYTE_ORDER_MARK);
        if unreadable || pair(&written) != Some((key, value)) {
            return Err(DecodeError::Invalid {
                what: "config entry",
                why: "keys and values cannot contain line ends or #, nor begin or end with spaces",
            });
        }
        match self.pairs.iter_mut().find(|(other, _)| other == key) {
            Some((_, old)) => Ok(Some(std::mem::replace(old, value.to_owned()))),
            None => {
                self.pairs.push((key.to_owned(), value.to_owned()));
                Ok(None)
            }
        }
    }

    /// Removes `key`, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Display for ConfigFile {
    /// Writes the content of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.pairs {
            writeln!(f, "{key}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords and private keys, so only keys are printed.
        f.debug_set()
            .entries(self.pairs.iter().map(|(key, _)| key))
            .finish()
    }
}

/// The character that some editors write at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The key and value of a line, or `None` if the line has no pair.
fn pair(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(';') {
        return None;
    }
    let content = line.split('#').next().unwrap_or_default();
    let (key, value) = content.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    (!key.is_empty()).then_some((key, value))
}

#[cfg(test)]
mod tests;
