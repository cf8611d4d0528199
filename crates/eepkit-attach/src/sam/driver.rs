//! The task of a session.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use eepkit_link::{
    Command, DropReason, Event, LinkError, LinkLookupError, LinkStage, LookupAnswer, LookupTarget,
    LostReason,
    streams::{DatagramFormat, OutgoingDatagram},
};
use eepkit_sam::{
    Failure, ResultCode, Style, Version,
    client::{
        Answer, Closed, Create, Event as SamEvent, Keys, Lookup, Request, RequestError, RequestId,
        SessionOptions, Subsession, quirks,
    },
};
use eepkit_wire::{Mapping, PrivateKeys};
use tokio::{
    net::UdpSocket,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{
    connection::{Conn, Dialer},
    datagrams::{self, CREATE_TIMEOUT, OwnEnd, OwnSession, Port, style},
    streams::{ANSWER_TIMEOUT, Acceptor, Streams},
};

/// The parameters of a session.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) keys: Arc<PrivateKeys>,
    pub(super) options: SessionOptions,
    pub(super) udp: Option<SocketAddr>,
    pub(super) dialer: Dialer,
    pub(super) streams: Streams,
}

pub(super) struct Driver {
    plan: Plan,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    version: Version,
    /// Whether the session is a PRIMARY session.
    primary: bool,
    /// Whether the bridge is emissary's ([`quirks::is_emissary`]).
    emissary: bool,
    /// The ID of the session to which streams belong.
    stream_id: String,
    /// The tasks that wait for streams.
    acceptors: JoinSet<()>,
    /// Look-ups, sockets and datagram sessions. Look-ups are limited by the application and by
    /// `lookups`, and the other tasks by the number of formats.
    tasks: JoinSet<Done>,
    lookups: Arc<Semaphore>,
    /// Look-ups of these tasks for the session's own connection.
    asking: mpsc::Sender<Ask>,
    to_ask: mpsc::Receiver<Ask>,
    /// Pending look-ups on the session's own connection. Limited by [`MAX_LOOKUPS`], and, for those
    /// that the application has cancelled, by the limit of pending requests of a connection.
    asked: HashMap<RequestId, oneshot::Sender<Result<Answer, RequestError>>>,
    ports: HashMap<DatagramFormat, Port>,
    /// The socket that all formats share on emissary, and the number of formats.
    shared: Option<(Arc<UdpSocket>, u16)>,
    /// Requested subsessions.
    adding: HashMap<RequestId, (DatagramFormat, Arc<UdpSocket>)>,
    /// The pending look-up of the session's own destination.
    own: Option<RequestId>,
}

/// A look-up, and the channel for its result.
type Ask = (Lookup, oneshot::Sender<Result<Answer, RequestError>>);

/// The result of a task.
enum Done {
    Nothing,
    /// The session of a format ended or was not opened.
    Datagrams(DatagramFormat, OwnEnd),
}

/// The reason for the end of a session, or for its failure to open.
enum End {
    Refused(LinkError),
    Lost(LostReason),
    /// The link was dropped.
    Dropped,
}

impl Driver {
    pub(super) fn new(
        plan: Plan,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (asking, to_ask) = mpsc::channel(MAX_LOOKUPS);
        Self {
            stream_id: plan.id.clone(),
            plan,
            commands,
            events,
            version: Version::V3_0,
            primary: false,
            emissary: false,
            acceptors: JoinSet::new(),
            tasks: JoinSet::new(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            asking,
            to_ask,
            asked: HashMap::new(),
            ports: HashMap::new(),
            shared: None,
            adding: HashMap::new(),
            own: None,
        }
    }

    pub(super) async fn run(mut self, control: Conn) {
        let last = match self.serve(control).await {
            End::Refused(error) => Event::Refused(error),
            End::Lost(reason) => Event::Lost(reason),
            End::Dropped => return,
        };
        // The receiver may have been dropped.
        let _ = self.events.send(last).await;
    }

    async fn serve(&mut self, control: Conn) -> End {
        self.send_event(Event::Stage(LinkStage::BuildingTunnels))
            .await;
        let created = {
            let closed = self.events.clone();
            tokio::select! {
                created = self.create(control) => created,
                () = closed.closed() => return End::Dropped,
            }
        };
        let mut control = match created {
            Ok(control) => control,
            Err(end) => return end,
        };
        self.version = control.version;
        debug!(version = %self.version, primary = self.primary, "session");
        self.plan.streams.begin(self.stream_id.clone());
        self.send_event(Event::Stage(LinkStage::Ready)).await;
        let mut may_ping = probe(self.plan.dialer.clone(), self.version);
        let mut probing = true;
        let mut pings = true;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                event = control.next() => {
                    heard = Instant::now();
                    if let Some(end) = self.on_event(event).await {
                        return end;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(&mut control, command).await,
                    None => return End::Dropped,
                },
                Some((lookup, waiting)) = self.to_ask.recv() => {
                    let id = control.request(Request::Lookup(lookup), SEARCH_TIMEOUT);
                    self.asked.insert(id, waiting);
                },
                Some(done) = self.tasks.join_next() => {
                    match done {
                        Ok(Done::Datagrams(format, OwnEnd::Refused(why))) => {
                            self.refuse(format, why).await;
                        }
                        // The whole session is restored, including all formats.
                        Ok(Done::Datagrams(_, OwnEnd::Lost(why))) => {
                            return End::Lost(LostReason::Connection(why));
                        }
                        _ => {}
                    }
                }
                answered = &mut may_ping, if probing => {
                    probing = false;
                    pings = answered.is_ok();
                    if pings {
                        control.set_keep_alive(KEEP_ALIVE);
                    }
                }
                () = sleep_until(heard + KEEP_ALIVE), if !pings && self.own.is_none() => {
                    let name = OWN_NAME.to_owned();
                    let lookup = Lookup { name, options: false };
                    let request = Request::Lookup(lookup);
                    self.own = Some(control.request(request, ANSWER_TIMEOUT));
                }
            }
        }
    }

    /// Requests the session from the bridge, as a PRIMARY session if the bridge supports it.
    async fn create(&mut self, mut control: Conn) -> Result<Conn, End> {
        if quirks::may_have_primary(control.version) {
            match self.ask_create(&mut control, Style::Primary).await {
                Ok(()) => return self.add_streams(control).await,
                Err(RequestError::Refused(failure)) if quirks::is_style_unknown(&failure) => {
                    debug!(%failure, "no PRIMARY session");
                }
                Err(error) => return Err(refused(error)),
            }
            // i2pd closes the connection after a refusal.
            drop(control);
            control = self.plan.dialer.dial().await.map_err(End::Refused)?;
        }
        self.ask_create(&mut control, Style::Stream)
            .await
            .map_err(refused)?;
        Ok(control)
    }

    async fn add_streams(&mut self, mut control: Conn) -> Result<Conn, End> {
        self.primary = true;
        self.emissary = quirks::is_emissary(control.version);
        self.stream_id = format!("{}s", self.plan.id);
        let add = Subsession::new(self.stream_id.clone(), Style::Stream);
        control
            .ask(Request::Add(add), ANSWER_TIMEOUT)
            .await
            .map_err(refused)?;
        Ok(control)
    }

    async fn ask_create(&self, control: &mut Conn, style: Style) -> Result<(), RequestError> {
        let keys = Keys::Given(Box::new((*self.plan.keys).clone()));
        let mut create = Create::new(self.plan.id.clone(), style, keys);
        create.options.clone_from(&self.plan.options);
        match control.ask(Request::Create(create), CREATE_TIMEOUT).await? {
            Answer::Created { .. } => Ok(()),
            _ => Err(RequestError::Malformed("an answer to another request")),
        }
    }

    /// Sends an event to the application. An event without a receiver is discarded, and the end of
    /// the command channel ends the task.
    async fn send_event(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    async fn on_event(&mut self, event: SamEvent) -> Option<End> {
        match event {
            SamEvent::Answered { id, result } if self.own == Some(id) => {
                self.own = None;
                self.session_gone(result)
            }
            SamEvent::Answered { id, result } => {
                if let Some((format, socket)) = self.adding.remove(&id) {
                    self.on_added(format, socket, result).await;
                } else if let Some(waiting) = self.asked.remove(&id) {
                    // The caller has dropped the receiver if the look-up took too long.
                    let _ = waiting.send(result);
                }
                None
            }
            SamEvent::Closed(why) => Some(End::Lost(match why {
                Closed::ByBridge => LostReason::Connection(why.to_string()),
                Closed::Refused(failure) => LostReason::Closed(failure.to_string()),
                Closed::Timeout => LostReason::Connection(why.to_string()),
                other => LostReason::Protocol(other.to_string()),
            })),
            _ => None,
        }
    }

    /// Evaluates the answer to the look-up of the session's own destination. Returns the end of the
    /// session if the bridge no longer has it: i2pd then answers with the destination of its router.
    fn session_gone(&self, result: Result<Answer, RequestError>) -> Option<End> {
        let why = match result {
            Ok(Answer::Found { destination, .. })
                if destination == *self.plan.keys.destination() =>
            {
                return None;
            }
            Ok(_) => "the bridge has another destination in its place".to_owned(),
            Err(error) => error.to_string(),
        };
        Some(End::Lost(LostReason::Closed(why)))
    }

    async fn on_command(&mut self, control: &mut Conn, command: Command) {
        match command {
            Command::Listen(true) if self.acceptors.is_empty() => self.accept(),
            Command::Listen(false) => self.acceptors.shutdown().await,
            Command::Lookup {
                id,
                target,
                timeout: limit,
            } => self.look_up(id, target, limit),
            Command::OpenDatagrams(format) => self.open_datagrams(control, format).await,
            Command::SendDatagram(datagram) => self.send(datagram).await,
            // Tunnels, lease sets and messages are handled by the router.
            _ => {}
        }
    }

    fn accept(&mut self) {
        let only_one = Arc::new(AtomicBool::new(false));
        for index in 0..Acceptor::count(self.version) {
            let acceptor = Acceptor {
                dialer: self.plan.dialer.clone(),
                id: self.stream_id.clone(),
                index,
                only_one: only_one.clone(),
                events: self.events.clone(),
            };
            self.acceptors.spawn(acceptor.run());
        }
    }

    fn look_up(&mut self, id: u32, target: LookupTarget, limit: Duration) {
        let dialer = self.plan.dialer.clone();
        let events = self.events.clone();
        let permits = self.lookups.clone();
        let session = self.emissary.then(|| self.asking.clone());
        self.tasks.spawn(async move {
            let search = async {
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                look_up(&dialer, session, &target, limit).await
            };
            let result = timeout(limit, search)
                .await
                .unwrap_or(Err(LinkLookupError::Timeout));
            let _ = events.send(Event::LookupDone { id, result }).await;
            Done::Nothing
        });
    }

    async fn open_datagrams(&mut self, control: &mut Conn, format: DatagramFormat) {
        if self.ports.contains_key(&format) {
            return;
        }
        self.ports.insert(format, Port::opening());
        if !self.primary {
            return self.open_own(format);
        }
        let Some(bridge) = self.plan.udp else {
            let why = "the bridge is not reached by TCP, so there is no UDP".to_owned();
            return self.refuse(format, why).await;
        };
        let style = style(format);
        if self.emissary && !quirks::emissary_has(style) {
            let why = format!("emissary does not support {style} datagrams for its sessions");
            return self.refuse(format, why).await;
        }
        let (socket, from_port) = match &self.shared {
            Some((socket, sharing)) => (socket.clone(), *sharing),
            None => match bind(bridge).await {
                Ok(socket) => (Arc::new(socket), 0),
                Err(error) => return self.refuse(format, error.to_string()).await,
            },
        };
        if self.emissary {
            self.shared = Some((socket.clone(), from_port + 1));
        }
        let mut add = Subsession::new(self.id_of(format), style);
        add.from_port = from_port;
        add.forward_port = socket.local_addr().ok().map(|addr| addr.port());
        // Accepts datagrams to every port.
        add.listen_port = Some(0);
        if format == DatagramFormat::Raw {
            add.listen_protocol = Some(0);
            add.header = !self.emissary;
        }
        let asked = control.request(Request::Add(add), ANSWER_TIMEOUT);
        self.adding.insert(asked, (format, socket));
    }

    /// Opens a separate session for a format.
    fn open_own(&mut self, format: DatagramFormat) {
        let (sender, outgoing) = mpsc::channel(datagrams::OUTGOING);
        let session = OwnSession {
            dialer: self.plan.dialer.clone(),
            id: self.id_of(format),
            format,
            keys: self.plan.keys.clone(),
            options: self.plan.options.clone(),
            events: self.events.clone(),
            outgoing,
        };
        self.ports.insert(format, Port::Own(sender));
        self.tasks
            .spawn(async move { Done::Datagrams(format, session.run().await) });
    }

    async fn on_added(
        &mut self,
        format: DatagramFormat,
        socket: Arc<UdpSocket>,
        result: Result<Answer, RequestError>,
    ) {
        let bridge = match (result, self.plan.udp) {
            (Ok(_), Some(bridge)) => bridge,
            (Err(error), _) => return self.refuse(format, datagrams::why(&error)).await,
            _ => return,
        };
        let is_shared = |port: &Port| matches!(port, Port::Udp { .. });
        if !self.emissary || !self.ports.values().any(is_shared) {
            let format = (!self.emissary).then_some(format);
            let receiving = datagrams::receive(socket.clone(), bridge, format, self.events.clone());
            self.tasks.spawn(async move {
                receiving.await;
                Done::Nothing
            });
        }
        let mut port = Port::Udp {
            id: self.id_of(format),
            socket,
            bridge,
            version: self.version,
        };
        if let Some(Port::Opening(waiting)) = self.ports.remove(&format) {
            for datagram in waiting {
                port.send(datagram);
            }
        }
        self.ports.insert(format, port);
    }

    async fn send(&mut self, datagram: OutgoingDatagram) {
        let token = datagram.token;
        let sent = self
            .ports
            .get_mut(&datagram.format)
            .is_some_and(|port| port.send(datagram));
        if !sent {
            let reason = DropReason::Refused;
            self.send_event(Event::Dropped { token, reason }).await;
        }
    }

    async fn refuse(&mut self, format: DatagramFormat, why: String) {
        debug!(?format, why, "no datagrams");
        self.ports.insert(format, Port::Refused);
        self.send_event(Event::NoDatagrams { format, why }).await;
    }

    fn id_of(&self, format: DatagramFormat) -> String {
        let letter = match format {
            DatagramFormat::Raw => 'r',
            DatagramFormat::Datagram1 => 'd',
            DatagramFormat::Datagram2 => 'e',
            DatagramFormat::Datagram3 => 'f',
        };
        format!("{}{letter}", self.plan.id)
    }
}

/// Converts a failed request to the reason why there is no session.
fn refused(error: RequestError) -> End {
    let refused = |failure: Failure| match failure.result {
        ResultCode::DuplicatedDest => LinkError::Duplicate,
        _ => LinkError::Refused(failure.to_string()),
    };
    match error {
        RequestError::Refused(failure) => End::Refused(refused(failure)),
        RequestError::Timeout => End::Refused(LinkError::Timeout(CREATE_TIMEOUT)),
        RequestError::Invalid(why) => End::Refused(LinkError::Unsupported(why)),
        RequestError::Over => End::Lost(LostReason::Connection(error.to_string())),
        other => End::Refused(LinkError::Refused(other.to_string())),
    }
}

/// Binds a socket that can receive packets of the bridge.
async fn bind(bridge: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = match bridge.ip() {
        // A loopback socket accepts packets only from this computer.
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Until tokio has seen that the socket is writable, `try_send` returns `WouldBlock`.
    socket.writable().await?;
    Ok(socket)
}

/// Tests on a separate connection whether sessions can be kept alive with PINGs. The receiver
/// completes with a value if they can.
fn probe(dialer: Dialer, version: Version) -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    if version >= Version::V3_2 {
        tokio::spawn(async move {
            let Ok(mut conn) = dialer.dial().await else {
                return;
            };
            for number in 0..quirks::PING_PROBES {
                let ping = Request::Ping(number.to_string());
                if conn.ask(ping, PROBE_TIMEOUT).await.is_err() {
                    return;
                }
            }
            // The receiver is dropped if the session has ended.
            let _ = sender.send(());
        });
    }
    receiver
}

/// Looks up a target over a separate connection. If it is not found there, looks it up over the
/// session's connection, if the bridge answers differently there.
async fn look_up(
    dialer: &Dialer,
    session: Option<mpsc::Sender<Ask>>,
    target: &LookupTarget,
    limit: Duration,
) -> Result<LookupAnswer, LinkLookupError> {
    let (name, options, missing) = match target {
        LookupTarget::Hash(hash) => (hash.to_b32(), false, LinkLookupError::LeaseSetNotFound),
        LookupTarget::Name(name) => (name.clone(), false, LinkLookupError::NameNotFound),
        LookupTarget::LeaseSet(to) => (to.to_base64(), true, LinkLookupError::LeaseSetNotFound),
    };
    let mut conn = dialer.dial().await.map_err(|error| match error {
        LinkError::Timeout(_) => LinkLookupError::Timeout,
        _ => LinkLookupError::SessionLost,
    })?;
    let lookup = Lookup { name, options };
    let mut answered = conn.ask(Request::Lookup(lookup.clone()), limit).await;
    let unknown = |error: &RequestError| matches!(error, RequestError::Refused(failure) if quirks::is_name_unknown(failure));
    if let (Err(error), Some(session)) = (&answered, session)
        && unknown(error)
    {
        let (sender, receiver) = oneshot::channel();
        if session.send((lookup, sender)).await.is_err() {
            return Err(LinkLookupError::SessionLost);
        }
        answered = receiver.await.unwrap_or(Err(RequestError::Over));
    }
    match answered {
        Ok(Answer::Found {
            destination,
            options,
        }) => Ok(LookupAnswer {
            destination,
            leases: Vec::new(),
            options: mapping(&options),
        }),
        Err(RequestError::Timeout) => Err(LinkLookupError::Timeout),
        Err(RequestError::Refused(failure)) if quirks::is_name_unknown(&failure) => Err(missing),
        Err(RequestError::Refused(failure)) if failure.result == ResultCode::LeaseSetNotFound => {
            Err(LinkLookupError::LeaseSetNotFound)
        }
        Err(RequestError::Refused(failure)) if failure.result == ResultCode::Timeout => {
            Err(LinkLookupError::Timeout)
        }
        Err(RequestError::Invalid(_)) => Err(LinkLookupError::Unsupported),
        _ => Err(LinkLookupError::SessionLost),
    }
}

/// Returns the options that fit into a mapping, because a bridge may send any text.
fn mapping(options: &[(String, String)]) -> Mapping {
    let mut mapping = Mapping::default();
    for (key, value) in options {
        if mapping.insert(key, value).is_err() {
            debug!("an option is not valid in a lease set");
        }
    }
    mapping
}

/// The maximum number of simultaneous look-ups, each over a separate connection. Chosen because
/// bridges answer names immediately and search for some tens of hashes at a time.
const MAX_LOOKUPS: usize = 16;

/// How long a bridge may take to answer a request on the session's own connection before it counts
/// as lost. Chosen above the duration of any search. Callers have limits of their own.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(300);

/// The idle time after which a PING is sent to the bridge. Chosen because Java I2P sends one after
/// three minutes, and a lost bridge should be detected before its users notice.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The name of a session's own destination (SAM V3, "Name Lookups"). It is looked up on the
/// connection of the session instead of a PING, where the bridge does not support PING.
const OWN_NAME: &str = "ME";

/// How long a bridge may take to answer a PING.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
