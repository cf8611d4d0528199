//! A running network of routers, and the two agents that use it.

use std::{
    cell::Cell,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    args::{LabOptions, Options, RouterSoftware},
    hosts::Hosts,
    link_profile::LinkProfile,
    measure::RawStep,
    network::Network,
    remote::Agent,
    switch::{Counters, Switch},
    wire::{
        Answer, Ask, ProbePlan, RawCount, Received, Sample, Sent, SessionKind, SessionPlan, Slot,
    },
};

/// A network and its agents. Dropping it ends and removes everything, in the order of the fields.
#[derive(Debug)]
pub(super) struct Lab {
    software: RouterSoftware,
    sender: Agent,
    receiver: Agent,
    network: Network,
    _hosts: Hosts,
    switch: Switch,
    next_slot: AtomicU32,
}

/// Two sessions, one at each agent.
#[derive(Debug)]
pub(super) struct Pair {
    /// Its number at both agents.
    slot: Slot,
    /// The destinations of the sender and of the receiver.
    from: String,
    to: String,
}

/// The result of a transfer.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) connect: f64,
    pub(super) seconds: f64,
    pub(super) series: Vec<(f64, u64)>,
    pub(super) samples: Vec<Sample>,
}

impl Moved {
    /// The result of a failed transfer.
    pub(super) fn nothing(samples: Vec<Sample>) -> Self {
        Self {
            connect: 0.0,
            seconds: 0.0,
            series: Vec::new(),
            samples,
        }
    }
}

/// The time limit of an agent for requests that do not use the network.
const AT_ONCE: Duration = Duration::from_secs(10);

impl Lab {
    /// Creates hosts and starts their routers.
    pub(super) async fn start(
        software: RouterSoftware,
        options: &LabOptions,
        dir: &Path,
    ) -> Result<Self, String> {
        let routers = usize::from(options.routers);
        let (hosts, devices) = Hosts::create(routers, options.tcp.as_deref())?;
        // The routers discover each other without delay.
        let switch = Switch::start(devices, LinkProfile::local(), options.seed)
            .map_err(|error| format!("no thread for the switch: {error}"))?;
        let network = Network::start(software, &hosts, options, dir).await?;
        // The last two hosts, because the first ones serve the network database.
        let agent = |host: usize| {
            let errors = dir.join(format!("agent-{host}.stderr"));
            Agent::start(&hosts.namespaces()[host], &errors)
        };
        Ok(Self {
            software,
            sender: agent(routers - 2)?,
            receiver: agent(routers - 1)?,
            network,
            _hosts: hosts,
            switch,
            next_slot: AtomicU32::new(0),
        })
    }

    /// The version of the routers.
    pub(super) fn version(&self) -> &str {
        self.network.version()
    }

    /// Restarts routers that have ended by themselves. Returns which.
    pub(super) fn revive(&mut self) -> Result<Vec<String>, String> {
        self.network.revive()
    }

    pub(super) fn set_link(&self, link: LinkProfile) {
        self.switch.set(link);
    }

    pub(super) fn counters(&self) -> Counters {
        self.switch.counters()
    }

    /// Opens a session at each agent.
    pub(super) async fn open(
        &self,
        kind: SessionKind,
        options: &LabOptions,
        limit: Duration,
    ) -> Result<Pair, String> {
        let slot = self.next_slot.fetch_add(1, Ordering::Relaxed);
        let inbound = match (kind, options.our_inbound) {
            (SessionKind::Ours | SessionKind::Raw, Some(inbound)) => inbound,
            _ => options.tunnels,
        };
        let plan = SessionPlan {
            emissary: self.software == RouterSoftware::Emissary,
            hops: options.hops,
            inbound,
            outbound: options.tunnels,
            packet: options.our_packet,
            limit,
        };
        let (sender, receiver) = tokio::join!(
            self.sender
                .answer(Ask::Open { slot, kind, plan }, limit + AT_ONCE),
            self.receiver
                .answer(Ask::Open { slot, kind, plan }, limit + AT_ONCE),
        );
        match (sender?, receiver?) {
            (Answer::Opened { destination: from }, Answer::Opened { destination: to }) => {
                Ok(Pair { slot, from, to })
            }
            (answer, _) => Err(unexpected(&answer)),
        }
    }

    /// Closes the sessions of a pair.
    pub(super) async fn close(&self, pair: Pair) {
        let Pair { slot, .. } = pair;
        // An agent that has ended has already closed them.
        let _ = tokio::join!(
            self.sender.answer(Ask::Close { slot }, AT_ONCE),
            self.receiver.answer(Ask::Close { slot }, AT_ONCE),
        );
    }

    /// Transfers data from the sender of one pair to the receiver of the other. An error includes
    /// the samples of our streaming up to it.
    pub(super) async fn transfer(
        &self,
        (from, to): (&Pair, &Pair),
        options: &Options,
        seed: u64,
        progress: impl Fn(u64),
    ) -> Result<Moved, (String, Vec<Sample>)> {
        let (bytes, limit) = (options.bytes, options.limit);
        let nothing = |why: String| (why, Vec::new());
        let mut receiving = self
            .receiver
            .ask(Ask::Receive {
                slot: to.slot,
                bytes,
                limit,
            })
            .await
            .map_err(nothing)?;
        let listening = timeout(AT_ONCE, receiving.next()).await;
        match listening {
            Ok(Ok(Answer::Listening)) => {}
            Ok(Ok(answer)) => return Err(nothing(unexpected(&answer))),
            Ok(Err(why)) => return Err(nothing(why)),
            Err(_) => return Err(nothing("the receiver does not listen".to_owned())),
        }
        let send = Ask::Send {
            slot: from.slot,
            to: to.to.clone(),
            bytes,
            seed,
            limit,
        };
        let mut sending = self.sender.ask(send).await.map_err(nothing)?;
        let both = async {
            let sent = async {
                match sending.next().await? {
                    Answer::Sent(sent) => Ok(sent),
                    answer => Err(unexpected(&answer)),
                }
            };
            let received = async {
                loop {
                    match receiving.next().await? {
                        Answer::Progress { bytes } => progress(bytes),
                        Answer::Received(received) => return Ok(received),
                        answer => return Err(unexpected(&answer)),
                    }
                }
            };
            tokio::try_join!(sent, received)
        };
        let outcome = timeout(limit + AT_ONCE, both).await;
        let (sending, receiving) = (sending.id, receiving.id);
        let samples = self.release(sending, receiving).await;
        let outcome = outcome.unwrap_or_else(|_| Err("not done in time".to_owned()));
        match outcome.and_then(|(sent, received)| moved(&sent, &received)) {
            Ok(moved) => Ok(Moved { samples, ..moved }),
            Err(why) => Err((why, samples)),
        }
    }

    /// Releases both ends of a transfer, and returns the samples of our streaming.
    async fn release(&self, sending: u64, receiving: u64) -> Vec<Sample> {
        let released = tokio::join!(
            self.sender
                .answer(Ask::Release { request: sending }, AT_ONCE),
            self.receiver
                .answer(Ask::Release { request: receiving }, AT_ONCE),
        );
        self.sender.forget(sending);
        self.receiver.forget(receiving);
        match released.0 {
            Ok(Answer::Released { samples }) => samples,
            _ => Vec::new(),
        }
    }

    /// Increases the number of datagrams in flight step by step, until clearly fewer arrive than
    /// before. `data` is the payload of each, in bytes. Returns no steps if nothing arrives.
    pub(super) async fn datagrams(
        &self,
        pair: &Pair,
        windows: impl Iterator<Item = u64>,
        data: usize,
        done: impl Fn(&RawStep),
    ) -> Result<Vec<RawStep>, String> {
        let slot = pair.slot;
        let back = pair.from.clone();
        let mut watching = self.receiver.ask(Ask::RawWatch { slot, back }).await?;
        self.set_window(slot, FIRST_WINDOW).await?;
        let to = pair.to.clone();
        let sending = self.sender.ask(Ask::RawSend { slot, to }).await?;
        let count = Cell::new(RawCount::default());
        let pass_on = async {
            loop {
                match watching.next().await? {
                    Answer::RawCount(now) => {
                        count.set(now);
                        let newest = now.newest;
                        let came = Ask::RawCame { slot, newest };
                        self.sender.answer(came, AT_ONCE).await?;
                    }
                    answer => return Err(unexpected(&answer)),
                }
            }
        };
        let steps = async {
            let mut steps: Vec<RawStep> = Vec::new();
            let deadline = Instant::now() + GREETED;
            while count.get().messages == 0 && Instant::now() < deadline {
                sleep(AT_ONCE / 100).await;
            }
            if count.get().messages == 0 {
                return Ok(steps);
            }
            for window in windows {
                self.set_window(slot, window).await?;
                sleep(SETTLE).await;
                let (before, begin) = (count.get(), Instant::now());
                sleep(STEP).await;
                let (after, seconds) = (count.get(), begin.elapsed().as_secs_f64());
                let came = (after.messages - before.messages) as f64;
                let step = RawStep {
                    window,
                    delivered: came * data as f64 / seconds,
                    lost: 1.0 - came / ((after.newest - before.newest).max(1) as f64),
                };
                done(&step);
                let best = steps.iter().map(|step| step.delivered).fold(0.0, f64::max);
                steps.push(step);
                if step.delivered < best * COLLAPSED {
                    break;
                }
            }
            Ok(steps)
        };
        let outcome = tokio::select! {
            broken = pass_on => broken,
            steps = steps => steps,
        };
        // Ends the sending, too.
        let _ = self.set_window(slot, 0).await;
        self.release(sending.id, watching.id).await;
        outcome
    }

    /// Sends datagrams by each plan in turn, after one has come back. Calls `done` with the times of sending,
    /// and with number and time of each arrival, microseconds.
    pub(super) async fn probe(
        &self,
        pair: &Pair,
        plans: &[ProbePlan],
        mut done: impl FnMut(&ProbePlan, &[u64], &[(u64, u64)]),
    ) -> Result<(), String> {
        let slot = pair.slot;
        let back = pair.from.clone();
        let mut watching = self.receiver.ask(Ask::RawWatch { slot, back }).await?;
        let drain = async {
            loop {
                match watching.next().await? {
                    Answer::RawCount(_) => {}
                    answer => return Err(unexpected(&answer)),
                }
            }
        };
        let probes = async {
            let to = pair.to.clone();
            self.sender
                .answer(Ask::ProbeGreet { slot, to }, GREETED + AT_ONCE)
                .await?;
            for plan in plans {
                self.arrivals(slot).await?;
                let bursts = u32::try_from(plan.count / plan.burst).unwrap_or(u32::MAX);
                let limit = plan.interval * bursts * 2 + GREETED;
                let (to, probe) = (pair.to.clone(), *plan);
                let ask = Ask::ProbeSend { slot, to, probe };
                let times = match self.sender.answer(ask, limit).await? {
                    Answer::ProbeSent { times } => times,
                    answer => return Err(unexpected(&answer)),
                };
                sleep(LATE).await;
                done(plan, &times, &self.arrivals(slot).await?);
            }
            Ok(())
        };
        let outcome = tokio::select! {
            broken = drain => broken,
            done = probes => done,
        };
        let _ = self
            .receiver
            .answer(
                Ask::Release {
                    request: watching.id,
                },
                AT_ONCE,
            )
            .await;
        self.receiver.forget(watching.id);
        outcome
    }

    async fn arrivals(&self, slot: Slot) -> Result<Vec<(u64, u64)>, String> {
        let ask = Ask::ProbeTake { slot };
        match self.receiver.answer(ask, AT_ONCE).await? {
            Answer::ProbeArrived { arrivals } => Ok(arrivals),
            answer => Err(unexpected(&answer)),
        }
    }

    async fn set_window(&self, slot: Slot, window: u64) -> Result<(), String> {
        let ask = Ask::RawWindow { slot, window };
        self.sender.answer(ask, AT_ONCE).await.map(drop)
    }
}

/// How long the first datagram may take.
const GREETED: Duration = Duration::from_secs(30);

/// How long a datagram of a probe may take. Chosen because i2pd drops messages after 8 s.
const LATE: Duration = Duration::from_secs(9);

/// Datagrams in flight before the first step.
const FIRST_WINDOW: u64 = 1;

/// The time to reach a window, and the time of its measurement. Chosen because the RTT may be a
/// second, and doubling a window takes one RTT.
const SETTLE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_secs(3);

/// If a step delivers less than this share of the best one, the measurement ends.
const COLLAPSED: f64 = 0.7;

/// Combines the results of both ends.
fn moved(sent: &Sent, received: &Received) -> Result<Moved, String> {
    if sent.sha256 != received.sha256 {
        return Err("what arrived is not what was sent (SHA-256 differs)".to_owned());
    }
    let since = |time: Duration| time.saturating_sub(sent.began).as_secs_f64();
    let Some(&(end, _)) = received.series.last() else {
        return Err("nothing arrived".to_owned());
    };
    let series = received.series.iter();
    Ok(Moved {
        connect: since(sent.connected),
        seconds: since(end),
        series: series.map(|&(time, bytes)| (since(time), bytes)).collect(),
        samples: Vec::new(),
    })
}

fn unexpected(answer: &Answer) -> String {
    format!("an agent answered something else: {answer:?}")
}
