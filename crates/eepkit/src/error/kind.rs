//! The coarse classification of errors.

use std::{fmt, io};

/// A coarse classification of an error, sufficient to choose a reply code, a retry or a message for
/// the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another listener or socket uses the port, or another session of the router uses the
    /// destination.
    AddressInUse,
    /// An argument or an option of the caller is invalid.
    BadInput,
    /// The session, the listener or the router was closed by this program.
    Closed,
    /// The user name, the password or the key is missing or wrong.
    Denied,
    /// This side and the peer have no encryption type in common.
    IncompatibleEncryption,
    /// A file could not be read, parsed or written.
    Io,
    /// The network has no lease set for the destination: it is offline or does not exist.
    LeaseSetNotFound,
    /// A limit was reached. The same call may succeed later.
    Limit,
    /// The lease set of the destination is encrypted, and the router has no key or password for it.
    Locked,
    /// The host name is unknown.
    NameNotFound,
    /// The embedded router could not join the network.
    NetworkUnreachable,
    /// The router currently has no tunnels for the session.
    NoTunnels,
    /// The peer stopped answering, or never answered although its lease set is published.
    PeerUnreachable,
    /// The peer or the router violated the protocol.
    Protocol,
    /// The peer refused: it has no listener on the port, or it rejects this destination.
    Refused,
    /// The peer reset the stream.
    Reset,
    /// The router refused the request.
    RouterRefused,
    /// The router cannot be reached.
    RouterUnreachable,
    /// The link between the session and its router broke.
    SessionLost,
    /// The operation did not finish in time.
    Timeout,
    /// The router or this library does not support the operation.
    Unsupported,
}

impl ErrorKind {
    /// Every kind, in alphabetical order.
    pub const ALL: &'static [Self] = &[
        Self::AddressInUse,
        Self::BadInput,
        Self::Closed,
        Self::Denied,
        Self::IncompatibleEncryption,
        Self::Io,
        Self::LeaseSetNotFound,
        Self::Limit,
        Self::Locked,
        Self::NameNotFound,
        Self::NetworkUnreachable,
        Self::NoTunnels,
        Self::PeerUnreachable,
        Self::Protocol,
        Self::Refused,
        Self::Reset,
        Self::RouterRefused,
        Self::RouterUnreachable,
        Self::SessionLost,
        Self::Timeout,
        Self::Unsupported,
    ];

    /// The kind with this name; see [`ErrorKind::as_str`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// Whether the same call may succeed later without any change.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::LeaseSetNotFound
                | Self::Limit
                | Self::NetworkUnreachable
                | Self::NoTunnels
                | Self::PeerUnreachable
                | Self::Reset
                | Self::RouterUnreachable
                | Self::SessionLost
                | Self::Timeout
        )
    }

    /// The closest kind of the standard library.
    pub const fn io_kind(self) -> io::ErrorKind {
        match self {
            Self::AddressInUse => io::ErrorKind::AddrInUse,
            Self::BadInput => io::ErrorKind::InvalidInput,
            Self::Closed => io::ErrorKind::NotConnected,
            Self::Denied | Self::Locked => io::ErrorKind::PermissionDenied,
            Self::LeaseSetNotFound | Self::PeerUnreachable => io::ErrorKind::HostUnreachable,
            Self::NameNotFound => io::ErrorKind::NotFound,
            Self::NetworkUnreachable | Self::NoTunnels | Self::RouterUnreachable => {
                io::ErrorKind::NetworkUnreachable
            }
            Self::Protocol => io::ErrorKind::InvalidData,
            Self::Refused | Self::RouterRefused => io::ErrorKind::ConnectionRefused,
            Self::Reset => io::ErrorKind::ConnectionReset,
            Self::SessionLost => io::ErrorKind::ConnectionAborted,
            Self::Timeout => io::ErrorKind::TimedOut,
            Self::Unsupported => io::ErrorKind::Unsupported,
            Self::IncompatibleEncryption | Self::Io | Self::Limit => io::ErrorKind::Other,
        }
    }

    /// What a user can do about the error, in one sentence. `None` if it depends on the case.
    pub const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::AddressInUse => {
                "close the other listener or session, or use another port or key file"
            }
            Self::Denied => {
                "give the router's user name and password: a login file, or i2cp://user:password@host:port"
            }
            Self::IncompatibleEncryption => {
                "offer more encryption types with the option i2cp.leaseSetEncType, for example 4,0"
            }
            Self::LeaseSetNotFound => {
                "the peer is offline, or so new that the network does not know it yet; try again in a minute"
            }
            Self::Limit => "close what is no longer used, or raise the limit",
            Self::Locked => {
                "the peer's lease set is encrypted: give the router its key or password, which the peer has"
            }
            Self::NameNotFound => {
                "add the name to an address book, or use the .b32.i2p address or the full destination"
            }
            Self::NetworkUnreachable => {
                "check the connection to the internet, or give the router a reseed file"
            }
            Self::NoTunnels => {
                "the router is still starting or has no peers; wait for it to become ready, and check its network"
            }
            Self::PeerUnreachable => "the peer or its tunnels are down; try again in a minute",
            Self::Refused => "check the port; the peer may not be listening on it",
            Self::RouterRefused => "the router's log has the reason",
            Self::RouterUnreachable => {
                "start an I2P router and enable I2CP in it, or use an embedded router"
            }
            Self::SessionLost => "the session is being restored; connect again",
            Self::Timeout => "I2P is slow at times: try again, or with a longer time limit",
            Self::BadInput
            | Self::Closed
            | Self::Io
            | Self::Protocol
            | Self::Reset
            | Self::Unsupported => {
                return None;
            }
        })
    }

    /// The kind's name in lower case with underscores, for logs and machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressInUse => "address_in_use",
            Self::BadInput => "bad_input",
            Self::Closed => "closed",
            Self::Denied => "denied",
            Self::IncompatibleEncryption => "incompatible_encryption",
            Self::Io => "io",
            Self::LeaseSetNotFound => "lease_set_not_found",
            Self::Limit => "limit",
            Self::Locked => "locked",
            Self::NameNotFound => "name_not_found",
            Self::NetworkUnreachable => "network_unreachable",
            Self::NoTunnels => "no_tunnels",
            Self::PeerUnreachable => "peer_unreachable",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::RouterRefused => "router_refused",
            Self::RouterUnreachable => "router_unreachable",
            Self::SessionLost => "session_lost",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.as_str()), Some(*kind));
        }
        assert_eq!(ErrorKind::from_name("success"), None);
        // The kinds are numbered in their order, so a missing one leaves a gap.
        let last = ErrorKind::Unsupported as usize;
        assert_eq!(ErrorKind::ALL.len(), last + 1);
    }
}
