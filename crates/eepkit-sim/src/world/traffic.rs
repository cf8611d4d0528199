//! Messages in flight: from the session through its router and an outbound tunnel, over a path, to
//! a lease of the peer.

use std::sync::Arc;

use bytes::Bytes;
use eepkit_link::{Direction, Event, LeaseId, PathChoice, Payload, TunnelId};
use eepkit_netem::{Fate, Netem, Rng};
use eepkit_wire::{Destination, Hash, gzip};
use tokio::time::{Duration, Instant};

use super::{
    Due, SessionId, World,
    encryption::Sealed,
    netdb::Record,
    session::{Choice, Content, Interface, Message, Notice, Session},
    tunnel::Gateway,
};
use crate::{
    log::{Happening, HostId},
    stats::Cause,
};

/// A message whose path has been selected.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    from: HostId,
    session: SessionId,
    token: Option<u64>,
    outbound: TunnelId,
    lease: LeaseId,
    /// Whether it uses a credit of its outbound tunnel.
    pinned: bool,
    sealed: Sealed,
    content: Content,
    /// The sender's lease set, if it is sent with the message.
    record: Option<Arc<Record>>,
}

impl World {
    /// Accepts a message from a session.
    pub(crate) fn send(&mut self, now: Instant, id: SessionId, message: Message) {
        let Some(session) = self.sessions.get(&id).filter(|session| !session.over) else {
            return;
        };
        let host = session.host;
        let ready = session.is_ready();
        let bytes = message.content.len();
        self.stats.sent += 1;
        self.stats.sent_bytes += bytes as u64;
        self.stats.in_flight += 1;

        let refused = if bytes > MAX_MESSAGE_BYTES {
            Some(Cause::Refused)
        } else if !ready || self.in_flight_bytes + bytes > MAX_IN_FLIGHT_BYTES {
            Some(Cause::Overflow)
        } else {
            None
        };
        match refused {
            Some(cause) => self.drop_message(now, host, Some(id), message.token, bytes, cause),
            None => self.route(now, id, message),
        }
    }

    /// Selects the path of a message, or queues the message until its receiver's lease set is
    /// found.
    fn route(&mut self, now: Instant, id: SessionId, message: Message) {
        let unix_ms = self.unix_ms(now);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let peer = session.peers.entry(message.to.hash());
        if peer.fetching {
            peer.waiting.push_back(message);
            session.waiting += 1;
            return;
        }
        if peer.current(unix_ms).is_none() {
            peer.fetching = true;
            let to = message.to.clone();
            peer.waiting.push_back(message);
            session.waiting += 1;
            if self.config.lookup_time.is_zero() {
                self.fetched(now, id, &to);
            } else {
                let due = Due::Fetched(id, to);
                self.schedule.add(now + self.config.lookup_time, due);
            }
            return;
        }
        match self.choose(now, id, &message) {
            Ok((outbound, lease)) => self.dispatch(now, id, message, outbound, lease),
            Err(cause) => {
                let bytes = message.content.len();
                let Some(host) = self.sessions.get(&id).map(|session| session.host) else {
                    return;
                };
                self.drop_message(now, host, Some(id), message.token, bytes, cause);
            }
        }
    }

    /// Discards what the router of a session holds about a peer, if there is enough evidence that
    /// the peer has lost its keys.
    pub(crate) fn renew(&mut self, now: Instant, id: SessionId, peer: Hash, silence: Duration) {
        let least = self.config.least_silence;
        if let Some(session) = self.sessions.get_mut(&id) {
            let renewed = session.peers.encryption(peer).renew(now, silence, least);
            if renewed {
                session.peers.forget_lease_set(peer);
            }
        }
    }

    /// A look-up that messages waited for has completed.
    pub(crate) fn fetched(&mut self, now: Instant, id: SessionId, to: &Destination) {
        let record = self.find(now, id, to.hash());
        let unix_ms = self.unix_ms(now);
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.over) else {
            return;
        };
        let host = session.host;
        let peer = session.peers.entry(to.hash());
        peer.fetching = false;
        if let Some(record) = &record {
            peer.learn(record, unix_ms);
        }
        let waiting = std::mem::take(&mut peer.waiting);
        session.waiting = session.waiting.saturating_sub(waiting.len());
        for message in waiting {
            let bytes = message.content.len();
            if record.is_none() {
                let cause = Cause::NoLeaseSet;
                self.drop_message(now, host, Some(id), message.token, bytes, cause);
            } else if message.deadline.is_some_and(|deadline| deadline < now) {
                let cause = Cause::Expired;
                self.drop_message(now, host, Some(id), message.token, bytes, cause);
            } else {
                self.route(now, id, message);
            }
        }
        self.wake_if_ready(id);
    }

    /// Selects the outbound tunnel and the lease of a message.
    fn choose(
        &mut self,
        now: Instant,
        id: SessionId,
        message: &Message,
    ) -> Result<(TunnelId, LeaseId), Cause> {
        let unix_ms = self.unix_ms(now);
        let spray = self.config.spray;
        let session = self.sessions.get_mut(&id).ok_or(Cause::SessionEnded)?;
        let encryption = session.encryption();
        let host = session.host;
        let own = session.record.as_ref().map(|record| record.order);
        let up: Vec<_> = session
            .up(Direction::Outbound)
            .map(|tunnel| (tunnel.id, tunnel.replaced))
            .collect();
        let peer = session.peers.entry(message.to.hash());
        let record = peer.current(unix_ms).ok_or(Cause::NoLeaseSet)?;
        if !record
            .encryption
            .iter()
            .any(|kind| encryption.contains(kind))
        {
            return Err(Cause::UnsupportedEncryption);
        }
        let leases: Vec<_> = record
            .leases
            .iter()
            .filter(|lease| lease.end > unix_ms)
            .map(LeaseId::of)
            .collect();
        let is_up = |id| up.iter().any(|(tunnel, _)| *tunnel == id);

        if let PathChoice::Pinned { outbound, lease } = message.path {
            return match is_up(outbound) && peer.knows(lease, unix_ms) {
                true => Ok((outbound, lease)),
                false => Err(Cause::NoPath),
            };
        }
        let leaves = own.is_some_and(|order| message.bundle && peer.submit(now, order));
        if let Some(choice) = peer.choice
            && !spray
            && choice.until > now
            && is_up(choice.outbound)
            && leases.contains(&choice.lease)
        {
            if leaves {
                peer.choice = None;
            }
            return Ok((choice.outbound, choice.lease));
        }

        // A tunnel that ends soon is used only if there is no other.
        let lasting: Vec<_> = up.iter().filter(|(_, replaced)| !replaced).collect();
        let rng = &mut self.host_mut(host).ok_or(Cause::NoPath)?.rng;
        let outbound = match lasting.is_empty() {
            false => lasting
                .get(rng.below(lasting.len()))
                .map(|(tunnel, _)| *tunnel),
            true => up.get(rng.below(up.len())).map(|(tunnel, _)| *tunnel),
        };
        let outbound = outbound.ok_or(Cause::NoPath)?;
        let lease = *leases.get(rng.below(leases.len())).ok_or(Cause::NoPath)?;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.peers.entry(message.to.hash()).choice = Some(Choice {
                outbound,
                lease,
                until: now + CHOICE_LASTS,
            });
        }
        Ok((outbound, lease))
    }

    /// Adds a message with a path to the queue of the sender's uplink.
    fn dispatch(
        &mut self,
        now: Instant,
        id: SessionId,
        message: Message,
        outbound: TunnelId,
        lease: LeaseId,
    ) {
        let bytes = message.content.len();
        let pinned = matches!(message.path, PathChoice::Pinned { .. });
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let from = session.host;
        if pinned && !session.take_credit(outbound) {
            self.drop_message(now, from, Some(id), message.token, bytes, Cause::Overflow);
            return;
        }
        let record = session.record.clone().filter(|_| message.bundle);
        let policy = session.interface.encryption_policy();
        let keys = session.peers.encryption(message.to.hash());
        let sealed = keys.seal(now, policy, &mut self.next_keys);
        let flight = Box::new(Flight {
            from,
            session: id,
            token: message.token,
            outbound,
            lease,
            pinned,
            sealed,
            content: message.content,
            record,
        });

        let rate = self.config.uplink;
        let Some(host) = self.host_mut(from) else {
            return;
        };
        let starts = host.paused_until.map_or(now, |until| until.max(now));
        let leaves = host.uplink.leaves(rate, starts.into_std(), bytes);
        let leaves = Instant::from_std(leaves);
        let late = message.deadline.filter(|deadline| leaves > *deadline);
        if late.is_none() {
            // The queue in a session's own router is limited by credits and readiness, not by
            // drops.
            host.uplink
                .offer(rate, Duration::MAX, starts.into_std(), bytes);
        }
        if leaves <= now && late.is_none() {
            self.leave_now(now, flight);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.waiting += 1;
        }
        match late {
            Some(deadline) => self.schedule.add(deadline.max(now), Due::TooLate(flight)),
            None => self.schedule.add(leaves, Due::Leave(flight)),
        };
    }

    /// A message passes the uplink and leaves.
    pub(crate) fn leave(&mut self, now: Instant, flight: Box<Flight>) {
        let id = flight.session;
        self.stop_waiting(id);
        self.leave_now(now, flight);
        self.wake_if_ready(id);
    }

    /// The deadline of a message passes while it waits for the uplink.
    pub(crate) fn too_late(&mut self, flight: Box<Flight>, now: Instant) {
        let id = flight.session;
        self.stop_waiting(id);
        self.return_credit(&flight);
        self.drop_flight(now, &flight, Cause::Expired);
        self.wake_if_ready(id);
    }

    fn stop_waiting(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.waiting = session.waiting.saturating_sub(1);
        }
    }

    fn return_credit(&mut self, flight: &Flight) {
        if !flight.pinned {
            return;
        }
        let tunnel = self
            .sessions
            .get_mut(&flight.session)
            .and_then(|session| session.tunnels.get_mut(&flight.outbound));
        if let Some(tunnel) = tunnel {
            tunnel.credits += 1;
            self.grant(flight.session, flight.outbound, 1);
        }
    }

    /// A message leaves its sender's host. The link model determines its fate.
    fn leave_now(&mut self, now: Instant, flight: Box<Flight>) {
        let bytes = flight.content.len();
        let Some(session) = self
            .sessions
            .get(&flight.session)
            .filter(|session| !session.over)
        else {
            self.drop_flight(now, &flight, Cause::SessionEnded);
            return;
        };
        let Some(tunnel) = session.tunnels.get(&flight.outbound) else {
            self.drop_flight(now, &flight, Cause::NoPath);
            return;
        };
        let (broken, ordinal, hops) = (tunnel.broken, tunnel.ordinal, tunnel.hops);
        self.return_credit(&flight);
        if let Some(token) = flight.token {
            self.push_event(flight.session, Event::Sent { token });
        }
        self.write_log(
            now,
            Happening::Left {
                host: flight.from,
                outbound: flight.outbound,
                bytes,
            },
        );
        if broken {
            self.drop_flight(now, &flight, Cause::DeadTunnel);
            return;
        }
        let Some(gateway) = self.gateways.get(&flight.lease).copied() else {
            self.drop_flight(now, &flight, Cause::DeadLease);
            return;
        };
        if self.parted(flight.from, gateway.host) {
            self.drop_flight(now, &flight, Cause::Partition);
            return;
        }

        let model = match self.links.get(&(flight.from, gateway.host)) {
            Some(own) => *own,
            None => self.config.link,
        };
        let hop_delay = self.config.hop_delay * (u32::from(hops) + u32::from(gateway.hops));
        let (seed, gateways) = (self.config.seed, &self.gateways);
        let Some(tunnel) = self
            .sessions
            .get_mut(&flight.session)
            .and_then(|session| session.tunnels.get_mut(&flight.outbound))
        else {
            return;
        };
        if tunnel.paths.len() >= MAX_PATHS {
            // Leases have short lifetimes, so most entries are outdated.
            tunnel.paths.retain(|lease, _| gateways.contains_key(lease));
        }
        let path = tunnel
            .paths
            .entry(flight.lease)
            .or_insert_with(|| new_path(seed, (flight.from, ordinal), &gateway));
        match path.offer(&model, now.into_std(), bytes) {
            Fate::Dropped(cause) => self.drop_flight(now, &flight, cause.into()),
            Fate::Arrives {
                at,
                again,
                reordered,
            } => {
                self.stats.reordered += u64::from(reordered);
                if let Some(again) = again {
                    self.stats.duplicated += 1;
                    self.stats.in_flight += 1;
                    self.take_off(Instant::from_std(again) + hop_delay, flight.clone());
                }
                self.take_off(Instant::from_std(at) + hop_delay, flight);
            }
        }
    }

    fn take_off(&mut self, arrives: Instant, flight: Box<Flight>) {
        self.in_flight_bytes += flight.content.len();
        self.schedule.add(arrives, Due::Arrive(flight));
    }

    /// A message reaches the end of its path.
    pub(crate) fn arrive(&mut self, now: Instant, flight: Box<Flight>) {
        let bytes = flight.content.len();
        let Some(gateway) = self.gateways.get(&flight.lease).copied() else {
            self.land(bytes);
            self.drop_flight(now, &flight, Cause::DeadLease);
            return;
        };
        let cause = if gateway.broken {
            Some(Cause::DeadTunnel)
        } else if self.parted(flight.from, gateway.host) {
            Some(Cause::Partition)
        } else {
            None
        };
        if let Some(cause) = cause {
            self.land(bytes);
            self.drop_flight(now, &flight, cause);
            return;
        }
        let (rate, queue) = (self.config.downlink, self.config.downlink_queue);
        let Some(host) = self.host_mut(gateway.host) else {
            return;
        };
        if let Some(until) = host.paused_until.filter(|until| *until > now) {
            self.schedule.add(until, Due::Arrive(flight));
            return;
        }
        let leaves = host.downlink.offer(rate, queue, now.into_std(), bytes);
        match leaves.map(Instant::from_std) {
            None => {
                self.land(bytes);
                self.drop_flight(now, &flight, Cause::Queue);
            }
            Some(leaves) if leaves > now => {
                self.schedule.add(leaves, Due::Deliver(flight));
            }
            Some(_) => self.deliver(now, flight),
        }
    }

    /// A message is delivered.
    pub(crate) fn deliver(&mut self, now: Instant, flight: Box<Flight>) {
        let bytes = flight.content.len();
        self.land(bytes);
        let Some(gateway) = self.gateways.get(&flight.lease).copied() else {
            self.drop_flight(now, &flight, Cause::DeadLease);
            return;
        };
        let unix_ms = self.unix_ms(now);
        let sender = self.host(flight.from).map(|host| host.destination.hash());
        let Some(session) = self.sessions.get_mut(&gateway.session) else {
            self.drop_flight(now, &flight, Cause::NoSession);
            return;
        };
        if let Some(sender) = sender {
            let policy = session.interface.encryption_policy();
            let keys = session.peers.encryption(sender);
            if !keys.open(now, policy, flight.sealed) {
                self.drop_flight(now, &flight, Cause::Undecryptable);
                return;
            }
        }
        if !session.inbox.takes(bytes) {
            self.drop_flight(now, &flight, Cause::InboxFull);
            return;
        }
        if let Some(record) = &flight.record {
            session.peers.entry(record.hash).learn(record, unix_ms);
        }
        let Some(content) = flight.content.clone().read_by(session.interface) else {
            self.drop_flight(now, &flight, Cause::Malformed);
            return;
        };
        self.stats.delivered += 1;
        self.stats.delivered_bytes += bytes as u64;
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        self.write_log(
            now,
            Happening::Delivered {
                from: flight.from,
                to: gateway.host,
                inbound: gateway.tunnel,
                bytes,
            },
        );
        let notice = Notice::Received {
            content,
            tunnel: gateway.tunnel,
        };
        self.notify(gateway.session, notice);
        self.confirm(&flight, gateway.host);
    }

    /// The lease set that a message carried has arrived at `by`. The confirmation itself is not
    /// simulated as a message.
    fn confirm(&mut self, flight: &Flight, by: HostId) {
        let by = self.host(by).map(|host| host.destination.hash());
        if let Some((by, record)) = by.zip(flight.record.as_ref())
            && let Some(sender) = self.sessions.get_mut(&flight.session)
        {
            sender.peers.confirm(by, record.order);
        }
    }

    fn land(&mut self, bytes: usize) {
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
    }

    fn drop_flight(&mut self, now: Instant, flight: &Flight, cause: Cause) {
        let bytes = flight.content.len();
        let (id, token) = (Some(flight.session), flight.token);
        self.drop_message(now, flight.from, id, token, bytes, cause);
    }

    /// Counts a message as dropped, and reports it to its sender if its router would detect the
    /// drop.
    pub(crate) fn drop_message(
        &mut self,
        now: Instant,
        from: HostId,
        session: Option<SessionId>,
        token: Option<u64>,
        bytes: usize,
        cause: Cause,
    ) {
        self.stats.dropped.count(cause);
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        self.write_log(now, Happening::Dropped { from, cause, bytes });
        if let (Some(session), Some(token), Some(reason)) = (session, token, cause.reported()) {
            self.push_event(session, Event::Dropped { token, reason });
        }
    }
}

impl Session {
    fn take_credit(&mut self, outbound: TunnelId) -> bool {
        match self.tunnels.get_mut(&outbound) {
            Some(tunnel) if tunnel.credits > 0 => {
                tunnel.credits -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Content {
    /// Converts the message to the form of its receiver's interface. Returns `None` if it is framed
    /// and cannot be decoded.
    fn read_by(self, interface: Interface) -> Option<Self> {
        match (self, interface) {
            (Self::Framed(bytes), Interface::Direct) => {
                let (header, body) = gzip::decode(&bytes, MAX_MESSAGE_BYTES).ok()?;
                Some(Self::Plain(Payload {
                    protocol: header.protocol,
                    from_port: header.from_port,
                    to_port: header.to_port,
                    body: Bytes::from(body.into_owned()),
                }))
            }
            (Self::Plain(payload), Interface::I2cp) => {
                let header = gzip::Header {
                    protocol: payload.protocol,
                    from_port: payload.from_port,
                    to_port: payload.to_port,
                };
                let framed = gzip::encode(header, &payload.body, false);
                Some(Self::Framed(Bytes::from(framed)))
            }
            (same, _) => Some(same),
        }
    }
}

/// Creates the path between an outbound tunnel, identified by its host and its number there, and an
/// inbound one. The seed of the path is derived from the four numbers.
fn new_path(seed: u64, (host, ordinal): (HostId, u64), to: &Gateway) -> Netem {
    let place = [u64::from(host.0), ordinal, u64::from(to.host.0), to.ordinal];
    Netem::with_rng(Rng::new(seed, &place))
}

/// The maximum size of a message. I2CP messages are limited to about 64 KB ("I2CP", message size).
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The maximum number of bytes in flight on one network. Chosen to hold the cwnd of a thousand
/// streams at one second of delay, and to stop a sender without flow control before memory runs
/// out.
const MAX_IN_FLIGHT_BYTES: usize = 512 * 1024 * 1024;

/// The number of paths of one outbound tunnel above which those to expired leases are removed.
const MAX_PATHS: usize = 1024;

/// How long a router uses the path that it selected. Chosen as i2pd's
/// ROUTING_PATH_EXPIRATION_TIMEOUT.
const CHOICE_LASTS: Duration = Duration::from_secs(120);
