//! The router's end of one I2CP connection.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use eepkit_i2cp::{
    ApiVersion, BandwidthLimits, DeliveryStatus, DestReply, FrameReader, HostLookup, HostReply,
    HostResult, LookupKey, Message, MessagePayload, MessageStatus, MessageType, Options,
    SendMessage, SessionConfig, SessionId, SessionStatus, SetDate, Text,
};
use eepkit_link::{
    DropReason, Event, LinkError, LinkLookupError, LookupAnswer, LookupTarget, LostReason,
    PathChoice, clock,
};
use eepkit_wire::{Destination, Hash, StoreType};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Duration, Instant, timeout},
};

use crate::{
    Shared,
    link::Port,
    world::session::{Content, Interface, Message as NetMessage, Notice},
};

/// A connection and its sessions.
pub(super) struct Connection<S> {
    stream: S,
    frames: FrameReader,
    received: BytesMut,
    out: BytesMut,
    shared: Weak<Shared>,
    stop: watch::Receiver<bool>,
    /// The primary session, followed by its subsessions, at most [`MAX_SESSIONS`]. Each has its own
    /// tunnels, which clients cannot observe.
    sessions: Vec<OpenSession>,
    /// The network accepts no further commands for now. Frames that were read wait.
    stalled: bool,
    /// Further input of the client is not read. The connection ends when `out` is written.
    closing: bool,
}

struct OpenSession {
    port: Port,
    id: SessionId,
    /// Whether the acceptance of each message is reported in addition to its final status.
    reports_acceptance: bool,
    /// Whether messages are delivered immediately, without an announcement.
    fast_receive: bool,
    /// Announced messages, by number.
    announced: BTreeMap<u32, Bytes>,
    /// The last message number that was used towards the client.
    messages: u32,
    lookups: HashMap<u32, Asked>,
    next_lookup: u32,
}

/// The request of the client, which determines the form of the answer.
enum Asked {
    Dest(Hash),
    Host(HostLookup),
}

/// The next step of a connection.
enum Step {
    Notice(SessionId, Box<Notice>),
    Read(usize),
    /// There is capacity again at the client or the network.
    GoOn,
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, shared: Weak<Shared>, stop: watch::Receiver<bool>) -> Self {
        Self {
            stream,
            frames: FrameReader::for_router(),
            received: BytesMut::new(),
            out: BytesMut::new(),
            shared,
            stop,
            sessions: Vec::new(),
            stalled: false,
            closing: false,
        }
    }

    /// Serves the client until it or the network ends the connection.
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        let stopped = async move {
            let _ = stop.wait_for(|stopped| *stopped).await;
        };
        tokio::select! {
            biased;
            () = self.serve() => {}
            // The port reports the stop to its session, and the session reports it to the client.
            () = stopped => {
                if !self.sessions.is_empty() {
                    self.serve().await;
                }
            }
        }
    }

    async fn serve(&mut self) {
        let mut buffer = vec![0; READ_BYTES];
        while !(self.closing && self.out.is_empty()) {
            let closing = self.closing;
            let step = poll_fn(|cx| self.poll_step(cx, &mut buffer));
            let step = match closing {
                false => step.await,
                // A client that does not read its last messages is disconnected.
                true => match timeout(CLOSE_GRACE, step).await {
                    Ok(step) => step,
                    Err(_) => return,
                },
            };
            match step {
                Step::Notice(id, notice) => self.on_notice(id, *notice),
                Step::Read(read) => self.received.extend_from_slice(&buffer[..read]),
                Step::GoOn => {}
                Step::End => return,
            }
            self.handle_frames();
        }
    }

    /// Writes pending output. Accepts notices of the network as long as the client reads its
    /// messages, and reads as long as the network accepts the client's messages.
    fn poll_step(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Step> {
        if !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Step::End),
                Poll::Ready(Ok(written)) => {
                    self.out.advance(written);
                    return Poll::Ready(Step::GoOn);
                }
                Poll::Pending => {}
            }
        }
        if self.closing || self.out.len() >= MAX_OUT_BYTES {
            return Poll::Pending;
        }
        for session in &self.sessions {
            if session.announced.len() < MAX_ANNOUNCED
                && let Poll::Ready(notice) = session.port.poll_notice(cx)
            {
                return Poll::Ready(Step::Notice(session.id, Box::new(notice)));
            }
        }
        let mut ready = true;
        for session in &self.sessions {
            // Every session is polled, so that each can wake this task.
            ready &= session.port.poll_ready(cx).is_ready();
        }
        if !ready {
            return Poll::Pending;
        }
        if std::mem::take(&mut self.stalled) {
            return Poll::Ready(Step::GoOn);
        }
        let mut read = ReadBuf::new(buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => Poll::Ready(Step::End),
            Poll::Ready(Ok(())) => Poll::Ready(Step::Read(read.filled().len())),
            Poll::Ready(Err(_)) => Poll::Ready(Step::End),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Handles the frames that were read, as long as the network accepts them.
    fn handle_frames(&mut self) {
        while !self.closing {
            if self.sessions.iter().any(|session| !session.port.is_ready()) {
                self.stalled = true;
                return;
            }
            let frame = match self.frames.next_frame(&mut self.received) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => {
                    self.disconnect(&error.to_string());
                    return;
                }
            };
            match Message::decode(MessageType(frame.kind), &frame.body) {
                Ok(Some(message)) => self.on_message(message),
                Ok(None) => tracing::debug!(kind = frame.kind, "unknown I2CP message ignored"),
                Err(error) => self.disconnect(&format!("message {}: {error}", frame.kind)),
            }
        }
    }

    /// The time since 1970 on the clock of the network, which that of a client may differ from.
    fn unix(&self) -> Duration {
        match self.shared.upgrade() {
            Some(shared) => shared.with(|world, now| world.unix(now)),
            None => clock::unix_now(),
        }
    }

    fn version(&self) -> ApiVersion {
        let shared = self.shared.upgrade();
        shared.map_or(ApiVersion::OURS, |shared| {
            shared.with(|world, _| world.config.i2cp_version)
        })
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::GetDate(_) => self.send(Message::SetDate(SetDate {
                date: millis(self.unix()),
                version: Some(Text::truncated(&self.version().to_string())),
            })),
            Message::CreateSession(config) => self.create_session(&config),
            Message::ReconfigureSession { session, config } => self.reconfigure(session, &config),
            Message::DestroySession(session) => {
                if self.session(session).is_some() {
                    match self.sessions.first() {
                        // The subsessions end with their primary session.
                        Some(primary) if primary.id == session => self.sessions.clear(),
                        _ => self.sessions.retain(|open| open.id != session),
                    }
                    self.status(session, SessionStatus::DESTROYED);
                }
            }
            Message::CreateLeaseSet(message) => {
                let kind = StoreType::LeaseSet.code();
                self.publish(message.session, kind, &message.lease_set);
            }
            Message::CreateLeaseSet2(message) => {
                let signed = message.lease_set;
                self.publish(message.session, signed.store_type.code(), &signed.bytes);
            }
            Message::SendMessage(message) => self.send_message(message, None, true),
            Message::SendMessageExpires(message) => {
                let left = message.expires.saturating_sub(millis(self.unix()));
                // Zero means "no date" and selects the router's default.
                let deadline = (message.expires != 0)
                    .then(|| Instant::now() + Duration::from_millis(left).min(LONGEST));
                let bundle = !message.flags.omit_lease_set();
                self.send_message(message.message, deadline, bundle);
            }
            Message::ReceiveMessageBegin { session, message } => self.hand_over(session, message),
            Message::ReceiveMessageEnd { session, message } => {
                if let Some(session) = self.session(session) {
                    session.announced.remove(&message);
                }
            }
            Message::GetBandwidthLimits => self.bandwidth_limits(),
            Message::DestLookup(hash) => {
                self.lookup(
                    LookupTarget::Hash(hash),
                    DEST_LOOKUP_TIMEOUT,
                    Asked::Dest(hash),
                );
            }
            Message::HostLookup(lookup) => self.host_lookup(lookup),
            Message::Disconnect(_) => self.closing = true,
            Message::BlindingInfo(_) | Message::ReportAbuse(_) => {}
            other => self.disconnect(&format!("message {} is the router's", other.kind().0)),
        }
    }

    fn session(&mut self, id: SessionId) -> Option<&mut OpenSession> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    fn create_session(&mut self, config: &SessionConfig) {
        if self.sessions.len() >= MAX_SESSIONS {
            self.status(SessionId::NONE, SessionStatus::REFUSED);
            return;
        }
        let options = match checked_options(config, self.unix()) {
            Ok(options) => options,
            Err(why) => {
                // Java routers do the same, because the status has no field for a reason.
                self.disconnect(&format!("session configuration: {why}"));
                return;
            }
        };
        let Some(shared) = self.shared.upgrade() else {
            self.disconnect("the network has stopped");
            return;
        };
        let reports_acceptance = options
            .effective("i2cp.messageReliability")
            .is_none_or(|reliability| !reliability.eq_ignore_ascii_case("none"));
        let fast_receive = options
            .get("i2cp.fastReceive")
            .is_some_and(|fast| fast.eq_ignore_ascii_case("true"));
        match Port::open(shared, &config.destination, options, Interface::I2cp) {
            Ok(port) => {
                let id = SessionId(port.number());
                self.sessions.push(OpenSession {
                    port,
                    id,
                    reports_acceptance,
                    fast_receive,
                    announced: BTreeMap::new(),
                    messages: 0,
                    lookups: HashMap::new(),
                    next_lookup: 0,
                });
                self.status(id, SessionStatus::CREATED);
            }
            Err(LinkError::Duplicate) => self.status(SessionId::NONE, SessionStatus::INVALID),
            Err(LinkError::Stopped) => self.disconnect("the network has stopped"),
            Err(error) => {
                tracing::debug!(%error, "I2CP session refused");
                self.status(SessionId::NONE, SessionStatus::REFUSED);
            }
        }
    }

    fn reconfigure(&mut self, id: SessionId, config: &SessionConfig) {
        let options = checked_options(config, self.unix());
        match (self.session(id), options) {
            (Some(session), Ok(options)) => {
                let (inbound, outbound) = (options.inbound_quantity(), options.outbound_quantity());
                session.port.quantity(inbound, outbound);
                self.status(id, SessionStatus::UPDATED);
            }
            _ => self.status(id, SessionStatus::INVALID),
        }
    }

    fn publish(&mut self, id: SessionId, kind: u8, bytes: &[u8]) {
        match self.session(id) {
            Some(session) => session.port.publish(kind, bytes),
            // Java routers disconnect, too.
            _ => self.disconnect("lease set for a session that is not open"),
        }
    }

    fn send_message(&mut self, message: SendMessage, deadline: Option<Instant>, bundle: bool) {
        let (id, nonce, size) = (message.session, message.nonce, message.payload.len());
        let Some(session) = self.session(id) else {
            self.report(id, nonce, size, DeliveryStatus::BAD_SESSION);
            return;
        };
        let reports_acceptance = session.reports_acceptance;
        session.port.send(NetMessage {
            token: (nonce != 0).then_some(nonce.into()),
            to: message.to,
            path: PathChoice::Auto,
            content: Content::Framed(message.payload),
            deadline,
            bundle,
        });
        if reports_acceptance {
            self.report(id, nonce, size, DeliveryStatus::ACCEPTED);
        }
    }

    fn report(&mut self, session: SessionId, nonce: u32, size: usize, status: DeliveryStatus) {
        if nonce == 0 {
            return;
        }
        self.send(Message::MessageStatus(MessageStatus {
            session,
            // The router's own message number has no use in addition to the client's.
            message: nonce,
            status,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            nonce,
        }));
    }

    /// Delivers a message that was announced.
    fn hand_over(&mut self, id: SessionId, number: u32) {
        let session = self.session(id);
        if let Some(payload) = session.and_then(|session| session.announced.get(&number)) {
            let payload = payload.clone();
            self.send(Message::MessagePayload(MessagePayload {
                session: id,
                message: number,
                payload,
            }));
        }
    }

    fn bandwidth_limits(&mut self) {
        let (up, down) = match self.shared.upgrade() {
            Some(shared) => shared.with(|world, _| (world.config.uplink, world.config.downlink)),
            None => (None, None),
        };
        // In KB per second; 0 means no limit.
        let kib = |rate: Option<eepkit_netem::Rate>| {
            let kib = rate.map_or(0, |rate| rate.as_bytes_per_second() / 1024);
            u32::try_from(kib).unwrap_or(u32::MAX)
        };
        self.send(Message::BandwidthLimits(BandwidthLimits {
            client_inbound: kib(down),
            client_outbound: kib(up),
            router_inbound: kib(down),
            router_inbound_burst: kib(down),
            router_outbound: kib(up),
            router_outbound_burst: kib(up),
            router_burst_time: 0,
            undefined: [0; 9],
        }));
    }

    fn host_lookup(&mut self, lookup: HostLookup) {
        let timeout = match lookup.timeout {
            0 => DEST_LOOKUP_TIMEOUT,
            millis => Duration::from_millis(millis.into()),
        };
        let target = match &lookup.key {
            LookupKey::Hash(hash) | LookupKey::HashWithOptions(hash) => LookupTarget::Hash(*hash),
            LookupKey::Name(name) | LookupKey::NameWithOptions(name) => {
                LookupTarget::Name(name.as_str().to_owned())
            }
            LookupKey::DestinationWithOptions(destination) => {
                LookupTarget::LeaseSet(destination.clone())
            }
            _ => {
                self.answer(Asked::Host(lookup), Err(LinkLookupError::Unsupported));
                return;
            }
        };
        self.lookup(target, timeout, Asked::Host(lookup));
    }

    /// Starts a look-up on the network. Without a session, the answer contains only what is
    /// available immediately.
    fn lookup(&mut self, target: LookupTarget, timeout: Duration, asked: Asked) {
        if let Some(session) = self.sessions.first_mut() {
            let number = session.next_lookup;
            session.next_lookup = number.wrapping_add(1);
            session.lookups.insert(number, asked);
            session.port.lookup(number, target, timeout);
            return;
        }
        let answer = match self.shared.upgrade() {
            Some(shared) => shared.with(|world, now| world.answer_anyone(now, target)),
            None => Err(LinkLookupError::SessionLost),
        };
        self.answer(asked, answer);
    }

    fn answer(&mut self, asked: Asked, result: Result<LookupAnswer, LinkLookupError>) {
        let lookup = match asked {
            Asked::Dest(hash) => {
                let reply = match result {
                    Ok(answer) => DestReply::Found(answer.destination),
                    Err(_) => DestReply::NotFound(hash),
                };
                self.send(Message::DestReply(reply));
                return;
            }
            Asked::Host(lookup) => lookup,
        };
        let (session, request) = (lookup.session, lookup.request);
        let reply = match (result, &lookup.key) {
            (Ok(answer), LookupKey::NameWithOptions(name))
                if lookup_is_by_name(name.as_str(), &answer) =>
            {
                // The address book returned the destination. The look-up of its lease set is next.
                self.name_found(lookup, answer.destination);
                return;
            }
            (Ok(answer), key) => HostReply {
                options: wants_options(key).then_some(answer.options),
                ..HostReply::found(session, request, answer.destination)
            },
            (Err(LinkLookupError::Unsupported), _) => {
                HostReply::failed(session, request, HostResult::TYPE_UNSUPPORTED)
            }
            (Err(LinkLookupError::Locked), _) => {
                HostReply::failed(session, request, HostResult::PRIVATE_KEY_REQUIRED)
            }
            (Err(LinkLookupError::LeaseSetNotFound), key) if wants_options(key) => HostReply {
                destination: match key {
                    LookupKey::DestinationWithOptions(destination) => Some(destination.clone()),
                    _ => None,
                },
                ..HostReply::failed(session, request, HostResult::LEASE_SET_NOT_FOUND)
            },
            (Err(_), _) => HostReply::failed(session, request, HostResult::FAILURE),
        };
        self.send(Message::HostReply(reply));
    }

    fn name_found(&mut self, lookup: HostLookup, destination: Destination) {
        let key = LookupKey::DestinationWithOptions(destination);
        self.host_lookup(HostLookup { key, ..lookup });
    }

    fn on_notice(&mut self, id: SessionId, notice: Notice) {
        let Some(session) = self.session(id) else {
            return;
        };
        match notice {
            Notice::Received { content, .. } => {
                let Content::Framed(payload) = content else {
                    // Messages for this interface are framed when they are delivered.
                    return;
                };
                session.messages = session.messages.wrapping_add(1);
                let message = session.messages;
                if session.fast_receive {
                    self.send(Message::MessagePayload(MessagePayload {
                        session: id,
                        message,
                        payload,
                    }));
                } else {
                    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                    session.announced.insert(message, payload);
                    self.send(Message::MessageStatus(MessageStatus {
                        session: id,
                        message,
                        status: DeliveryStatus::AVAILABLE,
                        size,
                        nonce: 0,
                    }));
                }
            }
            Notice::Event(Event::LeaseSetWanted { leases, .. }) => {
                self.send(Message::RequestVariableLeaseSet {
                    session: id,
                    leases,
                });
            }
            Notice::Event(Event::Sent { token }) => {
                self.report(id, nonce_of(token), 0, DeliveryStatus::BEST_EFFORT_SUCCESS);
            }
            Notice::Event(Event::Dropped { token, reason }) => {
                self.report(id, nonce_of(token), 0, status_of(reason));
            }
            Notice::Event(Event::LookupDone { id, result }) => {
                if let Some(asked) = session.lookups.remove(&id) {
                    self.answer(asked, result);
                }
            }
            Notice::Event(Event::Lost(_))
                if self.sessions.first().is_some_and(|one| one.id != id) =>
            {
                self.sessions.retain(|open| open.id != id);
                self.status(id, SessionStatus::DESTROYED);
            }
            Notice::Event(Event::Lost(LostReason::Connection(_))) => {
                // As if the router's process had died: no message is sent.
                self.out.clear();
                self.closing = true;
            }
            Notice::Event(Event::Lost(reason)) => self.disconnect(&reason.to_string()),
            // I2CP does not expose tunnels.
            Notice::Event(_) => {}
        }
    }

    fn status(&mut self, session: SessionId, status: SessionStatus) {
        self.send(Message::SessionStatus { session, status });
    }

    fn disconnect(&mut self, why: &str) {
        self.send(Message::Disconnect(Text::truncated(why)));
        self.closing = true;
    }

    fn send(&mut self, message: Message) {
        let mut frame = Vec::new();
        // No message of the network is too long for a frame, except a message of exactly the
        // maximum size. It is dropped, as by a router.
        match message.encode_frame(&mut frame) {
            Ok(()) => self.out.extend_from_slice(&frame),
            Err(error) => tracing::debug!(%error, "I2CP message not sent"),
        }
    }
}

/// Returns the options of a configuration if its date, signature and values are valid. Otherwise
/// returns the error.
fn checked_options(config: &SessionConfig, unix: Duration) -> Result<Options, String> {
    let difference = Duration::from_millis(millis(unix).abs_diff(config.date));
    if difference > DATE_TOLERANCE {
        return Err(format!("the date is off by {} s", difference.as_secs()));
    }
    config
        .verify(u32::try_from(unix.as_secs()).unwrap_or(u32::MAX))
        .map_err(|error| format!("the signature is bad: {error}"))?;
    let mut options = Options::new();
    for (key, value) in config.options.iter() {
        options.set(key, value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

fn wants_options(key: &LookupKey) -> bool {
    matches!(
        key,
        LookupKey::HashWithOptions(_)
            | LookupKey::NameWithOptions(_)
            | LookupKey::DestinationWithOptions(_)
    )
}

/// Whether an answer came from the address book without a lease set.
fn lookup_is_by_name(name: &str, answer: &LookupAnswer) -> bool {
    answer.leases.is_empty() && !name.to_ascii_lowercase().ends_with(".b32.i2p")
}

fn nonce_of(token: u64) -> u32 {
    // Tokens of this interface are nonces.
    u32::try_from(token).unwrap_or(0)
}

fn status_of(reason: DropReason) -> DeliveryStatus {
    match reason {
        DropReason::Expired => DeliveryStatus::EXPIRED,
        DropReason::NoLeaseSet => DeliveryStatus::NO_LEASE_SET,
        DropReason::NoTunnel => DeliveryStatus::NO_LOCAL_TUNNELS,
        DropReason::Overflow => DeliveryStatus::OVERFLOW,
        DropReason::UnsupportedEncryption => DeliveryStatus::UNSUPPORTED_ENCRYPTION,
        DropReason::Refused => DeliveryStatus::BAD_MESSAGE,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The maximum number of bytes per read.
const READ_BYTES: usize = 16 * 1024;

/// The output above which the connection polls no further notices of the network, in bytes. Chosen
/// as a few messages of the largest size.
const MAX_OUT_BYTES: usize = 256 * 1024;

/// How long a client may take to read the last messages of a connection.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The maximum number of sessions of one connection. Chosen above what tests use, and low because
/// each has tunnels.
const MAX_SESSIONS: usize = 64;

/// The maximum number of messages that were announced to a client without fast receive and not yet
/// fetched.
const MAX_ANNOUNCED: usize = 64;

/// How far the date of a session configuration may differ from the clock (I2CP, "Session Config").
const DATE_TOLERANCE: Duration = Duration::from_secs(30);

/// The default timeout of look-ups. The specification recommends 10 s or more.
const DEST_LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// Deadlines further away than this are treated as this one.
const LONGEST: Duration = Duration::from_secs(86_400);
