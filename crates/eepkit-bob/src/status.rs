//! The line that describes a tunnel.

use std::fmt;

use crate::tunnel::{Stage, Tunnel};

/// The state of a tunnel as `status`, `show` and `list` report it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The nickname.
    pub nick: String,
    /// Whether it is starting.
    pub starting: bool,
    /// Whether it is running.
    pub running: bool,
    /// Whether it is stopping.
    pub stopping: bool,
    /// Whether it has keys.
    pub keys: bool,
    /// Whether the line that names the peer is omitted.
    pub quiet: bool,
    /// The port on which it listens.
    pub in_port: Option<u16>,
    /// The host on which it listens.
    pub in_host: Option<String>,
    /// The port to which it connects.
    pub out_port: Option<u16>,
    /// The host to which it connects.
    pub out_host: Option<String>,
}

impl Status {
    pub(crate) fn of(nick: &str, tunnel: &Tunnel, stage: Stage) -> Self {
        Self {
            nick: nick.to_owned(),
            starting: stage == Stage::Starting,
            // A tunnel of Java I2P is also running while it is stopping.
            running: matches!(stage, Stage::Running | Stage::Stopping),
            stopping: stage == Stage::Stopping,
            keys: tunnel.keys.is_some(),
            quiet: tunnel.quiet,
            in_port: tunnel.in_port,
            in_host: Some(tunnel.in_host.clone()),
            out_port: tunnel.out_port,
            out_host: Some(tunnel.out_host.clone()),
        }
    }

    /// Whether the tunnel is neither starting nor running nor stopping.
    pub fn is_idle(&self) -> bool {
        !(self.starting || self.running || self.stopping)
    }

    /// Parses the line, with or without `DATA` before it.
    ///
    /// # Errors
    ///
    /// [`StatusError`] if it is malformed.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        let mut words = text.split_ascii_whitespace().peekable();
        words.next_if_eq(&"DATA");
        let mut next = |key: &'static str| {
            let is_there = words.next().and_then(|word| word.strip_suffix(':')) == Some(key);
            let value = words.next().filter(|_| is_there);
            value.ok_or(StatusError(key))
        };
        let nick = next("NICKNAME")?.to_owned();
        let mut flag = |key| match next(key)? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(StatusError(key)),
        };
        let (starting, running, stopping) =
            (flag("STARTING")?, flag("RUNNING")?, flag("STOPPING")?);
        let (keys, quiet) = (flag("KEYS")?, flag("QUIET")?);
        let port = |key, text: &str| match text {
            NOT_SET => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| StatusError(key)),
        };
        let host = |text: &str| (text != NOT_SET).then(|| text.to_owned());
        Ok(Self {
            nick,
            starting,
            running,
            stopping,
            keys,
            quiet,
            in_port: port("INPORT", next("INPORT")?)?,
            in_host: host(next("INHOST")?),
            out_port: port("OUTPORT", next("OUTPORT")?)?,
            out_host: host(next("OUTHOST")?),
        })
    }
}

/// The form of Java I2P, without `DATA`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port =
            |port: Option<u16>| port.map_or_else(|| NOT_SET.to_owned(), |port| port.to_string());
        let host = |host: &Option<String>| host.clone().unwrap_or_else(|| NOT_SET.to_owned());
        write!(
            f,
            "NICKNAME: {} STARTING: {} RUNNING: {} STOPPING: {} KEYS: {} QUIET: {} INPORT: {} \
             INHOST: {} OUTPORT: {} OUTHOST: {}",
            self.nick,
            self.starting,
            self.running,
            self.stopping,
            self.keys,
            self.quiet,
            port(self.in_port),
            host(&self.in_host),
            port(self.out_port),
            host(&self.out_host),
        )
    }
}

/// A line does not describe a tunnel. Contains the first key that is missing or invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the status has no valid {0}")]
pub struct StatusError(pub &'static str);

const NOT_SET: &str = "not_set";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_specification_round_trip() {
        for line in [
            "NICKNAME: mouth STARTING: false RUNNING: true STOPPING: false KEYS: true QUIET: \
             false INPORT: not_set INHOST: localhost OUTPORT: 19 OUTHOST: 127.0.0.1",
            "NICKNAME: ear STARTING: false RUNNING: true STOPPING: false KEYS: true QUIET: false \
             INPORT: 37337 INHOST: 127.0.0.1 OUTPORT: not_set OUTHOST: localhost",
        ] {
            let status = Status::parse(&format!("DATA {line}")).expect(line);
            assert_eq!(status.to_string(), line);
            assert!(!status.is_idle() && status.keys);
        }
    }

    #[test]
    fn the_additions_of_i2pd_are_ignored() {
        let line = "NICKNAME: a STARTING: false RUNNING: false STOPPING: false KEYS: false QUIET: \
                    true INPORT: not_set INHOST: not_set OUTPORT: not_set OUTHOST: not_set \
                    PROXYTYPE: none";
        let status = Status::parse(line).expect("valid");
        assert!(status.is_idle() && status.quiet && status.in_host.is_none());
    }

    #[test]
    fn malformed_lines_are_refused() {
        assert_eq!(Status::parse(""), Err(StatusError("NICKNAME")));
        let line = "NICKNAME: a STARTING: maybe";
        assert_eq!(Status::parse(line), Err(StatusError("STARTING")));
    }
}
