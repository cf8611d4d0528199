//! The table of documented session options: names, defaults, ranges, meanings.
//!
//! One table drives validation, the typed accessors, what goes to the router and the help texts.
//! Source: the I2CP overview page (API 0.9.66), "I2CP Options"; where routers differ from it the
//! entry says so.

use std::fmt;

use eepkit_wire::{EncryptionType, SignatureType, base64};

/// A documented option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The key. A trailing `*` stands for a decimal number counted from 0.
    pub key: &'static str,
    /// What holds in a session of this library while the option is not set; `None` where there is
    /// no value then.
    pub default: Option<&'static str>,
    /// The values it takes.
    pub allowed: Allowed,
    /// Whether the router is told.
    pub sent: Sent,
    /// Whether the value is a secret, to be kept out of logs and error messages.
    pub secret: bool,
    /// What it does, for help texts.
    pub doc: &'static str,
}

/// Whether an option goes into the session configuration that the router gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sent {
    /// It is read in this process only.
    Never,
    /// If it was set.
    WhenSet,
    /// Even if it was not set: the default is written out, because routers fill in different ones.
    Always,
}

/// The values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowed {
    /// Any text.
    Text,
    /// `true` or `false`, in any case.
    Flag,
    /// A decimal number in this range, both ends included.
    Integer {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// One of these words; case does not matter when setting it.
    Word(&'static [&'static str]),
    /// Encryption types by number or name, separated by commas, in order of preference.
    EncryptionTypes,
    /// A signature type by number or name.
    SignatureType,
    /// I2P base64 of this many bytes; of any number where `None`.
    Base64(Option<usize>),
    /// `[type:]base64`, several separated by commas.
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
    /// The value in the form in which it is kept, or `None` where it is not allowed.
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

/// Routers that parse the list by number only exist, so names become numbers.
fn canonical_encryption_types(value: &str) -> Option<String> {
    let types = parse_encryption_types(value)?;
    let numbers: Vec<String> = types.iter().map(|kind| kind.0.to_string()).collect();
    Some(numbers.join(","))
}

/// Encryption types by number or name; `None` where one is unknown, doubled, or the list empty.
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

/// The entry of a key, if the key is documented.
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
        "Build tunnels through these routers only. For debugging; it costs all anonymity.",
    ),
    option(
        "inbound.IPRestriction",
        Some("2"),
        range(0, 4),
        Sent::WhenSet,
        "Routers that share this many leading bytes of their IP address are not put into one \
         inbound tunnel; 0 allows all.",
    ),
    option(
        "inbound.allowZeroHop",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Whether an inbound tunnel may have no hop, if no other can be built.",
    ),
    option(
        "inbound.backupQuantity",
        Some("0"),
        range(0, 3),
        Sent::WhenSet,
        "Inbound tunnels in reserve.",
    ),
    option(
        "inbound.length",
        Some("3"),
        range(0, 7),
        Sent::Always,
        "Hops of an inbound tunnel. More are slower and fail more often.",
    ),
    option(
        "inbound.lengthVariance",
        Some("0"),
        range(-7, 7),
        Sent::WhenSet,
        "Hops added at random: up to x, or between -x and x where negative.",
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
        "Inbound tunnels. More survive failures better and cost bandwidth.",
    ),
    secret(
        "inbound.randomKey",
        Allowed::Base64(Some(32)),
        Sent::WhenSet,
        "Key of the order of peers in inbound tunnels, to keep it across restarts.",
    ),
    option(
        "outbound.IPRestriction",
        Some("2"),
        range(0, 4),
        Sent::WhenSet,
        "Routers that share this many leading bytes of their IP address are not put into one \
         outbound tunnel; 0 allows all.",
    ),
    option(
        "outbound.allowZeroHop",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Whether an outbound tunnel may have no hop, if no other can be built.",
    ),
    option(
        "outbound.backupQuantity",
        Some("0"),
        range(0, 3),
        Sent::WhenSet,
        "Outbound tunnels in reserve.",
    ),
    option(
        "outbound.length",
        Some("3"),
        range(0, 7),
        Sent::Always,
        "Hops of an outbound tunnel. More are slower and fail more often.",
    ),
    option(
        "outbound.lengthVariance",
        Some("0"),
        range(-7, 7),
        Sent::WhenSet,
        "Hops added at random: up to x, or between -x and x where negative.",
    ),
    option(
        "outbound.nickname",
        None,
        Allowed::Text,
        Sent::WhenSet,
        "Name of the session in the router's console, where inbound.nickname is not set.",
    ),
    option(
        "outbound.priority",
        Some("0"),
        range(-25, 25),
        Sent::WhenSet,
        "Priority of this session's messages in the router; higher goes first.",
    ),
    option(
        "outbound.quantity",
        Some("2"),
        range(1, 16),
        Sent::Always,
        "Outbound tunnels. More survive failures better and cost bandwidth.",
    ),
    secret(
        "outbound.randomKey",
        Allowed::Base64(Some(32)),
        Sent::WhenSet,
        "Key of the order of peers in outbound tunnels, to keep it across restarts.",
    ),
    // Messages.
    option(
        "clientMessageTimeout",
        Some("60000"),
        range(8_000, 120_000),
        Sent::WhenSet,
        "Milliseconds until a message may be dropped. Routers do not use it: each message carries \
         its own deadline.",
    ),
    option(
        "crypto.lowTagThreshold",
        Some("30"),
        range(1, 128),
        Sent::WhenSet,
        "Session tags left before new ones are sent, to ElGamal peers.",
    ),
    option(
        "crypto.ratchet.inboundTags",
        Some("160"),
        range(1, i64::MAX),
        Sent::WhenSet,
        "Window of inbound ratchet tags.",
    ),
    option(
        "crypto.ratchet.outboundTags",
        Some("160"),
        range(1, i64::MAX),
        Sent::WhenSet,
        "Window of outbound ratchet tags, as advice to the peer.",
    ),
    option(
        "crypto.tagsToSend",
        Some("40"),
        range(1, 128),
        Sent::WhenSet,
        "Session tags sent at a time, to ElGamal peers.",
    ),
    option(
        "i2cp.fastReceive",
        Some("true"),
        Allowed::Flag,
        Sent::Always,
        "The router sends messages at once instead of announcing them first.",
    ),
    option(
        "i2cp.gzip",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "Compress what is sent. Where false, only what compresses well by construction is \
         compressed: the first packet of a stream and repliable datagrams.",
    ),
    option(
        "i2cp.messageReliability",
        Some("none"),
        Allowed::Word(&["none", "BestEffort"]),
        Sent::Always,
        "With BestEffort the router confirms every message; with none, only where it is asked to.",
    ),
    option(
        "shouldBundleReplyInfo",
        Some("true"),
        Allowed::Flag,
        Sent::WhenSet,
        "The router may send the lease set of this session along with messages. Needed for replies \
         where the lease set is not published.",
    ),
    // The lease set.
    option(
        "i2cp.dontPublishLeaseSet",
        Some("false"),
        Allowed::Flag,
        Sent::WhenSet,
        "Keep the lease set out of the network database: only peers that were written to can \
         answer.",
    ),
    option(
        "i2cp.encryptLeaseSet",
        Some("false"),
        Allowed::Flag,
        Sent::WhenSet,
        "Encrypt the lease set in the old way (version 1).",
    ),
    option(
        "i2cp.leaseSetAuthType",
        Some("0"),
        range(0, 2),
        Sent::WhenSet,
        "Who can read an encrypted lease set: 0 everybody with the address, 1 clients with a DH \
         key, 2 clients with a pre-shared key.",
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
        "Key of a lease set encrypted in the old way.",
    ),
    option(
        "i2cp.leaseSetOfflineExpiration",
        None,
        range(0, u32::MAX as i64),
        Sent::WhenSet,
        "End of the offline signature, seconds since 1970. Set from the keys.",
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
        "An entry of the lease set's options, such as a service record.",
    ),
    secret(
        "i2cp.leaseSetPrivKey",
        Allowed::Keys,
        Sent::WhenSet,
        "Key by which the router itself reads the encrypted lease set.",
    ),
    secret(
        "i2cp.leaseSetPrivateKey",
        Allowed::Keys,
        Sent::Never,
        "Private encryption keys of the lease set, to keep them across restarts.",
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
        "1 the old lease set, 3 the present one, 5 encrypted, 7 meta.",
    ),
    // The session.
    option(
        "i2cp.closeIdleTime",
        Some("1800000"),
        range(300_000, i64::MAX),
        Sent::Never,
        "Milliseconds without traffic after which i2cp.closeOnIdle acts.",
    ),
    option(
        "i2cp.closeOnIdle",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Close the session when it has been idle.",
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
        "Milliseconds without traffic after which i2cp.reduceOnIdle acts.",
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
        "Tunnels each way that i2cp.reduceOnIdle keeps.",
    ),
    // The connection to the router.
    option(
        "i2cp.SSL",
        Some("false"),
        Allowed::Flag,
        Sent::Never,
        "Speak TLS to the router.",
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
