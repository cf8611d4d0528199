//! Where routers differ from the specification and from each other.
//!
//! Each difference stands here once, named after its router, with the sentence that says what the
//! router does; everything else asks this module. As far as possible one behaviour is chosen that
//! is right with all of them, because a router does not say which program it is: it reports an API
//! version only. emissary and Java I2P are told apart, see [`detect`].
//!
//! Looked at: emissary-core 0.4.0, i2pd 2.45.1 to 2.58.0, Java I2P 2.8.0.

use std::time::Duration;

use eepkit_wire::{Destination, EncryptionType, PrivateKeys, SignatureType};

use crate::{
    message::{BandwidthLimits, MessageType},
    options::Options,
    version::ApiVersion,
};

/// The program behind an I2CP connection, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RouterKind {
    /// emissary.
    Emissary,
    /// i2pd. Known only where the caller says so.
    I2pd,
    /// Java I2P. Up to API 0.9.61 known only where the caller says so.
    Java,
    /// One that is treated in the way that suits i2pd and Java I2P alike.
    #[default]
    Unknown,
}

/// Tells emissary and Java I2P by their bandwidth limits.
///
/// Those of emissary are constants. Java I2P from API 0.9.62 on, and none of the others, gives a
/// burst time, which is 1 s. i2pd and older ones of Java report limits of the client only and leave those of the
/// router at 0. All understand the request before a session exists.
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

/// The true length of the body of a frame that announces `announced` bytes, or `None` while too
/// little of the body has come to tell.
///
/// emissary announces too little in two messages: RequestVariableLeaseSet by the two bytes of the
/// session id, HostReply by one of the four bytes of the request id. In both, the announced length
/// contradicts the body in a way that no right message does, so this holds for every router.
pub(crate) fn body_len(kind: u8, announced: usize, body: &[u8]) -> Option<usize> {
    match MessageType(kind) {
        MessageType::REQUEST_VARIABLE_LEASE_SET => lease_set_request_len(announced, body),
        MessageType::HOST_REPLY => host_reply_len(announced, body),
        _ => Some(announced),
    }
}

/// Session id 2, number of leases 1, leases of 44 bytes.
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

/// Session id 2, request id 4, result 1, destination with its certificate's length at 385.
fn host_reply_len(announced: usize, body: &[u8]) -> Option<usize> {
    const FIXED: usize = 2 + 4 + 1;
    const CERTIFICATE_LEN_AT: usize = FIXED + 385;
    const LEAST_DESTINATION: usize = 387;
    if announced + 1 == FIXED {
        return Some(FIXED);
    }
    // A reply with a destination has its certificate's length within what is announced, but for
    // emissary's with an empty certificate, which lacks the last byte of it.
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

/// The value of `i2cp.dontPublishLeaseSet` for a router, `None` to leave it out.
///
/// The routers do not agree on what its values mean:
///
/// | router | publishes | does not publish |
/// |---|---|---|
/// | Java I2P | anything else, or absent | `true` in any case |
/// | i2pd to 2.57 | anything else, or absent | `true` |
/// | i2pd from 2.58 (API 0.9.67), inverted | `true`, `1`, or absent | `false`, any other word |
/// | emissary | `false` | anything else, or absent |
///
/// To publish, nothing is sent, except to emissary. Not to publish, emissary and a Java I2P that is
/// recognised get `true`. Other routers get `TRUE` from 0.9.67 on: Java I2P reads it as true, and i2pd
/// as a word that it does not know.
///
/// i2pd to 2.57 has no version of its own to tell: it sends the client's back. That is why
/// [`ApiVersion::OURS`] has to stay below 0.9.67: so what an i2pd reports is on the right side of
/// that version whether it is its own or ours.
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

/// How long after its request a lease set is handed over at the earliest.
///
/// i2pd gives the client ten seconds, but starts the clock after it has sent the request, in
/// another thread than the one that reads the answer. A lease set that comes before that does not
/// stop the clock: ten seconds later the session is torn down inside the router, with the
/// connection left open, so that nobody notices. Seen with every session of 2.45.1 that was
/// answered within a millisecond; the order of the two steps is the same in 2.58. The delay is
/// chosen as long against a switch of threads and short against ten seconds.
pub(crate) fn lease_set_delay(kind: RouterKind) -> Duration {
    match kind {
        RouterKind::Emissary | RouterKind::Java => Duration::ZERO,
        RouterKind::I2pd | RouterKind::Unknown => Duration::from_millis(200),
    }
}

/// Whether the router can tell what became of a single message; emissary never does.
///
/// emissary also drops SendMessage in silence. Every router since 0.7.1 knows SendMessageExpires,
/// so that is what is sent to all.
pub(crate) fn reports_messages(kind: RouterKind, version: ApiVersion) -> bool {
    kind != RouterKind::Emissary && version >= ApiVersion::STATUS_PER_MESSAGE
}

/// Whether nothing may follow the first message to a peer until the router has reported on it.
///
/// i2pd looks up the peer's lease set for each message that arrives before it has one. It then sends all
/// of them, each with an encryption session of its own. From 2.54 on it keeps using the last of these
/// sessions for two minutes, even if that is never answered. Java I2P accepts several messages, and reports
/// only when the peer's router has acknowledged.
pub(crate) fn delivers_one_first_message(kind: RouterKind) -> bool {
    matches!(kind, RouterKind::I2pd | RouterKind::Unknown)
}

/// Whether look-up types 2 to 4 can be tried.
///
/// emissary does not answer them at all. i2pd answers that it failed, whatever version it reports
/// (see [`dont_publish_value`] on that), so that failure alone does not prove that there is no
/// lease set.
pub(crate) fn looks_up_lease_sets(kind: RouterKind, version: ApiVersion) -> bool {
    kind != RouterKind::Emissary && version >= ApiVersion::LEASE_SET_LOOKUP
}

/// How often a look-up is repeated while it is not answered.
///
/// emissary forgets a look-up where a message to the same destination waits for the same lease
/// set. Once the lease set is there, it answers a repetition at once; while it is not, it ignores
/// it. Others answer every look-up.
pub(crate) fn lookup_repeats_after(kind: RouterKind) -> Option<Duration> {
    (kind == RouterKind::Emissary).then_some(Duration::from_secs(2))
}

/// How often CreateSession is repeated while it is not answered.
///
/// emissary drops it in silence while the channel to its tunnel manager is full, and ignores it
/// while the session is being made. Others answer always, and a second one means a second session.
pub(crate) fn create_repeats_after(kind: RouterKind) -> Option<Duration> {
    (kind == RouterKind::Emissary).then_some(Duration::from_secs(3))
}

/// Whether the router takes ReconfigureSession; emissary ignores it without an answer.
pub(crate) fn reconfigures(kind: RouterKind) -> bool {
    kind != RouterKind::Emissary
}

/// Whether several sessions can share a connection, for certain.
///
/// emissary refuses the second. So does i2pd, and gives the first another number at the same time,
/// which it then does not obey any more: it must not be asked.
pub(crate) fn shares_connections(kind: RouterKind, version: ApiVersion) -> bool {
    kind == RouterKind::Java && version >= ApiVersion::SUBSESSIONS
}

/// An option, and why the router cannot do what it or the keys ask for.
///
/// Said before the session is opened, because the router itself would say nothing and leave the
/// session without tunnels or without a lease set.
pub(crate) fn unsupported(
    kind: RouterKind,
    keys: &PrivateKeys,
    options: &Options,
) -> Option<(&'static str, &'static str)> {
    match kind {
        // emissary verifies CreateSession with the destination's own key.
        RouterKind::Emissary if keys.offline().is_some() => {
            Some((SIG_TYPE, "the router (emissary) does not take offline keys"))
        }
        RouterKind::Emissary if !opens_in_emissary(keys.destination()) => {
            Some((SIG_TYPE, "the router (emissary) takes types 7 and 1 only"))
        }
        // One key of another type makes emissary drop the whole lease set.
        RouterKind::Emissary
            if options
                .encryption_types()
                .iter()
                .any(|kind| *kind != EncryptionType::X25519) =>
        {
            Some((
                ENC_TYPE,
                "the router (emissary) takes X25519 (4) only over I2CP",
            ))
        }
        RouterKind::Emissary if options.lease_set_type() != 3 => {
            Some((LEASE_SET_TYPE, "the router (emissary) takes type 3 only"))
        }
        // emissary tries to build them for ever, and each time fails.
        RouterKind::Emissary if options.inbound_length() == 0 => Some((INBOUND_LENGTH, NO_HOPS)),
        RouterKind::Emissary if options.outbound_length() == 0 => Some((OUTBOUND_LENGTH, NO_HOPS)),
        // i2pd checks the session configuration with the destination's own key.
        RouterKind::I2pd if keys.offline().is_some() => Some((
            SIG_TYPE,
            "the router (i2pd) does not take offline keys over I2CP",
        )),
        _ => None,
    }
}

/// Whether the router can read the destination at all, so that messages to it can be sent.
///
/// emissary knows the key types DSA, P-256 and Ed25519, and drops messages to others in silence.
pub(crate) fn can_send_to(kind: RouterKind, to: &Destination) -> bool {
    kind != RouterKind::Emissary
        || to.signature_type() == SignatureType::DSA_SHA1
        || opens_in_emissary(to)
}

/// Whether the router passes messages of this protocol number on.
///
/// emissary knows those of streaming, Datagram1, raw datagrams and Datagram2, and drops the others
/// in silence, on the way out and on the way in.
pub(crate) fn carries_protocol(kind: RouterKind, protocol: u8) -> bool {
    kind != RouterKind::Emissary || matches!(protocol, 6 | 17 | 18 | 19)
}

/// emissary reads 64 bytes of signature in CreateSession, and knows two key types of that length.
fn opens_in_emissary(destination: &Destination) -> bool {
    matches!(
        destination.signature_type(),
        SignatureType::ED25519 | SignatureType::ECDSA_SHA256_P256
    )
}

/// The first version of i2pd in which `i2cp.dontPublishLeaseSet` is inverted, 2.58, is also the
/// first that reports its own API version: this one.
const INVERTED_IN_I2PD: ApiVersion = ApiVersion::new(0, 9, 67);

/// Where keys are meant.
const SIG_TYPE: &str = "i2cp.destination.sigType";
const ENC_TYPE: &str = "i2cp.leaseSetEncType";
const LEASE_SET_TYPE: &str = "i2cp.leaseSetType";
const INBOUND_LENGTH: &str = "inbound.length";
const OUTBOUND_LENGTH: &str = "outbound.length";

const NO_HOPS: &str = "the router (emissary) builds no tunnels without hops";

#[cfg(test)]
mod tests;
