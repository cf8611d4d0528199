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
    /// A look-up failed; routers before 0.8.3 do not say which.
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

/// Look something up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLookup {
    /// The session, or [`SessionId::NONE`].
    pub session: SessionId,
    /// Comes back in the reply.
    pub request: u32,
    /// Milliseconds the router may take. 10 seconds or more are advised.
    pub timeout: u32,
    /// What to look up.
    pub key: LookupKey,
}

/// What a [`HostLookup`] looks up. The last three fetch the lease set in any case and return its
/// options (0.9.66).
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
    /// The request of the look-up.
    pub request: u32,
    /// Whether it was found.
    pub result: HostResult,
    /// The destination; always with [`HostResult::SUCCESS`], and where it is known although its
    /// lease set is not found.
    pub destination: Option<Destination>,
    /// The options of the lease set, where they were asked for.
    pub options: Option<Mapping>,
}

impl HostReply {
    /// The answer that something was found.
    pub fn found(session: SessionId, request: u32, destination: Destination) -> Self {
        Self {
            session,
            request,
            result: HostResult::SUCCESS,
            destination: Some(destination),
            options: None,
        }
    }

    /// The answer that nothing was found.
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
    /// Found.
    pub const SUCCESS: Self = Self(0);
    /// Not found, for whatever reason.
    pub const FAILURE: Self = Self(1);
    /// The lease set is blinded with a password that the router does not have.
    pub const PASSWORD_REQUIRED: Self = Self(2);
    /// The lease set is for clients with a key that the router does not have.
    pub const PRIVATE_KEY_REQUIRED: Self = Self(3);
    /// Both password and key are needed.
    pub const PASSWORD_AND_KEY_REQUIRED: Self = Self(4);
    /// The lease set cannot be decrypted with what the router has.
    pub const DECRYPTION_FAILURE: Self = Self(5);
    /// The lease set is not found; the destination may be told all the same.
    pub const LEASE_SET_NOT_FOUND: Self = Self(6);
    /// The router does not do this type of look-up.
    pub const TYPE_UNSUPPORTED: Self = Self(7);
}
