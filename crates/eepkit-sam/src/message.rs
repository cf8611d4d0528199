//! Messages: one line with two words and `key=value` pairs.

mod builder;
mod error;
mod params;
#[cfg(test)]
mod tests;

use std::{fmt, mem};

use eepkit_wire::Zeroizing;

pub use self::{
    builder::LineBuilder,
    error::ParseError,
    params::{ParamError, Params},
};
use crate::version::Version;

/// A command or an answer.
///
/// ```
/// use eepkit_sam::{Message, Syntax};
///
/// let message = Message::parse(r#"naming  lookup NAME="a b" OPTIONS"#, Syntax::CURRENT)?;
/// assert!(message.is("NAMING", "LOOKUP"));
/// assert_eq!(message.params.get("NAME"), Some("a b"));
/// assert_eq!(message.params.flag("OPTIONS", false), Ok(true));
/// # Ok::<(), eepkit_sam::ParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The first word, in upper case.
    pub verb: String,
    /// The second word, in upper case; empty if there is none.
    pub action: String,
    /// The pairs after the words.
    pub params: Params,
}

/// The rules of a line that depend on the version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syntax {
    escapes: bool,
}

impl Syntax {
    /// The rules of the newest version. They also apply to HELLO, because a value that needs an
    /// escape can occur in HELLO only since 3.2.
    pub const CURRENT: Self = Self { escapes: true };

    /// The rules of `version`. Before 3.2, a backslash is an ordinary character.
    pub fn of(version: Version) -> Self {
        Self {
            escapes: version.has_escapes(),
        }
    }
}

impl Message {
    /// Parses a line.
    ///
    /// Words and pairs are separated by any number of spaces and tabs. This applies to every
    /// version, because clients of every version send such lines. A value may be in double quotes.
    /// Since 3.2, a backslash escapes any character, inside and outside of quotes. `KEY`, `KEY=`
    /// and `KEY=""` are empty values.
    ///
    /// # Errors
    ///
    /// [`ParseError`].
    pub fn parse(line: &str, syntax: Syntax) -> Result<Self, ParseError> {
        let mut words = Words { rest: line, syntax };
        let verb = words.word().ok_or(ParseError::Empty)?;
        let before = words.rest;
        let action = match words.word() {
            Some(word) if !word.contains(['=', '"']) => word.to_ascii_uppercase(),
            _ => {
                words.rest = before;
                String::new()
            }
        };
        let mut params = Params::new();
        while let Some((key, value)) = words.pair()? {
            params.add(key, value)?;
        }
        Ok(Self {
            verb: verb.to_ascii_uppercase(),
            action,
            params,
        })
    }

    /// Parses pairs without words before them, such as those after a peer's destination, or those
    /// in the first line of a datagram.
    ///
    /// # Errors
    ///
    /// [`ParseError`].
    pub fn parse_params(text: &str, syntax: Syntax) -> Result<Params, ParseError> {
        let mut words = Words { rest: text, syntax };
        let mut params = Params::new();
        while let Some((key, value)) = words.pair()? {
            params.add(key, value)?;
        }
        Ok(params)
    }

    /// Whether the message has these two words, which are given in upper case.
    pub fn is(&self, verb: &str, action: &str) -> bool {
        self.verb == verb && self.action == action
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.verb, self.action, self.params)
    }
}

/// The unparsed rest of a line.
struct Words<'a> {
    rest: &'a str,
    syntax: Syntax,
}

impl<'a> Words<'a> {
    /// Returns the next characters up to a space.
    fn word(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(SPACES);
        let end = text.find(SPACES).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Returns the next key, and its value if it has one.
    fn pair(&mut self) -> Result<Option<(String, Option<String>)>, ParseError> {
        self.rest = self.rest.trim_start_matches(SPACES);
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self
            .rest
            .find(|c| c == '=' || SPACES.contains(&c))
            .unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        if key.is_empty() {
            return Err(ParseError::NoKey);
        }
        let key = key.to_owned();
        let Some(value) = rest.strip_prefix('=') else {
            self.rest = rest;
            return Ok(Some((key, None)));
        };
        let value = match value.strip_prefix('"') {
            Some(quoted) => self.value(quoted, true)?,
            None => self.value(value, false)?,
        };
        Ok(Some((key, Some(value))))
    }

    /// Parses the value at the start of `text`, up to the closing quote or the next space.
    fn value(&mut self, text: &'a str, quoted: bool) -> Result<String, ParseError> {
        // Without escapes the value fits, so that no copy is left by a growing buffer. A value may
        // be a private key.
        let end = match quoted {
            true => text.find('"'),
            false => text.find(SPACES),
        };
        let mut value = Zeroizing::new(String::with_capacity(end.unwrap_or(text.len())));
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if self.syntax.escapes => match chars.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => return Err(ParseError::DanglingEscape),
                },
                '"' if quoted => {
                    self.rest = chars.as_str();
                    return if self.rest.is_empty() || self.rest.starts_with(SPACES) {
                        Ok(mem::take(&mut *value))
                    } else {
                        Err(ParseError::AfterQuote)
                    };
                }
                c if !quoted && SPACES.contains(&c) => {
                    self.rest = text.get(at..).unwrap_or_default();
                    return Ok(mem::take(&mut *value));
                }
                c => value.push(c),
            }
        }
        self.rest = "";
        if quoted {
            return Err(ParseError::UnclosedQuote);
        }
        Ok(mem::take(&mut *value))
    }
}

/// The characters that separate words.
const SPACES: [char; 2] = [' ', '\t'];
