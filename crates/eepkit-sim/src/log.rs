//! The log of a simulated network: its events in order, in a form that does not depend on keys.

use std::{collections::VecDeque, fmt};

use eepkit_link::{Direction, TunnelDownReason, TunnelId};
use tokio::time::Duration;

use super::stats::Cause;

/// A destination of a simulated network. Destinations are numbered from 1, in the order in which
/// they first opened a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(super) u32);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

/// One entry of the log.
///
/// Two runs of one program with one seed have equal logs. Hosts are identified by number, and times
/// are relative to the start of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// Time since the network was started.
    pub at: Duration,
    /// The event.
    pub what: Happening,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} {}", self.at.as_secs_f64(), self.what)
    }
}

/// An event on a simulated network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named after what they are")]
pub enum Happening {
    /// A session was opened.
    Opened { host: HostId },
    /// A session ended.
    Closed { host: HostId },
    /// A tunnel was built.
    TunnelUp {
        host: HostId,
        tunnel: TunnelId,
        direction: Direction,
    },
    /// A tunnel stopped working. The owner may not have received a report yet.
    TunnelBroken { host: HostId, tunnel: TunnelId },
    /// A tunnel ended, and the end was reported to its owner.
    TunnelDown {
        host: HostId,
        tunnel: TunnelId,
        reason: TunnelDownReason,
    },
    /// Other hosts can find a new lease set of this host.
    Published { host: HostId, leases: usize },
    /// A message left its sender.
    Left {
        host: HostId,
        outbound: TunnelId,
        bytes: usize,
    },
    /// A message reached its receiver.
    Delivered {
        from: HostId,
        to: HostId,
        inbound: TunnelId,
        bytes: usize,
    },
    /// A message was dropped.
    Dropped {
        from: HostId,
        cause: Cause,
        bytes: usize,
    },
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { host } => write!(f, "{host}: session opened"),
            Self::Closed { host } => write!(f, "{host}: session closed"),
            Self::TunnelUp {
                host,
                tunnel,
                direction,
            } => write!(f, "{host}: {direction:?} tunnel {} up", tunnel.0),
            Self::TunnelBroken { host, tunnel } => write!(f, "{host}: tunnel {} broke", tunnel.0),
            Self::TunnelDown {
                host,
                tunnel,
                reason,
            } => {
                write!(f, "{host}: tunnel {} down ({reason:?})", tunnel.0)
            }
            Self::Published { host, leases } => {
                write!(f, "{host}: lease set with {leases} leases published")
            }
            Self::Left {
                host,
                outbound,
                bytes,
            } => write!(f, "{host}: {bytes} bytes left by tunnel {}", outbound.0),
            Self::Delivered {
                from,
                to,
                inbound,
                bytes,
            } => write!(f, "{to}: {bytes} bytes of {from} by tunnel {}", inbound.0),
            Self::Dropped { from, cause, bytes } => {
                write!(f, "{from}: {bytes} bytes dropped ({cause:?})")
            }
        }
    }
}

/// The most recent entries, up to the capacity. Older entries are removed.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<LogEntry>,
    capacity: usize,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity,
        }
    }

    pub(super) fn write(&mut self, at: Duration, what: Happening) {
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(LogEntry { at, what });
    }

    pub(super) fn take(&mut self) -> Vec<LogEntry> {
        std::mem::take(&mut self.entries).into()
    }
}
