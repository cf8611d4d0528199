//! Reading of configured files, with a limit on their size.

use std::path::Path;

use tracing::warn;

pub use eepkit_files::{create_private_dir, exists, mode_open_to_others, read, read_text};

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
