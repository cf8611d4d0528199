//! Conversion of session options to those of the bridge.

use eepkit_i2cp::Options;
use eepkit_sam::client::SessionOptions;

use eepkit_link::LinkError;

/// Returns all options that were set, and defaults of this library where routers have other
/// defaults. Refuses options that cannot be passed to the router or would have another meaning
/// there.
pub(super) fn for_bridge(options: &Options) -> Result<SessionOptions, LinkError> {
    let bad = |key: &str, why: &str| LinkError::BadOption {
        key: key.to_owned(),
        why: why.to_owned(),
    };
    let mut sent = SessionOptions::new();
    for key in DEFAULTS {
        if let Some(value) = options.effective(key) {
            sent.set(key, value)
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
        // The keys are generated locally, and already have this type.
        if key == "i2cp.destination.sigType" {
            continue;
        }
        sent.set(key, value)
            .map_err(|error| bad(key, &error.to_string()))?;
    }
    Ok(sent)
}

/// Options that are always sent, because bridges have other defaults.
const DEFAULTS: [&str; 5] = [
    "inbound.length",
    "inbound.quantity",
    "outbound.length",
    "outbound.quantity",
    "i2cp.leaseSetEncType",
];

/// I2CP logins, which a bridge would pass on to its router.
const LOGIN: [&str; 2] = ["i2cp.username", "i2cp.password"];

/// The address of I2CP, which only the bridge uses.
const ADDRESS: [&str; 3] = ["i2cp.SSL", "i2cp.tcp.host", "i2cp.tcp.port"];

#[cfg(test)]
mod tests {
    use eepkit_i2cp::{Allowed, OPTIONS};
    use eepkit_wire::base64;

    use super::*;

    /// Returns a valid value of the option that differs from its default.
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
            let sent = for_bridge(&options);
            match key.as_str() {
                "i2cp.username" | "i2cp.password" | "i2cp.SSL" | "i2cp.tcp.host"
                | "i2cp.tcp.port" => {
                    let error = sent.expect_err(&key).to_string();
                    assert!(error.contains(&key), "{error}");
                }
                // Generated locally.
                "i2cp.destination.sigType" => assert!(sent.is_ok()),
                _ => {
                    let sent = sent.expect(&key);
                    let there = sent.iter().any(|pair| pair == (key.as_str(), &value));
                    assert!(there, "{key}={value} in {sent:?}");
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
        let sent = for_bridge(&options).expect("can be converted");
        assert!(
            sent.iter()
                .any(|pair| pair == ("i2p.streaming.profile", "2"))
        );
        assert!(sent.iter().any(|pair| pair == ("x.y", "z")));
    }

    #[test]
    fn defaults_that_differ_from_those_of_bridges_are_sent() {
        let sent = for_bridge(&Options::new()).expect("can be converted");
        let keys: Vec<&str> = sent.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, DEFAULTS);
    }

    #[test]
    fn parameters_of_sam_are_not_options() {
        for key in ["PORT", "STYLE", "DESTINATION", "sam.udp.port"] {
            let mut options = Options::new();
            options.set(key, "1").expect("unknown options pass");
            assert!(for_bridge(&options).is_err(), "{key}");
        }
    }
}
