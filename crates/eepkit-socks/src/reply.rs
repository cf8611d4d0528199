//! Results of requests.

use crate::address::Address;

/// The result of a request, which the server sends to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The connection is open, or the relay of datagrams can be used. The address is the local end
    /// of the connection, the address of the relay, or the answer to RESOLVE.
    Granted(Address),
    /// General failure.
    Failure,
    /// The request is not allowed by the configuration.
    NotAllowed,
    /// The network cannot be reached: the router is not ready, or there is no way out.
    NetworkUnreachable,
    /// The host is not known or cannot be reached.
    HostUnreachable,
    /// The host refused the connection.
    Refused,
    /// The host did not answer in time.
    TimedOut,
    /// The command is not supported.
    CommandNotSupported,
    /// The type of the address is not supported.
    AddressNotSupported,
}

impl Reply {
    /// The code of SOCKS 5 (RFC 1928, section 6).
    pub const fn code(&self) -> u8 {
        match self {
            Self::Granted(_) => 0,
            Self::Failure => 1,
            Self::NotAllowed => 2,
            Self::NetworkUnreachable => 3,
            Self::HostUnreachable => 4,
            Self::Refused => 5,
            Self::TimedOut => 6,
            Self::CommandNotSupported => 7,
            Self::AddressNotSupported => 8,
        }
    }

    /// The code of SOCKS 4, which does not distinguish failures.
    pub const fn code_4(&self) -> u8 {
        match self {
            Self::Granted(_) => GRANTED_4,
            _ => REJECTED_4,
        }
    }

    /// Whether the request was granted.
    pub const fn is_granted(&self) -> bool {
        matches!(self, Self::Granted(_))
    }

    /// The result with this code of SOCKS 5, without an address. `None` for 0 and unknown codes.
    pub(crate) const fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Failure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::Refused,
            6 => Self::TimedOut,
            7 => Self::CommandNotSupported,
            8 => Self::AddressNotSupported,
            _ => return None,
        })
    }
}

const GRANTED_4: u8 = 0x5a;
const REJECTED_4: u8 = 0x5b;
