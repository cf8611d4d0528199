//! The file `eepkit.toml`, which configures `eepkit run`.
//!
//! Each section has a table of options. The table drives the parser, the error messages, and the
//! file that `eepkit run --print-config` prints. The table of the router is that of its flags.
//! Those of services are defined with the services.

use std::{path::Path, sync::Arc};

use eepkit_services::{
    KINDS, Plan, default_plans,
    options::{File, FileError},
    read_plans,
};

use crate::args::{ROUTER, RouterArgs};

/// The configuration of the file, with defaults for missing keys.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) router: RouterArgs,
    pub(crate) services: Vec<Arc<dyn Plan>>,
}

impl Config {
    /// The configuration without a file.
    pub(crate) fn new() -> Self {
        Self {
            router: (ROUTER.defaults)(),
            services: default_plans(),
        }
    }

    /// Parses the text of a file in `directory`, against which its relative paths are resolved.
    pub(crate) fn parse(text: &str, directory: &Path) -> Result<Self, FileError> {
        let file = File::parse(text, directory)?;
        let sections: Vec<&str> = [ROUTER.section]
            .into_iter()
            .chain(KINDS.iter().map(|kind| kind.name))
            .collect();
        file.check_sections(&sections, section_of)?;
        let mut router = (ROUTER.defaults)();
        for section in file.sections(ROUTER.section)? {
            router = ROUTER.read(&section)?;
        }
        Ok(Self {
            router,
            services: read_plans(&file)?,
        })
    }
}

/// Returns the section that contains this key.
fn section_of(key: &str) -> Option<&'static str> {
    if ROUTER.find(key).is_some() {
        return Some(ROUTER.section);
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
    for kind in KINDS {
        text += &(kind.example_file)();
    }
    text
}

#[cfg(test)]
mod tests;
