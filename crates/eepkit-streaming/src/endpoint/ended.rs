//! Records of ended streams, to answer packets that still arrive for them.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use eepkit_wire::{Destination, PrivateKeys};

use crate::{
    CloseReason,
    connection::{Connection, Phase},
    kind::OUR_RESEND_DELAY,
    packet::{Encoded, Flags, Repr},
};

/// Streams that ended recently.
#[derive(Debug, Default)]
pub(super) struct Ended {
    records: HashMap<u32, Record>,
    /// Ids in the order of their end.
    order: VecDeque<(Instant, u32)>,
    /// Resets to be repeated, in the order of time.
    repeats: VecDeque<(Instant, u32)>,
}

/// The record of an ended stream.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) to: Destination,
    pub(super) local_id: u32,
    pub(super) remote_id: u32,
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    /// The acknowledgement to repeat, if the stream finished. Otherwise a reset is repeated.
    pub(super) received_through: Option<u32>,
    /// Whether the peer opened the stream.
    pub(super) incoming: bool,
    answers_left: u8,
    repeats_left: u8,
}

impl Ended {
    pub(super) fn insert(&mut self, now: Instant, connection: &Connection) {
        if self.records.contains_key(&connection.local_id) {
            return;
        }
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
            repeats_left: RESET_REPEATS,
        };
        if connection.has_reset() {
            self.repeats
                .push_back((now + REPEAT_INTERVAL, record.local_id));
        }
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
        let fronts = [self.order.front(), self.repeats.front()];
        fronts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Whether there are resets to be repeated.
    pub(super) fn repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// The next stream whose reset is to be repeated now.
    pub(super) fn repeat(&mut self, now: Instant) -> Option<&Record> {
        while self.repeats.front().is_some_and(|(at, _)| *at <= now) {
            let (_, id) = self.repeats.pop_front()?;
            let Some(record) = self.records.get_mut(&id) else {
                continue;
            };
            record.repeats_left -= 1;
            if record.repeats_left > 0 {
                self.repeats.push_back((now + REPEAT_INTERVAL, id));
            }
            return self.records.get(&id);
        }
        None
    }

    pub(super) fn get(&self, local_id: u32) -> Option<&Record> {
        self.records.get(&local_id)
    }

    /// The record for the answer to a packet, unless the limit of answers is reached.
    pub(super) fn answer(&mut self, local_id: u32) -> Option<&Record> {
        let record = self.records.get_mut(&local_id)?;
        record.answers_left = record.answers_left.checked_sub(1)?;
        Some(record)
    }

    /// Whether a stream that `peer` opened with this id has ended recently.
    pub(super) fn knows_incoming(&self, peer: &Destination, remote_id: u32) -> bool {
        self.records
            .values()
            .any(|record| record.incoming && record.remote_id == remote_id && record.to == *peer)
    }
}

impl Record {
    /// Encodes the answer to the peer: the last acknowledgement, or a reset.
    pub(super) fn final_packet(&self, keys: &PrivateKeys) -> Encoded {
        let mut repr = Repr {
            send_id: self.remote_id,
            recv_id: self.local_id,
            ..Repr::default()
        };
        if let Some(through) = self.received_through {
            repr.ack_through = through;
            repr.resend_delay = OUR_RESEND_DELAY;
            let mut bytes = Vec::new();
            repr.encode(&mut bytes);
            bytes.into()
        } else {
            repr.flags = Flags::RESET | Flags::NO_ACK;
            repr.from = Some(keys.destination());
            repr.unsigned(keys)
        }
    }
}

/// The most records. Java keeps 128, but on a busy server that many streams end in a second. A
/// record uses about 100 bytes.
const MAX_RECORDS: usize = 1024;
/// Lifetime of a record. Chosen longer than the time between two retransmissions of the peer's last
/// packet, except for the last retransmissions.
const LIFETIME: Duration = Duration::from_secs(60);
/// The most answers for one stream. Chosen as the number of retransmissions of a peer.
const MAX_ANSWERS: u8 = 8;
/// How often a reset is repeated. A reset is not acknowledged, and a peer that does not receive it
/// waits for its timeouts. Chosen because at 10 % loss, three packets are all lost in one of a
/// thousand cases.
const RESET_REPEATS: u8 = 2;
/// Time between repeats. Chosen longer than a burst of losses, and short enough to close a session
/// without delay.
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);
