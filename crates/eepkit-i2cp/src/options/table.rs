//! The table of documented session options: names, defaults, ranges, meanings.
//!
//! One table is the source of validation, typed accessors, the options sent to the router, and help
//! texts. Source: the I2CP overview page (API 0.9.66), "I2CP Options". Entries note where routers
//! differ from it.

use std::fmt;

use eepkit_wire::{EncryptionType, SignatureType, base64};

/// A documented option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The key. A trailing `*` stands for a decimal number counted from 0.
    pub key: &'static str,
    /// The value in a session of this library if the option is not set; `None` if it has no
    /// default.
    pub default: Option<&'static str>,
    /// The allowed values.
    pub allowed: Allowed,
    /// Whether the option is sent to the router.
    pub sent: Sent,
    /// Whether the value is a secret, which must not appear in logs and error messages.
    pub secret: bool,
    /// The effect of the option, for help texts.
    pub doc: &'static str,
}

/// Whether an option is part of the session configuration that is sent to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sent {
    /// Not sent: only this process reads it.
    Never,
    /// Sent if it was set.
    WhenSet,
    /// Always sent, with its default if it was not set, because the defaults of routers differ.
    Always,
}

/// The allowed values of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowed {
    /// Any text.
    Text,
    /// `true` or `false`, in any case.
    Flag,
    /// A decimal number in this range, both ends included.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// Encryption types by number or name, separated by commas, in order of preference.
    EncryptionTypes,
    /// A signature type by number or name.
    SignatureType,
    /// I2P base64 of this number of bytes, or of any number if `None`.
    Base64(Option<usize>),
    /// One or more of `[type:]base64`, separated by commas.
    Keys,
    /// Base64 hashes of routers, separated by commas.
    Peers,
    /// `key=value`.
    Pair,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("any text"),
            Self::Flag => f.write_str("true or false"),
            Self::Integer { min, max } if *max == i64::MAX => write!(f, "{min} or more"),
            Self::Integer { min, max } => write!(f, "{min} to {max}"),
            Self::Word(words) => f.write_str(&words.join(" or ")),
            Self::EncryptionTypes => {
                f.write_str("encryption types separated by commas, such as 4 or 6,4")
            }
            Self::SignatureType => {
                f.write_str("a signature type, such as 7 or EdDSA_SHA512_Ed25519")
            }
            Self::Base64(None) => f.write_str("I2P base64"),
            Self::Base64(Some(len)) => write!(f, "I2P base64 of {len} bytes"),
            Self::Keys => f.write_str("[type:]base64 keys separated by commas"),
            Self::Peers => f.write_str("base64 router hashes separated by commas"),
            Self::Pair => f.write_str("key=value"),
        }
    }
}

impl Allowed {
    /// The canonical form of a value, in which it is stored, or `None` if the value is not allowed.
    pub(super) fn canonical(self, value: &str) -> Option<String> {
        match self {
            Self::Text => Some(value.to_owned()),
            Self::Flag => {
                let lower = value.to_ascii_lowercase();
                matches!(lower.as_str(), "true" | "false").then_some(lower)
            }
            Self::Integer { min, max } => {
                let number: i64 = value.trim().parse().ok()?;
                (min..=max).contains(&number).then(|| number.to_string())
            }
            Self::Word(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(value))
                .map(|word| (*word).to_owned()),
            Self::EncryptionTypes => canonical_encryption_types(value),
            Self::SignatureType => {
                let known: SignatureType = value.parse().ok()?;
                Some(known.0.to_string())
            }
            Self::Base64(len) => {
                let bytes = base64::decode(value).ok()?;
                len.is_none_or(|len| bytes.len() == len)
                    .then(|| value.to_owned())
            }
            Self::Keys => {
                let good = value.split(',').all(|key| {
                    let text = key.rsplit_once(':').map_or(key, |(_, text)| text);
                    !text.is_empty() && base64::decode(text).is_ok()
                });
                good.then(|| value.to_owned())
            }
            Self::Peers => {
                let good = value
                    .split(',')
                    .all(|peer| base64::decode(peer.trim()).is_ok_and(|hash| hash.len() == 32));
                good.then(|| value.to_owned())
            }
            Self::Pair => {
                let (key, _) = value.split_once('=')?;
                (!key.is_empty()).then(|| value.to_owned())
            }
        }
    }
}

/// Converts names of encryption types to numbers, because some routers parse only numbers.
fn canonical_encryption_types(value: &str) -> Option<String> {
    let types = parse_encryption_types(value)?;
    let numbers: Vec<String> = types.iter().map(|kind| kind.0.to_string()).collect();
    Some(numbers.join(","))
}

/// Parses encryption types by number or name. Returns `None` if one is unknown or repeated, or if
/// the list is empty.
pub(crate) fn parse_encryption_types(value: &str) -> Option<Vec<EncryptionType>> {
    let mut types = Vec::new();
    for word in value.split(',') {
        let kind = word.trim().parse().ok()?;
        if types.contains(&kind) {
            return None;
        }
        types.push(kind);
    }
    Some(types)
}

/// The entry of [`OPTIONS`] for a key, or `None` if the key is not documented.
pub fn spec(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS
        .iter()
        .find(|spec| match spec.key.strip_suffix('*') {
            Some(prefix) => key
                .strip_prefix(prefix)
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
            None => spec.key == key,
        })
}

const fn option(
    key: &'static str,
    default: Option<&'static str>,
    allowed: Allowed,
    sent: Sent,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        key,
        default,
        allowed,
        sent,
        secret: false,
        doc,
    }
}

const fn secret(key: &'static str, allowed: Allowed, sent: Sent, doc: &'static str) -> OptionSpec {
    OptionSpec {
        key,
        default: None,
        allowed,
        sent,
        secret: true,
        doc,
    }
}

const fn range(min: i64, max: i64) -> Allowed {
    Allowed::Integer { min, max }
}

/// Every documented option, sorted by key within each group.
pub const OPTIONS: &[OptionSpec] = &[
    // Tunnels.
    option(
        "explicitPeers",
        None,
        Allowed::Peers,
        Sent::WhenSet,
        "Build tunnels through these routers only. For debugging: the tunnels give no anonymity.",
    ),
    option(
        "inbound.IPRestriction",
        Some("2"),
        range(0, 4),
        Sent::WhenSet,
        "Routers whose IP addresses share this number of leading bytes are not used in the same \
         inbound tunnel; 0 allows all.",
    ),
    option(
        "inbound.allowZeroHop",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Whether an inbound tunnel may have zero hops if no other can be built.",
    ),
    option(
        "inbound.backupQuantity",
        Some("0"),
        range(0, 3),
        Sent::WhenSet,
        "Number of inbound tunnels in reserve.",
    ),
    option(
        "inbound.length",
        Some("3"),
        range(0, 7),
        Sent::Always,
        "Number of hops of an inbound tunnel. Longer tunnels are slower and fail more often.",
    ),
    option(
        "inbound.lengthVariance",
        Some("0"),
        range(-7, 7),
        Sent::WhenSet,
        "Number of hops added at random: 0 to x, or -x to x if the value is -x.",
    ),
    option(
        "inbound.nickname",
        None,
        Allowed::Text,
        Sent::WhenSet,
        "Name of the session in the router's console.",
    ),
    option(
        "inbound.quantity",
        Some("2"),
        range(1, 16),
        Sent::Always,
        "Number of inbound tunnels. More tunnels tolerate more failures and use more bandwidth.",
    ),
    secret(
        "inbound.randomKey",
        Allowed::Base64(Some(32)),
        Sent::WhenSet,
        "Key that determines the order of peers in inbound tunnels. Set it to keep the order \
         across restarts.",
    ),
    option(
        "outbound.IPRestriction",
        Some("2"),
        range(0, 4),
        Sent::WhenSet,
        "Routers whose IP addresses share this number of leading bytes are not used in the same \
         outbound tunnel; 0 allows all.",
    ),
    option(
        "outbound.allowZeroHop",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Whether an outbound tunnel may have zero hops if no other can be built.",
    ),
    option(
        "outbound.backupQuantity",
        Some("0"),
        range(0, 3),
        Sent::WhenSet,
        "Number of outbound tunnels in reserve.",
    ),
    option(
        "outbound.length",
        Some("3"),
        range(0, 7),
        Sent::Always,
        "Number of hops of an outbound tunnel. Longer tunnels are slower and fail more often.",
    ),
    option(
        "outbound.lengthVariance",
        Some("0"),
        range(-7, 7),
        Sent::WhenSet,
        "Number of hops added at random: 0 to x, or -x to x if the value is -x.",
    ),
    option(
        "outbound.nickname",
        None,
        Allowed::Text,
        Sent::WhenSet,
        "Name of the session in the router's console if inbound.nickname is not set.",
    ),
    option(
        "outbound.priority",
        Some("0"),
        range(-25, 25),
        Sent::WhenSet,
        "Priority of this session's messages in the router; higher values are sent first.",
    ),
    option(
        "outbound.quantity",
        Some("2"),
        range(1, 16),
        Sent::Always,
        "Number of outbound tunnels. More tunnels tolerate more failures and use more bandwidth.",
    ),
    secret(
        "outbound.randomKey",
        Allowed::Base64(Some(32)),
        Sent::WhenSet,
        "Key that determines the order of peers in outbound tunnels. Set it to keep the order \
         across restarts.",
    ),
    // Messages.
    option(
        "clientMessageTimeout",
        Some("60000"),
        range(8_000, 120_000),
        Sent::WhenSet,
        "Milliseconds until a message may be dropped. Routers do not use it: each message contains \
         its own deadline.",
    ),
    option(
        "crypto.lowTagThreshold",
        Some("30"),
        range(1, 128),
        Sent::WhenSet,
        "For ElGamal peers: new session tags are sent when fewer than this number are left.",
    ),
    option(
        "crypto.ratchet.inboundTags",
        Some("160"),
        range(1, i64::MAX),
        Sent::WhenSet,
        "Window size for inbound ratchet tags.",
    ),
    option(
        "crypto.ratchet.outboundTags",
        Some("160"),
        range(1, i64::MAX),
        Sent::WhenSet,
        "Window size for outbound ratchet tags, as a hint to the peer.",
    ),
    option(
        "crypto.tagsToSend",
        Some("40"),
        range(1, 128),
        Sent::WhenSet,
        "For ElGamal peers: number of session tags sent at a time.",
    ),
    option(
        "i2cp.fastReceive",
        Some("true"),
        Allowed::Flag,
        Sent::Always,
        "The router delivers messages at once instead of announcing them first.",
    ),
    option(
        "i2cp.gzip",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Compress payloads. If false, only payloads that always compress well are compressed: \
         repliable datagrams, and first packets of streams that carry data.",
    ),
    option(
        "i2cp.messageReliability",
        Some("none"),
        Allowed::Word(&["none", "BestEffort"]),
        Sent::Always,
        "With BestEffort, the router reports on every message; with none, only on messages that \
         request it.",
    ),
    option(
        "shouldBundleReplyInfo",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "The router may send the lease set of this session with messages. Peers need it to reply \
         if the lease set is not published.",
    ),
    // The lease set.
    option(
        "i2cp.dontPublishLeaseSet",
        Some("false"),
        Allowed::Flag,
        Sent::WhenSet,
        "Do not publish the lease set in the network database. Only peers to which this session \
         sent a message can then reply.",
    ),
    option(
        "i2cp.encryptLeaseSet",
        Some("false"),
        Allowed::Flag,
        Sent::WhenSet,
        "Encrypt the lease set with the old scheme (version 1).",
    ),
    option(
        "i2cp.leaseSetAuthType",
        Some("0"),
        range(0, 2),
        Sent::WhenSet,
        "Which clients can read an encrypted lease set: 0 all that have the address, 1 those with \
         a DH key, 2 those with a pre-shared key.",
    ),
    option(
        "i2cp.leaseSetBlindedType",
        Some("11"),
        Allowed::SignatureType,
        Sent::Never,
        "Signature type of the blinded key of an encrypted lease set.",
    ),
    secret(
        "i2cp.leaseSetClient.dh.*",
        Allowed::Text,
        Sent::Never,
        "base64(name):base64(public key) of a client that can read the encrypted lease set.",
    ),
    secret(
        "i2cp.leaseSetClient.psk.*",
        Allowed::Text,
        Sent::Never,
        "base64(name):base64(key) of a client that can read the encrypted lease set.",
    ),
    option(
        "i2cp.leaseSetEncType",
        Some("4"),
        Allowed::EncryptionTypes,
        Sent::Always,
        "Encryption types of the lease set in order of preference; 4 is X25519, 0 ElGamal.",
    ),
    secret(
        "i2cp.leaseSetKey",
        Allowed::Base64(Some(32)),
        Sent::Never,
        "Key of a lease set that is encrypted with the old scheme.",
    ),
    option(
        "i2cp.leaseSetOfflineExpiration",
        None,
        range(0, u32::MAX as i64),
        Sent::WhenSet,
        "Expiration of the offline signature, in seconds since 1970. Set from the keys.",
    ),
    option(
        "i2cp.leaseSetOfflineSignature",
        None,
        Allowed::Base64(None),
        Sent::WhenSet,
        "The offline signature. Set from the keys.",
    ),
    option(
        "i2cp.leaseSetOption.*",
        None,
        Allowed::Pair,
        Sent::Never,
        "An entry of the lease set's options mapping, such as a service record.",
    ),
    secret(
        "i2cp.leaseSetPrivKey",
        Allowed::Keys,
        Sent::WhenSet,
        "Key with which the router itself decrypts the encrypted lease set.",
    ),
    secret(
        "i2cp.leaseSetPrivateKey",
        Allowed::Keys,
        Sent::Never,
        "Private encryption keys of the lease set. Set them to keep the keys across restarts.",
    ),
    secret(
        "i2cp.leaseSetSecret",
        Allowed::Base64(None),
        Sent::WhenSet,
        "Base64 of the password that blinds the address of an encrypted lease set.",
    ),
    secret(
        "i2cp.leaseSetSigningPrivateKey",
        Allowed::Keys,
        Sent::Never,
        "Private signing key for the revocation of a version 1 lease set; it has no effect.",
    ),
    option(
        "i2cp.leaseSetTransientPublicKey",
        None,
        Allowed::Keys,
        Sent::WhenSet,
        "The transient signing key, as type:base64. Set from the keys.",
    ),
    option(
        "i2cp.leaseSetType",
        Some("3"),
        Allowed::Word(&["1", "3", "5", "7"]),
        Sent::Always,
        "Type of the lease set: 1 LeaseSet, 3 LeaseSet2, 5 encrypted, 7 meta.",
    ),
    // The session.
    option(
        "i2cp.closeIdleTime",
        Some("1800000"),
        range(300_000, i64::MAX),
        Sent::Never,
        "Milliseconds without traffic after which i2cp.closeOnIdle takes effect.",
    ),
    option(
        "i2cp.closeOnIdle",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Close the session when it has been idle.",
    ),
    option(
        "i2cp.delayOpen",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Open the session when it is first used.",
    ),
    option(
        "i2cp.destination.sigType",
        Some("7"),
        Allowed::SignatureType,
        Sent::Never,
        "Signature type of new destinations.",
    ),
    option(
        "i2cp.reduceIdleTime",
        Some("1200000"),
        range(300_000, i64::MAX),
        Sent::Never,
        "Milliseconds without traffic after which i2cp.reduceOnIdle takes effect.",
    ),
    option(
        "i2cp.reduceOnIdle",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Keep fewer tunnels when the session has been idle.",
    ),
    option(
        "i2cp.reduceQuantity",
        Some("1"),
        range(1, 5),
        Sent::Never,
        "Number of tunnels per direction that i2cp.reduceOnIdle keeps.",
    ),
    // The connection to the router.
    option(
        "i2cp.SSL",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Connect to the router over TLS.",
    ),
    secret(
        "i2cp.password",
        Allowed::Text,
        Sent::Never,
        "Password for the router. Sent in the login message, not with the session.",
    ),
    option(
        "i2cp.tcp.host",
        Some("127.0.0.1"),
        Allowed::Text,
        Sent::Never,
        "Address of the router.",
    ),
    option(
        "i2cp.tcp.port",
        Some("7654"),
        range(1, 65_535),
        Sent::Never,
        "I2CP port of the router.",
    ),
    secret(
        "i2cp.username",
        Allowed::Text,
        Sent::Never,
        "User name for the router. Sent in the login message, not with the session.",
    ),
];
