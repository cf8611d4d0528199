//! Properties of entries and commands.

use std::{collections::BTreeMap, fmt};

use eepkit_wire::{DecodeError, Reader};

/// Pairs of keys and values, sorted by the bytes of the key.
///
/// The text form is `key=value#key=value`. Keys and values contain neither `#` nor control
/// characters, and keys contain no `=`. Keys have 1 to 255 bytes, values at most 4096.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// The largest number of pairs. Chosen because the longest command has nine.
    pub const MAX_PAIRS: usize = 64;

    /// The largest length of a key, in bytes: that of mappings.
    pub const MAX_KEY: usize = 255;

    /// The largest length of a value, in bytes. Chosen because the longest signature, RSA with 4096
    /// bits, has 684.
    pub const MAX_VALUE: usize = 4096;

    /// Creates an empty set.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Parses the text form. An empty text has no pairs.
    ///
    /// # Errors
    ///
    /// If a pair has no `=` or violates a limit, a key is repeated, or there are too many pairs.
    pub fn parse(text: &str) -> Result<Self, PropertiesError> {
        let mut pairs = Self::new();
        if text.is_empty() {
            return Ok(pairs);
        }
        for pair in text.split('#') {
            let (key, value) = pair.split_once('=').ok_or(PropertiesError::NoValue)?;
            if pairs.insert(key, value)?.is_some() {
                return Err(PropertiesError::Repeated(key.to_owned()));
            }
        }
        Ok(pairs)
    }

    /// Sets `key` to `value`, and returns the previous value.
    ///
    /// # Errors
    ///
    /// If the text form cannot contain the pair, or the set is full.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<Option<String>, PropertiesError> {
        let unwritable = |c: char| c == '#' || c.is_control();
        if key.is_empty() || key.len() > Self::MAX_KEY || value.len() > Self::MAX_VALUE {
            return Err(PropertiesError::Length);
        }
        if key.contains('=') || key.contains(unwritable) || value.contains(unwritable) {
            return Err(PropertiesError::Character);
        }
        if self.0.len() >= Self::MAX_PAIRS && !self.0.contains_key(key) {
            return Err(PropertiesError::TooMany);
        }
        Ok(self.0.insert(key.to_owned(), value.to_owned()))
    }

    /// Removes `key`, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// The value of `key`. Keys are case-sensitive.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the form of the store: the number of pairs, then each key and value with its length
    /// in two bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
    }

    /// Reads the form of the store.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut pairs = Self::new();
        for _ in 0..r.u8("properties")? {
            let (key, value) = (long_string(r)?, long_string(r)?);
            pairs.insert(key, value).map_err(|_| DecodeError::Invalid {
                what: "properties",
                why: "a pair cannot be written as text",
            })?;
        }
        Ok(pairs)
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, value)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "#" };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

/// The reason why a text is not a set of properties.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// A pair has no `=`.
    #[error("a property has no =")]
    NoValue,
    /// A key occurs twice.
    #[error("the property {0:?} is repeated")]
    Repeated(String),
    /// A key or value has a length outside the limits.
    #[error("a property has an empty or too long key, or a value of more than 4096 bytes")]
    Length,
    /// A key or value has a character that the text form cannot contain.
    #[error("a property contains # or a control character, or its key contains =")]
    Character,
    /// There are too many pairs.
    #[error("there are more than {} properties", Properties::MAX_PAIRS)]
    TooMany,
}

fn long_string<'a>(r: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let length = usize::from(r.u16("properties")?);
    std::str::from_utf8(r.take(length, "properties")?).map_err(|_| DecodeError::Invalid {
        what: "properties",
        why: "not valid utf-8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_sorted_by_key() {
        let properties = Properties::parse("sig=a=b=#action=update#Z=1#empty=").unwrap();
        assert_eq!(properties.get("sig"), Some("a=b="));
        assert_eq!(properties.to_string(), "Z=1#action=update#empty=#sig=a=b=");
        assert!(Properties::parse("").unwrap().is_empty());
    }

    #[test]
    fn malformed_properties_are_refused() {
        let long_key = format!("{}=1", "k".repeat(256));
        let long_value = format!("k={}", "v".repeat(4097));
        let many: Vec<_> = (0..65).map(|n| format!("k{n}=1")).collect();
        let repeated = PropertiesError::Repeated("a".to_owned());
        for (text, error) in [
            ("a=1#a=2", repeated),
            ("a", PropertiesError::NoValue),
            ("a=1#", PropertiesError::NoValue),
            ("a=1##b=2", PropertiesError::NoValue),
            ("=1", PropertiesError::Length),
            (&long_key, PropertiesError::Length),
            (&long_value, PropertiesError::Length),
            ("a=\t", PropertiesError::Character),
            (&many.join("#"), PropertiesError::TooMany),
        ] {
            assert_eq!(Properties::parse(text), Err(error), "{text:.20}");
        }
        assert_eq!(
            Properties::new().insert("a=b", "1"),
            Err(PropertiesError::Character)
        );
        assert_eq!(
            Properties::new().insert("a", "1#b=2"),
            Err(PropertiesError::Character)
        );
    }
}
