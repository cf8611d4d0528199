//! The saved state of a bridge: its tunnels, and which of them run.

use eepkit_wire::{ConfigFile, PrivateKeys, Zeroizing};

use crate::{
    database::{Database, Limits},
    tunnel::{Nickname, Stage, Tunnel},
};

impl Database {
    /// Formats the tunnels as a configuration file of I2P. It contains private keys.
    ///
    /// A starting tunnel is saved as one that runs, and a stopping one as one that does not.
    pub fn to_saved(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.len() * ROOM));
        for (number, nick) in self.nicknames().enumerate() {
            let Some(tunnel) = self.tunnel(nick) else {
                continue;
            };
            let mut pair = |key: &str, value: &str| {
                for part in ["tunnel.", &number.to_string(), ".", key, "=", value, "\n"] {
                    push(&mut text, part);
                }
            };
            pair("nickname", nick.as_str());
            let runs = matches!(self.stage(nick), Some(Stage::Starting | Stage::Running));
            pair("running", if runs { "true" } else { "false" });
            pair("quiet", if tunnel.quiet { "true" } else { "false" });
            if let Some(keys) = &tunnel.keys {
                pair("keys", &keys.to_base64());
            }
            for (key, port) in [("inport", tunnel.in_port), ("outport", tunnel.out_port)] {
                if let Some(port) = port {
                    pair(key, &port.to_string());
                }
            }
            pair("inhost", &tunnel.in_host);
            pair("outhost", &tunnel.out_host);
            for (key, value) in &tunnel.options {
                pair(&format!("option.{key}"), value);
            }
        }
        text
    }

    /// Parses saved tunnels. Also returns the nicknames of those that ran. All tunnels are idle.
    ///
    /// # Errors
    ///
    /// [`SavedError`].
    pub fn from_saved(text: &str, limits: Limits) -> Result<(Self, Vec<Nickname>), SavedError> {
        let file = ConfigFile::parse(text).map_err(|error| SavedError::File(error.to_string()))?;
        let mut database = Self::new(limits);
        let mut running = Vec::new();
        for number in 0.. {
            let prefix = format!("tunnel.{number}.");
            let value = |key: &str| {
                let key = format!("{prefix}{key}");
                let mut pairs = file.iter();
                pairs
                    .find(|(there, _)| *there == key)
                    .map(|(_, value)| value)
            };
            let Some(nick) = value("nickname") else {
                break;
            };
            let wrong = |key: &'static str| SavedError::Value { number, key };
            let nick = Nickname::new(nick).map_err(|_| wrong("nickname"))?;
            let mut tunnel = Tunnel::new(&nick, &[]);
            tunnel.options.clear();
            if let Some(keys) = value("keys") {
                let keys = PrivateKeys::from_base64(keys).map_err(|_| wrong("keys"))?;
                tunnel.keys = Some(keys);
            }
            tunnel.quiet = value("quiet") == Some("true");
            let port = |key: &'static str| match value(key) {
                None => Ok(None),
                Some(port) => port.parse().map(Some).map_err(|_| wrong(key)),
            };
            tunnel.in_port = port("inport")?;
            tunnel.out_port = port("outport")?;
            if let Some(host) = value("inhost") {
                host.clone_into(&mut tunnel.in_host);
            }
            if let Some(host) = value("outhost") {
                host.clone_into(&mut tunnel.out_host);
            }
            let start = format!("{prefix}option.");
            for (key, value) in file.iter() {
                if let Some(key) = key.strip_prefix(&start)
                    && !tunnel.set(key, value)
                {
                    return Err(wrong("option"));
                }
            }
            let runs = value("running") == Some("true") && tunnel.is_complete();
            database
                .insert(nick.clone(), tunnel)
                .map_err(|error| SavedError::File(error.to_string()))?;
            if runs {
                running.push(nick);
            }
        }
        Ok((database, running))
    }
}

/// Appends text. If the string must grow, the old memory is overwritten with zeros.
fn push(text: &mut Zeroizing<String>, more: &str) {
    let needed = text.len() + more.len();
    if needed > text.capacity() {
        let mut larger = Zeroizing::new(String::with_capacity(2 * needed));
        larger.push_str(text);
        *text = larger;
    }
    text.push_str(more);
}

/// Initial capacity per tunnel, in bytes. Chosen as enough for a tunnel with Ed25519 keys.
const ROOM: usize = 2048;

/// The reason why saved tunnels cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The file is not a configuration file, or has too many tunnels.
    #[error("{0}")]
    File(String),
    /// A value is invalid.
    #[error("tunnel.{number}.{key} is invalid")]
    Value {
        /// The number of the tunnel.
        number: usize,
        /// The last part of the key.
        key: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use eepkit_wire::SignatureType;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    fn nick(text: &str) -> Nickname {
        Nickname::new(text).expect("a nickname")
    }

    #[test]
    fn tunnels_round_trip_and_those_that_ran_are_named() {
        let mut database = Database::new(Limits::default());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for (name, kind) in [
            ("ear", SignatureType::ED25519),
            ("mouth", SignatureType::DSA_SHA1),
            ("nose", SignatureType::ECDSA_SHA512_P521),
        ] {
            let mut tunnel = Tunnel::new(&nick(name), &[]);
            tunnel.keys = Some(PrivateKeys::generate(kind, &mut rng).expect("can be made"));
            tunnel.in_port = Some(2000);
            tunnel.quiet = name == "ear";
            tunnel.out_host = "127.0.0.2".to_owned();
            tunnel.set("inbound.length", "1");
            database.insert(nick(name), tunnel).expect("there is room");
        }
        database
            .insert(nick("empty"), Tunnel::new(&nick("empty"), &[]))
            .expect("room");
        for (name, stage) in [
            ("ear", Stage::Running),
            ("mouth", Stage::Starting),
            ("nose", Stage::Stopping),
        ] {
            database.set_stage(&nick(name), stage);
        }
        let saved = database.to_saved();
        let (again, running) = Database::from_saved(&saved, Limits::default()).expect("valid");
        assert_eq!(running, [nick("ear"), nick("mouth")]);
        assert!(again.nicknames().eq(database.nicknames()));
        for nick in database.nicknames() {
            assert_eq!(again.tunnel(nick), database.tunnel(nick), "{nick}");
            assert_eq!(again.stage(nick), Some(Stage::Idle));
        }
    }

    #[test]
    fn damaged_files_are_refused_with_the_place() {
        let read = |text: &str| Database::from_saved(text, Limits::default()).err();
        assert_eq!(read(""), None);
        let error = |key| Some(SavedError::Value { number: 0, key });
        assert_eq!(read("tunnel.0.nickname=a b"), error("nickname"));
        assert_eq!(
            read("tunnel.0.nickname=a\ntunnel.0.keys=AAAA"),
            error("keys")
        );
        assert_eq!(
            read("tunnel.0.nickname=a\ntunnel.0.inport=x"),
            error("inport")
        );
    }
}
