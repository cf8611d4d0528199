//! The connections between the routers of one private network in this process.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// The connections that routers of one private network have opened to each other.
///
/// When two routers of emissary-core dial each other at the same time, each rejects the connection
/// of the other because its own is not yet established. Each then finds its own connection
/// rejected. Both connections are lost, with everything that was sent over them, and the routers
/// notice only after timeouts of eight seconds. This is rare between routers on the Internet, but
/// common in a network whose routers all start at the same time. Here the second dial of a pair
/// fails immediately, and the first connection remains.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    open: Mutex<HashMap<(SocketAddr, SocketAddr), usize>>,
    /// Changes when a router of the network stops.
    lost: watch::Sender<()>,
}

impl Dials {
    /// Records that a router of the network stopped. All other routers then replace their tunnels.
    /// They would detect the loss themselves, but this takes most of a minute in a small network,
    /// where many tunnels pass through every router.
    pub(crate) fn router_lost(&self) {
        self.lost.send_replace(());
    }

    /// A receiver that changes at each [`Dials::router_lost`].
    pub(super) fn losses(&self) -> watch::Receiver<()> {
        self.lost.subscribe()
    }

    /// Records a dial. Returns `None` if `to` has already dialed `from`.
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
