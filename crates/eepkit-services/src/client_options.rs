//! The options that clients of bridges set for their sessions, and the selection that is passed on.

use eepkit::{EndpointConfig, StreamOptionError};

/// Returns the value with which an option is passed to a session; `None` if it is not passed.
pub(crate) fn passed(key: &str, value: &str) -> Option<String> {
    match key {
        // The bridge selects the connection to the router.
        "i2cp.tcp.host"
        | "i2cp.tcp.port"
        | "i2cp.SSL"
        | "i2cp.username"
        | "i2cp.password"
        | "i2cp.destination.sigType" => None,
        // Options of Java I2P's client library, which have no effect here.
        "i2cp.messageReliability" | "i2cp.fastReceive" => None,
        // Lists may name types that are newer than this router.
        ENCRYPTION => {
            let known: Vec<&str> = value
                .split(',')
                .map(str::trim)
                .filter(|kind| KNOWN_ENCRYPTION.contains(kind))
                .collect();
            Some(if known.is_empty() {
                value.to_owned()
            } else {
                known.join(",")
            })
        }
        // Options of Java I2P that eepkit's streaming does not support would cause the session to
        // fail.
        _ if key.starts_with(STREAMING) => {
            let unknown = matches!(
                EndpointConfig::default().set(key, value),
                Err(StreamOptionError::Unknown(_))
            );
            (!unknown).then(|| value.to_owned())
        }
        _ => Some(value.to_owned()),
    }
}

/// The option with the encryption types of a session.
pub(crate) const ENCRYPTION: &str = "i2cp.leaseSetEncType";

/// Encryption types that lease sets can have here, by number and by name.
const KNOWN_ENCRYPTION: [&str; 4] = ["4", "0", "ECIES_X25519", "ELGAMAL_2048"];

const STREAMING: &str = "i2p.streaming.";
