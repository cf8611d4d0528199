//! Reading of configured files, with a limit on their size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Reads a file of at most `limit` bytes.
///
/// The limit also applies to files without an end, such as `/dev/zero`.
///
/// # Errors
///
/// [`io::ErrorKind::FileTooLarge`] if the file is longer, or any error of the system.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file is longer than {} KiB", limit / 1024),
        ));
    }
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
///
/// As for [`read`], and [`io::ErrorKind::InvalidData`] if the file is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8"))
}

/// Creates a directory that only its owner can enter, and its parents, unless it exists.
///
/// # Errors
///
/// An error of the system.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The largest configuration file. Chosen because one with a thousand services takes a tenth of it.
pub const MAX_CONFIG: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, [b'x'; 2048]).expect("written");
        assert_eq!(read(&file, 2048).map(|bytes| bytes.len()).ok(), Some(2048));
        let error = read(&file, 2047).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "the file is longer than 1 KiB");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero"), 4096).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_text_is_utf_8() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, [0xff]).expect("written");
        let error = read_text(&file, 10).expect_err("no text");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
