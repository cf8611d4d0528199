//! `eepkit users`: files with the names and passwords of users.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _},
    path::Path,
};

use eepkit_services::{files, users::Users};
use eepkit_wire::Zeroizing;
use serde_json::json;

use crate::{
    args::{UsersArgs, UsersCommand},
    exit::Exit,
    failure::Failure,
    ui::Ui,
};

pub(super) fn run(args: UsersArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        UsersCommand::Add {
            file,
            name,
            replace,
        } => add(&file, &name, replace, ui),
        UsersCommand::Remove { file, name } => {
            let mut users = existing(&file)?;
            let removed = users.remove(&name);
            removed.map_err(|error| Failure::from_error(Exit::File, &name, &error))?;
            ui.note(format_args!("removed {name} from {}", file.display()));
            Ok(())
        }
        UsersCommand::List { file, json } => list(&file, json, ui),
    }
}

fn add(file: &Path, name: &str, replace: bool, ui: &Ui) -> Result<(), Failure> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        return Err(Failure::usage(
            "a name is not empty, and has no colon and no control characters, because proxies could \
             not receive it",
        ));
    }
    let mut users = load(file)?;
    let exists = users.names().any(|other| other == name);
    if exists && !replace {
        let why = format!("{} has the user {name} already", file.display());
        return Err(Failure::new(Exit::File, why).hint("--replace sets a new password"));
    }
    if std::io::stdin().is_terminal() {
        ui.note(format_args!(
            "the password of {name}, which is shown while you type:"
        ));
    }
    let password = password()?;
    let changed = match exists {
        true => users.set_password(name, &password),
        false => users.add(name, &password),
    };
    changed.map_err(|error| Failure::from_error(Exit::File, name, &error))?;
    ui.note(format_args!("wrote {}", file.display()));
    Ok(())
}

/// The first line of standard input.
fn password() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let limited = std::io::stdin()
        .lock()
        .take(MAX_PASSWORD + 2)
        .read_line(&mut line);
    limited
        .map_err(|error| Failure::from_error(Exit::Failed, "cannot read the password", &error))?;
    let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if password.is_empty() {
        return Err(Failure::usage("no password came on standard input"));
    }
    if password.len() as u64 > MAX_PASSWORD {
        let why = format!("a password has at most {MAX_PASSWORD} bytes, as in SOCKS 5");
        return Err(Failure::usage(why));
    }
    Ok(password)
}

fn list(file: &Path, json: bool, ui: &Ui) -> Result<(), Failure> {
    let users = existing(file)?;
    let names: Vec<&str> = users.names().collect();
    if json {
        return ui.json(&json!({ "version": 1, "required": users.is_required(), "users": names }));
    }
    for name in names {
        ui.data(name)?;
    }
    Ok(())
}

/// Reads a file that must exist.
fn existing(file: &Path) -> Result<Users, Failure> {
    match files::exists(file) {
        Ok(false) => Err(Failure::new(
            Exit::File,
            format!("{} does not exist", file.display()),
        )),
        _ => load(file),
    }
}

fn load(file: &Path) -> Result<Users, Failure> {
    Users::load(file).map_err(|error| Failure::from_error(Exit::File, "", &error))
}

/// Source: RFC 1929.
const MAX_PASSWORD: u64 = 255;
