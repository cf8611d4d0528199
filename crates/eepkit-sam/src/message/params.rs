//! The pairs of a line.

use std::{fmt, str::FromStr};

use super::error::{MAX_PARAMS, ParseError};

/// The `key=value` pairs of a line, in their order. Keys differ; their case matters.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params {
    pairs: Vec<(String, Option<String>)>,
}

impl Params {
    /// The most pairs of one line: as many as a session has options at most, and room for the
    /// bridge's own.
    pub const MAX: usize = MAX_PARAMS;

    /// No pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair; without a value it is a bare key.
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

    /// The value of `key`; empty for a bare key, `None` where the key is not there.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(there, _)| there == key)?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// The value of `key` where there is one that is not empty: to clients that fill in a
    /// template, `KEY=` says that they have nothing to say.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    ///
    /// # Errors
    ///
    /// [`ParamError::Missing`].
    pub fn required(&self, key: &'static str) -> Result<&str, ParamError> {
        self.value(key).ok_or(ParamError::Missing { key })
    }

    /// Whether the key is there, with or without a value.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// `true` or `false` in any case; a bare key says true.
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

    /// A decimal number that fits; `None` where there is no value.
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
        // The standard library would take a plus sign.
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { value.parse().ok() } else { None };
        number.map(Some).ok_or(ParamError::Invalid { key, allowed })
    }

    /// A port, 0 to 65535.
    ///
    /// # Errors
    ///
    /// [`ParamError::Invalid`] for anything else.
    pub fn port(&self, key: &'static str) -> Result<Option<u16>, ParamError> {
        self.number(key, "a number from 0 to 65535")
    }

    /// Takes a pair out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(there, _)| there == key)?;
        Some(self.pairs.remove(at).1.unwrap_or_default())
    }

    /// The pairs in their order; a bare key has no value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Debug for Params {
    /// The keys, and how long the values are: they may be private keys and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.pairs.iter().map(|(key, value)| {
                let length = value.as_ref().map_or(0, String::len);
                (key, format!("{length} bytes"))
            }))
            .finish()
    }
}

/// A parameter is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// It is not there.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// It has a value that it cannot have.
    #[error("{key} must be {allowed}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it can be.
        allowed: &'static str,
    },
    /// It does not belong into this command.
    #[error("{key} is not for {what}")]
    NotFor {
        /// The key.
        key: &'static str,
        /// What it is not for.
        what: &'static str,
    },
}
