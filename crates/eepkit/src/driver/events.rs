//! Handles events of the link.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use eepkit_i2cp::MakeError;
use eepkit_link::{Command, Direction, DropReason, Event, Payload, TunnelId, clock};
use eepkit_streaming::{self as streaming, Received, Verification};
use eepkit_wire::Lease;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{BATCHES_PER_POLL, Driver, End, renewal::Published};
use crate::{error::OpenError, shared::Core, stage::SessionStage, status::SessionProblem};

impl Driver<'_> {
    /// Handles events of the link, up to a bound; returns whether there may be more.
    pub(super) fn take_events(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        for _ in 0..BATCHES_PER_POLL {
            let more = self.collect_events(cx);
            self.handle_events()?;
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Polls the link for a batch of events; returns whether there may be more.
    fn collect_events(&mut self, cx: &mut Context<'_>) -> bool {
        while self.events.len() < EVENTS_PER_BATCH {
            let Poll::Ready(event) = self.link.poll_event(cx) else {
                return false;
            };
            let last = matches!(event, Event::Lost(_) | Event::Refused(_));
            self.events.push_back(event);
            if last {
                return false;
            }
        }
        true
    }

    /// Handles a batch of events. Releases the lock while it signs or verifies.
    fn handle_events(&mut self) -> Result<(), End> {
        if self.events.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let mut core = shared.lock("events");
        while let Some(event) = self.events.pop_front() {
            self.credits.on_event(&event);
            match event {
                Event::LeaseSetWanted {
                    leases,
                    router_time,
                } => {
                    drop(core);
                    let signed = self.sign(&leases, router_time)?;
                    core = shared.lock("events");
                    if let Some(publish) = signed {
                        core.commands.push_first(publish);
                    }
                }
                Event::NotRenewed {
                    peer,
                    silence,
                    reroutes,
                } => {
                    if reroutes && self.wants_other_path(&mut core, &peer, silence) {
                        drop(core);
                        let signed = self.sign_again()?;
                        core = shared.lock("events");
                        if let Some(publish) = signed {
                            core.commands.push_first(publish);
                        }
                    }
                    Self::on_not_renewed(&mut core, &peer, silence)?;
                }
                Event::Received { payload, .. } => {
                    self.shared.idle.touch();
                    if let Some(check) = self.on_received(&mut core, payload) {
                        drop(core);
                        let verified = check.check();
                        core = shared.lock("events");
                        if let Some(endpoint) = &mut core.endpoint {
                            endpoint.receive_verified(Instant::now().into_std(), verified);
                        }
                    }
                }
                event => self.on_event(&mut core, event)?,
            }
        }
        Ok(())
    }

    fn on_event(&mut self, core: &mut Core, event: Event) -> Result<(), End> {
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
            Event::Stage(stage) => self.on_stage(core, stage.into()),
            Event::Dropped { token, reason } => self.on_dropped(core, token, reason),
            Event::Sent { token } => {
                self.fate(token);
                core.datagrams.reported(token, false);
            }
            Event::LookupDone { id, result } => self.on_lookup_done(core, id, result),
            Event::Incoming(stream) => core.listeners.on_incoming(stream),
            Event::Datagram(datagram) => Self::on_opened_datagram(core, datagram),
            Event::NoDatagrams { format, why } => core.datagrams.refuse(format, &why),
            Event::Unreachable(why) => self.on_unreachable(why),
            Event::Refused(error) => return Err(End::Refused(error)),
            Event::Lost(reason) => return Err(End::Lost(reason)),
            _ => {}
        }
        Ok(())
    }

    fn on_stage(&mut self, core: &mut Core, stage: SessionStage) {
        if self.shared.stage() != stage {
            debug!(%stage, "session");
            if stage == SessionStage::Ready && !self.became_ready {
                self.became_ready = true;
                core.greet_recent_peers(Instant::now());
            }
            self.shared.status.enter(stage);
        }
    }

    fn on_unreachable(&self, why: String) {
        warn!(why, "peers cannot reach the session");
        let problem = SessionProblem::Unreachable(why);
        self.shared
            .status
            .interrupt(SessionStage::BuildingTunnels, problem, None);
    }

    /// Signs a lease set with the leases that the router announced. Returns `None` if that is
    /// impossible for now: the router requests another one, or the link is lost.
    pub(super) fn sign(
        &mut self,
        leases: &[Lease],
        router_time: Duration,
    ) -> Result<Option<Command>, End> {
        match self.maker.make(leases, router_time) {
            Ok(signed) => {
                self.published = Some(Published::new(leases, router_time));
                Ok(Some(Command::PublishLeaseSet(signed)))
            }
            // Only the owner of the destination can make another key. If the clocks disagree about
            // it, that of the router may be wrong, and may be corrected.
            Err(MakeError::TransientKeyExpired { ago }) if self.transient_key_expired() => {
                Err(End::Unusable(OpenError::TransientKeyExpired {
                    ago: Duration::from_secs(ago),
                    clock: "the router's clock",
                }))
            }
            Err(error) => {
                if self.shared.stage() != SessionStage::Ready {
                    self.on_unreachable(error.to_string());
                }
                Ok(None)
            }
        }
    }

    /// Whether the transient key of offline keys has expired by this system's clock.
    fn transient_key_expired(&self) -> bool {
        let offline = self.shared.keys.offline();
        offline.is_some_and(|keys| clock::unix_now().as_secs() >= keys.expires().into())
    }

    /// Passes a message to the endpoint or to a datagram socket. Returns the signature check that
    /// must precede its processing, if there is one.
    fn on_received(&self, core: &mut Core, payload: Payload) -> Option<Verification> {
        let config = &self.shared.config.endpoint;
        if !config.accepts_protocol(payload.protocol) {
            Self::on_datagram(core, payload);
            return None;
        }
        let received = Received {
            from_port: payload.from_port,
            to_port: payload.to_port,
            packet: payload.body,
        };
        let endpoint = core.endpoint.as_mut()?;
        endpoint.receive(Instant::now().into_std(), received)
    }

    /// Handles the report that the router dropped a packet. Apart from the first packet of a
    /// stream, the endpoint retransmits it after its own timeout.
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
            // There is no RTT sample yet, so the endpoint would retransmit only after seconds.
            DropReason::NoTunnel => self.again.push_back(first),
            // Without a lease set the first packet cannot arrive, so connecting can fail early.
            DropReason::NoLeaseSet => core.streams.on_attempt(&hash, |attempt| {
                attempt.not_found = attempt.not_found.saturating_add(1);
            }),
            DropReason::UnsupportedEncryption => {
                core.streams
                    .on_attempt(&hash, |attempt| attempt.incompatible = true);
            }
            _ => {}
        }
    }
}

/// Events of the link that are handled under one lock. Chosen because handling one takes some
/// microseconds.
const EVENTS_PER_BATCH: usize = 16;
