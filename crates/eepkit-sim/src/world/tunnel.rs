//! Tunnels: how they come, serve, fail and are replaced.

use std::collections::HashMap;

use eepkit_i2cp::Options;
use eepkit_link::{Direction, Event, LeaseId, TunnelDownReason, TunnelId};
use eepkit_netem::{Netem, Rng};
use eepkit_wire::{Hash, Lease};
use tokio::time::Instant;

use super::{Due, SessionId, TunnelDue, World};
use crate::{
    log::{Happening, HostId},
    schedule::Slot,
};

#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) id: TunnelId,
    pub(crate) direction: Direction,
    pub(crate) hops: u8,
    /// Its number among the tunnels of its host: with the host's number its place in the seed.
    pub(crate) ordinal: u64,
    pub(crate) state: State,
    /// A replacement was started: it serves to its end, but does not count.
    pub(crate) replaced: bool,
    pub(crate) broken: bool,
    /// The lease of an inbound tunnel, once it is up.
    pub(crate) lease: Option<Lease>,
    /// The paths from this outbound tunnel to leases.
    pub(crate) ways: HashMap<LeaseId, Netem>,
    /// Messages that the session may still have waiting for this outbound tunnel.
    pub(crate) credits: u32,
    due: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Building,
    Up { expires: Instant },
}

impl Tunnel {
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        match self.state {
            State::Building => None,
            State::Up { expires } => Some(expires),
        }
    }
}

/// The network's end of an inbound tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gateway {
    pub(crate) host: HostId,
    pub(crate) session: SessionId,
    pub(crate) tunnel: TunnelId,
    pub(crate) ordinal: u64,
    pub(crate) hops: u8,
    pub(crate) broken: bool,
}

impl World {
    /// Starts on tunnels until there are as many as the session wants, and retires surplus ones.
    pub(crate) fn fill(&mut self, now: Instant, id: SessionId, direction: Direction) {
        let Some(session) = self.sessions.get(&id).filter(|session| !session.over) else {
            return;
        };
        let wanted = session.wanted.of(direction);
        let serving: Vec<_> = session
            .tunnels
            .values()
            .filter(|tunnel| tunnel.direction == direction && !tunnel.replaced)
            .map(|tunnel| tunnel.id)
            .collect();
        for _ in serving.len()..wanted {
            self.build(now, id, direction);
        }
        // The oldest go: they would be the next to end.
        let surplus = serving.len().saturating_sub(wanted);
        for tunnel in serving.into_iter().take(surplus) {
            self.take_down(now, id, tunnel, TunnelDownReason::Retired);
        }
    }

    fn build(&mut self, now: Instant, id: SessionId, direction: Direction) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let options = session.options.clone();
        let Some(host) = self.host_mut(session.host) else {
            return;
        };
        let hops = draw_hops(&mut host.rng, &options, direction);
        host.tunnels_built += 1;
        let ordinal = host.tunnels_built;
        self.next_path += 1;
        // Number 0 is `TunnelId::ANY`.
        let tunnel_id = TunnelId(self.next_path);
        let built = now + self.config.build_time;
        let due = Due::Tunnel(id, tunnel_id, TunnelDue::Built);
        let slot = self.schedule.add(built, due);
        let tunnel = Tunnel {
            id: tunnel_id,
            direction,
            hops,
            ordinal,
            state: State::Building,
            replaced: false,
            broken: false,
            lease: None,
            ways: HashMap::new(),
            credits: 0,
            due: vec![slot],
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.tunnels.insert(tunnel_id, tunnel);
        }
    }

    pub(crate) fn tunnel_due(
        &mut self,
        now: Instant,
        id: SessionId,
        tunnel: TunnelId,
        due: TunnelDue,
    ) {
        match due {
            TunnelDue::Built => self.built(now, id, tunnel),
            TunnelDue::Replace => {
                let Some(session) = self.sessions.get_mut(&id) else {
                    return;
                };
                let Some(tunnel) = session.tunnels.get_mut(&tunnel) else {
                    return;
                };
                tunnel.replaced = true;
                let direction = tunnel.direction;
                self.fill(now, id, direction);
            }
            TunnelDue::Expire => self.take_down(now, id, tunnel, TunnelDownReason::Expired),
            TunnelDue::Break { noticed } => self.break_tunnel(now, id, tunnel, noticed),
            TunnelDue::Notice => self.take_down(now, id, tunnel, TunnelDownReason::Failed),
        }
    }

    fn built(&mut self, now: Instant, id: SessionId, tunnel_id: TunnelId) {
        let expires = now + self.config.tunnel_lifetime;
        let end = self.unix_ms(expires);
        let credits = self.config.credits;
        let Some(host) = self.sessions.get(&id).map(|session| session.host) else {
            return;
        };
        let due = self.fate_of_tunnel(now, (host, id), tunnel_id, expires);
        let lease_id = self.fresh_lease(host);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(tunnel) = session.tunnels.get_mut(&tunnel_id) else {
            return;
        };
        tunnel.state = State::Up { expires };
        tunnel.due = due;
        let direction = tunnel.direction;
        let hops = tunnel.hops;
        let ordinal = tunnel.ordinal;
        let lease = (direction == Direction::Inbound).then_some(lease_id);
        if lease.is_some() {
            tunnel.lease = Some(Lease {
                gateway: lease_id.gateway,
                tunnel: lease_id.tunnel,
                end,
            });
            self.gateways.insert(
                lease_id,
                Gateway {
                    host,
                    session: id,
                    tunnel: tunnel_id,
                    ordinal,
                    hops,
                    broken: false,
                },
            );
        } else {
            tunnel.credits = credits;
        }

        self.stats.tunnels_built += 1;
        self.write_log(
            now,
            Happening::TunnelUp {
                host,
                tunnel: tunnel_id,
                direction,
            },
        );
        self.tell(
            id,
            Event::TunnelUp {
                tunnel: tunnel_id,
                direction,
                expires: Some(expires),
                hops,
                lease,
            },
        );
        match direction {
            Direction::Inbound => self.look_at_leases(now, id),
            Direction::Outbound => self.grant(id, tunnel_id, credits),
        }
    }

    /// Puts on the schedule how a tunnel that is up goes on: its replacement, its end, and what
    /// may happen to it before.
    fn fate_of_tunnel(
        &mut self,
        now: Instant,
        (host, session): (HostId, SessionId),
        tunnel: TunnelId,
        expires: Instant,
    ) -> Vec<Slot> {
        let lifetime = self.config.tunnel_lifetime;
        let replace = now + lifetime.saturating_sub(self.config.overlap());
        let mut due = vec![(replace, TunnelDue::Replace), (expires, TunnelDue::Expire)];
        let faults = [
            (self.config.failures, true),
            (self.config.blackholes, false),
        ];
        if let Some(host) = self.host_mut(host) {
            for (mean, noticed) in faults {
                let Some(mean) = mean else { continue };
                let after = host.rng.exponential(mean);
                if after < lifetime {
                    due.push((now + after, TunnelDue::Break { noticed }));
                }
            }
        }
        due.into_iter()
            .map(|(at, what)| self.schedule.add(at, Due::Tunnel(session, tunnel, what)))
            .collect()
    }

    /// A gateway and a number there that no tunnel has.
    fn fresh_lease(&mut self, host: HostId) -> LeaseId {
        loop {
            let bits = self.host_mut(host).map_or(0, |host| host.rng.bits());
            let lease = LeaseId {
                gateway: Hash::of(&bits.to_be_bytes()),
                // Tunnel number 0 is not used: on the wire it means "no tunnel".
                tunnel: u32::try_from(bits >> 32).unwrap_or(1).max(1),
            };
            if !self.gateways.contains_key(&lease) {
                return lease;
            }
        }
    }

    /// A hop stops forwarding. The owner is told after the configured time, or never.
    pub(crate) fn break_tunnel(
        &mut self,
        now: Instant,
        id: SessionId,
        tunnel_id: TunnelId,
        noticed: bool,
    ) {
        let notice = now + self.config.failure_notice;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let host = session.host;
        let Some(tunnel) = session.tunnels.get_mut(&tunnel_id) else {
            return;
        };
        if !tunnel.broken {
            tunnel.broken = true;
            let lease = tunnel.lease.as_ref().map(LeaseId::of);
            if let Some(gateway) = lease.and_then(|lease| self.gateways.get_mut(&lease)) {
                gateway.broken = true;
            }
            self.stats.tunnels_failed += 1;
            self.write_log(
                now,
                Happening::TunnelBroken {
                    host,
                    tunnel: tunnel_id,
                },
            );
        }
        if noticed && notice <= now {
            self.take_down(now, id, tunnel_id, TunnelDownReason::Failed);
        } else if noticed {
            let due = Due::Tunnel(id, tunnel_id, TunnelDue::Notice);
            let slot = self.schedule.add(notice, due);
            if let Some(tunnel) = self
                .sessions
                .get_mut(&id)
                .and_then(|session| session.tunnels.get_mut(&tunnel_id))
            {
                tunnel.due.push(slot);
            }
        }
    }

    /// Ends a tunnel, notifies its owner and builds another if it is needed.
    pub(crate) fn take_down(
        &mut self,
        now: Instant,
        id: SessionId,
        tunnel: TunnelId,
        reason: TunnelDownReason,
    ) {
        let Some(gone) = self.remove_tunnel(id, tunnel) else {
            return;
        };
        if gone.is_up() {
            if let Some(session) = self.sessions.get(&id) {
                let host = session.host;
                self.write_log(
                    now,
                    Happening::TunnelDown {
                        host,
                        tunnel,
                        reason,
                    },
                );
            }
            self.tell(id, Event::TunnelDown { tunnel, reason });
            if gone.direction == Direction::Inbound {
                self.look_at_leases(now, id);
            }
        }
        self.fill(now, id, gone.direction);
    }

    /// Takes a tunnel off every table.
    pub(crate) fn remove_tunnel(&mut self, id: SessionId, tunnel: TunnelId) -> Option<Tunnel> {
        let session = self.sessions.get_mut(&id)?;
        let tunnel = session.tunnels.remove(&tunnel)?;
        session.inbox.forget(tunnel.id);
        for slot in &tunnel.due {
            self.schedule.cancel(*slot);
        }
        if let Some(lease) = &tunnel.lease {
            self.gateways.remove(&LeaseId::of(lease));
        }
        Some(tunnel)
    }
}

/// The length that a session asked for, with its variance: up to that many more hops, or for a
/// negative variance more or fewer.
fn draw_hops(rng: &mut Rng, options: &Options, direction: Direction) -> u8 {
    let (length, variance) = match direction {
        Direction::Inbound => (options.inbound_length(), options.inbound_length_variance()),
        Direction::Outbound => (
            options.outbound_length(),
            options.outbound_length_variance(),
        ),
    };
    let length = usize::from(length);
    let width = usize::from(variance.unsigned_abs());
    let hops = match variance {
        0 => length,
        1.. => length + rng.below(width + 1),
        ..0 => (length + rng.below(2 * width + 1)).saturating_sub(width),
    };
    u8::try_from(hops.min(MAX_HOPS)).unwrap_or(u8::MAX)
}

/// The most hops a tunnel has ("Tunnel Creation": at most eight records, one for the endpoint).
const MAX_HOPS: usize = 7;
