//! The datagram sockets of a session: dispatch of received datagrams, and the send queue.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use eepkit_datagram::Format;
use eepkit_link::{
    Payload, SendOptions,
    streams::{DatagramFormat, IncomingDatagram, Sender},
};
use eepkit_wire::Destination;
use tokio::{sync::Notify, time::Instant};

use crate::error::{BindError, ReceiveError};

/// The sockets of a session, under its lock.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    /// By protocol number and port; 0 stands for any. At most [`MAX_SOCKETS`].
    sockets: HashMap<(u8, u16), Arc<Mailbox>>,
    /// At most [`MAX_WAITING`] datagrams with [`MAX_WAITING_BYTES`] in total.
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
    /// Wakes senders when the queue may have room.
    room: Arc<Notify>,
    /// Bytes in the queues of all sockets, at most [`MAX_QUEUED_BYTES`].
    queued_bytes: Arc<AtomicUsize>,
    /// Sent datagrams on which the router may report, in ascending order of tokens. At most
    /// [`MAX_FATES`].
    fates: VecDeque<(u64, Arc<Mailbox>)>,
}

/// A datagram that waits for the router.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Destination,
    pub(crate) format: DatagramFormat,
    /// Sealed, unless the router seals datagrams.
    pub(crate) payload: Payload,
    pub(crate) compress: bool,
    pub(crate) deadline: Instant,
    pub(crate) options: SendOptions,
    /// The socket that sent it, for its counters.
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Datagrams {
    pub(crate) fn room(&self) -> Arc<Notify> {
        self.room.clone()
    }

    pub(crate) fn bytes(&self) -> Arc<AtomicUsize> {
        self.queued_bytes.clone()
    }

    /// Adds a socket, which then receives.
    pub(crate) fn bind(&mut self, mailbox: &Arc<Mailbox>) -> Result<(), BindError> {
        let key = (mailbox.protocol, mailbox.port);
        if self.sockets.contains_key(&key) {
            return Err(BindError::InUse {
                protocol: mailbox.protocol,
                port: mailbox.port,
            });
        }
        if self.sockets.len() >= MAX_SOCKETS {
            return Err(BindError::TooMany(MAX_SOCKETS));
        }
        self.sockets.insert(key, mailbox.clone());
        Ok(())
    }

    pub(crate) fn unbind(&mut self, mailbox: &Mailbox) {
        self.sockets.remove(&(mailbox.protocol, mailbox.port));
    }

    /// Delivers a message to the socket of its protocol number and port; else to that of its
    /// protocol number and all ports; else to that of all protocols and its port; else to that of
    /// all protocols and ports. Returns whether such a socket exists.
    pub(crate) fn deliver(&self, payload: Payload) -> bool {
        match self.mailbox_for(&payload) {
            Some(mailbox) => mailbox.push(Packet {
                payload,
                sender: None,
            }),
            None => return false,
        }
        true
    }

    /// As [`Datagrams::deliver`], for a datagram that the router has verified. If the router does
    /// not report the port, the only socket of its protocol receives it.
    pub(crate) fn deliver_opened(&self, datagram: IncomingDatagram) -> bool {
        let payload = Payload {
            protocol: datagram.protocol,
            from_port: datagram.from_port,
            to_port: datagram.to_port,
            body: datagram.payload,
        };
        let mut mailbox = self.mailbox_for(&payload);
        if mailbox.is_none() && payload.to_port == 0 {
            let mut those = self
                .sockets
                .values()
                .filter(|one| one.protocol == payload.protocol);
            mailbox = those.next().filter(|_| those.next().is_none());
        }
        // A socket of all protocols may have another format.
        let Some(mailbox) = mailbox.filter(|one| router_format(one.format) == datagram.format)
        else {
            return false;
        };
        mailbox.push(Packet {
            payload,
            sender: Some(datagram.sender),
        });
        true
    }

    fn mailbox_for(&self, payload: &Payload) -> Option<&Arc<Mailbox>> {
        let (protocol, port) = (payload.protocol, payload.to_port);
        let keys = [(protocol, port), (protocol, 0), (0, port), (0, 0)];
        keys.iter().find_map(|key| self.sockets.get(key))
    }

    /// The formats of all sockets.
    pub(crate) fn formats(&self) -> BTreeSet<DatagramFormat> {
        self.sockets
            .values()
            .map(|one| router_format(one.format))
            .collect()
    }

    /// Stops sending and receiving datagrams of a format that the router does not support.
    pub(crate) fn refuse(&mut self, format: DatagramFormat, why: &str) {
        let error = ReceiveError::Unsupported(why.to_owned());
        for mailbox in self.sockets.values() {
            if router_format(mailbox.format) == format {
                mailbox.lock().over = Some(error.clone());
                mailbox.arrived.notify_waiters();
            }
        }
        self.outgoing.retain(|one| one.format != format);
        self.outgoing_bytes = self.outgoing.iter().map(|one| one.payload.body.len()).sum();
        self.room.notify_waiters();
    }

    /// Queues a datagram to be sent. If the queue is full, drops the oldest datagrams if
    /// `make_room` is set, and returns the new one otherwise.
    pub(crate) fn enqueue(&mut self, outgoing: Outgoing, make_room: bool) -> Option<Outgoing> {
        let len = outgoing.payload.body.len();
        while self.outgoing.len() >= MAX_WAITING || self.outgoing_bytes + len > MAX_WAITING_BYTES {
            if !make_room {
                return Some(outgoing);
            }
            let Some(oldest) = self.pop_outgoing() else {
                break;
            };
            oldest.mailbox.counters.displaced.add();
        }
        self.outgoing_bytes += len;
        self.outgoing.push_back(outgoing);
        None
    }

    /// Whether no datagram waits to be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// The next datagram to be sent. Drops those whose deadline has passed.
    pub(crate) fn next_outgoing(&mut self, now: Instant) -> Option<Outgoing> {
        loop {
            let next = self.pop_outgoing()?;
            if next.deadline > now {
                return Some(next);
            }
            next.mailbox.counters.expired.add();
        }
    }

    /// Records that a datagram was submitted as `token`, on which the router may report.
    pub(crate) fn sent(&mut self, token: u64, mailbox: Arc<Mailbox>) {
        mailbox.count_sent();
        if self.fates.len() == MAX_FATES {
            self.fates.pop_front();
        }
        self.fates.push_back((token, mailbox));
    }

    /// Counts a report of the router on a message.
    pub(crate) fn reported(&mut self, token: u64, dropped: bool) {
        let found = self.fates.binary_search_by_key(&token, |(token, _)| *token);
        let Some((_, mailbox)) = found.ok().and_then(|at| self.fates.remove(at)) else {
            return;
        };
        if dropped {
            mailbox.counters.undelivered.add();
        }
    }

    /// Drops the records of sent datagrams, because a new link does not report on them.
    pub(crate) fn end_epoch(&mut self) {
        self.fates.clear();
    }

    /// Ends receiving with `error`. Datagrams that have arrived can still be received.
    pub(crate) fn close(&self, error: &ReceiveError) {
        for mailbox in self.sockets.values() {
            mailbox.lock().over = Some(error.clone());
            mailbox.arrived.notify_waiters();
        }
        self.room.notify_waiters();
    }

    /// Ends receiving as [`Datagrams::close`] does, and drops the datagrams that wait to be sent.
    pub(crate) fn end(&mut self, error: &ReceiveError) {
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        self.fates.clear();
        self.close(error);
    }

    fn pop_outgoing(&mut self) -> Option<Outgoing> {
        let outgoing = self.outgoing.pop_front()?;
        self.outgoing_bytes -= outgoing.payload.body.len();
        self.room.notify_waiters();
        Some(outgoing)
    }
}

/// State that a socket shares with its session. Its lock may be acquired under that of the session.
#[derive(Debug)]
pub(crate) struct Mailbox {
    format: Format,
    protocol: u8,
    port: u16,
    /// The most datagrams in the queue.
    limit: usize,
    queue: Mutex<Queue>,
    /// Bytes in the queues of all sockets of the session.
    all_bytes: Arc<AtomicUsize>,
    arrived: Notify,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Packet>,
    bytes: usize,
    /// Why no further datagram will arrive.
    over: Option<ReceiveError>,
}

/// A datagram as it arrived.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) payload: Payload,
    /// The sender as the router reports it, if the router has opened the datagram.
    pub(crate) sender: Option<Sender>,
}

/// The result of taking from a queue.
pub(crate) enum Taken {
    Packet(Packet),
    Nothing,
    Over(ReceiveError),
}

impl Mailbox {
    pub(crate) fn new(
        format: Format,
        (protocol, port): (u8, u16),
        limit: usize,
        all_bytes: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            format,
            protocol,
            port,
            limit,
            queue: Mutex::default(),
            all_bytes,
            arrived: Notify::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn protocol(&self) -> u8 {
        self.protocol
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn arrived(&self) -> &Notify {
        &self.arrived
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().packets.is_empty()
    }

    /// Appends a packet, and drops packets at the front if the queue is full.
    fn push(&self, packet: Packet) {
        self.counters.received.add();
        let len = packet.payload.body.len();
        let mut queue = self.lock();
        let full = |queue: &Queue| {
            queue.packets.len() >= self.limit
                || queue.bytes + len > MAX_SOCKET_BYTES
                || self.all_bytes.load(Ordering::Relaxed) + len > MAX_QUEUED_BYTES
        };
        while full(&queue) {
            self.counters.overflowed.add();
            if self.pop_from(&mut queue).is_none() {
                // The queues of the other sockets use all of the shared limit.
                return;
            }
        }
        queue.bytes += len;
        self.all_bytes.fetch_add(len, Ordering::Relaxed);
        queue.packets.push_back(packet);
        drop(queue);
        self.arrived.notify_waiters();
    }

    pub(crate) fn pop(&self) -> Taken {
        let mut queue = self.lock();
        match (self.pop_from(&mut queue), &queue.over) {
            (Some(packet), _) => Taken::Packet(packet),
            (None, Some(error)) => Taken::Over(error.clone()),
            (None, None) => Taken::Nothing,
        }
    }

    fn pop_from(&self, queue: &mut Queue) -> Option<Packet> {
        let packet = queue.packets.pop_front()?;
        let len = packet.payload.body.len();
        queue.bytes -= len;
        self.all_bytes.fetch_sub(len, Ordering::Relaxed);
        Some(packet)
    }

    /// The reason of the router, if it does not support datagrams of this format.
    pub(crate) fn unsupported(&self) -> Option<String> {
        match &self.lock().over {
            Some(ReceiveError::Unsupported(why)) => Some(why.clone()),
            _ => None,
        }
    }

    pub(crate) fn count_sent(&self) {
        self.counters.sent.add();
    }

    pub(crate) fn count_refused(&self, dialect: bool) {
        self.counters.refused.add();
        if dialect {
            self.counters.other_dialect.add();
        }
    }

    pub(crate) fn stats(&self) -> DatagramStats {
        let counters = &self.counters;
        DatagramStats {
            sent: counters.sent.get(),
            expired: counters.expired.get(),
            displaced: counters.displaced.get(),
            undelivered: counters.undelivered.get(),
            received: counters.received.get(),
            overflowed: counters.overflowed.get(),
            refused: counters.refused.get(),
            other_dialect: counters.other_dialect.get(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Converts a format to that of links.
pub(crate) fn router_format(format: Format) -> DatagramFormat {
    match format {
        Format::Raw => DatagramFormat::Raw,
        Format::Datagram1 => DatagramFormat::Datagram1,
        Format::Datagram2 => DatagramFormat::Datagram2,
        Format::Datagram3 => DatagramFormat::Datagram3,
    }
}

/// Counters of a socket's datagrams since it was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatagramStats {
    /// Datagrams submitted to the router, or delivered to a socket of the same session.
    pub sent: u64,
    /// Datagrams dropped before they were sent, because their deadline passed.
    pub expired: u64,
    /// Datagrams dropped before they were sent, to make room for newer ones of
    /// [`DatagramSocket::send_now`](crate::DatagramSocket).
    pub displaced: u64,
    /// Sent datagrams that the router reported as undeliverable. Routers rarely report this.
    pub undelivered: u64,
    /// Datagrams that arrived, including those that were dropped afterwards.
    pub received: u64,
    /// Datagrams that arrived and were dropped because the queue was full. The oldest are dropped.
    pub overflowed: u64,
    /// Datagrams that arrived and were dropped when they were read, because they had another format
    /// or an invalid signature.
    pub refused: u64,
    /// The part of [`DatagramStats::refused`] that is valid in a dialect of Datagram2 that the
    /// socket does not accept.
    pub other_dialect: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: Counter,
    expired: Counter,
    displaced: Counter,
    undelivered: Counter,
    received: Counter,
    overflowed: Counter,
    refused: Counter,
    other_dialect: Counter,
}

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Datagram sockets of one session. Chosen far above the number that services use. A program that
/// needs more can bind port 0 and dispatch by port itself.
const MAX_SOCKETS: usize = 1024;

/// Datagrams that wait for the router. Chosen because a router accepts that many in well below a
/// second. A longer queue would only add delay.
const MAX_WAITING: usize = 256;

/// Bytes of the datagrams that wait for the router. Chosen to hold some datagrams of maximum
/// length.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// Bytes that wait to be received on one socket. Chosen to hold some datagrams of maximum length,
/// or the traffic of a fast tunnel in one second.
const MAX_SOCKET_BYTES: usize = 1024 * 1024;

/// Bytes that wait to be received on all sockets of a session. It is one limit, so that the memory
/// that a peer can occupy does not grow with the number of sockets. Chosen as 32 full sockets.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// Sent datagrams that are kept for a report of the router; the oldest are removed first. Chosen
/// above the number that a router holds at a time, because links that report do so soon.
const MAX_FATES: usize = 1024;
