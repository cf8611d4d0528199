//! Commands, and the table of their help.

use zeroize::Zeroizing;

/// A command of a client.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Describe the commands, or one of them.
    Help(Option<String>),
    /// Remove the selected tunnel.
    Clear,
    /// Return the destination of the selected tunnel.
    GetDest,
    /// Return the keys of the selected tunnel.
    GetKeys,
    /// Select a tunnel.
    GetNick(String),
    /// Set the host on which the selected tunnel listens.
    InHost(String),
    /// Set the port on which the selected tunnel listens.
    InPort(String),
    /// List all tunnels.
    List,
    /// Look up a name.
    LookUp(String),
    /// Generate keys for the selected tunnel. i2pd accepts the number of a signature type.
    NewKeys(Option<String>),
    /// Set options of the selected tunnel.
    SetOption(Vec<String>),
    /// Set the host to which the selected tunnel connects.
    OutHost(String),
    /// Set the port to which the selected tunnel connects.
    OutPort(String),
    /// Set whether the selected tunnel omits the line that names the peer.
    Quiet(bool),
    /// Close the connection.
    Quit,
    /// Set the keys of the selected tunnel.
    SetKeys(Zeroizing<String>),
    /// Create a tunnel and select it.
    SetNick(String),
    /// Describe the selected tunnel.
    Show,
    /// Return the options of the selected tunnel.
    ShowProps,
    /// Start the selected tunnel.
    Start,
    /// Describe a tunnel.
    Status(String),
    /// Stop the selected tunnel.
    Stop,
    /// Check that a text is a destination.
    Verify(String),
    /// Write the state of the bridge to its log.
    Visit,
    /// Stop the bridge.
    Zap,
}

/// A line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("UNKNOWN COMMAND! Try help")]
pub struct CommandError;

impl Command {
    /// Parses a line. Case does not matter for the name of the command. Words after the operand are
    /// ignored. `None` is an empty line.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if there is no such command.
    pub fn parse(line: &str) -> Result<Option<Self>, CommandError> {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else {
            return Ok(None);
        };
        let name = name.to_ascii_lowercase();
        let all: Vec<&str> = words.collect();
        let first = all.first().copied();
        let operand = || first.unwrap_or_default().to_owned();
        let optional = || first.map(str::to_owned);
        Ok(Some(match name.as_str() {
            "help" => Self::Help(optional()),
            "clear" => Self::Clear,
            "getdest" => Self::GetDest,
            "getkeys" => Self::GetKeys,
            "getnick" => Self::GetNick(operand()),
            "inhost" => Self::InHost(operand()),
            "inport" => Self::InPort(operand()),
            "list" => Self::List,
            "lookup" => Self::LookUp(operand()),
            "newkeys" => Self::NewKeys(optional()),
            "option" => Self::SetOption(all.into_iter().map(str::to_owned).collect()),
            "outhost" => Self::OutHost(operand()),
            "outport" => Self::OutPort(operand()),
            // Without an operand, i2pd sets it, as the specification does, and Java I2P clears it.
            "quiet" => Self::Quiet(first.is_none_or(|word| word.eq_ignore_ascii_case("true"))),
            "quit" => Self::Quit,
            "setkeys" => Self::SetKeys(Zeroizing::new(operand())),
            "setnick" => Self::SetNick(operand()),
            "show" => Self::Show,
            "showprops" => Self::ShowProps,
            "start" => Self::Start,
            "status" => Self::Status(operand()),
            "stop" => Self::Stop,
            "verify" => Self::Verify(operand()),
            "visit" => Self::Visit,
            "zap" => Self::Zap,
            _ => return Err(CommandError),
        }))
    }

    /// Formats the line, including its line end.
    ///
    /// The name of the command is in lower case, because i2pd reads no other.
    pub fn to_line(&self) -> Zeroizing<String> {
        let (name, operand) = match self {
            Self::Help(about) => ("help", about.as_deref().unwrap_or_default()),
            Self::Clear => ("clear", ""),
            Self::GetDest => ("getdest", ""),
            Self::GetKeys => ("getkeys", ""),
            Self::GetNick(nick) => ("getnick", nick.as_str()),
            Self::InHost(host) => ("inhost", host.as_str()),
            Self::InPort(port) => ("inport", port.as_str()),
            Self::List => ("list", ""),
            Self::LookUp(name) => ("lookup", name.as_str()),
            Self::NewKeys(kind) => ("newkeys", kind.as_deref().unwrap_or_default()),
            Self::SetOption(pairs) => return line("option", &pairs.join(" ")),
            Self::OutHost(host) => ("outhost", host.as_str()),
            Self::OutPort(port) => ("outport", port.as_str()),
            Self::Quiet(true) => ("quiet", "True"),
            Self::Quiet(false) => ("quiet", "False"),
            Self::Quit => ("quit", ""),
            Self::SetKeys(keys) => ("setkeys", keys.as_str()),
            Self::SetNick(nick) => ("setnick", nick.as_str()),
            Self::Show => ("show", ""),
            Self::ShowProps => ("showprops", ""),
            Self::Start => ("start", ""),
            Self::Status(nick) => ("status", nick.as_str()),
            Self::Stop => ("stop", ""),
            Self::Verify(text) => ("verify", text.as_str()),
            Self::Visit => ("visit", ""),
            Self::Zap => ("zap", ""),
        };
        line(name, operand)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetKeys(_) => f.write_str("setkeys (secret)"),
            // Options may contain keys of encrypted lease sets.
            Self::SetOption(pairs) => write!(f, "option ({} pairs)", pairs.len()),
            other => f.write_str(other.to_line().trim_end()),
        }
    }
}

/// Formats a line. Characters that would end it become spaces.
fn line(name: &str, operand: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(name.len() + operand.len() + 2));
    line.push_str(name);
    if !operand.is_empty() {
        line.push(' ');
        line.extend(
            operand
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c }),
        );
    }
    line.push('\n');
    line
}

/// The help of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Help {
    /// The name of the command.
    pub name: &'static str,
    /// Its operand; empty if it has none.
    pub operand: &'static str,
    /// What it does.
    pub text: &'static str,
}

impl Help {
    /// The help of every command, in the order in which `help` names them.
    pub const ALL: &'static [Self] = &[
        Self::of("help", "<command>", "Describes a command."),
        Self::of(
            "clear",
            "",
            "Removes the selected tunnel, if it is not active.",
        ),
        Self::of(
            "getdest",
            "",
            "Returns the destination of the selected tunnel.",
        ),
        Self::of(
            "getkeys",
            "",
            "Returns the private keys of the selected tunnel.",
        ),
        Self::of("getnick", "tunnelname", "Selects a tunnel."),
        Self::of(
            "inhost",
            "IP",
            "Sets the address on which the tunnel listens.",
        ),
        Self::of(
            "inport",
            "port_number",
            "Sets the port on which the tunnel listens.",
        ),
        Self::of("list", "", "Lists all tunnels."),
        Self::of(
            "lookup",
            "hostname",
            "Returns the destination of an I2P name.",
        ),
        Self::of("newkeys", "", "Generates keys for the selected tunnel."),
        Self::of("option", "key=value", "Sets I2CP and streaming options."),
        Self::of(
            "outhost",
            "IP",
            "Sets the address to which the tunnel connects.",
        ),
        Self::of(
            "outport",
            "port_number",
            "Sets the port to which the tunnel connects.",
        ),
        Self::of(
            "quiet",
            "True | False",
            "Omits the line with the peer's destination.",
        ),
        Self::of("quit", "", "Closes this connection. Tunnels stay."),
        Self::of(
            "setkeys",
            "BASE64_keypair",
            "Sets the keys of the selected tunnel.",
        ),
        Self::of("setnick", "tunnelname", "Creates a tunnel and selects it."),
        Self::of("show", "", "Returns the status of the selected tunnel."),
        Self::of(
            "showprops",
            "",
            "Returns the options of the selected tunnel.",
        ),
        Self::of("start", "", "Starts the selected tunnel."),
        Self::of("status", "tunnelname", "Returns the status of a tunnel."),
        Self::of("stop", "", "Stops the selected tunnel."),
        Self::of(
            "verify",
            "BASE64_key",
            "Checks that a text is a destination.",
        ),
        Self::of("visit", "", "Writes the tunnels to the log."),
        Self::of("zap", "", "Stops all tunnels and the bridge."),
    ];

    const fn of(name: &'static str, operand: &'static str, text: &'static str) -> Self {
        Self {
            name,
            operand,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_help_and_round_trips() {
        for help in Help::ALL {
            let line = format!("{} operand=1", help.name);
            let command = Command::parse(&line)
                .expect("a command")
                .expect("not empty");
            let text = command.to_line();
            assert_eq!(Command::parse(&text), Ok(Some(command)), "{}", help.name);
        }
    }

    #[test]
    fn case_and_further_words_do_not_matter() {
        let command = Command::parse("  SetNick  Mouse junk\t").expect("a command");
        assert_eq!(command, Some(Command::SetNick("Mouse".to_owned())));
        assert_eq!(Command::parse(" \t"), Ok(None));
        assert_eq!(Command::parse("nonsense"), Err(CommandError));
    }

    #[test]
    fn quiet_has_an_optional_operand() {
        for (line, quiet) in [
            ("quiet", true),
            ("quiet True", true),
            ("quiet true", true),
            ("quiet False", false),
            ("quiet maybe", false),
        ] {
            assert_eq!(
                Command::parse(line),
                Ok(Some(Command::Quiet(quiet))),
                "{line}"
            );
        }
    }

    #[test]
    fn an_operand_cannot_end_a_line() {
        let line = Command::SetNick("a\nzap".to_owned()).to_line();
        assert_eq!(line.as_str(), "setnick a zap\n");
    }

    #[test]
    fn debug_output_contains_no_keys() {
        let keys = Command::SetKeys(Zeroizing::new("secret".to_owned()));
        let option = Command::SetOption(vec!["i2cp.leaseSetPrivKey=secret".to_owned()]);
        assert!(!format!("{keys:?}{option:?}").contains("secret="));
        assert!(!format!("{option:?}").contains("PrivKey"));
    }
}
