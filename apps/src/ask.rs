//! Requests and responses over datagrams, with timeouts and retransmission.
//!
//! Datagrams get lost. A request contains a number. It is repeated until a response with the same
//! number arrives from its destination. A request may therefore be served more than once, so
//! handlers must be idempotent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use eepkit::{DatagramSocket, Destination, ReceiveError, ReceivedDatagram, SendError};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// The reason why a request has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No response arrived, although the request was repeated.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The request cannot be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Too many requests wait for responses.
    #[error("{MAX_WAITING} requests are already pending")]
    Busy,
}

/// Sends requests through a socket of the format Datagram2, whose senders are authenticated.
#[derive(Debug)]
pub struct Asker {
    socket: Arc<DatagramSocket>,
    waiting: Arc<Mutex<Waiting>>,
    receiving: JoinHandle<ReceiveError>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    questions: HashMap<u64, Question>,
}

#[derive(Debug)]
struct Question {
    to: Destination,
    answer: oneshot::Sender<Bytes>,
}

impl Asker {
    /// Uses `socket` for requests. All other datagrams that arrive there are dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(socket: DatagramSocket) -> Self {
        let socket = Arc::new(socket);
        let waiting = Arc::default();
        let receiving = tokio::spawn(receive(Arc::clone(&socket), Arc::clone(&waiting)));
        Self {
            socket,
            waiting,
            receiving,
        }
    }

    /// Sends a request to the server at `port` of `to`. Repeats it three times with increasing
    /// pauses.
    ///
    /// # Errors
    ///
    /// See [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request.
    pub async fn ask(&self, to: &Destination, port: u16, body: &[u8]) -> Result<Bytes, AskError> {
        let (number, mut answer) = self.register(to)?;
        let _forget = Forget(self, number);
        let packet = packet(REQUEST, number, body);
        let mut waited = Duration::ZERO;
        for attempt in 0..ATTEMPTS {
            self.socket.send_to(&packet, (to, port)).await?;
            let pause = FIRST_TIMEOUT * 2_u32.pow(attempt);
            if let Ok(Ok(answer)) = timeout(pause, &mut answer).await {
                return Ok(answer);
            }
            waited += pause;
        }
        Err(AskError::Timeout(waited))
    }

    fn register(&self, to: &Destination) -> Result<(u64, oneshot::Receiver<Bytes>), AskError> {
        let mut waiting = lock(&self.waiting);
        if waiting.questions.len() >= MAX_WAITING {
            return Err(AskError::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        waiting.next += 1;
        let number = waiting.next;
        let question = Question {
            to: to.clone(),
            answer: sender,
        };
        waiting.questions.insert(number, question);
        Ok((number, receiver))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

struct Forget<'a>(&'a Asker, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.0.waiting).questions.remove(&self.1);
    }
}

async fn receive(socket: Arc<DatagramSocket>, waiting: Arc<Mutex<Waiting>>) -> ReceiveError {
    loop {
        let datagram = match socket.recv_from().await {
            Ok(datagram) => datagram,
            Err(error) => return error,
        };
        let Some((number, body)) = parse(RESPONSE, datagram.payload()) else {
            continue;
        };
        let mut waiting = lock(&waiting);
        let asked = |question: &Question| datagram.sender() == Some(&question.to);
        if waiting.questions.get(&number).is_some_and(asked)
            && let Some(question) = waiting.questions.remove(&number)
        {
            // An error means that the caller has dropped the request.
            let _ = question.answer.send(body);
        }
    }
}

/// Answers the requests that arrive at `socket`, until its session ends.
///
/// # Errors
///
/// When the session is closed or fails.
pub async fn answer<F>(socket: &DatagramSocket, handler: F) -> Result<(), ReceiveError>
where
    F: Fn(&ReceivedDatagram, Bytes) -> Vec<u8>,
{
    loop {
        let datagram = socket.recv_from().await?;
        if let Some((number, body)) = parse(REQUEST, datagram.payload()) {
            let response = packet(RESPONSE, number, &handler(&datagram, body));
            // A response that cannot be sent is lost like any datagram, and the request is
            // repeated.
            let _ = socket.reply(&datagram, &response).await;
        }
    }
}

/// Encodes a kind, a number, and the body.
fn packet(kind: u8, number: u64, body: &[u8]) -> Bytes {
    let mut packet = BytesMut::with_capacity(HEADER + body.len());
    packet.put_u8(kind);
    packet.put_u64(number);
    packet.put_slice(body);
    packet.freeze()
}

fn parse(kind: u8, packet: &Bytes) -> Option<(u64, Bytes)> {
    let (head, _) = packet.split_first_chunk::<HEADER>()?;
    let (&found, number) = head.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    (found == kind).then(|| (number, packet.slice(HEADER..)))
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const HEADER: usize = 9;
/// The number of times that a request is sent.
const ATTEMPTS: u32 = 4;
/// How long the first attempt waits for the response. Each further one waits twice as long. Chosen
/// above a usual round trip on the live network.
const FIRST_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum number of pending requests.
const MAX_WAITING: usize = 256;
