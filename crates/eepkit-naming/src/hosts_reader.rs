//! Reading `hosts.txt` files and feeds with limits.

use std::io::{self, BufRead};

use crate::hosts_line::{HostsLine, HostsLineError};

/// Reads the lines of a `hosts.txt` file or a feed, each with its number.
///
/// Lines longer than [`HostsReader::MAX_LINE`] are reported and skipped without being stored, so
/// memory is bounded. Line ends are LF or CRLF. A byte order mark at the start is ignored. Blank
/// lines and comments are not returned.
///
/// The iterator ends after the last line, after an error of the source, and when the source has
/// more bytes than the limit.
///
/// ```
/// use eepkit_naming::HostsReader;
///
/// let text = "# a list\nno entry\n";
/// let lines: Vec<_> = HostsReader::new(text.as_bytes()).collect::<Result<_, _>>()?;
/// assert_eq!(lines[0].number, 2);
/// assert!(lines[0].content.is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct HostsReader<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
    left: u64,
    is_finished: bool,
}

/// A line with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedLine {
    /// The number of the line. The first one is 1.
    pub number: u64,
    /// The content, or the reason why it is malformed.
    pub content: Result<HostsLine, HostsLineError>,
}

impl<R: BufRead> HostsReader<R> {
    /// The largest length of a line, in bytes. Chosen because a command with two destinations and
    /// two signatures of the longest kind has less than 3000.
    pub const MAX_LINE: usize = 8192;

    /// The default limit of all lines together, in bytes. Chosen because a million names have about
    /// 600 MiB.
    pub const MAX_BYTES: u64 = 1 << 30;

    /// Creates a reader with the limit [`HostsReader::MAX_BYTES`].
    pub fn new(source: R) -> Self {
        Self::with_limit(source, Self::MAX_BYTES)
    }

    /// Creates a reader that fails with [`io::ErrorKind::FileTooLarge`] after `limit` bytes.
    pub fn with_limit(source: R, limit: u64) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
            left: limit,
            is_finished: false,
        }
    }

    /// Reads to the end of the line. Returns whether there was a line.
    fn read_line(&mut self) -> io::Result<Option<Result<(), HostsLineError>>> {
        self.line.clear();
        let mut length = 0;
        loop {
            let available = match self.source.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = Self::MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            length += part.len();
            let taken = part.len() + usize::from(end.is_some());
            let at_end = taken == 0;
            self.source.consume(taken);
            self.left = self
                .left
                .checked_sub(taken as u64)
                .ok_or(io::ErrorKind::FileTooLarge)?;
            if at_end && length == 0 {
                return Ok(None);
            }
            if at_end || end.is_some() {
                let fits = length <= Self::MAX_LINE;
                return Ok(Some(
                    fits.then_some(())
                        .ok_or(HostsLineError::TooLong(Self::MAX_LINE)),
                ));
            }
        }
    }

    fn parse(&self) -> Result<HostsLine, HostsLineError> {
        let text = std::str::from_utf8(&self.line).map_err(|_| HostsLineError::Encoding)?;
        match self.number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text).parse(),
            _ => text.parse(),
        }
    }
}

impl<R: BufRead> Iterator for HostsReader<R> {
    type Item = io::Result<NumberedLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_finished {
            let content = match self.read_line() {
                Ok(Some(fits)) => {
                    self.number += 1;
                    fits.and_then(|()| self.parse())
                }
                Ok(None) => break,
                Err(error) => {
                    self.is_finished = true;
                    return Some(Err(error));
                }
            };
            if content != Ok(HostsLine::Blank) {
                let number = self.number;
                return Some(Ok(NumberedLine { number, content }));
            }
        }
        self.is_finished = true;
        None
    }
}

#[cfg(test)]
mod tests;
