//! Import of the SAM bridge of Java I2P: `sam.config`, and its arguments in `clients.config`.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use eepkit_services::options::session_option_problem;
use eepkit_wire::ConfigFile;

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Imported {
    /// The text of `eepkit.toml`.
    pub(crate) config: String,
    /// User names, and the salted hashes of their passwords.
    pub(crate) users: Vec<(String, String)>,
    /// Whether clients need a name and a password.
    pub(crate) password_required: bool,
    /// The settings that were not imported, with the reasons, as sentences.
    pub(crate) left_out: Vec<String>,
}

/// The reason why files cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportError {
    /// None of the files configures a SAM bridge.
    NoBridge,
    /// A port or host is invalid.
    Value { key: String, value: String },
    /// Passwords are required, but there are no users.
    NoUsers,
}

impl ImportError {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NoBridge => "no SAM bridge of Java I2P is configured there".to_owned(),
            Self::Value { key, value } => format!("{key} cannot be {value:?}"),
            Self::NoUsers => {
                "sam.auth=true asks for passwords, and there is no sam.auth.USER.shash".to_owned()
            }
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoBridge => {
                Some("give sam.config, or the clients.config with net.i2p.sam.SAMBridge in it")
            }
            Self::Value { .. } => None,
            Self::NoUsers => Some("nobody could connect: set sam.auth=false, or add users first"),
        }
    }
}

impl Imported {
    /// Converts the combined settings of the files. `users_file` is the name of the users file to
    /// be written, and `source` describes the files.
    pub(crate) fn from_files(
        files: &[ConfigFile],
        source: &str,
        users_file: &str,
    ) -> Result<Self, ImportError> {
        let mut bridge = Bridge::default();
        for file in files {
            bridge.read(file)?;
        }
        if !bridge.found {
            return Err(ImportError::NoBridge);
        }
        bridge.finish(source, users_file)
    }
}

/// The settings of a bridge that were read so far.
#[derive(Debug, Default)]
struct Bridge {
    found: bool,
    /// The settings of `sam.config`. Those of the command line override them.
    settings: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    left_out: Vec<String>,
}

impl Bridge {
    fn read(&mut self, file: &ConfigFile) -> Result<(), ImportError> {
        let is_clients = |key: &str| key.starts_with("clientApp.");
        if !file.iter().any(|(key, _)| is_clients(key)) {
            self.found |= !file.is_empty();
            self.settings.extend(owned(file.iter()));
            return Ok(());
        }
        for (key, value) in file.iter() {
            let Some(client) = key.strip_suffix(".main").filter(|key| is_clients(key)) else {
                continue;
            };
            if value == SAM_BRIDGE {
                self.found = true;
                let args = file.get(&format!("{client}.args")).unwrap_or_default();
                self.command_line(args)?;
            }
        }
        Ok(())
    }

    /// `[-s] [-c FILE] [KEYFILE [HOST] PORT] [NAME=VALUE]...`
    fn command_line(&mut self, args: &str) -> Result<(), ImportError> {
        let mut words = args.split_whitespace();
        let mut plain = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "-s" => self.argument("sam.useSSL", "true"),
                "-c" => {
                    words.next();
                }
                _ => match word.split_once('=') {
                    Some((key, value)) => self.argument(key, value),
                    None => plain.push(word),
                },
            }
        }
        let wrong = || ImportError::Value {
            key: "the arguments of net.i2p.sam.SAMBridge".to_owned(),
            value: args.to_owned(),
        };
        match *plain {
            [] => {}
            [keys, port] => {
                self.argument("sam.keyfile", keys);
                self.argument("sam.tcp.port", port);
            }
            [keys, host, port] => {
                self.argument("sam.keyfile", keys);
                self.argument("sam.tcp.host", host);
                self.argument("sam.tcp.port", port);
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn argument(&mut self, key: &str, value: &str) {
        self.arguments.insert(key.to_owned(), value.to_owned());
    }

    fn finish(mut self, source: &str, users_file: &str) -> Result<Imported, ImportError> {
        let mut settings = std::mem::take(&mut self.settings);
        settings.extend(std::mem::take(&mut self.arguments));
        let mut settings = Settings(settings);

        let tcp = settings.address("sam.tcp.host", "sam.tcp.port", 7656)?;
        let udp = settings.address("sam.udp.host", "sam.udp.port", 7655)?;
        let is_tls = settings.flag("sam.useSSL");
        let password_required = settings.flag("sam.auth");
        let users = settings.users();
        if password_required && users.is_empty() {
            return Err(ImportError::NoUsers);
        }
        let router = self.router(&mut settings);
        if is_tls {
            let keystore = settings.take("sam.keystoreFile");
            self.left_out.push(keystore_note(keystore.as_deref()));
        }
        for key in KEYSTORE {
            settings.take(key);
        }
        let overrides = self.overrides(settings);

        let mut config = format!("# Made by `eepkit import sam` from {source}.\n");
        let _ = write!(
            config,
            "\n# Java I2P's router. \"embedded\" is one in this process.\n\
             [router]\nrouter = {}\n\n[sam]\n",
            quoted(&router)
        );
        match (tcp, is_tls) {
            (None, false) => {}
            (Some(at), false) => line(&mut config, "listen", &format!("[{}]", quoted(&at))),
            (at, true) => {
                let at = at.unwrap_or_else(|| "127.0.0.1:7656".to_owned());
                line(&mut config, "listen", "[]");
                line(&mut config, "listen_tls", &format!("[{}]", quoted(&at)));
                line(&mut config, "tls_certificate", &quoted("sam.crt"));
                line(&mut config, "tls_key", &quoted("sam.key"));
            }
        }
        if let Some(at) = udp {
            line(&mut config, "udp", &format!("[{}]", quoted(&at)));
        }
        if !users.is_empty() {
            line(&mut config, "users", &quoted(users_file));
        }
        if !overrides.is_empty() {
            config.push_str("\n# Whatever clients say, as in Java I2P.\n[sam.overrides]\n");
            for (key, value) in &overrides {
                line(&mut config, &quoted(key), &quoted(value));
            }
        }
        if !self.left_out.is_empty() {
            config.push_str("\n# Not taken over:\n");
            for sentence in &self.left_out {
                let _ = writeln!(config, "# * {sentence}");
            }
        }
        Ok(Imported {
            config,
            users,
            password_required,
            left_out: self.left_out,
        })
    }

    /// Returns the address of the router.
    fn router(&mut self, settings: &mut Settings) -> String {
        let mut take = |keys: [&str; 2]| {
            keys.map(|key| settings.take(key))
                .into_iter()
                .flatten()
                .next()
        };
        let host = take(["i2cp.tcp.host", "i2cp.host"]);
        let port = take(["i2cp.tcp.port", "i2cp.port"]);
        let (user, password) = (
            settings.take("i2cp.username"),
            settings.take("i2cp.password"),
        );
        let scheme = match settings.flag("i2cp.SSL") {
            true => "i2cps",
            false => "i2cp",
        };
        let login = match (user, password) {
            (Some(user), Some(password)) => format!("{user}:{password}@"),
            _ => String::new(),
        };
        let (host, port) = (
            host.unwrap_or_else(|| LOOPBACK.to_owned()),
            port.unwrap_or_else(|| "7654".to_owned()),
        );
        let host = match host.parse() {
            Ok(IpAddr::V6(_)) => format!("[{host}]"),
            _ => host,
        };
        let address = format!("{scheme}://{login}{host}:{port}");
        match eepkit::Router::attach(&address) {
            Ok(_) => address,
            Err(_) => {
                // The address may contain a password.
                self.left_out.push(format!(
                    "the router at {host}:{port}: hosts are IP addresses or localhost, and names and \
                     passwords hold no \":\", \"@\" or \"?\"; put its address into [router]"
                ));
                format!("i2cp://{LOOPBACK}:7654")
            }
        }
    }

    /// Returns the session options, and records settings that are not session options.
    fn overrides(&mut self, settings: Settings) -> Vec<(String, String)> {
        let mut overrides = Vec::new();
        for (key, value) in settings.0 {
            let known = MEANINGLESS
                .iter()
                .find(|(meaningless, _)| *meaningless == key);
            let why = match known {
                Some((_, why)) => Some((*why).to_owned()),
                None if key.starts_with("sam.") => Some("is not known here".to_owned()),
                None if !key.contains('.') && key != "shouldBundleReplyInfo" => {
                    Some("is no option of a session".to_owned())
                }
                None => session_option_problem(&key, &value),
            };
            match why {
                Some(why) => self.left_out.push(format!("{key}: {why}")),
                None => overrides.push((key, value)),
            }
        }
        overrides
    }
}

struct Settings(BTreeMap<String, String>);

impl Settings {
    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    /// Parses a flag as Java does: every value except `true` is false.
    fn flag(&mut self, key: &str) -> bool {
        self.take(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Returns an address to listen on if the host or the port is set.
    fn address(
        &mut self,
        host: &str,
        port: &str,
        default: u16,
    ) -> Result<Option<String>, ImportError> {
        let (given_host, given_port) = (self.take(host), self.take(port));
        if given_host.is_none() && given_port.is_none() {
            return Ok(None);
        }
        let wrong = |key: &str, value: &str| ImportError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let ip: IpAddr = match given_host.as_deref() {
            None => LOOPBACK,
            Some(name) if name.eq_ignore_ascii_case("localhost") => LOOPBACK,
            Some(text) => text,
        }
        .parse()
        .map_err(|_| wrong(host, given_host.as_deref().unwrap_or_default()))?;
        let number = match &given_port {
            None => default,
            Some(text) => text.parse().map_err(|_| wrong(port, text))?,
        };
        Ok(Some(std::net::SocketAddr::new(ip, number).to_string()))
    }

    fn users(&mut self) -> Vec<(String, String)> {
        let name = |key: &str| {
            let name = key.strip_prefix("sam.auth.")?.strip_suffix(".shash")?;
            (!name.is_empty()).then(|| name.to_owned())
        };
        let users: Vec<_> = self
            .0
            .iter()
            .filter_map(|(key, hash)| Some((name(key)?, hash.clone())))
            .collect();
        self.0.retain(|key, _| name(key).is_none());
        users
    }
}

fn keystore_note(file: Option<&str>) -> String {
    let file = file.unwrap_or("keystore/sam-NAME.ks");
    format!(
        "the keystore {file}: make sam.crt and sam.key of it, with sam.keystorePassword and \
         sam.keyPassword: keytool -importkeystore -srckeystore {file} -destkeystore sam.p12 \
         -deststoretype pkcs12, then openssl pkcs12 -in sam.p12 -nokeys -out sam.crt and openssl \
         pkcs12 -in sam.p12 -nocerts -nodes -out sam.key"
    )
}

fn owned<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (String, String)> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

fn line(config: &mut String, key: &str, value: &str) {
    let _ = writeln!(config, "{key} = {value}");
}

/// Quotes a text for TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const LOOPBACK: &str = "127.0.0.1";

/// The class of the bridge in `clients.config`.
const SAM_BRIDGE: &str = "net.i2p.sam.SAMBridge";

/// The settings that concern only the keystore.
const KEYSTORE: [&str; 4] = [
    "sam.keystoreFile",
    "sam.keystorePassword",
    "sam.keyPassword",
    "sam.keyAlias",
];

/// Settings without an equivalent in eepkit.
const MEANINGLESS: [(&str, &str); 6] = [
    (
        "sam.keyfile",
        "the keys of SAM 1 and 2 by their names: older_versions = true and older_keys use the file",
    ),
    (
        "sam.forceFlush",
        "what clients write is sent as soon as nothing more comes",
    ),
    ("sam.shutdownOnOOM", "a setting of Java"),
    ("loglevel", "use -v or RUST_LOG"),
    (
        "i2cp.messageReliability",
        "a setting of Java I2P's client library",
    ),
    ("i2cp.fastReceive", "a setting of Java I2P's client library"),
];

#[cfg(test)]
mod tests;
