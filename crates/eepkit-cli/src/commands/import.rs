//! `eepkit import`: imports the configuration of other programs.

use std::{io, path::Path};

use eepkit_services::{files, users::Users};
use eepkit_wire::ConfigFile;

use crate::{
    args::{ImportCommand, ImportSamArgs},
    exit::Exit,
    failure::Failure,
    import::Imported,
    ui::Ui,
};

pub(super) fn run(command: ImportCommand, ui: &Ui) -> Result<(), Failure> {
    match command {
        ImportCommand::Sam(args) => sam(&args, ui),
    }
}

fn sam(args: &ImportSamArgs, ui: &Ui) -> Result<(), Failure> {
    let mut files = Vec::new();
    for file in &args.files {
        files.push(read(file)?);
    }
    let names: Vec<String> = args
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let imported = Imported::from_files(&files, &names.join(" and "), USERS).map_err(|error| {
        let failure = Failure::new(Exit::File, error.message());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    for left_out in &imported.left_out {
        ui.warn(format_args!("not taken over: {left_out}"));
    }
    if args.print {
        return ui.data(imported.config.trim_end());
    }
    let directory = args.directory.clone().unwrap_or_default();
    let (config, users) = (directory.join(CONFIG), directory.join(USERS));
    let has_users = !imported.users.is_empty();
    let written = [Some(&config), has_users.then_some(&users)];
    for file in written.into_iter().flatten().filter(|_| !args.force) {
        if files::exists(file).map_err(|error| cannot_write(file, &error))? {
            return Err(exists_already(file));
        }
    }
    if has_users {
        keep_users(&imported, &users)?;
    }
    write_config(&config, &imported.config, args.force)?;
    ui.note(format_args!("wrote {}", config.display()));
    if has_users {
        ui.note(format_args!("wrote {}", users.display()));
    }
    ui.note(format_args!(
        "switch Java I2P's own bridge off, then: eepkit run --config {}",
        config.display()
    ));
    Ok(())
}

fn read(file: &Path) -> Result<ConfigFile, Failure> {
    let name = file.display();
    let bytes = files::read(file, files::MAX_CONFIG)
        .map_err(|error| Failure::from_error(Exit::File, &format!("cannot read {name}"), &error))?;
    ConfigFile::from_bytes(&bytes)
        .map_err(|error| Failure::from_error(Exit::File, &format!("cannot use {name}"), &error))
}

fn keep_users(imported: &Imported, file: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::from_error(
            Exit::File,
            &format!("cannot write {}", file.display()),
            error,
        )
    };
    let mut users = Users::new();
    for (name, hash) in &imported.users {
        users.add_from_java(name, hash).map_err(|error| {
            Failure::from_error(
                Exit::File,
                &format!("cannot use sam.auth.{name}.shash"),
                &error,
            )
        })?;
    }
    users
        .set_required(imported.password_required)
        .map_err(|error| failed(&error))?;
    users.save_as(file).map_err(|error| failed(&error))
}

fn exists_already(file: &Path) -> Failure {
    let why = format!("{} exists already", file.display());
    Failure::new(Exit::File, why).hint("--force overwrites it")
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    Failure::from_error(
        Exit::File,
        &format!("cannot write {}", file.display()),
        error,
    )
}

/// Writes a file that only its owner can read, because it may contain the password of a router.
fn write_config(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let written = match force {
        true => eepkit_files::replace(file, text.as_bytes()),
        false => eepkit_files::create(file, text.as_bytes()),
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists_already(file),
        _ => cannot_write(file, &error),
    })
}

/// The names of the files that are written.
const CONFIG: &str = "eepkit.toml";
const USERS: &str = "sam-users.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_fault_at_any_point_a_configuration_is_old_or_new() {
        for force in [false, true] {
            eepkit_files::faults::at_every_point(
                || {
                    let dir = tempfile::tempdir().expect("a directory");
                    let file = dir.path().join(CONFIG);
                    if force {
                        std::fs::write(&file, "old").expect("written");
                    }
                    (dir, file)
                },
                |(_, file)| write_config(file, "new", force).is_ok(),
                |(_, file), is_written, fault| {
                    let found = std::fs::read_to_string(file).unwrap_or_default();
                    let before = if force { "old" } else { "" };
                    assert!(found == before || found == "new", "{fault:?}: {found}");
                    assert!(!is_written || found == "new", "{fault:?}: {found}");
                },
            );
        }
    }
}
