//! The scope of one router in the process: its tasks, its meters, and the addresses that it may
//! reach.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use eepkit_link::RouterActivity;
use socket2::Socket;
use tokio::{
    sync::watch,
    task::futures::TaskLocalFuture,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    renewal::Mode,
    tunnels::{Pool, Tunnels},
};
use crate::backend::{clients::ClientListener, config::Reach, dials::Dial};

tokio::task_local! {
    static CURRENT: Place;
}

/// The router and the tunnel pool that the running task belongs to.
#[derive(Debug)]
struct Place {
    scope: Arc<Scope>,
    /// Shared by the tasks that this one spawns. A tunnel pool is a task of emissary-core that
    /// waits for its tunnels in tasks of its own. Only this relation identifies the pool of a wait.
    own: Arc<Pool>,
    /// The pool of the task that spawned this one.
    spawner: Arc<Pool>,
    /// The step of a renewal that this task performs.
    mode: Mode,
}

impl Place {
    fn new(scope: &Arc<Scope>) -> Self {
        let spawner = CURRENT.try_with(|task| Arc::clone(&task.own));
        Self {
            scope: Arc::clone(scope),
            own: Arc::default(),
            spawner: spawner.unwrap_or_default(),
            mode: Mode::default(),
        }
    }
}

/// The tasks and sockets of one router.
#[derive(Debug)]
pub(crate) struct Scope {
    reach: Reach,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Read-locked while a task of the router is polled. True once no task may be polled any more.
    frozen: RwLock<bool>,
    activity: watch::Sender<RouterActivity>,
    /// The number of requested backups, and how often the backup task was ready for one.
    backups_requested: watch::Sender<u64>,
    backups_awaited: watch::Sender<u64>,
    bind_error: Mutex<Option<(SocketAddr, io::Error)>>,
    tunnels: Tunnels,
    /// Whether the router may build tunnels.
    tunnels_allowed: watch::Sender<bool>,
    /// A listening socket that was bound before the router started, for the router to take.
    reserved: Mutex<Option<(SocketAddr, Socket)>>,
    /// The listener for I2CP connections of this process and the TCP port for those of other
    /// processes, for the router to take.
    clients: Mutex<Option<(ClientListener, Option<u16>)>>,
}

impl Scope {
    /// A scope without tasks.
    pub(crate) fn new(reach: Reach) -> Arc<Self> {
        Arc::new(Self {
            tunnels: Tunnels::new(matches!(reach, Reach::Loopback { .. })),
            reach,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            frozen: RwLock::new(false),
            activity: watch::Sender::new(RouterActivity::default()),
            backups_requested: watch::Sender::new(0),
            backups_awaited: watch::Sender::new(0),
            bind_error: Mutex::new(None),
            tunnels_allowed: watch::Sender::new(true),
            reserved: Mutex::new(None),
            clients: Mutex::new(None),
        })
    }

    /// Returns the scope of the running task, or `None` outside any router.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(|task| Arc::clone(&task.scope)).ok()
    }

    /// Runs `future` as a part of this router.
    pub(crate) async fn enter<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(Place::new(self), future).await
    }

    /// Spawns a task that ends with [`Scope::cancel`].
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let cancel = self.cancel.clone();
        let future = self.part(future);
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled_owned() => {}
                _ = future => {}
            }
        });
    }

    /// Makes a future that the caller spawns a task of this router. After [`Scope::cancel`] it is
    /// not polled any more. The caller must drop it.
    pub(crate) fn track<F: Future>(
        self: &Arc<Self>,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        self.tasks.track_future(self.part(future))
    }

    fn part<F: Future>(self: &Arc<Self>, future: F) -> Part<F> {
        Part {
            scope: Arc::clone(self),
            future: CURRENT.scope(Place::new(self), future),
        }
    }

    /// Ends every task of the router.
    ///
    /// All tasks stop being polled before any of them is dropped, because the router's tasks panic
    /// when a task that they communicate with ends first.
    pub(crate) fn cancel(self: &Arc<Self>) {
        let inside = Self::current().is_some_and(|current| Arc::ptr_eq(&current, self));
        if !inside {
            *self.frozen.write().unwrap_or_else(PoisonError::into_inner) = true;
        }
        self.cancel.cancel();
        self.tasks.close();
    }

    /// Completes when no task is left, and therefore every socket is closed. Cancel safe.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The number of tasks that have not ended.
    #[cfg(test)]
    pub(crate) fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// A receiver of changes of the router's meters.
    pub(crate) fn activity(&self) -> watch::Receiver<RouterActivity> {
        self.activity.subscribe()
    }

    /// Updates the router's meters.
    pub(crate) fn record(&self, change: impl FnOnce(&mut RouterActivity)) {
        self.activity.send_modify(change);
    }

    /// Makes the router write its router infos and profiles to its storage. Waits until this is
    /// done, at most for `deadline`.
    pub(crate) async fn back_up(&self, deadline: Duration) {
        let mut awaited = self.backups_awaited.subscribe();
        let before = *awaited.borrow_and_update();
        if before == 0 {
            // The router has no storage, or has not started its backup task yet.
            return;
        }
        self.backups_requested.send_modify(|count| *count += 1);
        // The task is ready for the next backup once it has finished this one.
        let done = timeout(deadline, awaited.wait_for(|count| *count > before)).await;
        if done.is_err() {
            tracing::debug!("the router did not hand over its router infos in time");
        }
    }

    /// Completes at the next [`Scope::back_up`]. For the task that makes backups.
    pub(crate) async fn backup_requested(&self) {
        let mut requested = self.backups_requested.subscribe();
        self.backups_awaited.send_modify(|count| *count += 1);
        // The sender is a field of this scope.
        let _ = requested.changed().await;
    }

    /// The state of dead-tunnel detection.
    pub(crate) fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// Completes when the router must replace its current tunnels. Cancel safe.
    pub(crate) fn tunnels_replaced(&self) -> impl Future<Output = ()> + Send + use<> {
        let replaced = self.tunnels.replaced();
        let mut lost = match &self.reach {
            Reach::World => None,
            Reach::Loopback { dials, .. } => Some(dials.losses()),
        };
        async move {
            let lost = async {
                let changed = match &mut lost {
                    Some(lost) => lost.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = replaced => {}
                () = lost => {}
            }
        }
    }

    /// The tunnel pool of the running task: the one of the task that spawned it.
    pub(crate) fn current_pool() -> Option<Arc<Pool>> {
        CURRENT.try_with(|task| Arc::clone(&task.spawner)).ok()
    }

    /// Calls `f` with the step of a renewal that the running task performs.
    pub(crate) fn with_mode<R>(f: impl FnOnce(&Mode) -> R) -> Option<R> {
        CURRENT.try_with(|task| f(&task.mode)).ok()
    }

    /// Allows or forbids the router to build its first tunnels. Initially they are allowed.
    pub(crate) fn allow_tunnels(&self, allowed: bool) {
        self.tunnels_allowed.send_replace(allowed);
    }

    /// Completes once the router may build tunnels. Cancel safe.
    pub(crate) fn tunnels_allowed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut allowed = self.tunnels_allowed.subscribe();
        async move {
            // The task that polls this future keeps the scope alive.
            let _ = allowed.wait_for(|allowed| *allowed).await;
        }
    }

    /// Reserves a socket. The router gets it when it binds the address of the socket.
    pub(crate) fn reserve(&self, address: SocketAddr, socket: Socket) {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = Some((address, socket));
    }

    /// Returns the socket that was reserved for `address`.
    pub(crate) fn take_reserved(&self, address: SocketAddr) -> Option<Socket> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved
            .take_if(|(at, _)| *at == address)
            .map(|(_, socket)| socket)
    }

    /// Provides the router with the listener for I2CP connections of this process and, with a
    /// `port`, the TCP port on loopback for those of other processes.
    pub(crate) fn offer_clients(&self, listener: ClientListener, port: Option<u16>) {
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = Some((listener, port));
    }

    /// Returns what [`Scope::offer_clients`] stored.
    pub(crate) fn take_clients(&self) -> Option<(ClientListener, Option<u16>)> {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Returns the address to bind instead of `asked`.
    pub(crate) fn confine(&self, asked: SocketAddr) -> SocketAddr {
        if matches!(self.reach, Reach::World) {
            return asked;
        }
        let ip = match asked.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        SocketAddr::new(ip, asked.port())
    }

    /// Whether the router may send to `target`.
    pub(crate) fn may_reach(&self, target: SocketAddr) -> bool {
        matches!(self.reach, Reach::World) || target.ip().is_loopback()
    }

    /// Registers a dial of the router at `target`. Returns `None` if it must not be dialed now.
    pub(crate) async fn dial(&self, target: SocketAddr) -> Option<Option<Dial>> {
        match &self.reach {
            Reach::World => Some(None),
            Reach::Loopback { .. } if !target.ip().is_loopback() => {
                tracing::debug!("a connection out of the private network was refused");
                None
            }
            Reach::Loopback { dials, own } => {
                let dial = dials.begin(*own, target)?;
                sleep(DIAL_PAUSE).await;
                Some(Some(dial))
            }
        }
    }

    /// Stores why an address could not be bound, because the router reports only that it could not.
    pub(crate) fn bind_failed(&self, address: SocketAddr, error: io::Error) {
        *self
            .bind_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((address, error));
    }

    /// Returns what [`Scope::bind_failed`] stored.
    pub(crate) fn take_bind_error(&self) -> Option<(SocketAddr, io::Error)> {
        self.bind_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// How long a dial waits after it was registered, so that the other router has dropped its own
/// attempt when the connection arrives. Chosen because dropping it takes much less than a
/// millisecond.
const DIAL_PAUSE: Duration = Duration::from_millis(3);

pin_project_lite::pin_project! {
    /// A future that is a part of a router.
    struct Part<F> {
        scope: Arc<Scope>,
        #[pin]
        future: TaskLocalFuture<Place, F>,
    }
}

impl<F: Future> Future for Part<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let frozen = this
            .scope
            .frozen
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if *frozen {
            return Poll::Pending;
        }
        this.future.poll(cx)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::backend::dials::Dials;

    /// A scope of a router that reaches only loopback.
    pub(in super::super) fn private_scope() -> Arc<Scope> {
        let own = SocketAddr::from(([127, 0, 0, 1], 1));
        Scope::new(Reach::Loopback {
            dials: Arc::default(),
            own,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_of_two_dials_between_routers_fails_while_the_first_is_open() {
        let dials = Arc::new(Dials::default());
        let router = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let scope = |port| {
            Scope::new(Reach::Loopback {
                dials: Arc::clone(&dials),
                own: router(port),
            })
        };
        let (first, second) = (scope(1), scope(2));

        let dial = first.dial(router(2)).await.unwrap();
        assert!(second.dial(router(1)).await.is_none());
        assert!(second.dial(router(3)).await.is_some());
        drop(dial);
        assert!(second.dial(router(1)).await.is_some());
    }
}
