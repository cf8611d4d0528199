//! Converts between the types of the I2CP machine and those of the link.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use eepkit_i2cp::{
    DeliveryStatus, Found, LookupFailure, LookupTarget, RouterKind, SendFlags, SessionCloseReason,
};
use eepkit_wire::gzip;
use tracing::debug;

use eepkit_link::{
    self as link, DropReason, LinkError, LinkLookupError, LookupAnswer, LostReason, Payload,
    SendOptions,
};

/// The name of the router's program, if it is known.
pub(super) fn program(kind: RouterKind) -> Option<String> {
    let name = match kind {
        RouterKind::Emissary => "emissary",
        RouterKind::I2pd => "i2pd",
        RouterKind::Java => "Java I2P",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Returns the header of the frame that carries a payload.
pub(super) fn header(payload: &Payload) -> gzip::Header {
    gzip::Header {
        protocol: payload.protocol,
        from_port: payload.from_port,
        to_port: payload.to_port,
    }
}

/// Extracts a payload from its frame. Returns `None` if the frame is damaged, which only the peer
/// can have caused.
pub(super) fn decode_payload(framed: &Bytes) -> Option<Payload> {
    match gzip::decode(framed, MAX_BODY_LEN) {
        Ok((header, body)) => Some(Payload {
            protocol: header.protocol,
            from_port: header.from_port,
            to_port: header.to_port,
            body: match body {
                Cow::Borrowed(body) if body.len() >= MIN_SHARED_LEN => framed.slice_ref(body),
                body => body.into_owned().into(),
            },
        }),
        Err(error) => {
            debug!(%error, "dropped a message that is not in gzip framing");
            None
        }
    }
}

pub(super) fn flags(options: &SendOptions) -> SendFlags {
    let mut flags = SendFlags::default().with_omit_lease_set(options.omit_lease_set);
    if let Some(tags) = options.tag_threshold {
        flags = flags.with_tag_threshold(tags);
    }
    if let Some(tags) = options.tags_to_send {
        flags = flags.with_tags_to_send(tags);
    }
    flags
}

pub(super) fn target(target: link::LookupTarget) -> LookupTarget {
    match target {
        link::LookupTarget::Hash(hash) => LookupTarget::Hash(hash),
        link::LookupTarget::Name(name) => LookupTarget::Name(name),
        link::LookupTarget::LeaseSet(destination) => LookupTarget::LeaseSet(destination),
    }
}

pub(super) fn answer(
    result: Result<Found, LookupFailure>,
) -> Result<LookupAnswer, LinkLookupError> {
    match result {
        Ok(found) => Ok(LookupAnswer {
            destination: found.destination,
            leases: Vec::new(),
            options: found.options,
        }),
        Err(LookupFailure::NameNotFound) => Err(LinkLookupError::NameNotFound),
        Err(LookupFailure::LeaseSetNotFound) => Err(LinkLookupError::LeaseSetNotFound),
        Err(LookupFailure::Locked) => Err(LinkLookupError::Locked),
        Err(LookupFailure::Unsupported) => Err(LinkLookupError::Unsupported),
        Err(LookupFailure::Closed) => Err(LinkLookupError::SessionLost),
        Err(_) => Err(LinkLookupError::Timeout),
    }
}

/// Returns the reason why a message did not arrive.
pub(super) fn drop_reason(status: DeliveryStatus) -> DropReason {
    match status {
        DeliveryStatus::EXPIRED => DropReason::Expired,
        DeliveryStatus::NO_LEASE_SET
        | DeliveryStatus::EXPIRED_LEASE_SET
        | DeliveryStatus::BAD_LEASE_SET
        | DeliveryStatus::META_LEASE_SET => DropReason::NoLeaseSet,
        DeliveryStatus::NO_LOCAL_TUNNELS | DeliveryStatus::BAD_LOCAL_LEASE_SET => {
            DropReason::NoTunnel
        }
        DeliveryStatus::OVERFLOW => DropReason::Overflow,
        DeliveryStatus::UNSUPPORTED_ENCRYPTION => DropReason::UnsupportedEncryption,
        _ => DropReason::Refused,
    }
}

pub(super) fn open_error(reason: SessionCloseReason, at: &str, limit: Duration) -> LinkError {
    match reason {
        SessionCloseReason::NotI2cp(why) | SessionCloseReason::Protocol(why) => {
            LinkError::NotARouter {
                at: at.to_owned(),
                why,
            }
        }
        SessionCloseReason::LoginRefused(words) => LinkError::Denied(words),
        SessionCloseReason::Duplicate => LinkError::Duplicate,
        SessionCloseReason::BadOption { key, why } => LinkError::BadOption { key, why },
        SessionCloseReason::Timeout(_) => LinkError::Timeout(limit),
        SessionCloseReason::Unsupported(why) => LinkError::Unsupported(why),
        SessionCloseReason::Refused(words) | SessionCloseReason::Disconnected(words) => {
            LinkError::Refused(words)
        }
        other => LinkError::Refused(other.to_string()),
    }
}

/// Returns the reason why a session ended, unless it ended with the connection.
pub(super) fn lost_reason(reason: SessionCloseReason) -> LostReason {
    match reason {
        SessionCloseReason::Disconnected(words) => LostReason::Closed(words),
        SessionCloseReason::NotI2cp(why) | SessionCloseReason::Protocol(why) => {
            LostReason::Protocol(why)
        }
        SessionCloseReason::Timeout(what) => LostReason::Closed(what.to_owned()),
        SessionCloseReason::Silent(_) => LostReason::Connection(reason.to_string()),
        SessionCloseReason::Unreachable(why) => LostReason::Unreachable(why.to_string()),
        other => LostReason::Closed(other.to_string()),
    }
}

/// The length from which a body shares the memory of the read it arrived in. Shorter bodies are
/// copied.
///
/// Chosen so that many short bodies that stay in use for a long time, each from another read, do
/// not keep many times their length allocated.
pub(super) const MIN_SHARED_LEN: usize = 1024;

/// The longest decompressed body of a message. Chosen as the maximum size of a message. Peers do
/// not send bodies that are longer and compress into it.
const MAX_BODY_LEN: usize = 64 * 1024;
