//! Mappings: options and properties as sorted pairs of short strings.

use std::{cmp::Ordering, fmt};

use crate::codec::{Codec, DecodeError, Reader, encode_string};

/// Pairs of keys and values: common structures specification, section "Mapping".
///
/// The encoding is sorted by key, because mappings are signed. The order is that of UTF-16 code
/// units, in which Java compares strings. Decoding accepts pairs in any order, but no repeated
/// keys. The signature over a mapping must be verified with the received bytes.
///
/// A key or value has at most 255 bytes. All pairs together have at most 65535 bytes, including
/// four bytes of framing for each pair.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Mapping {
    /// Sorted by [`java_order`], without duplicates, and within the limits.
    pairs: Vec<(String, String)>,
    /// The length of all encoded pairs, in bytes.
    length: u16,
}

impl Mapping {
    /// The largest length of a key or value, in bytes.
    pub const MAX_STRING: usize = u8::MAX as usize;

    /// Creates an empty mapping.
    pub const fn new() -> Self {
        Self {
            pairs: Vec::new(),
            length: 0,
        }
    }

    /// Sets `key` to `value`, and returns the previous value.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] if a string or the whole mapping would be too long. The mapping is
    /// then unchanged.
    pub fn insert(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Option<String>, DecodeError> {
        let (key, value) = (key.into(), value.into());
        for (what, text) in [("mapping key", &key), ("mapping value", &value)] {
            if text.len() > Self::MAX_STRING {
                return Err(DecodeError::TooLong {
                    what,
                    length: text.len(),
                    limit: Self::MAX_STRING,
                });
            }
        }
        let place = self.find(&key);
        let freed = place.map_or(0, |at| {
            let (key, value) = &self.pairs[at];
            pair_length(key, value)
        });
        let length = usize::from(self.length) - freed + pair_length(&key, &value);
        self.length = u16::try_from(length).map_err(|_| DecodeError::TooLong {
            what: "mapping",
            length,
            limit: usize::from(u16::MAX),
        })?;
        match place {
            Ok(at) => Ok(Some(std::mem::replace(&mut self.pairs[at].1, value))),
            Err(at) => {
                self.pairs.insert(at, (key, value));
                Ok(None)
            }
        }
    }

    /// Removes `key`, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.find(key).ok()?;
        let (key, value) = self.pairs.remove(at);
        self.length -= pair_length(&key, &value) as u16;
        Some(value)
    }

    /// The value of `key`. Keys are case-sensitive.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).ok().map(|at| &*self.pairs[at].1)
    }

    /// Whether `key` has a value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// The pairs in the order of the encoding.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.pairs
            .binary_search_by(|(other, _)| java_order(other, key))
    }
}

impl Codec for Mapping {
    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(2 + usize::from(self.length));
        out.extend_from_slice(&self.length.to_be_bytes());
        for (key, value) in &self.pairs {
            for (text, end) in [(key, b'='), (value, b';')] {
                encode_string(out, "mapping", text).expect("checked when the pair was inserted");
                out.push(end);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(r.u16("mapping")?);
        let mut r = Reader::new(r.take(length, "mapping")?);
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut sorted = true;
        while !r.is_empty() {
            let key = r.string("mapping key")?;
            separator(&mut r, b'=')?;
            let value = r.string("mapping value")?;
            separator(&mut r, b';')?;
            sorted &= pairs
                .last()
                .is_none_or(|(last, _)| java_order(last, key) == Ordering::Less);
            pairs.push((key.to_owned(), value.to_owned()));
        }
        if !sorted {
            pairs.sort_by(|(a, _), (b, _)| java_order(a, b));
            if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(DecodeError::Invalid {
                    what: "mapping",
                    why: "a key is repeated",
                });
            }
        }
        Ok(Self {
            pairs,
            length: length as u16,
        })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords and private keys, so only keys are printed.
        f.debug_set()
            .entries(self.pairs.iter().map(|(key, _)| key))
            .finish()
    }
}

impl<'a> IntoIterator for &'a Mapping {
    type Item = (&'a str, &'a str);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (String, String)>,
        fn(&'a (String, String)) -> (&'a str, &'a str),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The order of Java's `String.compareTo`, by UTF-16 code units. It differs from the order of Rust
/// strings for characters beyond U+FFFF.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// The length of an encoded pair: two length bytes, the strings, `=` and `;`.
fn pair_length(key: &str, value: &str) -> usize {
    4 + key.len() + value.len()
}

fn separator(r: &mut Reader<'_>, expected: u8) -> Result<(), DecodeError> {
    if r.u8("mapping")? == expected {
        Ok(())
    } else {
        Err(DecodeError::Invalid {
            what: "mapping",
            why: "keys must be followed by = and values by ;",
        })
    }
}

#[cfg(test)]
mod tests;
