//! The open state: the primary session and its subsessions.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use eepkit_wire::{Lease, PrivateKeys, StoreType, Zeroizing};

use super::{
    core::Core,
    lease_sets::LeaseSets,
    types::{Command, Config, Event, Handle, Outgoing, SessionCloseReason},
};
use crate::{
    frame::write_frame,
    lease_set::SignedLeaseSet,
    message::{
        BlindingInfo, CreateLeaseSet, CreateLeaseSet2, DeliveryStatus, FramedSend, Message,
        MessageStatus, MessageType, SessionId, SessionStatus,
    },
    options::Options,
    quirks,
    version::ApiVersion,
};

/// The state of a connection whose primary session is open.
pub(super) struct Open {
    primary: Entry,
    subsessions: Vec<Entry>,
    /// The subsession that was requested and not answered yet. There is at most one, because
    /// answers do not name their request.
    asked: Option<Entry>,
    /// The deadline for the router's first request for a lease set.
    tunnels_by: Option<Instant>,
    /// Messages that were announced and requested, and that have to be confirmed when they arrive.
    /// At most [`MAX_ANNOUNCED`].
    announced: VecDeque<u32>,
}

struct Entry {
    handle: Handle,
    /// [`SessionId::NONE`] until the router has assigned one.
    id: SessionId,
    keys: Arc<PrivateKeys>,
    options: Options,
    lease_sets: LeaseSets,
    reconfiguring: bool,
}

impl Entry {
    fn new(handle: Handle, id: SessionId, keys: Arc<PrivateKeys>, options: Options) -> Self {
        Self {
            handle,
            id,
            keys,
            options,
            lease_sets: LeaseSets::default(),
            reconfiguring: false,
        }
    }
}

impl Open {
    pub(super) fn new(config: Config, id: SessionId, now: Instant) -> Self {
        Self {
            primary: Entry::new(Handle::PRIMARY, id, config.keys, config.options),
            subsessions: Vec::new(),
            asked: None,
            tunnels_by: Some(now + TUNNELS_TIMEOUT),
            announced: VecDeque::new(),
        }
    }

    pub(super) fn next_timeout(&self, core: &Core) -> Option<Instant> {
        let lease_sets = std::iter::once(&self.primary)
            .chain(&self.subsessions)
            .filter_map(|entry| entry.lease_sets.next_timeout(core));
        lease_sets
            .chain(self.tunnels_by)
            .chain([core.silence_timeout()])
            .min()
    }

    pub(super) fn handle_timeout(
        &mut self,
        core: &mut Core,
        now: Instant,
    ) -> Result<(), SessionCloseReason> {
        if self.tunnels_by.is_some_and(|by| by <= now) {
            return Err(SessionCloseReason::Timeout("the router built no tunnels"));
        }
        core.check_silence(now)?;
        self.check_lease_sets(core, now)?;
        self.publish_due(core, now)
    }

    /// Reports requests that are due and sessions that peers cannot reach. Ends those that peers
    /// could not reach for too long.
    pub(super) fn check_lease_sets(
        &mut self,
        core: &mut Core,
        now: Instant,
    ) -> Result<(), SessionCloseReason> {
        if let Some(reason) = self.primary.lease_sets.check(core, now, Handle::PRIMARY)? {
            // The router may hold on to the session otherwise, and refuse the next.
            core.send(&Message::DestroySession(self.primary.id))?;
            return Err(SessionCloseReason::Unreachable(reason));
        }
        let mut failed = Vec::new();
        for entry in &mut self.subsessions {
            if let Some(reason) = entry.lease_sets.check(core, now, entry.handle)? {
                failed.push((entry.id, reason));
            }
        }
        for (id, reason) in failed {
            core.send(&Message::DestroySession(id))?;
            self.drop_subsession(core, id, &SessionCloseReason::Unreachable(reason));
        }
        Ok(())
    }

    pub(super) fn handle(
        &mut self,
        core: &mut Core,
        now: Instant,
        message: Message,
    ) -> Result<(), SessionCloseReason> {
        match message {
            Message::RequestVariableLeaseSet { session, leases } => {
                self.lease_set_wanted(core, now, session, leases)
            }
            Message::RequestLeaseSet(request) => {
                let leases = request.leases();
                self.lease_set_wanted(core, now, request.session, leases)
            }
            Message::MessagePayload(payload) => {
                self.received(core, payload.session, payload.message, payload.payload)
            }
            Message::MessageStatus(status) => self.message_status(core, status),
            Message::HostReply(reply) => {
                let effects = core.lookups.host_reply(now, core.router, reply);
                core.apply(effects)
            }
            Message::DestReply(reply) => {
                let effects = core.lookups.dest_reply(reply);
                core.apply(effects)
            }
            Message::BandwidthLimits(limits) => {
                core.event(Event::BandwidthLimits(limits));
                Ok(())
            }
            Message::SessionStatus { session, status } => self.status(core, session, status),
            // Messages that only clients send are ignored, and ReportAbuse, which has no effect.
            _ => Ok(()),
        }
    }

    pub(super) fn command(
        &mut self,
        core: &mut Core,
        now: Instant,
        command: Command,
    ) -> Result<(), SessionCloseReason> {
        match command {
            Command::Send(outgoing) => {
                self.send(core, now, &outgoing);
                Ok(())
            }
            Command::PublishLeaseSet { session, lease_set } => {
                self.publish(core, now, session, lease_set)
            }
            Command::Reconfigure { session, options } => {
                self.reconfigure(core, now, session, &options)
            }
            Command::Renew {
                session,
                peer,
                silence,
            } => {
                let id = self.entry(session).map(|entry| entry.id);
                match id.and_then(|id| quirks::renewal(core.router.kind, id, &peer, silence)) {
                    Some(request) => core.send(&Message::HostLookup(request)),
                    None => Ok(()),
                }
            }
            Command::GetBandwidthLimits => core.send(&Message::GetBandwidthLimits),
            Command::Blinding { .. } if core.router.version < ApiVersion::BLINDING_INFO => Ok(()),
            Command::Blinding {
                endpoint,
                expires,
                client,
                password,
            } => core.send(&Message::BlindingInfo(BlindingInfo {
                session: self.primary.id,
                endpoint,
                blinded_type: eepkit_wire::SignatureType::REDDSA,
                expires,
                client,
                password,
            })),
            Command::OpenSubsession {
                session,
                keys,
                options,
            } => self.open_subsession(core, now, session, keys, options),
            Command::Close(Handle::PRIMARY) => {
                // Java I2P does not answer, so the machine does not wait for an answer.
                core.send(&Message::DestroySession(self.primary.id))?;
                Err(SessionCloseReason::Local)
            }
            Command::Close(handle) => self.close_subsession(core, handle),
            // The session machine handles look-ups itself.
            Command::Lookup { .. } => Ok(()),
        }
    }

    fn lease_set_wanted(
        &mut self,
        core: &mut Core,
        now: Instant,
        session: SessionId,
        leases: Vec<Lease>,
    ) -> Result<(), SessionCloseReason> {
        if leases.is_empty() {
            return Ok(());
        }
        let Some(entry) = self.entry_by_id(session) else {
            return Ok(());
        };
        let answer_after = quirks::lease_set_delay(core.router.kind);
        entry.lease_sets.request(now, answer_after, leases);
        if entry.handle == Handle::PRIMARY {
            self.tunnels_by = None;
        }
        self.check_lease_sets(core, now)
    }

    fn received(
        &mut self,
        core: &mut Core,
        session: SessionId,
        message: u32,
        payload: bytes::Bytes,
    ) -> Result<(), SessionCloseReason> {
        let asked_for = self
            .announced
            .iter()
            .position(|announced| *announced == message);
        let Some(entry) = self.entry_by_id(session) else {
            return Ok(());
        };
        let handle = entry.handle;
        let confirm = !entry.options.fast_receive() || asked_for.is_some();
        core.event(Event::Received {
            session: handle,
            payload,
        });
        if let Some(index) = asked_for {
            self.announced.remove(index);
        }
        if confirm {
            core.send(&Message::ReceiveMessageEnd { session, message })?;
        }
        Ok(())
    }

    fn message_status(
        &mut self,
        core: &mut Core,
        report: MessageStatus,
    ) -> Result<(), SessionCloseReason> {
        let MessageStatus {
            session,
            message,
            status,
            nonce,
            ..
        } = report;
        let Some(entry) = self.entry_by_id(session) else {
            return Ok(());
        };
        let handle = entry.handle;
        if status == DeliveryStatus::AVAILABLE {
            if self.announced.len() >= MAX_ANNOUNCED {
                self.announced.pop_front();
            }
            self.announced.push_back(message);
            return core.send(&Message::ReceiveMessageBegin { session, message });
        }
        if nonce != 0 {
            core.event(Event::MessageStatus {
                session: handle,
                nonce,
                status,
            });
        }
        Ok(())
    }

    fn status(
        &mut self,
        core: &mut Core,
        session: SessionId,
        status: SessionStatus,
    ) -> Result<(), SessionCloseReason> {
        let reconfigured = matches!(status, SessionStatus::UPDATED | SessionStatus::INVALID);
        if reconfigured
            && let Some(entry) = self.entry_by_id(session)
            && entry.reconfiguring
        {
            entry.reconfiguring = false;
            let session = entry.handle;
            let accepted = status == SessionStatus::UPDATED;
            core.event(Event::Reconfigured { session, accepted });
            return Ok(());
        }
        match status {
            SessionStatus::CREATED => {
                // A repeated answer to the primary session changes nothing.
                if session != self.primary.id
                    && session != SessionId::NONE
                    && let Some(mut entry) = self.asked.take()
                {
                    entry.id = session;
                    core.event(Event::Opened(entry.handle));
                    self.subsessions.push(entry);
                }
                Ok(())
            }
            SessionStatus::DESTROYED if session == self.primary.id => {
                Err(SessionCloseReason::Destroyed)
            }
            SessionStatus::DESTROYED => {
                self.drop_subsession(core, session, &SessionCloseReason::Destroyed);
                Ok(())
            }
            SessionStatus::UPDATED => Ok(()),
            refused => {
                if let Some(entry) = self.asked.take() {
                    let reason = refusal(refused, entry.keys.offline().is_some());
                    core.event(Event::SubsessionClosed {
                        session: entry.handle,
                        reason,
                    });
                }
                Ok(())
            }
        }
    }

    fn send(&mut self, core: &mut Core, now: Instant, outgoing: &Outgoing) {
        if let Err(status) = self.try_send(core, now, outgoing) {
            refuse_send(core, outgoing.session, outgoing.nonce, status);
        }
    }

    fn try_send(
        &mut self,
        core: &mut Core,
        now: Instant,
        outgoing: &Outgoing,
    ) -> Result<(), DeliveryStatus> {
        let session = self
            .entry(outgoing.session)
            .filter(|entry| entry.lease_sets.was_sent())
            .map(|entry| entry.id)
            // i2pd would report the same status. emissary would not answer.
            .ok_or(DeliveryStatus::NO_LOCAL_TUNNELS)?;
        if !quirks::can_send_to(core.router.kind, &outgoing.to) {
            return Err(DeliveryStatus::BAD_DESTINATION);
        }
        if !quirks::carries_protocol(core.router.kind, outgoing.header.protocol) {
            return Err(DeliveryStatus::BAD_MESSAGE);
        }
        let left = outgoing.deadline.saturating_duration_since(now);
        let left_ms = u64::try_from(left.min(MAX_LIFETIME).as_millis()).unwrap_or(u64::MAX);
        let message = FramedSend {
            session,
            to: &outgoing.to,
            header: outgoing.header,
            body: &outgoing.body,
            compress: outgoing.compress,
            nonce: if outgoing.report { outgoing.nonce } else { 0 },
            flags: outgoing.flags,
            expires: core.router_ms(now).saturating_add(left_ms),
        };
        let kind = MessageType::SEND_MESSAGE_EXPIRES.0;
        write_frame(kind, core.output.append(), |out| message.encode(out))
            .map_err(|_| DeliveryStatus::BAD_MESSAGE)
    }

    fn publish(
        &mut self,
        core: &mut Core,
        now: Instant,
        handle: Handle,
        lease_set: SignedLeaseSet,
    ) -> Result<(), SessionCloseReason> {
        if let Some(entry) = self.entry(handle) {
            entry.lease_sets.hold(lease_set);
        }
        self.publish_due(core, now)
    }

    /// Sends the held lease sets that may be sent now.
    fn publish_due(&mut self, core: &mut Core, now: Instant) -> Result<(), SessionCloseReason> {
        for entry in std::iter::once(&mut self.primary).chain(&mut self.subsessions) {
            let Some(lease_set) = entry.lease_sets.take_due(now) else {
                continue;
            };
            let session = entry.id;
            core.send(&match lease_set.store_type {
                StoreType::LeaseSet => Message::CreateLeaseSet(version_1(session, &lease_set)?),
                _ => Message::CreateLeaseSet2(CreateLeaseSet2 { session, lease_set }),
            })?;
            core.event(Event::LeaseSetSent(entry.handle));
            if entry.handle == Handle::PRIMARY {
                let effects = core.lookups.release(now, core.router, session);
                core.apply(effects)?;
            }
        }
        Ok(())
    }

    fn reconfigure(
        &mut self,
        core: &mut Core,
        now: Instant,
        handle: Handle,
        options: &Options,
    ) -> Result<(), SessionCloseReason> {
        let possible = quirks::reconfigures(core.router.kind);
        let Some(entry) = self.entry(handle).filter(|_| possible) else {
            core.event(Event::Reconfigured {
                session: handle,
                accepted: false,
            });
            return Ok(());
        };
        entry.reconfiguring = true;
        // The whole configuration is sent again. Otherwise the defaults that are always sent would
        // replace options that were set before.
        entry.options.extend_from(options);
        let config = core.session_config(now, &entry.keys, &entry.options)?;
        let session = entry.id;
        core.send(&Message::ReconfigureSession { session, config })
    }

    fn open_subsession(
        &mut self,
        core: &mut Core,
        now: Instant,
        handle: Handle,
        keys: Arc<PrivateKeys>,
        options: Options,
    ) -> Result<(), SessionCloseReason> {
        let router = core.router;
        if !quirks::shares_connections(router.kind, router.version) {
            let why = "several sessions per connection need a router that is known to be Java I2P";
            core.event(Event::SubsessionClosed {
                session: handle,
                reason: SessionCloseReason::Unsupported(why),
            });
            return Ok(());
        }
        let impossible = if self.asked.is_some() {
            Some("another subsession is being opened")
        } else if self.entry(handle).is_some() {
            Some("the handle is in use")
        } else if self.subsessions.len() >= MAX_SUBSESSIONS {
            Some("there are too many subsessions")
        } else {
            None
        };
        if let Some(why) = impossible {
            let reason = SessionCloseReason::Refused(why.to_owned());
            core.event(Event::SubsessionClosed {
                session: handle,
                reason,
            });
            return Ok(());
        }
        match core.session_config(now, &keys, &options) {
            Ok(config) => {
                core.send(&Message::CreateSession(config))?;
                self.asked = Some(Entry::new(handle, SessionId::NONE, keys, options));
            }
            Err(reason) => core.event(Event::SubsessionClosed {
                session: handle,
                reason,
            }),
        }
        Ok(())
    }

    fn close_subsession(
        &mut self,
        core: &mut Core,
        handle: Handle,
    ) -> Result<(), SessionCloseReason> {
        let Some(id) = self.entry(handle).map(|entry| entry.id) else {
            return Ok(());
        };
        core.send(&Message::DestroySession(id))?;
        self.drop_subsession(core, id, &SessionCloseReason::Local);
        Ok(())
    }

    fn drop_subsession(&mut self, core: &mut Core, id: SessionId, reason: &SessionCloseReason) {
        self.subsessions.retain(|entry| {
            if entry.id == id {
                let reason = reason.clone();
                core.event(Event::SubsessionClosed {
                    session: entry.handle,
                    reason,
                });
            }
            entry.id != id
        });
    }

    fn entry(&mut self, handle: Handle) -> Option<&mut Entry> {
        std::iter::once(&mut self.primary)
            .chain(&mut self.subsessions)
            .find(|entry| entry.handle == handle)
    }

    fn entry_by_id(&mut self, id: SessionId) -> Option<&mut Entry> {
        std::iter::once(&mut self.primary)
            .chain(&mut self.subsessions)
            .find(|entry| entry.id == id)
    }
}

/// The reason that a router's refusal of a session stands for.
///
/// i2pd reports "invalid" for a destination that already has a session. The session configuration
/// is well-formed and signed, so the only other cause is a session with offline keys, whose
/// signature i2pd cannot verify.
pub(super) fn refusal(status: SessionStatus, offline: bool) -> SessionCloseReason {
    match status {
        SessionStatus::INVALID if offline => {
            SessionCloseReason::Refused("it does not support offline keys".to_owned())
        }
        SessionStatus::INVALID => SessionCloseReason::Duplicate,
        SessionStatus::REFUSED => {
            SessionCloseReason::Refused("it cannot open another session".to_owned())
        }
        other => SessionCloseReason::Refused(format!("status {}", other.0)),
    }
}

/// Rejects a command that needs an open session.
pub(super) fn refuse(core: &mut Core, command: Command) {
    match command {
        Command::Send(outgoing) => {
            let status = DeliveryStatus::NO_LOCAL_TUNNELS;
            refuse_send(core, outgoing.session, outgoing.nonce, status);
        }
        Command::Reconfigure { session, .. } => {
            core.event(Event::Reconfigured {
                session,
                accepted: false,
            });
        }
        Command::OpenSubsession { session, .. } => {
            let reason =
                SessionCloseReason::Refused("the primary session is not open yet".to_owned());
            core.event(Event::SubsessionClosed { session, reason });
        }
        _ => {}
    }
}

fn refuse_send(core: &mut Core, session: Handle, nonce: u32, status: DeliveryStatus) {
    if nonce != 0 {
        core.event(Event::MessageStatus {
            session,
            nonce,
            status,
        });
    }
}

/// The message for a version 1 lease set.
fn version_1(
    session: SessionId,
    lease_set: &SignedLeaseSet,
) -> Result<CreateLeaseSet, SessionCloseReason> {
    let key = lease_set
        .keys
        .first()
        .and_then(|key| key.as_bytes().try_into().ok());
    let encryption_key = key
        .map(Zeroizing::new)
        .ok_or_else(|| SessionCloseReason::BadOption {
            key: "i2cp.leaseSetEncType".to_owned(),
            why: "a version 1 lease set needs one ElGamal key".to_owned(),
        })?;
    Ok(CreateLeaseSet {
        session,
        // The field is meant for revocation, which no router implements. It therefore contains no
        // key.
        revocation_key: [0; 20],
        encryption_key,
        lease_set: lease_set.bytes.clone(),
    })
}

/// The time within which the router has to build the first tunnels. The specification recommends 5
/// minutes or more. Chosen above that, because a router that has just started has to find peers
/// first.
const TUNNELS_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The longest lifetime that the machine requests for a message: the default of routers (I2CP
/// overview, `clientMessageTimeout`). A router refuses a deadline that is too far in the future
/// (MessageStatus 12).
const MAX_LIFETIME: Duration = Duration::from_secs(60);

/// The largest number of announced messages that were not confirmed yet. Chosen above what a router
/// holds back. A message that no longer fits is still confirmed, unless the session uses fast
/// receive.
const MAX_ANNOUNCED: usize = 1024;

/// The largest number of subsessions. Chosen well above what applications use; each costs the
/// router a lease set.
const MAX_SUBSESSIONS: usize = 64;
