//! Lines, the frames of BOB.

use zeroize::Zeroizing;

/// Splits the bytes of a socket into lines. A line ends with a newline. A carriage return before it
/// is part of the line end.
pub struct LineReader {
    buffer: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl LineReader {
    /// The longest line, in bytes, without its line end.
    ///
    /// Chosen because a private key with RSA keys and an offline signature takes almost 12 KiB in
    /// base64.
    pub const MAX_LINE: usize = 16 * 1024;

    /// Creates a reader for lines of at most `limit` bytes, without the line end.
    pub fn new(limit: usize) -> Self {
        // A buffer that grows would leave copies of private keys.
        Self {
            buffer: Zeroizing::new(Vec::with_capacity(limit + 2)),
            limit,
        }
    }

    /// Appends the bytes that fit, up to the end of the longest line, and returns their number.
    /// Zero means that [`LineReader::next_line`] has something to return first.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.limit + 2 - self.buffer.len());
        self.buffer
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        count
    }

    /// Returns the next line without its line end, or `None` until the whole line has arrived.
    /// Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`LineError`] if the line is too long. Each further call returns the error again.
    pub fn next_line(&mut self) -> Result<Option<Zeroizing<String>>, LineError> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return match self.buffer.len() > self.limit + 1 {
                true => Err(LineError { limit: self.limit }),
                false => Ok(None),
            };
        };
        let line = self.buffer.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.limit {
            return Err(LineError { limit: self.limit });
        }
        let line = Zeroizing::new(String::from_utf8_lossy(line).into_owned());
        self.consume(end + 1);
        Ok(Some(line))
    }

    /// Returns all bytes after the last line.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.to_vec();
        self.consume(rest.len());
        rest
    }

    /// The number of bytes that have arrived and were not consumed.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether all bytes that have arrived were consumed.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn consume(&mut self, count: usize) {
        let left = self.buffer.len() - count;
        self.buffer.copy_within(count.., 0);
        // What remains behind the end may be a private key.
        if let Some(behind) = self.buffer.get_mut(left..) {
            behind.fill(0);
        }
        self.buffer.truncate(left);
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

/// A line has no line end within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("line is longer than {limit} bytes")]
pub struct LineError {
    /// The longest line, in bytes.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(reader: &mut LineReader) -> Result<Option<String>, LineError> {
        reader
            .next_line()
            .map(|line| line.map(|line| (*line).clone()))
    }

    #[test]
    fn lines_arrive_in_pieces_and_together() {
        let mut reader = LineReader::new(8);
        assert_eq!(reader.push(b"sta"), 3);
        assert_eq!(line(&mut reader), Ok(None));
        assert_eq!(reader.push(b"rt\r\nx\n\xff"), 7);
        assert_eq!(line(&mut reader), Ok(Some("start".to_owned())));
        assert_eq!(line(&mut reader), Ok(Some("x".to_owned())));
        assert_eq!(line(&mut reader), Ok(None));
        assert_eq!(reader.take_rest(), b"\xff");
        assert!(reader.is_empty());
    }

    #[test]
    fn a_line_of_the_limit_is_read_and_a_longer_one_is_an_error() {
        let mut reader = LineReader::new(8);
        assert_eq!(reader.push(b"12345678\r\nmore"), 10);
        assert_eq!(line(&mut reader), Ok(Some("12345678".to_owned())));
        assert_eq!(reader.push(b"123456789\n"), 10);
        assert_eq!(line(&mut reader), Err(LineError { limit: 8 }));
        let mut reader = LineReader::new(8);
        assert_eq!(reader.push(&[b'x'; 100]), 10);
        assert_eq!(line(&mut reader), Err(LineError { limit: 8 }));
        assert_eq!(reader.push(b"x"), 0);
    }
}
