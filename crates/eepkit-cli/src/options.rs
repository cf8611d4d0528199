//! Options of sessions, before there is a session.

use eepkit::{EndpointConfig, Options};

/// Why an option would fail every session, if it would.
pub(crate) fn cannot_be(key: &str, value: &str) -> Option<String> {
    if key.starts_with("i2p.streaming.") {
        let set = EndpointConfig::default().set(key, value);
        return set.err().map(|error| error.to_string());
    }
    let set = Options::new().set(key, value);
    set.err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_session_could_have_is_known_beforehand() {
        for (key, value) in [
            ("inbound.length", "3"),
            ("i2cp.leaseSetEncType", "4,0"),
            ("i2p.streaming.maxResends", "3"),
            ("some.thing", "else"),
        ] {
            assert_eq!(cannot_be(key, value), None, "{key}={value}");
        }
        for (key, value) in [
            ("inbound.length", "8"),
            ("i2p.streaming.maxResends", "x"),
            ("i2p.streaming.noSuchThing", "1"),
        ] {
            assert!(cannot_be(key, value).is_some(), "{key}={value}");
        }
    }
}
