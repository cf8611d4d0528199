//! `eepkit keys`: generates and shows private key files.

use std::{path::Path, time::Duration};

use eepkit::{KeyFileError, OfflineSignature, PrivateKeys, SignatureType, clock};
use eepkit_services::files;
use eepkit_wire::KeyError;
use serde::Serialize;

use super::describe::{Described, Named};
use crate::{
    args::{KeysCommand, KeysNewArgs, KeysShowArgs, KeysTransientArgs, SignatureChoice},
    exit::Exit,
    failure::Failure,
    ui::Ui,
};

pub(super) fn run(command: KeysCommand, ui: &Ui) -> Result<(), Failure> {
    match command {
        KeysCommand::New(args) => new(&args, ui),
        KeysCommand::Transient(args) => transient(&args, ui),
        KeysCommand::Show(args) => show(&args, ui),
    }
}

/// Reads a private key file.
pub(super) fn load(file: &Path, ui: &Ui) -> Result<PrivateKeys, Failure> {
    let keys = PrivateKeys::load(file).map_err(|error| failed(file, &error))?;
    warn_if_open_to_others(file, ui);
    Ok(keys)
}

/// Reads a private key file. If it does not exist, makes a new destination and writes it there.
pub(super) fn load_or_create(file: &Path, ui: &Ui) -> Result<PrivateKeys, Failure> {
    let (keys, is_new) =
        PrivateKeys::load_or_create(file, SignatureType::ED25519, &mut rand::rng())
            .map_err(|error| failed(file, &error))?;
    if is_new {
        ui.note(format_args!(
            "{} does not exist: made a new destination and wrote it there",
            file.display()
        ));
    }
    warn_if_open_to_others(file, ui);
    Ok(keys)
}

/// Warns if users other than the owner can read a file that contains a secret.
pub(super) fn warn_if_open_to_others(file: &Path, ui: &Ui) {
    if let Some(mode) = files::mode_open_to_others(file) {
        let name = file.display();
        ui.warn(format_args!(
            "other users can read {name} (mode {mode:o}), which contains secrets: chmod 600 {name}"
        ));
    }
}

fn failed(file: &Path, error: &KeyFileError) -> Failure {
    let failure = Failure::from_error(Exit::File, "", error);
    match error {
        _ if error.is_not_found() => failure.hint(format!(
            "make one with `eepkit keys new {}`",
            file.display()
        )),
        _ if error.is_already_there() => failure.hint("the path is a symbolic link to nothing"),
        KeyFileError::Key { source, .. } => failure.hint(match source {
            KeyError::Public => {
                "the private keys are in another file: in i2pd's .dat, or in Java I2P's \
                 eepPriv.dat; the destination alone cannot be put online"
            }
            _ => {
                "a private key file holds a destination and its keys, as SAM, i2pd and Java I2P \
                 write it: binary, or base64"
            }
        }),
        KeyFileError::Generate(_) => Failure::from_error(Exit::Failed, "", error),
        _ => failure,
    }
}

/// Writes new keys. Replaces a file only with `force`.
fn write(keys: &PrivateKeys, file: &Path, force: bool) -> Result<(), Failure> {
    let written = match force {
        true => keys.save(file),
        false => keys.create(file),
    };
    written.map_err(|error| {
        if !error.is_already_there() {
            return Failure::from_error(Exit::File, "cannot write", &error);
        }
        Failure::new(Exit::File, format!("{} exists already", file.display())).hint(
            "choose another name, or overwrite it with --force: the destination in it is lost then",
        )
    })
}

fn new(args: &KeysNewArgs, ui: &Ui) -> Result<(), Failure> {
    let keys =
        PrivateKeys::generate(args.signature.into(), &mut rand::rng()).map_err(cannot_make)?;
    write(&keys, &args.file, args.force)?;
    ui.note(format_args!("wrote {}", args.file.display()));
    print(
        &keys,
        &args.file,
        Detail {
            json: args.json,
            private: false,
        },
        ui,
    )
}

fn transient(args: &KeysTransientArgs, ui: &Ui) -> Result<(), Failure> {
    let original = load(&args.from, ui)?;
    if original.offline().is_some() {
        return Err(Failure::new(
            Exit::File,
            format!("{} holds a transient key itself", args.from.display()),
        )
        .hint("use the file with the destination's own signing key"));
    }
    let expires = expiry(clock::unix_now(), args.expires.0)?;
    let keys = original
        .with_transient(expires, args.signature.into(), &mut rand::rng())
        .map_err(cannot_make)?;
    write(&keys, &args.file, args.force)?;
    ui.note(format_args!("wrote {}", args.file.display()));
    print(
        &keys,
        &args.file,
        Detail {
            json: args.json,
            private: false,
        },
        ui,
    )
}

fn show(args: &KeysShowArgs, ui: &Ui) -> Result<(), Failure> {
    let keys = load(&args.file, ui)?;
    print(
        &keys,
        &args.file,
        Detail {
            json: args.json,
            private: args.private,
        },
        ui,
    )
}

fn cannot_make(error: impl std::error::Error) -> Failure {
    Failure::from_error(Exit::Failed, "cannot make the keys", &error)
}

/// The expiry of a transient key, in seconds since 1970. The field has 32 bits.
fn expiry(now: Duration, span: Duration) -> Result<u32, Failure> {
    u32::try_from(now.saturating_add(span).as_secs())
        .map_err(|_| Failure::usage("--expires: the format ends in the year 2106"))
}

/// The amount and the form of the output.
#[derive(Debug, Clone, Copy)]
struct Detail {
    json: bool,
    private: bool,
}

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    version: u32,
    file: &'a Path,
    #[serde(flatten)]
    destination: Described,
    offline: Option<Offline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Offline {
    expires: u32,
    expired: bool,
    transient_type: Named,
}

impl From<&OfflineSignature> for Offline {
    fn from(offline: &OfflineSignature) -> Self {
        Self {
            expires: offline.expires(),
            expired: clock::unix_now() >= Duration::from_secs(offline.expires().into()),
            transient_type: offline.transient().signature_type().into(),
        }
    }
}

fn print(keys: &PrivateKeys, file: &Path, detail: Detail, ui: &Ui) -> Result<(), Failure> {
    let private = detail.private.then(|| keys.to_base64());
    let shown = Shown {
        version: 1,
        file,
        destination: keys.destination().into(),
        offline: keys.offline().map(Offline::from),
        private: private.as_ref().map(|private| private.as_str()),
    };
    if detail.json {
        return ui.json(&shown);
    }
    shown
        .destination
        .print(ui, || ui.data(describe_offline(shown.offline.as_ref())))?;
    if let Some(private) = shown.private {
        ui.data(format_args!("private      {private}"))?;
    }
    Ok(())
}

fn describe_offline(offline: Option<&Offline>) -> String {
    let Some(Offline {
        expires,
        expired,
        transient_type: Named { number, name },
    }) = offline
    else {
        return "offline      no: the file holds the destination's own signing key".to_owned();
    };
    let date = date(*expires);
    let verb = if *expired { "expired" } else { "expires" };
    format!("offline      yes: a transient key, {name} (type {number}), {verb} {date}")
}

/// Formats a date as RFC 3339, in UTC.
fn date(unix_seconds: u32) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(unix_seconds.into());
    humantime::format_rfc3339_seconds(time).to_string()
}

impl From<SignatureChoice> for SignatureType {
    fn from(choice: SignatureChoice) -> Self {
        match choice {
            SignatureChoice::Ed25519 => Self::ED25519,
            SignatureChoice::EcdsaP256 => Self::ECDSA_SHA256_P256,
            SignatureChoice::EcdsaP384 => Self::ECDSA_SHA384_P384,
            SignatureChoice::EcdsaP521 => Self::ECDSA_SHA512_P521,
            SignatureChoice::RedDsa => Self::REDDSA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transient_key_cannot_outlive_its_date_field() {
        let year = Duration::from_secs(365 * 86_400);

        assert!(expiry(year * 50, year).is_ok());
        assert!(expiry(year * 50, year * 100).is_err());
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
