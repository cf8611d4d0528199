//! Differences of routers from the specification and from each other.
//!
//! This module is the only place that handles a particular router. Each function describes the
//! behaviour of the router that it is needed for. A router reports its API version, but not which
//! program it is. Where possible, the client therefore behaves in a way that is correct with every
//! router. [`detect`] recognises emissary and newer versions of Java I2P.
//!
//! Versions examined: emissary-core 0.4.0, i2pd 2.45.1 to 2.58.0, Java I2P 2.8.0.

use std::time::Duration;

use eepkit_wire::{Destination, EncryptionType, Hash, PrivateKeys, SignatureType, base32};

use crate::{
    message::{BandwidthLimits, HostLookup, LookupKey, MessageType, SessionId, Text},
    options::Options,
    version::ApiVersion,
};

/// The router program at the other end of an I2CP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RouterKind {
    /// emissary.
    Emissary,
    /// i2pd. It cannot be detected; the caller has to name it.
    I2pd,
    /// Java I2P. Up to API 0.9.61 it cannot be detected; the caller has to name it.
    Java,
    /// Another or an unidentified router. The client behaves in a way that is correct with both
    /// i2pd and Java I2P.
    #[default]
    Unknown,
}

/// Identifies emissary and Java I2P by their bandwidth limits.
///
/// The limits that emissary reports are constants. Java I2P from API 0.9.62 on is the only router
/// that reports a burst time, which is 1 s. i2pd and older versions of Java I2P report only the
/// limits of the client, and 0 for those of the router. All of them answer the request before a
/// session exists.
pub(crate) fn detect(limits: &BandwidthLimits) -> RouterKind {
    let emissary = BandwidthLimits {
        client_inbound: 50,
        client_outbound: 50,
        router_inbound: 20,
        router_inbound_burst: 20,
        router_outbound: 20,
        router_outbound_burst: 20,
        router_burst_time: 0,
        undefined: [0; 9],
    };
    if *limits == emissary {
        RouterKind::Emissary
    } else if limits.router_burst_time != 0 {
        RouterKind::Java
    } else {
        RouterKind::Unknown
    }
}

/// The suffix of the name in a [`HostLookup`] that requests the renewal of a peer from an embedded
/// router. The name begins with the base32 form of the peer's hash.
///
/// I2CP has no message with which a client reports that a peer does not answer. emissary keeps the
/// encryption session with a peer that has lost its keys, and does not look up a lease set again
/// before it expires. `eepkit-router` consumes this request and makes the router discard both. In
/// another emissary it is a look-up of a name that does not exist (RFC 2606, section 2).
pub const RENEWAL_SUFFIX: &str = ".renew.invalid";

/// Whether the router may handle the request of [`renewal`].
pub(crate) fn renews_peers(kind: RouterKind) -> bool {
    kind == RouterKind::Emissary
}

/// Whether the router sends through other tunnels if a peer does not confirm a lease set.
///
/// i2pd sends all messages to a peer through the same outbound tunnel to the same lease. Version
/// 2.45 chooses again after 30 s or 100 messages, 2.58 after 120 s, although nothing may arrive
/// meanwhile. Both attach a new lease set of the client to the next message to each peer. If the
/// peer does not confirm it within 4 s, they choose another path for the next message and attach the
/// lease set again.
pub(crate) fn reroutes_unconfirmed(kind: RouterKind) -> bool {
    matches!(kind, RouterKind::I2pd | RouterKind::Unknown)
}

/// The request to renew what the router holds about a peer, or `None` if the router has none.
///
/// The field of the timeout has the silence of the peer in milliseconds.
pub(crate) fn renewal(
    kind: RouterKind,
    session: SessionId,
    peer: &Hash,
    silence: Duration,
) -> Option<HostLookup> {
    if !renews_peers(kind) {
        return None;
    }
    let name = format!("{}{RENEWAL_SUFFIX}", base32::encode(peer.as_bytes()));
    Some(HostLookup {
        session,
        // The machine numbers its requests from 0, and ignores replies to requests that it did not
        // make.
        request: u32::MAX,
        timeout: u32::try_from(silence.as_millis()).unwrap_or(u32::MAX),
        key: LookupKey::Name(Text::new(&name)?),
    })
}

/// The true length of the body of a frame that announces `announced` bytes, or `None` if more of
/// the body has to arrive first.
///
/// emissary announces too small a length in two messages. In RequestVariableLeaseSet the two bytes
/// of the session id are not counted, and in HostReply one of the four bytes of the request id.
/// Such a length contradicts the body, and no valid message contains this contradiction. The
/// correction is therefore safe with every router.
pub(crate) fn body_len(kind: u8, announced: usize, body: &[u8]) -> Option<usize> {
    match MessageType(kind) {
        MessageType::REQUEST_VARIABLE_LEASE_SET => lease_set_request_len(announced, body),
        MessageType::HOST_REPLY => host_reply_len(announced, body),
        _ => Some(announced),
    }
}

/// The layout: session id (2 bytes), number of leases (1 byte), leases (44 bytes each).
fn lease_set_request_len(announced: usize, body: &[u8]) -> Option<usize> {
    const FIXED: usize = 2 + 1;
    const LEASE: usize = 44;
    if announced < FIXED {
        return Some(announced);
    }
    let leases = usize::from(*body.get(2)?);
    let true_len = FIXED + leases * LEASE;
    Some(if announced + 2 == true_len {
        true_len
    } else {
        announced
    })
}

/// The layout: session id (2 bytes), request id (4 bytes), result (1 byte), destination. The length
/// of the destination's certificate is at its offset 385.
fn host_reply_len(announced: usize, body: &[u8]) -> Option<usize> {
    const FIXED: usize = 2 + 4 + 1;
    const CERTIFICATE_LEN_AT: usize = FIXED + 385;
    const LEAST_DESTINATION: usize = 387;
    if announced + 1 == FIXED {
        return Some(FIXED);
    }
    // In a reply with a destination, the certificate's length field is within the announced length.
    // The exception is a reply of emissary with an empty certificate: its announced length ends
    // before the last byte of that field.
    if announced + 1 < FIXED + LEAST_DESTINATION {
        return Some(announced);
    }
    let high = *body.get(CERTIFICATE_LEN_AT)?;
    let low = *body.get(CERTIFICATE_LEN_AT + 1)?;
    let true_len = FIXED + LEAST_DESTINATION + usize::from(u16::from_be_bytes([high, low]));
    Some(if announced + 1 == true_len {
        true_len
    } else {
        announced
    })
}

/// The value of `i2cp.dontPublishLeaseSet` to send to a router, or `None` to omit the option.
///
/// Routers interpret its values differently:
///
/// | router | publishes | does not publish |
/// |---|---|---|
/// | Java I2P | anything else, or absent | `true`, in upper or lower case |
/// | i2pd to 2.57 | anything else, or absent | `true` |
/// | i2pd from 2.58 (API 0.9.67), inverted | `true`, `1`, or absent | `false`, any other word |
/// | emissary | `false` | anything else, or absent |
///
/// If the lease set is to be published, the option is sent to emissary only. If it is not to be
/// published, emissary and a detected Java I2P get `true`. Other routers get `true` below 0.9.67
/// and `TRUE` from 0.9.67 on: Java I2P reads `TRUE` as true, and i2pd reads it as an unknown word.
///
/// i2pd up to 2.57 reports the API version of the client instead of its own. The version that an
/// i2pd reports is therefore below 0.9.67 for the old behaviour, and at least 0.9.67 for the
/// inverted one, only if [`ApiVersion::OURS`] is below 0.9.67.
pub(crate) fn dont_publish_value(
    kind: RouterKind,
    version: ApiVersion,
    dont_publish: bool,
) -> Option<&'static str> {
    match (kind, dont_publish) {
        (RouterKind::Emissary, false) => Some("false"),
        (_, false) => None,
        (RouterKind::Emissary | RouterKind::Java, true) => Some("true"),
        (_, true) if version < INVERTED_IN_I2PD => Some("true"),
        (_, true) => Some("TRUE"),
    }
}

/// The shortest time between the router's request and the client's lease set.
///
/// i2pd waits ten seconds for the lease set, but starts this timer after it has sent the request,
/// and in another thread than the one that reads the answer. A lease set that arrives before the
/// timer starts does not stop it. Ten seconds later the router removes the session and leaves the
/// connection open, so the client gets no error. i2pd 2.45.1 did this with every session that was
/// answered within a millisecond; the order of the two steps is the same in 2.58. The delay was
/// chosen because it is long compared with a thread switch and short compared with ten seconds.
pub(crate) fn lease_set_delay(kind: RouterKind) -> Duration {
    match kind {
        RouterKind::Emissary | RouterKind::Java => Duration::ZERO,
        RouterKind::I2pd | RouterKind::Unknown => Duration::from_millis(200),
    }
}

/// Whether the router can report the delivery status of a single message. emissary never does.
///
/// emissary also drops SendMessage without an error. Every router since 0.7.1 supports
/// SendMessageExpires, so the client sends that to every router.
pub(crate) fn reports_messages(kind: RouterKind, version: ApiVersion) -> bool {
    kind != RouterKind::Emissary && version >= ApiVersion::STATUS_PER_MESSAGE
}

/// Whether only one message may be sent to a new peer until the router has reported on it.
///
/// i2pd looks up the peer's lease set for each message that arrives before it has one. It then
/// sends all of these messages, each with an encryption session of its own. From 2.54 on it
/// continues to use the last of these sessions for two minutes, even if the peer never answers on
/// it. Java I2P accepts several messages, and reports only when the peer's router has acknowledged.
pub(crate) fn delivers_one_first_message(kind: RouterKind) -> bool {
    matches!(kind, RouterKind::I2pd | RouterKind::Unknown)
}

/// Whether the client may send look-ups of types 2 to 4.
///
/// emissary does not answer them. i2pd answers them with a failure whatever version it reports (see
/// [`dont_publish_value`]). A failure alone therefore does not prove that there is no lease set.
pub(crate) fn looks_up_lease_sets(kind: RouterKind, version: ApiVersion) -> bool {
    kind != RouterKind::Emissary && version >= ApiVersion::LEASE_SET_LOOKUP
}

/// The interval at which an unanswered look-up is repeated, or `None` if it is not repeated.
///
/// emissary drops a look-up if a message to the same destination waits for the same lease set. It
/// answers a repetition at once if it has the lease set, and ignores the repetition otherwise.
/// Other routers answer every look-up.
pub(crate) fn lookup_repeats_after(kind: RouterKind) -> Option<Duration> {
    (kind == RouterKind::Emissary).then_some(Duration::from_secs(2))
}

/// The interval at which an unanswered CreateSession is repeated, or `None` if it is not repeated.
///
/// emissary drops CreateSession without an error while the channel to its tunnel manager is full,
/// and ignores it while it creates the session. Other routers always answer, and a second
/// CreateSession requests a second session from them.
pub(crate) fn create_repeats_after(kind: RouterKind) -> Option<Duration> {
    (kind == RouterKind::Emissary).then_some(Duration::from_secs(3))
}

/// Whether the router supports ReconfigureSession. emissary ignores it and does not answer.
pub(crate) fn reconfigures(kind: RouterKind) -> bool {
    kind != RouterKind::Emissary
}

/// Whether the router is certain to support several sessions on one connection.
///
/// emissary refuses the second session. i2pd refuses it too, and at the same time assigns another
/// id to the first session, which is then unusable: the client does not receive the new id, and the
/// router ignores messages with the old one. A second session must therefore not be requested from
/// i2pd.
pub(crate) fn shares_connections(kind: RouterKind, version: ApiVersion) -> bool {
    kind == RouterKind::Java && version >= ApiVersion::SUBSESSIONS
}

/// Returns an option that the router does not support with its value or with these keys, and the
/// reason.
///
/// The client checks this before it opens a session. The router itself would report no error, and
/// the session would have no tunnels or no lease set.
pub(crate) fn unsupported(
    kind: RouterKind,
    keys: &PrivateKeys,
    options: &Options,
) -> Option<(&'static str, &'static str)> {
    match kind {
        // emissary verifies CreateSession with the destination's own key.
        RouterKind::Emissary if keys.offline().is_some() => Some((
            SIG_TYPE,
            "the router (emissary) does not support offline keys",
        )),
        RouterKind::Emissary if !opens_in_emissary(keys.destination()) => Some((
            SIG_TYPE,
            "the router (emissary) supports types 7 and 1 only",
        )),
        // emissary drops a whole lease set if one of its keys has another type.
        RouterKind::Emissary
            if options
                .encryption_types()
                .iter()
                .any(|kind| *kind != EncryptionType::X25519) =>
        {
            Some((
                ENC_TYPE,
                "the router (emissary) supports X25519 (4) only over I2CP",
            ))
        }
        RouterKind::Emissary if options.lease_set_type() != 3 => {
            Some((LEASE_SET_TYPE, "the router (emissary) supports type 3 only"))
        }
        // emissary tries to build zero-hop tunnels again and again, and always fails.
        RouterKind::Emissary if options.inbound_length() == 0 => Some((INBOUND_LENGTH, NO_HOPS)),
        RouterKind::Emissary if options.outbound_length() == 0 => Some((OUTBOUND_LENGTH, NO_HOPS)),
        // i2pd verifies the session configuration with the destination's own key.
        RouterKind::I2pd if keys.offline().is_some() => Some((
            SIG_TYPE,
            "the router (i2pd) does not support offline keys over I2CP",
        )),
        _ => None,
    }
}

/// Whether the router can decode the destination, so that messages can be sent to it.
///
/// emissary supports the key types DSA, P-256 and Ed25519. It drops messages to destinations with
/// other key types and reports no error.
pub(crate) fn can_send_to(kind: RouterKind, to: &Destination) -> bool {
    kind != RouterKind::Emissary
        || to.signature_type() == SignatureType::DSA_SHA1
        || opens_in_emissary(to)
}

/// Whether the router forwards messages of this protocol number.
///
/// emissary forwards messages of streaming, Datagram1, raw datagrams and Datagram2. It drops others
/// in both directions and reports no error.
pub(crate) fn carries_protocol(kind: RouterKind, protocol: u8) -> bool {
    kind != RouterKind::Emissary || matches!(protocol, 6 | 17 | 18 | 19)
}

/// Whether emissary accepts a CreateSession with this destination. It reads a signature of 64
/// bytes, and supports the two key types with signatures of that length.
fn opens_in_emissary(destination: &Destination) -> bool {
    matches!(
        destination.signature_type(),
        SignatureType::ED25519 | SignatureType::ECDSA_SHA256_P256
    )
}

/// The API version that i2pd 2.58 reports. That release is the first in which
/// `i2cp.dontPublishLeaseSet` is inverted, and the first that reports its own API version.
const INVERTED_IN_I2PD: ApiVersion = ApiVersion::new(0, 9, 67);

/// The option that errors about keys name.
const SIG_TYPE: &str = "i2cp.destination.sigType";
const ENC_TYPE: &str = "i2cp.leaseSetEncType";
const LEASE_SET_TYPE: &str = "i2cp.leaseSetType";
const INBOUND_LENGTH: &str = "inbound.length";
const OUTBOUND_LENGTH: &str = "outbound.length";

const NO_HOPS: &str = "the router (emissary) does not build zero-hop tunnels";

#[cfg(test)]
mod tests;
