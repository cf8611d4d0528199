//! The measurement: the transfers, their order, and the records of each.

mod lab;
mod load;
mod probe;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use self::lab::{Lab, Pair};
pub(crate) use self::{load::Load, probe::run as probe};
use crate::{
    agent::RAW_DATA,
    args::{LabOptions, Options, RouterSoftware},
    chart,
    link_profile::LinkProfile,
    prerequisites, report,
    ui::Ui,
    wire::{Sample, SessionKind},
};

/// One transfer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Transfer {
    pub(crate) network: String,
    pub(crate) link: String,
    pub(crate) side: Side,
    pub(crate) round: u32,
    /// Its number on its sessions, from 1.
    pub(crate) nth: u32,
    pub(crate) bytes: u64,
    /// Why it failed.
    pub(crate) failure: Option<String>,
    /// Time until the stream was open, seconds.
    pub(crate) connect: f64,
    /// From the start of the connection to the last byte, seconds.
    pub(crate) seconds: f64,
    /// Seconds since the start, and bytes that had arrived.
    pub(crate) series: Vec<(f64, u64)>,
    /// The load of this machine during the transfer.
    pub(crate) load: Load,
    /// Bytes per second that the busiest host sent.
    pub(crate) busiest_host: f64,
    /// Packets that the links lost at random, and at full queues.
    pub(crate) lost_packets: (u64, u64),
    /// Samples of the state of our streaming.
    pub(crate) samples: Vec<Sample>,
}

impl Transfer {
    /// Bytes per second of a successful transfer.
    pub(crate) fn goodput(&self) -> Option<f64> {
        (self.failure.is_none() && self.seconds > 0.0).then(|| self.bytes as f64 / self.seconds)
    }
}

/// The streaming implementations of sender and receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Side {
    /// The router's.
    Theirs,
    /// eepkit's.
    Ours,
    /// eepkit's at the sender, the router's at the receiver.
    ToTheirs,
    /// The router's at the sender, eepkit's at the receiver.
    FromTheirs,
}

impl Side {
    /// The pairs to measure.
    const fn all(mixed: bool) -> &'static [Self] {
        if mixed {
            &[Self::Theirs, Self::Ours, Self::ToTheirs, Self::FromTheirs]
        } else {
            &[Self::Theirs, Self::Ours]
        }
    }

    /// Its name in a table with routers of this name.
    pub(crate) fn name(self, network: &str) -> String {
        match self {
            Self::Theirs => network.to_owned(),
            Self::Ours => "eepkit".to_owned(),
            Self::ToTheirs => format!("eepkit to {network}"),
            Self::FromTheirs => format!("{network} to eepkit"),
        }
    }
}

/// The rate of datagrams through the tunnels.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RawRate {
    pub(crate) network: String,
    pub(crate) link: String,
    pub(crate) round: u32,
    pub(crate) steps: Vec<RawStep>,
}

/// One step of [`RawRate`].
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RawStep {
    /// The most datagrams in flight.
    pub(crate) window: u64,
    /// Bytes per second that were delivered.
    pub(crate) delivered: f64,
    /// Share of datagrams that did not arrive.
    pub(crate) lost: f64,
}

impl RawRate {
    /// The highest delivery rate, bytes per second.
    pub(crate) fn best(&self) -> f64 {
        let delivered = self.steps.iter().map(|step| step.delivered);
        delivered.fold(0.0, f64::max)
    }
}

/// All results.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) raw: Vec<RawRate>,
    /// The versions of the routers, by network.
    pub(crate) versions: Vec<(RouterSoftware, String)>,
}

/// How long a session may take to open. Measured: i2pd takes 20 to 60 s for its first ones.
const OPEN: Duration = Duration::from_secs(180);

/// Datagrams in flight at the first step of [`RawRate`]. Each step doubles them.
const RAW_WINDOW: u64 = 32;
const RAW_STEPS: u32 = 7;

/// Pairs of sessions to try until a datagram arrives. Measured: over links with jitter, nothing arrives with
/// half of the pairs of i2pd.
const RAW_PAIRS: u32 = 6;

/// Measures everything that was requested. Ends early and cleanly on Ctrl-C.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    prerequisites::check(&options.networks, &options.lab)?;
    create_output(&options.lab)?;
    let mut results = Results::default();
    let measured = until_signal(all(&options, &mut results)).await;
    if !results.transfers.is_empty() {
        report::write(&options, &results)?;
        chart::write(&options, &results)?;
    }
    measured
}

fn create_output(options: &LabOptions) -> Result<(), String> {
    fs::create_dir_all(&options.output)
        .map_err(|error| format!("--output {}: {error}", options.output.display()))
}

/// Runs `work` until it ends or a signal arrives. Dropping `work` removes routers and namespaces.
async fn until_signal(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err("interrupted".to_owned()),
        _ = terminate.recv() => Err("terminated".to_owned()),
    }
}

/// The directory of the routers: the one of the options, or a temporary one.
enum State {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl State {
    fn new(options: &LabOptions) -> Result<Self, String> {
        match &options.state {
            Some(state) => Ok(Self::Given(state.clone())),
            None => tempfile::TempDir::with_prefix("eepkit-wan-")
                .map(Self::Temporary)
                .map_err(|error| format!("no temporary directory: {error}")),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

async fn all(options: &Options, results: &mut Results) -> Result<(), String> {
    let runs = options.networks.len() * options.links.len();
    let sides = Side::all(options.mixed).len();
    let transfers = u64::from(options.rounds * options.transfers) * (sides * runs) as u64;
    let ui = Ui::new(transfers);
    let state = State::new(&options.lab)?;
    for &software in &options.networks {
        ui.doing(&format!(
            "starting {} {software} routers",
            options.lab.routers
        ));
        let dir = state.path().join(software.as_str());
        let mut lab = Lab::start(software, &options.lab, &dir).await?;
        results.versions.push((software, lab.version().to_owned()));
        let mut run = Run {
            software,
            options,
            ui: &ui,
            lab: &mut lab,
            results,
        };
        for link in &options.links {
            run.measure(link).await?;
        }
    }
    Ok(())
}

/// The measurement of one network.
struct Run<'a> {
    software: RouterSoftware,
    options: &'a Options,
    ui: &'a Ui,
    lab: &'a mut Lab,
    results: &'a mut Results,
}

impl Run<'_> {
    async fn measure(&mut self, link: &LinkProfile) -> Result<(), String> {
        self.lab.set_link(link.clone());
        for round in 1..=self.options.rounds {
            self.round(link, round).await?;
            if !self.options.no_raw {
                self.raw(link, round).await;
            }
            report::save(self.options, self.results)?;
        }
        Ok(())
    }

    async fn round(&mut self, link: &LinkProfile, round: u32) -> Result<(), String> {
        let software = self.software;
        let name = format!("{software}, {link}, round {round}");
        self.ui.doing(&format!("{name}: opening sessions"));
        for line in self.lab.revive()? {
            self.ui.say(&format!("{name}: {line}"));
        }
        let (theirs, ours) = tokio::join!(
            self.lab.open(SessionKind::Theirs, &self.options.lab, OPEN),
            self.lab.open(SessionKind::Ours, &self.options.lab, OPEN),
        );
        for nth in 1..=self.options.transfers {
            let mut order = Side::all(self.options.mixed).to_vec();
            // Alternately, and the first one changes too.
            if (round + nth) % 2 == 1 {
                order.reverse();
            }
            for side in order {
                let ends = match side {
                    Side::Theirs => (&theirs, &theirs),
                    Side::Ours => (&ours, &ours),
                    Side::ToTheirs => (&ours, &theirs),
                    Side::FromTheirs => (&theirs, &ours),
                };
                let label = side.name(software.as_str());
                self.ui
                    .transferring(&format!("{name}: {label}"), self.options.bytes);
                let transfer = self.transfer(link, side, ends, (round, nth)).await;
                self.ui.finished();
                self.ui.say(&report::line(&transfer));
                self.results.transfers.push(transfer);
            }
        }
        for pair in [theirs, ours].into_iter().flatten() {
            self.lab.close(pair).await;
        }
        Ok(())
    }

    async fn transfer(
        &self,
        link: &LinkProfile,
        side: Side,
        (from, to): (&Result<Pair, String>, &Result<Pair, String>),
        (round, nth): (u32, u32),
    ) -> Transfer {
        let before = (Load::now(), self.lab.counters());
        // Different data each time, so that cached data cannot count as received.
        let seed = self.options.lab.seed + u64::from(round * 1000 + nth);
        let outcome = match (from, to) {
            (Ok(from), Ok(to)) => {
                let progress = |bytes| self.ui.transferred(bytes);
                self.lab
                    .transfer((from, to), self.options, seed, progress)
                    .await
            }
            (Err(why), _) | (_, Err(why)) => Err((format!("no session: {why}"), Vec::new())),
        };
        let (load, after) = (Load::now().since(&before.0), self.lab.counters());
        let sent = after.sent.iter().zip(&before.1.sent);
        let busiest = sent.map(|(after, before)| after - before).max();
        let (failure, moved) = match outcome {
            Ok(moved) => (None, moved),
            Err((why, samples)) => (Some(why), lab::Moved::nothing(samples)),
        };
        Transfer {
            network: self.software.as_str().to_owned(),
            link: link.name.clone(),
            side,
            round,
            nth,
            bytes: self.options.bytes,
            failure,
            connect: moved.connect,
            seconds: moved.seconds,
            series: moved.series,
            lost_packets: (
                after.lost - before.1.lost,
                after.overflowed - before.1.overflowed,
            ),
            busiest_host: busiest.unwrap_or(0) as f64 / load.seconds.max(1e-3),
            load,
            samples: moved.samples,
        }
    }

    /// Increases the number of datagrams in flight until fewer arrive than before. If nothing arrives, other
    /// tunnels are used: over a lossy path, a router may drop the first message and all later ones.
    async fn raw(&mut self, link: &LinkProfile, round: u32) {
        let name = format!("{}, {link}, round {round}: datagrams", self.software);
        for _ in 0..RAW_PAIRS {
            self.ui.doing(&name);
            match self.raw_steps(&name).await {
                Ok(steps) if !steps.is_empty() => {
                    let raw = RawRate {
                        network: self.software.as_str().to_owned(),
                        link: link.name.clone(),
                        round,
                        steps,
                    };
                    self.ui
                        .say(&format!("{name}: {:.2} MB/s", raw.best() / 1e6));
                    self.results.raw.push(raw);
                    return;
                }
                Ok(_) => self.ui.say(&format!("{name}: none arrived")),
                Err(why) => self.ui.say(&format!("{name}: {why}")),
            }
        }
    }

    /// The steps of one pair of sessions; none if nothing arrived.
    async fn raw_steps(&self, name: &str) -> Result<Vec<RawStep>, String> {
        let opening = self.lab.open(SessionKind::Raw, &self.options.lab, OPEN);
        let pair = opening.await.map_err(|why| format!("no session: {why}"))?;
        let windows = (0..RAW_STEPS).map(|step| RAW_WINDOW << step);
        let flow = self.lab.datagrams(&pair, windows, RAW_DATA, |step| {
            let RawStep {
                window, delivered, ..
            } = step;
            let rate = delivered / 1e6;
            self.ui
                .doing(&format!("{name}: {window} in flight, {rate:.2} MB/s"));
        });
        let steps = flow.await;
        self.lab.close(pair).await;
        steps
    }
}
