//! The file `eepkit.toml`, which configures `eepkit run`.
//!
//! Each section has a table of options. The table drives the parser, the error messages, and the
//! file that `eepkit run --print-config` prints. The table of the router is that of its flags.
//! Those of services are defined with the services.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eepkit_services::{
    KINDS, Plan, default_plans, files,
    options::{File, FileErrors},
    read_all_plans,
};

use crate::{
    args::{CONTROL, ControlConfig, NAMES, NamesConfig, ROUTER, RouterArgs},
    exit::Exit,
    failure::Failure,
};

/// The configuration of the file, with defaults for missing keys.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) router: RouterArgs,
    pub(crate) control: ControlConfig,
    pub(crate) names: NamesConfig,
    pub(crate) services: Vec<Arc<dyn Plan>>,
}

impl Config {
    /// The configuration without a file.
    pub(crate) fn new() -> Self {
        Self {
            router: (ROUTER.defaults)(),
            control: (CONTROL.defaults)(),
            names: (NAMES.defaults)(),
            services: default_plans(),
        }
    }

    /// Parses the text of a file in `directory`, against which its relative paths are resolved.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, FileErrors> {
        let file = File::parse(text, directory)?;
        let mut errors = FileErrors::new();
        let sections: Vec<&str> = [ROUTER.section, CONTROL.section, NAMES.section]
            .into_iter()
            .chain(KINDS.iter().map(|kind| kind.name))
            .collect();
        file.check_sections(&sections, section_of, &mut errors);
        let mut router = (ROUTER.defaults)();
        for section in file.valid_sections(ROUTER.section, &mut errors) {
            router = ROUTER.read_valid(&section, &mut errors);
        }
        let mut control = (CONTROL.defaults)();
        for section in file.valid_sections(CONTROL.section, &mut errors) {
            control = CONTROL.read_valid(&section, &mut errors);
        }
        let mut names = (NAMES.defaults)();
        for section in file.valid_sections(NAMES.section, &mut errors) {
            names = NAMES.read_valid(&section, &mut errors);
        }
        let services = read_all_plans(&file, &mut errors);
        match errors.is_empty() {
            true => Ok(Self {
                router,
                control,
                names,
                services,
            }),
            false => Err(errors),
        }
    }
}

/// Reads the given file, or the default one if it exists. Returns its path, too.
pub(crate) fn load(named: Option<&Path>) -> Result<(Config, Option<PathBuf>), Failure> {
    let Some(file) = config_file(named)? else {
        return Ok((Config::new(), None));
    };
    match read(&file)? {
        Ok(config) => Ok((config, Some(file))),
        Err(errors) => Err(first(&file, &errors)),
    }
}

/// Reads a file. Its errors are the second result.
pub(crate) fn read(file: &Path) -> Result<Result<Config, FileErrors>, Failure> {
    let text = files::read_text(file, files::MAX_CONFIG).map_err(|error| {
        let context = format!("cannot read {}", file.display());
        Failure::from_error(Exit::File, &context, &error)
    })?;
    let directory = file.parent().unwrap_or_else(|| Path::new(""));
    Ok(Config::parse(&text, directory))
}

/// The first error of a file, as that of a command.
fn first(file: &Path, errors: &FileErrors) -> Failure {
    let name = file.display();
    let Some(error) = errors.iter().next() else {
        return Failure::new(Exit::File, format!("{name} cannot be used"));
    };
    let mut failure = Failure::new(Exit::File, format!("{name}, {error}"));
    if let Some(hint) = &error.hint {
        failure = failure.hint(hint.clone());
    }
    match errors.len() - 1 {
        0 => failure,
        more => failure.hint(format!("`eepkit config check` shows {more} more")),
    }
}

/// Returns the given file, or the one in the user's configuration directory if it exists.
pub(crate) fn config_file(named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = named {
        return Ok(Some(file.to_owned()));
    }
    let Some(directory) = dirs::config_dir() else {
        return Ok(None);
    };
    let file = directory.join("eepkit").join("eepkit.toml");
    // A file that cannot be examined must not be replaced by the defaults without a word.
    let exists = files::exists(&file).map_err(|error| {
        Failure::from_error(
            Exit::File,
            &format!("cannot read {}", file.display()),
            &error,
        )
    })?;
    Ok(exists.then_some(file))
}

/// Returns the section that contains this key.
fn section_of(key: &str) -> Option<&'static str> {
    if ROUTER.find(key).is_some() {
        return Some(ROUTER.section);
    }
    if CONTROL.find(key).is_some() {
        return Some(CONTROL.section);
    }
    if NAMES.find(key).is_some() {
        return Some(NAMES.section);
    }
    let kind = KINDS.iter().find(|kind| kind.has_key(key))?;
    Some(kind.name)
}

/// Returns a file with every key and its default, commented out.
pub(crate) fn documented() -> String {
    let mut text = String::from(
        "# What `eepkit run` does. Every key is here; those behind a # are as if they were not there.\n\
         # Times have a unit: 500ms, 30s, 2m, 1h.\n",
    );
    text += &ROUTER.example_file();
    text += &CONTROL.example_file();
    text += &NAMES.example_file();
    for kind in KINDS {
        let section = (kind.example_file)();
        text += &match kind.runs_by_default() {
            true => section,
            // The header alone would start the service.
            false => section.replace(
                &format!("\n[{}]\n", kind.name),
                &format!("\n#[{}]\n", kind.name),
            ),
        };
    }
    text
}

#[cfg(test)]
mod tests;
