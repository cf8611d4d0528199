//! What a client asks of a bridge, and the lines for it.

use std::{fmt, time::Duration};

use bytes::Bytes;
use eepkit_wire::{Destination, PrivateKeys, SignatureType, Zeroizing};

use super::error::RequestError;
use crate::{
    datagram::SendOptions,
    key,
    message::LineBuilder,
    session::OWN_KEYS,
    style::{RESERVED_PROTOCOLS, Style},
    version::Version,
};

/// Something that a client asks of a bridge.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Request {
    /// SESSION CREATE; the session ends with the connection.
    Create(Create),
    /// SESSION ADD, on the connection that created a PRIMARY session.
    Add(Subsession),
    /// SESSION REMOVE: ends a subsession.
    Remove {
        /// The ID of the subsession.
        id: String,
    },
    /// STREAM CONNECT. Once granted the connection is the stream.
    Connect(Connect),
    /// STREAM ACCEPT. Once somebody comes the connection is the stream.
    Accept(Accept),
    /// STREAM FORWARD: the bridge makes a TCP connection for each stream that comes, until this
    /// connection ends.
    Forward(Forward),
    /// NAMING LOOKUP.
    Lookup(Lookup),
    /// DEST GENERATE: new keys, of this type.
    Generate(SignatureType),
    /// PING, which the bridge gives back.
    Ping(String),
    /// QUIT: ends the session and the connection.
    Quit,
}

/// A session to be created.
#[derive(Debug, Clone)]
pub struct Create {
    /// The ID, which no other session of the bridge has.
    pub id: String,
    /// What it carries.
    pub style: Style,
    /// Its destination.
    pub keys: Keys,
    /// Where streams and datagrams come from if nothing else is said; since 3.2.
    pub from_port: u16,
    /// Where they go to if nothing else is said; since 3.2.
    pub to_port: u16,
    /// The protocol of raw datagrams; since 3.2.
    pub protocol: Option<u8>,
    /// Whether raw datagrams are forwarded with their ports and protocol; since 3.2.
    pub header: bool,
    /// The UDP port to forward datagrams to; without it they come on the connection.
    pub forward_port: Option<u16>,
    /// The host of that port; that of the client if it is left out.
    pub forward_host: Option<String>,
    /// Options for the router.
    pub options: SessionOptions,
}

impl Create {
    /// A session with this ID, style and destination, and otherwise with nothing said.
    pub fn new(id: impl Into<String>, style: Style, keys: Keys) -> Self {
        Self {
            id: id.into(),
            style,
            keys,
            from_port: 0,
            to_port: 0,
            protocol: None,
            header: false,
            forward_port: None,
            forward_host: None,
            options: SessionOptions::default(),
        }
    }
}

/// The destination of a session.
#[derive(Clone)]
pub enum Keys {
    /// A new one, of this type, whose keys are in the answer.
    Transient(SignatureType),
    /// That of these keys. **The bridge gets them all**, and whoever has them is the destination.
    Given(Box<PrivateKeys>),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(kind) => f.debug_tuple("Transient").field(kind).finish(),
            Self::Given(keys) => f.debug_tuple("Given").field(keys.destination()).finish(),
        }
    }
}

/// A subsession of a PRIMARY session.
#[derive(Debug, Clone)]
pub struct Subsession {
    /// The ID, which no other session or subsession of the bridge has.
    pub id: String,
    /// What it carries; anything but PRIMARY.
    pub style: Style,
    /// As in [`Create::from_port`].
    pub from_port: u16,
    /// As in [`Create::to_port`].
    pub to_port: u16,
    /// As in [`Create::protocol`].
    pub protocol: Option<u8>,
    /// The port that it gets what comes for; [`Subsession::from_port`] if it is left out, 0 for all.
    pub listen_port: Option<u16>,
    /// The protocol that it gets what comes with, for raw datagrams; 0 for all.
    pub listen_protocol: Option<u8>,
    /// As in [`Create::header`].
    pub header: bool,
    /// As in [`Create::forward_port`], but bridges insist on it for datagrams.
    pub forward_port: Option<u16>,
    /// As in [`Create::forward_host`].
    pub forward_host: Option<String>,
    /// Options of streams.
    pub options: SessionOptions,
}

impl Subsession {
    /// A subsession with this ID and style, and otherwise with nothing said.
    pub fn new(id: impl Into<String>, style: Style) -> Self {
        Self {
            id: id.into(),
            style,
            from_port: 0,
            to_port: 0,
            protocol: None,
            listen_port: None,
            listen_protocol: None,
            header: false,
            forward_port: None,
            forward_host: None,
            options: SessionOptions::default(),
        }
    }
}

/// A stream to a peer.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The session that it comes from.
    pub id: String,
    /// The peer: a destination in base64, an address or a name.
    pub to: String,
    /// The port on this side; since 3.2.
    pub from_port: u16,
    /// The port at the peer; since 3.2.
    pub to_port: u16,
    /// Whether the bridge says nothing, and just closes where it fails.
    pub silent: bool,
}

/// The next stream that comes to a session.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The session.
    pub id: String,
    /// Whether the bridge says nothing, not even who the peer is.
    pub silent: bool,
}

/// Where the streams that come to a session are forwarded to.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The session.
    pub id: String,
    /// The TCP port.
    pub port: u16,
    /// Its host; that of the client if it is left out.
    pub host: Option<String>,
    /// Whether the bridge begins with the stream's data, and does not say who the peer is.
    pub silent: bool,
    /// Whether the bridge speaks TLS to that port; since 3.2.
    pub tls: bool,
}

/// A name to be looked up.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// A name, an address, or ME for the destination of the session.
    pub name: String,
    /// Whether the options of its lease set are wanted, which takes a search of the network. Only
    /// newest bridges have them.
    pub options: bool,
}

impl Request {
    /// A look-up of this name.
    pub fn lookup(name: impl Into<String>) -> Self {
        Self::Lookup(Lookup {
            name: name.into(),
            options: false,
        })
    }

    /// The line for it, where `version` is spoken.
    ///
    /// # Errors
    ///
    /// [`RequestError::TooOld`] and [`RequestError::Invalid`].
    pub(super) fn line(&self, version: Version) -> Result<Zeroizing<String>, RequestError> {
        let needs = |since: Version, what| match version >= since {
            true => Ok(()),
            false => Err(RequestError::TooOld {
                what,
                since,
                spoken: version,
            }),
        };
        let ports = |line: LineBuilder, from: u16, to: u16| {
            if from != 0 || to != 0 {
                needs(Version::V3_2, "a port")?;
            }
            let some = |port| (port != 0).then_some(port);
            Ok::<_, RequestError>(
                line.pair_if("FROM_PORT", some(from))
                    .pair_if("TO_PORT", some(to)),
            )
        };
        let line = match self {
            Self::Create(create) => create.line(version)?,
            Self::Add(add) => {
                // Not 3.3: see the quirks of emissary.
                needs(Version::V3_2, "a subsession")?;
                add.line(version)?
            }
            Self::Remove { id } => {
                needs(Version::V3_2, "a subsession")?;
                LineBuilder::new("SESSION REMOVE").pair("ID", checked_id(id, version)?)
            }
            Self::Connect(connect) => {
                let line = LineBuilder::new("STREAM CONNECT")
                    .pair("ID", checked_id(&connect.id, version)?)
                    .pair("DESTINATION", plain(&connect.to)?)
                    .pair("SILENT", connect.silent);
                ports(line, connect.from_port, connect.to_port)?
            }
            Self::Accept(accept) => LineBuilder::new("STREAM ACCEPT")
                .pair("ID", checked_id(&accept.id, version)?)
                .pair("SILENT", accept.silent),
            Self::Forward(forward) => {
                if forward.port == 0 {
                    return Err(RequestError::Invalid(
                        "streams cannot be forwarded to port 0",
                    ));
                }
                if forward.tls {
                    needs(Version::V3_2, "TLS to a forwarded stream")?;
                }
                let host = forward.host.as_deref().map(plain).transpose()?;
                LineBuilder::new("STREAM FORWARD")
                    .pair("ID", checked_id(&forward.id, version)?)
                    .pair("PORT", forward.port)
                    .pair_if("HOST", host)
                    .pair("SILENT", forward.silent)
                    .pair_if("SSL", forward.tls.then_some(true))
            }
            Self::Lookup(lookup) => LineBuilder::new("NAMING LOOKUP")
                .pair("NAME", plain(&lookup.name)?)
                .pair_if("OPTIONS", lookup.options.then_some(true)),
            Self::Generate(kind) => {
                if *kind != SignatureType::DSA_SHA1 {
                    needs(Version::V3_1, "a signature type")?;
                }
                // Bridges of 3.0 do not know the word, and make the same without it.
                let known = version >= Version::V3_1;
                LineBuilder::new("DEST GENERATE").pair_if("SIGNATURE_TYPE", known.then_some(kind.0))
            }
            Self::Ping(text) => {
                needs(Version::V3_2, "PING")?;
                if text.is_empty() {
                    return Err(RequestError::Invalid("i2pd takes no PING without a text"));
                }
                LineBuilder::new(&format!("PING {text}"))
            }
            Self::Quit => {
                needs(Version::V3_2, "QUIT")?;
                LineBuilder::new("QUIT")
            }
        };
        let line = Zeroizing::new(line.finish());
        if line.len() > MAX_SENT_LINE {
            return Err(RequestError::Invalid(
                "the line would be longer than bridges read, which is 8 KiB",
            ));
        }
        Ok(line)
    }
}

impl Create {
    fn line(&self, version: Version) -> Result<LineBuilder, RequestError> {
        if self.style == Style::Primary {
            let extras = self.from_port != 0
                || self.to_port != 0
                || self.forward_port.is_some()
                || self.forward_host.is_some();
            if extras {
                return Err(RequestError::Invalid(
                    "a PRIMARY session has no ports: its subsessions have",
                ));
            }
        }
        let mut line = LineBuilder::new("SESSION CREATE")
            .pair("STYLE", self.style)
            .pair("ID", checked_id(&self.id, version)?);
        line = match &self.keys {
            Keys::Transient(kind)
                if *kind != SignatureType::DSA_SHA1 && version < Version::V3_1 =>
            {
                return Err(RequestError::TooOld {
                    what: "a signature type",
                    since: Version::V3_1,
                    spoken: version,
                });
            }
            Keys::Transient(kind) => line.pair("DESTINATION", "TRANSIENT").pair_if(
                "SIGNATURE_TYPE",
                (version >= Version::V3_1).then_some(kind.0),
            ),
            Keys::Given(keys) => {
                if keys.offline().is_some() && !self.style.takes_offline_keys() {
                    return Err(RequestError::Invalid(
                        "DATAGRAM has no place for offline keys, DATAGRAM2 has",
                    ));
                }
                line.pair("DESTINATION", keys.to_base64().as_str())
            }
        };
        let what = Addressing {
            style: self.style,
            from_port: self.from_port,
            to_port: self.to_port,
            protocol: self.protocol,
            header: self.header,
            forward_port: self.forward_port,
            forward_host: self.forward_host.as_deref(),
        };
        what.add_to(line, version)
            .and_then(|line| self.options.add_to(line, version))
    }
}

impl Subsession {
    fn line(&self, version: Version) -> Result<LineBuilder, RequestError> {
        if self.style == Style::Primary {
            return Err(RequestError::Invalid("a subsession cannot be PRIMARY"));
        }
        let raw = self.style == Style::Raw;
        if self.listen_protocol.is_some() && !raw {
            return Err(RequestError::Invalid(
                "only raw datagrams choose a protocol",
            ));
        }
        let line = LineBuilder::new("SESSION ADD")
            .pair("STYLE", self.style)
            .pair("ID", checked_id(&self.id, version)?);
        let what = Addressing {
            style: self.style,
            from_port: self.from_port,
            to_port: self.to_port,
            protocol: self.protocol,
            header: self.header,
            forward_port: self.forward_port,
            forward_host: self.forward_host.as_deref(),
        };
        let line = what
            .add_to(line, version)?
            .pair_if("LISTEN_PORT", self.listen_port)
            .pair_if("LISTEN_PROTOCOL", self.listen_protocol);
        self.options.add_to(line, version)
    }
}

/// What sessions and subsessions have in common.
struct Addressing<'a> {
    style: Style,
    from_port: u16,
    to_port: u16,
    protocol: Option<u8>,
    header: bool,
    forward_port: Option<u16>,
    forward_host: Option<&'a str>,
}

impl Addressing<'_> {
    fn add_to(&self, line: LineBuilder, version: Version) -> Result<LineBuilder, RequestError> {
        let new =
            self.from_port != 0 || self.to_port != 0 || self.protocol.is_some() || self.header;
        if new && version < Version::V3_2 {
            return Err(RequestError::TooOld {
                what: "a port, a protocol or a header",
                since: Version::V3_2,
                spoken: version,
            });
        }
        if self.style != Style::Raw && (self.protocol.is_some() || self.header) {
            return Err(RequestError::Invalid(
                "only raw datagrams have a protocol of their own and headers",
            ));
        }
        if self
            .protocol
            .is_some_and(|protocol| RESERVED_PROTOCOLS.contains(&protocol))
        {
            return Err(RequestError::Invalid(
                "raw datagrams cannot have the protocols 6, 17, 19 and 20",
            ));
        }
        let forwarded = self.forward_port.is_some() || self.forward_host.is_some();
        if forwarded && !self.style.is_datagrams() {
            return Err(RequestError::Invalid("only datagrams are forwarded by UDP"));
        }
        if self.forward_port == Some(0) {
            return Err(RequestError::Invalid(
                "datagrams cannot be forwarded to port 0",
            ));
        }
        let some = |port: u16| (port != 0).then_some(port);
        let host = self.forward_host.map(plain).transpose()?;
        Ok(line
            .pair_if("PORT", self.forward_port)
            .pair_if("HOST", host)
            .pair_if("FROM_PORT", some(self.from_port))
            .pair_if("TO_PORT", some(self.to_port))
            .pair_if("PROTOCOL", self.protocol)
            .pair_if("HEADER", self.header.then_some(true)))
    }
}

/// A datagram that goes over the connection of its session.
#[derive(Debug, Clone)]
pub struct SendDatagram {
    /// The style of the session or subsession, which is the newest of its kind.
    pub style: Style,
    /// The peer: a destination in base64, an address or a name.
    pub to: String,
    /// What this datagram says otherwise than its session. Only ports and the protocol have a place
    /// here, and those since 3.2; the rest goes by UDP only ([`SendHeader`](crate::SendHeader)).
    pub options: SendOptions,
    /// What it carries.
    pub payload: Bytes,
}

impl SendDatagram {
    /// The bytes for it.
    pub(super) fn bytes(&self, version: Version) -> Result<Vec<u8>, RequestError> {
        let words = match self.style {
            Style::Raw => "RAW SEND",
            style if style.is_datagrams() => "DATAGRAM SEND",
            _ => return Err(RequestError::Invalid("the session has no datagrams")),
        };
        if self.payload.is_empty() || self.payload.len() > self.style.max_payload() {
            return Err(RequestError::Invalid("the datagram is empty or too long"));
        }
        if self.style == Style::Raw && version < Version::V3_1 {
            return Err(RequestError::TooOld {
                what: "RAW SEND",
                since: Version::V3_1,
                spoken: version,
            });
        }
        let mut options = SendOptions {
            from_port: self.options.from_port,
            to_port: self.options.to_port,
            protocol: self.options.protocol.filter(|_| self.style == Style::Raw),
            ..SendOptions::default()
        };
        if !version.has_ports() {
            options = SendOptions::default();
        }
        let line = LineBuilder::new(words)
            .pair("DESTINATION", plain(&self.to)?)
            .pair("SIZE", self.payload.len());
        let mut bytes = options.add_to(line).finish().into_bytes();
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }
}

/// Options of a session for the router: what I2CP and the streaming library know by these names.
///
/// Every option is sent, in the order in which they were set, or refused.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionOptions {
    pairs: Vec<(String, String)>,
}

impl SessionOptions {
    /// The most options of a session.
    pub const MAX: usize = 256;

    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option; a later value replaces an earlier one.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] where the key is one of SAM's own, or key or value cannot be in a line.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidOption> {
        if OWN_KEYS.contains(&key) {
            return Err(InvalidOption::Own);
        }
        let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | '"' | '\'' | '\\');
        if key.is_empty() || !key.chars().all(allowed) {
            return Err(InvalidOption::Key);
        }
        if value.chars().any(char::is_control) {
            return Err(InvalidOption::Value);
        }
        if let Some(pair) = self.pairs.iter_mut().find(|(there, _)| there == key) {
            value.clone_into(&mut pair.1);
            return Ok(());
        }
        if self.pairs.len() == Self::MAX {
            return Err(InvalidOption::TooMany);
        }
        self.pairs.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The options in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn add_to(&self, mut line: LineBuilder, version: Version) -> Result<LineBuilder, RequestError> {
        for (key, value) in &self.pairs {
            if !version.has_escapes() && value.contains(['"', '\\']) {
                return Err(RequestError::Invalid(
                    "before SAM 3.2 the value of an option holds no quotes and backslashes",
                ));
            }
            if !version.has_utf8() && !value.is_ascii() {
                return Err(RequestError::Invalid(
                    "before SAM 3.2 the value of an option is ASCII",
                ));
            }
            line = line.pair(key, value);
        }
        Ok(line)
    }
}

impl fmt::Debug for SessionOptions {
    /// The keys: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(|(key, _)| key))
            .finish()
    }
}

/// Why something is no option of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOption {
    /// The key means something else to a bridge.
    #[error("it is a parameter of SAM, and no option of the router")]
    Own,
    /// The key is empty or holds what a key cannot hold.
    #[error("a key is made of visible ASCII without quotes, backslashes and =")]
    Key,
    /// The value holds control characters.
    #[error("a value has no control characters")]
    Value,
    /// There are more than a bridge keeps.
    #[error("a session has at most {} options", SessionOptions::MAX)]
    TooMany,
}

/// A user of the bridge and the password.
#[derive(Clone)]
pub struct Login {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

impl Login {
    /// This user with this password. What a line cannot hold becomes spaces, which no bridge takes.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: Zeroizing::new(password.into()),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// The destination that a text is.
pub(super) fn read_destination(text: &str) -> Option<Destination> {
    match key::parse_target(text).ok()? {
        eepkit_wire::Host::Destination(destination) => Some(destination),
        _ => None,
    }
}

fn checked_id(id: &str, version: Version) -> Result<&str, RequestError> {
    key::check_id(id, version)
        .map_err(|_| RequestError::Invalid("this cannot be the ID of a session"))?;
    Ok(id)
}

fn plain(text: &str) -> Result<&str, RequestError> {
    match super::quirks::is_plain(text) && !text.contains(char::is_control) {
        true => Ok(text),
        false => Err(RequestError::Invalid(
            "a name or host is not empty and holds no spaces, quotes and control characters",
        )),
    }
}

/// What Java I2P and i2pd read of a line.
const MAX_SENT_LINE: usize = 8 * 1024;

/// How long a bridge may take to say which version it speaks. Chosen as many times what a busy
/// router takes.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
