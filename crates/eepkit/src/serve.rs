//! Servers: an accept loop with a handler for each stream.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_link::LogLimit;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tracing::{Instrument as _, debug, debug_span, error};

use crate::{error::AcceptError, listener::Listener, stream::Stream};

/// Serves each stream that `listener` accepts with `handler`, in a separate task.
///
/// [`Serve::start`] starts the accept loop.
///
/// ```
/// use std::time::Duration;
///
/// use eepkit::{Preset, Router, Stream, serve, sim::SimNet};
/// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
///
/// async fn echo(stream: Stream) -> std::io::Result<()> {
///     let (mut reader, mut writer) = stream.into_split();
///     tokio::io::copy(&mut reader, &mut writer).await?;
///     writer.shutdown().await
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), eepkit::Error> {
/// let net = SimNet::builder().start();
/// let session = Router::new(net.router()).session().preset(Preset::Test).open().await?;
/// let server = serve(session.listen(7)?, echo).start();
///
/// let client = Router::new(net.router()).session().preset(Preset::Test).open().await?;
/// let mut stream = client.connect((session.destination(), 7)).await?;
/// stream.write_all(b"Hello I2P!").await?;
/// stream.shutdown().await?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text).await?;
/// assert_eq!(text, "Hello I2P!");
///
/// let drained = server.shutdown(Duration::from_secs(10)).await;
/// assert_eq!(drained.aborted(), 0);
/// # Ok(())
/// # }
/// ```
pub fn serve<H: Handler>(listener: Listener, handler: H) -> Serve<H> {
    Serve {
        listener,
        handler,
        max_streams: DEFAULT_MAX_STREAMS,
    }
}

/// Serves the streams of a server.
///
/// Functions and closures from [`Stream`] to a future of [`io::Result`] are handlers. Types that
/// need a notification of the shutdown implement the trait.
pub trait Handler: Send + Sync + 'static {
    /// Serves one stream, which the peer has opened and this side has accepted.
    ///
    /// An error is logged at level debug and counted; it affects no other stream. If the future is
    /// still running at the time limit of [`Server::shutdown`], it is dropped together with the
    /// stream.
    fn handle(&self, stream: Stream) -> impl Future<Output = io::Result<()>> + Send;

    /// Called once after the server has stopped accepting, while streams are still being served. An
    /// implementation notifies its handlers that they should finish. The time limit of the shutdown
    /// includes this call.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Stream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send,
{
    fn handle(&self, stream: Stream) -> impl Future<Output = io::Result<()>> + Send {
        self(stream)
    }
}

/// A server that is not started yet. Returned by [`serve`].
#[must_use = "a server starts when `start` is called"]
pub struct Serve<H> {
    listener: Listener,
    handler: H,
    max_streams: usize,
}

impl<H: Handler> Serve<H> {
    /// The most streams that are served at a time, at least 1; 1024 by default. At the limit no
    /// further stream is accepted. New streams then wait in the backlog of the listener, and are
    /// refused if it is full.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams.max(1);
        self
    }

    /// Starts the accept loop in a task.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(self) -> Server {
        let stats = Arc::new(Mutex::new(ServerStats::default()));
        let (stop, stopping) = watch::channel(None);
        let accepting = AcceptLoop {
            listener: self.listener,
            handler: Arc::new(self.handler),
            max_streams: self.max_streams,
            tasks: JoinSet::new(),
            stats: stats.clone(),
            stopping,
        };
        Server {
            stop,
            stats,
            task: tokio::spawn(accepting.run()),
        }
    }
}

impl<H> fmt::Debug for Serve<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("max_streams", &self.max_streams)
            .finish_non_exhaustive()
    }
}

/// A running server. Returned by [`Serve::start`].
///
/// A server survives the loss of the router, as its listener does. Dropping the server stops it at
/// once: it accepts no further stream, and running handlers are dropped.
pub struct Server {
    stop: watch::Sender<Option<Instant>>,
    stats: Arc<Mutex<ServerStats>>,
    task: JoinHandle<Ended>,
}

/// Counters of a server since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Accepted streams.
    pub accepted: u64,
    /// Streams that are currently served.
    pub active: usize,
    /// Handlers that returned an error.
    pub failed: u64,
    /// Handlers that panicked.
    pub panicked: u64,
}

/// The result of [`Server::shutdown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    aborted: usize,
}

impl Drained {
    /// The number of handlers that were still running at the time limit and were dropped.
    pub const fn aborted(&self) -> usize {
        self.aborted
    }
}

struct Ended {
    drained: Drained,
    /// Why the listener ended, if its session ended before the server was shut down.
    error: Option<AcceptError>,
}

impl Server {
    /// Counters since the start.
    pub fn stats(&self) -> ServerStats {
        *lock(&self.stats)
    }

    /// Stops accepting, calls [`Handler::shutdown`], and waits at most `limit` until all handlers
    /// have returned. Then drops the handlers that are still running. Streams in the backlog are
    /// refused at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server: the handlers are dropped at once.
    pub async fn shutdown(mut self, limit: Duration) -> Drained {
        self.stop.send_replace(Some(Instant::now() + limit));
        self.ended().await.drained
    }

    /// Waits until the session of the listener was closed or failed, and the handlers have
    /// returned. After the end of the session, the handlers have 30 s to return. Then they are
    /// dropped.
    ///
    /// Returns why the listener ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server. To wait for another event at the same time, use
    /// `tokio::select!` with a reference to the pinned future.
    pub async fn finished(mut self) -> AcceptError {
        self.ended().await.error.unwrap_or(AcceptError::Closed)
    }

    async fn ended(&mut self) -> Ended {
        match (&mut self.task).await {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

struct AcceptLoop<H> {
    listener: Listener,
    handler: Arc<H>,
    max_streams: usize,
    tasks: JoinSet<io::Result<()>>,
    stats: Arc<Mutex<ServerStats>>,
    stopping: watch::Receiver<Option<Instant>>,
}

impl<H: Handler> AcceptLoop<H> {
    async fn run(mut self) -> Ended {
        let error = loop {
            tokio::select! {
                biased;
                // An error means that the server was dropped, which also aborts this task.
                _ = self.stopping.changed() => break None,
                Some(done) = self.tasks.join_next() => record(&self.stats, &done),
                accepted = self.listener.accept(), if self.tasks.len() < self.max_streams => {
                    match accepted {
                        Ok(stream) => self.begin(stream),
                        Err(error) => break Some(error),
                    }
                }
            }
        };
        let Self {
            listener,
            handler,
            mut tasks,
            stats,
            stopping,
            ..
        } = self;
        drop(listener);
        let asked = *stopping.borrow();
        let deadline = asked.unwrap_or_else(|| Instant::now() + AFTER_SESSION);
        let all_done = async {
            handler.shutdown().await;
            while let Some(done) = tasks.join_next().await {
                record(&stats, &done);
            }
        };
        // The handlers that are still running at the deadline are dropped below.
        let _ = timeout_at(deadline, all_done).await;
        let aborted = tasks.len();
        tasks.shutdown().await;
        lock(&stats).active = 0;
        Ended {
            drained: Drained { aborted },
            error,
        }
    }

    fn begin(&mut self, stream: Stream) {
        {
            let mut stats = lock(&self.stats);
            stats.accepted += 1;
            stats.active += 1;
        }
        let handler = self.handler.clone();
        let span = debug_span!("stream", peer = %stream.peer_addr());
        let handling = async move { handler.handle(stream).await };
        self.tasks.spawn(handling.instrument(span));
    }
}

fn record(stats: &Mutex<ServerStats>, done: &Result<io::Result<()>, JoinError>) {
    let mut stats = lock(stats);
    stats.active = stats.active.saturating_sub(1);
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            stats.failed += 1;
            debug!(%error, "a handler failed");
        }
        Err(panic) => {
            stats.panicked += 1;
            // A peer may cause it with each stream.
            static LIMIT: LogLimit = LogLimit::new();
            if let Some(left_out) = LIMIT.admit() {
                error!(%panic, left_out, "a handler panicked");
            }
        }
    }
}

fn lock(stats: &Mutex<ServerStats>) -> MutexGuard<'_, ServerStats> {
    // Nothing panics while it is held.
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chosen because a task and its buffers use about 100 KiB, so that a server uses about 100 MiB.
const DEFAULT_MAX_STREAMS: usize = 1024;

/// Time limit for handlers after their session has ended. Chosen as the default linger time of a
/// session.
const AFTER_SESSION: Duration = Duration::from_secs(30);
