//! Names and passwords of clients.

use std::sync::Arc;

use eepkit_sam::{
    Failure,
    server::{Answer, AuthChange, Secret},
};

use super::{done::Done, shared::Shared};
use crate::users::{Change, Password, UserError};

/// Verifies a name and a password.
pub(super) async fn authenticate(shared: Arc<Shared>, user: String, password: Secret) -> Done {
    let right = shared.gate.verify(user, Password::from(password.0)).await;
    Answer::Authenticated(right).into()
}

/// Changes the users of the bridge.
pub(super) async fn change(shared: Arc<Shared>, change: AuthChange) -> Done {
    let change = match change {
        AuthChange::Enable => Ok(Change::Require(true)),
        AuthChange::Disable => Ok(Change::Require(false)),
        AuthChange::Add { user, password } => Ok(Change::Add(user, Password::from(password.0))),
        AuthChange::Remove { user } => Ok(Change::Remove(user)),
        _ => Err(UserError::Unknown),
    };
    let changed = match change {
        Ok(change) => shared.gate.change(change).await,
        Err(error) => Err(error),
    };
    let result = changed.map(|is_required| shared.directory().set_auth_required(is_required));
    let result = result.map_err(|error| Failure::error(error.to_string()));
    Answer::AuthChanged(result).into()
}
