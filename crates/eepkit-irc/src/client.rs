//! The filter between an IRC client and a server on I2P.

use std::collections::VecDeque;

use crate::{
    lines::{Limits, Line, Lines},
    message::Message,
};

/// Filters the connection of an IRC client to a server on I2P.
///
/// From the client, commands of a list pass. `USER` loses the name of the host, `PART` and `QUIT`
/// their text, `PING` and `PONG` what the client takes for the address of the server. From the
/// server, numeric replies and commands of a list pass. In both directions, messages with CTCP
/// requests are dropped, except `ACTION`: a client answers them with its version, its local time or
/// its IP address. DCC offers contain IP addresses, and are dropped as well.
///
/// Lines are passed on with CR LF. A line that has not ended when the connection ends is dropped.
#[derive(Debug, Clone)]
pub struct ClientFilter {
    from_client: Lines,
    from_server: Lines,
    hides_user: bool,
    /// The parameters of the server's pings that the client has not answered.
    server_pings: VecDeque<Vec<u8>>,
    /// The answer that the client expects to its last ping, if the ping was changed.
    expected_pong: Option<Vec<u8>>,
    dropped: Dropped,
}

/// How many lines a [`ClientFilter`] has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Lines of the client.
    pub from_client: u64,
    /// Lines of the server.
    pub from_server: u64,
}

impl ClientFilter {
    /// Creates a filter.
    pub fn new() -> Self {
        Self {
            from_client: Lines::new(LIMITS),
            from_server: Lines::new(LIMITS),
            hides_user: false,
            server_pings: VecDeque::new(),
            expected_pong: None,
            dropped: Dropped::default(),
        }
    }

    /// Replaces the user name and the real name by `user`. Many clients send the name of the login
    /// and the full name of the person unless they are configured otherwise.
    #[must_use]
    pub fn hide_user(mut self, hide: bool) -> Self {
        self.hides_user = hide;
        self
    }

    /// Adds bytes of the client, and appends what may be sent to the server to `output`.
    pub fn receive_from_client(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        // Taken out, because the closure borrows the rest.
        let mut lines = std::mem::replace(&mut self.from_client, Lines::new(LIMITS));
        lines.push(bytes, |line| {
            let filtered = match line {
                Line::Whole(line) => self.outbound(line),
                Line::TooLong => None,
            };
            match filtered {
                Some(line) => append(output, &line),
                None => self.dropped.from_client += 1,
            }
            true
        });
        self.from_client = lines;
    }

    /// Adds bytes of the server, and appends what may be sent to the client to `output`.
    pub fn receive_from_server(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        let mut lines = std::mem::replace(&mut self.from_server, Lines::new(LIMITS));
        lines.push(bytes, |line| {
            let filtered = match line {
                Line::Whole(line) => self.inbound(line),
                Line::TooLong => None,
            };
            match filtered {
                Some(line) => append(output, &line),
                None => self.dropped.from_server += 1,
            }
            true
        });
        self.from_server = lines;
    }

    /// How many lines were dropped.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Filters a line of the client.
    fn outbound(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(line)?;
        // Clients do not send sources. The tags of a client reach other users, except the label,
        // which the server returns.
        if message.source.is_some() || holds_request(&message) {
            return None;
        }
        let label = message.tags.and_then(label);
        let filtered = match &message.verb()[..] {
            b"PING" => self.ping(&message),
            b"PONG" => {
                let token = self.server_pings.pop_front()?;
                Some(joined(&[b"PONG", &token]))
            }
            b"USER" => Some(self.user(&message)),
            b"PART" => {
                let parameters = message.parameters();
                let channels = parameters.first()?;
                Some(joined(&[b"PART", channels, b":leaving"]))
            }
            b"QUIT" => Some(b"QUIT :leaving".to_vec()),
            b"PRIVMSG" | b"NOTICE" => {
                let is_notice = message.command.eq_ignore_ascii_case(b"NOTICE");
                let is_refused = is_notice && announces_dcc(&message);
                (!is_refused).then(|| without_tags(&message))
            }
            verb => {
                let is_allowed = OUTBOUND.iter().any(|allowed| allowed.as_bytes() == verb);
                is_allowed.then(|| without_tags(&message))
            }
        }?;
        Some(match label {
            Some(label) => joined(&[&[b"@label=", label].concat(), &filtered]),
            None => filtered,
        })
    }

    /// The second parameter of a ping is the server as the client addresses it, which is the local
    /// end of the tunnel. The answer gets it again, because some clients compare it.
    fn ping(&mut self, message: &Message<'_>) -> Option<Vec<u8>> {
        self.expected_pong = None;
        match message.parameters()[..] {
            [] => Some(b"PING".to_vec()),
            [token] => Some(joined(&[b"PING", &trailing(token)])),
            [token, server, ..] => {
                self.expected_pong = Some(joined(&[b"PONG", server, &[b":", token].concat()]));
                Some(joined(&[b"PING", &trailing(token)]))
            }
        }
    }

    /// The second parameter of `USER` is the client's host or a mode, the third is the server.
    fn user(&self, message: &Message<'_>) -> Vec<u8> {
        let parameters = message.parameters();
        let parameter = |at: usize| parameters.get(at).copied().unwrap_or_default();
        let is_mode = !parameter(1).is_empty() && parameter(1).iter().all(u8::is_ascii_digit);
        let mode = if is_mode { parameter(1) } else { b"hostname" };
        let unused: &[u8] = if parameter(2) == b"*" {
            b"*"
        } else {
            b"localhost"
        };
        let (name, real) = match self.hides_user {
            true => (&b"user"[..], &b"user"[..]),
            false => (parameter(0), parameter(3)),
        };
        let name = if name.is_empty() { b"user" } else { name };
        let real = if real.is_empty() { b"user" } else { real };
        joined(&[b"USER", name, mode, unused, &[b":", real].concat()])
    }

    /// Filters a line of the server.
    fn inbound(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(line)?;
        let verb = message.verb();
        if verb.len() == 3 && verb.iter().all(u8::is_ascii_digit) {
            return Some(line.to_vec());
        }
        match &verb[..] {
            b"PING" => {
                if self.server_pings.len() == MAX_PINGS {
                    self.server_pings.pop_front();
                }
                self.server_pings.push_back(message.rest.to_vec());
                Some(line.to_vec())
            }
            b"PONG" => Some(self.expected_pong.take().unwrap_or_else(|| line.to_vec())),
            b"PRIVMSG" | b"NOTICE" => (!holds_request(&message)).then(|| line.to_vec()),
            b"CAP" => Some(without_tls(&message).unwrap_or_else(|| line.to_vec())),
            verb => {
                let is_allowed = INBOUND.iter().any(|allowed| allowed.as_bytes() == verb);
                is_allowed.then(|| line.to_vec())
            }
        }
    }
}

impl Default for ClientFilter {
    fn default() -> Self {
        Self::new()
    }
}

fn append(output: &mut Vec<u8>, line: &[u8]) {
    output.extend_from_slice(line);
    output.extend_from_slice(b"\r\n");
}

fn joined(words: &[&[u8]]) -> Vec<u8> {
    words.join(&b' ')
}

/// Writes a last parameter.
fn trailing(parameter: &[u8]) -> Vec<u8> {
    let is_plain =
        !parameter.is_empty() && !parameter.starts_with(b":") && !parameter.contains(&b' ');
    match is_plain {
        true => parameter.to_vec(),
        false => [b":", parameter].concat(),
    }
}

fn without_tags(message: &Message<'_>) -> Vec<u8> {
    match message.rest.is_empty() {
        true => message.command.to_vec(),
        false => joined(&[message.command, message.rest]),
    }
}

/// The value of the tag `label` (IRCv3, labeled responses).
fn label(tags: &[u8]) -> Option<&[u8]> {
    let label = tags
        .split(|byte| *byte == b';')
        .find_map(|tag| tag.strip_prefix(b"label="))?;
    (!label.is_empty() && label.len() <= MAX_LABEL).then_some(label)
}

/// Whether a message contains a CTCP request other than one `ACTION`. The mark of CTCP may be
/// anywhere in a message.
fn holds_request(message: &Message<'_>) -> bool {
    let marks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == CTCP).count();
    if marks(message.rest) == 0 {
        return false;
    }
    let parameters = message.parameters();
    let is_action = match parameters[..] {
        [_, text] => {
            marks(message.rest) == 2
                && text.ends_with(&[CTCP])
                && (text.starts_with(b"\x01ACTION ") || text == b"\x01ACTION\x01")
        }
        _ => false,
    };
    !is_action
}

/// Whether a notice announces a DCC offer in plain text, as mIRC does, with the client's address.
fn announces_dcc(message: &Message<'_>) -> bool {
    message.parameters().iter().skip(1).any(|text| {
        text.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"DCC "))
    })
}

/// A list of capabilities without those that make a client connect again with TLS to a port of the
/// server, past the tunnel. `None` if there is nothing to remove.
fn without_tls(message: &Message<'_>) -> Option<Vec<u8>> {
    let parameters = message.parameters();
    let (list, before) = parameters.split_last()?;
    let is_tls = |capability: &&[u8]| {
        let name = capability.split(|byte| *byte == b'=').next();
        matches!(name, Some(b"sts" | b"tls" | b"-sts" | b"-tls"))
    };
    let capabilities: Vec<&[u8]> = list.split(|byte| *byte == b' ').collect();
    if !capabilities.iter().any(is_tls) {
        return None;
    }
    let kept: Vec<&[u8]> = capabilities
        .into_iter()
        .filter(|capability| !is_tls(capability))
        .collect();
    let mut words: Vec<Vec<u8>> = Vec::new();
    words.extend(message.tags.map(|tags| [b"@", tags].concat()));
    words.extend(message.source.map(|source| [b":", source].concat()));
    words.push(message.command.to_vec());
    words.extend(before.iter().map(|word| word.to_vec()));
    words.push([b":", &kept.join(&b' ')[..]].concat());
    Some(words.join(&b' '))
}

/// The mark of CTCP.
const CTCP: u8 = 1;

/// A line has at most 510 bytes (RFC 1459, section 2.3), and its tags 8,190 (IRCv3, message tags).
/// Twice the former, because servers with long names exceed it.
const LIMITS: Limits = Limits {
    tags: 8191,
    rest: 1024,
};

/// Chosen because a server waits for the answer to a ping before it sends another.
const MAX_PINGS: usize = 8;

/// Source: IRCv3, labeled responses.
const MAX_LABEL: usize = 64;

/// Commands of a server that pass. The source is the documentation of Java I2P; `BATCH`, `FAIL`,
/// `INVITE`, `KILL`, `NOTE`, `SETNAME`, `TAGMSG` and `WARN` are of RFC 2812 and IRCv3, and make no
/// client answer.
const INBOUND: &[&str] = &[
    "ACCOUNT",
    "AUTHENTICATE",
    "AWAY",
    "BATCH",
    "CHGHOST",
    "ERROR",
    "FAIL",
    "H",
    "INVITE",
    "JOIN",
    "KICK",
    "KILL",
    "MODE",
    "NICK",
    "NOTE",
    "PART",
    "PROTOCTL",
    "QUIT",
    "SETNAME",
    "TAGMSG",
    "TOPIC",
    "WALLOPS",
    "WARN",
];

/// Commands of a client that pass unchanged: those of users, of services and of operators. The
/// source is the documentation of Java I2P.
const OUTBOUND: &[&str] = &[
    "ACCEPT",
    "ADMIN",
    "AUTHENTICATE",
    "AWAY",
    "CAP",
    "COMMANDS",
    "CYCLE",
    "DCCALLOW",
    "DEVOICE",
    "FPART",
    "HELPME",
    "HELPOP",
    "INVITE",
    "ISON",
    "JOIN",
    "KICK",
    "KNOCK",
    "LINKS",
    "LIST",
    "LUSERS",
    "MAP",
    "MODE",
    "MOTD",
    "NAMES",
    "NICK",
    "OPER",
    "PASS",
    "PROTOCTL",
    "RULES",
    "SETNAME",
    "SILENCE",
    "SSLINFO",
    "STATS",
    "TBAN",
    "TITLE",
    "TOPIC",
    "UNINVITE",
    "USERHOST",
    "USERS",
    "VHOST",
    "WATCH",
    "WHO",
    "WHOIS",
    "WHOWAS",
    // Services.
    "BOTSERV",
    "BS",
    "CHANSERV",
    "CS",
    "HELPSERV",
    "HOSTSERV",
    "HS",
    "MEMOSERV",
    "MS",
    "NICKSERV",
    "NS",
    "OPERSERV",
    "OS",
    "STATSERV",
    // Operators.
    "ADCHAT",
    "ADDMOTD",
    "ADDOMOTD",
    "CBAN",
    "CHATOPS",
    "CHECK",
    "CHGHOST",
    "CHGIDENT",
    "CHGNAME",
    "CLOSE",
    "DCCDENY",
    "DIE",
    "ELINE",
    "FILTER",
    "GLINE",
    "GLOBOPS",
    "GZLINE",
    "HTM",
    "JUMPSERVER",
    "KILL",
    "KLINE",
    "LOADMODULE",
    "LOCKSERV",
    "LOCOPS",
    "MKPASSWD",
    "NACHAT",
    "NICKLOCK",
    "NICKUNLOCK",
    "OLINE",
    "OPERMOTD",
    "REHASH",
    "RELOADMODULE",
    "RESTART",
    "RLINE",
    "SAJOIN",
    "SAKICK",
    "SAMODE",
    "SANICK",
    "SAPART",
    "SATOPIC",
    "SDESC",
    "SETHOST",
    "SETIDENT",
    "SHUN",
    "SPAMFILTER",
    "SQUIT",
    "TEMPSHUN",
    "TLINE",
    "UNDCCDENY",
    "UNLOCKSERV",
    "WALLOPS",
    "ZLINE",
];

#[cfg(test)]
mod tests;
