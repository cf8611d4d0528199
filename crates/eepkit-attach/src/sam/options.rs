//! The options of a session, as the bridge is told them.

use eepkit_i2cp::Options;
use eepkit_sam::client::SessionOptions;

use eepkit_link::LinkError;

/// Everything that was set, and defaults of this library where routers have others. What cannot
/// reach the router, or would mean something else, is refused.
pub(super) fn for_bridge(options: &Options) -> Result<SessionOptions, LinkError> {
    let bad = |key: &str, why: &str| LinkError::BadOption {
        key: key.to_owned(),
        why: why.to_owned(),
    };
    let mut told = SessionOptions::new();
    for key in DEFAULTS {
        if let Some(value) = options.effective(key) {
            told.set(key, value)
                .map_err(|error| bad(key, &error.to_string()))?;
        }
    }
    for (key, value) in options.iter() {
        if LOGIN.contains(&key) {
            return Err(bad(
                key,
                "a SAM bridge has users of its own: sam://USER:PASSWORD@HOST:PORT",
            ));
        }
        if ADDRESS.contains(&key) {
            return Err(bad(key, "the router is reached over SAM, not over I2CP"));
        }
        // The keys are made on this side, and of this type already.
        if key == "i2cp.destination.sigType" {
            continue;
        }
        told.set(key, value)
            .map_err(|error| bad(key, &error.to_string()))?;
    }
    Ok(told)
}

/// What is said even if it was not set, because bridges fill in other values.
const DEFAULTS: [&str; 5] = [
    "inbound.length",
    "inbound.quantity",
    "outbound.length",
    "outbound.quantity",
    "i2cp.leaseSetEncType",
];

/// Users of I2CP, which a bridge would pass on to its router.
const LOGIN: [&str; 2] = ["i2cp.username", "i2cp.password"];

/// Where I2CP is, which is the business of the bridge.
const ADDRESS: [&str; 3] = ["i2cp.SSL", "i2cp.tcp.host", "i2cp.tcp.port"];

#[cfg(test)]
mod tests {
    use eepkit_i2cp::{Allowed, OPTIONS};
    use eepkit_wire::base64;

    use super::*;

    /// A value that the option takes and that is not its default.
    fn example(allowed: Allowed) -> String {
        match allowed {
            Allowed::Flag => "true".to_owned(),
            Allowed::Integer { min, .. } => min.to_string(),
            Allowed::Word(words) => words[0].to_owned(),
            Allowed::EncryptionTypes => "6,4".to_owned(),
            Allowed::SignatureType => "7".to_owned(),
            Allowed::Base64(len) => base64::encode(&vec![7; len.unwrap_or(32)]),
            Allowed::Keys | Allowed::Peers => base64::encode(&[7; 32]),
            Allowed::Pair => "a=b".to_owned(),
            _ => "text with spaces".to_owned(),
        }
    }

    #[test]
    fn every_documented_option_reaches_the_bridge_or_is_refused() {
        for spec in OPTIONS {
            let key = spec.key.replace('*', "0");
            let mut options = Options::new();
            let value = example(spec.allowed);
            options.set(&key, &value).expect(&key);
            let told = for_bridge(&options);
            match key.as_str() {
                "i2cp.username" | "i2cp.password" | "i2cp.SSL" | "i2cp.tcp.host"
                | "i2cp.tcp.port" => {
                    let error = told.expect_err(&key).to_string();
                    assert!(error.contains(&key), "{error}");
                }
                // Made on this side.
                "i2cp.destination.sigType" => assert!(told.is_ok()),
                _ => {
                    let told = told.expect(&key);
                    let there = told.iter().any(|pair| pair == (key.as_str(), &value));
                    assert!(there, "{key}={value} in {told:?}");
                }
            }
        }
    }

    #[test]
    fn options_of_the_streaming_library_and_unknown_ones_pass() {
        let mut options = Options::new();
        for (key, value) in [("i2p.streaming.profile", "2"), ("x.y", "z")] {
            options.set(key, value).expect("can be set");
        }
        let told = for_bridge(&options).expect("can be told");
        assert!(
            told.iter()
                .any(|pair| pair == ("i2p.streaming.profile", "2"))
        );
        assert!(told.iter().any(|pair| pair == ("x.y", "z")));
    }

    #[test]
    fn defaults_that_bridges_do_not_share_are_said() {
        let told = for_bridge(&Options::new()).expect("can be told");
        let keys: Vec<&str> = told.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, DEFAULTS);
    }

    #[test]
    fn parameters_of_sam_are_no_options() {
        for key in ["PORT", "STYLE", "DESTINATION", "sam.udp.port"] {
            let mut options = Options::new();
            options.set(key, "1").expect("unknown options pass");
            assert!(for_bridge(&options).is_err(), "{key}");
        }
    }
}
