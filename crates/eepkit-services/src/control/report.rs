//! The status of a daemon in the form in which it is sent.

use std::{collections::BTreeMap, time::Duration};

use eepkit::{
    Router, RouterActivity, RouterStatus, SessionStage, SessionStatus, SessionSummary, Stage,
    Status, Verification,
};
use serde::{Deserialize, Serialize};

use crate::{
    serve::Addresses,
    service::{Service, State},
};

/// The status of a daemon.
///
/// Times are in milliseconds. Fields may be added under the same version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this object: 1.
    pub version: u32,
    /// The program.
    pub program: ProgramReport,
    /// Whether the router and all services are ready.
    pub ready: bool,
    /// What readiness waits for, a sentence each; empty if ready.
    pub waiting_for: Vec<String>,
    /// What has failed for good, a sentence each. Waiting does not help then.
    pub failed: Vec<String>,
    /// The router.
    pub router: RouterReport,
    /// The services, in the order of the configuration.
    pub services: Vec<ServiceReport>,
    /// The sessions, in the order in which they were opened.
    pub sessions: Vec<SessionReport>,
}

/// The running program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProgramReport {
    /// The version of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// `starting`, `running` or `stopping`.
    pub phase: String,
    /// The time since the start.
    pub uptime_ms: u64,
    /// The configuration file; `null` without one.
    pub config: Option<String>,
}

/// A stage that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The stage.
    pub stage: String,
    /// The time from the start of the router or the session until the stage was reached.
    pub after_ms: u64,
}

/// The router of a daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouterReport {
    /// The name, such as `i2cp://127.0.0.1:7654`.
    pub name: String,
    /// Whether it runs in the process of the daemon.
    pub embedded: bool,
    /// Whether it is ready; of a router in another process, whether it answers.
    pub ready: bool,
    /// The stage. For an embedded router those of [`eepkit::RouterStage`]; else `unknown`,
    /// `reachable` or `unreachable`.
    pub stage: String,
    /// The time since the stage was reached.
    pub stage_ms: u64,
    /// The stages in the order in which they were reached, the oldest first; empty for a router in
    /// another process.
    pub stages: Vec<StepReport>,
    /// The stage in words.
    pub text: String,
    /// What the stage waits for.
    pub waiting_for: Option<String>,
    /// The problem that prevents or interrupted readiness.
    pub problem: Option<String>,
    /// The program of a router in another process, as far as it was recognised.
    pub program: Option<String>,
    /// The version of the router's protocol.
    pub protocol: Option<String>,
    /// By how much the router's clock is ahead of ours.
    pub clock_ahead_ms: Option<i64>,
    /// The counters of an embedded router.
    pub activity: Option<RouterActivityReport>,
}

/// The counters of an embedded router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouterActivityReport {
    /// Connected routers.
    pub peers: usize,
    /// Inbound tunnels of the router and its sessions.
    pub inbound_tunnels: usize,
    /// Outbound tunnels of the router and its sessions.
    pub outbound_tunnels: usize,
    /// Tunnels of other routers through this router.
    pub transit_tunnels: usize,
    /// Tunnels built since the start.
    pub tunnels_built: usize,
    /// Tunnels that could not be built since the start.
    pub tunnel_builds_failed: usize,
    /// Failed connections to other routers since the start.
    pub dials_failed: usize,
}

/// A service of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceReport {
    /// The kind, such as `sam`.
    pub kind: String,
    /// The name in the configuration.
    pub name: String,
    /// `stopped`, `starting`, `running`, `stopping` or `failed`.
    pub state: String,
    /// Why it failed.
    pub problem: Option<String>,
    /// The addresses at which it can be reached.
    pub addresses: Places,
    /// The statistics, by their names in Prometheus.
    pub statistics: BTreeMap<String, u64>,
}

/// Addresses of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Places {
    /// TCP, with and without TLS.
    pub tcp: Vec<String>,
    /// UDP.
    pub udp: Vec<String>,
    /// Paths of Unix sockets.
    pub unix: Vec<String>,
    /// Addresses on I2P, as `HASH.b32.i2p` with a port if there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub i2p: Vec<String>,
}

/// A session of a daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionReport {
    /// The address.
    pub b32: String,
    /// The name in the router's console.
    pub nickname: Option<String>,
    /// Whether peers can reach it, as far as the router reports.
    pub ready: bool,
    /// The stage: those of [`eepkit::SessionStage`].
    pub stage: String,
    /// The time since the stage was reached.
    pub stage_ms: u64,
    /// The stages in the order in which they were reached, the oldest first.
    pub stages: Vec<StepReport>,
    /// The stage in words.
    pub text: String,
    /// What the stage waits for.
    pub waiting_for: Option<String>,
    /// The problem that prevents or interrupted readiness.
    pub problem: Option<String>,
    /// The number of the attempt to become ready.
    pub attempt: u32,
    /// Whether a look-up found the lease set: `pending`, `found`, `not_found` or `unavailable`.
    pub verified: String,
    /// The time from the start until the lease set was found.
    pub verified_after_ms: Option<u64>,
    /// The router's program, as far as it was recognised.
    pub router: Option<String>,
    /// Open streams.
    pub streams: usize,
}

/// What to wait for. The parameters of the method `wait_ready`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Wanted {
    /// The limit in milliseconds; 60,000 by default.
    pub timeout_ms: Option<u64>,
    /// Whether to wait for all sessions, too. Without a session, the wait continues until there is
    /// one.
    pub sessions: bool,
    /// Whether to wait until a look-up has found the lease set of each session. Implies `sessions`.
    pub verified: bool,
}

impl Report {
    /// A copy without the fields that change all the time, to compare reports.
    #[must_use]
    pub(super) fn settled(&self) -> Self {
        let mut copy = self.clone();
        copy.program.uptime_ms = 0;
        copy.router.stage_ms = 0;
        copy.waiting_for.clear();
        // The text of a scheduled attempt counts down.
        copy.router.waiting_for = None;
        for session in &mut copy.sessions {
            session.stage_ms = 0;
            session.waiting_for = None;
        }
        copy
    }

    /// What the wait for `wanted` waits for beside [`Report::waiting_for`].
    pub(super) fn sessions_wanted(&self, wanted: Wanted) -> Vec<String> {
        if !wanted.sessions && !wanted.verified {
            return Vec::new();
        }
        if self.sessions.is_empty() {
            return vec!["a session: there is none yet".to_owned()];
        }
        let is_missing = |session: &&SessionReport| {
            !session.ready || (wanted.verified && session.verified != "found")
        };
        let missing = self.sessions.iter().filter(is_missing);
        missing.map(SessionReport::account).collect()
    }
}

impl RouterReport {
    pub(super) fn embedded(name: String, status: &RouterStatus) -> Self {
        let counted = *status.activity();
        Self {
            name,
            embedded: true,
            ready: status.is_ready(),
            stage: status.stage().as_str().to_owned(),
            stage_ms: millis(status.elapsed()),
            stages: steps(status),
            text: status.stage().to_string(),
            waiting_for: status.waiting_for(),
            problem: status.problem().map(ToString::to_string),
            program: None,
            protocol: None,
            clock_ahead_ms: None,
            activity: Some(counted.into()),
        }
    }
}

impl From<RouterActivity> for RouterActivityReport {
    fn from(counted: RouterActivity) -> Self {
        Self {
            peers: counted.peers,
            inbound_tunnels: counted.inbound_tunnels,
            outbound_tunnels: counted.outbound_tunnels,
            transit_tunnels: counted.transit_tunnels,
            tunnels_built: counted.tunnels_built,
            tunnel_builds_failed: counted.tunnel_builds_failed,
            dials_failed: counted.dials_failed,
        }
    }
}

impl ServiceReport {
    /// The report of a service.
    pub fn new(service: &dyn Service) -> Self {
        let state = service.state();
        let word = match &state {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Failed(_) => "failed",
        };
        let statistics = service.statistics();
        Self {
            kind: service.kind().to_owned(),
            name: service.name().to_owned(),
            state: word.to_owned(),
            problem: match state {
                State::Failed(why) => Some(why),
                _ => None,
            },
            addresses: service.addresses().into(),
            statistics: statistics
                .iter()
                .map(|statistic| (statistic.name.to_owned(), statistic.value))
                .collect(),
        }
    }
}

impl From<Addresses> for Places {
    fn from(addresses: Addresses) -> Self {
        let unix = addresses.unix.iter();
        Self {
            tcp: addresses.tcp.iter().map(ToString::to_string).collect(),
            udp: addresses.udp.iter().map(ToString::to_string).collect(),
            unix: unix.map(|path| path.display().to_string()).collect(),
            i2p: addresses.i2p,
        }
    }
}

impl SessionReport {
    pub(super) fn all_of(router: &Router) -> Vec<Self> {
        let sessions = router.sessions();
        sessions.iter().map(Self::new).collect()
    }

    fn new(session: &SessionSummary) -> Self {
        let status: SessionStatus = session.watch.current();
        let activity = status.activity();
        let (verified, after) = match activity.verification {
            Verification::Found { after } => ("found", Some(after)),
            Verification::NotFound { .. } => ("not_found", None),
            Verification::Unavailable => ("unavailable", None),
            _ => ("pending", None),
        };
        Self {
            b32: session.destination.to_b32(),
            nickname: session.nickname.clone(),
            ready: status.stage() == SessionStage::Ready,
            stage: status.stage().as_str().to_owned(),
            stage_ms: millis(status.elapsed()),
            stages: steps(&status),
            text: status.stage().to_string(),
            waiting_for: status.waiting_for(),
            problem: status.problem().map(ToString::to_string),
            attempt: status.attempt(),
            verified: verified.to_owned(),
            verified_after_ms: after.map(millis),
            router: activity.router.as_ref().map(ToString::to_string),
            streams: session.streams,
        }
    }

    /// Why the session is not ready or not verified, in one line.
    fn account(&self) -> String {
        let name = self.nickname.as_deref().unwrap_or(&self.b32);
        let mut text = format!("session {name}: {}", self.text);
        if let Some(problem) = &self.problem {
            text.push_str(": ");
            text.push_str(problem);
        }
        if let Some(what) = &self.waiting_for {
            text.push_str(", waiting for ");
            text.push_str(what);
        }
        if self.ready {
            text.push_str(", and no look-up has found its lease set");
        }
        text
    }
}

fn steps<S: Stage>(status: &Status<S>) -> Vec<StepReport> {
    let steps = status.history();
    steps
        .map(|step| StepReport {
            stage: step.stage.as_str().to_owned(),
            after_ms: millis(step.after),
        })
        .collect()
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
