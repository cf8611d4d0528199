//! Raw datagrams over I2CP, to measure the capacity of the tunnels without a streaming protocol.
//!
//! A few small ones are sent back, because otherwise the end-to-end encryption of the routers stays
//! at its first message, which is long and slow. They are no acknowledgements: arrivals are
//! reported outside the emulated network.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use eepkit::clock::unix_now;
use eepkit_i2cp::{LeaseSetMaker, Options};
use eepkit_link::{
    Command, Connector, Event, Link, LinkStage, Outgoing, PathChoice, Payload, SendOptions, Setup,
};
use eepkit_wire::{Destination, Lease, PrivateKeys, SignatureType};
use rand::rngs::StdRng;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{Answers, lock, session::accept_limit};
use crate::wire::{Answer, ProbePlan, RawCount, SessionPlan};

/// Bytes of a datagram: the size of a full streaming packet.
const BODY: usize = 1834;

/// Bytes of it that would be payload in a streaming packet.
pub(crate) const DATA: usize = 1812;

/// The I2CP protocol number of datagrams without a sender (I2CP specification, "Protocol").
const PROTOCOL: u8 = 18;

/// The lifetime of a datagram in a router. Chosen because a stream would not wait longer for it.
const LIFETIME: Duration = Duration::from_secs(10);

/// Datagrams between the sender and the link. Chosen because more would count as sent although the
/// router has not accepted them.
const QUEUE: usize = 8;

/// The interval of reports of the newest datagram. Chosen because it is short compared with any RTT
/// and causes little work.
const REPORT_INTERVAL: Duration = Duration::from_millis(5);

/// The number of greetings before the measurement, and their interval.
const GREETINGS: u64 = 30;
const GREETING: Duration = Duration::from_secs(1);

/// Datagrams in flight at the start.
const FIRST_WINDOW: u64 = 16;

/// The number of datagrams after which one is sent back, and its size in bytes.
const ANSWER_EVERY: u64 = 16;
const ANSWER: usize = 64;

/// If no datagram arrives for this time, all in flight are declared lost.
const LOST: Duration = Duration::from_secs(2);

/// The most arrivals that are recorded: a few minutes at the highest rate of a probe, in 16 MB.
const MAX_ARRIVALS: usize = 1_000_000;

/// The number and the time in microseconds of each datagram, in the order of arrival. `None` if they are not
/// recorded.
type Arrivals = Option<Vec<(u64, u64)>>;

/// A session that sends and counts datagrams.
pub(super) struct RawSession {
    destination: Destination,
    outgoing: mpsc::Sender<Order>,
    count: Arc<Mutex<RawCount>>,
    arrivals: Arc<Mutex<Arrivals>>,
    /// The limits of [`RawSession::send`].
    pace: watch::Sender<Pace>,
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
            progress: eepkit_link::Progress::default(),
        };
        let link = router
            .open(setup)
            .await
            .map_err(|error| error.to_string())?;
        let (ready, mut becomes_ready) = mpsc::channel(1);
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let count = Arc::default();
        let arrivals = Arc::default();
        let driver = Driver {
            link,
            maker,
            queue,
            leases: Vec::new(),
            count: Arc::clone(&count),
            arrivals: Arc::clone(&arrivals),
            ready,
        };
        let task = tokio::spawn(driver.run()).abort_handle();
        let session = Self {
            destination: keys.destination().clone(),
            outgoing,
            count,
            arrivals,
            pace: watch::Sender::default(),
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

    /// Sends datagrams, up to the window ahead of the last one that arrived, until the window is 0.
    pub(super) async fn send(&self, to: &str) -> Result<(), String> {
        let to = Destination::from_base64(to).map_err(|error| error.to_string())?;
        let mut pace = self.pace.subscribe();
        let mut number = self.greet(&to).await?;
        loop {
            let go = |pace: &Pace| pace.target == 0 || number < pace.newest + pace.window;
            match timeout(LOST, pace.wait_for(go)).await {
                Ok(Ok(pace)) if pace.target == 0 => return Ok(()),
                Ok(Ok(_)) => {}
                // The pace is a field of this session.
                Ok(Err(_)) => return Ok(()),
                Err(_) => {
                    self.came(number);
                    continue;
                }
            }
            number += 1;
            self.submit(&to, number, BODY).await?;
        }
    }

    /// Sends a datagram per second until one comes back. Returns the number sent. Until then the
    /// end-to-end encryption opens a session with each message, and i2pd refuses sessions at a high
    /// rate.
    async fn greet(&self, to: &Destination) -> Result<u64, String> {
        for number in 1..=GREETINGS {
            self.submit(to, number, BODY).await?;
            let deadline = Instant::now() + GREETING;
            while Instant::now() < deadline {
                sleep(REPORT_INTERVAL).await;
                if lock(&self.count).messages > 0 {
                    self.came(number);
                    return Ok(number);
                }
            }
        }
        Err("no datagram comes back".to_owned())
    }

    /// Sends datagrams until one has come back.
    pub(super) async fn meet(&self, to: &str) -> Result<(), String> {
        let to = Destination::from_base64(to).map_err(|error| error.to_string())?;
        self.greet(&to).await.map(drop)
    }

    /// Sends datagrams at a fixed rate. Returns the time in microseconds at which each was sent.
    pub(super) async fn probe(&self, to: &str, plan: ProbePlan) -> Result<Vec<u64>, String> {
        let to = Destination::from_base64(to).map_err(|error| error.to_string())?;
        let mut times = Vec::new();
        let mut ticks = interval(plan.interval);
        // A delayed burst does not change the average rate.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..plan.count {
            if number % plan.burst == 0 {
                ticks.tick().await;
            }
            if number > 0 && plan.republish.is_some_and(|every| number % every == 0) {
                self.order(Order::Publish).await?;
            }
            times.push(micros());
            self.submit(&to, plan.first + number, plan.size).await?;
        }
        Ok(times)
    }

    /// Returns the arrivals since the last call, and records further ones.
    pub(super) fn take_arrivals(&self) -> Vec<(u64, u64)> {
        lock(&self.arrivals).replace(Vec::new()).unwrap_or_default()
    }

    /// Sets the number of datagrams in flight. It changes by one for each arrival, because routers
    /// drop bursts.
    pub(super) fn set_window(&self, window: u64) {
        self.pace.send_modify(|pace| {
            pace.target = window;
            pace.window = pace.window.max(FIRST_WINDOW).min(window);
        });
    }

    /// Records the newest datagram that has arrived.
    pub(super) fn came(&self, newest: u64) {
        self.pace.send_if_modified(|pace| {
            let more = newest.saturating_sub(pace.newest);
            pace.newest += more;
            pace.window = (pace.window + more).min(pace.target);
            more > 0
        });
    }

    /// Reports arrivals, and sends a datagram back at intervals. Does not end by itself.
    pub(super) async fn watch(&self, back: &str, answers: &Answers) -> Result<(), String> {
        let back = Destination::from_base64(back).map_err(|error| error.to_string())?;
        let mut told = RawCount::default();
        let mut next_answer = 1;
        loop {
            sleep(REPORT_INTERVAL).await;
            let count = *lock(&self.count);
            if count != told {
                told = count;
                answers.send(Answer::RawCount(count)).await;
            }
            if count.messages >= next_answer {
                next_answer = count.messages + ANSWER_EVERY;
                self.submit(&back, 0, ANSWER).await?;
            }
        }
    }

    async fn submit(&self, to: &Destination, number: u64, len: usize) -> Result<(), String> {
        let to = to.clone();
        self.order(Order::Send(Datagram { to, number, len })).await
    }

    async fn order(&self, order: Order) -> Result<(), String> {
        let taken = self.outgoing.send(order).await;
        taken.map_err(|_| "the router ended the session".to_owned())
    }
}

/// The send state: the newest arrival and the limits of datagrams in flight.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// The newest datagram that has arrived.
    newest: u64,
    /// The number of datagrams that may be in flight, and the number to reach.
    window: u64,
    target: u64,
}

impl Drop for RawSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The wall time in microseconds, the same for all agents of a machine.
fn micros() -> u64 {
    u64::try_from(unix_now().as_micros()).unwrap_or(u64::MAX)
}

struct Driver {
    link: Box<dyn Link>,
    maker: LeaseSetMaker,
    queue: mpsc::Receiver<Order>,
    /// The newest leases.
    leases: Vec<Lease>,
    count: Arc<Mutex<RawCount>>,
    arrivals: Arc<Mutex<Arrivals>>,
    ready: mpsc::Sender<()>,
}

enum Step {
    Event(Event),
    Order(Order),
}

/// What a driver shall do.
enum Order {
    Send(Datagram),
    /// Publish the lease set again.
    Publish,
}

/// A datagram to be sent.
struct Datagram {
    to: Destination,
    number: u64,
    len: usize,
}

impl Driver {
    async fn run(mut self) {
        loop {
            match self.step().await {
                Step::Order(Order::Send(datagram)) => {
                    self.link.submit(Command::Send(datagram.into()));
                }
                Step::Order(Order::Publish) => self.publish().await,
                Step::Event(Event::Received { payload, .. }) => {
                    let number = payload.body.first_chunk().copied();
                    let number = u64::from_be_bytes(number.unwrap_or_default());
                    let mut count = lock(&self.count);
                    count.newest = count.newest.max(number);
                    count.messages += 1;
                    if let Some(arrivals) = &mut *lock(&self.arrivals)
                        && arrivals.len() < MAX_ARRIVALS
                    {
                        arrivals.push((number, micros()));
                    }
                }
                Step::Event(Event::LeaseSetWanted { leases, .. }) => {
                    self.leases = leases;
                    self.publish().await;
                }
                Step::Event(Event::Stage(LinkStage::Ready)) => {
                    let _ = self.ready.try_send(());
                }
                Step::Event(Event::Lost(_)) => return,
                Step::Event(_) => {}
            }
        }
    }

    async fn publish(&mut self) {
        // Without a lease set the session never becomes ready, and opening it fails.
        if let Ok(signed) = self.maker.make(&self.leases, unix_now()) {
            poll_fn(|cx| self.link.poll_ready(cx)).await;
            self.link.submit(Command::PublishLeaseSet(signed));
        }
    }

    async fn step(&mut self) -> Step {
        poll_fn(|cx| {
            if let Poll::Ready(event) = self.link.poll_event(cx) {
                return Poll::Ready(Step::Event(event));
            }
            if self.link.poll_ready(cx).is_ready()
                && let Poll::Ready(Some(order)) = self.queue.poll_recv(cx)
            {
                return Poll::Ready(Step::Order(order));
            }
            Poll::Pending
        })
        .await
    }
}

impl From<Datagram> for Outgoing {
    fn from(datagram: Datagram) -> Self {
        let mut body = vec![0x55; datagram.len];
        body[..8].copy_from_slice(&datagram.number.to_be_bytes());
        Self {
            token: 0,
            to: datagram.to,
            path: PathChoice::Auto,
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
