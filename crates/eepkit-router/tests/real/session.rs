//! A minimal session for these tests. It keeps its lease set published and exchanges messages. The
//! library tests the full session.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit_i2cp::{LeaseSetMaker, Options};
use eepkit_link::{
    Command, Connector, Event, Link, LinkLookupError, LinkStage, LookupAnswer, LookupTarget,
    LostReason, Outgoing, PathChoice, Payload, SendOptions, Setup, clock,
};
use eepkit_wire::{Destination, PrivateKeys, SignatureType};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, interval, timeout};

/// The deadline of every operation.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct TestSession {
    link: Box<dyn Link>,
    keys: Arc<PrivateKeys>,
    maker: LeaseSetMaker,
}

impl TestSession {
    /// Opens a session with new keys and waits until peers can reach it.
    pub(crate) async fn open(router: &dyn Connector) -> Self {
        log_to_stderr();
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let keys = Arc::new(PrivateKeys::generate(SignatureType::ED25519, &mut rng).unwrap());
        let mut options = Options::new();
        for key in ["inbound.quantity", "outbound.quantity"] {
            options.set(key, "2").unwrap();
        }
        let maker = LeaseSetMaker::new(Arc::clone(&keys), &options, &mut rng).unwrap();
        let setup = Setup {
            keys: Arc::clone(&keys),
            options,
            timeout: DEADLINE,
            progress: eepkit_link::Progress::default(),
        };
        let link = router.open(setup).await.unwrap();
        let mut session = Self { link, keys, maker };
        timeout(DEADLINE, session.until_ready())
            .await
            .expect("no lease set in time");
        session
    }

    pub(crate) fn destination(&self) -> Destination {
        self.keys.destination().clone()
    }

    async fn until_ready(&mut self) {
        loop {
            if let Event::Stage(LinkStage::Ready) = self.event().await {
                return;
            }
        }
    }

    /// Returns the next event that the session does not handle itself.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            let event = poll_fn(|cx| self.link.poll_event(cx)).await;
            let Event::LeaseSetWanted { leases, .. } = event else {
                return event;
            };
            let lease_set = self.maker.make(&leases, clock::unix_now()).unwrap();
            self.submit(Command::PublishLeaseSet(lease_set)).await;
        }
    }

    async fn submit(&mut self, command: Command) {
        poll_fn(|cx| self.link.poll_ready(cx)).await;
        self.link.submit(command);
    }

    async fn send(&mut self, to: &Destination, body: &'static [u8]) {
        let payload = Payload {
            protocol: 18,
            from_port: 1,
            to_port: 2,
            body: Bytes::from(body),
        };
        let outgoing = Outgoing {
            token: 0,
            to: to.clone(),
            path: PathChoice::Auto,
            payload,
            compress: false,
            deadline: Instant::now() + DEADLINE,
            options: SendOptions::default(),
        };
        self.submit(Command::Send(outgoing)).await;
    }

    /// Sends a message repeatedly until it arrives. Messages are lost while tunnels pass through a
    /// router that has stopped.
    pub(crate) async fn deliver(&mut self, peer: &mut Self, body: &'static [u8]) {
        let to = peer.destination();
        let delivered = timeout(DEADLINE, async {
            let mut repeat = interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = repeat.tick() => self.send(&to, body).await,
                    event = peer.event() => match event {
                        Event::Received { payload, .. } if payload.body == body => return,
                        Event::Lost(reason) => panic!("the receiver was lost: {reason}"),
                        _ => {}
                    },
                    event = self.event() => if let Event::Lost(reason) = event {
                        panic!("the sender was lost: {reason}");
                    },
                }
            }
        });
        delivered.await.expect("the message did not arrive");
    }

    pub(crate) async fn look_up(
        &mut self,
        target: LookupTarget,
    ) -> Result<LookupAnswer, LinkLookupError> {
        self.submit(Command::Lookup {
            id: 7,
            target,
            timeout: DEADLINE,
        })
        .await;
        loop {
            if let Event::LookupDone { result, .. } = self.event().await {
                return result;
            }
        }
    }

    /// Waits until the session is lost.
    pub(crate) async fn lost(&mut self) -> LostReason {
        let lost = timeout(DEADLINE, async {
            loop {
                if let Event::Lost(reason) = self.event().await {
                    return reason;
                }
            }
        });
        lost.await.expect("the session was not lost")
    }
}

/// Writes the log lines selected by the environment variable `RUST_LOG` to standard error.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Only the first test of the process can install the subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
