//! Settings of a test run in the environment.

use std::env;

/// The peer software of the tests on networks of routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// i2pd, as a private network of routers of the system's binary.
    I2pd,
    /// emissary, as a devnet of routers in the test's own process.
    Emissary,
}

/// Returns the peers in `EEPKIT_PEER`: `i2pd`, `emissary`, none for `java`, or both for `all` (the
/// default).
///
/// # Errors
///
/// A message for the user when the variable has another value.
pub fn peers() -> Result<Vec<Peer>, String> {
    match env::var("EEPKIT_PEER").as_deref() {
        Ok("i2pd") => Ok(vec![Peer::I2pd]),
        Ok("emissary") => Ok(vec![Peer::Emissary]),
        Ok("java") => Ok(Vec::new()),
        Ok("all" | "") | Err(env::VarError::NotPresent) => Ok(vec![Peer::Emissary, Peer::I2pd]),
        _ => Err("EEPKIT_PEER must be i2pd, emissary, java or all".to_owned()),
    }
}

/// Whether `EEPKIT_PEER` includes Java's streaming library, which runs on the simulated network.
pub fn java_is_requested() -> bool {
    env::var("EEPKIT_PEER").map_or(true, |value| matches!(value.as_str(), "java" | "all" | ""))
}

/// Whether a peer that cannot be started is a failure rather than a reason to skip.
///
/// True with `EEPKIT_INTEROP=required`, which `.ci/run` sets.
pub fn interop_is_required() -> bool {
    env::var("EEPKIT_INTEROP").is_ok_and(|value| value == "required")
}
