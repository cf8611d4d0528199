//! The function of the fuzz target. It accepts any bytes, and panics if it finds a bug.

use std::path::Path;

use super::{Imported, Source, check};

/// Checks that the sections of an import can be used together, and that each setting has a note of a
/// few lines with its own line. The first byte selects the router.
///
/// # Panics
///
/// If a check fails.
pub fn import(data: &[u8]) {
    let Some((router, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let files = [Source {
        name: "file".to_owned(),
        text: text.to_owned(),
    }];
    let directory = Path::new("/var/lib/router");
    let is_i2pd = router & 1 == 0;
    let imported = match is_i2pd {
        true => Imported::from_i2pd(&files, directory),
        false => Imported::from_java(&files, directory),
    };
    let lines = text.lines().count().max(1);
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => {
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(error.to_string().len() < 2000, "{error}");
            return;
        }
    };
    let toml = imported.to_toml();
    if let Err(error) = check(&toml) {
        panic!("{error}\n{toml}");
    }
    assert!(imported.sections() <= imported.tunnels());
    for note in imported.notes() {
        assert!((1..=lines).contains(&note.line), "{note}");
        assert!(note.text.len() < 3000, "{note}");
    }
    if !is_i2pd {
        // Later values of a key replace earlier ones.
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}').trim();
        let is_setting = line.contains('=') && !line.starts_with(['[', ';', '#']);
        let is_noted = imported.notes().iter().any(|note| note.line == index + 1);
        assert!(
            !is_setting || is_noted,
            "line {}: {line:?}\n{toml}",
            index + 1
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    const KEYS: &[&str] = &[
        "type",
        "port",
        "address",
        "host",
        "keys",
        "destination",
        "destinationport",
        "inport",
        "accesslist",
        "whitelist",
        "gzip",
        "ssl",
        "outproxy",
        "signaturetype",
        "inbound.length",
        "i2p.streaming.profile",
        "keepaliveinterval",
        "connecttimeout",
        "datagramversion",
        "webircpassword",
        "hostoverride",
        "name",
        "listenPort",
        "targetHost",
        "targetPort",
        "targetDestination",
        "privKeyFile",
        "proxyList",
        "sharedClient",
        "startOnLoad",
        "interface",
        "option.i2cp.closeOnIdle",
        "option.i2cp.closeIdleTime",
        "option.i2cp.accessList",
        "option.i2cp.enableAccessList",
        "option.i2cp.enableBlackList",
        "option.useSSL",
        "option.targetForPort.80",
        "option.persistentClientKey",
        "option.proxyAuth",
        "option.ircserver.method",
        "option.ircserver.webircPassword",
        "description",
        "option.i2cp.newDestOnResume",
        "option.i2cp.reduceQuantity",
        "filterDefinition",
    ];

    const VALUES: &[&str] = &[
        "client",
        "server",
        "http",
        "irc",
        "httpproxy",
        "socks",
        "udpclient",
        "udpserver",
        "websocks",
        "ircclient",
        "httpclient",
        "sockstunnel",
        "socksirctunnel",
        "connectclient",
        "streamrclient",
        "streamrserver",
        "httpserver",
        "ircserver",
        "httpbidirserver",
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "80",
        "0",
        "65536",
        "a.i2p",
        "a.i2p:1,b.i2p",
        "example.org",
        "true",
        "false",
        "",
        "x.dat",
        "\u{1}",
        "transient",
        "shareddest",
        "webirc",
        "3",
        "-1",
        "1200000",
        "\"'\\",
    ];

    proptest! {
        #[test]
        fn any_text_is_handled(router: bool, text in ".{0,300}") {
            import(format!("{}{text}", char::from(u8::from(router))).as_bytes());
        }

        #[test]
        fn any_settings_are_handled(
            java: bool,
            tunnels in vec(vec((select(KEYS), select(VALUES)), 0..14), 0..4),
        ) {
            let mut text = String::from(if java { "\u{1}" } else { "\0" });
            for (number, settings) in tunnels.iter().enumerate() {
                if !java {
                    text += &format!("[{}]\n", number / 2 * 2 + number);
                }
                let mut seen = Vec::new();
                for (key, value) in settings {
                    if seen.contains(key) {
                        continue;
                    }
                    seen.push(key);
                    match java {
                        true => text += &format!("tunnel.{number}.{key}={value}\n"),
                        false => text += &format!("{key} = {value}\n"),
                    }
                }
            }
            import(text.as_bytes());
        }
    }
}
