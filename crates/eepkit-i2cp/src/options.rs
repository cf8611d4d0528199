//! Session options, under their I2CP names.

mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
};

use eepkit_wire::{EncryptionType, SignatureType};

pub(crate) use table::parse_encryption_types;
pub use table::{Allowed, OPTIONS, OptionSpec, Sent, spec};

/// Options of a session: a map of strings, as in SAM, I2CP and tunnel configurations.
///
/// The value of a documented key (see [`OPTIONS`]) is checked when it is set, and stored in a
/// canonical form. Values of other keys, such as those of the streaming library, are stored
/// unchanged. Keys are case-sensitive.
///
/// ```
/// use eepkit_i2cp::Options;
///
/// let mut options = Options::new();
/// options.set("inbound.length", "2")?;
/// options.set_outbound_length(2)?;
/// options.set("i2p.streaming.maxWindowSize", "256")?;
///
/// assert_eq!(options.inbound_length(), 2);
/// assert_eq!(options.inbound_quantity(), 2, "the default");
/// assert_eq!(
///     options.set("inbound.length", "9").unwrap_err().to_string(),
///     "option inbound.length cannot be \"9\": allowed is 0 to 7",
/// );
/// # Ok::<(), eepkit_i2cp::SessionOptionError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    entries: BTreeMap<String, String>,
}

/// An option cannot have this value.
///
/// The error does not contain the value of a secret option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("option {key} cannot be {value}: allowed is {allowed}")]
#[non_exhaustive]
pub struct SessionOptionError {
    /// The key.
    pub key: String,
    /// The value in quotes, or a placeholder if the option is secret.
    pub value: String,
    /// The allowed values.
    pub allowed: String,
}

impl SessionOptionError {
    pub(crate) fn new(key: &str, value: &str, allowed: impl fmt::Display) -> Self {
        let hidden = spec(key).is_some_and(|spec| spec.secret);
        // A value from a socket may have any length. Its first characters are enough to identify
        // it.
        let shown: String = value.chars().take(SHOWN_CHARS).collect();
        Self {
            key: key.chars().take(SHOWN_CHARS).collect(),
            value: if hidden {
                "what was given".to_owned()
            } else {
                format!("{shown:?}")
            },
            allowed: allowed.to_string(),
        }
    }
}

impl Options {
    /// Creates an empty set of options: every option has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option and replaces its previous value.
    ///
    /// # Errors
    ///
    /// If a documented option cannot have the value, the key is empty, the key or the value is too
    /// long for the wire (255 bytes each), or [`Options::MAX`] options are set already. The limit
    /// for values of options that are not sent to the router is 16 KiB.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SessionOptionError> {
        let spec = spec(key);
        let kept = match spec {
            Some(spec) => spec
                .allowed
                .canonical(value)
                .ok_or_else(|| SessionOptionError::new(key, value, spec.allowed))?,
            None => value.to_owned(),
        };
        if key.is_empty() || key.len() > MAX_TEXT_LEN {
            return Err(SessionOptionError::new(
                key,
                value,
                "a key of 1 to 255 bytes",
            ));
        }
        let max_len = match spec {
            Some(OptionSpec {
                sent: Sent::Never, ..
            }) => MAX_LOCAL_LEN,
            _ => MAX_TEXT_LEN,
        };
        if kept.len() > max_len {
            return Err(SessionOptionError::new(
                key,
                value,
                format_args!("at most {max_len} bytes"),
            ));
        }
        if self.entries.len() >= Self::MAX && !self.entries.contains_key(key) {
            return Err(SessionOptionError::new(
                key,
                value,
                format_args!("at most {} options", Self::MAX),
            ));
        }
        self.entries.insert(key.to_owned(), kept);
        Ok(())
    }

    /// Removes an option, which then has its default. Returns the value that was set.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.entries.remove(key)
    }

    /// Copies every option of `other`. Replaces options that are set in both.
    pub fn extend_from(&mut self, other: &Self) {
        for (key, value) in other.iter() {
            self.entries.insert(key.to_owned(), value.to_owned());
        }
    }

    /// The value that was set, or `None` if the option was not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// The value in effect: the one that was set, or else the documented default.
    pub fn effective(&self, key: &str) -> Option<&str> {
        self.get(key)
            .or_else(|| spec(key).and_then(|spec| spec.default))
    }

    /// The options that were set, sorted by key.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            inner: self.entries.iter(),
        }
    }

    /// The number of options that were set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no option was set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Encryption types of the lease set in order of preference (`i2cp.leaseSetEncType`), X25519 by
    /// default.
    pub fn encryption_types(&self) -> Vec<EncryptionType> {
        self.effective("i2cp.leaseSetEncType")
            .and_then(parse_encryption_types)
            .unwrap_or_else(|| vec![EncryptionType::X25519])
    }

    /// Signature type of new destinations (`i2cp.destination.sigType`), Ed25519 by default.
    pub fn signature_type(&self) -> SignatureType {
        self.effective("i2cp.destination.sigType")
            .and_then(|value| value.parse().ok())
            .unwrap_or(SignatureType::ED25519)
    }

    /// The entries of the lease set's options mapping (`i2cp.leaseSetOption.N`), in the order of N.
    pub fn lease_set_options(&self) -> Vec<(&str, &str)> {
        let mut found: Vec<(u64, (&str, &str))> = self
            .iter()
            .filter_map(|(key, value)| {
                let number = key.strip_prefix("i2cp.leaseSetOption.")?.parse().ok()?;
                Some((number, value.split_once('=')?))
            })
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, pair)| pair).collect()
    }

    /// The options to send to the router, sorted by key: those that were set, except options of
    /// [`Sent::Never`], and the defaults of the options of [`Sent::Always`].
    pub fn for_router(&self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        for spec in OPTIONS.iter().filter(|spec| spec.sent == Sent::Always) {
            if let Some(default) = spec.default {
                told.insert(spec.key.to_owned(), default.to_owned());
            }
        }
        for (key, value) in self.iter() {
            if spec(key).is_none_or(|spec| spec.sent != Sent::Never) {
                told.insert(key.to_owned(), value.to_owned());
            }
        }
        told
    }

    fn flag(&self, key: &str) -> bool {
        self.effective(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn number<T: std::str::FromStr + Default>(&self, key: &str) -> T {
        // Documented keys are checked when they are set, so parsing a stored value does not fail.
        self.effective(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// The largest number of options. Chosen as about four times the number of documented options;
    /// it bounds the memory that a client of a bridge can make this process use.
    pub const MAX: usize = 256;
}

/// Defines a getter and a setter for each listed option.
macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident / $set:ident: $kind:ident $ty:ty = $key:literal;)*) => {
        impl Options {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nReads `", $key, "`, or its default if it was not set.")]
                pub fn $get(&self) -> $ty {
                    self.$kind($key)
                }

                #[doc = concat!("Sets `", $key, "`.")]
                ///
                /// # Errors
                ///
                /// If the value is out of range; see [`OPTIONS`].
                pub fn $set(&mut self, value: $ty) -> Result<(), SessionOptionError> {
                    self.set($key, &value.to_string())
                }
            )*
        }

        #[cfg(test)]
        const ACCESSORS: &[&str] = &[$($key),*];
    };
}

accessors! {
    /// Hops of an inbound tunnel, 0 to 7.
    inbound_length / set_inbound_length: number u8 = "inbound.length";
    /// Hops of an outbound tunnel, 0 to 7.
    outbound_length / set_outbound_length: number u8 = "outbound.length";
    /// Hops added to inbound tunnels at random, -7 to 7.
    inbound_length_variance / set_inbound_length_variance: number i8 = "inbound.lengthVariance";
    /// Hops added to outbound tunnels at random, -7 to 7.
    outbound_length_variance / set_outbound_length_variance: number i8 = "outbound.lengthVariance";
    /// Number of inbound tunnels, 1 to 16.
    inbound_quantity / set_inbound_quantity: number u8 = "inbound.quantity";
    /// Number of outbound tunnels, 1 to 16.
    outbound_quantity / set_outbound_quantity: number u8 = "outbound.quantity";
    /// Number of inbound tunnels in reserve, 0 to 3.
    inbound_backup_quantity / set_inbound_backup_quantity: number u8 = "inbound.backupQuantity";
    /// Number of outbound tunnels in reserve, 0 to 3.
    outbound_backup_quantity / set_outbound_backup_quantity: number u8 = "outbound.backupQuantity";
    /// Whether an inbound tunnel may have zero hops.
    inbound_allow_zero_hop / set_inbound_allow_zero_hop: flag bool = "inbound.allowZeroHop";
    /// Whether an outbound tunnel may have zero hops.
    outbound_allow_zero_hop / set_outbound_allow_zero_hop: flag bool = "outbound.allowZeroHop";
    /// Priority of this session's messages in the router, -25 to 25.
    outbound_priority / set_outbound_priority: number i8 = "outbound.priority";
    /// Whether the router delivers messages at once instead of announcing them first.
    fast_receive / set_fast_receive: flag bool = "i2cp.fastReceive";
    /// Whether payloads may be compressed.
    gzip / set_gzip: flag bool = "i2cp.gzip";
    /// Whether the lease set is kept out of the network database.
    dont_publish_lease_set / set_dont_publish_lease_set: flag bool = "i2cp.dontPublishLeaseSet";
    /// Whether the router may send the lease set along with messages.
    bundle_reply_info / set_bundle_reply_info: flag bool = "shouldBundleReplyInfo";
    /// Store type of the lease set: 1, 3, 5 or 7.
    lease_set_type / set_lease_set_type: number u8 = "i2cp.leaseSetType";
    /// Which clients can read an encrypted lease set: 0 all, 1 those with a DH key, 2 those with a
    /// pre-shared key.
    lease_set_auth_type / set_lease_set_auth_type: number u8 = "i2cp.leaseSetAuthType";
    /// Whether the session closes when it has been idle.
    close_on_idle / set_close_on_idle: flag bool = "i2cp.closeOnIdle";
    /// Idle time before closing, in milliseconds, at least 300,000.
    close_idle_time / set_close_idle_time: number u64 = "i2cp.closeIdleTime";
    /// Whether the session is opened when it is first used (an option of Java's tunnels).
    delay_open / set_delay_open: flag bool = "i2cp.delayOpen";
    /// Whether the session keeps fewer tunnels when it has been idle.
    reduce_on_idle / set_reduce_on_idle: flag bool = "i2cp.reduceOnIdle";
    /// Idle time before reducing, in milliseconds, at least 300,000.
    reduce_idle_time / set_reduce_idle_time: number u64 = "i2cp.reduceIdleTime";
    /// Number of tunnels per direction after the reduction, 1 to 5.
    reduce_quantity / set_reduce_quantity: number u8 = "i2cp.reduceQuantity";
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.iter() {
            match spec(key).is_some_and(|spec| spec.secret) {
                true => map.entry(&key, &format_args!("(secret)")),
                false => map.entry(&key, &value),
            };
        }
        map.finish()
    }
}

/// An iterator over the options that were set; see [`Options::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    inner: btree_map::Iter<'a, String, String>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.inner
            .next()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("left", &self.inner.len())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The length field of a key or value has one byte (common structures, "Mapping").
const MAX_TEXT_LEN: usize = 255;

/// The longest value, in bytes, of an option that is not sent to the router, such as a list of
/// keys. Chosen to hold one key of each type with room to spare: an ElGamal private key alone has
/// 344 characters.
const MAX_LOCAL_LEN: usize = 16 * 1024;

/// The number of characters of a rejected key or value that an error contains.
const SHOWN_CHARS: usize = 64;
