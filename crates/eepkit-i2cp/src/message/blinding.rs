//! BlindingInfo, the parameters of a blinded destination.

use std::fmt;

use eepkit_wire::{Codec, DecodeError, Destination, Hash, Reader, SignatureType, SigningPublicKey};

use super::fields::{SessionId, Text};

/// Informs the router that a destination is blinded, with the parameters that are needed to look it
/// up. There is no reply. Since API 0.9.43.
#[derive(Clone, PartialEq, Eq)]
pub struct BlindingInfo {
    /// The session.
    pub session: SessionId,
    /// The blinded destination.
    pub endpoint: Endpoint,
    /// The signature type of the blinded key; RedDSA.
    pub blinded_type: SignatureType,
    /// The time after which the router may discard the parameters, in seconds since 1970.
    pub expires: u32,
    /// The key of this client, if only some clients can read the lease set.
    pub client: Option<ClientAuthentication>,
    /// The password, if the address is blinded with one.
    pub password: Option<Text>,
}

/// Identifies a blinded destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// By its hash. The router can use it only if it already has the destination.
    Hash(Hash),
    /// By host name. The router can use it only if the name is in its address book.
    Name(Text),
    /// The destination itself.
    Destination(Destination),
    /// By its signing key.
    SigningKey(SigningPublicKey),
}

/// The key of a client for a lease set that only some clients can read. It is an X25519 private
/// key, little-endian.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// The server has the public key of this private key.
    Dh([u8; 32]),
    /// The server has this key itself, a pre-shared key.
    Psk([u8; 32]),
}

impl Codec for BlindingInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        let mut flags = 0;
        if let Some(client) = &self.client {
            flags |= PER_CLIENT;
            if matches!(client, ClientAuthentication::Psk(_)) {
                flags |= SCHEME_PSK;
            }
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        out.push(flags);
        out.push(match &self.endpoint {
            Endpoint::Hash(_) => 0,
            Endpoint::Name(_) => 1,
            Endpoint::Destination(_) => 2,
            Endpoint::SigningKey(_) => 3,
        });
        self.blinded_type.encode(out);
        out.extend_from_slice(&self.expires.to_be_bytes());
        match &self.endpoint {
            Endpoint::Hash(hash) => hash.encode(out),
            Endpoint::Name(name) => name.encode(out),
            Endpoint::Destination(destination) => destination.encode(out),
            Endpoint::SigningKey(key) => {
                key.signature_type().encode(out);
                key.encode(out);
            }
        }
        if let Some(ClientAuthentication::Dh(key) | ClientAuthentication::Psk(key)) = &self.client {
            out.extend_from_slice(key);
        }
        if let Some(password) = &self.password {
            password.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = SessionId::read(r)?;
        let flags = r.u8("blinding flags")?;
        let endpoint_type = r.u8("endpoint type")?;
        let blinded_type = SignatureType::read(r)?;
        let expires = r.u32("expiration")?;
        let endpoint = match endpoint_type {
            0 => Endpoint::Hash(Hash::read(r)?),
            1 => Endpoint::Name(Text::read(r)?),
            2 => Endpoint::Destination(Destination::read(r)?),
            3 => {
                let kind = SignatureType::read(r)?;
                Endpoint::SigningKey(SigningPublicKey::read(r, kind)?)
            }
            code => {
                return Err(DecodeError::UnsupportedType {
                    what: "endpoint type",
                    code: u16::from(code),
                });
            }
        };
        let client = match (flags & PER_CLIENT, flags & SCHEME) {
            (0, _) => None,
            (_, 0) => Some(ClientAuthentication::Dh(r.array("client key")?)),
            (_, SCHEME_PSK) => Some(ClientAuthentication::Psk(r.array("client key")?)),
            (_, scheme) => {
                return Err(DecodeError::UnsupportedType {
                    what: "authentication scheme",
                    code: u16::from(scheme >> 1),
                });
            }
        };
        let password = if flags & PASSWORD != 0 {
            Some(Text::read(r)?)
        } else {
            None
        };
        Ok(Self {
            session,
            endpoint,
            blinded_type,
            expires,
            client,
            password,
        })
    }
}

impl fmt::Debug for BlindingInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlindingInfo")
            .field("session", &self.session)
            .field("endpoint", &self.endpoint)
            .field("expires", &self.expires)
            .field("client", &self.client)
            .field("has_password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dh(_) => "Dh(secret)",
            Self::Psk(_) => "Psk(secret)",
        })
    }
}

/// Flag bit 0: only some clients can read the lease set.
const PER_CLIENT: u8 = 1;
/// Flag bits 3-1: the authentication scheme of these clients; 0 for DH.
const SCHEME: u8 = 0b1110;
/// Flag bits 3-1 for a pre-shared key.
const SCHEME_PSK: u8 = 1 << 1;
/// Flag bit 4: the address needs a password.
const PASSWORD: u8 = 1 << 4;
