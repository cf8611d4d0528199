//! A tunnel: its settings and its state.

use std::fmt;

use eepkit_wire::{PrivateKeys, Zeroizing};

/// The name of a tunnel: one plain word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nickname(String);

impl Nickname {
    /// The longest nickname, in bytes. Chosen far above practical values.
    pub const MAX_LENGTH: usize = 128;

    /// Checks a nickname.
    ///
    /// # Errors
    ///
    /// [`NicknameError`].
    pub fn new(text: &str) -> Result<Self, NicknameError> {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | '#' | ';');
        match (1..=Self::MAX_LENGTH).contains(&text.len()) && text.chars().all(is_plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(NicknameError),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not a nickname.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "a nickname has 1 to {} plain characters without = # ;",
    Nickname::MAX_LENGTH
)]
pub struct NicknameError;

/// The state of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Stage {
    /// The tunnel does not run. Its settings can be changed.
    #[default]
    Idle,
    /// The tunnel waits for its session.
    Starting,
    /// The tunnel carries connections.
    Running,
    /// The tunnel ends.
    Stopping,
}

/// The settings of a tunnel.
///
/// *In* and *out* are the directions of the tunnel: programs connect to the *in* port to reach
/// destinations, and the tunnel connects to the *out* port for each stream of a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The keys of its destination.
    pub keys: Option<PrivateKeys>,
    /// Whether the line that names the peer is omitted.
    pub quiet: bool,
    /// The port on which it listens for programs.
    pub in_port: Option<u16>,
    /// The host on which it listens; `localhost` by default.
    pub in_host: String,
    /// The port to which it connects.
    pub out_port: Option<u16>,
    /// The host to which it connects; `localhost` by default.
    pub out_host: String,
    /// I2CP and streaming options. Keys are unique.
    pub options: Vec<(String, Zeroizing<String>)>,
}

impl Tunnel {
    /// The most options of a tunnel. Chosen as more than there are known options.
    pub const MAX_OPTIONS: usize = 128;

    /// Creates a tunnel without keys and ports. Its session has the nickname as its name, and
    /// `options` as defaults.
    pub fn new(nick: &Nickname, options: &[(String, String)]) -> Self {
        let mut tunnel = Self {
            keys: None,
            quiet: false,
            in_port: None,
            in_host: LOCALHOST.to_owned(),
            out_port: None,
            out_host: LOCALHOST.to_owned(),
            options: Vec::new(),
        };
        for key in NICKNAMES {
            tunnel.set(key, nick.as_str());
        }
        for (key, value) in options {
            tunnel.set(key, value);
        }
        tunnel
    }

    /// Sets an option. Returns whether there was room for it.
    pub fn set(&mut self, key: &str, value: &str) -> bool {
        let value = Zeroizing::new(value.to_owned());
        let has_room = self.options.len() < Self::MAX_OPTIONS;
        match self.options.iter_mut().find(|(there, _)| there == key) {
            Some((_, old)) => *old = value,
            None if has_room => {
                self.options.push((key.to_owned(), value));
            }
            None => return false,
        }
        true
    }

    /// Whether it can be started: it has keys, and one of the ports.
    pub fn is_complete(&self) -> bool {
        self.keys.is_some() && (self.in_port.is_some() || self.out_port.is_some())
    }
}

impl fmt::Debug for Tunnel {
    /// Keys and the values of options are omitted, because they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("has_keys", &self.keys.is_some())
            .field("in_port", &self.in_port)
            .field("out_port", &self.out_port)
            .field("options", &self.options.len())
            .finish_non_exhaustive()
    }
}

/// The default host. Source: `setnick` of the reference implementation.
pub(crate) const LOCALHOST: &str = "localhost";

/// The options with the name under which the router lists a session.
const NICKNAMES: [&str; 2] = ["inbound.nickname", "outbound.nickname"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_are_plain_words() {
        let longest = "x".repeat(128);
        for good in ["mouth", "txi2p-1234", "<>\"", &longest] {
            assert_eq!(Nickname::new(good).expect(good).as_str(), good);
        }
        let long = "x".repeat(129);
        for bad in ["", "a b", "a=b", "a#b", "näme", "a\tb", &long] {
            assert_eq!(Nickname::new(bad), Err(NicknameError), "{bad}");
        }
    }

    #[test]
    fn options_replace_each_other_and_are_limited() {
        let nick = Nickname::new("a").expect("a nickname");
        let mut tunnel = Tunnel::new(&nick, &[("inbound.length".to_owned(), "1".to_owned())]);
        assert!(tunnel.set("inbound.length", "2"));
        assert_eq!(tunnel.options.len(), 3);
        for number in 0..Tunnel::MAX_OPTIONS {
            tunnel.set(&number.to_string(), "");
        }
        assert!(!tunnel.set("more", ""));
        assert!(tunnel.set("inbound.nickname", "b"));
    }
}
