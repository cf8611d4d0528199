//! Pairs of a line.

use std::{fmt, str::FromStr};

use zeroize::Zeroize as _;

use super::error::{MAX_PARAMS, ParseError};

/// The `key=value` pairs of a line, in their order. Keys are unique and case-sensitive.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params {
    pairs: Vec<(String, Option<String>)>,
}

impl Params {
    /// The maximum number of pairs of a line: the maximum number of options of a session, plus the
    /// bridge's own parameters.
    pub const MAX: usize = MAX_PARAMS;

    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a pair. A pair without a value is a bare key.
    ///
    /// # Errors
    ///
    /// [`ParseError::DuplicateKey`] and [`ParseError::TooMany`].
    pub fn add(&mut self, key: String, value: Option<String>) -> Result<(), ParseError> {
        if self.pairs.iter().any(|(there, _)| *there == key) {
            return Err(ParseError::DuplicateKey);
        }
        if self.pairs.len() >= Self::MAX {
            return Err(ParseError::TooMany);
        }
        self.pairs.push((key, value));
        Ok(())
    }

    /// Returns the value of `key`: empty for a bare key, `None` if the key is absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(there, _)| there == key)?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// Returns the value of `key` if it is not empty. Clients that fill in a template send `KEY=`
    /// for a parameter without a value.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Returns the value of a required parameter.
    ///
    /// # Errors
    ///
    /// [`ParamError::Missing`].
    pub fn required(&self, key: &'static str) -> Result<&str, ParamError> {
        self.value(key).ok_or(ParamError::Missing { key })
    }

    /// Whether the key is present, with or without a value.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Returns a flag: `true` or `false` in any case. A bare key is true.
    ///
    /// # Errors
    ///
    /// [`ParamError::Invalid`] for anything else.
    pub fn flag(&self, key: &'static str, default: bool) -> Result<bool, ParamError> {
        match self.pairs.iter().find(|(there, _)| there == key) {
            None => Ok(default),
            Some((_, None)) => Ok(true),
            Some((_, Some(value))) if value.is_empty() => Ok(default),
            Some((_, Some(value))) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some((_, Some(value))) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(ParamError::Invalid {
                key,
                allowed: "true or false",
            }),
        }
    }

    /// Parses a decimal number that fits the type. `None` if there is no value.
    ///
    /// # Errors
    ///
    /// [`ParamError::Invalid`] for anything else.
    pub fn number<T: FromStr>(
        &self,
        key: &'static str,
        allowed: &'static str,
    ) -> Result<Option<T>, ParamError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        // The standard library would accept a plus sign.
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { value.parse().ok() } else { None };
        number.map(Some).ok_or(ParamError::Invalid { key, allowed })
    }

    /// Parses a port, 0 to 65535.
    ///
    /// # Errors
    ///
    /// [`ParamError::Invalid`] for anything else.
    pub fn port(&self, key: &'static str) -> Result<Option<u16>, ParamError> {
        self.number(key, "a number from 0 to 65535")
    }

    /// Removes a pair, and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(there, _)| there == key)?;
        Some(self.pairs.remove(at).1.unwrap_or_default())
    }

    /// Iterates over the pairs in their order. A bare key has no value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl Drop for Params {
    /// Overwrites the values with zeros, because they may be private keys and passwords.
    fn drop(&mut self) {
        for (_, value) in &mut self.pairs {
            value.zeroize();
        }
    }
}

impl fmt::Debug for Params {
    /// Formats keys and the lengths of values, because values may be private keys and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.pairs.iter().map(|(key, value)| {
                let length = value.as_ref().map_or(0, String::len);
                (key, format!("{length} bytes"))
            }))
            .finish()
    }
}

/// A parameter is missing or invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The parameter is missing.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The value is not allowed.
    #[error("{key} must be {allowed}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The allowed values.
        allowed: &'static str,
    },
    /// The parameter does not belong to this command.
    #[error("{key} is not for {what}")]
    NotFor {
        /// The key.
        key: &'static str,
        /// The command or style that does not allow the parameter.
        what: &'static str,
    },
}
