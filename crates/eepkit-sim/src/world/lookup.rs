//! Look-ups of names, hashes and lease sets.

use std::sync::Arc;

use eepkit_link::{Event, LinkLookupError, LookupAnswer, LookupTarget};
use eepkit_wire::{Hash, Mapping};
use tokio::time::{Duration, Instant};

use super::{Due, SessionId, World, netdb::Record, session::MAX_LOOKUPS};

/// A pending look-up.
#[derive(Debug)]
pub(crate) struct Lookup {
    id: u32,
    target: LookupTarget,
    /// The answer takes longer than the caller waits.
    too_slow: bool,
}

impl World {
    /// Starts a look-up. The answer is reported as an event.
    pub(crate) fn lookup(
        &mut self,
        now: Instant,
        session: SessionId,
        id: u32,
        target: LookupTarget,
        timeout: Duration,
    ) {
        let Some(caller) = self
            .sessions
            .get_mut(&session)
            .filter(|caller| !caller.over)
        else {
            return;
        };
        if caller.lookups >= MAX_LOOKUPS {
            let result = Err(LinkLookupError::Timeout);
            self.push_event(session, Event::LookupDone { id, result });
            return;
        }
        caller.lookups += 1;
        let unreachable = self
            .sessions
            .get(&session)
            .and_then(|session| self.host(session.host))
            .is_some_and(|host| host.cut_off);
        let takes = match &target {
            // The router has its own address book.
            LookupTarget::Name(name) if hash_of_name(name).is_none() => Duration::ZERO,
            _ if unreachable => Duration::MAX,
            _ => self.config.lookup_time,
        };
        let too_slow = takes > timeout;
        let lookup = Lookup {
            id,
            target,
            too_slow,
        };
        match takes.min(timeout) {
            Duration::ZERO => self.lookup_done(now, session, lookup),
            takes => {
                let due = Due::Lookup(session, lookup);
                self.schedule.add(now + takes.min(LONGEST_WAIT), due);
            }
        }
    }

    pub(crate) fn lookup_done(&mut self, now: Instant, session: SessionId, lookup: Lookup) {
        let id = lookup.id;
        let result = match lookup.too_slow {
            true => Err(LinkLookupError::Timeout),
            false => self.answer(now, session, lookup.target),
        };
        self.stats.lookups += 1;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.lookups = session.lookups.saturating_sub(1);
        }
        self.push_event(session, Event::LookupDone { id, result });
        self.wake_if_ready(session);
    }

    fn answer(
        &mut self,
        now: Instant,
        id: SessionId,
        target: LookupTarget,
    ) -> Result<LookupAnswer, LinkLookupError> {
        let is_hash = matches!(target, LookupTarget::Hash(_));
        let hash = match self.hash_or_named(target) {
            Ok(hash) => hash,
            Err(named) => return named,
        };
        // Routers search for the lease set of a hash only if they have none, however old theirs is.
        let unix_ms = self.unix_ms(now);
        if is_hash
            && let Some(session) = self.sessions.get_mut(&id)
            && let Some(known) = session.peers.entry(hash).current(unix_ms)
        {
            return Ok(known.to_answer(unix_ms));
        }
        let record = match self.find(now, id, hash) {
            Some(record) => record,
            None if self.encrypted.contains(&hash) => return Err(LinkLookupError::Locked),
            None => return Err(LinkLookupError::LeaseSetNotFound),
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.peers.entry(hash).learn(&record, unix_ms);
        }
        Ok(record.to_answer(unix_ms))
    }

    /// Returns the answer that is available immediately to clients without a session.
    pub(crate) fn answer_anyone(
        &self,
        now: Instant,
        target: LookupTarget,
    ) -> Result<LookupAnswer, LinkLookupError> {
        let hash = match self.hash_or_named(target) {
            Ok(hash) => hash,
            Err(named) => return named,
        };
        if self.encrypted.contains(&hash) {
            return Err(LinkLookupError::Locked);
        }
        let unix_ms = self.unix_ms(now);
        self.netdb
            .get(&hash)
            .filter(|record| record.is_current(unix_ms))
            .map(|record| record.to_answer(unix_ms))
            .ok_or(LinkLookupError::LeaseSetNotFound)
    }

    /// Returns the hash of the lease set to find, or the complete answer for a name of the address
    /// book.
    fn hash_or_named(
        &self,
        target: LookupTarget,
    ) -> Result<Hash, Result<LookupAnswer, LinkLookupError>> {
        match target {
            LookupTarget::Hash(hash) => Ok(hash),
            LookupTarget::LeaseSet(destination) => Ok(destination.hash()),
            LookupTarget::Name(name) => hash_of_name(&name).ok_or_else(|| {
                let destination = self.names.get(&name.to_ascii_lowercase()).cloned();
                destination
                    .map(|destination| LookupAnswer {
                        destination,
                        leases: Vec::new(),
                        options: Mapping::new(),
                    })
                    .ok_or(LinkLookupError::NameNotFound)
            }),
        }
    }

    /// Returns the current lease set of a destination, from the network database or from the
    /// session's own router.
    pub(crate) fn find(&self, now: Instant, id: SessionId, hash: Hash) -> Option<Arc<Record>> {
        let session = self.sessions.get(&id)?;
        let host = self.host(session.host)?;
        let unix_ms = self.unix_ms(now);
        let record = if host.destination.hash() == hash {
            session.record.as_ref()
        } else if host.cut_off || self.encrypted.contains(&hash) {
            None
        } else {
            self.netdb.get(&hash)
        };
        record.filter(|record| record.is_current(unix_ms)).cloned()
    }
}

impl Record {
    fn to_answer(&self, unix_ms: u64) -> LookupAnswer {
        let leases = self.leases.iter().filter(|lease| lease.end > unix_ms);
        LookupAnswer {
            destination: self.destination.clone(),
            leases: leases.copied().collect(),
            options: self.options.clone(),
        }
    }
}

/// Returns the hash in a `.b32.i2p` name.
fn hash_of_name(name: &str) -> Option<Hash> {
    let lower = name.to_ascii_lowercase();
    lower
        .ends_with(".b32.i2p")
        .then(|| Hash::from_b32(&lower).ok())
        .flatten()
}

/// The maximum duration of a look-up that is never answered, whatever its timeout.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
