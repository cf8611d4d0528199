//! The table of sessions of a bridge.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use eepkit_wire::{Destination, Hash};

use super::{
    config::Config,
    exchange::{SendDatagram, SessionKey},
};
use crate::{
    datagram::{PacketError, SendHeader, SendOptions},
    key,
    result::{Failure, ResultCode},
    session::SessionParams,
    style::{RESERVED_PROTOCOLS, Style},
};

/// The table of all sessions of a bridge. The machines of all connections and the driver share it.
///
/// A session is in one of three states: opening, open, or closing. The driver can store a value
/// with each session, the attachment ([`Directory::attach`]). A session that is closed immediately
/// loses its ID and its claim on its destination. If it has an attachment, it stays in the table as
/// closing until the driver calls [`Directory::closed`].
pub struct Directory<A = ()> {
    entries: HashMap<SessionKey, Entry<A>>,
    /// Sessions and subsessions that are not closing, by ID.
    ids: HashMap<String, SessionKey>,
    /// Sessions that are not closing, by destination.
    destinations: HashMap<Hash, SessionKey>,
    auth_required: bool,
    next_key: u64,
}

pub(super) struct Entry<A> {
    pub(super) params: SessionParams,
    /// `None` for subsessions.
    client: Option<Client>,
    pub(super) destination: Destination,
    pub(super) state: SessionState,
    pub(super) primary: Option<SessionKey>,
    pub(super) subsessions: Vec<SessionKey>,
    /// The number of sockets that wait for a stream.
    pub(super) accepts: usize,
    pub(super) forwarding: bool,
    attachment: Option<A>,
}

/// Who has sessions, for the limit per client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Client {
    /// A user that logged in.
    User(String),
    /// An address; `None` for Unix sockets.
    Address(Option<IpAddr>),
}

impl Client {
    /// The client at this address. Of an IPv6 address only the first half counts, because one host
    /// usually has all addresses of a /64 (RFC 4291, section 2.5.4).
    pub(super) fn at(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address {
            IpAddr::V6(address) if !address.is_loopback() => {
                let prefix = u128::from(address) >> 64 << 64;
                IpAddr::V6(prefix.into())
            }
            address => address,
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionState {
    /// The driver was requested to open it.
    Opening,
    Open,
    /// Its connection has ended. The driver has not finished closing it.
    Closing,
}

impl<A> Default for Directory<A> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            ids: HashMap::new(),
            destinations: HashMap::new(),
            auth_required: false,
            next_key: 0,
        }
    }
}

impl<A> Directory<A> {
    /// Creates an empty table that requires no authentication.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether clients need a name and a password from now on.
    pub fn set_auth_required(&mut self, required: bool) {
        self.auth_required = required;
    }

    /// Whether clients need a name and a password.
    pub fn is_auth_required(&self) -> bool {
        self.auth_required
    }

    /// The number of sessions, without subsessions.
    pub fn sessions(&self) -> usize {
        self.destinations.len()
    }

    /// The number of subsessions.
    pub fn subsessions(&self) -> usize {
        self.ids.len() - self.destinations.len()
    }

    /// Stores a value of the driver with a session or subsession, usually the handle of the session
    /// that it opened.
    ///
    /// # Errors
    ///
    /// Returns the attachment if the session does not exist or is closing.
    pub fn attach(&mut self, session: SessionKey, attachment: A) -> Result<(), A> {
        match self.entries.get_mut(&session) {
            Some(entry) if entry.state != SessionState::Closing => {
                entry.attachment = Some(attachment);
                Ok(())
            }
            _ => Err(attachment),
        }
    }

    /// The attachment of a session or subsession that is not closing.
    pub fn attachment(&self, session: SessionKey) -> Option<&A> {
        let entry = self.entries.get(&session)?;
        match entry.state {
            SessionState::Closing => None,
            SessionState::Opening | SessionState::Open => entry.attachment.as_ref(),
        }
    }

    /// The attachment of a session or subsession that is closing.
    pub fn closing(&self, session: SessionKey) -> Option<&A> {
        let entry = self.entries.get(&session)?;
        match entry.state {
            SessionState::Closing => entry.attachment.as_ref(),
            SessionState::Opening | SessionState::Open => None,
        }
    }

    /// The attachment of the closing session with this destination, if there is one.
    pub fn closing_at(&self, destination: &Hash) -> Option<&A> {
        let entry = self.entries.values().find(|entry| {
            entry.state == SessionState::Closing
                && entry.primary.is_none()
                && entry.destination.hash() == *destination
        })?;
        entry.attachment.as_ref()
    }

    /// Removes a closing session or subsession, and returns its attachment.
    pub fn closed(&mut self, session: SessionKey) -> Option<A> {
        self.closing(session)?;
        self.entries.remove(&session)?.attachment
    }

    /// Returns the session with an ID, if it is online.
    pub fn find(&self, id: &str) -> Option<SessionKey> {
        let key = self.ids.get(id)?;
        let entry = self.entries.get(key)?;
        (entry.state == SessionState::Open).then_some(*key)
    }

    /// Converts a packet to the UDP port into a datagram to send. The driver only counts errors,
    /// because the bridge sends no answers over UDP.
    ///
    /// # Errors
    ///
    /// [`DatagramError`].
    pub fn datagram(&self, packet: &Bytes) -> Result<SendDatagram, DatagramError> {
        let (header, payload) = SendHeader::parse(packet)?;
        let session = self.find(&header.id).ok_or(DatagramError::NoSession)?;
        let payload = packet.slice_ref(payload);
        self.send(session, &header.to, header.options, payload)
    }

    /// Creates a datagram of a session, with the defaults of the session.
    pub(super) fn send(
        &self,
        session: SessionKey,
        to: &str,
        options: SendOptions,
        payload: Bytes,
    ) -> Result<SendDatagram, DatagramError> {
        let entry = self.entries.get(&session).ok_or(DatagramError::NoSession)?;
        let params = &entry.params;
        let style = params.style;
        if !style.is_datagrams() {
            return Err(DatagramError::Style(style));
        }
        let protocol = match options.protocol {
            None => params.protocol,
            Some(protocol) if style == Style::Raw && !RESERVED_PROTOCOLS.contains(&protocol) => {
                protocol
            }
            Some(_) => return Err(DatagramError::Protocol),
        };
        let limit = style.max_payload();
        if payload.is_empty() || payload.len() > limit {
            return Err(DatagramError::Size {
                size: payload.len(),
                limit,
            });
        }
        Ok(SendDatagram {
            session,
            style,
            to: key::parse_target(to).map_err(|_| DatagramError::Destination)?,
            from_port: options.from_port.unwrap_or(params.from_port),
            to_port: options.to_port.unwrap_or(params.to_port),
            protocol,
            options,
            payload,
        })
    }

    pub(super) fn entry(&self, session: SessionKey) -> Option<&Entry<A>> {
        self.entries.get(&session)
    }

    pub(super) fn entry_mut(&mut self, session: SessionKey) -> Option<&mut Entry<A>> {
        self.entries.get_mut(&session)
    }

    /// Returns the STREAM session with an ID.
    pub(super) fn streams(&mut self, id: &str) -> Result<(SessionKey, &mut Entry<A>), Failure> {
        let unknown = || Failure::new(ResultCode::InvalidId, "no session has this ID");
        let key = self.find(id).ok_or_else(unknown)?;
        let entry = self.entries.get_mut(&key).ok_or_else(unknown)?;
        match entry.params.style {
            Style::Stream => Ok((key, entry)),
            Style::Primary => Err(Failure::new(
                ResultCode::InvalidId,
                "streams belong to subsessions, not to the PRIMARY session",
            )),
            style => Err(Failure::error(format!(
                "the session has STYLE={style}, not STREAM"
            ))),
        }
    }

    /// Registers a session that is about to be opened.
    pub(super) fn insert(
        &mut self,
        client: Client,
        params: SessionParams,
        destination: Destination,
        config: &Config,
    ) -> Result<SessionKey, Failure> {
        if self.ids.contains_key(&params.id) {
            return Err(Failure::new(ResultCode::DuplicatedId, ""));
        }
        if self.destinations.contains_key(&destination.hash()) {
            return Err(Failure::new(ResultCode::DuplicatedDest, ""));
        }
        if self.sessions() >= config.max_sessions {
            return Err(Failure::error(format!(
                "the bridge has {} sessions, the most that its option max_sessions allows",
                config.max_sessions
            )));
        }
        let limit = config.sessions_per_client();
        if self.sessions_of(&client) >= limit {
            let client = match client {
                Client::User(_) => "this user",
                Client::Address(Some(_)) => "this address",
                Client::Address(None) => "the Unix socket",
            };
            return Err(Failure::error(format!(
                "{client} has {limit} sessions, the most that the bridge's option \
                 max_sessions_per_client allows"
            )));
        }
        let hash = destination.hash();
        let key = self.add(Some(client), params, destination, None);
        self.destinations.insert(hash, key);
        Ok(key)
    }

    /// The number of sessions of a client that are not closing.
    fn sessions_of(&self, client: &Client) -> usize {
        self.destinations
            .values()
            .filter_map(|key| self.entries.get(key))
            .filter(|entry| entry.client.as_ref() == Some(client))
            .count()
    }

    /// Registers a subsession of an open primary session.
    pub(super) fn insert_subsession(
        &mut self,
        primary: SessionKey,
        params: SessionParams,
        config: &Config,
    ) -> Result<SessionKey, Failure> {
        if self.ids.contains_key(&params.id) {
            return Err(Failure::new(ResultCode::DuplicatedId, ""));
        }
        let entry = self
            .entries
            .get(&primary)
            .ok_or_else(|| Failure::error("the PRIMARY session is gone"))?;
        if entry.subsessions.len() >= config.max_subsessions {
            return Err(Failure::error(format!(
                "the session has {} subsessions, which is the most",
                config.max_subsessions
            )));
        }
        let listens = |params: &SessionParams| (params.listen_protocol, params.listen_port);
        let taken = entry
            .subsessions
            .iter()
            .filter_map(|key| self.entries.get(key))
            .any(|other| listens(&other.params) == listens(&params));
        if taken {
            return Err(Failure::error(
                "another subsession listens to the same protocol and port",
            ));
        }
        let destination = entry.destination.clone();
        let key = self.add(None, params, destination, Some(primary));
        if let Some(entry) = self.entries.get_mut(&primary) {
            entry.subsessions.push(key);
        }
        Ok(key)
    }

    fn add(
        &mut self,
        client: Option<Client>,
        params: SessionParams,
        destination: Destination,
        primary: Option<SessionKey>,
    ) -> SessionKey {
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        self.ids.insert(params.id.clone(), key);
        let entry = Entry {
            params,
            client,
            destination,
            state: SessionState::Opening,
            primary,
            subsessions: Vec::new(),
            accepts: 0,
            forwarding: false,
            attachment: None,
        };
        self.entries.insert(key, entry);
        key
    }

    /// Frees the IDs of a session and its subsessions, or of a subsession. A session with an
    /// attachment becomes closing. The driver is requested to close the session, not its
    /// subsessions.
    pub(super) fn remove(&mut self, session: SessionKey) {
        let Some(entry) = self.entries.get_mut(&session) else {
            return;
        };
        if entry.state == SessionState::Closing {
            return;
        }
        entry.state = SessionState::Closing;
        let is_attached = entry.attachment.is_some();
        let primary = entry.primary;
        let subsessions = std::mem::take(&mut entry.subsessions);
        self.ids.remove(&entry.params.id);
        if primary.is_none() {
            self.destinations.remove(&entry.destination.hash());
        }
        if let Some(primary) = primary.and_then(|primary| self.entries.get_mut(&primary)) {
            primary.subsessions.retain(|key| *key != session);
        }
        if !is_attached {
            self.entries.remove(&session);
        }
        for subsession in subsessions {
            if let Some(entry) = self.entries.remove(&subsession) {
                self.ids.remove(&entry.params.id);
            }
        }
    }
}

impl<A> fmt::Debug for Directory<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("sessions", &self.sessions())
            .field("subsessions", &self.subsessions())
            .finish_non_exhaustive()
    }
}

/// The reason why a datagram cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The packet cannot be parsed.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// There is no session with this ID.
    #[error("no session has this ID")]
    NoSession,
    /// The session does not send datagrams.
    #[error("a session with STYLE={0} sends no datagrams")]
    Style(Style),
    /// The text does not name a destination.
    #[error("DESTINATION names no destination")]
    Destination,
    /// The protocol number is reserved, or the session is not RAW.
    #[error("PROTOCOL is for raw datagrams, and cannot be 6, 17, 19 or 20")]
    Protocol,
    /// The payload is empty or too long.
    #[error("a datagram carries 1 to {limit} bytes, not {size}")]
    Size {
        /// The length of the payload, in bytes.
        size: usize,
        /// The maximum length, in bytes.
        limit: usize,
    },
}

/// The time that CREATE waits for another session with its ID or destination to end. Chosen because
/// a client that was killed and restarted at once may connect before the end of its old connection
/// is noticed, which takes milliseconds on loopback.
pub(super) const GRACE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use eepkit_wire::{PrivateKeys, SignatureType};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::{
        message::{Message, Syntax},
        version::Version,
    };

    fn params(id: &str) -> SessionParams {
        let line = format!("SESSION CREATE STYLE=PRIMARY ID={id} DESTINATION=TRANSIENT");
        let message = Message::parse(&line, Syntax::CURRENT).expect("a line");
        let (params, _) = SessionParams::create(&message.params, Version::V3_3).expect("valid");
        params
    }

    fn somebody() -> Client {
        Client::at(None)
    }

    fn destination() -> Destination {
        numbered(1)
    }

    fn numbered(number: u64) -> Destination {
        let mut rng = ChaCha20Rng::seed_from_u64(number);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
        keys.destination().clone()
    }

    #[test]
    fn a_closing_session_frees_its_id_and_destination() {
        let config = Config::default();
        let hash = destination().hash();
        let mut directory = Directory::default();
        let first = directory
            .insert(somebody(), params("a"), destination(), &config)
            .expect("new");
        let sub = directory
            .insert_subsession(first, params("sub"), &config)
            .expect("new");
        assert_eq!(directory.attach(first, "first"), Ok(()));
        assert_eq!(directory.attach(sub, "sub"), Ok(()));
        assert_eq!((directory.sessions(), directory.subsessions()), (1, 1));

        directory.remove(first);
        assert_eq!((directory.sessions(), directory.subsessions()), (0, 0));
        assert_eq!(directory.attachment(first), None);
        assert_eq!(directory.closing(first), Some(&"first"));
        assert_eq!(directory.closing_at(&hash), Some(&"first"));
        assert_eq!(directory.closing(sub), None);
        assert_eq!(directory.attach(first, "late"), Err("late"));

        let second = directory
            .insert(somebody(), params("a"), destination(), &config)
            .expect("the ID and the destination are free again");
        assert_eq!(directory.closed(second), None, "it is not closing");
        assert_eq!(directory.closed(first), Some("first"));
        assert_eq!(directory.closing_at(&hash), None);
        assert_eq!(directory.sessions(), 1);
    }

    #[test]
    fn a_session_without_an_attachment_is_removed_immediately() {
        let mut directory = Directory::<()>::default();
        let key = directory
            .insert(somebody(), params("a"), destination(), &Config::default())
            .expect("new");
        directory.remove(key);
        assert!(directory.entries.is_empty());
        assert_eq!(directory.closing(key), None);
    }
    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_client() {
        let at = |text: &str| Client::at(Some(text.parse().expect("an address")));
        assert_eq!(at("2001:db8::1"), at("2001:db8::9:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(at("::1"), at("::2"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    #[test]
    fn one_client_leaves_a_quarter_of_the_sessions_to_others() {
        let config = Config {
            max_sessions: 8,
            ..Config::default()
        };
        let mut directory = Directory::<()>::default();
        let mut number = 0;
        let mut insert = |client: &Client| {
            number += 1;
            let params = params(&number.to_string());
            let result = directory.insert(client.clone(), params, numbered(number), &config);
            result.map_err(|failure| failure.message)
        };
        let greedy = Client::User("greedy".to_owned());
        let keys: Vec<_> = (0..6).map(|_| insert(&greedy).expect("allowed")).collect();
        let error = insert(&greedy).expect_err("too many");
        assert_eq!(
            error,
            "this user has 6 sessions, the most that the bridge's option \
             max_sessions_per_client allows"
        );
        let others = [Some([127, 0, 0, 1].into()), None].map(Client::at);
        for other in &others {
            insert(other).expect("has none yet");
        }
        let error = insert(&others[0]).expect_err("the bridge is full");
        assert!(error.starts_with("the bridge has 8 sessions"), "{error}");
        directory.remove(keys[0]);
        directory
            .insert(greedy, params("again"), numbered(100), &config)
            .expect("an ended session does not count");
    }
}
