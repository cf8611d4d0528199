//! Reading with a limit.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use zeroize::Zeroizing;

use crate::operation;

/// Reads a file of at most `limit` bytes.
///
/// The limit also applies to files without an end, such as `/dev/zero`.
///
/// # Errors
///
/// [`io::ErrorKind::FileTooLarge`] if the file is longer, or any error of the system.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, path, limit)?;
    Ok(bytes)
}

/// Reads a file of at most `limit` bytes that contains a secret. The memory is overwritten with
/// zeros when it is released, and contains no second copy.
///
/// # Errors
///
/// As for [`read`].
pub fn read_secret(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // A vector that grows leaves copies behind. `read_to_end` needs some bytes more than the file
    // has, to find its end.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(64)));
    read_into(&mut bytes, path, limit)?;
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

/// Whether there is a file, a directory or a symbolic link at this path.
///
/// # Errors
///
/// Any error of the system other than that there is nothing. An error does not mean that there is
/// nothing.
pub fn exists(path: &Path) -> io::Result<bool> {
    match operation("look at the path", || fs::symlink_metadata(path)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_into(bytes: &mut Vec<u8>, path: &Path, limit: usize) -> io::Result<()> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let file = operation("open", || File::open(path))?;
    operation("read", || file.take(most).read_to_end(bytes))?;
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file is longer than {} KiB", limit / 1024),
        ));
    }
    Ok(())
}
