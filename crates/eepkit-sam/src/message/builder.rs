//! Formatting of lines.

use std::{
    fmt::{self, Display},
    mem,
};

use eepkit_wire::Zeroizing;

use crate::wipe;

/// Builds a line in the strictest form, which every known reader accepts: single spaces, quotes
/// only where a value needs them, no space at the end, one newline.
///
/// ```
/// use eepkit_sam::LineBuilder;
///
/// let line = LineBuilder::new("STREAM STATUS")
///     .pair("RESULT", "I2P_ERROR")
///     .message("no tunnels")
///     .finish();
/// assert_eq!(line, "STREAM STATUS RESULT=I2P_ERROR MESSAGE=\"no tunnels\"\n");
/// ```
#[derive(Clone)]
#[must_use = "`finish` returns the line"]
pub struct LineBuilder {
    line: Zeroizing<String>,
}

impl LineBuilder {
    /// Starts a line with these words, or with a peer's destination.
    pub fn new(words: &str) -> Self {
        let mut line = Zeroizing::new(String::with_capacity(words.len() + ROOM));
        push_text(&mut line, words);
        Self { line }
    }

    /// Appends a pair. A value is quoted if it is empty or contains white space, a quote or a
    /// backslash. Control characters become spaces, so that a value cannot end the line.
    pub fn pair(mut self, key: &str, value: impl Display) -> Self {
        let value = Zeroizing::new(value.to_string());
        self.line.push(' ');
        push_text(&mut self.line, key);
        self.line.push('=');
        let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\');
        if !value.is_empty() && !value.contains(special) {
            wipe::push(&mut self.line, &value);
            return self;
        }
        self.line.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                self.line.push('\\');
            }
            self.line.push(if c.is_control() { ' ' } else { c });
        }
        self.line.push('"');
        self
    }

    /// Appends a pair if there is a value.
    pub fn pair_if(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.pair(key, value),
            None => self,
        }
    }

    /// Appends MESSAGE, or nothing if the text is empty, because some readers support neither
    /// escapes nor empty values. Quotes and backslashes in the text become `'` and `/`. Characters
    /// other than ASCII become `?`. A long text is truncated.
    pub fn message(mut self, text: &str) -> Self {
        let mut message = String::new();
        for c in text.chars().take(MAX_MESSAGE) {
            message.push(match c {
                '"' => '\'',
                '\\' => '/',
                c if c.is_ascii_graphic() => c,
                c if c.is_whitespace() || c.is_control() => ' ',
                _ => '?',
            });
        }
        let message = message.trim();
        if !message.is_empty() {
            self = self.pair("MESSAGE", message);
        }
        self
    }

    /// The length of the line so far, in bytes.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether the line is empty.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Returns the line with its line end.
    pub fn finish(mut self) -> String {
        wipe::push(&mut self.line, "\n");
        mem::take(&mut *self.line)
    }
}

impl fmt::Debug for LineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The line may contain a private key.
        f.debug_struct("LineBuilder")
            .field("length", &self.line.len())
            .finish_non_exhaustive()
    }
}

fn push_text(line: &mut String, text: &str) {
    line.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

/// Initial capacity for pairs, in bytes. Chosen because it is enough for most lines.
const ROOM: usize = 64;

/// The longest MESSAGE, in characters. Chosen because a MESSAGE is one sentence, and some readers
/// have a buffer of 256 bytes.
const MAX_MESSAGE: usize = 160;
