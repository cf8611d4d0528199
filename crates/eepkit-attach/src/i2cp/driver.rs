//! The task that owns a connection to a router.

use std::{
    collections::VecDeque,
    future::{pending, poll_fn},
    io,
    time::Duration,
};

use bytes::BytesMut;
use eepkit_i2cp::{
    Command, DeliveryStatus, Event, Handle, Input, Options, Outgoing, Output, Session,
    SessionCloseReason,
};
use eepkit_link::{
    self as link, DropReason, LinkError, LinkStage, LogLimit, LostReason, RouterIdentity, TunnelId,
    changes::Watch,
    clock,
    first_contact::{Admission, FirstContact},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, trace, warn};

use super::{
    ports::{Port, Ports, Turn},
    subsession::{Request, Requests},
    translate,
};
use crate::transport::{Connection, Stopped};

pub(super) struct Driver {
    session: Session,
    reader: ReadHalf<Connection>,
    writer: WriteHalf<Connection>,
    /// Whether the router has stopped permanently. Called at the end of the connection.
    stopped: Stopped,
    /// The next deadline of the session machine.
    wake_at: Option<Instant>,
    /// Whether written bytes may still be buffered in the connection, as TLS records are.
    needs_flush: bool,
    /// Events of the session machine that were not delivered yet. Nothing more is read until they
    /// are. Their payloads are still compressed, so the size is limited by that of a read and by
    /// [`MAX_EVENTS`].
    events: VecDeque<Event>,
    /// Received bytes that do not yet form a complete frame.
    received: BytesMut,
    /// The error of the operating system when the connection failed.
    broken: Option<io::Error>,
    /// The router's clock minus ours in milliseconds, as it was last logged.
    logged_offset: i64,
}

impl Driver {
    pub(super) fn new(connection: Connection, session: Session, stopped: Stopped) -> Self {
        let (reader, writer) = tokio::io::split(connection);
        Self {
            session,
            reader,
            writer,
            stopped,
            wake_at: None,
            needs_flush: false,
            events: VecDeque::new(),
            received: BytesMut::new(),
            broken: None,
            logged_offset: 0,
        }
    }

    /// Runs until the router has answered. The session machine then wants to open its session, and
    /// has not sent the request.
    ///
    /// Cancel safe in that dropping the future closes the connection.
    pub(super) async fn connect(
        &mut self,
        name: &str,
        limit: Duration,
    ) -> Result<RouterIdentity, LinkError> {
        let mut identity = RouterIdentity::default();
        self.run_until(name, limit, false, |event| match event {
            Event::Connected { version, router } => {
                debug!(router = name, %version, kind = ?router, "connected");
                identity.version = Some(version.to_string());
                identity.program = translate::program(*router);
                true
            }
            Event::RouterClock(time) => {
                identity.clock_ahead_ms = Some(ahead_ms(*time));
                false
            }
            _ => false,
        })
        .await?;
        Ok(identity)
    }

    /// Runs until the router has accepted the session, after [`Driver::connect`].
    ///
    /// Cancel safe in that dropping the future closes the connection. The router then ends the
    /// session.
    pub(super) async fn open(&mut self, name: &str, limit: Duration) -> Result<(), LinkError> {
        let opened = |event: &Event| matches!(event, Event::Opened(Handle::PRIMARY));
        self.run_until(name, limit, true, opened).await
    }

    /// Runs until `is_done` returns true for an event. `connected` is whether the router has
    /// answered before.
    async fn run_until(
        &mut self,
        name: &str,
        limit: Duration,
        connected: bool,
        mut is_done: impl FnMut(&Event) -> bool,
    ) -> Result<(), LinkError> {
        loop {
            self.drain();
            while let Some(event) = self.events.pop_front() {
                if is_done(&event) {
                    return Ok(());
                }
                match event {
                    Event::RouterClock(time) => self.note_clock(time),
                    Event::Closed(SessionCloseReason::Eof) if (self.stopped)() => {
                        return Err(LinkError::Stopped);
                    }
                    Event::Closed(SessionCloseReason::Eof) if !connected => {
                        let at = name.to_owned();
                        let why = self.how_it_ended();
                        return Err(LinkError::NotARouter { at, why });
                    }
                    Event::Closed(SessionCloseReason::Eof) => {
                        return Err(LinkError::Refused(self.how_it_ended()));
                    }
                    Event::Closed(reason) => {
                        return Err(translate::open_error(reason, name, limit));
                    }
                    _ => {}
                }
            }
            let may_read = self.may_reply();
            self.exchange(may_read).await;
        }
    }

    /// See [`eepkit_link::Link::wants_new_keys`]. Peers of a session on emissary often use emissary
    /// themselves, because embedded routers are emissary.
    pub(super) fn wants_new_keys(&self) -> bool {
        !self.session.renews_peers()
    }

    /// Runs until the primary session, with the port `primary`, ends. Opens subsessions on request.
    pub(super) async fn run(mut self, primary: Port, mut requests: Requests) {
        let mut ports = Ports::new(primary);
        let mut changes = Watch::clocks();
        loop {
            self.take_commands(&mut ports);
            self.drain();
            if self.session.is_closed() {
                break;
            }
            self.translate_next(&mut ports, &mut requests);
            let may_read = !ports.have_events() && self.may_reply();
            let may_command = self.may_command(&ports);
            let overdue = ports.next_timeout();
            tokio::select! {
                biased;
                turn = poll_fn(|cx| ports.poll(cx, may_command)) => match turn {
                    Turn::Delivered => {}
                    // The link was dropped. The end of its command channel follows.
                    Turn::Dropped(Handle::PRIMARY) => self.events.clear(),
                    Turn::Dropped(_) => {}
                    Turn::Command(session, command) => self.command(&mut ports, session, command),
                },
                () = self.exchange(may_read) => {}
                () = until(overdue) => self.send_expired(&mut ports),
                change = changes.changed() => {
                    debug!(%change, "the router is asked for its clock");
                    let now = Instant::now().into_std();
                    self.session.handle_input(now, Input::ClockChanged);
                }
                request = requests.next(), if may_command => self.open_subsession(&mut requests, request),
            }
        }
        self.flush_and_close().await;
        loop {
            self.translate_next(&mut ports, &mut requests);
            if !ports.have_events() {
                return;
            }
            poll_fn(|cx| ports.poll(cx, false)).await;
        }
    }

    /// Requests a subsession from the router.
    fn open_subsession(&mut self, requests: &mut Requests, request: Request) {
        let (keys, options) = (request.setup.keys.clone(), request.setup.options.clone());
        let command = Command::OpenSubsession {
            session: requests.ask(request),
            keys,
            options,
        };
        let now = Instant::now().into_std();
        self.session.handle_input(now, Input::Command(command));
    }

    /// Collects the output of the machine.
    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Event(event) => self.events.push_back(event),
                Output::Timeout(at) => {
                    self.wake_at = at.map(Instant::from_std);
                    return;
                }
                _ => {}
            }
        }
    }

    /// Waits for one read, write, flush or timeout, and passes it to the machine.
    ///
    /// Cancel safe: bytes that were read have reached the machine, and bytes that were written are
    /// removed from `outgoing`.
    async fn exchange(&mut self, may_read: bool) {
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let (outgoing, needs_flush, wake_at) =
            (self.session.output(), self.needs_flush, self.wake_at);
        // Unless frames in it are in use, this reuses the memory of the buffer.
        self.received.reserve(READ_LEN);
        let write = async {
            if !outgoing.is_empty() {
                Happened::Wrote(writer.write(outgoing).await)
            } else if needs_flush {
                Happened::Flushed(writer.flush().await)
            } else {
                pending().await
            }
        };
        let happened = tokio::select! {
            biased;
            happened = write => happened,
            read = reader.read_buf(&mut self.received), if may_read => Happened::Read(read),
            () = until(wake_at) => Happened::Woke,
        };
        let now = Instant::now().into_std();
        let input = match happened {
            Happened::Wrote(Ok(0)) | Happened::Read(Ok(0)) => Input::Eof,
            Happened::Wrote(Ok(len)) => {
                self.session.consume_output(len);
                self.needs_flush = true;
                return;
            }
            Happened::Flushed(Ok(())) => {
                self.needs_flush = false;
                return;
            }
            Happened::Read(Ok(_)) => Input::Receive(&mut self.received),
            Happened::Woke => {
                if !may_read {
                    self.session.handle_input(now, Input::NotReading);
                }
                Input::Timeout
            }
            Happened::Wrote(Err(error))
            | Happened::Flushed(Err(error))
            | Happened::Read(Err(error)) => {
                self.broken = Some(error);
                Input::Eof
            }
        };
        self.session.handle_input(now, input);
    }

    /// Passes some of the queued commands to the machine, without waiting for more.
    ///
    /// The limit ensures that neither a router that keeps sending nor an application that keeps
    /// submitting commands delays the other.
    fn take_commands(&mut self, ports: &mut Ports) {
        for _ in 0..COMMANDS_AT_A_TIME {
            if !self.may_command(ports) || self.session.is_closed() {
                return;
            }
            let Some((session, command)) = ports.try_command() else {
                return;
            };
            self.command(ports, session, command);
            self.drain();
        }
    }

    /// Whether there is room for the results of a command.
    fn may_command(&self, ports: &Ports) -> bool {
        self.session.output().len() < MAX_OUTGOING
            && self.events.len() + ports.events() < MAX_EVENTS
    }

    /// Whether there is room for replies to what the router sends. A router that sends requests and
    /// does not read the replies must not fill the memory.
    fn may_reply(&self) -> bool {
        self.session.output().len() < MAX_OUTGOING_TO_READ
    }

    /// Executes a command of a session's link. `None` means that the link was dropped.
    fn command(&mut self, ports: &mut Ports, session: Handle, command: Option<link::Command>) {
        let now = Instant::now();
        let Some(port) = ports.of(session) else {
            return;
        };
        let command = match command {
            None => {
                for outgoing in port.gate.take_all() {
                    self.send_now(now, port, outgoing);
                }
                if session != Handle::PRIMARY {
                    ports.remove(session);
                }
                Command::Close(session)
            }
            Some(link::Command::Send(outgoing)) => return self.send(now, port, outgoing),
            Some(link::Command::PublishLeaseSet(lease_set)) => {
                Command::PublishLeaseSet { session, lease_set }
            }
            // The tunnels belong to the primary session.
            Some(link::Command::Quantity { .. }) if session != Handle::PRIMARY => return,
            Some(link::Command::Quantity { inbound, outbound }) => {
                let mut options = Options::new();
                let set = options
                    .set_inbound_quantity(inbound)
                    .and_then(|()| options.set_outbound_quantity(outbound));
                if let Err(error) = set {
                    return debug!(%error, "ignored a number of tunnels");
                }
                Command::Reconfigure { session, options }
            }
            Some(link::Command::Lookup {
                id,
                target,
                timeout,
            }) => {
                let target = translate::target(target);
                Command::Lookup {
                    id: ports.lookup(session, id),
                    target,
                    timeout,
                }
            }
            Some(link::Command::Renew { peer, silence }) => {
                if !self.session.renews_peers() {
                    return port.push(link::Event::NotRenewed {
                        peer,
                        silence,
                        reroutes: self.session.reroutes_unconfirmed(),
                    });
                }
                Command::Renew {
                    session,
                    peer,
                    silence,
                }
            }
            // I2CP has no tunnels to retire. The commands of stream links do not apply to this
            // link.
            Some(
                link::Command::Retire(_)
                | link::Command::Listen(_)
                | link::Command::OpenDatagrams(_)
                | link::Command::SendDatagram(_),
            ) => return,
        };
        self.session
            .handle_input(now.into_std(), Input::Command(command));
    }

    /// Sends a message, unless the first-contact gate holds it.
    fn send(&mut self, now: Instant, port: &mut Port, outgoing: link::Outgoing) {
        match port.gate.admit(now, self.first_contact(), outgoing) {
            Admission::Send(outgoing) => {
                self.send_now(now, port, outgoing);
            }
            Admission::First(outgoing) => {
                let to = outgoing.to.hash();
                if let Some(nonce) = self.send_now(now, port, outgoing) {
                    port.gate.begin(now, to, nonce);
                }
            }
            Admission::Held => {}
            Admission::Overflow(outgoing) => port.push(link::Event::Dropped {
                token: outgoing.token,
                reason: DropReason::Overflow,
            }),
        }
    }

    /// The policy of the router, as far as its kind is known.
    fn first_contact(&self) -> FirstContact {
        if self.session.delivers_one_first_message() {
            FirstContact::OneUntilReport
        } else {
            FirstContact::Unlimited
        }
    }

    /// Sends a message. Returns the nonce with which the router will report on it, or `None` if it
    /// will not report.
    fn send_now(&mut self, now: Instant, port: &mut Port, outgoing: link::Outgoing) -> Option<u32> {
        if outgoing.deadline <= now {
            port.push(link::Event::Dropped {
                token: outgoing.token,
                reason: DropReason::Expired,
            });
            return None;
        }
        let (nonce, due) = port.reports.next(now, outgoing.token, outgoing.to.hash());
        let report = due && self.session.reports_messages();
        let outgoing = Outgoing {
            session: port.session(),
            header: translate::header(&outgoing.payload),
            body: outgoing.payload.body,
            compress: outgoing.compress,
            to: outgoing.to,
            nonce,
            report,
            flags: translate::flags(&outgoing.options),
            deadline: outgoing.deadline.into_std(),
        };
        let command = Input::Command(Command::Send(outgoing));
        self.session.handle_input(now.into_std(), command);
        report.then_some(nonce)
    }

    /// Reports the fate of a message to a session, and sends the messages that waited for it.
    fn report(&mut self, port: &mut Port, nonce: u32, status: DeliveryStatus) {
        let held = port.gate.reported(nonce);
        let reason = translate::drop_reason(status);
        report(port, nonce, status);
        let now = Instant::now();
        for outgoing in held {
            // Without a lease set, the following messages to the peer cannot be sent either.
            if reason == DropReason::NoLeaseSet && !status.is_success() {
                let token = outgoing.token;
                port.push(link::Event::Dropped { token, reason });
            } else {
                self.send_now(now, port, outgoing);
            }
        }
        self.drain();
    }

    /// Sends the messages that waited too long for a report.
    fn send_expired(&mut self, ports: &mut Ports) {
        let now = Instant::now();
        while let Some((session, held)) = ports.expired(now) {
            let Some(port) = ports.of(session) else {
                return;
            };
            for outgoing in held {
                self.send_now(now, port, outgoing);
            }
        }
    }

    /// Converts events of the session machine to events of the link, until one waits to be
    /// delivered. Only then is the next payload decompressed.
    fn translate_next(&mut self, ports: &mut Ports, requests: &mut Requests) {
        while !ports.have_events() {
            let Some(event) = self.events.pop_front() else {
                return;
            };
            self.translate_event(event, ports, requests);
        }
    }

    fn translate_event(&mut self, event: Event, ports: &mut Ports, requests: &mut Requests) {
        match event {
            Event::LeaseSetWanted {
                session,
                leases,
                router_time,
            } => {
                if let Some(port) = ports.of(session) {
                    port.push(link::Event::LeaseSetWanted {
                        leases,
                        router_time,
                    });
                }
            }
            Event::Unreachable { session, reason } => {
                if let Some(port) = ports.of(session) {
                    port.became_unreachable(reason.to_string());
                }
            }
            Event::LeaseSetSent(session) => {
                if let Some(port) = ports.of(session)
                    && port.got_lease_set()
                {
                    // I2CP does not report the publication of the lease set, so the session counts
                    // as ready.
                    port.push(link::Event::Stage(LinkStage::LeaseSetSent));
                    port.push(link::Event::Stage(LinkStage::Ready));
                }
            }
            Event::Received { session, payload } => {
                if let Some(port) = ports.of(session)
                    && let Some(payload) = translate::decode_payload(&payload)
                {
                    let tunnel = TunnelId::ANY;
                    port.push(link::Event::Received { payload, tunnel });
                }
            }
            Event::MessageStatus {
                session,
                nonce,
                status,
            } => {
                if let Some(port) = ports.of(session) {
                    self.report(port, nonce, status);
                }
            }
            Event::LookupDone { id, result } => {
                if let Some((port, id)) = ports.answered(id) {
                    let result = translate::answer(result);
                    port.push(link::Event::LookupDone { id, result });
                }
            }
            Event::Opened(session) => match requests.opened(session) {
                Some(port) => ports.add(port),
                // The caller has dropped its request.
                None => {
                    let close = Input::Command(Command::Close(session));
                    self.session.handle_input(Instant::now().into_std(), close);
                    self.drain();
                }
            },
            Event::SubsessionClosed { session, reason } => {
                if let Some(reason) = requests.refused(session, reason)
                    && let Some(port) = ports.of(session)
                {
                    port.push(link::Event::Lost(translate::lost_reason(reason)));
                }
            }
            Event::Closed(reason) => {
                debug!(%reason, broken = ?self.broken, "the session ended");
                let lost = match reason {
                    SessionCloseReason::Eof if (self.stopped)() => LostReason::Stopped,
                    SessionCloseReason::Eof => LostReason::Connection(self.how_it_ended()),
                    reason => translate::lost_reason(reason),
                };
                ports.push_to_all(|| link::Event::Lost(lost.clone()));
            }
            Event::RouterClock(time) => self.note_clock(time),
            Event::Reconfigured { accepted, .. } => {
                debug!(accepted, "asked for another number of tunnels");
            }
            other => trace!(?other, "not for the link"),
        }
    }

    /// Logs a warning if the clocks differ by more than [`CLOCK_TOLERANCE`], once for each
    /// difference.
    fn note_clock(&mut self, router_time: Duration) {
        // A router may send any number of different dates.
        static LIMIT: LogLimit = LogLimit::new();

        let offset = ahead_ms(router_time);
        let tolerance = millis(CLOCK_TOLERANCE);
        if offset.saturating_sub(self.logged_offset).saturating_abs() <= tolerance {
            return;
        }
        self.logged_offset = offset;
        let ahead_seconds = offset / 1000;
        if offset.saturating_abs() > tolerance {
            if let Some(left_out) = LIMIT.admit() {
                warn!(
                    ahead_seconds,
                    left_out, "the router's clock differs from ours: one of them is wrong"
                );
            }
        } else {
            debug!(ahead_seconds, "the router's clock agrees with ours again");
        }
    }

    fn how_it_ended(&self) -> String {
        match &self.broken {
            Some(error) => error.to_string(),
            None => "the router closed it".to_owned(),
        }
    }

    /// Writes the remaining output and closes the connection, within [`CLOSE_TIMEOUT`].
    async fn flush_and_close(&mut self) {
        let closing = async {
            self.writer.write_all(self.session.output()).await?;
            self.writer.flush().await?;
            self.writer.shutdown().await
        };
        match timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => trace!(%error, "the connection had ended already"),
            Err(_) => debug!("the router did not read the last messages"),
        }
    }
}

/// Reports the fate of a message to a session.
fn report(port: &mut Port, nonce: u32, status: DeliveryStatus) {
    let is_final = status != DeliveryStatus::ACCEPTED;
    let Some(token) = port.reports.token(nonce, is_final) else {
        return;
    };
    if is_final && status.is_success() {
        port.push(link::Event::Sent { token });
    } else if is_final {
        let reason = translate::drop_reason(status);
        port.push(link::Event::Dropped { token, reason });
    }
}

enum Happened {
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
    Read(io::Result<usize>),
    Woke,
}

/// Waits until an instant, or forever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// How far the router's clock is ahead of ours, in milliseconds.
fn ahead_ms(router_time: Duration) -> i64 {
    millis(router_time).saturating_sub(millis(clock::unix_now()))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The tolerated difference of the clocks. Routers refuse a session configuration whose date is
/// off by 30 seconds (I2CP, "Session Config").
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// The size of the output, in bytes, above which no further command is accepted. Chosen as four
/// messages of the largest size, or a cwnd of ordinary ones.
const MAX_OUTGOING: usize = 256 * 1024;

/// The size of the output, in bytes, above which nothing more is read. Chosen so that messages of
/// the application that wait to be written do not delay reading.
const MAX_OUTGOING_TO_READ: usize = MAX_OUTGOING + 128 * 1024;

/// The number of events above which no further command is accepted. Chosen above what a
/// well-behaved application leaves undelivered, because it reads all events before it submits a
/// command.
const MAX_EVENTS: usize = 1024;

/// The maximum number of commands between two polls of the connection. Chosen as half of the
/// channel's capacity.
const COMMANDS_AT_A_TIME: usize = 32;

/// The number of bytes per read.
///
/// Payloads share the memory of a read, so that this memory stays allocated while one of them is in
/// use. Chosen so that a shared payload, of [`translate::MIN_SHARED_LEN`] bytes or more, keeps at
/// most about 16 times its length allocated, and that a read still contains several ordinary
/// messages. After a longer message the buffer is longer, and so is a read.
const READ_LEN: usize = 16 * 1024;

/// How long writing the last messages may take. Chosen as enough for any local connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
