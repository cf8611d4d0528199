//! A minimal session that answers lease set requests and records all events.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use eepkit_i2cp::{LeaseSetMaker, Options, SignedLeaseSet};
use eepkit_link::{
    Command, Connector, DropReason, Event, Link, LinkError, LinkLookupError, LinkStage,
    LookupAnswer, LookupTarget, LostReason, Outgoing, PathChoice, Payload, SendOptions, Setup,
    TunnelId, clock,
};
use eepkit_wire::{Destination, Lease, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tokio::time::Instant;

use crate::SimNet;

pub(crate) struct Party {
    link: Box<dyn Link>,
    pub(crate) destination: Destination,
    keys: Arc<PrivateKeys>,
    maker: LeaseSetMaker,
    tokens: u64,
    pub(crate) stage: Option<LinkStage>,
    stages: VecDeque<LinkStage>,
    pub(crate) received: VecDeque<(Bytes, TunnelId)>,
    fates: BTreeMap<u64, Result<(), DropReason>>,
    lookups: BTreeMap<u32, Result<LookupAnswer, LinkLookupError>>,
    lost: Option<LostReason>,
    /// Credits of each outbound tunnel.
    pub(crate) credits: BTreeMap<TunnelId, u32>,
    /// Tunnels that came up, and those that went down, with the reason.
    pub(crate) ups: Vec<Event>,
    pub(crate) downs: Vec<(TunnelId, eepkit_link::TunnelDownReason)>,
    pub(crate) lease_sets: usize,
    answers: bool,
}

/// The possible errors of a lease set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wrong {
    Signature,
    Destination,
    Lease,
    Bytes,
}

fn keys(number: u64) -> Arc<PrivateKeys> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    Arc::new(PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be generated"))
}

pub(crate) fn destination(number: u64) -> Destination {
    keys(number).destination().clone()
}

impl Party {
    /// Opens a session of the destination with this number.
    pub(crate) async fn open(net: &SimNet, number: u64) -> Self {
        Self::with_options(net, number, &[]).await
    }

    pub(crate) async fn with_options(net: &SimNet, number: u64, options: &[(&str, &str)]) -> Self {
        Self::try_open(&net.router(), number, options)
            .await
            .expect("opens")
    }

    pub(crate) async fn try_open(
        router: &dyn Connector,
        number: u64,
        pairs: &[(&str, &str)],
    ) -> Result<Self, LinkError> {
        let keys = keys(number);
        let mut options = Options::new();
        for (key, value) in pairs {
            options.set(key, value).expect("allowed");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let maker = LeaseSetMaker::new(Arc::clone(&keys), &options, &mut rng).expect("possible");
        let setup = Setup {
            keys: Arc::clone(&keys),
            options,
            timeout: Duration::from_secs(60),
            progress: eepkit_link::Progress::default(),
        };
        Ok(Self {
            link: router.open(setup).await?,
            destination: keys.destination().clone(),
            keys,
            maker,
            tokens: 0,
            stage: None,
            stages: VecDeque::new(),
            received: VecDeque::new(),
            fates: BTreeMap::new(),
            lookups: BTreeMap::new(),
            lost: None,
            credits: BTreeMap::new(),
            ups: Vec::new(),
            downs: Vec::new(),
            lease_sets: 0,
            answers: true,
        })
    }

    /// Opens two sessions that can reach each other.
    pub(crate) async fn pair(net: &SimNet) -> (Self, Self) {
        let alice = Self::open(net, 1).await.ready().await;
        let bob = Self::open(net, 2).await.ready().await;
        (alice, bob)
    }

    pub(crate) async fn ready(mut self) -> Self {
        while self.stage != Some(LinkStage::Ready) {
            self.event().await;
        }
        self.stages.clear();
        self
    }

    /// Returns the next event after recording it.
    pub(crate) async fn event(&mut self) -> Event {
        let event = poll_fn(|cx| self.link.poll_event(cx)).await;
        match &event {
            Event::Stage(stage) => {
                self.stage = Some(*stage);
                self.stages.push_back(*stage);
            }
            Event::LeaseSetWanted { leases, .. } => {
                self.lease_sets += 1;
                if self.answers {
                    let signed = self.maker.make(leases, clock::unix_now());
                    self.submit(Command::PublishLeaseSet(signed.expect("time is left")));
                }
            }
            Event::Received { payload, tunnel } => {
                self.received.push_back((payload.body.clone(), *tunnel))
            }
            Event::Sent { token } => {
                self.fates.insert(*token, Ok(()));
            }
            Event::Dropped { token, reason } => {
                self.fates.insert(*token, Err(*reason));
            }
            Event::LookupDone { id, result } => {
                self.lookups.insert(*id, result.clone());
            }
            Event::Lost(reason) => self.lost = Some(reason.clone()),
            Event::Credit { tunnel, messages } => {
                *self.credits.entry(*tunnel).or_default() += messages
            }
            Event::TunnelUp {
                tunnel,
                direction,
                expires,
                hops,
                lease,
            } => self.ups.push(Event::TunnelUp {
                tunnel: *tunnel,
                direction: *direction,
                expires: *expires,
                hops: *hops,
                lease: *lease,
            }),
            Event::TunnelDown { tunnel, reason } => {
                self.credits.remove(tunnel);
                self.downs.push((*tunnel, *reason));
            }
            // Only links of other kinds report these.
            Event::NotRenewed { .. }
            | Event::Unreachable(_)
            | Event::Incoming(_)
            | Event::Datagram(_)
            | Event::NoDatagrams { .. }
            | Event::Refused(_) => {}
        }
        event
    }

    /// Submits a command as a driver does. Callers ensure that the link is ready, or test that it
    /// is not.
    pub(crate) fn submit(&mut self, command: Command) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.link.poll_ready(&mut cx);
        self.link.submit(command);
    }

    /// Records events for this long.
    pub(crate) async fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while tokio::time::timeout_at(until, self.event()).await.is_ok() {}
    }

    pub(crate) async fn stage(&mut self) -> LinkStage {
        while self.stages.is_empty() {
            self.event().await;
        }
        self.stages.pop_front().expect("not empty")
    }

    pub(crate) fn send(&mut self, to: &Destination, body: &[u8]) -> u64 {
        self.send_by(to, body, PathChoice::Auto)
    }

    pub(crate) fn send_by(&mut self, to: &Destination, body: &[u8], choice: PathChoice) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(60);
        self.send_until(to, body, choice, deadline)
    }

    pub(crate) fn send_until(
        &mut self,
        to: &Destination,
        body: &[u8],
        choice: PathChoice,
        deadline: Instant,
    ) -> u64 {
        self.tokens += 1;
        self.submit(Command::Send(Outgoing {
            token: self.tokens,
            to: to.clone(),
            path: choice,
            payload: Payload {
                protocol: 6,
                from_port: 1,
                to_port: 2,
                body: Bytes::copy_from_slice(body),
            },
            compress: false,
            deadline,
            options: SendOptions::default(),
        }));
        self.tokens
    }

    pub(crate) async fn is_ready_to_send(&mut self) {
        poll_fn(|cx| self.link.poll_ready(cx)).await;
    }

    /// Whether the message left.
    pub(crate) async fn fate(&mut self, token: u64) -> Result<(), DropReason> {
        loop {
            if let Some(fate) = self.fates.remove(&token) {
                return fate;
            }
            self.event().await;
        }
    }

    pub(crate) async fn receive(&mut self) -> (Bytes, TunnelId) {
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            self.event().await;
        }
    }

    pub(crate) async fn lookup(
        &mut self,
        target: LookupTarget,
    ) -> Result<LookupAnswer, LinkLookupError> {
        self.lookup_within(target, Duration::from_secs(60)).await
    }

    pub(crate) async fn lookup_within(
        &mut self,
        target: LookupTarget,
        timeout: Duration,
    ) -> Result<LookupAnswer, LinkLookupError> {
        self.tokens += 1;
        let id = u32::try_from(self.tokens).expect("few");
        self.submit(Command::Lookup {
            id,
            target,
            timeout,
        });
        loop {
            if let Some(result) = self.lookups.remove(&id) {
                return result;
            }
            self.event().await;
        }
    }

    pub(crate) async fn lost(&mut self) -> LostReason {
        loop {
            if let Some(reason) = &self.lost {
                return reason.clone();
            }
            self.event().await;
        }
    }

    pub(crate) async fn leases_of(&mut self, peer: &Destination) -> Vec<Lease> {
        let target = LookupTarget::LeaseSet(peer.clone());
        self.lookup(target).await.expect("found").leases
    }

    /// Answers the first request for a lease set with an invalid one.
    pub(crate) async fn answer_wrongly(&mut self, wrong: Wrong) {
        self.answers = false;
        let leases = loop {
            if let Event::LeaseSetWanted { leases, .. } = self.event().await {
                break leases;
            }
        };
        let mut signed = self.sign(&self.keys.clone(), &leases);
        match wrong {
            Wrong::Signature => {
                let mut bytes = signed.bytes.to_vec();
                *bytes.last_mut().expect("not empty") ^= 1;
                signed.bytes = bytes.into();
            }
            Wrong::Destination => signed = self.sign(&keys(99), &leases),
            Wrong::Lease => {
                let other = Lease {
                    tunnel: leases[0].tunnel ^ 1,
                    ..leases[0]
                };
                signed = self.sign(&self.keys.clone(), &[other]);
            }
            Wrong::Bytes => signed.bytes = signed.bytes.slice(..signed.bytes.len() / 2),
        }
        self.submit(Command::PublishLeaseSet(signed));
    }

    fn sign(&self, keys: &Arc<PrivateKeys>, leases: &[Lease]) -> SignedLeaseSet {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut maker =
            LeaseSetMaker::new(Arc::clone(keys), &Options::new(), &mut rng).expect("possible");
        maker.make(leases, clock::unix_now()).expect("has leases")
    }
}
