//! Lease sets: requests, validation, publishing, look-up.

use std::sync::Arc;

use eepkit_link::{Direction, Event, LeaseId, LinkStage, LostReason};
use eepkit_wire::{
    Codec, Destination, EncryptionType, Hash, Lease, LeaseSet, LeaseSet2, LeaseSetFlags, Mapping,
    StoreType,
};
use tokio::time::{Duration, Instant};

use super::{Due, SessionId, World};
use crate::log::Happening;

/// The data that the network stores of a validated lease set.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) destination: Destination,
    pub(crate) hash: Hash,
    /// Sorted by end, latest first.
    pub(crate) leases: Vec<Lease>,
    pub(crate) encryption: Vec<EncryptionType>,
    pub(crate) options: Mapping,
    /// The number of the lease set on this network, which orders the lease sets of one destination.
    pub(crate) order: u64,
    /// Whether the lease set is excluded from the network database.
    pub(crate) unpublished: bool,
}

/// The reason why the network refuses a lease set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the simulated network does not accept lease sets of type {0}")]
    Kind(u8),
    #[error("it cannot be read: {0}")]
    Malformed(#[from] eepkit_wire::DecodeError),
    #[error("its signature is bad: {0}")]
    Signature(#[from] eepkit_wire::SignatureError),
    #[error("it belongs to another destination")]
    OtherDestination,
    #[error("it names a lease that the router did not offer")]
    UnknownLease,
    #[error("it has no lease")]
    NoLeases,
    #[error("it is dated in the future")]
    FromTheFuture,
}

impl Record {
    /// Decodes and validates a lease set of `owner`.
    pub(crate) fn check(
        kind: u8,
        bytes: &[u8],
        owner: &Destination,
        unix: Duration,
    ) -> Result<Self, Refusal> {
        // Offline signatures expire. A clock beyond 2106 does not make an old one valid again.
        let now = u32::try_from(unix.as_secs()).unwrap_or(u32::MAX);
        let mut record = match StoreType::from_code(kind) {
            Some(StoreType::LeaseSet) => {
                let set = LeaseSet::from_bytes(bytes)?;
                set.verify()?;
                Self {
                    destination: set.destination().clone(),
                    hash: set.destination().hash(),
                    leases: set.leases().to_vec(),
                    encryption: vec![set.encryption_key().encryption_type()],
                    options: Mapping::new(),
                    order: 0,
                    unpublished: false,
                }
            }
            Some(StoreType::LeaseSet2) => {
                let set = LeaseSet2::from_bytes(bytes)?;
                set.verify(now)?;
                if u64::from(set.published()) > unix.saturating_add(CLOCK_TOLERANCE).as_secs() {
                    return Err(Refusal::FromTheFuture);
                }
                let keys = set.encryption_keys().iter();
                Self {
                    destination: set.destination().clone(),
                    hash: set.destination().hash(),
                    leases: set.leases().to_vec(),
                    encryption: keys.map(|key| key.encryption_type()).collect(),
                    options: set.options().clone(),
                    order: 0,
                    unpublished: set.flags().contains(LeaseSetFlags::UNPUBLISHED),
                }
            }
            _ => return Err(Refusal::Kind(kind)),
        };
        if record.destination != *owner {
            return Err(Refusal::OtherDestination);
        }
        if record.leases.is_empty() {
            return Err(Refusal::NoLeases);
        }
        record
            .leases
            .sort_by_key(|lease| (std::cmp::Reverse(lease.end), LeaseId::of(lease)));
        Ok(record)
    }

    /// Whether at least one lease has not ended.
    pub(crate) fn is_current(&self, unix_ms: u64) -> bool {
        self.leases.iter().any(|lease| lease.end > unix_ms)
    }
}

impl World {
    /// Schedules a check of the leases after all other events of this instant, so that several
    /// tunnels that change at the same time cause one lease set. The check is at least [`PAUSE`]
    /// after the previous request.
    pub(crate) fn look_at_leases(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.over
            && !session.lease_set_due
        {
            session.lease_set_due = true;
            let at = session.asked_at.map_or(now, |asked| now.max(asked + PAUSE));
            self.schedule.add(at, Due::LeaseSet(id));
        }
    }

    /// Requests a signature from the session if its leases differ from those of the last request.
    pub(crate) fn ask_for_lease_set(&mut self, now: Instant, id: SessionId) {
        let earliest_end = self.unix(now).saturating_add(SHORTEST_LEASE).as_millis();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.lease_set_due = false;
        let mut leases: Vec<_> = session
            .up(Direction::Inbound)
            .filter_map(|tunnel| tunnel.lease)
            .filter(|lease| u128::from(lease.end) >= earliest_end)
            .collect();
        // Tunnels that are being replaced remain usable, but only the newest are in the lease set.
        // Among tunnels with the same end, those built last are newest.
        leases.reverse();
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.end));
        leases.truncate(session.wanted.inbound.min(Lease::MAX_IN_SET));
        let ids: Vec<_> = leases.iter().map(LeaseId::of).collect();
        if !leases.is_empty() && ids != session.asked_for {
            session.asked_for = ids;
            session.asked_at = Some(now);
            session.offer(&leases);
            let router_time = self.unix(now);
            let wanted = Event::LeaseSetWanted {
                leases,
                router_time,
            };
            self.push_event(id, wanted);
        }
    }

    /// Accepts a lease set of a session. The session is lost if it is invalid.
    pub(crate) fn publish(&mut self, now: Instant, id: SessionId, kind: u8, bytes: &[u8]) {
        let unix = self.unix(now);
        let Some(session) = self.sessions.get(&id).filter(|session| !session.over) else {
            return;
        };
        let Some(host) = self.host(session.host) else {
            return;
        };
        let checked = Record::check(kind, bytes, &host.destination, unix).and_then(|mut record| {
            for lease in &mut record.leases {
                *lease = session.offered(lease).ok_or(Refusal::UnknownLease)?;
            }
            Ok(record)
        });
        let mut record = match checked {
            Ok(record) => record,
            Err(refusal) => {
                tracing::debug!(%refusal, "lease set refused");
                let why = format!("lease set refused: {refusal}");
                self.lose(now, id, LostReason::Closed(why));
                return;
            }
        };
        record.order = self.stats.lease_sets;
        record.unpublished |= session.options.dont_publish_lease_set();
        let record = Arc::new(record);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.record = Some(Arc::clone(&record));
        }
        self.stats.lease_sets += 1;
        self.reach(id, LinkStage::LeaseSetSent);
        if self.config.publish_time.is_zero() {
            self.published(now, id, record);
        } else {
            let due = Due::Published(id, record);
            self.schedule.add(now + self.config.publish_time, due);
        }
    }

    /// Adds a lease set to the network database, unless the database has a newer one.
    pub(crate) fn published(&mut self, now: Instant, id: SessionId, record: Arc<Record>) {
        let unix_ms = self.unix_ms(now);
        let newer = self
            .netdb
            .get(&record.hash)
            .is_some_and(|known| known.order > record.order);
        if !newer && !record.unpublished {
            if self.netdb.len() >= MAX_RECORDS {
                self.netdb.retain(|_, known| known.is_current(unix_ms));
            }
            if self.netdb.len() < MAX_RECORDS || self.netdb.contains_key(&record.hash) {
                self.netdb.insert(record.hash, Arc::clone(&record));
            }
        }
        if let Some(host) = self.known_host(&record.hash) {
            let leases = record.leases.len();
            self.write_log(now, Happening::Published { host, leases });
        }
        self.reach(id, LinkStage::Ready);
    }
}

/// The maximum difference between the clocks of a router and its clients. Routers refuse lease sets
/// that are dated further in the future.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Chosen because dates in lease sets are whole seconds, and each set must have a later date than
/// the previous one. Sets at shorter intervals would have dates in the future.
const PAUSE: Duration = Duration::from_secs(1);

/// Tunnels that end sooner are not in lease sets. Chosen because dates in lease sets are whole
/// seconds. Rounding takes one second at each end, and another one if the date of a set must be in
/// the future to be later than the previous date.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// The maximum number of lease sets of a network. Chosen as the maximum number of destinations.
/// Lease sets that have ended are removed when the limit is reached.
const MAX_RECORDS: usize = 65_536;
