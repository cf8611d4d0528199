//! Datagrams straight over I2CP: what the router passes when nobody waits for an acknowledgement.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use eepkit::clock::unix_now;
use eepkit_i2cp::{LeaseSetMaker, Options};
use eepkit_router::link::{
    Command, Connector, Event, Link, Outgoing, Payload, Route, SendOptions, Setup, Stage,
};
use eepkit_wire::{Destination, PrivateKeys, SignatureType};
use rand::rngs::StdRng;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Answers, lock, session::accept_limit};
use crate::wire::{Answer, RawCount, SessionPlan};

/// Bytes of a datagram: those of a full streaming packet.
const BODY: usize = 1834;

/// Bytes of it that would be data in a streaming packet.
pub(crate) const DATA: usize = 1812;

/// The I2CP protocol number of datagrams without a sender (I2CP specification, "Protocol").
const PROTOCOL: u8 = 18;

/// How long a router may keep a datagram. Chosen because it is the longest that a stream would
/// wait for it.
const LIFETIME: Duration = Duration::from_secs(10);

/// Datagrams between the sender and the link. Chosen because more would be counted as sent
/// although the router has not taken them.
const QUEUE: usize = 8;

/// How often the newest datagram is told. Chosen because it is short beside any round trip, and
/// little work.
const TELL: Duration = Duration::from_millis(5);

/// When nothing comes for so long, what was sent is taken for lost.
const LOST: Duration = Duration::from_secs(2);

/// A session that sends and counts datagrams.
pub(super) struct RawSession {
    destination: Destination,
    outgoing: mpsc::Sender<Datagram>,
    count: Arc<Mutex<RawCount>>,
    /// The number of the last datagram sent, over all calls of [`RawSession::send`].
    sent: AtomicU64,
    newest: watch::Sender<u64>,
    task: AbortHandle,
}

impl RawSession {
    /// Opens a session and waits until peers can reach it.
    pub(super) async fn open(
        router: &impl Connector,
        plan: &SessionPlan,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut rng: StdRng = rand::make_rng();
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng)
            .map_err(|error| error.to_string())?;
        let keys = Arc::new(keys);
        let mut options = Options::new();
        let set = |options: &mut Options| {
            options.set_inbound_length(plan.hops)?;
            options.set_outbound_length(plan.hops)?;
            options.set_inbound_quantity(plan.inbound)?;
            options.set_outbound_quantity(plan.outbound)
        };
        set(&mut options).map_err(|error| error.to_string())?;
        let maker = LeaseSetMaker::new(Arc::clone(&keys), &options, &mut rng)
            .map_err(|error| error.to_string())?;
        let setup = Setup {
            keys: Arc::clone(&keys),
            options,
            timeout: accept_limit(limit),
        };
        let link = router
            .open(setup)
            .await
            .map_err(|error| error.to_string())?;
        let (ready, mut becomes_ready) = mpsc::channel(1);
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let count = Arc::default();
        let driver = Driver {
            link,
            maker,
            queue,
            count: Arc::clone(&count),
            ready,
        };
        let task = tokio::spawn(driver.run()).abort_handle();
        let session = Self {
            destination: keys.destination().clone(),
            outgoing,
            count,
            sent: AtomicU64::new(0),
            newest: watch::Sender::new(0),
            task,
        };
        match timeout(limit, becomes_ready.recv()).await {
            Ok(Some(())) => Ok(session),
            Ok(None) => Err("the router ended the session".to_owned()),
            Err(_) => Err("the session has no tunnels".to_owned()),
        }
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Sends datagrams, `window` ahead of the last that is known to have come; tells how many.
    ///
    /// That they have come is told by [`RawSession::came`], past the network: this measures the
    /// way there alone.
    pub(super) async fn send(
        &self,
        to: &str,
        window: u64,
        duration: Duration,
    ) -> Result<u64, String> {
        let to = Destination::from_base64(to).map_err(|error| error.to_string())?;
        let end = Instant::now() + duration;
        let before = self.sent.load(Ordering::Relaxed);
        self.newest.send_replace(before);
        let mut newest = self.newest.subscribe();
        while Instant::now() < end {
            let number = self.sent.load(Ordering::Relaxed) + 1;
            let far = |newest: &u64| number <= newest.saturating_add(window);
            let limit = (Instant::now() + LOST).min(end);
            if timeout_at(limit, newest.wait_for(far)).await.is_err() {
                self.newest.send_replace(number - 1);
                continue;
            }
            let to = to.clone();
            let datagram = Datagram { to, number };
            self.sent.store(number, Ordering::Relaxed);
            let taken = self.outgoing.send(datagram).await;
            taken.map_err(|_| "the router ended the session".to_owned())?;
        }
        Ok(self.sent.load(Ordering::Relaxed) - before)
    }

    /// This datagram has come.
    pub(super) fn came(&self, newest: u64) {
        self.newest.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
    }

    /// Counts what comes in a time, and tells the newest as it comes.
    pub(super) async fn watch(&self, duration: Duration, answers: &Answers) -> RawCount {
        let end = Instant::now() + duration;
        let newest = lock(&self.count).newest;
        *lock(&self.count) = RawCount {
            newest,
            ..RawCount::default()
        };
        let mut told = newest;
        while Instant::now() < end {
            sleep(TELL).await;
            let newest = lock(&self.count).newest;
            if newest > told {
                told = newest;
                answers.send(Answer::RawNewest { newest }).await;
            }
        }
        *lock(&self.count)
    }
}

impl Drop for RawSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    link: Box<dyn Link>,
    maker: LeaseSetMaker,
    queue: mpsc::Receiver<Datagram>,
    count: Arc<Mutex<RawCount>>,
    ready: mpsc::Sender<()>,
}

enum Step {
    Event(Event),
    Send(Datagram),
}

/// A datagram to be sent.
struct Datagram {
    to: Destination,
    number: u64,
}

impl Driver {
    async fn run(mut self) {
        loop {
            match self.step().await {
                Step::Send(datagram) => self.link.submit(Command::Send(datagram.into())),
                Step::Event(Event::Received { payload, .. }) => {
                    let number = payload.body.first_chunk().copied();
                    let mut count = lock(&self.count);
                    count.newest = count
                        .newest
                        .max(u64::from_be_bytes(number.unwrap_or_default()));
                    let now = unix_now();
                    if count.messages == 0 {
                        count.first = now;
                    }
                    count.messages += 1;
                    count.last = now;
                }
                Step::Event(Event::LeaseSetWanted(leases)) => {
                    // Without one the session is never ready, and its opening says so.
                    if let Ok(signed) = self.maker.make(&leases, unix_now()) {
                        poll_fn(|cx| self.link.poll_ready(cx)).await;
                        self.link.submit(Command::PublishLeaseSet(signed));
                    }
                }
                Step::Event(Event::Stage(Stage::Ready)) => {
                    let _ = self.ready.try_send(());
                }
                Step::Event(Event::Lost(_)) => return,
                Step::Event(_) => {}
            }
        }
    }

    async fn step(&mut self) -> Step {
        poll_fn(|cx| {
            if let Poll::Ready(event) = self.link.poll_event(cx) {
                return Poll::Ready(Step::Event(event));
            }
            if self.link.poll_ready(cx).is_ready()
                && let Poll::Ready(Some(datagram)) = self.queue.poll_recv(cx)
            {
                return Poll::Ready(Step::Send(datagram));
            }
            Poll::Pending
        })
        .await
    }
}

impl From<Datagram> for Outgoing {
    fn from(datagram: Datagram) -> Self {
        let mut body = vec![0x55; BODY];
        body[..8].copy_from_slice(&datagram.number.to_be_bytes());
        Self {
            token: 0,
            to: datagram.to,
            route: Route::Auto,
            payload: Payload {
                protocol: PROTOCOL,
                from_port: 0,
                to_port: 0,
                body: Bytes::from(body),
            },
            compress: false,
            deadline: Instant::now() + LIFETIME,
            options: SendOptions::default(),
        }
    }
}
