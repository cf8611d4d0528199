//! The file `eepkit.toml`, which configures `eepkit run`.
//!
//! Each section has a table of options. The table drives the parser, the error messages, and the
//! file that `eepkit run --print-config` prints. The table of the router is here. Those of services
//! are defined with the services.

use std::{path::Path, sync::Arc};

use eepkit_services::{
    KINDS, Plan, access, default_plans,
    options::{File, FileError, Opt, Span, Table},
    read_plans,
};

use crate::args::{RouterArgs, RouterChoice};

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

/// The section `[router]`.
static ROUTER: Table<RouterArgs> = Table {
    section: "router",
    doc: "The router that all services use.",
    defaults: || RouterArgs {
        router: Some(RouterChoice::Embedded),
        state_dir: None,
        reseed_file: None,
        start_timeout: Some(Span(RouterArgs::EMBEDDED_LIMIT)),
    },
    options: &[
        Opt::new(
            "router",
            access!(RouterArgs, Option<RouterChoice>, router),
            "\"embedded\" for a router in this process, which joins the live network.\n\
             \"i2cp://HOST:PORT\" for one that runs, or \"sam://HOST:PORT\" for one that has only SAM.",
        ),
        Opt::new(
            "state_dir",
            access!(RouterArgs, Option<std::path::PathBuf>, state_dir),
            "Where the embedded router keeps its identity and what it knows of the network.\n\
             Default: eepkit/router in the user's data directory.",
        )
        .example("\"/var/lib/eepkit/router\""),
        Opt::new(
            "reseed_file",
            access!(RouterArgs, Option<std::path::PathBuf>, reseed_file),
            "List of routers for the embedded router's first start.\n\
             For networks from which reseed hosts cannot be reached.",
        )
        .example("\"i2pseeds.su3\""),
        Opt::new(
            "start_timeout",
            access!(RouterArgs, Option<Span>, start_timeout),
            "Give up when the embedded router is not ready after this.\n\
             A first start takes minutes.",
        ),
    ],
};

#[cfg(test)]
mod tests;
