//! Counters of a simulated network.

use std::ops::AddAssign;

use eepkit_link::DropReason;

use eepkit_netem::LinkDrop;

/// Counters of a simulated network since its start.
///
/// Every submitted message, and every duplicate that the network creates, is finally delivered or
/// dropped exactly once: `sent + duplicated == delivered + dropped.total() + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that sessions submitted.
    pub sent: u64,
    /// Bytes in these messages (message bodies as submitted).
    pub sent_bytes: u64,
    /// Messages that sessions received, including duplicates.
    pub delivered: u64,
    /// Bytes in these messages.
    pub delivered_bytes: u64,
    /// Messages that the network duplicated.
    pub duplicated: u64,
    /// Messages that the network delayed so that later ones overtake them.
    pub reordered: u64,
    /// Messages that were dropped, by cause.
    pub dropped: Drops,
    /// Messages that were submitted and are not yet delivered or dropped.
    pub in_flight: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Tunnels that came up.
    pub tunnels_built: u64,
    /// Tunnels that failed, with or without notice.
    pub tunnels_failed: u64,
    /// Lease sets that were accepted.
    pub lease_sets: u64,
    /// Look-ups that completed, including those that the network makes for messages.
    pub lookups: u64,
}

/// Messages that were dropped, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drops {
    /// Lost by the link model, at random or in a burst.
    pub loss: u64,
    /// The queue of a bottleneck in the network was full.
    pub queue: u64,
    /// Sent through a tunnel that had failed, before the owner received a report.
    pub dead_tunnel: u64,
    /// Sent to a lease that had ended or whose tunnel no longer existed.
    pub dead_lease: u64,
    /// Sender and receiver were partitioned, or one of them was cut off.
    pub partition: u64,
    /// The receiver no longer had a session.
    pub no_session: u64,
    /// The receiver did not read, and its queue was full.
    pub inbox_full: u64,
    /// The receiver could not decode the message.
    pub malformed: u64,
    /// The receiver had lost the keys of the encryption session.
    pub undecryptable: u64,
    /// No lease set of the receiver was found. Reported to the sender.
    pub no_lease_set: u64,
    /// The sender had no path to the receiver. Reported to the sender.
    pub no_path: u64,
    /// The deadline passed before the message left. Reported to the sender.
    pub expired: u64,
    /// Submitted faster than the sender's router accepts messages. Reported to the sender.
    pub overflow: u64,
    /// Sender and receiver have no encryption type in common. Reported to the sender.
    pub unsupported_encryption: u64,
    /// The message was too large. Reported to the sender.
    pub refused: u64,
    /// The sender's session ended while the message waited to leave.
    pub session_ended: u64,
}

impl Drops {
    /// The sum of all counters.
    pub fn total(&self) -> u64 {
        let Self {
            loss,
            queue,
            dead_tunnel,
            dead_lease,
            partition,
            no_session,
            inbox_full,
            malformed,
            undecryptable,
            no_lease_set,
            no_path,
            expired,
            overflow,
            unsupported_encryption,
            refused,
            session_ended,
        } = self;
        loss + queue
            + dead_tunnel
            + dead_lease
            + partition
            + no_session
            + inbox_full
            + malformed
            + undecryptable
            + no_lease_set
            + no_path
            + expired
            + overflow
            + unsupported_encryption
            + refused
            + session_ended
    }

    pub(super) fn count(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Loss => &mut self.loss,
            Cause::Queue => &mut self.queue,
            Cause::DeadTunnel => &mut self.dead_tunnel,
            Cause::DeadLease => &mut self.dead_lease,
            Cause::Partition => &mut self.partition,
            Cause::NoSession => &mut self.no_session,
            Cause::InboxFull => &mut self.inbox_full,
            Cause::Malformed => &mut self.malformed,
            Cause::Undecryptable => &mut self.undecryptable,
            Cause::NoLeaseSet => &mut self.no_lease_set,
            Cause::NoPath => &mut self.no_path,
            Cause::Expired => &mut self.expired,
            Cause::Overflow => &mut self.overflow,
            Cause::UnsupportedEncryption => &mut self.unsupported_encryption,
            Cause::Refused => &mut self.refused,
            Cause::SessionEnded => &mut self.session_ended,
        };
        counter.add_assign(1);
    }
}

/// The reason why a message was dropped. Each is a counter of [`Drops`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each is explained at the counter of its name in `Drops`"
)]
pub enum Cause {
    Loss,
    Queue,
    DeadTunnel,
    DeadLease,
    Partition,
    NoSession,
    InboxFull,
    Malformed,
    Undecryptable,
    NoLeaseSet,
    NoPath,
    Expired,
    Overflow,
    UnsupportedEncryption,
    Refused,
    SessionEnded,
}

impl Cause {
    /// The reason reported to the sender, or `None` if its router cannot detect the drop.
    pub(super) fn reported(self) -> Option<DropReason> {
        match self {
            Self::NoLeaseSet => Some(DropReason::NoLeaseSet),
            Self::NoPath => Some(DropReason::NoTunnel),
            Self::Expired => Some(DropReason::Expired),
            Self::Overflow => Some(DropReason::Overflow),
            Self::UnsupportedEncryption => Some(DropReason::UnsupportedEncryption),
            Self::Refused => Some(DropReason::Refused),
            Self::Loss
            | Self::Queue
            | Self::DeadTunnel
            | Self::DeadLease
            | Self::Partition
            | Self::NoSession
            | Self::InboxFull
            | Self::Malformed
            | Self::Undecryptable
            | Self::SessionEnded => None,
        }
    }
}

impl From<LinkDrop> for Cause {
    fn from(cause: LinkDrop) -> Self {
        match cause {
            LinkDrop::Loss => Self::Loss,
            LinkDrop::Queue => Self::Queue,
        }
    }
}
