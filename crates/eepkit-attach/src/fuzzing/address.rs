//! Addresses of routers.

use std::{fmt, str::FromStr};

use eepkit_link::Connector;

use crate::{RouterAddressError, i2cp::I2cpRouter, sam::SamRouter};

/// Checks that the name of a router at an address is an address of the same router, that no output
/// contains a password, and that errors have a bounded length.
///
/// # Panics
///
/// If a check fails.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // The file of a certificate is read while the address is parsed. A target must not open files
    // of the system.
    if text.contains("certificate=") {
        return;
    }
    check::<I2cpRouter>(text);
    check::<SamRouter>(text);
    for scheme in ["i2cp://", "sam://", "i2cps://", "sam+tls://"] {
        // A password that is nowhere else in the text.
        const PASSWORD: &str = "PaSsWoRd-42";
        if text.contains(PASSWORD) {
            continue;
        }
        let text = format!("{scheme}user:{PASSWORD}@{text}");
        for shown in [check::<I2cpRouter>(&text), check::<SamRouter>(&text)] {
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
}

/// Returns all output.
fn check<R>(text: &str) -> String
where
    R: FromStr<Err = RouterAddressError> + Connector + fmt::Debug,
{
    let router = match text.parse::<R>() {
        Ok(router) => router,
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < 1000, "{shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
            return format!("{shown} {error:?}");
        }
    };
    let name = router.name();
    let again = name.parse::<R>().expect("a name is an address");
    assert_eq!(again.name(), name);
    format!("{name} {router:?}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_reveal_no_bug() {
        for example in [
            "i2cp://127.0.0.1:7654",
            "i2cps://localhost",
            "i2cp+unix:/run/i2cp.sock",
            "sam://me:sesame@[::1]?udp=1",
            "sam+tls://10.0.0.1/",
            "sam+unix: /run/sam ",
            "[::1]:1?udp=70000",
            "127.0.0.1@localhost",
        ] {
            address(example.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_reveals_no_bug(text in ".{0,100}") {
            address(text.as_bytes());
        }

        #[test]
        fn texts_like_addresses_reveal_no_bug(
            text in "(i2cp|i2cps|sam|sam[+]tls)://([a-z0-9:]{0,9}@)?[a-z0-9.:\\[\\]]{0,15}[/?&=@udp0-9 ]{0,9}",
            unix in "(i2cp|sam)[+]unix:.{0,9}",
        ) {
            address(text.as_bytes());
            address(unix.as_bytes());
        }
    }
}
