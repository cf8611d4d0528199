//! `eepkit import`: imports the configuration of other programs.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

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
    for file in written.into_iter().flatten().filter(|file| file.exists()) {
        if !args.force {
            let why = format!("{} exists already", file.display());
            return Err(Failure::new(Exit::File, why).hint("--force overwrites it"));
        }
        remove(file)?;
    }
    if has_users {
        keep_users(&imported, &users)?;
    }
    write_private(&config, &imported.config).map_err(|error| cannot_write(&config, &error))?;
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
    let mut users = Users::load(file).map_err(|error| failed(&error))?;
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
        .map_err(|error| failed(&error))
}

fn remove(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    Failure::from_error(
        Exit::File,
        &format!("cannot write {}", file.display()),
        error,
    )
}

/// Writes a file that only its owner can read, because it may contain the password of a router.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// The names of the files that are written.
const CONFIG: &str = "eepkit.toml";
const USERS: &str = "sam-users.json";
