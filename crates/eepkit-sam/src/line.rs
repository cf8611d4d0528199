//! Lines: the frames of SAM.

use bytes::{Buf as _, Bytes, BytesMut};

/// Cuts what arrives on a socket into lines, and hands out the bytes between and behind them:
/// payloads of datagrams, and the data of a socket that became a stream.
///
/// A line ends with a newline; a carriage return before it belongs to the end. It is UTF-8 and
/// holds no control characters but tabs: a line with a zero byte in it is no text that anybody
/// typed, and one with a terminal's escape sequence should not get into a log.
///
/// ```
/// use eepkit_sam::LineReader;
///
/// let mut lines = LineReader::new(100);
/// lines.push(b"RAW RECEIVED SIZE=2\r\nhi");
/// assert_eq!(lines.next_line(), Ok(Some("RAW RECEIVED SIZE=2".to_owned())));
/// assert_eq!(lines.take(2).as_deref(), Some(&b"hi"[..]));
/// assert_eq!(lines.next_line(), Ok(None));
/// ```
pub struct LineReader {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    scanned: usize,
    limit: usize,
}

impl LineReader {
    /// The longest line that a bridge reads, in bytes, without its end.
    ///
    /// Chosen because a private key with RSA keys and an offline signature comes close to 12 KiB
    /// in base64, and options come behind it. Java I2P and i2pd read 8 KiB.
    pub const MAX_LINE: usize = 16 * 1024;

    /// Reads lines of at most `limit` bytes without their end.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
        }
    }

    /// Takes over what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line without its end; `None` until it has arrived whole.
    ///
    /// # Errors
    ///
    /// [`LineError`]. A line that is no text is consumed. One that is too long is not, and the
    /// error stays: where the next line would begin is not known.
    pub fn next_line(&mut self) -> Result<Option<String>, LineError> {
        let Some(end) = self.find_end() else {
            // The end of the line may be a carriage return that is here and a newline that is not.
            return if self.buffer.len() > self.limit + 1 {
                Err(LineError::TooLong { limit: self.limit })
            } else {
                Ok(None)
            };
        };
        let content = self.buffer.get(..end).unwrap_or_default();
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content.len() > self.limit {
            return Err(LineError::TooLong { limit: self.limit });
        }
        let line = text(content);
        self.buffer.advance(end + 1);
        self.scanned = 0;
        line.map(Some)
    }

    /// The next line as [`LineReader::next_line`] would give it, without consuming it.
    ///
    /// # Errors
    ///
    /// As [`LineReader::next_line`].
    pub fn peek_line(&mut self) -> Result<Option<String>, LineError> {
        let Some(end) = self.find_end() else {
            return Ok(None);
        };
        let content = self.buffer.get(..end).unwrap_or_default();
        text(content.strip_suffix(b"\r").unwrap_or(content)).map(Some)
    }

    /// The next `count` bytes; `None` until all of them have arrived.
    pub fn take(&mut self, count: usize) -> Option<Bytes> {
        if self.buffer.len() < count {
            return None;
        }
        self.scanned = 0;
        Some(self.buffer.split_to(count).freeze())
    }

    /// Drops up to `count` bytes, and says how many were there.
    pub fn skip(&mut self, count: usize) -> usize {
        let dropped = count.min(self.buffer.len());
        self.buffer.advance(dropped);
        self.scanned = 0;
        dropped
    }

    /// Everything that arrived and was not handed out yet.
    pub fn take_rest(&mut self) -> Bytes {
        self.scanned = 0;
        self.buffer.split().freeze()
    }

    /// How many bytes arrived and were not handed out yet.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether everything that arrived was handed out.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Where the next newline is. Remembers how far it looked, so that a line that comes byte by
    /// byte is not searched again from its beginning each time.
    fn find_end(&mut self) -> Option<usize> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        match unseen.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let end = self.scanned + at;
                self.scanned = end;
                Some(end)
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }
}

impl std::fmt::Debug for LineReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The bytes may be a private key.
        f.debug_struct("LineReader")
            .field("buffered", &self.buffer.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Why bytes are no line of SAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// There is no end of the line where there has to be one.
    #[error("line is longer than {limit} bytes")]
    TooLong {
        /// The longest line, in bytes.
        limit: usize,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 text")]
    NotUtf8,
    /// The line holds a control character: a zero byte, a carriage return in its middle, ...
    #[error("line holds a control character")]
    Control,
}

fn text(content: &[u8]) -> Result<String, LineError> {
    let text = std::str::from_utf8(content).map_err(|_| LineError::NotUtf8)?;
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(LineError::Control);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> LineReader {
        let mut reader = LineReader::new(8);
        reader.push(bytes);
        reader
    }

    #[test]
    fn a_line_may_come_in_pieces_and_several_at_once() {
        let mut lines = reader(b"ab");
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"c\nde\r");
        assert_eq!(lines.next_line(), Ok(Some("abc".to_owned())));
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"\n\nrest");
        assert_eq!(lines.next_line(), Ok(Some("de".to_owned())));
        assert_eq!(lines.next_line(), Ok(Some(String::new())));
        assert_eq!(lines.take_rest(), &b"rest"[..]);
        assert!(lines.is_empty());
    }

    #[test]
    fn a_peeked_line_is_still_there() {
        let mut lines = reader(b"PING 1\nx");
        assert_eq!(lines.peek_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.peek_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.next_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.peek_line(), Ok(None));
    }

    #[test]
    fn a_line_of_the_limit_passes_and_a_longer_one_does_not() {
        assert_eq!(
            reader(b"12345678\r\n").next_line(),
            Ok(Some("12345678".to_owned()))
        );
        assert_eq!(reader(b"12345678\r").next_line(), Ok(None));
        let too_long = Err(LineError::TooLong { limit: 8 });
        assert_eq!(reader(b"123456789\n").next_line(), too_long);
        assert_eq!(reader(b"1234567890").next_line(), too_long);
    }

    #[test]
    fn lines_are_text() {
        for bad in [&b"a\0b\n"[..], b"a\rb\n", b"\x1b[2J\n", b"\x7f\n"] {
            let mut lines = reader(bad);
            assert_eq!(lines.next_line(), Err(LineError::Control), "{bad:?}");
            lines.push(b"ok\n");
            assert_eq!(lines.next_line(), Ok(Some("ok".to_owned())));
        }
        assert_eq!(reader(b"\xff\n").next_line(), Err(LineError::NotUtf8));
        assert_eq!(reader(b"a\tb\n").next_line(), Ok(Some("a\tb".to_owned())));
        assert_eq!(
            reader("né\n".as_bytes()).next_line(),
            Ok(Some("né".to_owned()))
        );
    }

    #[test]
    fn payloads_come_whole_or_not_at_all() {
        let mut lines = reader(b"ab\ncd");
        assert_eq!(lines.next_line(), Ok(Some("ab".to_owned())));
        assert_eq!(lines.take(3), None);
        lines.push(b"\n");
        assert_eq!(lines.take(3).as_deref(), Some(&b"cd\n"[..]));
        lines.push(b"xyz");
        assert_eq!(lines.skip(5), 3);
    }
}
