//! Drives one link: moves packets between the endpoint of a session and its router.
//!
//! One task polls the driver (see [`crate::supervisor`]). Each poll takes a bounded number of
//! steps and then gives the executor a turn. While the link takes nothing, the endpoint is not
//! asked for packets, so what applications write stays in the streams' buffers.

mod datagrams;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use eepkit_i2cp::LeaseSetMaker;
use eepkit_link::{
    self as link, Command, Direction, DropReason, Event, Link, LookupTarget, LostReason, Outgoing,
    PathChoice, Payload, SendOptions, TunnelId, clock,
};
use eepkit_streaming::{self as streaming, Output, PeerLease, Received, Transmit};
use eepkit_wire::{Destination, Hash, Lease, LeaseId};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use crate::{
    credits::Credits,
    error::OpenError,
    shared::{Core, Ending, Shared},
    stage::SessionStage,
};

/// Drives one link until it breaks or the session ends.
pub(crate) struct Driver<'a> {
    shared: Arc<Shared>,
    link: Box<dyn Link>,
    maker: &'a mut LeaseSetMaker,
    credits: Credits,
    /// The packet that the link or its credits hold up.
    held: Option<Transmit>,
    /// First packets of streams whose way was gone, to be sent again by another. Bounded by `fates`.
    again: VecDeque<Transmit>,
    /// Packets from this session's destination to itself; they need no router.
    looped: VecDeque<Received>,
    /// Packets whose fate the link may report, by rising token.
    fates: VecDeque<(u64, Fate)>,
    /// Look-ups of lease sets that the endpoint requested, by their number. The endpoint bounds them.
    lookups: HashMap<u32, Hash>,
    next_token: u64,
    /// When the last packet went to the link.
    last_sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    became_ready: bool,
    /// Whether datagrams have their turn before streams, as they have in every second poll.
    datagrams_first: bool,
}

/// Who a packet is for, and whether it opens a stream.
#[derive(Debug)]
struct Fate {
    to: Destination,
    /// The packet, if it opens a stream.
    first: Option<Transmit>,
}

/// How driving ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The session was closed.
    Closed,
    /// The link broke.
    Lost(LostReason),
    /// The router does not open the session, and said so only on the link.
    Refused(link::LinkError),
    /// No link can serve this session.
    Unusable(OpenError),
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        link: Box<dyn Link>,
        maker: &'a mut LeaseSetMaker,
    ) -> Self {
        Self {
            shared,
            link,
            maker,
            credits: Credits::default(),
            held: None,
            again: VecDeque::new(),
            looped: VecDeque::new(),
            fates: VecDeque::new(),
            lookups: HashMap::new(),
            next_token: 0,
            last_sent: None,
            timer: Box::pin(sleep_until(Instant::now())),
            became_ready: false,
            datagrams_first: false,
        }
    }

    /// Whether the session became ready on this link.
    pub(crate) fn became_ready(&self) -> bool {
        self.became_ready
    }

    /// Does what can be done now.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let shared = self.shared.clone();
        let mut core = shared.lock();
        match &mut core.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let more_events = match self.take_events(&mut core, cx) {
            Ok(more) => more,
            Err(end) => return Poll::Ready(end),
        };
        self.submit_commands(&mut core, cx);
        self.datagrams_first = !self.datagrams_first;
        let mut more_packets = false;
        if self.datagrams_first {
            more_packets |= self.send_datagrams(&mut core, cx);
        }
        more_packets |= self.move_packets(&mut core, cx);
        if !self.datagrams_first {
            more_packets |= self.send_datagrams(&mut core, cx);
        }
        if self.is_flushed(&mut core) {
            // Streams whose peers still write are cut off with a word.
            more_packets |= self.move_packets(&mut core, cx);
        }
        if self.is_finished(&core) {
            return Poll::Ready(End::Closed);
        }
        if more_events || more_packets {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes events of the link, up to a bound; tells whether there may be more.
    fn take_events(&mut self, core: &mut Core, cx: &mut Context<'_>) -> Result<bool, End> {
        for _ in 0..EVENTS_PER_POLL {
            match self.link.poll_event(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(event) => self.on_event(core, event)?,
            }
        }
        Ok(true)
    }

    fn on_event(&mut self, core: &mut Core, event: Event) -> Result<(), End> {
        self.credits.on_event(&event);
        match event {
            Event::TunnelUp {
                tunnel,
                direction: Direction::Outbound,
                expires,
                ..
            } if tunnel != TunnelId::ANY => {
                if let Some(endpoint) = &mut core.endpoint {
                    let expires = expires.map(Instant::into_std);
                    endpoint.tunnel_up(streaming::TunnelId(tunnel.0), expires);
                }
            }
            Event::TunnelDown { tunnel, .. } => {
                if let Some(endpoint) = &mut core.endpoint {
                    endpoint.tunnel_down(streaming::TunnelId(tunnel.0));
                }
            }
            Event::Stage(stage) => self.on_stage(stage.into()),
            Event::LeaseSetWanted(leases) => self.publish(core, &leases)?,
            Event::Received { payload, .. } => self.on_received(core, payload),
            Event::Dropped { token, reason } => self.on_dropped(core, token, reason),
            Event::Sent { token } => {
                self.fate(token);
                core.datagrams.reported(token, false);
            }
            Event::LookupDone { id, result } => self.on_lookup_done(core, id, result),
            Event::Incoming(stream) => core.on_incoming(stream),
            Event::Datagram(datagram) => Self::on_opened_datagram(core, datagram),
            Event::NoDatagrams { format, why } => core.datagrams.refuse(format, &why),
            Event::Refused(error) => return Err(End::Refused(error)),
            Event::Lost(reason) => return Err(End::Lost(reason)),
            _ => {}
        }
        Ok(())
    }

    fn on_stage(&mut self, stage: SessionStage) {
        if self.shared.stage() != stage {
            debug!(%stage, "session");
            self.became_ready |= stage == SessionStage::Ready;
            self.shared.status.enter(stage);
        }
    }

    /// Signs a lease set for the tunnels that the router has.
    fn publish(&mut self, core: &mut Core, leases: &[Lease]) -> Result<(), End> {
        match self.maker.make(leases, clock::unix_now()) {
            Ok(signed) => {
                core.commands.push_front(Command::PublishLeaseSet(signed));
                Ok(())
            }
            Err(error) => Err(End::Unusable(OpenError::Option {
                key: "i2cp.leaseSetType".to_owned(),
                why: error.to_string(),
            })),
        }
    }

    fn on_received(&self, core: &mut Core, payload: Payload) {
        if !self
            .shared
            .config
            .endpoint
            .accepts_protocol(payload.protocol)
        {
            return Self::on_datagram(core, payload);
        }
        if let Some(endpoint) = &mut core.endpoint {
            endpoint.handle_packet(
                Instant::now().into_std(),
                Received {
                    from_port: payload.from_port,
                    to_port: payload.to_port,
                    packet: payload.body,
                },
            );
        }
    }

    /// What is known of a packet that the link reports on.
    fn fate(&mut self, token: u64) -> Option<Fate> {
        let at = self.fates.binary_search_by_key(&token, |(token, _)| *token);
        Some(self.fates.remove(at.ok()?)?.1)
    }

    /// Draws conclusions from a packet that will not arrive. Sending it again is the endpoint's
    /// business, in its own time.
    fn on_dropped(&mut self, core: &mut Core, token: u64, reason: DropReason) {
        let Some(fate) = self.fate(token) else {
            return core.datagrams.reported(token, true);
        };
        let hash = fate.to.hash();
        if reason == DropReason::NoTunnel
            && let Some(endpoint) = &mut core.endpoint
        {
            endpoint.path_gone(Instant::now().into_std(), &hash);
        }
        let Some(first) = fate.first else {
            return;
        };
        match reason {
            // Nothing is known of the round trip yet, so the endpoint would wait for seconds.
            DropReason::NoTunnel => self.again.push_back(first),
            // A stream whose first packet cannot arrive need not wait for an answer.
            DropReason::NoLeaseSet => core.on_attempt(&hash, |attempt| {
                attempt.not_found = attempt.not_found.saturating_add(1);
            }),
            DropReason::UnsupportedEncryption => {
                core.on_attempt(&hash, |attempt| attempt.incompatible = true);
            }
            _ => {}
        }
    }

    fn on_lookup_done(
        &mut self,
        core: &mut Core,
        id: u32,
        result: Result<link::LookupAnswer, link::LinkLookupError>,
    ) {
        if let Some(hash) = self.lookups.remove(&id) {
            let Some(endpoint) = &mut core.endpoint else {
                return;
            };
            match result {
                Ok(answer) => {
                    let now = Instant::now();
                    let leases = peer_leases(&answer.leases, now);
                    endpoint.lease_set_found(now.into_std(), &hash, &leases);
                }
                Err(_) => endpoint.lease_set_not_found(&hash),
            }
        } else if let Some(waiter) = core.lookups.remove(&id) {
            // Whoever asked may have gone.
            let _ = waiter.send(result);
        }
    }

    fn submit_commands(&mut self, core: &mut Core, cx: &mut Context<'_>) {
        while !core.commands.is_empty() && self.link.poll_ready(cx).is_ready() {
            if let Some(command) = core.commands.pop_front() {
                self.link.submit(command);
            }
        }
    }

    /// Runs the endpoint: timers, events, packets. Tells whether there is more to do at once.
    fn move_packets(&mut self, core: &mut Core, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        for _ in 0..PACKETS_PER_POLL {
            if self.held.is_none() {
                self.held = self.again.pop_front();
            }
            if self.held.is_some() && !self.send_held(core, cx, now) {
                return self.wait_for_link(core, cx);
            }
            let Some(endpoint) = &mut core.endpoint else {
                return false;
            };
            if let Some(packet) = self.looped.pop_front() {
                endpoint.handle_packet(now.into_std(), packet);
            }
            match endpoint.poll_output(now.into_std()) {
                Output::Event(event) => self.on_endpoint_event(core, event),
                Output::Transmit(transmit) => self.held = Some(transmit),
                Output::Timeout(at) => {
                    if !self.looped.is_empty() {
                        continue;
                    }
                    let at = at.map(Instant::from_std);
                    return self.arm(core, cx, at, now);
                }
            }
        }
        true
    }

    /// While the link takes no packet, readers go on, and what waits is dropped in its time.
    fn wait_for_link(&mut self, core: &mut Core, cx: &mut Context<'_>) -> bool {
        while let Some(event) = core.endpoint.as_mut().and_then(|one| one.poll_event()) {
            self.on_endpoint_event(core, event);
        }
        let until = self
            .held
            .as_ref()
            .map(|held| Instant::from_std(held.deadline));
        self.sleep(core, cx, until)
    }

    /// Tells the endpoint that its time has come, or sleeps until then. Tells whether to go on at
    /// once.
    fn arm(
        &mut self,
        core: &mut Core,
        cx: &mut Context<'_>,
        at: Option<Instant>,
        now: Instant,
    ) -> bool {
        if let (Some(at), Some(endpoint)) = (at, &mut core.endpoint)
            && at <= now
        {
            endpoint.handle_timeout(now.into_std());
            return true;
        }
        self.sleep(core, cx, at)
    }

    /// Sets the timer to `at`, or to the end of flushing if that is sooner. Tells whether it is
    /// due already.
    fn sleep(&mut self, core: &Core, cx: &mut Context<'_>, at: Option<Instant>) -> bool {
        let ends = match core.ending {
            Ending::Flushing(end) => [Some(end), self.farewell().filter(|_| self.is_silent(core))],
            _ => [None, None],
        };
        let Some(wake_at) = [at].into_iter().chain(ends).flatten().min() else {
            return false;
        };
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    fn on_endpoint_event(&mut self, core: &mut Core, event: streaming::Event) {
        match event {
            streaming::Event::LeaseSetLookup { to } => self.look_up(core, to),
            event => core.on_event(event),
        }
    }

    /// Sends the packet that waits, if the link takes it now.
    fn send_held(&mut self, core: &Core, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(held) = self.held.take() else {
            return true;
        };
        if held.to.hash() == self.shared.own_hash() {
            // Bounded by the endpoint's own windows: it acknowledges what it is given here.
            self.looped.push_back(Received {
                from_port: held.from_port,
                to_port: held.to_port,
                packet: held.packet,
            });
            return true;
        }
        if Instant::from_std(held.deadline) <= now {
            return true;
        }
        if self.link.poll_ready(cx).is_pending() {
            self.held = Some(held);
            return false;
        }
        let Some(path) = self.path_of(core, &held, now) else {
            self.held = Some(held);
            return false;
        };
        self.next_token += 1;
        let token = self.next_token;
        if held.first || path != PathChoice::Auto {
            if self.fates.len() == MAX_FATES {
                self.fates.pop_front();
            }
            let fate = Fate {
                to: held.to.clone(),
                first: held.first.then(|| held.clone()),
            };
            self.fates.push_back((token, fate));
        }
        self.last_sent = Some(Instant::now());
        self.link.submit(Command::Send(Outgoing {
            token,
            to: held.to,
            path,
            payload: Payload {
                protocol: STREAMING,
                from_port: held.from_port,
                to_port: held.to_port,
                body: held.packet,
            },
            compress: held.compress,
            deadline: Instant::from_std(held.deadline),
            options: SendOptions::default(),
        }));
        true
    }

    /// The path of a packet in terms of the link, counted against the credit of its tunnel. `None` if the
    /// tunnel takes no message now.
    fn path_of(&mut self, core: &Core, held: &Transmit, now: Instant) -> Option<PathChoice> {
        if self.credits.are_exhausted() {
            return None;
        }
        let endpoint = core.endpoint.as_ref();
        let path =
            endpoint.and_then(|one| one.resolve_path(now.into_std(), &held.to.hash(), held.path));
        let Some((tunnel, lease)) = path else {
            return Some(PathChoice::Auto);
        };
        let outbound = TunnelId(tunnel.0);
        self.credits
            .take(outbound)
            .then_some(PathChoice::Pinned { outbound, lease })
    }

    /// Looks up the lease set of a peer for the endpoint.
    fn look_up(&mut self, core: &mut Core, to: Destination) {
        let id = core.next_lookup_id();
        self.lookups.insert(id, to.hash());
        core.commands.push_back(Command::Lookup {
            id,
            target: LookupTarget::LeaseSet(to),
            timeout: LOOKUP_TIMEOUT,
        });
        core.wake_driver();
    }

    /// Whether the session is to end and everything has arrived, or the time for that is over: what
    /// streams are still open are reset then.
    fn is_flushed(&self, core: &mut Core) -> bool {
        let Ending::Flushing(end) = core.ending else {
            return false;
        };
        let (now, none_wait) = (Instant::now(), self.none_wait());
        let Some(endpoint) = &mut core.endpoint else {
            return false;
        };
        let flushed = end <= now || (none_wait && endpoint.is_delivered());
        if flushed {
            endpoint.abort(now.into_std());
        }
        flushed
    }

    /// Whether the session is to end and nothing is left to send, or no time to send it.
    fn is_finished(&self, core: &Core) -> bool {
        match core.ending {
            Ending::No => false,
            Ending::Over(_) => true,
            Ending::Flushing(end) => {
                let now = Instant::now();
                (self.is_silent(core) && self.farewell().is_none_or(|at| at <= now)) || end <= now
            }
        }
    }

    /// Whether nothing is left to send.
    fn is_silent(&self, core: &Core) -> bool {
        self.none_wait()
            && !core.is_draining()
            && core.datagrams.is_idle()
            && core.endpoint.as_ref().is_none_or(|one| one.is_idle())
    }

    /// Until when the session stays after its last packet.
    fn farewell(&self) -> Option<Instant> {
        self.last_sent.map(|at| at + FAREWELL)
    }

    /// Whether no packet waits in the driver.
    fn none_wait(&self) -> bool {
        self.held.is_none() && self.again.is_empty() && self.looped.is_empty()
    }
}

/// The leases that have not expired, with their ends on the clock of the runtime.
fn peer_leases(leases: &[Lease], now: Instant) -> Vec<PeerLease> {
    let unix_ms = u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX);
    leases
        .iter()
        .filter_map(|lease| {
            let left = lease.end.checked_sub(unix_ms).filter(|left| *left > 0)?;
            Some(PeerLease {
                id: LeaseId::of(lease),
                expires: (now + Duration::from_millis(left)).into_std(),
            })
        })
        .collect()
}

/// I2CP protocol number of streaming (I2CP specification, "Payload").
const STREAMING: u8 = 6;

/// How long the session stays after its last packet. A router drops what it has not sent when the
/// session ends, and the last packet is the one that tells the peer so: without it, the peer waits
/// until it takes us for dead. Chosen as several times what a busy router takes to send a packet.
const FAREWELL: Duration = Duration::from_millis(200);

/// Events of the link in one poll. Chosen as in quinn's driver: large enough to cost nothing, small
/// enough that other tasks of the executor get their turn within a millisecond or so.
const EVENTS_PER_POLL: usize = 128;

/// Steps of the endpoint in one poll; chosen as [`EVENTS_PER_POLL`].
const PACKETS_PER_POLL: usize = 256;

/// Packets whose fate is watched; the oldest are forgotten first. Chosen above a window on a fast
/// link, as links that report a fate do so soon.
const MAX_FATES: usize = 4096;

/// Time for one look-up of a lease set. Chosen because routers give up after about 10 s.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
