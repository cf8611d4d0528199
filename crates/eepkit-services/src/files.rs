//! Reading of configured files, with a limit on their size.

use std::path::Path;

use tracing::warn;

pub use eepkit_files::{exists, mode_open_to_others, read, read_text};

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

/// Logs a warning if users other than the owner can read a file that contains a secret.
pub fn warn_if_open_to_others(file: &Path) {
    if let Some(mode) = mode_open_to_others(file) {
        warn!(
            file = %file.display(),
            mode = %format_args!("{mode:o}"),
            "other users can read this file, which contains secrets: chmod 600 keeps them out"
        );
    }
}
