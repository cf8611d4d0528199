//! `eepkit import`: imports the configuration of other programs.

use std::{
    io,
    path::{Path, PathBuf},
};

use eepkit_services::{
    files,
    import::{ImportError, Imported as Tunnels, Outcome, Source},
    users::Users,
};
use eepkit_wire::ConfigFile;

use crate::{
    args::{ImportCommand, ImportSamArgs, ImportTunnelsArgs},
    exit::Exit,
    failure::Failure,
    import::Imported,
    ui::Ui,
};

pub(super) fn run(command: ImportCommand, ui: &Ui) -> Result<(), Failure> {
    match command {
        ImportCommand::Sam(args) => sam(&args, ui),
        ImportCommand::I2pd(args) => tunnels(&args.tunnels, &I2PD, ui),
        ImportCommand::I2ptunnel(args) => tunnels(&args.tunnels, &JAVA, ui),
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

/// Another router with tunnels.
struct Origin {
    /// How the files of a directory end.
    extension: &'static str,
    read: fn(&[Source], &Path) -> Result<Tunnels, ImportError>,
    router: &'static str,
}

const I2PD: Origin = Origin {
    extension: "conf",
    read: Tunnels::from_i2pd,
    router: "# The router of i2pd, with [i2cp] enabled = true. \"embedded\" is one in this process.\n",
};

const JAVA: Origin = Origin {
    extension: "config",
    read: Tunnels::from_java,
    router: "# The router of Java I2P. \"embedded\" is one in this process.\n",
};

fn tunnels(args: &ImportTunnelsArgs, origin: &Origin, ui: &Ui) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for path in tunnel_files(&args.paths, origin)? {
        let name = path.display().to_string();
        let text = files::read_text(&path, files::MAX_CONFIG).map_err(|error| {
            Failure::from_error(Exit::File, &format!("cannot read {name}"), &error)
        })?;
        sources.push(Source { name, text });
    }
    let directory = match (&args.data_dir, args.paths.first()) {
        (Some(directory), _) => directory.clone(),
        (None, Some(first)) if !first.is_dir() => {
            first.parent().unwrap_or_else(|| Path::new("")).to_owned()
        }
        // The directory of split files is in the data directory.
        (None, Some(first)) => first.join(".."),
        (None, None) => PathBuf::new(),
    };
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    let imported = (origin.read)(&sources, &directory)
        .map_err(|error| Failure::new(Exit::File, error.to_string()))?;
    for note in imported.notes() {
        match note.outcome {
            Outcome::Refused => ui.warn(note),
            Outcome::Taken | Outcome::Changed => ui.note(note),
        }
    }
    for file in imported.key_files() {
        if !files::exists(file).unwrap_or(true) {
            ui.warn(format_args!(
                "{} does not exist, so its tunnel would get a new destination: see --data-dir",
                file.display()
            ));
        }
    }
    let (all, taken) = (imported.tunnels(), imported.sections());
    if taken == 0 {
        return Err(Failure::new(
            Exit::File,
            format!("none of the {all} tunnels in these files can be used"),
        ));
    }
    let text = format!(
        "{}[router]\nrouter = \"i2cp://127.0.0.1:7654\"\n\n# The other router has a SAM bridge of its own.\n\
         [sam]\nenabled = false\n\n{}",
        origin.router,
        imported.to_toml()
    );
    if args.print {
        ui.data(text.trim_end())?;
        for (file, _) in imported.users() {
            ui.warn(format_args!(
                "{file}, which has the passwords of a proxy, is not written with --print"
            ));
        }
    } else {
        let directory = args.directory.clone().unwrap_or_default();
        let config = directory.join(CONFIG);
        let users = imported.users();
        let users: Vec<_> = users
            .map(|(file, users)| (directory.join(file), users))
            .collect();
        for (file, _) in users.iter().filter(|_| !args.force) {
            if files::exists(file).map_err(|error| cannot_write(file, &error))? {
                return Err(exists_already(file));
            }
        }
        write_config(&config, &text, args.force)?;
        ui.note(format_args!("wrote {}", config.display()));
        for (file, users) in users {
            let saved = users.clone().save_as(&file);
            saved.map_err(|error| {
                let context = format!("cannot write {}", file.display());
                Failure::from_error(Exit::File, &context, &error)
            })?;
            ui.note(format_args!("wrote {}", file.display()));
        }
    }
    ui.note(format_args!("took {taken} of {all} tunnels over"));
    Ok(())
}

/// The files of these paths. Those of a directory are in the order of their names.
fn tunnel_files(paths: &[PathBuf], origin: &Origin) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let failed = |error: io::Error| {
            let context = format!("cannot read {}", path.display());
            Failure::from_error(Exit::File, &context, &error)
        };
        let mut of_directory = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|end| end == origin.extension) {
                of_directory.push(file);
            }
        }
        of_directory.sort();
        found.extend(of_directory);
    }
    Ok(found)
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
