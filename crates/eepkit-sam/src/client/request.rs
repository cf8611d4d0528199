//! Requests of a client, and their lines.

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

/// A request to a bridge.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Request {
    /// SESSION CREATE. The session ends with the connection.
    Create(Create),
    /// SESSION ADD, on the connection that created a PRIMARY session.
    Add(Subsession),
    /// SESSION REMOVE.
    Remove {
        /// The ID of the subsession.
        id: String,
    },
    /// STREAM CONNECT. After success the connection is the stream.
    Connect(Connect),
    /// STREAM ACCEPT. Once a peer has opened a stream, the connection is the stream.
    Accept(Accept),
    /// STREAM FORWARD. The bridge opens a TCP connection for each stream of a peer, until this
    /// connection ends.
    Forward(Forward),
    /// NAMING LOOKUP.
    Lookup(Lookup),
    /// DEST GENERATE: new keys of this type.
    Generate(SignatureType),
    /// PING with this text, which the bridge returns in its PONG.
    Ping(String),
    /// QUIT. Ends the session and the connection.
    Quit,
}

/// A session to create.
#[derive(Debug, Clone)]
pub struct Create {
    /// The ID, unique on the bridge.
    pub id: String,
    /// The style.
    pub style: Style,
    /// The destination.
    pub keys: Keys,
    /// The default source port of streams and datagrams; since 3.2.
    pub from_port: u16,
    /// The default destination port of streams and datagrams; since 3.2.
    pub to_port: u16,
    /// The I2CP protocol number of raw datagrams; since 3.2.
    pub protocol: Option<u8>,
    /// Whether raw datagrams are forwarded with a line of ports and protocol; since 3.2.
    pub header: bool,
    /// The UDP port to which datagrams are forwarded. `None` delivers them on the connection.
    pub forward_port: Option<u16>,
    /// The host of that port; `None` is the host of the client.
    pub forward_host: Option<String>,
    /// Options for the router.
    pub options: SessionOptions,
}

impl Create {
    /// Creates a session with this ID, style and destination, and defaults otherwise.
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
    /// A new destination of this type. The answer contains its keys.
    Transient(SignatureType),
    /// The destination of these keys. **The bridge gets all private keys**, and whoever has them
    /// can act as the destination.
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
    /// The ID, unique among the sessions and subsessions of the bridge.
    pub id: String,
    /// The style; any but PRIMARY.
    pub style: Style,
    /// As in [`Create::from_port`].
    pub from_port: u16,
    /// As in [`Create::to_port`].
    pub to_port: u16,
    /// As in [`Create::protocol`].
    pub protocol: Option<u8>,
    /// The port on which it receives. `None` is [`Subsession::from_port`], 0 is every port.
    pub listen_port: Option<u16>,
    /// The protocol number that it receives, for raw datagrams; 0 is every protocol.
    pub listen_protocol: Option<u8>,
    /// As in [`Create::header`].
    pub header: bool,
    /// As in [`Create::forward_port`], but bridges require it for datagrams.
    pub forward_port: Option<u16>,
    /// As in [`Create::forward_host`].
    pub forward_host: Option<String>,
    /// Options of its streams.
    pub options: SessionOptions,
}

impl Subsession {
    /// Creates a subsession with this ID and style, and defaults otherwise.
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

/// A stream to open to a peer.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The session that opens it.
    pub id: String,
    /// The peer: a destination in base64, an address or a name.
    pub to: String,
    /// The port on this side; since 3.2.
    pub from_port: u16,
    /// The port at the peer; since 3.2.
    pub to_port: u16,
    /// Whether the bridge sends no status, and only closes the connection on failure.
    pub silent: bool,
}

/// A wait for the next stream that a peer opens to a session.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The session.
    pub id: String,
    /// Whether the bridge sends neither a status nor the peer.
    pub silent: bool,
}

/// The address to which the streams of a session are forwarded.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The session.
    pub id: String,
    /// The TCP port.
    pub port: u16,
    /// The host of that port; `None` is the host of the client.
    pub host: Option<String>,
    /// Whether the bridge sends the data of the stream without a line that names the peer.
    pub silent: bool,
    /// Whether the bridge uses TLS on that port; since 3.2.
    pub tls: bool,
}

/// A name to look up.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// A name, an address, or ME for the destination of the session.
    pub name: String,
    /// Whether to request the options of its lease set, which requires a search of the network.
    /// Only the newest bridges support it.
    pub options: bool,
}

impl Request {
    /// Creates a look-up of this name.
    pub fn lookup(name: impl Into<String>) -> Self {
        Self::Lookup(Lookup {
            name: name.into(),
            options: false,
        })
    }

    /// Formats the request for `version`.
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
                // Bridges of 3.0 do not support the parameter, and generate DSA_SHA1 keys without
                // it.
                let known = version >= Version::V3_1;
                LineBuilder::new("DEST GENERATE").pair_if("SIGNATURE_TYPE", known.then_some(kind.0))
            }
            Self::Ping(text) => {
                needs(Version::V3_2, "PING")?;
                if text.is_empty() {
                    return Err(RequestError::Invalid(
                        "a PING needs a text, because of i2pd",
                    ));
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
                "the line is longer than the 8 KiB that bridges read",
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
                    "a PRIMARY session has no ports, only its subsessions have",
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
                        "DATAGRAM does not support offline keys, use DATAGRAM2",
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
                "only raw datagrams can select a protocol",
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

/// The parameters that sessions and subsessions have in common.
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
                "only raw datagrams can have PROTOCOL and HEADER",
            ));
        }
        if self
            .protocol
            .is_some_and(|protocol| RESERVED_PROTOCOLS.contains(&protocol))
        {
            return Err(RequestError::Invalid(
                "raw datagrams cannot use the protocols 6, 17, 19 and 20",
            ));
        }
        let forwarded = self.forward_port.is_some() || self.forward_host.is_some();
        if forwarded && !self.style.is_datagrams() {
            return Err(RequestError::Invalid(
                "only datagrams can be forwarded by UDP",
            ));
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

/// A datagram to send over the connection of its session.
#[derive(Debug, Clone)]
pub struct SendDatagram {
    /// The style of the session or subsession that was created last for this kind of datagram.
    pub style: Style,
    /// The peer: a destination in base64, an address or a name.
    pub to: String,
    /// Options of this datagram that override those of its session. Only ports and the protocol are
    /// supported here, since 3.2. The other options are sent over UDP only
    /// ([`SendHeader`](crate::SendHeader)).
    pub options: SendOptions,
    /// The payload.
    pub payload: Bytes,
}

impl SendDatagram {
    /// Formats the datagram.
    pub(super) fn bytes(&self, version: Version) -> Result<Vec<u8>, RequestError> {
        let words = match self.style {
            Style::Raw => "RAW SEND",
            style if style.is_datagrams() => "DATAGRAM SEND",
            _ => return Err(RequestError::Invalid("the session does not send datagrams")),
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

/// Options of a session for the router, by the names that I2CP and the streaming library use.
///
/// Every option is either sent, in the order of the calls to [`SessionOptions::set`], or refused.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionOptions {
    pairs: Vec<(String, String)>,
}

impl SessionOptions {
    /// The maximum number of options of a session.
    pub const MAX: usize = 256;

    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option. A later value replaces an earlier one.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the key is one of SAM's own parameters, or if a line cannot contain the
    /// key or the value.
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
                    "before SAM 3.2 the value of an option cannot contain quotes and backslashes",
                ));
            }
            if !version.has_utf8() && !value.is_ascii() {
                return Err(RequestError::Invalid(
                    "before SAM 3.2 the value of an option must be ASCII",
                ));
            }
            line = line.pair(key, value);
        }
        Ok(line)
    }
}

impl fmt::Debug for SessionOptions {
    /// Formats the keys only, because values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(|(key, _)| key))
            .finish()
    }
}

/// The reason why an option is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOption {
    /// The key is a parameter of SAM.
    #[error("the key is a parameter of SAM, not an option of the router")]
    Own,
    /// The key is empty or contains a forbidden character.
    #[error("a key must be visible ASCII without quotes, backslashes and =")]
    Key,
    /// The value contains control characters.
    #[error("a value must not contain control characters")]
    Value,
    /// The session already has the maximum number of options.
    #[error("a session has at most {} options", SessionOptions::MAX)]
    TooMany,
}

/// A user of the bridge and its password.
#[derive(Clone)]
pub struct Login {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

impl Login {
    /// Creates a login. Control characters become spaces when the line is formatted, and no bridge
    /// accepts such a login.
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

/// Parses a destination, in base64 or as private keys.
pub(super) fn read_destination(text: &str) -> Option<Destination> {
    match key::parse_target(text).ok()? {
        eepkit_wire::Host::Destination(destination) => Some(destination),
        _ => None,
    }
}

fn checked_id(id: &str, version: Version) -> Result<&str, RequestError> {
    key::check_id(id, version)
        .map_err(|_| RequestError::Invalid("the ID is not a valid session ID"))?;
    Ok(id)
}

fn plain(text: &str) -> Result<&str, RequestError> {
    match super::quirks::is_plain(text) && !text.contains(char::is_control) {
        true => Ok(text),
        false => Err(RequestError::Invalid(
            "a name or host must not be empty or contain spaces, quotes or control characters",
        )),
    }
}

/// The longest line that Java I2P and i2pd read, in bytes.
const MAX_SENT_LINE: usize = 8 * 1024;

/// The time limit for the answer to HELLO. Chosen as a multiple of what a busy router needs.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
