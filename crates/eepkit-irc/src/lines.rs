//! The lines of a byte stream.

/// Divides a byte stream into lines.
///
/// A line ends at CR or LF, because servers and clients accept either. A CR in the middle of a line
/// would otherwise hide a second line from the filter.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// Whether the rest of the current line is skipped, because the line is too long.
    skipping: bool,
    limits: Limits,
}

/// The longest lines, in bytes, without their end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The message tags with their `@`.
    pub(crate) tags: usize,
    /// The rest of the line.
    pub(crate) rest: usize,
}

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its end. It is not empty.
    Whole(&'a [u8]),
    /// A line was longer than its limit.
    TooLong,
}

impl Lines {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            partial: Vec::new(),
            skipping: false,
            limits,
        }
    }

    /// Adds bytes, and passes each line that they complete to `each`, until it returns false. Returns
    /// the number of bytes that were used. Empty lines are skipped.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>) -> bool) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.keep(rest);
                return bytes.len();
            };
            used += length + 1;
            self.keep(&rest[..length]);
            let line = std::mem::take(&mut self.partial);
            let is_too_long = std::mem::take(&mut self.skipping);
            let goes_on = match (is_too_long, line.is_empty()) {
                (true, _) => each(Line::TooLong),
                (false, true) => true,
                (false, false) => each(Line::Whole(&line)),
            };
            // Keeps the allocation.
            self.partial = line;
            self.partial.clear();
            if !goes_on {
                break;
            }
        }
        used
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = self.limits.longest().saturating_sub(self.partial.len());
        self.partial.extend(bytes.iter().take(room));
        self.skipping = bytes.len() > room || !self.limits.hold(&self.partial);
        if self.skipping {
            self.partial = Vec::new();
        }
    }
}

impl Limits {
    fn longest(self) -> usize {
        self.tags + self.rest
    }

    fn hold(self, line: &[u8]) -> bool {
        let tags = match line.first() {
            Some(b'@') => line.iter().position(|byte| *byte == b' '),
            _ => Some(0),
        };
        match tags {
            Some(tags) => tags <= self.tags && line.len() - tags <= self.rest,
            None => line.len() <= self.tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tags: 6, rest: 4 };

    fn lines(input: &[u8], piece: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(LIMITS);
        let mut found = Vec::new();
        for piece in input.chunks(piece) {
            let used = lines.push(piece, |line| {
                found.push(match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
                true
            });
            assert_eq!(used, piece.len());
        }
        found
    }

    #[test]
    fn lines_end_at_either_character_and_long_ones_are_reported() {
        let line = |text: &str| Some(text.as_bytes().to_vec());
        for (input, expected) in [
            ("a\r\nb\nc\rd", vec![line("a"), line("b"), line("c")]),
            ("\r\n\n\r", vec![]),
            ("1234\n12345\n1\n", vec![line("1234"), None, line("1")]),
            ("@2345 123\n", vec![line("@2345 123")]),
            ("@2345 1234\n", vec![None]),
            ("@23456 1\n@234567\n", vec![line("@23456 1"), None]),
            ("@2345\n", vec![line("@2345")]),
        ] {
            for piece in 1..=input.len() {
                assert_eq!(
                    lines(input.as_bytes(), piece),
                    expected,
                    "{input:?} {piece}"
                );
            }
        }
    }

    #[test]
    fn the_buffer_has_a_limit() {
        let mut lines = Lines::new(LIMITS);
        for _ in 0..1000 {
            lines.push(&[b'x'; 100], |_| panic!("no line ends"));
            assert!(lines.partial.len() <= LIMITS.longest());
        }
    }

    #[test]
    fn dividing_can_stop_after_a_line() {
        let mut lines = Lines::new(LIMITS);
        let used = lines.push(b"a\nb\nc", |line| line != Line::Whole(b"b"));
        assert_eq!(used, 4);
    }
}
