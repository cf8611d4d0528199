//! The sessions of a bridge.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

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

/// The sessions of all connections of a bridge, by ID: what the connections' machines have in
/// common.
#[derive(Default)]
pub struct Directory {
    entries: HashMap<SessionKey, Entry>,
    ids: HashMap<String, SessionKey>,
    /// Destinations of sessions, also of those that are not online yet.
    destinations: HashSet<Hash>,
    auth_required: bool,
    next_key: u64,
}

pub(super) struct Entry {
    pub(super) params: SessionParams,
    pub(super) destination: Destination,
    /// Whether the router has said yes.
    pub(super) is_open: bool,
    pub(super) primary: Option<SessionKey>,
    pub(super) subsessions: Vec<SessionKey>,
    /// Sockets that wait for a stream.
    pub(super) accepts: usize,
    pub(super) forwarding: bool,
}

impl Directory {
    /// No sessions, and everybody may open some.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether clients need a name and a password from now on.
    pub fn set_auth_required(&mut self, required: bool) {
        self.auth_required = required;
    }

    /// Whether clients need a name and a password.
    pub fn is_auth_required(&self) -> bool {
        self.auth_required
    }

    /// How many sessions there are, subsessions not counted.
    pub fn sessions(&self) -> usize {
        self.destinations.len()
    }

    /// How many subsessions there are.
    pub fn subsessions(&self) -> usize {
        self.entries.len() - self.destinations.len()
    }

    /// The session of an ID, once it is online.
    pub fn find(&self, id: &str) -> Option<SessionKey> {
        let key = self.ids.get(id)?;
        self.entries.get(key)?.is_open.then_some(*key)
    }

    /// Makes of a packet to the UDP port what is to be sent, or says why it cannot be. There is
    /// nobody to tell that to but a counter.
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

    /// A datagram of a session, with the session's defaults filled in.
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

    pub(super) fn entry(&self, session: SessionKey) -> Option<&Entry> {
        self.entries.get(&session)
    }

    pub(super) fn entry_mut(&mut self, session: SessionKey) -> Option<&mut Entry> {
        self.entries.get_mut(&session)
    }

    /// The session of an ID for streams.
    pub(super) fn streams(&mut self, id: &str) -> Result<(SessionKey, &mut Entry), Failure> {
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
        params: SessionParams,
        destination: Destination,
        config: &Config,
    ) -> Result<SessionKey, Failure> {
        if self.ids.contains_key(&params.id) {
            return Err(Failure::new(ResultCode::DuplicatedId, ""));
        }
        if self.destinations.contains(&destination.hash()) {
            return Err(Failure::new(ResultCode::DuplicatedDest, ""));
        }
        if self.sessions() >= config.max_sessions {
            return Err(Failure::error(format!(
                "the bridge has {} sessions, and takes no more",
                config.max_sessions
            )));
        }
        self.destinations.insert(destination.hash());
        Ok(self.add(params, destination, None))
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
                "the session has {} subsessions, and takes no more",
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
        let key = self.add(params, destination, Some(primary));
        if let Some(entry) = self.entries.get_mut(&primary) {
            entry.subsessions.push(key);
        }
        Ok(key)
    }

    fn add(
        &mut self,
        params: SessionParams,
        destination: Destination,
        primary: Option<SessionKey>,
    ) -> SessionKey {
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        self.ids.insert(params.id.clone(), key);
        let entry = Entry {
            params,
            destination,
            is_open: false,
            primary,
            subsessions: Vec::new(),
            accepts: 0,
            forwarding: false,
        };
        self.entries.insert(key, entry);
        key
    }

    /// Forgets a session with its subsessions, or a subsession.
    pub(super) fn remove(&mut self, session: SessionKey) {
        let Some(entry) = self.entries.remove(&session) else {
            return;
        };
        self.ids.remove(&entry.params.id);
        match entry.primary {
            None => {
                self.destinations.remove(&entry.destination.hash());
            }
            Some(primary) => {
                if let Some(primary) = self.entries.get_mut(&primary) {
                    primary.subsessions.retain(|key| *key != session);
                }
            }
        }
        for subsession in entry.subsessions {
            if let Some(entry) = self.entries.remove(&subsession) {
                self.ids.remove(&entry.params.id);
            }
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("sessions", &self.sessions())
            .field("subsessions", &self.subsessions())
            .finish_non_exhaustive()
    }
}

/// Why a datagram cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The packet cannot be read.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// There is no session with this ID.
    #[error("no session has this ID")]
    NoSession,
    /// The session does not send datagrams.
    #[error("a session with STYLE={0} sends no datagrams")]
    Style(Style),
    /// The text names no destination.
    #[error("DESTINATION names no destination")]
    Destination,
    /// The protocol belongs to others, or the session is not raw.
    #[error("PROTOCOL is for raw datagrams, and cannot be 6, 17, 19 or 20")]
    Protocol,
    /// The payload is empty or too long.
    #[error("a datagram carries 1 to {limit} bytes, not {size}")]
    Size {
        /// Its length in bytes.
        size: usize,
        /// The greatest length in bytes.
        limit: usize,
    },
}
