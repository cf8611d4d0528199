//! Atomic and durable writes.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::operation;

/// Creates a file that only its owner can access.
///
/// A file that exists is never changed: if several programs create one file at the same time,
/// exactly one of them succeeds. The file has its full content from the moment at which it has its
/// name.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if the path exists, even as a symbolic link to nothing. Any
/// other error of the system, after which the path does not exist. There is one exception: the file
/// remains if only the directory could not be flushed.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, Placing::New, |file| write_all(file, bytes))
}

/// Writes a file that only its owner can access. A file that exists is replaced. If the path is a
/// symbolic link, the file to which it refers is replaced.
///
/// # Errors
///
/// Any error of the system. The path then has its old content, or the new content if only the
/// directory could not be flushed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |out| out.write_all(bytes))
}

/// As [`replace`], with content that `content` writes. It is buffered.
///
/// # Errors
///
/// As for [`replace`], and the errors of `content`. The path has its old content after these.
pub fn replace_with<T, E: From<io::Error>>(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    write(&followed(path)?, Placing::Over, |file| {
        let mut out = BufWriter::new(Output(file));
        let value = content(&mut out)?;
        out.flush()?;
        Ok(value)
    })
}

/// The temporary file. Each write can fail in tests.
struct Output<'a>(&'a mut File);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(self.0, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Placing {
    New,
    Over,
}

fn write<T, E: From<io::Error>>(
    path: &Path,
    placing: Placing,
    content: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file")
    })?;
    // Opened first, so that a lack of descriptors is noticed before anything has changed.
    let flushed = Directory::open(directory)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    let temporary = operation("create the temporary file", || {
        builder.tempfile_in(directory)
    })?;
    let placed = fill(temporary, content).and_then(|(value, temporary)| {
        place(temporary, path, placing)?;
        Ok(value)
    });
    match placed {
        Ok(value) => {
            flushed.sync()?;
            Ok(value)
        }
        Err(Failed { error, temporary }) => {
            discard(temporary);
            Err(error)
        }
    }
}

/// The end of the names of temporary files. The begin is a dot and the name of the file.
pub(crate) const SUFFIX: &str = ".tmp";

/// An error, and the file that must be removed because of it.
struct Failed<E> {
    error: E,
    temporary: NamedTempFile,
}

fn fill<T, E: From<io::Error>>(
    mut temporary: NamedTempFile,
    content: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<(T, NamedTempFile), Failed<E>> {
    let filled = content(temporary.as_file_mut()).and_then(|value| {
        operation("flush the file", || temporary.as_file().sync_all())?;
        Ok(value)
    });
    match filled {
        Ok(value) => Ok((value, temporary)),
        Err(error) => Err(Failed { error, temporary }),
    }
}

fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(feature = "faults")]
    {
        let (len, error) = crate::faults::write("write", bytes.len());
        if let Some(error) = error {
            file.write_all(&bytes[..len])?;
            return Err(error);
        }
    }
    file.write_all(bytes)
}

fn place<E: From<io::Error>>(
    temporary: NamedTempFile,
    path: &Path,
    placing: Placing,
) -> Result<(), Failed<E>> {
    if let Err(error) = operation("give the file its name", || Ok(())) {
        let error = error.into();
        return Err(Failed { error, temporary });
    }
    let placed = match placing {
        Placing::New => temporary.persist_noclobber(path),
        Placing::Over => temporary.persist(path),
    };
    match placed {
        Ok(_) => Ok(()),
        Err(failed) => Err(Failed {
            error: failed.error.into(),
            temporary: failed.file,
        }),
    }
}

/// Removes a temporary file. An error is ignored, because the one that led here is reported.
fn discard(temporary: NamedTempFile) {
    #[cfg(feature = "faults")]
    let temporary = {
        let mut temporary = temporary;
        temporary.disable_cleanup(crate::faults::is_killed());
        temporary
    };
    drop(temporary);
}

/// The path to which a symbolic link refers, or the path itself.
fn followed(path: &Path) -> io::Result<PathBuf> {
    match operation("look at the path", || fs::symlink_metadata(path)) {
        Ok(found) if found.is_symlink() => operation("follow the link", || fs::canonicalize(path)),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// A directory that is flushed so that a new name in it survives a power failure.
struct Directory {
    #[cfg(unix)]
    file: File,
}

impl Directory {
    #[cfg(unix)]
    fn open(path: &Path) -> io::Result<Self> {
        let file = operation("open the directory", || File::open(path))?;
        Ok(Self { file })
    }

    #[cfg(unix)]
    fn sync(self) -> io::Result<()> {
        match operation("flush the directory", || self.file.sync_all()) {
            // Some network file systems cannot flush directories.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Directories cannot be opened as files on this system, and the file system orders renames
    /// itself.
    #[cfg(not(unix))]
    fn open(_: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    fn sync(self) -> io::Result<()> {
        Ok(())
    }
}
