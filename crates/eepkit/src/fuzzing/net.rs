//! A router that connects two sessions and does what the input demands.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use eepkit_link::{
    BoxFuture, Command, Connector, Direction, DropReason, Event, LeaseId, Link, LinkError,
    LinkStage, LookupAnswer, LookupTarget, LostReason, Outgoing, Payload, Setup, TunnelDownReason,
    TunnelId, clock,
};
use eepkit_wire::{Destination, Hash, Lease, Mapping};
use tokio::time::Instant;

use super::{LOOKUP_ERRORS, keys};

/// The router. Clones refer to the same one.
#[derive(Clone)]
pub(super) struct Net(Arc<Mutex<State>>);

struct State {
    sides: [Side; 2],
    /// Whether requests get the usual answer at once.
    answers: bool,
    /// Whether it reports tunnels.
    tunnels: bool,
    /// Whether it reports on each message.
    reports: bool,
    /// Whether it has delivered a packet that no session has sent.
    corrupt: bool,
    /// Whether it has ever stopped to accept commands.
    deaf: bool,
}

/// A session on the router.
#[derive(Default)]
struct Side {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    /// Whether it accepts no commands.
    full: bool,
    /// The next attempts to open a session that fail.
    refusals: u8,
    /// The last messages of the session.
    sent: VecDeque<Outgoing>,
    /// The next messages that get lost.
    loses: u8,
    /// Look-ups without an answer.
    lookups: VecDeque<(u32, LookupTarget)>,
    /// The number of the link, which grows with each new one.
    epoch: u64,
}

impl Net {
    pub(super) fn new(flags: u8) -> Self {
        Self(Arc::new(Mutex::new(State {
            sides: Default::default(),
            answers: flags & 1 == 0,
            tunnels: flags & 2 != 0,
            reports: flags & 4 != 0,
            corrupt: false,
            deaf: flags & 1 != 0,
        })))
    }

    pub(super) fn connector(&self) -> impl Connector {
        FuzzedRouter {
            net: self.clone(),
            tunnels: self.lock().tunnels,
        }
    }

    /// Whether data of streams may differ from what was sent.
    pub(super) fn is_corrupt(&self) -> bool {
        self.lock().corrupt
    }

    /// Whether the router may have kept a session from sending.
    pub(super) fn is_deaf(&self) -> bool {
        self.lock().deaf
    }

    /// Performs an operation of the router. Returns the input that remains.
    pub(super) fn play<'a>(
        &self,
        side: usize,
        operation: u8,
        argument: u8,
        rest: &'a [u8],
    ) -> &'a [u8] {
        let mut state = self.lock();
        let tunnel = TunnelId(u64::from(argument & 7));
        match operation {
            // Any bytes.
            7 => {
                let (body, after) = rest.split_at(usize::from(argument).min(rest.len()));
                state.corrupt = true;
                let payload = Payload {
                    protocol: PROTOCOLS[usize::from(argument) % PROTOCOLS.len()],
                    from_port: 0,
                    to_port: u16::from(argument & 3),
                    body: Bytes::copy_from_slice(body),
                };
                state.push(side, Event::Received { payload, tunnel });
                return after;
            }
            // A message again, whole or with another byte.
            8 | 9 => {
                let from = &state.sides[1 - side].sent;
                let count = from.len().max(1);
                if let Some(sent) = from.get(usize::from(argument) % count) {
                    let mut payload = sent.payload.clone();
                    if operation == 9 {
                        let mut body = payload.body.to_vec();
                        let at = rest.first().map_or(0, |at| usize::from(*at));
                        let length = body.len().max(1);
                        if let Some(byte) = body.get_mut(at % length) {
                            *byte ^= argument | 1;
                        }
                        payload.body = body.into();
                        state.corrupt = true;
                    }
                    state.push(side, Event::Received { payload, tunnel });
                }
            }
            10 => {
                let pending = state.sides[side].lookups.pop_front();
                let (id, target) = pending.unwrap_or_else(|| {
                    let hash = Hash::new([argument; 32]);
                    (u32::from(argument), LookupTarget::Hash(hash))
                });
                let result = match argument & 1 {
                    0 => Err(LOOKUP_ERRORS[usize::from(argument >> 1) % LOOKUP_ERRORS.len()]),
                    _ => Ok(answer(&target, argument)),
                };
                state.push(side, Event::LookupDone { id, result });
            }
            11 => state.sides[side].loses = argument & 31,
            12 => {
                state.sides[side].full = argument & 3 != 0;
                state.deaf |= argument & 3 != 0;
                state.sides[side].wake();
            }
            13 => {
                let why = "lost".to_owned();
                state.deaf = true;
                match argument & 7 {
                    0 => state.push(side, Event::Refused(LinkError::Refused(why))),
                    1 => state.push(side, Event::Refused(LinkError::Duplicate)),
                    2 => state.push(side, Event::Lost(LostReason::Stopped)),
                    3 => state.push(side, Event::Lost(LostReason::Protocol(why))),
                    4 => state.push(side, Event::Lost(LostReason::Closed(why))),
                    5 => state.sides[side].refusals = argument >> 3,
                    _ => state.push(side, Event::Lost(LostReason::Connection(why))),
                }
            }
            14 => {
                state.answers = argument & 1 == 0;
                state.deaf |= !state.answers;
            }
            _ => state.report(side, operation, argument),
        }
        rest
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reports an event that the input selects.
    fn report(&mut self, side: usize, operation: u8, argument: u8) {
        let tunnel = TunnelId(u64::from(argument & 7));
        match operation {
            0 => {
                let stages = [
                    LinkStage::BuildingTunnels,
                    LinkStage::LeaseSetSent,
                    LinkStage::Ready,
                ];
                let stage = stages[usize::from(argument) % 3];
                self.push(side, Event::Stage(stage));
            }
            1 => self.push(side, wanted(argument)),
            2 => self.push(
                side,
                Event::TunnelUp {
                    tunnel,
                    direction: match argument & 8 {
                        0 => Direction::Inbound,
                        _ => Direction::Outbound,
                    },
                    expires: Some(Instant::now() + Duration::from_secs(u64::from(argument) * 4)),
                    hops: 3,
                    lease: leases(argument | 1).first().map(id),
                },
            ),
            3 => {
                let reason = TunnelDownReason::Failed;
                self.push(side, Event::TunnelDown { tunnel, reason });
            }
            4 => {
                let messages = u32::from(argument);
                self.push(side, Event::Credit { tunnel, messages });
            }
            5 => {
                let token = u64::from(argument);
                self.push(side, Event::Sent { token });
            }
            6 => {
                let reasons = [
                    DropReason::Expired,
                    DropReason::NoLeaseSet,
                    DropReason::NoTunnel,
                    DropReason::Overflow,
                    DropReason::UnsupportedEncryption,
                    DropReason::Refused,
                ];
                let token = self.sides[side].sent.back().map_or(0, |sent| sent.token);
                let token = token.saturating_sub(u64::from(argument >> 4));
                let reason = reasons[usize::from(argument & 15) % reasons.len()];
                self.push(side, Event::Dropped { token, reason });
            }
            _ => {
                let format = eepkit_link::streams::DatagramFormat::Raw;
                let why = "of the wrong layer".to_owned();
                self.push(side, Event::NoDatagrams { format, why });
            }
        }
    }

    fn execute(&mut self, side: usize, command: Command) {
        match command {
            Command::Send(outgoing) => self.send(side, outgoing),
            Command::PublishLeaseSet(_) if self.answers => {
                self.push(side, Event::Stage(LinkStage::LeaseSetSent));
                self.push(side, Event::Stage(LinkStage::Ready));
            }
            Command::Lookup { id, target, .. } => {
                if self.answers {
                    let result = match &target {
                        LookupTarget::Name(_) => Err(LOOKUP_ERRORS[0]),
                        target => Ok(answer(target, 61)),
                    };
                    self.push(side, Event::LookupDone { id, result });
                } else if self.sides[side].lookups.len() < MAX_KEPT {
                    self.sides[side].lookups.push_back((id, target));
                }
            }
            _ => {}
        }
    }

    /// Delivers a message to the other session.
    fn send(&mut self, side: usize, outgoing: Outgoing) {
        if self.reports {
            let token = outgoing.token;
            self.push(side, Event::Sent { token });
        }
        let from = &mut self.sides[side];
        if from.sent.len() >= MAX_KEPT {
            from.sent.pop_front();
        }
        from.sent.push_back(outgoing.clone());
        if from.loses > 0 {
            from.loses -= 1;
            return;
        }
        let payload = outgoing.payload;
        let tunnel = match self.tunnels {
            true => TunnelId(1),
            false => TunnelId::ANY,
        };
        self.push(1 - side, Event::Received { payload, tunnel });
    }

    /// Reports an event to a session, unless too many wait already, as on a lossy network.
    fn push(&mut self, side: usize, event: Event) {
        let side = &mut self.sides[side];
        if side.events.len() < MAX_EVENTS {
            side.events.push_back(event);
            side.wake();
        }
    }
}

impl Side {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The answer to a look-up.
fn answer(target: &LookupTarget, argument: u8) -> LookupAnswer {
    let known = |number: usize| keys(number).destination().clone();
    let destination: Destination = match target {
        LookupTarget::LeaseSet(destination) => destination.clone(),
        LookupTarget::Hash(hash) => (0..3)
            .map(known)
            .find(|destination| destination.hash() == *hash)
            .unwrap_or_else(|| known(2)),
        LookupTarget::Name(_) => known(usize::from(argument) % 3),
    };
    LookupAnswer {
        destination,
        leases: leases(argument),
        options: Mapping::new(),
    }
}

/// A request for a lease set.
fn wanted(argument: u8) -> Event {
    Event::LeaseSetWanted {
        leases: leases(argument),
        router_time: clock::unix_now(),
    }
}

/// Leases that end before, at or after this time.
fn leases(argument: u8) -> Vec<Lease> {
    let now = u64::try_from(clock::unix_now().as_millis()).unwrap_or(0);
    let lease = |number: u8| Lease {
        gateway: Hash::new([number; 32]),
        tunnel: u32::from(number),
        end: (now + u64::from(argument) * 20_000).saturating_sub(300_000),
    };
    (0..argument & 3).map(lease).collect()
}

fn id(lease: &Lease) -> LeaseId {
    LeaseId {
        gateway: lease.gateway,
        tunnel: lease.tunnel,
    }
}

struct FuzzedRouter {
    net: Net,
    tunnels: bool,
}

impl fmt::Debug for FuzzedRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FuzzedRouter")
    }
}

impl Connector for FuzzedRouter {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        let side = usize::from(setup.keys.destination() != keys(0).destination());
        let net = self.net.clone();
        Box::pin(async move {
            let epoch = {
                let mut state = net.lock();
                let (answers, tunnels) = (state.answers, state.tunnels);
                let this = &mut state.sides[side];
                if this.refusals > 0 {
                    this.refusals -= 1;
                    return Err(LinkError::Refused("not now".to_owned()));
                }
                this.events.clear();
                this.lookups.clear();
                this.epoch += 1;
                let epoch = this.epoch;
                if answers {
                    state.push(side, Event::Stage(LinkStage::BuildingTunnels));
                    if tunnels {
                        state.bring_tunnels_up(side);
                    }
                    state.push(side, wanted(61));
                }
                epoch
            };
            let link: Box<dyn Link> = Box::new(FuzzedLink { net, side, epoch });
            Ok(link)
        })
    }

    fn name(&self) -> String {
        "fuzzed".to_owned()
    }

    fn exposes_tunnels(&self) -> bool {
        self.tunnels
    }
}

impl State {
    /// Reports a tunnel in each direction, with room for messages.
    fn bring_tunnels_up(&mut self, side: usize) {
        for (tunnel, direction) in [(1, Direction::Inbound), (2, Direction::Outbound)] {
            let tunnel = TunnelId(tunnel);
            let up = Event::TunnelUp {
                tunnel,
                direction,
                expires: None,
                hops: 3,
                lease: leases(61).first().map(id),
            };
            self.push(side, up);
            let messages = 10_000;
            self.push(side, Event::Credit { tunnel, messages });
        }
    }
}

struct FuzzedLink {
    net: Net,
    side: usize,
    epoch: u64,
}

impl fmt::Debug for FuzzedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FuzzedLink")
    }
}

impl Link for FuzzedLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.net.lock();
        let side = &mut state.sides[self.side];
        if side.full {
            side.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn submit(&mut self, command: Command) {
        let mut state = self.net.lock();
        assert_eq!(
            state.sides[self.side].epoch, self.epoch,
            "a session uses one link at a time"
        );
        state.execute(self.side, command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut state = self.net.lock();
        let side = &mut state.sides[self.side];
        assert_eq!(side.epoch, self.epoch, "a session uses one link at a time");
        match side.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                side.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The protocols of streams and datagrams, and one that is unknown.
const PROTOCOLS: [u8; 6] = [6, 17, 18, 19, 20, 99];

/// The most messages and look-ups that are kept.
const MAX_KEPT: usize = 32;

/// The most events that wait for a session.
const MAX_EVENTS: usize = 512;
