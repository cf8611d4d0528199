//! Router infos, which routers publish about themselves.

use std::fmt;

use crate::{
    codec::{Codec, DecodeError, Reader},
    hash::Hash,
    mapping::Mapping,
    router_address::RouterAddress,
    router_identity::RouterIdentity,
    signature::Signature,
    signature_error::SignatureError,
    signing_key::SigningPrivateKey,
};

/// A router info: common structures specification, section "RouterInfo".
///
/// The value contains the received bytes, because the signature covers them. Decoding does not
/// verify the signature: see [`RouterInfo::verify`]. [`RouterInfoBuilder`] creates router infos.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RouterInfo {
    bytes: Box<[u8]>,
    identity: RouterIdentity,
    published: u64,
    addresses: Vec<RouterAddress>,
    options: Mapping,
    signature: Signature,
}

impl RouterInfo {
    /// The identity of the router.
    pub fn identity(&self) -> &RouterIdentity {
        &self.identity
    }

    /// The hash of the router's identity, which is its key in the network database.
    pub fn hash(&self) -> Hash {
        self.identity.hash()
    }

    /// The time of publication, in milliseconds since the epoch. A later router info replaces an
    /// earlier one.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The addresses at which the router can be reached, in its order.
    ///
    /// At most 255. A hidden router has none.
    pub fn addresses(&self) -> &[RouterAddress] {
        &self.addresses
    }

    /// All options.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The capabilities (`caps`), one letter each: bandwidth class `K` to `X`, `f` for a floodfill
    /// router, `R` for a reachable one. Empty if the option is missing. Source: network database
    /// specification.
    pub fn capabilities(&self) -> &str {
        self.options.get("caps").unwrap_or_default()
    }

    /// The identifier of the router's network (`netId`), 2 for the public network. `None` if the
    /// option is missing or not a number below 256.
    pub fn network_id(&self) -> Option<u8> {
        self.options.get("netId")?.parse().ok()
    }

    /// The version of the router's protocols (`router.version`), such as `0.9.67`.
    pub fn router_version(&self) -> Option<&str> {
        self.options.get("router.version")
    }

    /// The encoding, with the signature.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies that the router signed the router info.
    ///
    /// # Errors
    ///
    /// If the signature is wrong, or its type is not supported.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let signed = self.bytes.len() - self.signature.as_bytes().len();
        self.identity
            .signing_key()
            .verify(&self.bytes[..signed], &self.signature)
    }
}

impl Codec for RouterInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = r.position();
        let identity = RouterIdentity::read(r)?;
        let published = r.u64("router info")?;
        let count = r.u8("number of router addresses")?;
        let addresses = (0..count)
            .map(|_| RouterAddress::read(r))
            .collect::<Result<_, _>>()?;
        // Hashes of other routers, which were planned for routers behind firewalls. Not in use.
        let peers = usize::from(r.u8("number of peers")?);
        r.take(peers * Hash::LENGTH, "peers of a router")?;
        let options = Mapping::read(r)?;
        let signature = Signature::read(r, identity.signing_key().signature_type())?;
        Ok(Self {
            bytes: r.taken_since(start).into(),
            identity,
            published,
            addresses,
            options,
            signature,
        })
    }
}

impl fmt::Debug for RouterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterInfo")
            .field("identity", &self.identity)
            .field("published", &self.published)
            .field("addresses", &self.addresses)
            .field("capabilities", &self.capabilities())
            .finish_non_exhaustive()
    }
}

/// The content of a [`RouterInfo`] before it is signed.
#[derive(Debug, Clone, Default)]
pub struct RouterInfoBuilder {
    /// The time of publication, in milliseconds since the epoch. Default: 0.
    pub published: u64,
    /// The addresses of the router; at most 255. Default: none.
    pub addresses: Vec<RouterAddress>,
    /// The options. Routers expect at least `caps`, `netId` and `router.version`. Default: none.
    pub options: Mapping,
}

impl RouterInfoBuilder {
    /// Signs the router info with the key of `identity`.
    ///
    /// # Errors
    ///
    /// [`RouterInfoError`] if there are too many addresses, or the key is not that of the identity.
    pub fn sign(
        self,
        identity: &RouterIdentity,
        key: &SigningPrivateKey,
    ) -> Result<RouterInfo, RouterInfoError> {
        if key.public_key() != identity.signing_key() {
            return Err(RouterInfoError::OtherKey);
        }
        let count = u8::try_from(self.addresses.len())
            .map_err(|_| RouterInfoError::TooManyAddresses(self.addresses.len()))?;
        let mut bytes = identity.to_bytes();
        bytes.extend_from_slice(&self.published.to_be_bytes());
        bytes.push(count);
        for address in &self.addresses {
            address.encode(&mut bytes);
        }
        bytes.push(0); // no peers
        self.options.encode(&mut bytes);
        let signature = key.sign(&bytes);
        signature.encode(&mut bytes);
        Ok(RouterInfo {
            bytes: bytes.into(),
            identity: identity.clone(),
            published: self.published,
            addresses: self.addresses,
            options: self.options,
            signature,
        })
    }
}

/// The reason why a router info cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RouterInfoError {
    /// There are more than 255 addresses. Their number is encoded as one byte.
    #[error("a router info has at most 255 addresses, got {0}")]
    TooManyAddresses(usize),
    /// The private key does not belong to the identity.
    #[error("the signing key is not that of the router identity")]
    OtherKey,
}

#[cfg(test)]
mod tests;
