//! Submits packets of the endpoint to the link.

use std::task::Context;

use eepkit_link::{Command, Outgoing, PathChoice, Payload, SendOptions, TunnelId};
use eepkit_streaming::{Output, Received, Transmit};
use tokio::time::Instant;

use super::{BATCHES_PER_POLL, Driver, Fate};

/// When the endpoint has to be polled after a batch.
enum Next {
    /// At once.
    Poll,
    /// At this instant, or not before the next event or call.
    Wait(Option<Instant>),
}

impl Driver<'_> {
    /// Runs the endpoint: timers, events, packets. Returns whether there is more to do at once.
    pub(super) fn move_packets(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        for _ in 0..BATCHES_PER_POLL {
            if std::mem::take(&mut self.renews) {
                // Before the packets, because the next packet to the peer begins the new encryption
                // session.
                self.submit_commands(cx);
            }
            if !self.send_held(cx, now) {
                return self.wait_for_link(cx);
            }
            // While the link accepts nothing, written data stays in the send buffers of the
            // streams.
            let room = match self.link.poll_ready(cx).is_ready() {
                true => PACKETS_PER_BATCH,
                false => 1,
            };
            let next = self.run_endpoint(room, now);
            // Without the lock.
            for held in &mut self.held {
                held.sign(&self.shared.keys);
            }
            match next {
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

    /// Handles the events of the endpoint while the link accepts no packet, so that readers still
    /// receive data. Sets the timer to the first deadline of the waiting packets.
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

    /// Submits the waiting packets while the link accepts them. Returns whether none is left.
    fn send_held(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.held.is_empty() {
            let count = self.again.len().min(PACKETS_PER_BATCH);
            self.held.extend(self.again.drain(..count));
        }
        let mut paths = self.resolve_paths(now).into_iter();
        while let Some(held) = self.held.pop_front() {
            let path = paths.next().unwrap_or(PathChoice::Auto);
            if held.to.hash() == self.shared.own_hash() {
                // Bounded by the cwnd of the streams, because the endpoint itself acknowledges
                // these packets.
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

    /// The paths of the waiting packets as values of the link, in the same order.
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

    /// Uses a credit of the path's tunnel. Returns `false` if the tunnel currently accepts no
    /// message.
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
        self.shared.idle.touch();
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

/// Packets that the endpoint builds under one lock. Chosen because building one takes about a
/// microsecond. Signatures are made without the lock.
const PACKETS_PER_BATCH: usize = 16;

/// Outputs of the endpoint, including events of streams, that are handled under one lock.
const STEPS_PER_BATCH: usize = 32;

/// Submitted packets that are kept for a report of the link; the oldest are removed first. Chosen
/// above the cwnd on a fast link, because links that report on packets do so soon.
const MAX_FATES: usize = 4096;
