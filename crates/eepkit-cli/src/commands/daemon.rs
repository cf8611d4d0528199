//! Finding a running `eepkit run`, and describing why a request to it failed.

use std::path::PathBuf;

use eepkit::ErrorKind;
use eepkit_services::control::{Client, ClientError, ControlError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{args::ControlArgs, config, exit::Exit, failure::Failure};

/// The default control socket. `None` if the user has no directory for it.
pub(super) fn default_socket() -> Option<PathBuf> {
    let directory = dirs::runtime_dir()
        .or_else(dirs::state_dir)
        .or_else(dirs::data_local_dir)?;
    Some(directory.join("eepkit").join("control.sock"))
}

/// The control socket of the running program: that of the command line, else of the configuration
/// file, else the default.
pub(super) fn socket(args: &ControlArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.socket {
        return Ok(path.clone());
    }
    let configured = match config::load(args.config.as_deref()) {
        Ok((config, _)) => config.control.socket,
        Err(failure) if args.config.is_some() => return Err(failure),
        // `eepkit run` reports that it cannot read the user's file.
        Err(_) => None,
    };
    configured.or_else(default_socket).ok_or_else(|| {
        Failure::usage("there is no directory for control sockets")
            .hint("say where the control socket is: --control PATH")
    })
}

/// Connects to the running program.
pub(super) async fn connect(args: &ControlArgs) -> Result<Client, Failure> {
    Client::connect(&socket(args)?)
        .await
        .map_err(|error| failure(&error))
}

/// Reads a result of a method.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| failure(&ClientError::Protocol(error.to_string())))
}

/// Describes why a request failed.
pub(super) fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::NotRunning { path, .. } => Failure::new(
            Exit::NoRouter,
            format!("no `eepkit run` answers at {}", path.display()),
        )
        .hint("start one with `eepkit run`, or say where its control socket is: --control PATH"),
        ClientError::Refused(refused) => refusal(refused),
        ClientError::Timeout(_) => Failure::from_error(Exit::TimedOut, "", error),
        ClientError::Protocol(_) => Failure::from_error(Exit::Failed, "", error)
            .hint("the running program may be another version of eepkit"),
        _ => Failure::from_error(Exit::Failed, "", error),
    }
}

fn refusal(error: &ControlError) -> Failure {
    let exit = match error.code.as_str() {
        "bad_params" => Exit::Usage,
        code => ErrorKind::from_name(code).map_or(Exit::Failed, Exit::of),
    };
    let failure = Failure::new(exit, error.message.clone());
    match &error.hint {
        Some(hint) => failure.hint(hint.clone()),
        None => failure,
    }
}
