//! The connections between the routers of one private network in this process.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// The connections that routers of one private network have opened to each other.
///
/// When two routers of emissary-core dial each other at the same time, each rejects the other's
/// connection because its own is under way, and then finds its own rejected. Both connections and
/// what was sent over them are lost, which is found out by time-outs of eight seconds. Between
/// routers on the Internet that is rare; in a network whose routers all start at once it is the
/// rule. Here the second dial of a pair fails at once, and the first connection stands.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    open: Mutex<HashMap<(SocketAddr, SocketAddr), usize>>,
    /// Changes when a router went away.
    lost: watch::Sender<()>,
}

impl Dials {
    /// Notes that a router of the network went away: all others replace their tunnels. They would
    /// find out by themselves, but in a small network, where many tunnels lead through every router,
    /// that takes most of a minute.
    pub(crate) fn router_lost(&self) {
        self.lost.send_replace(());
    }

    /// Follows [`Dials::router_lost`].
    pub(super) fn losses(&self) -> watch::Receiver<()> {
        self.lost.subscribe()
    }

    /// Notes a dial; `None` if `to` has dialed `from` already.
    pub(super) fn begin(self: &Arc<Self>, from: SocketAddr, to: SocketAddr) -> Option<Dial> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains_key(&(to, from)) {
            return None;
        }
        *open.entry((from, to)).or_default() += 1;
        Some(Dial {
            dials: Arc::clone(self),
            pair: (from, to),
        })
    }
}

/// A connection between two routers of a private network, from the dial until it is closed.
#[derive(Debug)]
pub(crate) struct Dial {
    dials: Arc<Dials>,
    pair: (SocketAddr, SocketAddr),
}

impl Drop for Dial {
    fn drop(&mut self) {
        let mut open = self
            .dials
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.pair) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
