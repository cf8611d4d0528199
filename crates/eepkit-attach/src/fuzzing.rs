//! The functions of the fuzz targets. Each accepts any bytes, and panics if it finds a bug.
//!
//! The targets of the links run in paused time with connections in memory, so that a run takes far
//! less time than the time limits that it reaches.

mod address;
mod i2cp;
mod sam;

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use eepkit_i2cp::Options;
use eepkit_link::{
    Command, Connector, Event, Link, LinkError, LookupTarget, Outgoing, PathChoice, Payload,
    SendOptions, Setup,
};
use eepkit_wire::{Destination, Hash, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tokio::{
    runtime::{Builder, Handle},
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};

pub use self::{address::address, i2cp::i2cp, sam::sam};

/// The input, as a sequence of operations.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next bytes, up to as many as their first byte says.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.byte().map_or(0, usize::from);
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }
}

/// The application's side of a session. It checks what the link reports.
#[derive(Default)]
struct Client {
    opening: Option<JoinHandle<Result<Box<dyn Link>, LinkError>>>,
    link: Option<Box<dyn Link>>,
    ended: bool,
    /// The number of look-ups and of messages.
    asked: u32,
    sent: u64,
    /// Look-ups and messages, and whether the link has reported their end.
    lookups: HashMap<u32, bool>,
    reports: HashMap<u64, bool>,
}

impl Client {
    fn open(router: &dyn Connector, number: u8) -> Self {
        Self {
            opening: Some(tokio::spawn(router.open(setup(number)))),
            ..Self::default()
        }
    }

    /// Lets all tasks run, and handles what the link reports. `exchange` runs the router.
    async fn settle(&mut self, mut exchange: impl FnMut()) {
        for _ in 0..ROUNDS {
            exchange();
            yield_now().await;
            if let Some(opening) = self.opening.take_if(|opening| opening.is_finished()) {
                self.link = opening.await.expect("opening does not panic").ok();
            }
            while let Some(link) = &mut self.link
                && let Some(event) = now(poll_fn(|cx| link.poll_event(cx))).await
            {
                self.check(event);
            }
        }
    }

    fn check(&mut self, event: Event) {
        assert!(!self.ended, "nothing follows the end: {event:?}");
        match event {
            Event::Lost(_) | Event::Refused(_) => self.ended = true,
            Event::LookupDone { id, .. } => {
                let before = self.lookups.insert(id, true);
                assert_eq!(before, Some(false), "each look-up ends once");
            }
            Event::Sent { token } | Event::Dropped { token, .. } => {
                let before = self.reports.insert(token, true);
                assert_eq!(before, Some(false), "each message is reported at most once");
            }
            Event::Received { payload, .. } => assert!(payload.body.len() <= MAX_PAYLOAD),
            _ => {}
        }
    }

    /// Submits a command if the link accepts one now.
    async fn submit(&mut self, command: Command) -> bool {
        let Some(link) = &mut self.link else {
            return false;
        };
        let ready = now(poll_fn(|cx| link.poll_ready(cx))).await.is_some();
        if ready {
            link.submit(command);
        }
        ready
    }

    async fn send(&mut self, argument: u8, body: Vec<u8>) {
        let token = self.sent;
        let command = Command::Send(Outgoing {
            token,
            to: peer(argument),
            path: PathChoice::Auto,
            payload: Payload {
                protocol: 6,
                from_port: 1,
                to_port: 2,
                body: body.into(),
            },
            compress: argument & 4 != 0,
            deadline: Instant::now() + Duration::from_millis(u64::from(argument) * 200),
            options: SendOptions::default(),
        });
        if self.submit(command).await {
            self.sent += 1;
            self.reports.insert(token, false);
        }
    }

    async fn look_up(&mut self, argument: u8) {
        let id = self.asked;
        let target = match argument % 3 {
            0 => LookupTarget::Hash(Hash::new([argument; 32])),
            1 => LookupTarget::Name(format!("name-{argument}.i2p")),
            _ => LookupTarget::LeaseSet(peer(argument)),
        };
        let command = Command::Lookup {
            id,
            target,
            timeout: Duration::from_secs(u64::from(argument)),
        };
        if self.submit(command).await {
            self.asked += 1;
            self.lookups.insert(id, false);
        }
    }

    /// Checks that the session opens or fails in time, and that every look-up of a session that
    /// goes on has ended.
    async fn finish(mut self, mut exchange: impl FnMut()) {
        for _ in 0..16 {
            sleep(LONGEST / 16).await;
            self.settle(&mut exchange).await;
        }
        assert!(self.opening.is_none(), "the session opens or fails in time");
        let pending = self.lookups.values().filter(|ended| !**ended).count();
        let is_open = self.link.is_some() && !self.ended;
        assert!(!is_open || pending == 0, "every look-up ends in time");
    }
}

/// Runs a future in paused time. No task may be left when it is done and `LONGEST` has passed.
fn paused(future: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        future.await;
        for _ in 0..8 {
            yield_now().await;
            sleep(LONGEST / 8).await;
        }
        assert_eq!(
            Handle::current().metrics().num_alive_tasks(),
            0,
            "no task is left"
        );
    });
}

/// The output of a future that is ready now. Otherwise drops the future.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn setup(number: u8) -> Setup {
    Setup {
        keys: keys(number),
        options: Options::new(),
        timeout: Duration::from_secs(30),
        progress: eepkit_link::Progress::default(),
    }
}

/// One of several keys. They are generated once, because that takes longer than a run.
fn keys(number: u8) -> Arc<PrivateKeys> {
    static KEYS: OnceLock<Vec<Arc<PrivateKeys>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let generate = |seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            PrivateKeys::generate(SignatureType::ED25519, &mut rng)
        };
        let keys = (0..4).map(|seed| generate(seed).map(Arc::new));
        keys.collect::<Result<_, _>>().expect("keys can be made")
    });
    keys[usize::from(number) % keys.len()].clone()
}

/// One of three peers.
fn peer(number: u8) -> Destination {
    keys(1 + number % 3).destination().clone()
}

/// Bytes that nothing interprets.
fn filler(length: u8) -> Bytes {
    vec![length; usize::from(length) * 8].into()
}

/// How often all tasks get their turn after an operation.
const ROUNDS: usize = 6;

/// The largest payload that a link delivers.
const MAX_PAYLOAD: usize = 64 * 1024;

/// Longer than every time limit of a link: that of a stream over SAM is five minutes.
const LONGEST: Duration = Duration::from_secs(900);
