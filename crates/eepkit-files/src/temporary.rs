//! Files without a name.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use crate::operation;

/// A file without a name, in the directory of the system for temporary files. It takes no space after
/// it was dropped, or after a crash.
#[derive(Debug)]
pub struct Temporary(File);

impl Temporary {
    /// Creates an empty file.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub fn new() -> io::Result<Self> {
        operation("create a temporary file", tempfile::tempfile).map(Self)
    }
}

impl Read for Temporary {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        operation("read a temporary file", || self.0.read(buf))
    }
}

impl Write for Temporary {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        operation("write a temporary file", || self.0.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Temporary {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.0.seek(pos)
    }
}
