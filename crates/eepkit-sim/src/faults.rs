//! Faults and other changes of a running network.

use eepkit_link::{Direction, LeaseId, LostReason, TunnelId};
use eepkit_netem::{LinkModel, Loss, Rate};
use eepkit_wire::Destination;
use tokio::time::{Duration, Instant};

use super::{
    SimNet,
    world::{SessionId, tunnel::Tunnel},
};

/// A tunnel of a session, from [`SimNet::tunnels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelInfo {
    /// The identifier of the tunnel, unique on the network.
    pub id: TunnelId,
    /// Whether the tunnel is inbound or outbound.
    pub direction: Direction,
    /// The time at which the tunnel ends.
    pub expires: Instant,
    /// The number of hops.
    pub hops: u8,
    /// The lease of an inbound tunnel.
    pub lease: Option<LeaseId>,
    /// Whether the tunnel has failed, with or without notice.
    pub broken: bool,
    /// Whether the build of a replacement was started because the tunnel ends soon.
    pub replaced: bool,
}

impl SimNet {
    /// Adds a name to the address book that all routers of this network share. Replaces an existing
    /// entry. Case is not significant.
    pub fn add_name(&self, name: &str, destination: &Destination) {
        let name = name.to_ascii_lowercase();
        self.shared.with(|world, _| {
            world.names.insert(name, destination.clone());
        });
    }

    /// Removes a name from the address book.
    pub fn remove_name(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.shared.with(|world, _| {
            world.names.remove(&name);
        });
    }

    /// Returns the tunnels of a destination's session that are up, oldest first.
    pub fn tunnels(&self, of: &Destination) -> Vec<TunnelInfo> {
        self.shared.with(|world, _| {
            let session = world
                .session_of(of)
                .and_then(|session| world.sessions.get(&session));
            session
                .into_iter()
                .flat_map(|session| session.tunnels.values())
                .filter_map(|tunnel| {
                    Some(TunnelInfo {
                        id: tunnel.id,
                        direction: tunnel.direction,
                        expires: tunnel.expires()?,
                        hops: tunnel.hops,
                        lease: tunnel.lease.as_ref().map(LeaseId::of),
                        broken: tunnel.broken,
                        replaced: tunnel.replaced,
                    })
                })
                .collect()
        })
    }

    /// Makes a tunnel fail. Messages in it are lost.
    /// [`Builder::failure_notice`](super::Builder::failure_notice) later, its owner receives a
    /// report and builds another. Returns false if the tunnel does not exist.
    pub fn kill_tunnel(&self, tunnel: TunnelId) -> bool {
        self.break_tunnel(tunnel, true)
    }

    /// Makes a tunnel a black hole. Messages in it are lost without notice. The tunnel remains
    /// until it ends or its owner retires it. Returns false if the tunnel does not exist.
    pub fn blackhole(&self, tunnel: TunnelId) -> bool {
        self.break_tunnel(tunnel, false)
    }

    fn break_tunnel(&self, tunnel: TunnelId, noticed: bool) -> bool {
        self.shared.with(|world, now| {
            let owner = world
                .sessions
                .values()
                .find(|session| session.tunnels.get(&tunnel).is_some_and(Tunnel::is_up))
                .map(|session| session.id);
            if let Some(owner) = owner {
                world.break_tunnel(now, owner, tunnel, noticed);
            }
            owner.is_some()
        })
    }

    /// Partitions two destinations. Messages between them are lost in both directions until
    /// [`SimNet::heal`]. Messages in flight are lost when they arrive.
    pub fn partition(&self, a: &Destination, b: &Destination) {
        self.shared.with(|world, _| {
            if let (Ok(a), Ok(b)) = (world.host_id(a), world.host_id(b)) {
                world.partitions.insert((a.min(b), a.max(b)));
            }
        });
    }

    /// Ends a [`SimNet::partition`].
    pub fn heal(&self, a: &Destination, b: &Destination) {
        self.shared.with(|world, _| {
            if let (Ok(a), Ok(b)) = (world.host_id(a), world.host_id(b)) {
                world.partitions.remove(&(a.min(b), a.max(b)));
            }
        });
    }

    /// Cuts the host of a destination off the network until [`SimNet::reconnect`]. Messages to and
    /// from it are lost, and its look-ups time out. Neither its session nor its peers receive a
    /// report. Its lease set can be found until it expires.
    pub fn cut_off(&self, host: &Destination) {
        self.set_cut_off(host, true);
    }

    /// Ends a [`SimNet::cut_off`].
    pub fn reconnect(&self, host: &Destination) {
        self.set_cut_off(host, false);
    }

    fn set_cut_off(&self, host: &Destination, cut_off: bool) {
        self.shared.with(|world, _| {
            let host = world.host_id(host).ok();
            if let Some(host) = host.and_then(|host| world.host_mut(host)) {
                host.cut_off = cut_off;
            }
        });
    }

    /// Suspends a destination's host for this duration, as when a computer sleeps. Messages from
    /// and to the host are delayed until then. Its tunnels still end on time.
    pub fn pause(&self, host: &Destination, duration: Duration) {
        self.shared.with(|world, now| {
            let host = world.host_id(host).ok();
            if let Some(host) = host.and_then(|host| world.host_mut(host)) {
                host.paused_until = now.checked_add(duration);
            }
        });
    }

    /// Removes a destination's lease set from the network database, as if it had expired. Peers
    /// that have it can use it until it expires. The session's next lease set can be found again.
    pub fn forget_lease_set(&self, of: &Destination) {
        self.shared.with(|world, _| {
            world.netdb.remove(&of.hash());
        });
    }

    /// Encrypts the lease set of a destination with a key that no other session has. Look-ups of
    /// other sessions report it as locked, and their messages to the destination are dropped.
    pub fn encrypt_lease_set(&self, of: &Destination) {
        self.shared.with(|world, _| {
            world.encrypted.insert(of.hash());
        });
    }

    /// Breaks a destination's session. It is lost as if the connection to its router had failed.
    /// Returns false if the destination has no session.
    pub fn lose_session(&self, of: &Destination) -> bool {
        self.shared.with(|world, now| {
            let session: Option<SessionId> = world.session_of(of);
            if let Some(session) = session {
                let reason = LostReason::Connection("the simulated network broke it".to_owned());
                world.lose(now, session, reason);
            }
            session.is_some()
        })
    }

    /// The link model of all paths without a model of their own.
    pub fn link(&self) -> LinkModel {
        self.shared.with(|world, _| world.config.link)
    }

    /// Changes the link model of all paths without a model of their own. Messages in flight are not
    /// affected.
    pub fn set_link(&self, model: LinkModel) {
        self.shared.with(|world, _| world.config.link = model);
    }

    /// Changes the loss in the link model; see [`SimNet::set_link`].
    pub fn set_loss(&self, loss: impl Into<Loss>) {
        self.set_link(self.link().loss(loss.into()));
    }

    /// Changes the delay in the link model; see [`SimNet::set_link`].
    pub fn set_delay(&self, delay: Duration) {
        self.set_link(self.link().delay(delay));
    }

    /// Changes the rate in the link model; see [`SimNet::set_link`].
    pub fn set_rate(&self, rate: impl Into<Option<Rate>>) {
        self.set_link(self.link().rate(rate));
    }

    /// Sets a separate link model for all paths from one destination to another. `None` restores
    /// the model of the network. The other direction is not affected.
    pub fn set_link_between(
        &self,
        from: &Destination,
        to: &Destination,
        model: impl Into<Option<LinkModel>>,
    ) {
        let model = model.into();
        self.shared.with(|world, _| {
            if let (Ok(from), Ok(to)) = (world.host_id(from), world.host_id(to)) {
                match model {
                    Some(model) => world.links.insert((from, to), model),
                    None => world.links.remove(&(from, to)),
                };
            }
        });
    }
}
