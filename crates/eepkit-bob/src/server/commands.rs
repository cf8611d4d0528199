//! The commands. Replies are those of Java I2P, unless a comment names a reason.

use eepkit_wire::{Destination, Host, PrivateKeys, SignatureType};

use super::{Request, connection::Connection, parse_host};
use crate::{
    command::{Command, Help},
    database::{Database, DatabaseError},
    target,
    tunnel::{Nickname, Stage, Tunnel},
};

impl Connection {
    pub(super) fn command(&mut self, database: &mut Database, command: Command) {
        match command {
            Command::Help(about) => self.help(about.as_deref()),
            Command::Clear => self.clear(database),
            Command::GetDest => self.get_dest(database),
            Command::GetKeys => self.get_keys(database),
            Command::GetNick(nick) => self.get_nick(database, &nick),
            Command::InHost(host) => {
                self.set_host(database, &host, "inhost set", |tunnel| &mut tunnel.in_host)
            }
            Command::InPort(port) => self.set_port(database, &port, "inbound port set", |tunnel| {
                &mut tunnel.in_port
            }),
            Command::List => self.list(database),
            Command::LookUp(name) => self.look_up(&name),
            Command::NewKeys(kind) => self.new_keys(database, kind.as_deref()),
            Command::SetOption(pairs) => self.set_option(database, &pairs),
            Command::OutHost(host) => self.set_host(database, &host, "outhost set", |tunnel| {
                &mut tunnel.out_host
            }),
            Command::OutPort(port) => {
                self.set_port(database, &port, "outbound port set", |tunnel| {
                    &mut tunnel.out_port
                });
            }
            Command::Quiet(quiet) => self.change(database, |_, tunnel| {
                tunnel.quiet = quiet;
                Ok("Quiet set".to_owned())
            }),
            Command::Quit => self.quit(),
            Command::SetKeys(keys) => self.set_keys(database, &keys),
            Command::SetNick(nick) => self.set_nick(database, &nick),
            Command::Show => self.show(database),
            Command::ShowProps => self.show_props(database),
            Command::Start => self.start(database),
            Command::Status(nick) => self.status(database, &nick),
            Command::Stop => self.stop(database),
            Command::Verify(text) => match is_destination(&text) {
                true => self.send("OK\n"),
                false => self.error(NOT_BASE64),
            },
            Command::Visit => {
                self.request(Request::Visit);
                self.ok("");
            }
            Command::Zap => {
                if self.config.zap {
                    self.request(Request::Zap);
                }
                self.quit();
            }
        }
    }

    fn help(&mut self, about: Option<&str>) {
        let Some(about) = about else {
            let names: Vec<&str> = Help::ALL.iter().map(|help| help.name).collect();
            return self.ok(&format!("COMMANDS: {}", names.join(" ")));
        };
        // Help on an unknown word is the one command without an answer. Source: specification.
        if let Some(help) = Help::ALL
            .iter()
            .find(|help| help.name.eq_ignore_ascii_case(about))
        {
            let Help {
                name,
                operand,
                text,
            } = help;
            let space = if operand.is_empty() { "" } else { " " };
            self.ok(&format!("{name}{space}{operand} * {text}"));
        }
    }

    fn set_nick(&mut self, database: &mut Database, nick: &str) {
        self.selected = None;
        let nick = match Nickname::new(nick) {
            Ok(nick) => nick,
            Err(error) => return self.error(&error.to_string()),
        };
        let tunnel = Tunnel::new(&nick, &self.config.options);
        match database.insert(nick.clone(), tunnel) {
            Ok(()) => self.select(nick),
            Err(error) => self.error(&error.to_string()),
        }
    }

    fn get_nick(&mut self, database: &Database, nick: &str) {
        match Nickname::new(nick)
            .ok()
            .filter(|nick| database.tunnel(nick).is_some())
        {
            Some(nick) => self.select(nick),
            None => self.error(NO_NICKNAME),
        }
    }

    fn select(&mut self, nick: Nickname) {
        self.ok(&format!("Nickname set to {nick}"));
        self.selected = Some(nick);
    }

    /// The selected tunnel, if it exists.
    fn selected<'a>(&self, database: &'a Database) -> Option<(Nickname, &'a Tunnel)> {
        let nick = self.selected.clone()?;
        let tunnel = database.tunnel(&nick)?;
        Some((nick, tunnel))
    }

    /// Changes the selected tunnel, and answers with the result of `change`.
    fn change(
        &mut self,
        database: &mut Database,
        change: impl FnOnce(&mut Self, &mut Tunnel) -> Result<String, String>,
    ) {
        let nick = self.selected.clone();
        let tunnel = match &nick {
            Some(nick) => database.change(nick),
            None => Err(DatabaseError::Unknown),
        };
        let changed = match tunnel {
            Ok(tunnel) => change(self, tunnel),
            Err(error) => Err(error.to_string()),
        };
        match changed {
            Ok(text) => self.ok(&text),
            Err(why) => self.error(&why),
        }
    }

    fn new_keys(&mut self, database: &mut Database, kind: Option<&str>) {
        self.change(database, |this, tunnel| {
            let kind = match kind {
                None => this.config.default_signature_type,
                Some(text) => text
                    .parse::<SignatureType>()
                    .map_err(|_| "unknown signature type".to_owned())?,
            };
            let keys = PrivateKeys::generate(kind, &mut this.rng)
                .map_err(|_| "generating keys".to_owned())?;
            let text = keys.destination().to_base64();
            tunnel.keys = Some(keys);
            Ok(text)
        });
    }

    fn set_keys(&mut self, database: &mut Database, keys: &str) {
        self.change(database, |_, tunnel| {
            // Java I2P accepts only keys of 884 characters, which excludes all but DSA_SHA1.
            let keys = PrivateKeys::from_base64(keys).map_err(|_| NOT_BASE64.to_owned())?;
            let text = keys.destination().to_base64();
            tunnel.keys = Some(keys);
            Ok(text)
        });
    }

    fn get_keys(&mut self, database: &Database) {
        let keys = self
            .selected(database)
            .and_then(|(_, tunnel)| tunnel.keys.as_ref());
        match keys.map(PrivateKeys::to_base64) {
            Some(keys) => self.ok(&keys),
            None => self.error("no public key has been set"),
        }
    }

    fn get_dest(&mut self, database: &Database) {
        match self.selected(database).map(|(_, tunnel)| &tunnel.keys) {
            Some(Some(keys)) => self.ok(&keys.destination().to_base64()),
            Some(None) => self.error("keys not set."),
            None => self.error(NO_NICKNAME),
        }
    }

    fn set_port(
        &mut self,
        database: &mut Database,
        text: &str,
        answer: &str,
        field: impl FnOnce(&mut Tunnel) -> &mut Option<u16>,
    ) {
        self.change(database, |_, tunnel| {
            let field = field(tunnel);
            // As in Java I2P, an invalid value removes the old one.
            *field = None;
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number {
                return Err("not a number".to_owned());
            }
            match text.parse() {
                Ok(port @ 2..) => *field = Some(port),
                _ => return Err("port out of range".to_owned()),
            }
            Ok(answer.to_owned())
        });
    }

    fn set_host(
        &mut self,
        database: &mut Database,
        text: &str,
        answer: &str,
        field: impl FnOnce(&mut Tunnel) -> &mut String,
    ) {
        self.change(database, |this, tunnel| {
            parse_host(text, this.config.anywhere)?;
            text.clone_into(field(tunnel));
            Ok(answer.to_owned())
        });
    }

    fn set_option(&mut self, database: &mut Database, pairs: &[String]) {
        self.change(database, |_, tunnel| {
            let mut set = Vec::new();
            for pair in pairs {
                let Some((key, value)) = pair.split_once('=').filter(|(key, value)| {
                    !key.is_empty() && !value.is_empty() && is_plain(key) && is_plain(value)
                }) else {
                    return Err(NO_OPTIONS.to_owned());
                };
                set.push((key, value));
            }
            if set.is_empty() {
                return Err(NO_OPTIONS.to_owned());
            }
            let mut texts = Vec::new();
            for (key, value) in set {
                if !tunnel.set(key, value) {
                    return Err(NO_OPTIONS.to_owned());
                }
                texts.push(format!("{key} set to {value}"));
            }
            Ok(texts.join(", "))
        });
    }

    fn look_up(&mut self, name: &str) {
        match name.parse() {
            // A destination needs no look-up. Java I2P finds only names that end with .i2p.
            Ok(Host::Destination(destination)) => self.ok(&destination.to_base64()),
            Ok(host) => self.request(Request::LookUp(host)),
            Err(_) => self.error("Address Not found."),
        }
    }

    fn start(&mut self, database: &mut Database) {
        let ready = self
            .selected(database)
            .filter(|(_, tunnel)| tunnel.is_complete());
        let Some((nick, _)) = ready else {
            return self.error("tunnel settings incomplete");
        };
        if database.stage(&nick) != Some(Stage::Idle) {
            return self.error(&DatabaseError::Active.to_string());
        }
        database.set_stage(&nick, Stage::Starting);
        self.request(Request::Start(nick));
    }

    fn stop(&mut self, database: &mut Database) {
        let Some((nick, _)) = self.selected(database) else {
            return self.error(NO_NICKNAME);
        };
        if database.stage(&nick) != Some(Stage::Running) {
            return self.error("tunnel is inactive");
        }
        database.set_stage(&nick, Stage::Stopping);
        self.request(Request::Stop(nick));
        self.ok("tunnel stopping");
    }

    fn clear(&mut self, database: &mut Database) {
        let removed = match &self.selected {
            Some(nick) => database.remove(nick),
            None => Err(DatabaseError::Unknown),
        };
        match removed {
            Ok(()) => {
                self.selected = None;
                self.ok("cleared");
            }
            Err(error) => self.error(&error.to_string()),
        }
    }

    fn list(&mut self, database: &Database) {
        let all = database
            .nicknames()
            .filter_map(|nick| database.status(nick));
        let lines: String = all.map(|status| format!("DATA {status}\n")).collect();
        self.send(&(lines + "OK Listing done\n"));
    }

    fn status(&mut self, database: &Database, nick: &str) {
        let nick = Nickname::new(nick).ok();
        match nick.and_then(|nick| database.status(&nick)) {
            Some(status) => self.ok(&format!("DATA {status}")),
            None => self.error(NO_NICKNAME),
        }
    }

    fn show(&mut self, database: &Database) {
        let selected = self.selected.as_ref();
        match selected.and_then(|nick| database.status(nick)) {
            Some(status) => self.ok(&status.to_string()),
            None => self.error(NO_NICKNAME),
        }
    }

    fn show_props(&mut self, database: &Database) {
        let Some((_, tunnel)) = self.selected(database) else {
            return self.error(NO_NICKNAME);
        };
        let pairs = tunnel.options.iter();
        let pairs: Vec<String> = pairs
            .map(|(key, value)| format!("{key}={}", **value))
            .collect();
        self.ok(&format!("PROPERTIES: {{{}}}", pairs.join(", ")));
    }
}

/// Whether a text is a destination, or private keys, which begin with one.
fn is_destination(text: &str) -> bool {
    Destination::from_base64(text).is_ok()
        || matches!(target::parse(text), Ok(Host::Destination(_)))
}

/// Whether a text can be saved: a comment would end it there.
fn is_plain(text: &str) -> bool {
    text.len() <= MAX_OPTION && text.chars().all(|c| c.is_ascii_graphic() && c != '#')
}

const NO_NICKNAME: &str = "no nickname has been set";
const NOT_BASE64: &str = "not in BASE64 format";
const NO_OPTIONS: &str = "too many or no options.";

/// The longest key or value of an option, in bytes. Chosen because lists of keys of encrypted lease
/// sets are the longest values.
const MAX_OPTION: usize = 4096;
