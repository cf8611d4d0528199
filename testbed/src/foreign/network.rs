//! Senders and receivers of all implementations on one bottleneck.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eepkit_streaming::{
    EndpointConfig, Event, PeerKind, Ports, Read, Received, StreamId, StreamInfo, packet::Packet,
};

use super::{
    super::{Link, LinkConfig, Side, Waits, keys, messages, run, start, tunnel_path},
    Foreign, Software,
};

/// The implementation at one end of a flow.
#[derive(Debug, Clone)]
pub enum Party {
    /// An endpoint of this library, with its configuration.
    Ours(Box<EndpointConfig>),
    /// A model.
    Theirs(Software),
}

impl Party {
    /// An endpoint of this library with default configuration.
    pub fn ours() -> Self {
        Self::Ours(Box::default())
    }
}

impl From<Software> for Party {
    fn from(software: Software) -> Self {
        Self::Theirs(software)
    }
}

/// The parameters of a flow.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The sender, which opens the stream.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// When the sender begins, relative to the start of the network.
    pub begins: Duration,
    /// The number of bytes.
    pub length: u64,
    /// Whether the receiver's application reads.
    pub reads: bool,
    /// The maximum read rate in bytes per second, in steps of 0.1 s.
    pub read_rate: Option<f64>,
    /// Window and RTT that a model remembers from earlier streams; see [`Foreign::remember`].
    pub remembers: Option<(u32, Duration)>,
}

impl Plan {
    /// A flow without end that begins at once.
    pub fn new(from: impl Into<Party>, to: impl Into<Party>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            begins: Duration::ZERO,
            length: u64::MAX,
            reads: true,
            read_rate: None,
            remembers: None,
        }
    }

    /// Sets what a model remembers from earlier streams.
    #[must_use]
    pub fn remembers(self, window: u32, rtt: Duration) -> Self {
        Self {
            remembers: Some((window, rtt)),
            ..self
        }
    }

    /// Sets the beginning.
    #[must_use]
    pub fn begins(self, begins: Duration) -> Self {
        Self { begins, ..self }
    }

    /// Limits the read rate to this many bytes per second.
    #[must_use]
    pub fn reads_at(self, rate: f64) -> Self {
        Self {
            read_rate: Some(rate),
            ..self
        }
    }

    /// Sets the number of bytes.
    #[must_use]
    pub fn length(self, length: u64) -> Self {
        Self { length, ..self }
    }
}

/// One stream from one destination to another.
#[derive(Debug)]
pub struct Flow {
    plan: Plan,
    sender: End,
    receiver: End,
    begun: bool,
    /// The time up to which the read allowance was granted.
    read_until: Option<Instant>,
    /// The remaining read allowance in bytes.
    allowance: usize,
    /// Bytes that the sender accepted.
    pub written: u64,
    /// Bytes that the receiver's application read and compared.
    pub received: u64,
    /// When the last byte arrived, relative to the beginning of the flow.
    pub completed: Option<Duration>,
}

impl Flow {
    /// The sender, if it is a model.
    pub const fn sending_model(&self) -> Option<&Foreign> {
        self.sender.model()
    }

    /// The receiver, if it is a model.
    pub const fn receiving_model(&self) -> Option<&Foreign> {
        self.receiver.model()
    }

    /// The receiver, if it is a model.
    pub const fn receiving_model_mut(&mut self) -> Option<&mut Foreign> {
        match &mut self.receiver {
            End::Theirs(foreign) => Some(foreign),
            End::Ours { .. } => None,
        }
    }

    /// The sender's stream, if it is ours.
    pub fn sending_info(&self) -> Option<StreamInfo> {
        self.sender.info()
    }

    /// The receiver's stream, if it is ours.
    pub fn receiving_info(&self) -> Option<StreamInfo> {
        self.receiver.info()
    }

    /// The implementation that our end recognised.
    pub fn recognised(&self) -> Option<PeerKind> {
        let info = self.sending_info().or_else(|| self.receiving_info());
        info.map(|info| info.peer_kind)
    }

    /// Packets with sequence numbers that the sender sent, and the retransmissions among them.
    pub fn sent(&self) -> (u64, u64) {
        match &self.sender {
            End::Ours { .. } => self
                .sending_info()
                .map_or((0, 0), |info| (info.packets_sent, info.packets_resent)),
            End::Theirs(foreign) => {
                let counters = foreign.counters();
                (counters.sent, counters.resent)
            }
        }
    }
}

#[derive(Debug)]
enum End {
    Ours {
        side: Box<Side>,
        stream: Option<StreamId>,
    },
    Theirs(Foreign),
}

impl End {
    const fn model(&self) -> Option<&Foreign> {
        match self {
            Self::Theirs(foreign) => Some(foreign),
            Self::Ours { .. } => None,
        }
    }

    fn info(&self) -> Option<StreamInfo> {
        match self {
            Self::Ours {
                side,
                stream: Some(id),
            } => side.endpoint.info(*id),
            _ => None,
        }
    }

    fn next(&self, start: Instant) -> Option<Instant> {
        match self {
            Self::Ours { side, .. } => side.timeout,
            Self::Theirs(foreign) => foreign.next_timeout().map(|at| start + at),
        }
    }

    fn receive(&mut self, now: Instant, start: Instant, packet: Bytes) {
        match self {
            Self::Ours { side, .. } => side.endpoint.handle_packet(
                now,
                Received {
                    from_port: 0,
                    to_port: 0,
                    packet,
                },
            ),
            Self::Theirs(foreign) => foreign.handle_packet(now - start, &packet),
        }
    }

    fn timeout(&mut self, now: Instant, start: Instant) {
        match self {
            Self::Ours { side, .. } => side.endpoint.handle_timeout(now),
            Self::Theirs(foreign) => foreign.handle_timeout(now - start),
        }
    }

    /// Passes all packets to `send`. Returns whether a stream was accepted.
    ///
    /// `send` gets the packet and its path. Models have only one path.
    fn drain(&mut self, now: Instant, mut send: impl FnMut(Bytes, u64)) -> bool {
        match self {
            Self::Ours { side, stream } => {
                side.drain(now, |transmit| send(transmit.packet, transmit.path.0));
                let incoming = side
                    .events
                    .drain(..)
                    .any(|event| matches!(event, Event::Incoming { .. }));
                if incoming && stream.is_none() {
                    *stream = side.endpoint.accept(now, 0).map(|incoming| incoming.id);
                    side.drain(now, |transmit| send(transmit.packet, transmit.path.0));
                    return stream.is_some();
                }
                false
            }
            Self::Theirs(foreign) => {
                while let Some(packet) = foreign.transmit() {
                    send(packet, 0);
                }
                false
            }
        }
    }
}

/// The number of the second path.
const SECOND_PATH: u64 = 2;
/// How often a slow reader reads.
const READ_STEP: Duration = Duration::from_millis(100);

/// A packet to one end of a flow.
#[derive(Debug, Clone)]
struct Datagram {
    flow: usize,
    packet: Bytes,
}

/// Decides whether a packet enters the forward (`true`) or return link: `false` drops it.
type Filter = Box<dyn FnMut(bool, &Packet<'_>) -> bool + Send>;

/// Flows that share a forward and a return link.
pub struct Network {
    start: Instant,
    /// The time.
    pub now: Instant,
    /// The flows, in the order in which they were added.
    pub flows: Vec<Flow>,
    there: Link<Datagram>,
    /// A second forward link, for our senders.
    second: Option<Link<Datagram>>,
    back: Link<Datagram>,
    filter: Option<Filter>,
    seed: u64,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("flows", &self.flows)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Links without flows. Acknowledgements take `back`. `seed` decides the fate of packets.
    pub fn new(there: LinkConfig, back: LinkConfig, seed: u64) -> Self {
        let start = start();
        Self {
            start,
            now: start,
            flows: Vec::new(),
            there: Link::new(there, seed),
            second: None,
            back: Link::new(back, seed + 1000),
            filter: None,
            seed,
        }
    }

    /// As [`Network::new`], with a return link of the same delay and loss and no rate limit.
    pub fn narrow(there: LinkConfig, seed: u64) -> Self {
        let mut back = there.clone();
        back.rate = None;
        Self::new(there, back, seed)
    }

    /// Adds a second forward link. Our senders that open streams after this call use it as a second
    /// path.
    pub fn add_path(&mut self, link: LinkConfig) {
        self.second = Some(Link::new(link, self.seed + 2000));
    }

    /// Sets a filter that is called with every packet before it enters a link.
    pub fn set_filter(&mut self, filter: impl FnMut(bool, &Packet<'_>) -> bool + Send + 'static) {
        self.filter = Some(Box::new(filter));
    }

    /// Changes the configuration of both links.
    pub fn configure(&mut self, mut change: impl FnMut(&mut LinkConfig)) {
        change(&mut self.there.config);
        change(&mut self.back.config);
    }

    /// The queueing delays at the bottleneck since the last call.
    pub fn take_waits(&mut self) -> Waits {
        std::mem::take(&mut self.there.waits)
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Adds a flow; returns its number.
    pub fn add(&mut self, plan: Plan) -> usize {
        let number = self.flows.len();
        let end = |party: &Party, which: usize| {
            let index = number * 2 + which;
            // Each flow has its own keys and destinations.
            let keys = keys(u8::try_from(index + 1).unwrap_or(u8::MAX));
            match party {
                Party::Ours(config) => {
                    let seed = u8::try_from((self.seed + index as u64) % 256).unwrap_or(0);
                    let mut side = Box::new(Side::new(keys, (**config).clone(), seed, self.now));
                    // Nothing listens on the port yet, so this cannot fail.
                    let _ = side.endpoint.listen(0, 16);
                    End::Ours { side, stream: None }
                }
                Party::Theirs(software) => {
                    let seed = self.seed * 1000 + index as u64;
                    let mut foreign = Foreign::new(*software, keys, seed);
                    if let Some((window, rtt)) = plan.remembers {
                        foreign.remember(window, rtt);
                    }
                    End::Theirs(foreign)
                }
            }
        };
        let (sender, receiver) = (end(&plan.from, 0), end(&plan.to, 1));
        self.flows.push(Flow {
            plan,
            sender,
            receiver,
            begun: false,
            read_until: None,
            allowance: usize::MAX,
            written: 0,
            received: 0,
            completed: None,
        });
        number
    }

    /// Handles all output of both ends of a flow, and the writes and reads of their applications.
    fn turn(&mut self, number: usize) {
        let Self {
            now,
            start,
            flows,
            there,
            second,
            back,
            filter,
            ..
        } = self;
        let (now, start) = (*now, *start);
        let Some(flow) = flows.get_mut(number) else {
            return;
        };
        let mut pass = |forward: bool, link: &mut Link<Datagram>, packet: Bytes| {
            if let Some(filter) = filter
                && let Ok(packet) = Packet::parse(&packet)
                && !filter(forward, &packet)
            {
                return;
            }
            let flow = number;
            let messages = messages(packet.len(), false);
            link.send_messages(now, Datagram { flow, packet }, messages);
        };
        loop {
            flow.apply(now, start, second.is_some());
            flow.sender.drain(now, |packet, path| match second {
                Some(second) if path == SECOND_PATH => pass(true, second, packet),
                _ => pass(true, there, packet),
            });
            if !flow
                .receiver
                .drain(now, |packet, _| pass(false, back, packet))
            {
                return;
            }
        }
    }

    /// Advances to the next event, but not beyond `limit`. Returns whether there was one.
    fn step(&mut self, limit: Instant) -> bool {
        let second = self.second.as_ref().and_then(Link::next);
        let links = [self.there.next(), self.back.next(), second];
        let mut next = links.into_iter().flatten().min();
        for flow in &self.flows {
            let ends = [flow.sender.next(self.start), flow.receiver.next(self.start)];
            let begins = (!flow.begun).then(|| self.start + flow.plan.begins);
            let begins = begins.or_else(|| flow.read_until.map(|at| at + READ_STEP));
            next = next
                .into_iter()
                .chain(ends.into_iter().flatten())
                .chain(begins)
                .min();
        }
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(next);
        let (now, start) = (self.now, self.start);
        let mut touched = vec![false; self.flows.len()];
        let second = self.second.as_mut().map(|link| (link, true));
        let links = [(&mut self.there, true), (&mut self.back, false)];
        for (link, forward) in links.into_iter().chain(second) {
            while let Some(datagram) = link.receive(now) {
                let Some(flow) = self.flows.get_mut(datagram.flow) else {
                    continue;
                };
                touched[datagram.flow] = true;
                let end = if forward {
                    &mut flow.receiver
                } else {
                    &mut flow.sender
                };
                end.receive(now, start, datagram.packet);
            }
        }
        for (flow, touched) in self.flows.iter_mut().zip(&mut touched) {
            *touched |= !flow.begun && start + flow.plan.begins <= now;
            *touched |= flow.read_until.is_some_and(|at| at + READ_STEP <= now);
            for end in [&mut flow.sender, &mut flow.receiver] {
                if end.next(start).is_some_and(|at| at <= now) {
                    *touched = true;
                    end.timeout(now, start);
                }
            }
        }
        for (number, touched) in touched.into_iter().enumerate() {
            if touched {
                self.turn(number);
            }
        }
        true
    }

    /// Sets whether the receiving application of a flow reads.
    pub fn set_reading(&mut self, number: usize, reads: bool) {
        if let Some(flow) = self.flows.get_mut(number) {
            flow.plan.reads = reads;
        }
        self.turn(number);
    }

    /// Advances by this time.
    pub fn run(&mut self, span: Duration) {
        let limit = self.now + span;
        while self.step(limit) {}
    }

    /// Advances until `done`, by at most `span`. Returns whether it was done.
    pub fn run_until(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let limit = self.now + span;
        while !done(self) {
            if !self.step(limit) {
                return done(self);
            }
        }
        true
    }
}

impl Flow {
    /// Performs the writes, reads and measurements of the applications at both ends.
    fn apply(&mut self, now: Instant, start: Instant, two_ways: bool) {
        if now >= start + self.plan.begins && !self.begun {
            self.begun = true;
            self.open(now, start, two_ways);
        }
        self.write(now, start);
        if let Some(rate) = self.plan.read_rate {
            let until = self.read_until.unwrap_or(now);
            if self.read_until.is_none() || now >= until + READ_STEP {
                self.read_until = Some(now);
                self.allowance = (rate * READ_STEP.as_secs_f64()) as usize;
            }
        }
        if self.plan.reads {
            self.read(now);
        }
        if self.received == self.plan.length && self.completed.is_none() {
            self.completed = Some((now - start).saturating_sub(self.plan.begins));
        }
    }

    fn open(&mut self, now: Instant, start: Instant, two_ways: bool) {
        let to = match &self.receiver {
            End::Ours { side, .. } => side.endpoint.destination().clone(),
            End::Theirs(foreign) => foreign.destination().clone(),
        };
        match &mut self.sender {
            End::Ours { side, stream } => {
                let Party::Ours(config) = &self.plan.from else {
                    return;
                };
                let opened = side
                    .endpoint
                    .connect(now, &to, Ports::default(), config.stream());
                *stream = opened.ok();
                if two_ways {
                    let paths = [1, SECOND_PATH].map(|number| tunnel_path(number, number, None));
                    side.endpoint.set_paths(now, &to, &paths);
                }
            }
            End::Theirs(foreign) => foreign.open(now - start, &to),
        }
    }

    fn write(&mut self, now: Instant, start: Instant) {
        while self.begun && self.written < self.plan.length {
            let count = usize::try_from(self.plan.length - self.written).unwrap_or(usize::MAX);
            let bytes = run(self.written);
            let bytes = &bytes[..bytes.len().min(count)];
            let taken = match &mut self.sender {
                End::Ours { side, stream } => stream
                    .and_then(|id| side.endpoint.write(now, id, bytes).ok())
                    .unwrap_or(0),
                End::Theirs(foreign) => foreign.write(now - start, bytes),
            };
            self.written += taken as u64;
            if taken < bytes.len() {
                return;
            }
        }
    }

    fn read(&mut self, now: Instant) {
        while self.allowance > 0 {
            let most = self.allowance;
            let data = match &mut self.receiver {
                End::Ours { side, stream } => {
                    stream.and_then(|id| match side.endpoint.read(now, id, most) {
                        Ok(Read::Data(data)) => Some(data),
                        _ => None,
                    })
                }
                End::Theirs(foreign) => foreign.read(),
            };
            let Some(data) = data else { return };
            if self.plan.read_rate.is_some() {
                self.allowance = self.allowance.saturating_sub(data.len());
            }
            self.check(&data);
        }
    }

    fn check(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let expected = run(self.received);
            let (now, later) = rest.split_at(rest.len().min(expected.len()));
            assert_eq!(now, &expected[..now.len()], "from {}", self.received);
            self.received += now.len() as u64;
            rest = later;
        }
    }
}
