//! Sends packets of the endpoint to the link.

use std::task::Context;

use eepkit_link::{Command, Outgoing, PathChoice, Payload, SendOptions, TunnelId};
use eepkit_streaming::{Output, Received, Transmit};
use tokio::time::Instant;

use super::{BATCHES_PER_POLL, Driver, Fate};

/// What the endpoint wants after a batch.
enum Next {
    /// To be polled again.
    Poll,
    /// Nothing until this instant, if any.
    Wait(Option<Instant>),
}

impl Driver<'_> {
    /// Runs the endpoint: timers, events, packets. Returns whether there is more to do at once.
    pub(super) fn move_packets(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        for _ in 0..BATCHES_PER_POLL {
            if !self.send_held(cx, now) {
                return self.wait_for_link(cx);
            }
            // While the link accepts nothing, what applications write stays in the buffers of the streams.
            let room = match self.link.poll_ready(cx).is_ready() {
                true => PACKETS_PER_BATCH,
                false => 1,
            };
            match self.run_endpoint(room, now) {
                Next::Wait(at) if self.held.is_empty() => return self.sleep(cx, at),
                Next::Wait(_) | Next::Poll => {}
            }
        }
        true
    }

    /// Polls the endpoint until there are `room` packets to send.
    fn run_endpoint(&mut self, room: usize, now: Instant) -> Next {
        let shared = self.shared.clone();
        let mut core = shared.lock("packets");
        for _ in 0..STEPS_PER_BATCH {
            let Some(endpoint) = &mut core.endpoint else {
                return Next::Wait(None);
            };
            if let Some(packet) = self.looped.pop_front() {
                if let Some(check) = endpoint.receive(now.into_std(), packet) {
                    drop(core);
                    let verified = check.check();
                    core = shared.lock("packets");
                    if let Some(endpoint) = &mut core.endpoint {
                        endpoint.receive_verified(now.into_std(), verified);
                    }
                }
                continue;
            }
            match endpoint.poll_output(now.into_std()) {
                Output::Event(event) => self.on_endpoint_event(&mut core, event),
                Output::Transmit(transmit) => {
                    self.held.push_back(transmit);
                    if self.held.len() >= room {
                        return Next::Poll;
                    }
                }
                Output::Timeout(at) => return Next::Wait(at.map(Instant::from_std)),
            }
        }
        Next::Poll
    }

    /// While the link accepts no packet, readers go on, and what waits is dropped in its time.
    fn wait_for_link(&mut self, cx: &mut Context<'_>) -> bool {
        let shared = self.shared.clone();
        let mut core = shared.lock("packets");
        while let Some(event) = core.endpoint.as_mut().and_then(|one| one.poll_event()) {
            self.on_endpoint_event(&mut core, event);
        }
        drop(core);
        let deadlines = self.held.iter().map(|held| held.deadline);
        let until = deadlines.min().map(Instant::from_std);
        self.sleep(cx, until)
    }

    /// Sends the packets that wait, as far as the link accepts them now. Returns whether none is left.
    fn send_held(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.held.is_empty() {
            let count = self.again.len().min(PACKETS_PER_BATCH);
            self.held.extend(self.again.drain(..count));
        }
        let mut paths = self.resolve_paths(now).into_iter();
        while let Some(held) = self.held.pop_front() {
            let path = paths.next().unwrap_or(PathChoice::Auto);
            if held.to.hash() == self.shared.own_hash() {
                // Bounded by the endpoint's own windows: it acknowledges what it is given here.
                self.looped.push_back(Received {
                    from_port: held.from_port,
                    to_port: held.to_port,
                    packet: held.packet,
                });
                continue;
            }
            if Instant::from_std(held.deadline) <= now {
                continue;
            }
            let ready = self.link.poll_ready(cx).is_ready();
            if !ready || !self.take_credit(path) {
                self.held.push_front(held);
                return false;
            }
            self.submit(held, path);
        }
        true
    }

    /// The paths of the packets that wait, in terms of the link; in the same order.
    fn resolve_paths(&self, now: Instant) -> Vec<PathChoice> {
        if !self.credits.expose_tunnels() {
            return vec![PathChoice::Auto; self.held.len()];
        }
        let core = self.shared.lock("paths");
        let resolve = |packet: &Transmit| {
            let endpoint = core.endpoint.as_ref()?;
            let to = packet.to.hash();
            let (tunnel, lease) = endpoint.resolve_path(now.into_std(), &to, packet.path)?;
            Some(PathChoice::Pinned {
                outbound: TunnelId(tunnel.0),
                lease,
            })
        };
        let paths = self.held.iter().map(resolve);
        paths.map(|path| path.unwrap_or(PathChoice::Auto)).collect()
    }

    /// Uses a credit of a packet's tunnel; `false` if the tunnel accepts no message now.
    fn take_credit(&mut self, path: PathChoice) -> bool {
        if self.credits.are_exhausted() {
            return false;
        }
        match path {
            PathChoice::Auto => true,
            PathChoice::Pinned { outbound, .. } => self.credits.take(outbound),
        }
    }

    fn submit(&mut self, packet: Transmit, path: PathChoice) {
        self.next_token += 1;
        let token = self.next_token;
        if packet.first || path != PathChoice::Auto {
            if self.fates.len() == MAX_FATES {
                self.fates.pop_front();
            }
            let fate = Fate {
                to: packet.to.clone(),
                first: packet.first.then(|| packet.clone()),
            };
            self.fates.push_back((token, fate));
        }
        self.last_sent = Some(Instant::now());
        self.link.submit(Command::Send(Outgoing {
            token,
            to: packet.to,
            path,
            payload: Payload {
                protocol: STREAMING,
                from_port: packet.from_port,
                to_port: packet.to_port,
                body: packet.packet,
            },
            compress: packet.compress,
            deadline: Instant::from_std(packet.deadline),
            options: SendOptions::default(),
        }));
    }
}

/// I2CP protocol number of streaming (I2CP specification, "Payload").
const STREAMING: u8 = 6;

/// Packets that are made under one lock. Chosen because making one takes about a microsecond, and some tens
/// where it is signed.
const PACKETS_PER_BATCH: usize = 16;

/// Steps of the endpoint under one lock, events of streams among them.
const STEPS_PER_BATCH: usize = 32;

/// Packets whose fate is watched; the oldest are forgotten first. Chosen above a window on a fast
/// link, as links that report a fate do so soon.
const MAX_FATES: usize = 4096;
