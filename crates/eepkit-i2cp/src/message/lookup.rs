//! Look-ups of names, hashes and lease sets.

use eepkit_wire::{Codec, DecodeError, Destination, Hash, Mapping, Reader};

use super::fields::{SessionId, Text, read_optional_destination};

/// The answer to DestLookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestReply {
    /// The destination.
    Found(Destination),
    /// The hash that was not found.
    NotFound(Hash),
    /// A look-up failed. Routers before 0.8.3 send this answer, which does not contain the hash.
    Failed,
}

impl Codec for DestReply {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Found(destination) => destination.encode(out),
            Self::NotFound(hash) => hash.encode(out),
            Self::Failed => {}
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.left() {
            0 => Ok(Self::Failed),
            Hash::LENGTH => Hash::read(r).map(Self::NotFound),
            _ => Destination::read(r).map(Self::Found),
        }
    }
}

/// Looks up a destination, or its lease set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLookup {
    /// The session, or [`SessionId::NONE`].
    pub session: SessionId,
    /// The id that the reply contains.
    pub request: u32,
    /// The time limit of the look-up, in milliseconds. The specification recommends 10 seconds or
    /// more.
    pub timeout: u32,
    /// The target of the look-up.
    pub key: LookupKey,
}

/// The target of a [`HostLookup`].
///
/// With the last three, the router always fetches the lease set, and returns its options. They need
/// API 0.9.66.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupKey {
    /// The destination with this hash.
    Hash(Hash),
    /// A host name.
    Name(Text),
    /// The lease set of the destination with this hash.
    HashWithOptions(Hash),
    /// The lease set of a host name.
    NameWithOptions(Text),
    /// The lease set of this destination.
    DestinationWithOptions(Destination),
}

impl Codec for HostLookup {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.request.to_be_bytes());
        out.extend_from_slice(&self.timeout.to_be_bytes());
        match &self.key {
            LookupKey::Hash(hash) => {
                out.push(0);
                hash.encode(out);
            }
            LookupKey::Name(name) => {
                out.push(1);
                name.encode(out);
            }
            LookupKey::HashWithOptions(hash) => {
                out.push(2);
                hash.encode(out);
            }
            LookupKey::NameWithOptions(name) => {
                out.push(3);
                name.encode(out);
            }
            LookupKey::DestinationWithOptions(destination) => {
                out.push(4);
                destination.encode(out);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = SessionId::read(r)?;
        let request = r.u32("request id")?;
        let timeout = r.u32("timeout")?;
        let key = match r.u8("lookup type")? {
            0 => LookupKey::Hash(Hash::read(r)?),
            1 => LookupKey::Name(Text::read(r)?),
            2 => LookupKey::HashWithOptions(Hash::read(r)?),
            3 => LookupKey::NameWithOptions(Text::read(r)?),
            4 => LookupKey::DestinationWithOptions(Destination::read(r)?),
            code => {
                return Err(DecodeError::UnsupportedType {
                    what: "lookup type",
                    code: u16::from(code),
                });
            }
        };
        Ok(Self {
            session,
            request,
            timeout,
            key,
        })
    }
}

/// The answer to [`HostLookup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReply {
    /// The session of the look-up.
    pub session: SessionId,
    /// The id of the look-up.
    pub request: u32,
    /// The result code.
    pub result: HostResult,
    /// The destination. It is always present with [`HostResult::SUCCESS`]. With other results it is
    /// present if the router has the destination but did not find its lease set.
    pub destination: Option<Destination>,
    /// The options of the lease set, if they were requested.
    pub options: Option<Mapping>,
}

impl HostReply {
    /// Creates the reply of a successful look-up.
    pub fn found(session: SessionId, request: u32, destination: Destination) -> Self {
        Self {
            session,
            request,
            result: HostResult::SUCCESS,
            destination: Some(destination),
            options: None,
        }
    }

    /// Creates the reply of a failed look-up, without a destination.
    pub fn failed(session: SessionId, request: u32, result: HostResult) -> Self {
        Self {
            session,
            request,
            result,
            destination: None,
            options: None,
        }
    }
}

impl Codec for HostReply {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.request.to_be_bytes());
        out.push(self.result.0);
        let Some(destination) = &self.destination else {
            return;
        };
        destination.encode(out);
        if let Some(options) = &self.options {
            options.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = SessionId::read(r)?;
        let request = r.u32("request id")?;
        let result = HostResult(r.u8("lookup result")?);
        let destination = match result {
            HostResult::SUCCESS => Some(Destination::read(r)?),
            _ => read_optional_destination(r)?,
        };
        let options = match destination {
            Some(_) if !r.is_empty() => Some(Mapping::read(r)?),
            _ => None,
        };
        Ok(Self {
            session,
            request,
            result,
            destination,
            options,
        })
    }
}

/// A result code of [`HostReply`]. Routers may use codes that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostResult(pub u8);

impl HostResult {
    /// The look-up succeeded.
    pub const SUCCESS: Self = Self(0);
    /// The look-up failed, for an unspecified reason.
    pub const FAILURE: Self = Self(1);
    /// The lease set is blinded with a password that the router does not have.
    pub const PASSWORD_REQUIRED: Self = Self(2);
    /// The lease set needs a client key that the router does not have.
    pub const PRIVATE_KEY_REQUIRED: Self = Self(3);
    /// The lease set needs both a password and a key.
    pub const PASSWORD_AND_KEY_REQUIRED: Self = Self(4);
    /// The router cannot decrypt the lease set with the password and the key that it has.
    pub const DECRYPTION_FAILURE: Self = Self(5);
    /// The lease set was not found. The reply may still contain the destination.
    pub const LEASE_SET_NOT_FOUND: Self = Self(6);
    /// The router does not support this type of look-up.
    pub const TYPE_UNSUPPORTED: Self = Self(7);
}
