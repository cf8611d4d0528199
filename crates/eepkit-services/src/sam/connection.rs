//! One connection of a client: the driver of its state machine.

use std::{ops::Range, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::{DatagramSocket, ReceiveError, ReceivedDatagram, SessionWatch, Stream};
use eepkit_sam::{
    Failure, Style,
    server::{Answer, Connection, Output, Request},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;
use zeroize::Zeroize as _;

use super::{
    auth,
    done::{Done, SESSION_OVER},
    joining::join,
    lookups, older, sessions,
    shared::Shared,
    streams, udp,
    waiting::{receive, session_over, until},
};
use crate::{
    reading::{self, Ends, Gate},
    serve::{self, Socket, close_gently},
};

/// Serves a client until the client or the bridge ends the connection.
pub(super) async fn serve(shared: Arc<Shared>, accepted: serve::Connection) {
    let serve::Connection {
        mut socket, client, ..
    } = accepted;
    // With TLS, reads of the program cannot be observed on its socket.
    let ends = match &socket {
        Socket::Tcp(socket) => Ends::of(socket),
        _ => None,
    };
    let mut machine = Connection::new(
        shared.protocol.clone(),
        client,
        rand::random(),
        Instant::now().into_std(),
    );
    if ends.is_some() {
        machine.watch_reading();
    }
    let mut driver = Driver {
        shared: shared.clone(),
        machine,
        ends,
        sent: 0,
        work: None,
        stream: None,
        token: None,
        forwarding: None,
        mailbox: None,
        watch: None,
        buffer: vec![0; READ].into_boxed_slice(),
        unread: 0..0,
    };
    let end = tokio::select! {
        end = driver.run(&mut socket) => end,
        () = shared.server.closing().cancelled() => End::Gone,
    };
    driver.finish();
    match end {
        End::Gone => {}
        End::Older { machine, early } => {
            drop(driver);
            older::serve(shared, socket, *machine, &early).await;
        }
        End::Closed => close_gently(&mut socket).await,
        End::Join { early, gate } => {
            let Some(stream) = driver.stream.take() else {
                return;
            };
            let token = driver.token.take().unwrap_or_default();
            drop(driver);
            join(&shared, socket, stream, early, gate, &token).await;
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

struct Driver {
    shared: Arc<Shared>,
    machine: Connection,
    /// `Some` if it can be observed what the client reads.
    ends: Option<Ends>,
    /// The number of bytes sent to the client.
    sent: u64,
    /// The request whose answer the machine waits for. There is one at a time.
    work: Option<Work>,
    stream: Option<Stream>,
    /// The token of the session that this socket's stream or ACCEPT belongs to.
    token: Option<CancellationToken>,
    /// Dropping it ends the forwarding of this socket.
    forwarding: Option<DropGuard>,
    mailbox: Option<(Style, DatagramSocket)>,
    watch: Option<SessionWatch>,
    buffer: Box<[u8]>,
    /// The part of `buffer` that the machine has not got yet.
    unread: Range<usize>,
}

enum End {
    /// The socket failed, or the client closed it.
    Gone,
    /// The machine closes the socket.
    Closed,
    Join {
        early: Bytes,
        gate: Gate,
    },
    /// The client uses SAM 1.0 or 2.0, and has already sent these bytes.
    Older {
        machine: Box<eepkit_sam::server::older::Connection>,
        early: Bytes,
    },
}

impl Driver {
    async fn run(&mut self, socket: &mut Socket) -> End {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Send(bytes) => {
                        let written = timeout(WRITE_LIMIT, socket.write_all(&bytes)).await;
                        if !matches!(written, Ok(Ok(()))) || socket.flush().await.is_err() {
                            return End::Gone;
                        }
                        self.sent += bytes.len() as u64;
                        // The answer to SESSION CREATE contains private keys.
                        eepkit_sam::wipe(bytes);
                    }
                    Output::Request(request) => self.request(request),
                    Output::Join { early, data_after } => {
                        let gate = Gate {
                            ends: self.ends,
                            sent: self.sent,
                            latest: data_after.into(),
                        };
                        return End::Join { early, gate };
                    }
                    Output::Older(machine) => {
                        let early = self.buffer.get(self.unread.clone()).unwrap_or_default();
                        let early = Bytes::copy_from_slice(early);
                        return End::Older { machine, early };
                    }
                    Output::Close => return End::Closed,
                    other => debug!(?other, "the machine asks for an unknown output"),
                }
            }
            let happened = match self.unread.is_empty() {
                true => self.wait(socket).await,
                // Other connections take turns with the lines of a client that sends many at once.
                false => {
                    yield_now().await;
                    Happened::Bytes(self.unread.clone())
                }
            };
            let now = Instant::now().into_std();
            let directory = &mut *self.shared.directory();
            let machine = &mut self.machine;
            match happened {
                Happened::Bytes(unread) if unread.is_empty() => return End::Gone,
                Happened::Bytes(unread) => {
                    let bytes = self.buffer.get_mut(unread.clone()).unwrap_or_default();
                    let line = bytes.iter().position(|byte| *byte == b'\n');
                    let length = line.map_or(bytes.len(), |end| end + 1);
                    self.unread = unread.start + length..unread.end;
                    let bytes = bytes.get_mut(..length).unwrap_or_default();
                    machine.handle_bytes(now, directory, bytes);
                    // SESSION CREATE contains private keys.
                    bytes.zeroize();
                }
                Happened::Done(done) => {
                    self.work = None;
                    self.stream = done.stream;
                    self.mailbox = done.mailbox.or_else(|| self.mailbox.take());
                    self.watch = done.watch.or_else(|| self.watch.take());
                    machine.handle_answer(now, directory, done.answer);
                }
                Happened::Datagram(Ok(datagram)) => {
                    if let Some((style, _)) = self.mailbox {
                        let datagram = udp::received(&datagram);
                        let answer = Answer::Received { style, datagram };
                        machine.handle_answer(now, directory, answer);
                    }
                }
                // The watch contains the reason.
                Happened::Datagram(Err(_)) => self.mailbox = None,
                Happened::SessionOver(failure) => {
                    self.watch = None;
                    self.token = None;
                    let answer = Answer::SessionEnded(failure);
                    machine.handle_answer(now, directory, answer);
                }
                Happened::Nothing => {}
                Happened::Read => machine.handle_read(now),
                Happened::Deadline => machine.handle_timeout(now, directory),
            }
        }
    }

    /// Waits for the next event.
    async fn wait(&mut self, socket: &mut Socket) -> Happened {
        let deadline = self.machine.deadline().map(Instant::from);
        let wants_bytes = self.machine.wants_bytes();
        let waits_for_reading = self.machine.waits_for_reading();
        // A forwarding socket waits for the end of the session here. Other sockets do so in their
        // request.
        let token = self.token.as_ref().filter(|_| self.forwarding.is_some());
        tokio::select! {
            done = work(&mut self.work) => Happened::Done(done),
            read = socket.read(&mut self.buffer), if wants_bytes => {
                Happened::Bytes(0..read.unwrap_or(0))
            }
            datagram = receive(self.mailbox.as_ref()) => Happened::Datagram(datagram),
            over = session_over(&mut self.watch) => match over {
                Some(failure) => Happened::SessionOver(failure),
                None => Happened::Nothing,
            },
            () = reading::read(self.ends, self.sent), if waits_for_reading => Happened::Read,
            () = ended(token) => Happened::SessionOver(Failure::error(SESSION_OVER)),
            () = until(deadline) => Happened::Deadline,
        }
    }

    fn request(&mut self, request: Request) {
        let shared = self.shared.clone();
        let work: Work = match request {
            Request::Open(open) => Box::pin(sessions::open(shared, open)),
            Request::Add {
                primary,
                session,
                params,
                version,
            } => Box::pin(async move {
                let result = sessions::add(&shared, primary, session, params, version);
                Done::from(Answer::Added(result))
            }),
            Request::Close(session) => return sessions::close(&self.shared, session),
            Request::Connect(connect) => {
                self.token = shared.live(connect.session).map(|live| live.token);
                Box::pin(streams::connect(shared, connect))
            }
            Request::Accept { session } => {
                self.token = shared.live(session).map(|live| live.token);
                Box::pin(streams::accept(shared, session))
            }
            Request::Forward(forward) => {
                self.token = shared.live(forward.session).map(|live| live.token);
                let result = streams::forward(&shared, forward).map(|guard| {
                    self.forwarding = Some(guard);
                });
                Box::pin(std::future::ready(Done::from(Answer::Forwarding(result))))
            }
            Request::LookUp {
                session,
                target,
                options,
            } => Box::pin(lookups::look_up(shared, session, target, options)),
            Request::Send(datagram) => return udp::send(&self.shared, datagram),
            Request::Authenticate { user, password } => {
                Box::pin(auth::authenticate(shared, user, password))
            }
            Request::ChangeAuth(change) => Box::pin(auth::change(shared, change)),
            other => {
                debug!(?other, "the machine makes an unknown request");
                return;
            }
        };
        self.work = Some(work);
    }

    /// The socket is closed or belongs to a stream. Releases everything else.
    fn finish(&mut self) {
        // What the machine has not got may contain private keys.
        self.buffer.zeroize();
        self.work = None;
        self.forwarding = None;
        self.mailbox = None;
        self.machine.handle_end(&mut self.shared.directory());
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(Request::Close(session)) => sessions::close(&self.shared, session),
                Output::Send(bytes) => eepkit_sam::wipe(bytes),
                _ => {}
            }
        }
    }
}

enum Happened {
    /// The client sent the bytes of this part of the buffer, or closed its side.
    Bytes(Range<usize>),
    Done(Done),
    Datagram(Result<ReceivedDatagram, ReceiveError>),
    SessionOver(Failure),
    Read,
    Deadline,
    Nothing,
}

async fn work(work: &mut Option<Work>) -> Done {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn ended(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// The size of a read while lines are exchanged, in bytes. Chosen as the longest common line.
const READ: usize = 4096;

/// The time limit for a client to read what it was sent, after which the connection is closed.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
