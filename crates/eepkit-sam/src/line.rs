//! Lines, the frames of SAM.

use bytes::{Buf as _, Bytes, BytesMut};
use zeroize::Zeroize as _;

use crate::wipe;

/// Splits the bytes of a socket into lines. Also returns the bytes between and after lines:
/// payloads of datagrams, and the data of a socket that became a stream.
///
/// A line ends with a newline. A carriage return before the newline is part of the line end. A line
/// is UTF-8 and contains no control characters except tabs: a zero byte is never valid in SAM text,
/// and a terminal escape sequence must not get into a log.
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
    /// The number of bytes at the front of the buffer that contain no newline.
    scanned: usize,
    limit: usize,
}

impl LineReader {
    /// The longest line that a bridge reads, in bytes, without its line end.
    ///
    /// Chosen because a private key with RSA keys and an offline signature takes almost 12 KiB in
    /// base64, and options follow it. Java I2P and i2pd read 8 KiB.
    pub const MAX_LINE: usize = 16 * 1024;

    /// Creates a reader for lines of at most `limit` bytes, without the line end.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
        }
    }

    /// Appends received bytes to the buffer.
    pub fn push(&mut self, bytes: &[u8]) {
        wipe::append(&mut self.buffer, bytes);
    }

    /// Returns the next line without its line end, or `None` until the whole line has arrived.
    ///
    /// # Errors
    ///
    /// [`LineError`]. A line that is not valid text is consumed. A line that is too long is not
    /// consumed, and each further call returns the error again, because the start of the next line
    /// is unknown.
    pub fn next_line(&mut self) -> Result<Option<String>, LineError> {
        let Some(end) = self.find_end() else {
            // The buffer may end with the carriage return of a line end whose newline has not
            // arrived yet.
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
        // A line may contain a private key.
        self.buffer[..end].zeroize();
        self.buffer.advance(end + 1);
        self.scanned = 0;
        line.map(Some)
    }

    /// Returns the line that [`LineReader::next_line`] would return, without consuming it.
    ///
    /// # Errors
    ///
    /// As for [`LineReader::next_line`], except that the limit is not checked.
    pub fn peek_line(&mut self) -> Result<Option<String>, LineError> {
        let Some(end) = self.find_end() else {
            return Ok(None);
        };
        let content = self.buffer.get(..end).unwrap_or_default();
        text(content.strip_suffix(b"\r").unwrap_or(content)).map(Some)
    }

    /// Returns the next `count` bytes, or `None` until all of them have arrived.
    pub fn take(&mut self, count: usize) -> Option<Bytes> {
        if self.buffer.len() < count {
            return None;
        }
        self.scanned = 0;
        Some(self.buffer.split_to(count).freeze())
    }

    /// Drops up to `count` bytes, and returns the number of bytes dropped.
    pub fn skip(&mut self, count: usize) -> usize {
        let dropped = count.min(self.buffer.len());
        self.buffer.advance(dropped);
        self.scanned = 0;
        dropped
    }

    /// Returns all bytes that have arrived and were not consumed.
    pub fn take_rest(&mut self) -> Bytes {
        self.scanned = 0;
        self.buffer.split().freeze()
    }

    /// The number of bytes that have arrived and were not consumed.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether all bytes that have arrived were consumed.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Returns the position of the next newline. Remembers the position up to which it has
    /// searched, so that a line that arrives byte by byte is not searched from its beginning each
    /// time.
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

impl Drop for LineReader {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl std::fmt::Debug for LineReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The buffer may contain a private key.
        f.debug_struct("LineReader")
            .field("buffered", &self.buffer.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The reason why bytes are not a line of SAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line has no line end within the limit.
    #[error("line is longer than {limit} bytes")]
    TooLong {
        /// The longest line, in bytes.
        limit: usize,
    },
    /// The line is not UTF-8.
    #[error("line is not UTF-8 text")]
    NotUtf8,
    /// The line contains a control character, such as a zero byte or a carriage return before its
    /// end.
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
    fn lines_may_arrive_in_pieces_or_several_at_once() {
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
    fn peeking_does_not_consume_a_line() {
        let mut lines = reader(b"PING 1\nx");
        assert_eq!(lines.peek_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.peek_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.next_line(), Ok(Some("PING 1".to_owned())));
        assert_eq!(lines.peek_line(), Ok(None));
    }

    #[test]
    fn a_line_longer_than_the_limit_is_an_error() {
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
    fn lines_that_are_not_text_are_errors() {
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
    fn payloads_are_returned_only_when_complete() {
        let mut lines = reader(b"ab\ncd");
        assert_eq!(lines.next_line(), Ok(Some("ab".to_owned())));
        assert_eq!(lines.take(3), None);
        lines.push(b"\n");
        assert_eq!(lines.take(3).as_deref(), Some(&b"cd\n"[..]));
        lines.push(b"xyz");
        assert_eq!(lines.skip(5), 3);
    }
}
