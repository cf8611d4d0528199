//! The configuration with which a client opens a session, and the router's status codes.

use std::fmt;

use eepkit_wire::{
    Codec, DecodeError, Destination, Mapping, OfflineSignature, PrivateKeys, Reader, Signature,
    SignatureError, SignatureType, SigningPublicKey, base64,
};

/// A destination, its options and the date, signed by the destination.
///
/// Source: I2CP, "Session Config".
#[derive(Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// The destination of the session.
    pub destination: Destination,
    /// The options, sorted by key.
    pub options: Mapping,
    /// The time of the signature, in milliseconds since 1970. Routers require it to be within 30
    /// seconds of the current time.
    pub date: u64,
    /// The signature of all preceding fields, by the destination's key or by its transient key.
    pub signature: Signature,
}

impl SessionConfig {
    /// Signs a configuration. If the keys are offline keys, this adds the three options that
    /// contain the transient key, its expiration and the offline signature.
    ///
    /// # Errors
    ///
    /// If the options do not fit into a mapping.
    pub fn sign(
        keys: &PrivateKeys,
        mut options: std::collections::BTreeMap<String, String>,
        date: u64,
    ) -> Result<Self, ConfigError> {
        if let Some(offline) = keys.offline() {
            options.insert(OFFLINE_EXPIRATION.to_owned(), offline.expires().to_string());
            let transient = offline.transient();
            let text = format!("{}:{}", transient.signature_type().0, transient.to_base64());
            options.insert(OFFLINE_TRANSIENT.to_owned(), text);
            let signature = base64::encode(offline.signature().as_bytes());
            options.insert(OFFLINE_SIGNATURE.to_owned(), signature);
        }
        let mut mapping = Mapping::new();
        for (key, value) in options {
            mapping.insert(key, value)?;
        }
        let options = mapping;
        let destination = keys.destination().clone();
        let mut signed = Vec::new();
        encode_signed(&destination, &options, date, &mut signed);
        let signature = keys.sign(&signed);
        Ok(Self {
            destination,
            options,
            date,
            signature,
        })
    }

    /// Verifies the signature at the time `unix_now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// If the signature is neither one by the destination's key nor one by a transient key that the
    /// destination has signed and that has not expired.
    pub fn verify(&self, unix_now: u32) -> Result<(), SignatureError> {
        let mut signed = Vec::new();
        encode_signed(&self.destination, &self.options, self.date, &mut signed);
        match offline_signature(&self.destination, &self.options) {
            Some(offline) => {
                offline.verify(&self.destination, unix_now)?;
                offline.transient().verify(&signed, &self.signature)
            }
            None => self
                .destination
                .signing_key()
                .verify(&signed, &self.signature),
        }
    }
}

fn encode_signed(destination: &Destination, options: &Mapping, date: u64, out: &mut Vec<u8>) {
    destination.encode(out);
    options.encode(out);
    out.extend_from_slice(&date.to_be_bytes());
}

/// The offline signature in the options, or `None` if an option of it is missing or not valid.
fn offline_signature(destination: &Destination, options: &Mapping) -> Option<OfflineSignature> {
    let expires = options.get(OFFLINE_EXPIRATION)?.parse().ok()?;
    let transient = transient_key(options)?;
    let bytes = base64::decode(options.get(OFFLINE_SIGNATURE)?).ok()?;
    let signature = Signature::new(destination.signature_type(), &bytes).ok()?;
    Some(OfflineSignature::new(expires, transient, signature))
}

/// Parses `[type:]base64`. The default type is DSA-SHA1.
fn transient_key(options: &Mapping) -> Option<SigningPublicKey> {
    let text = options.get(OFFLINE_TRANSIENT)?;
    let (kind, key) = match text.split_once(':') {
        Some((kind, key)) => (kind.parse().ok()?, key),
        None => (SignatureType::DSA_SHA1, text),
    };
    SigningPublicKey::new(kind, &base64::decode(key).ok()?).ok()
}

impl Codec for SessionConfig {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_signed(&self.destination, &self.options, self.date, out);
        self.signature.encode(out);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let destination = Destination::read(r)?;
        let options = Mapping::read(r)?;
        let date = r.u64("date")?;
        let kind = transient_key(&options)
            .map_or_else(|| destination.signature_type(), |key| key.signature_type());
        let signature = Signature::read(r, kind)?;
        Ok(Self {
            destination,
            options,
            date,
            signature,
        })
    }
}

/// Prints the number of options instead of the options, because these may contain keys.
impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("destination", &self.destination)
            .field("options", &self.options.len())
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

/// The reason why a session configuration cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The options do not fit into a mapping.
    #[error("the options do not fit into a mapping: {0}")]
    Options(#[from] DecodeError),
}

/// A code of SessionStatus. Routers may use codes that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionStatus(pub u8);

impl SessionStatus {
    /// The session has ended.
    pub const DESTROYED: Self = Self(0);
    /// The session is open. The message contains its id.
    pub const CREATED: Self = Self(1);
    /// The options were changed.
    pub const UPDATED: Self = Self(2);
    /// The configuration is not valid. i2pd also uses this code if the destination already has a
    /// session.
    pub const INVALID: Self = Self(3);
    /// The router cannot open another session.
    pub const REFUSED: Self = Self(4);
}

const OFFLINE_EXPIRATION: &str = "i2cp.leaseSetOfflineExpiration";
const OFFLINE_SIGNATURE: &str = "i2cp.leaseSetOfflineSignature";
const OFFLINE_TRANSIENT: &str = "i2cp.leaseSetTransientPublicKey";
