//! Reading of the state file: the tunnels, and which of them run.

use std::{io::ErrorKind, path::Path};

use eepkit_bob::{Database, Limits, Nickname};
use eepkit_wire::{ConfigFile, Zeroizing};

use crate::{files, service::ServiceError};

/// Reads the state file, if there is one. Also returns the tunnels that ran.
///
/// # Errors
///
/// [`ServiceError`] if the file cannot be read, or is damaged.
pub(super) fn load(
    file: Option<&Path>,
    limits: Limits,
) -> Result<(Database, Vec<Nickname>), ServiceError> {
    let Some(file) = file else {
        return Ok((Database::new(limits), Vec::new()));
    };
    let invalid = |why: String| ServiceError::Invalid(format!("state, {}: {why}", file.display()));
    let bytes = match eepkit_files::read_secret(file, ConfigFile::MAX_LENGTH) {
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
        bytes => bytes.map_err(|error| invalid(error.to_string()))?,
    };
    files::warn_if_open_to_others(file);
    let text = std::str::from_utf8(&bytes).map_err(|error| invalid(error.to_string()))?;
    Database::from_saved(text, limits).map_err(|error| invalid(error.to_string()))
}
