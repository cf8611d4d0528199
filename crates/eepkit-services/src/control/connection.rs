//! One connection to the control socket.

use std::{future::poll_fn, io, sync::Arc, task::Poll, time::Duration};

use bytes::BytesMut;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    sync::mpsc,
    time::timeout,
};
use tracing::{debug, warn};

use super::slots::{MAX_REQUESTS, Slots};
use crate::{
    methods::{ControlError, Events, MAX_REQUEST, Methods, Outcome, Reply, Request, line},
    serve::{Handle, Socket},
};

/// Serves a connection until the client closes it, does not keep the protocol, or sends nothing
/// for [`IDLE`].
pub(super) async fn serve(
    socket: Socket,
    methods: Arc<dyn Methods>,
    server: Handle,
    slots: Arc<Slots>,
) {
    if !is_same_user(&socket) {
        warn!("another user connected to the control socket");
        return;
    }
    let (reader, writer) = split(socket);
    let mut connection = Connection {
        reader,
        writer,
        received: BytesMut::new(),
        scanned: 0,
        slots,
    };
    if let Err(error) = connection.run(&*methods, &server).await {
        debug!(%error, "a connection to the control socket ended");
    }
}

/// Whether the program at the other end runs as the user of this process, or as root.
fn is_same_user(socket: &Socket) -> bool {
    match socket {
        #[cfg(unix)]
        Socket::Unix(socket) => match socket.peer_cred() {
            Ok(peer) => peer.uid() == rustix::process::geteuid().as_raw() || peer.uid() == 0,
            Err(_) => false,
        },
        _ => false,
    }
}

struct Connection {
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
    /// Received bytes of requests that were not handled yet.
    received: BytesMut,
    /// The number of received bytes that contain no line end.
    scanned: usize,
    slots: Arc<Slots>,
}

impl Connection {
    async fn run(&mut self, methods: &dyn Methods, server: &Handle) -> io::Result<()> {
        loop {
            let slot = self.slots.wait();
            let line = tokio::select! {
                biased;
                line = timeout(IDLE, self.next_line()) => line,
                () = slot.evicted() => {
                    let why = "other connections wait for a request, and this one for longest";
                    return self.write(&Reply::refusal("limit", why)).await;
                }
                () = server.closing().cancelled() => return Ok(()),
            };
            drop(slot);
            let Some(line) = line.map_err(|_| io::ErrorKind::TimedOut)?? else {
                return Ok(());
            };
            match serde_json::from_slice::<Request>(&line) {
                Ok(request) => {
                    if !self.answer(request, methods).await? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    let why = format!("not a request: {error}");
                    self.write(&Reply::refusal("bad_request", &why)).await?;
                }
            }
        }
    }

    /// Runs a method and sends its events and its result. Returns false if the client closed the
    /// connection before.
    async fn answer(&mut self, request: Request, methods: &dyn Methods) -> io::Result<bool> {
        let id = request.id;
        let (sender, mut events) = Events::new();
        let method = request.method.clone();
        let Some(mut work) = methods.call(request, sender) else {
            let error = ControlError::new("unknown_method", format!("no method {method:?}"))
                .hint(format!("the methods are {}", methods.names().join(", ")));
            self.write(&Reply::outcome(id, Err(error))).await?;
            return Ok(true);
        };
        let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        if let Poll::Ready(outcome) = first {
            drop(work);
            return self.finish(id, &mut events, outcome).await;
        }
        let Some(_slot) = self.slots.request() else {
            let why = format!("{MAX_REQUESTS} requests are in progress, which is the most");
            let error = ControlError::new("limit", why);
            self.write(&Reply::outcome(id, Err(error))).await?;
            return Ok(true);
        };
        loop {
            let may_read = self.received.len() < MAX_REQUEST;
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.write(&Reply::event(id, event)).await?,
                outcome = &mut work => {
                    drop(work);
                    return self.finish(id, &mut events, outcome).await;
                }
                read = self.reader.read_buf(&mut self.received), if may_read => {
                    if read? == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Sends the result, after the events that were sent before the end.
    async fn finish(
        &mut self,
        id: u64,
        events: &mut mpsc::Receiver<Value>,
        outcome: Outcome,
    ) -> io::Result<bool> {
        while let Ok(event) = events.try_recv() {
            self.write(&Reply::event(id, event)).await?;
        }
        self.write(&Reply::outcome(id, outcome)).await?;
        Ok(true)
    }

    /// Reads the next line, without its end. `None` at the end of the connection.
    async fn next_line(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            let unscanned = self.received.get(self.scanned..).unwrap_or_default();
            if let Some(end) = unscanned.iter().position(|byte| *byte == b'\n') {
                let mut line = self.received.split_to(self.scanned + end + 1);
                line.truncate(line.len() - 1);
                self.scanned = 0;
                return Ok(Some(line));
            }
            self.scanned = self.received.len();
            if self.received.len() >= MAX_REQUEST {
                let why = format!("a request is longer than {MAX_REQUEST} bytes");
                self.write(&Reply::refusal("bad_request", &why)).await?;
                return Ok(None);
            }
            if self.reader.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let line = line(reply);
        timeout(WRITE_LIMIT, self.writer.write_all(&line))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// The time after which a connection without a request in progress is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The time within which a client has to read a reply.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
