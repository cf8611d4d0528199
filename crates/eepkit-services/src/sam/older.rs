//! The driver of connections of SAM 1.0 and 2.0, which carry all streams of a session.
//!
//! Each stream is relayed as in SAM 3, between the stream and a pipe in memory instead of a socket.
//! The driver carries bytes between the pipes and the machine.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io::{self, ErrorKind},
    ops::Bound,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use eepkit::{DatagramSocket, Listener, SessionWatch, Stream};
use eepkit_sam::{
    Direction, Failure, ResultCode, Style,
    server::{
        self,
        older::{Answer, Connection, Output, Request, StreamKey},
    },
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::{
    io::{
        AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, DuplexStream,
        ReadBuf, ReadHalf, WriteHalf, copy, duplex, sink, split,
    },
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    done::Done,
    joining::{HALF_CLOSED, carry},
    lookups, sessions,
    shared::Shared,
    streams, udp,
    waiting::{receive, session_over, until},
};
use crate::{
    relay::{End as RelayEnd, Side},
    serve::{Socket, close_gently},
};

/// Serves a client that has negotiated an older version, until the client or the bridge ends the
/// connection. `early` was already read from the socket.
pub(super) async fn serve(shared: Arc<Shared>, socket: Socket, machine: Connection, early: &[u8]) {
    let version = machine.version();
    match shared.older_clients.admit() {
        Some(_) => info!(%version, "a program uses an old version of SAM, which SAM 3 replaces"),
        None => debug!(%version, "a program uses an old version of SAM"),
    }
    let (reader, writer) = split(socket);
    let mut driver = Driver {
        shared: shared.clone(),
        machine,
        reader,
        writer,
        out: VecDeque::new(),
        out_bytes: 0,
        written: 0,
        is_unflushed: false,
        moved: Instant::now(),
        is_closing: false,
        work: FuturesUnordered::new(),
        pipes: BTreeMap::new(),
        last_served: None,
        session: None,
        mailbox: None,
        watch: None,
        block: vec![0; BLOCK].into_boxed_slice(),
    };
    let end = tokio::select! {
        end = driver.run(early) => end,
        () = shared.server.closing().cancelled() => End::Gone,
    };
    driver.finish();
    let mut socket = driver.reader.unsplit(driver.writer);
    if let End::Closed = end {
        close_gently(&mut socket).await;
    }
}

struct Driver {
    shared: Arc<Shared>,
    machine: Connection,
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
    /// Bytes for the client, and their number.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// The number of bytes of the first element that are written.
    written: usize,
    /// Whether written bytes may still be in a buffer of TLS.
    is_unflushed: bool,
    /// The time when the client last accepted bytes, or when there were none.
    moved: Instant,
    /// Whether the connection is closed once everything is written.
    is_closing: bool,
    work: FuturesUnordered<Work>,
    pipes: BTreeMap<StreamKey, Pipe>,
    /// The stream that was served last. The next ones are served first.
    last_served: Option<StreamKey>,
    session: Option<OpenSession>,
    mailbox: Option<(Style, DatagramSocket)>,
    watch: Option<SessionWatch>,
    block: Box<[u8]>,
}

type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// A finished request.
enum Finished {
    Keys(Answer),
    /// A request of the session.
    Request(Done),
    Stream(StreamKey, Done),
}

struct OpenSession {
    listener: Option<Arc<Listener>>,
    token: CancellationToken,
}

/// The driver's end of a stream that is relayed.
struct Pipe {
    end: DuplexStream,
    /// The reason why the stream failed. Set before the pipe ends.
    failure: Arc<OnceLock<Failure>>,
}

enum End {
    /// The socket failed, or the client closed it.
    Gone,
    /// The machine closes the socket.
    Closed,
}

enum Happened {
    /// The client accepted this many bytes.
    Sent(usize),
    /// The client sent this many bytes, or closed its side.
    Bytes(usize),
    Finished(Finished),
    Stream(StreamKey, Moved),
    Accepted(Option<Stream>),
    Datagram(Option<eepkit::ReceivedDatagram>),
    SessionOver(Failure),
    Broken,
    Nothing,
}

/// What happened to a stream.
enum Moved {
    Written(usize),
    Read(Bytes),
    Ended(Result<(), Failure>),
}

impl Driver {
    async fn run(&mut self, early: &[u8]) -> End {
        let mut buffer = vec![0; READ].into_boxed_slice();
        let now = Instant::now().into_std();
        self.machine
            .handle_bytes(now, &mut self.shared.directory(), early);
        loop {
            self.take_outputs();
            if self.is_closing && self.out.is_empty() && !self.is_unflushed {
                return End::Closed;
            }
            let happened = self.wait(&mut buffer).await;
            let now = Instant::now();
            if let Happened::Sent(count) = happened {
                self.moved = now;
                self.sent(count);
                continue;
            }
            let directory = &mut *self.shared.directory();
            let machine = &mut self.machine;
            match happened {
                Happened::Broken | Happened::Bytes(0) => return End::Gone,
                Happened::Sent(_) => {}
                Happened::Bytes(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    machine.handle_bytes(now.into_std(), directory, bytes);
                }
                Happened::Finished(finished) => match finished {
                    Finished::Keys(answer) => {
                        machine.handle_answer(now.into_std(), directory, answer);
                    }
                    Finished::Request(done) => {
                        self.watch = done.watch.or_else(|| self.watch.take());
                        self.mailbox = done.mailbox.or_else(|| self.mailbox.take());
                        let Some(answer) = answer(done.answer) else {
                            continue;
                        };
                        machine.handle_answer(now.into_std(), directory, answer);
                        if let (Some(key), None) = (machine.session(), &self.session) {
                            self.session = directory.attachment(key).map(|live| OpenSession {
                                listener: live.listener.clone(),
                                token: live.token.clone(),
                            });
                        }
                    }
                    Finished::Stream(stream, done) => {
                        if let (Some(opened), Some(session)) = (done.stream, &self.session) {
                            let pipe = pipe(&self.shared, opened, &session.token);
                            self.pipes.insert(stream, pipe);
                        }
                        if let server::Answer::Connected(result) = done.answer {
                            let answer = Answer::Connected { stream, result };
                            machine.handle_answer(now.into_std(), directory, answer);
                        }
                    }
                },
                Happened::Stream(stream, moved) => match moved {
                    Moved::Written(count) => {
                        machine.handle_written(now.into_std(), directory, stream, count);
                    }
                    Moved::Read(data) => machine.handle_data(stream, &data),
                    Moved::Ended(result) => {
                        machine.handle_stream_end(now.into_std(), directory, stream, &result);
                    }
                },
                Happened::Accepted(Some(accepted)) => {
                    if let (true, Some(session)) = (machine.accepts(), &self.session) {
                        let stream = machine.handle_accepted(accepted.peer());
                        let pipe = pipe(&self.shared, accepted, &session.token);
                        self.pipes.insert(stream, pipe);
                    } else {
                        accepted.reset();
                    }
                }
                // The watch has the reason.
                Happened::Accepted(None) => {
                    if let Some(session) = &mut self.session {
                        session.listener = None;
                    }
                }
                Happened::Datagram(Some(datagram)) => {
                    if let Some((style, _)) = self.mailbox {
                        let datagram = udp::received(&datagram);
                        let answer = Answer::Received { style, datagram };
                        machine.handle_answer(now.into_std(), directory, answer);
                    }
                }
                Happened::Datagram(None) => self.mailbox = None,
                Happened::SessionOver(failure) => {
                    self.watch = None;
                    let answer = Answer::SessionEnded(failure);
                    machine.handle_answer(now.into_std(), directory, answer);
                }
                Happened::Nothing => {
                    if machine.deadline().is_some_and(|at| at <= now.into_std()) {
                        machine.handle_timeout(now.into_std(), directory);
                    }
                }
            }
        }
    }

    /// Waits for the next event.
    async fn wait(&mut self, buffer: &mut [u8]) -> Happened {
        let has_room = self.out_bytes < MAX_OUT && !self.is_closing;
        // A client that sends without reading gets only the answers to its commands. So it is not
        // stopped by the data of its peers.
        let may_read = self.out_bytes < 2 * MAX_OUT && !self.is_closing;
        let machine = &self.machine;
        let deadline = machine.deadline().map(Instant::from);
        let is_sending = self.is_unflushed || !self.out.is_empty();
        let stalled = is_sending.then(|| self.moved + STALL_LIMIT);
        let direction = machine.direction().filter(|_| has_room);
        let listener = self.session.as_ref().and_then(|session| {
            // Streams that the session does not accept are reset.
            let is_wanted = machine.accepts() || direction == Some(Direction::Create);
            let listener = session.listener.as_ref();
            listener.filter(|_| direction.is_some() && is_wanted)
        });
        let (pipes, block, last) = (&mut self.pipes, &mut self.block, &mut self.last_served);
        let front = self.out.front().and_then(|front| front.get(self.written..));
        let mailbox = self.mailbox.as_ref().filter(|_| has_room);
        tokio::select! {
            sent = send(&mut self.writer, front, self.is_unflushed) => {
                sent.map_or(Happened::Broken, Happened::Sent)
            }
            read = self.reader.read(buffer), if may_read && machine.wants_bytes() => {
                read.map_or(Happened::Broken, Happened::Bytes)
            }
            Some(finished) = self.work.next() => Happened::Finished(finished),
            (stream, moved) = poll_fn(|cx| poll_pipes(cx, machine, pipes, has_room, block, last)) => {
                Happened::Stream(stream, moved)
            }
            accepted = accept(listener) => Happened::Accepted(accepted),
            datagram = receive(mailbox) => Happened::Datagram(datagram.ok()),
            over = session_over(&mut self.watch) => match over {
                Some(failure) => Happened::SessionOver(failure),
                None => Happened::Nothing,
            },
            () = until(deadline) => Happened::Nothing,
            () = until(stalled) => Happened::Broken,
        }
    }

    /// Executes the outputs of the machine.
    fn take_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(bytes) => {
                    if self.out.is_empty() {
                        self.moved = Instant::now();
                    }
                    self.out_bytes += bytes.len();
                    self.out.push_back(bytes);
                }
                Output::Request(request) => self.request(request),
                Output::Close => self.is_closing = true,
                other => debug!(?other, "the machine has an unknown output"),
            }
        }
    }

    fn request(&mut self, request: Request) {
        let shared = self.shared.clone();
        let work: Work = match request {
            Request::Keys { name, kind } => Box::pin(async move {
                let store = shared.key_store.clone();
                let keys = spawn_blocking(move || store.keys(&name, kind)).await;
                let keys = keys.unwrap_or_else(|_| Err(Failure::error("the bridge stops")));
                Finished::Keys(Answer::Keys(keys.map(Box::new)))
            }),
            Request::Open(open) => {
                Box::pin(async move { Finished::Request(sessions::open(shared, open).await) })
            }
            Request::Close(session) => return sessions::close(&self.shared, session),
            Request::Connect { stream, connect } => Box::pin(async move {
                Finished::Stream(stream, streams::connect(shared, connect).await)
            }),
            Request::Finish(stream) => {
                if let Some(pipe) = self.pipes.remove(&stream) {
                    self.close_pipe(pipe, Vec::new());
                }
                return;
            }
            Request::LookUp { session, target } => Box::pin(async move {
                Finished::Request(lookups::look_up(shared, session, target, false).await)
            }),
            Request::Send(datagram) => return udp::send(&self.shared, datagram),
            other => return debug!(?other, "the machine makes an unknown request"),
        };
        self.work.push(work);
    }

    /// Closes a stream after it has carried `rest`. What the peer still sends is dropped, because a
    /// stream that is reset could lose data of the client.
    fn close_pipe(&self, pipe: Pipe, rest: Vec<Bytes>) {
        self.shared.server.spawn(async move {
            let (mut reader, mut writer) = split(pipe.end);
            let mut nowhere = sink();
            let write = async {
                for bytes in rest {
                    if writer.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
                let _ = writer.shutdown().await;
            };
            let read = copy(&mut reader, &mut nowhere);
            let _ = timeout(HALF_CLOSED, async { tokio::join!(write, read) }).await;
        });
    }

    /// Removes bytes that the client accepted.
    fn sent(&mut self, count: usize) {
        self.is_unflushed = count > 0;
        self.out_bytes -= count;
        self.written += count;
        if self
            .out
            .front()
            .is_some_and(|front| self.written >= front.len())
        {
            self.written = 0;
            // The answer to DEST GENERATE contains private keys.
            self.out.pop_front().into_iter().for_each(eepkit_sam::wipe);
        }
    }

    /// The socket is closed. Releases everything.
    fn finish(&mut self) {
        self.work.clear();
        self.mailbox = None;
        for (stream, pipe) in std::mem::take(&mut self.pipes) {
            let rest = self.machine.take_queue(stream);
            self.close_pipe(pipe, rest);
        }
        self.machine.handle_end(&mut self.shared.directory());
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(Request::Close(session)) => sessions::close(&self.shared, session),
                Output::Send(bytes) => eepkit_sam::wipe(bytes),
                _ => {}
            }
        }
        self.out.drain(..).for_each(eepkit_sam::wipe);
    }
}

/// Relays a stream until it or its session ends.
fn pipe(shared: &Arc<Shared>, stream: Stream, token: &CancellationToken) -> Pipe {
    let (end, mut other) = duplex(PIPE);
    let failure = Arc::new(OnceLock::new());
    let (bridge, reported, token) = (shared.clone(), failure.clone(), token.clone());
    shared.server.spawn(async move {
        let report = carry(&bridge, &mut other, stream, &token).await;
        let why = report.and_then(|report| match report.end {
            RelayEnd::Failed {
                side: Side::B,
                error,
                ..
            } => Some(Failure::new(ResultCode::CantReachPeer, error.to_string())),
            RelayEnd::Idle => Some(Failure::new(ResultCode::Timeout, "the peer is silent")),
            _ => None,
        });
        if let Some(why) = why {
            let _ = reported.set(why);
        }
        drop(other);
    });
    Pipe { end, failure }
}

/// Writes to the streams what the machine has for them, and reads from them what it wants.
fn poll_pipes(
    cx: &mut Context<'_>,
    machine: &Connection,
    pipes: &mut BTreeMap<StreamKey, Pipe>,
    may_read: bool,
    block: &mut [u8],
    last: &mut Option<StreamKey>,
) -> Poll<(StreamKey, Moved)> {
    let ranges = match *last {
        None => [Some((Bound::Unbounded, Bound::Unbounded)), None],
        Some(last) => [
            Some((Bound::Excluded(last), Bound::Unbounded)),
            Some((Bound::Unbounded, Bound::Included(last))),
        ],
    };
    for range in ranges.into_iter().flatten() {
        for (stream, pipe) in pipes.range_mut(range) {
            if let Poll::Ready(moved) = poll_pipe(cx, machine, *stream, pipe, may_read, block) {
                *last = Some(*stream);
                return Poll::Ready((*stream, moved));
            }
        }
    }
    Poll::Pending
}

fn poll_pipe(
    cx: &mut Context<'_>,
    machine: &Connection,
    stream: StreamKey,
    pipe: &mut Pipe,
    may_read: bool,
    block: &mut [u8],
) -> Poll<Moved> {
    let ended = |pipe: &Pipe| match pipe.failure.get() {
        Some(failure) => Err(failure.clone()),
        None => Ok(()),
    };
    let pending = machine.pending(stream);
    if !pending.is_empty()
        && let Poll::Ready(result) = Pin::new(&mut pipe.end).poll_write(cx, pending)
    {
        return Poll::Ready(match result {
            Ok(count) if count > 0 => Moved::Written(count),
            _ => Moved::Ended(Err(ended(pipe).err().unwrap_or_else(|| {
                Failure::new(ResultCode::CantReachPeer, "the stream is closed")
            }))),
        });
    }
    let wanted = machine.readable(stream).min(block.len());
    if !may_read || wanted == 0 {
        return Poll::Pending;
    }
    let mut buffer = ReadBuf::new(block.get_mut(..wanted).unwrap_or_default());
    match Pin::new(&mut pipe.end).poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
            Poll::Ready(Moved::Read(Bytes::copy_from_slice(buffer.filled())))
        }
        Poll::Ready(_) => Poll::Ready(Moved::Ended(ended(pipe))),
    }
}

/// Writes bytes, and returns the number of written ones. Without bytes, flushes those that were
/// written before, and returns 0. Dropping the future loses nothing.
async fn send(
    writer: &mut WriteHalf<Socket>,
    bytes: Option<&[u8]>,
    is_unflushed: bool,
) -> io::Result<usize> {
    match bytes {
        Some(bytes) => match writer.write(bytes).await? {
            0 => Err(ErrorKind::WriteZero.into()),
            count => Ok(count),
        },
        None if is_unflushed => writer.flush().await.map(|()| 0),
        None => std::future::pending().await,
    }
}

async fn accept(listener: Option<&Arc<Listener>>) -> Option<Stream> {
    match listener {
        Some(listener) => listener.accept().await.ok(),
        None => std::future::pending().await,
    }
}

/// The answer of a request in the terms of the older versions.
fn answer(answer: server::Answer) -> Option<Answer> {
    match answer {
        server::Answer::Opened(result) => Some(Answer::Opened(result)),
        server::Answer::Found(result) => Some(Answer::Found(result.map(|found| found.destination))),
        _ => None,
    }
}

/// The size of a read, in bytes. Chosen to hold half of the largest SEND.
const READ: usize = 16 * 1024;

/// The size of a block that is read from a stream, in bytes. Chosen as some packets, so that streams
/// share the socket evenly.
const BLOCK: usize = 8 * 1024;

/// The size of the pipe of a stream in each direction, in bytes. Chosen as two blocks.
const PIPE: usize = 2 * BLOCK;

/// The most bytes that wait for the client, apart from one block. While there are more, the data of
/// its streams and datagrams are not read. At twice as many, its commands are not read either.
const MAX_OUT: usize = 64 * 1024;

/// The time limit for a client to accept bytes. Chosen longer than in SAM 3, because not reading is
/// the only flow control of version 1.0.
const STALL_LIMIT: Duration = Duration::from_secs(600);
