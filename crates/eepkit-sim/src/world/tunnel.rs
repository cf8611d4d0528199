//! Tunnels: their builds, use, failures and replacement.

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
    /// The number of the tunnel among those of its host. Host number and tunnel number determine
    /// its seed.
    pub(crate) ordinal: u64,
    pub(crate) state: State,
    /// The build of a replacement was started. The tunnel remains usable until its end, but does
    /// not count.
    pub(crate) replaced: bool,
    pub(crate) broken: bool,
    /// The lease of an inbound tunnel, once it is up.
    pub(crate) lease: Option<Lease>,
    /// The paths from this outbound tunnel to leases.
    pub(crate) paths: HashMap<LeaseId, Netem>,
    /// The remaining number of messages that the session may queue for this outbound tunnel.
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

/// The gateway of an inbound tunnel.
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
    /// Starts to build tunnels until there are as many as the session requests, and retires surplus
    /// ones.
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
        // The oldest are retired, because they would end first.
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
            paths: HashMap::new(),
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
        self.push_event(
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

    /// Schedules the future of a tunnel that is up: its replacement, its end, and random faults
    /// before it.
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

    /// Returns a lease that no tunnel has.
    fn fresh_lease(&mut self, host: HostId) -> LeaseId {
        loop {
            let bits = self.host_mut(host).map_or(0, |host| host.rng.bits());
            let lease = LeaseId {
                gateway: Hash::of(&bits.to_be_bytes()),
                // Tunnel number 0 is not used, because it means "no tunnel" on the wire.
                tunnel: u32::try_from(bits >> 32).unwrap_or(1).max(1),
            };
            if !self.gateways.contains_key(&lease) {
                return lease;
            }
        }
    }

    /// Makes a hop stop forwarding. The failure is reported to the owner after the configured time,
    /// or never.
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

    /// Ends a tunnel, reports this to its owner and builds another if needed.
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
            self.push_event(id, Event::TunnelDown { tunnel, reason });
            if gone.direction == Direction::Inbound {
                self.look_at_leases(now, id);
            }
        }
        self.fill(now, id, gone.direction);
    }

    /// Removes a tunnel from every table.
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

/// Draws the length of a tunnel from the requested length and variance: up to that many hops more,
/// or with a negative variance also fewer.
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

/// The maximum number of hops of a tunnel ("Tunnel Creation": at most eight records, one for the
/// endpoint).
const MAX_HOPS: usize = 7;
