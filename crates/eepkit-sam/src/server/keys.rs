//! Names of look-ups, and generated keys.

use eepkit_wire::{Host, ParseAddressError, PrivateKeys};
use rand_chacha::ChaCha20Rng;

use super::config::Config;
use crate::{
    key,
    message::{LineBuilder, Params},
    result::{Failure, ResultCode},
    session,
};

/// Parses the name of a look-up.
///
/// # Errors
///
/// [`Failure`], which is the answer to the client.
pub(super) fn named(name: &str) -> Result<Host, Failure> {
    match key::parse_target(name) {
        Ok(target) => Ok(target),
        // A name that no address book can contain is reported as not found. A text that is as
        // long as a destination is not a name.
        Err(
            error @ (ParseAddressError::Name(_)
            | ParseAddressError::NotI2p
            | ParseAddressError::Base64(_)),
        ) if name.len() < Host::MIN_BASE64 => {
            Err(Failure::new(ResultCode::KeyNotFound, error.to_string()))
        }
        Err(error) => Err(Failure::new(ResultCode::InvalidKey, error.to_string())),
    }
}

/// Generates the keys that `params` request, and returns the answer to DEST GENERATE.
///
/// # Errors
///
/// [`Failure`] if the signature type is unknown or cannot be generated.
pub(super) fn generated(
    params: &Params,
    config: &Config,
    rng: &mut ChaCha20Rng,
) -> Result<LineBuilder, Failure> {
    let kind = session::signature_type(params)?.unwrap_or(config.default_signature_type);
    let keys = PrivateKeys::generate(kind, rng)
        .map_err(|_| Failure::error(format!("SIGNATURE_TYPE {kind} cannot be made here")))?;
    Ok(LineBuilder::new("DEST REPLY")
        .pair("PUB", keys.destination().to_base64())
        .pair("PRIV", keys.to_base64().as_str()))
}
