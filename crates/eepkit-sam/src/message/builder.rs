//! Lines out.

use std::fmt::{self, Display};

/// Writes a line in the strictest form, which every reader understands: single spaces, quotes only
/// where a value needs them, no space at the end, one newline.
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
#[must_use = "a line is there once `finish` is called"]
pub struct LineBuilder {
    line: String,
}

impl LineBuilder {
    /// Begins with these words, or with a peer's destination.
    pub fn new(words: &str) -> Self {
        let mut line = String::with_capacity(words.len() + ROOM);
        push_text(&mut line, words);
        Self { line }
    }

    /// Adds a pair. A value with a space, a quote or a backslash in it is quoted, and so is an
    /// empty one; control characters become spaces, so that a value cannot end the line.
    pub fn pair(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string();
        self.line.push(' ');
        push_text(&mut self.line, key);
        self.line.push('=');
        let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\');
        if !value.is_empty() && !value.contains(special) {
            self.line.push_str(&value);
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

    /// Adds a pair if there is a value.
    pub fn pair_if(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.pair(key, value),
            None => self,
        }
    }

    /// Adds MESSAGE, or nothing where the text is empty: there are readers that know neither
    /// escapes nor empty values. Quotes and backslashes in the text become `'` and `/`, what is
    /// not ASCII becomes `?`, and a long text is cut.
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

    /// How long the line is so far, in bytes.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether there is nothing in it yet.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// The line with its end.
    pub fn finish(mut self) -> String {
        self.line.push('\n');
        self.line
    }
}

impl fmt::Debug for LineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The line may hold a private key.
        f.debug_struct("LineBuilder")
            .field("length", &self.line.len())
            .finish_non_exhaustive()
    }
}

fn push_text(line: &mut String, text: &str) {
    line.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
}

/// What most lines have behind their words, in bytes; longer ones grow.
const ROOM: usize = 64;

/// Characters of a MESSAGE. Chosen because it is one sentence, and readers with a buffer of 256
/// bytes exist.
const MAX_MESSAGE: usize = 160;
