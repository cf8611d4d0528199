//! A section of `eepkit.toml` that is being made from the settings of another router.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Note, Outcome, check};
use crate::{
    KINDS,
    options::{SessionOptions, session_option_problem},
    users::{UserError, Users},
};

/// A setting of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    /// The line, counted from 1.
    pub(super) line: usize,
}

/// The settings of one tunnel.
pub(super) type Settings = Vec<Setting>;

/// A section in the making. Each setting that is taken out of it must be noted.
#[derive(Debug)]
pub(super) struct Draft {
    file: String,
    name: String,
    line: usize,
    settings: Settings,
    /// The settings that were taken out and not noted.
    unnoted: Settings,
    kind: &'static str,
    enabled: bool,
    comment: Option<String>,
    keys: Vec<(&'static str, String)>,
    options: SessionOptions,
    notes: Vec<Note>,
    key_files: Vec<PathBuf>,
    users: Users,
    is_refused: bool,
}

impl Draft {
    pub(super) fn new(file: &str, name: String, line: usize, settings: Settings) -> Self {
        Self {
            file: file.to_owned(),
            name,
            line,
            settings,
            unnoted: Vec::new(),
            kind: "",
            enabled: true,
            comment: None,
            keys: Vec::new(),
            options: SessionOptions::new(),
            notes: Vec::new(),
            key_files: Vec::new(),
            users: Users::new(),
            is_refused: false,
        }
    }

    /// Takes a setting out. An empty value counts as none, but is noted.
    pub(super) fn take(&mut self, key: &str) -> Option<Setting> {
        let at = self.settings.iter().position(|one| one.key == key)?;
        let setting = self.settings.remove(at);
        self.unnoted.push(setting.clone());
        if setting.value.is_empty() {
            self.changed(&setting, "it is empty");
            return None;
        }
        Some(setting)
    }

    /// Takes all settings out whose key begins with `prefix`.
    pub(super) fn take_all(&mut self, prefix: &str) -> Vec<Setting> {
        let keys: Vec<String> = self
            .settings
            .iter()
            .map(|one| one.key.clone())
            .filter(|key| key.starts_with(prefix))
            .collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// Takes all remaining settings out.
    pub(super) fn take_rest(&mut self) -> Vec<Setting> {
        self.take_all("")
    }

    pub(super) fn set_kind(&mut self, kind: &'static str) {
        self.kind = kind;
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The private key files.
    pub(super) fn keys(&self) -> &[PathBuf] {
        &self.key_files
    }

    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(super) fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    pub(super) fn set_comment(&mut self, text: &str) {
        self.comment = Some(text.to_owned());
    }

    /// Sets a key to a text.
    pub(super) fn set(&mut self, key: &'static str, value: &str) {
        self.set_raw(key, quoted(value));
    }

    /// Sets a key to a value in the syntax of TOML.
    pub(super) fn set_raw(&mut self, key: &'static str, value: String) {
        self.keys.retain(|(other, _)| *other != key);
        self.keys.push((key, value));
    }

    /// Prefixes the target, because its server uses TLS.
    pub(super) fn target_uses_tls(&mut self) {
        for (key, value) in &mut self.keys {
            if *key == "target"
                && let Some(address) = value.strip_prefix('"')
            {
                *value = format!("\"tls:{address}");
            }
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(other, _)| *other == key)
    }

    pub(super) fn unset(&mut self, key: &str) {
        self.keys.retain(|(other, _)| *other != key);
    }

    /// Sets a key to several texts.
    pub(super) fn set_list(&mut self, key: &'static str, values: &[String]) {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.set_raw(key, format!("[{}]", values.join(", ")));
    }

    /// Sets an option of the session, and notes it.
    pub(super) fn option(&mut self, setting: &Setting, key: &str, value: &str) {
        match session_option_problem(key, value) {
            Some(why) => self.refused(setting, &why),
            None => {
                self.options.push(key, value);
                self.taken(setting, "options");
            }
        }
    }

    /// Sets an option of the session that was not a setting.
    pub(super) fn add_option(&mut self, key: &str, value: &str) {
        self.options.push(key, value);
    }

    /// Notes that a setting has become this key.
    pub(super) fn taken(&mut self, setting: &Setting, key: &str) {
        self.note(setting, Outcome::Taken, format!("{key} in [{}]", self.kind));
    }

    pub(super) fn changed(&mut self, setting: &Setting, text: &str) {
        self.note(setting, Outcome::Changed, text.to_owned());
    }

    pub(super) fn refused(&mut self, setting: &Setting, text: &str) {
        self.note(setting, Outcome::Refused, text.to_owned());
    }

    fn note(&mut self, setting: &Setting, outcome: Outcome, text: String) {
        self.unnoted.retain(|other| other.line != setting.line);
        self.notes.push(Note {
            file: self.file.clone(),
            line: setting.line,
            tunnel: self.name.clone(),
            key: Some(setting.key.clone()),
            outcome,
            text,
        });
    }

    /// Notes a fact about the whole tunnel.
    pub(super) fn remark(&mut self, outcome: Outcome, text: impl Into<String>) {
        self.notes.push(Note {
            file: self.file.clone(),
            line: self.line,
            tunnel: self.name.clone(),
            key: None,
            outcome,
            text: text.into(),
        });
    }

    /// Refuses the whole tunnel. The settings that are left are noted with it.
    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        self.is_refused = true;
        self.remark(Outcome::Refused, why);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Parses a flag.
    pub(super) fn flag(
        &mut self,
        key: &str,
        parse: fn(&str) -> Option<bool>,
    ) -> Option<(Setting, bool)> {
        let setting = self.take(key)?;
        match parse(&setting.value) {
            Some(flag) => Some((setting, flag)),
            None => {
                self.refused(&setting, "it is neither true nor false");
                None
            }
        }
    }

    /// Parses a number.
    pub(super) fn number<T: std::str::FromStr>(&mut self, key: &str) -> Option<(Setting, T)> {
        let setting = self.take(key)?;
        match setting.value.parse() {
            Ok(number) => Some((setting, number)),
            Err(_) => {
                self.refused(&setting, "it is no number that is possible there");
                None
            }
        }
    }

    /// Sets a key to an address made of a host and a port. `localhost` is 127.0.0.1; no name is
    /// looked up.
    pub(super) fn socket(
        &mut self,
        key: &'static str,
        host: &str,
        port: u16,
    ) -> Result<(), String> {
        let ip: IpAddr = match host {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            _ => host.parse().map_err(|_| {
                format!("{host:?} is no IP address, and names are not looked up outside of I2P")
            })?,
        };
        self.set(key, &SocketAddr::new(ip, port).to_string());
        Ok(())
    }

    /// Sets `keys` to a key file.
    pub(super) fn key_file(&mut self, setting: &Setting, directory: &Path) {
        let path = directory.join(&setting.value);
        self.set("keys", &path.display().to_string());
        self.key_files.push(path);
        self.taken(setting, "keys");
    }

    /// Sets `alternative_keys` to a key file.
    pub(super) fn alternative_key_file(&mut self, setting: &Setting, directory: &Path) {
        let path = directory.join(&setting.value);
        self.set_list("alternative_keys", &[path.display().to_string()]);
        self.key_files.push(path);
        self.taken(setting, "alternative_keys");
    }

    /// Adds a user of a proxy of Java I2P.
    ///
    /// # Errors
    ///
    /// [`UserError`].
    pub(super) fn add_user(
        &mut self,
        user: &str,
        realm: &str,
        sha256: &str,
    ) -> Result<(), UserError> {
        self.users.add_from_java_proxy(user, realm, sha256)
    }

    /// Sets `users` to a file for the users, if there are any.
    pub(super) fn file_of_users(&mut self) -> Option<(String, Users)> {
        if self.users.is_empty() || self.is_refused {
            return None;
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let name = self.name.replace(|c| !is_plain(c), "-");
        let file = format!("{}-{name}-users.json", self.kind);
        self.set("users", &file);
        self.set_raw("require_password", "true".to_owned());
        Some((file, std::mem::take(&mut self.users)))
    }

    /// Changes the name if another section of the kind has it, or if there is none.
    pub(super) fn make_unique(&mut self, number: usize, taken: &BTreeSet<(&'static str, String)>) {
        let is_free = |name: &str| !taken.contains(&(self.kind, name.to_owned()));
        if !self.name.is_empty() && is_free(&self.name) {
            return;
        }
        let base = match self.name.as_str() {
            "" => self.kind,
            name => name,
        };
        // There are fewer sections than numbers.
        let names = (number..).map(|number| format!("{base}-{number}"));
        let name = names.into_iter().find(|name| is_free(name));
        let name = name.unwrap_or_else(|| base.to_owned());
        self.remark(
            Outcome::Changed,
            format!("the name is {name:?}, because names are unique"),
        );
        self.name = name;
    }

    /// The text of the section, unless the tunnel is refused, and the notes.
    pub(super) fn finish(mut self) -> (Option<String>, Vec<Note>) {
        self.take_rest();
        for setting in self.unnoted.clone() {
            match self.is_refused {
                true => self.refused(&setting, "its tunnel is not taken over"),
                false => self.refused(&setting, "there is no such setting here"),
            }
        }
        if self.is_refused {
            return (None, self.notes);
        }
        if !KINDS.iter().any(|kind| kind.name == self.kind) {
            self.refuse("there is no such kind of tunnel here");
            return (None, self.notes);
        }
        let text = self.text(&self.name);
        if let Err(error) = check(&text) {
            let why = match &error.hint {
                Some(hint) => format!("{}; {hint}", error.message),
                None => error.message,
            };
            self.refuse(format!("the section would be invalid: {why}"));
            return (None, self.notes);
        }
        self.notes.sort_by_key(|note| note.line);
        (Some(text), self.notes)
    }

    fn text(&self, name: &str) -> String {
        let mut text = String::new();
        if let Some(comment) = &self.comment {
            let _ = writeln!(text, "# {}", comment.replace(char::is_control, " "));
        }
        let _ = writeln!(text, "[[{}]]", self.kind);
        let _ = writeln!(text, "name = {}", quoted(name));
        if !self.enabled {
            text.push_str("enabled = false\n");
        }
        for (key, value) in &self.keys {
            let _ = writeln!(text, "{key} = {value}");
        }
        // The last of several options with one key counts.
        let mut seen = BTreeSet::new();
        let mut pairs: Vec<String> = Vec::new();
        let all: Vec<_> = self.options.iter().collect();
        for (key, value) in all.into_iter().rev() {
            if seen.insert(key.to_owned()) {
                pairs.push(format!("{} = {}", quoted(key), quoted(value)));
            }
        }
        if !pairs.is_empty() {
            pairs.reverse();
            let _ = writeln!(text, "options = {{ {} }}", pairs.join(", "));
        }
        text
    }
}

/// Quotes a text for TOML, on one line.
pub(super) fn quoted(text: &str) -> String {
    let text = toml::Value::from(text).to_string();
    match text.contains('\n') {
        true => toml::Value::from(text.replace(char::is_control, " ")).to_string(),
        false => text,
    }
}
