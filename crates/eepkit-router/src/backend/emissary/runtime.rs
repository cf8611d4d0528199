//! The `Runtime` of emissary-core, implemented on tokio.

use std::{
    future::{Future, poll_fn},
    io::{Read, Write},
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use eepkit_link::{LogLimit, RouterActivity, clock};
use emissary_core::runtime as core;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures_core::Stream;
use rand::{CryptoRng, RngExt};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use super::{
    renewal::{self, Mark, Mode, is_in},
    scope::Scope,
    sockets::{TcpListener, TcpStream, UdpSocket},
    tunnels::{
        ANSWER_TIMEOUT, POOL, POOL_INTERVAL, PUBLICATION, QUERY_TIMEOUT, REPLACEMENT_DELAY,
        TUNNEL_LIFETIME, TUNNEL_RENEWAL,
    },
};

/// The maximum size of a decompressed object, in bytes, which protects against decompression bombs.
/// Chosen because the largest object, the payload of an I2CP message, has at most 64 KiB when
/// compressed and rarely compresses below a quarter. Router infos and lease sets have a few KiB.
const INFLATE_LIMIT: u64 = 256 * 1024;

/// The interval at which emissary-core writes router infos and profiles to disk. It is the only
/// delay of this length. This identifies the backup task, so that it can be run when a router
/// stops.
pub(super) const BACKUP_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The interval at which a session of emissary-core discards old encryption sessions and old lease
/// sets. No other task that handles the messages of a client has timers of this length.
pub(super) const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(2 * 60);

/// The delay after which a tunnel pool first builds tunnels. It is the only timer of this length.
pub(super) const POOL_START: Duration = Duration::ZERO;

/// Binds emissary-core to tokio. Every call goes to the [`Scope`] of the running task.
#[derive(Debug, Clone)]
pub(crate) struct Runtime;

impl core::Runtime for Runtime {
    type TcpStream = TcpStream;
    type UdpSocket = UdpSocket;
    type TcpListener = TcpListener;
    type JoinSet<T: Send + 'static> = Tasks<T>;
    type MetricsHandle = Meters;
    type Instant = Moment;
    type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn spawn<F>(future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match Scope::current() {
            Some(scope) => scope.spawn(future),
            // A destructor ran after its task had ended. No task may outlive the router.
            None => tracing::debug!("a task was spawned outside a router; it is not run"),
        }
    }

    #[track_caller]
    fn time_since_epoch() -> Duration {
        let caller = Location::caller();
        let offset = Scope::with_mode(|mode| {
            mode.on_clock(caller);
            mode.clock_offset(caller)
        });
        // The router subtracts earlier times from this one, and panics if they are later.
        clock::unix_now_not_back() + offset.unwrap_or_default()
    }

    #[track_caller]
    fn now() -> Self::Instant {
        let caller = Location::caller();
        Moment {
            at: Instant::now(),
            mark: Scope::with_mode(|mode| mode.mark(caller)).unwrap_or(Mark::None),
        }
    }

    fn rng() -> impl CryptoRng + RngExt {
        rand::rng()
    }

    fn join_set<T: Send + 'static>() -> Self::JoinSet<T> {
        Tasks {
            set: JoinSet::new(),
            waker: None,
        }
    }

    fn register_metrics(_: Vec<core::MetricType>, _: Option<u16>) -> Self::MetricsHandle {
        Meters(Scope::current())
    }

    #[track_caller]
    fn timer(duration: Duration) -> Self::Timer {
        let caller = Location::caller();
        match Scope::current() {
            Some(scope) if duration == POOL_INTERVAL && is_in(caller, POOL) => {
                Box::pin(pool_maintenance(&scope))
            }
            Some(scope) if duration == POOL_START => Box::pin(scope.tunnels_allowed()),
            Some(_) if duration == MAINTENANCE_INTERVAL => Box::pin(maintenance()),
            Some(scope) if is_in(caller, PUBLICATION) => {
                Box::pin(sleep(duration / scope.tunnels().publication_speed()))
            }
            _ => Box::pin(sleep(duration)),
        }
    }

    async fn delay(duration: Duration) {
        match Scope::current() {
            Some(scope) if duration == BACKUP_INTERVAL => tokio::select! {
                () = sleep(duration) => {}
                () = scope.backup_requested() => {}
            },
            Some(scope) if duration == ANSWER_TIMEOUT => {
                let pool = Scope::current_pool().unwrap_or_default();
                let wait = scope.tunnels().begin_wait(pool);
                sleep(wait.timeout()).await;
                wait.timed_out();
            }
            Some(scope) if duration == TUNNEL_RENEWAL => tokio::select! {
                () = sleep(duration) => {}
                () = scope.tunnels_replaced() => {}
            },
            Some(scope) if duration == TUNNEL_LIFETIME => tokio::select! {
                () = sleep(duration) => {}
                () = scope.tunnels_replaced() => sleep(scope.tunnels().keep()).await,
            },
            Some(scope) if duration == QUERY_TIMEOUT => {
                sleep(scope.tunnels().query_timeout()).await;
            }
            _ => sleep(duration).await,
        }
    }

    fn gzip_compress(bytes: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes.as_ref()).ok()?;
        encoder.finish().ok()
    }

    fn gzip_decompress(bytes: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut inflated = Vec::new();
        GzDecoder::new(bytes.as_ref())
            .take(INFLATE_LIMIT + 1)
            .read_to_end(&mut inflated)
            .ok()?;
        (inflated.len() as u64 <= INFLATE_LIMIT).then_some(inflated)
    }
}

/// Waits until a tunnel pool builds the tunnels that it lacks: at intervals, and after its tunnels
/// were replaced.
fn pool_maintenance(scope: &Arc<Scope>) -> impl Future<Output = ()> + Send + use<> {
    let replaced = scope.tunnels_replaced();
    // The router owns the task that waits.
    let scope = Arc::downgrade(scope);
    let replaced = async move {
        replaced.await;
        if let Some(scope) = scope.upgrade() {
            scope.tunnels().forget_timeouts();
        }
        sleep(REPLACEMENT_DELAY).await;
    };
    async move {
        tokio::select! {
            () = sleep(POOL_INTERVAL) => {}
            () = replaced => {}
        }
    }
}

/// Waits until a session maintains its encryption sessions: at intervals, and as the step of a
/// renewal.
async fn maintenance() {
    let requested = poll_fn(|_| Scope::with_mode(Mode::poll_maintenance).unwrap_or(Poll::Pending));
    tokio::select! {
        biased;
        () = requested => {}
        () = sleep(MAINTENANCE_INTERVAL) => {}
    }
}

/// A point in time that follows tokio's clock, except for a task that renews a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    mark: Mark,
}

impl core::Instant for Moment {
    #[track_caller]
    fn elapsed(&self) -> Duration {
        let caller = Location::caller();
        let elapsed = Scope::with_mode(|mode| match Scope::current() {
            Some(scope) if is_in(caller, PUBLICATION) => scope
                .tunnels()
                .publication_time(self.at, mode.publication()),
            _ => mode.elapsed(self.at, self.mark, caller),
        });
        elapsed.unwrap_or_else(|| self.at.elapsed())
    }
}

/// Tasks whose results are collected by one task.
#[derive(Debug)]
pub(crate) struct Tasks<T> {
    set: JoinSet<T>,
    waker: Option<Waker>,
}

impl<T: Send + 'static> core::JoinSet<T> for Tasks<T> {
    fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn push<F>(&mut self, future: F)
    where
        F: Future<Output = T> + Send + 'static,
        F::Output: Send,
    {
        if renewal::is_peer::<T>() && Scope::with_mode(Mode::is_quiet).unwrap_or_default() {
            // The lease set was published before. Sending it to all peers again has no use.
            return;
        }
        let _: AbortHandle = match Scope::current() {
            Some(scope) => self.set.spawn(scope.track(future)),
            None => self.set.spawn(future),
        };
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<T: Send + 'static> Stream for Tasks<T> {
    type Item = T;

    /// Never ends, because emissary-core treats the end of the stream as the end of the subsystem
    /// that polls it. A task that panicked is skipped for the same reason.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.set.poll_join_next(cx) {
                Poll::Ready(Some(Ok(value))) => return Poll::Ready(Some(value)),
                Poll::Ready(Some(Err(error))) => {
                    // A peer may cause it with each message.
                    static LIMIT: LogLimit = LogLimit::new();
                    if error.is_panic()
                        && let Some(left_out) = LIMIT.admit()
                    {
                        tracing::error!(
                            left_out,
                            "a task of the router panicked; the router goes on"
                        );
                    }
                }
                Poll::Pending | Poll::Ready(None) => {
                    self.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The meters of one router. emissary-core has dozens. [`RouterActivity`] stores those that reflect
/// the state of the router, and the others are discarded.
#[derive(Debug, Clone)]
pub(crate) struct Meters(Option<Arc<Scope>>);

/// One meter.
#[derive(Debug)]
struct Meter(Option<(Arc<Scope>, Field)>);

/// Selects a field of [`RouterActivity`].
pub(super) type Field = fn(&mut RouterActivity) -> &mut usize;

/// The meters of emissary-core that are stored, by their names.
pub(super) const METERS: [(&str, Field); 7] = [
    ("transport_active_connections_count", |a| &mut a.peers),
    ("tunnel_inbound_count", |a| &mut a.inbound_tunnels),
    ("tunnel_outbound_count", |a| &mut a.outbound_tunnels),
    ("tunnel_build_success_count", |a| &mut a.tunnels_built),
    ("tunnel_build_failure_count", |a| {
        &mut a.tunnel_builds_failed
    }),
    ("transit_tunnels_count", |a| &mut a.transit_tunnels),
    ("transport_dial_failure_count", |a| &mut a.dials_failed),
];

impl Meters {
    fn meter(&self, name: &str) -> Meter {
        let kept = METERS.iter().find(|(kept, _)| *kept == name);
        Meter(kept.and_then(|(_, field)| Some((self.0.clone()?, *field))))
    }
}

impl Meter {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        if let Some((scope, field)) = &self.0 {
            scope.record(|activity| change(field(activity)));
        }
    }
}

impl core::MetricsHandle for Meters {
    fn counter(&self, name: &'static str) -> impl core::Counter {
        self.meter(name)
    }

    fn gauge(&self, name: &'static str) -> impl core::Gauge {
        self.meter(name)
    }

    fn histogram(&self, _: &'static str) -> impl core::Histogram {
        Meter(None)
    }
}

impl core::Counter for Meter {
    fn increment(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_add(value));
    }

    fn increment_with_label(&mut self, value: usize, _: &'static str, _: &'static str) {
        self.increment(value);
    }
}

impl core::Gauge for Meter {
    fn increment(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_add(value));
    }

    fn decrement(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_sub(value));
    }
}

impl core::Histogram for Meter {
    fn record(&mut self, _: f64) {}
}

#[cfg(test)]
mod tests {
    use emissary_core::runtime::{JoinSet as _, Runtime as _};
    use tokio::time::timeout;

    use super::{super::scope::tests::private_scope, *};

    #[test]
    fn compressed_objects_round_trip_and_bombs_are_refused() {
        let small = vec![7u8; 1000];
        let compressed = Runtime::gzip_compress(&small).unwrap();
        assert_eq!(Runtime::gzip_decompress(&compressed), Some(small));

        let bomb = Runtime::gzip_compress(vec![0u8; 64 * 1024 * 1024]).unwrap();
        assert!(bomb.len() < 128 * 1024);
        assert_eq!(Runtime::gzip_decompress(&bomb), None);
        assert_eq!(Runtime::gzip_decompress(b"not gzip"), None);
    }

    #[tokio::test]
    async fn cancelling_a_scope_ends_spawned_and_joined_tasks() {
        let scope = private_scope();
        scope
            .enter(async {
                Runtime::spawn(async {
                    let mut tasks = Runtime::join_set::<()>();
                    tasks.push(std::future::pending());
                    poll_fn(|cx| Pin::new(&mut tasks).poll_next(cx)).await;
                });
            })
            .await;
        while scope.task_count() < 2 {
            tokio::task::yield_now().await;
        }

        scope.cancel();
        timeout(Duration::from_secs(5), scope.finished())
            .await
            .unwrap();

        assert_eq!(scope.task_count(), 0);
    }

    #[tokio::test]
    async fn a_panic_in_one_task_does_not_end_the_stream_of_results() {
        let mut tasks = Runtime::join_set::<u8>();
        tasks.push(async { panic!("on purpose") });
        tasks.push(async { 5 });

        let first = poll_fn(|cx| Pin::new(&mut tasks).poll_next(cx)).await;

        assert_eq!(first, Some(5));
    }
}
