//! The parts of an IRC message.

/// A message: tags, source, command and parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// The tags without `@`.
    pub(crate) tags: Option<&'a [u8]>,
    /// The source without `:`.
    pub(crate) source: Option<&'a [u8]>,
    /// The command as it was sent. It is not empty.
    pub(crate) command: &'a [u8],
    /// Everything behind the command, without leading spaces.
    pub(crate) rest: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses a line without its end. Returns `None` if it has no command, or contains a NUL.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        // RFC 1459, section 2.3.1: no message contains NUL. C programs stop at it.
        if line.contains(&0) {
            return None;
        }
        let mut rest = line;
        let mut marked = |mark: u8| {
            let word = rest.strip_prefix(&[mark])?;
            let (word, behind) = split_word(word);
            rest = behind;
            Some(word)
        };
        let tags = marked(b'@');
        let source = marked(b':');
        let (command, rest) = split_word(rest);
        (!command.is_empty()).then_some(Self {
            tags,
            source,
            command,
            rest,
        })
    }

    /// The command in upper case.
    pub(crate) fn verb(&self) -> Vec<u8> {
        self.command.to_ascii_uppercase()
    }

    /// The parameters. The last one may contain spaces.
    pub(crate) fn parameters(&self) -> Vec<&'a [u8]> {
        let mut parameters = Vec::new();
        let mut rest = self.rest;
        while !rest.is_empty() {
            if let Some(trailing) = rest.strip_prefix(b":") {
                parameters.push(trailing);
                break;
            }
            if parameters.len() + 1 == MAX_PARAMETERS {
                parameters.push(rest);
                break;
            }
            let (word, behind) = split_word(rest);
            parameters.push(word);
            rest = behind;
        }
        parameters
    }
}

/// Returns the bytes before the first space, and those behind it and the spaces that follow.
fn split_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(bytes.len());
    let (word, rest) = bytes.split_at(length);
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    (word, &rest[spaces..])
}

/// Source: RFC 2812, section 2.3.
const MAX_PARAMETERS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_messages() {
        let message = Message::parse(b"@a=b;c :n!u@h  PrivMsg #x  :hi  there").expect("a message");
        assert_eq!(message.tags, Some(&b"a=b;c"[..]));
        assert_eq!(message.source, Some(&b"n!u@h"[..]));
        assert_eq!(message.verb(), b"PRIVMSG");
        assert_eq!(message.parameters(), [&b"#x"[..], b"hi  there"]);
        let message = Message::parse(b"USER a 0 *  real").expect("a message");
        assert_eq!(message.parameters(), [&b"a"[..], b"0", b"*", b"real"]);
        assert_eq!(
            Message::parse(b"A").map(|message| message.parameters().len()),
            Some(0)
        );
        let message =
            Message::parse(b"A 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").expect("a message");
        assert_eq!(message.parameters().last(), Some(&&b"15 16"[..]));
        for line in [
            &b""[..],
            b" ",
            b" A",
            b":x",
            b"@x",
            b"@x :y",
            b"A\0B",
            b":",
            b": ",
        ] {
            assert_eq!(Message::parse(line), None, "{line:?}");
        }
    }
}
