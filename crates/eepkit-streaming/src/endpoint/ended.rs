//! Remembers streams that are over, to answer packets that still come for them.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use eepkit_wire::Destination;

use crate::{
    CloseReason,
    connection::{Connection, Phase},
};

/// Streams that were over a short while ago.
#[derive(Debug, Default)]
pub(super) struct Ended {
    records: HashMap<u32, Record>,
    /// Ids in the order of their end.
    order: VecDeque<(Instant, u32)>,
}

/// A stream that is over.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) to: Destination,
    pub(super) local_id: u32,
    pub(super) remote_id: u32,
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    /// What to acknowledge again, where it ended regularly; else the peer is told that it is reset.
    pub(super) received_through: Option<u32>,
    /// The peer opened it.
    pub(super) incoming: bool,
    answers_left: u8,
}

impl Ended {
    pub(super) fn insert(&mut self, now: Instant, connection: &Connection) {
        while self.order.len() >= MAX_RECORDS {
            self.forget_oldest();
        }
        let finished = connection.phase == Phase::Done(CloseReason::Finished);
        let record = Record {
            to: connection.identity().destination.clone(),
            local_id: connection.local_id,
            remote_id: connection.remote_id,
            local_port: connection.local_port,
            remote_port: connection.remote_port,
            received_through: finished.then(|| connection.received_through()),
            incoming: !connection.initiator,
            answers_left: MAX_ANSWERS,
        };
        self.order.push_back((now + LIFETIME, record.local_id));
        self.records.insert(record.local_id, record);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.records.remove(&id);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(at, _)| *at <= now) {
            self.forget_oldest();
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at)
    }

    pub(super) fn get(&self, local_id: u32) -> Option<&Record> {
        self.records.get(&local_id)
    }

    /// The record to answer a packet by, unless it was answered often enough.
    pub(super) fn answer(&mut self, local_id: u32) -> Option<&Record> {
        let record = self.records.get_mut(&local_id)?;
        record.answers_left = record.answers_left.checked_sub(1)?;
        Some(record)
    }

    /// Whether a stream that `peer` opened under this id is over.
    pub(super) fn knows_incoming(&self, peer: &Destination, remote_id: u32) -> bool {
        self.records
            .values()
            .any(|record| record.incoming && record.remote_id == remote_id && record.to == *peer)
    }
}

/// Java keeps 128; a busy server ends that many in a second. A record takes about 100 bytes.
const MAX_RECORDS: usize = 1024;
/// Longer than a peer waits between retransmissions of its last packet, but for the very last ones.
const LIFETIME: Duration = Duration::from_secs(60);
/// The peer retransmits about that often.
const MAX_ANSWERS: u8 = 8;
