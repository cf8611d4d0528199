//! Lease sets: asked for, checked, published, found.

use std::sync::Arc;

use eepkit_link::{Direction, Event, LeaseId, LinkStage, LostReason};
use eepkit_wire::{
    Codec, Destination, EncryptionType, Hash, Lease, LeaseSet, LeaseSet2, Mapping, StoreType,
};
use tokio::time::{Duration, Instant};

use super::{Due, SessionId, World};
use crate::log::Happening;

/// What the network keeps of a lease set that has been checked.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) destination: Destination,
    pub(crate) hash: Hash,
    /// The one that ends last first.
    pub(crate) leases: Vec<Lease>,
    pub(crate) encryption: Vec<EncryptionType>,
    pub(crate) options: Mapping,
    /// Orders the sets of one destination: the number of the set on this network.
    pub(crate) order: u64,
    /// Not for the network database.
    pub(crate) unpublished: bool,
}

/// Why the network does not take a lease set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the simulated network does not take lease sets of type {0}")]
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
    #[error("it has been made in the future")]
    FromTheFuture,
}

impl Record {
    /// Reads and checks a lease set of `owner`.
    pub(crate) fn check(
        kind: u8,
        bytes: &[u8],
        owner: &Destination,
        unix: Duration,
    ) -> Result<Self, Refusal> {
        // Offline signatures expire; a clock beyond 2106 does not make an old one valid again.
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
                    unpublished: set.flags().is_unpublished(),
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

    /// Whether any lease has not ended.
    pub(crate) fn is_current(&self, unix_ms: u64) -> bool {
        self.leases.iter().any(|lease| lease.end > unix_ms)
    }
}

impl World {
    /// Makes sure that the leases are looked at: once everything else of this instant has happened,
    /// so that several tunnels that change together make one lease set, and no sooner than
    /// [`PAUSE`] after the request before.
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

    /// Asks the session to sign its leases if they are others than it was asked for last.
    pub(crate) fn ask_for_lease_set(&mut self, now: Instant, id: SessionId) {
        let worth_telling = self.unix(now).saturating_add(SHORTEST_LEASE).as_millis();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.lease_set_due = false;
        let mut leases: Vec<_> = session
            .up(Direction::Inbound)
            .filter_map(|tunnel| tunnel.lease)
            .filter(|lease| u128::from(lease.end) >= worth_telling)
            .collect();
        // Tunnels that are being replaced serve on, but only the newest are told to peers. Of
        // tunnels that end together those built last are newest.
        leases.reverse();
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.end));
        leases.truncate(session.wanted.inbound.min(Lease::MAX_IN_SET));
        let ids: Vec<_> = leases.iter().map(LeaseId::of).collect();
        if !leases.is_empty() && ids != session.asked_for {
            session.asked_for = ids;
            session.asked_at = Some(now);
            session.offer(&leases);
            self.tell(id, Event::LeaseSetWanted(leases));
        }
    }

    /// Takes a lease set from a session; a bad one costs it the session.
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
        self.reach(id, LinkStage::LeaseSetHandedOver);
        if self.config.publish_time.is_zero() {
            self.published(now, id, record);
        } else {
            let due = Due::Published(id, record);
            self.schedule.add(now + self.config.publish_time, due);
        }
    }

    /// The network database has a lease set, unless it has a newer one.
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

/// How far a router's and its clients' clocks may be apart; routers refuse lease sets from further
/// in the future than this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Chosen because dates in lease sets are whole seconds, and each set must be later than the one
/// before: sets that follow each other more quickly would come to lie in the future.
const PAUSE: Duration = Duration::from_secs(1);

/// Tunnels that end sooner are no longer told to peers. Chosen because dates in lease sets are whole
/// seconds: rounding takes one at each end, and a third where the date of a set has to be ahead to be
/// later than that of the one before.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// Lease sets that a network keeps. As many as there may be destinations; those that have ended
/// make room.
const MAX_RECORDS: usize = 65_536;
