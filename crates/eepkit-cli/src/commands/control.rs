//! `eepkit wait-ready`, `reload` and `stop`, which control a running `eepkit run`.

use std::time::Duration;

use eepkit_services::control::{Client, ClientError, Report};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    daemon::{connect, failure, read, socket},
    status,
};
use crate::{
    args::{ReloadArgs, StopArgs, WaitReadyArgs},
    exit::Exit,
    failure::Failure,
    stop::Stop,
    ui::{self, Step, Ui},
};

pub(super) async fn wait_ready(args: WaitReadyArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let path = socket(&args.control)?;
    let limit = args.timeout.0;
    let end = Instant::now() + limit;
    let mut step = ui.step("waiting for `eepkit run` to be ready");
    let waiting = async {
        let mut client = loop {
            match Client::connect(&path).await {
                Err(ClientError::NotRunning { .. }) if Instant::now() < end => {
                    step.update("waiting for `eepkit run` to start");
                    sleep(CONNECT_PAUSE).await;
                }
                other => break other.map_err(|error| failure(&error))?,
            }
        };
        let left = end.saturating_duration_since(Instant::now());
        let params = json!({
            "timeout_ms": left.as_millis() as u64,
            "sessions": args.sessions,
            "verified": args.verified,
        });
        tokio::select! {
            // The daemon observes the limit. This one is for a daemon that hangs.
            result = client.call("wait_ready", params, left + GRACE) => result.map_err(|error| match error {
                ClientError::Closed => Failure::new(Exit::Failed, "the program ended before it was ready"),
                error => failure(&error),
            }),
            never = follow(&path, &mut step) => match never {},
        }
    };
    let report: Report = read(stop.or(waiting).await?)?;
    if args.json {
        drop(step);
        return ui.json(&report);
    }
    step.done(status::summary(&report))
}

/// Shows what the daemon waits for.
async fn follow(path: &std::path::Path, step: &mut Step) -> std::convert::Infallible {
    if let Ok(mut client) = Client::connect(path).await
        && client.start("watch", Value::Null).await.is_ok()
    {
        while let Ok(Some(event)) = client.next_event().await {
            if let Ok(report) = read::<Report>(event)
                && let Some(what) = report.waiting_for.first()
            {
                step.update(format!("waiting: {what}"));
            }
        }
    }
    // The result is that of the other request.
    std::future::pending().await
}

/// What a reload did.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reloaded {
    pub(super) version: u32,
    pub(super) services: Vec<ReloadedService>,
    pub(super) warnings: Vec<String>,
}

/// What a reload did with a service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReloadedService {
    /// The service, in words.
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// `kept`, `started`, `restarted` or `stopped`.
    pub(super) action: String,
    pub(super) error: Option<String>,
}

impl ReloadedService {
    /// The line for the user, and whether it is an error.
    pub(super) fn line(&self) -> (String, bool) {
        let title = &self.title;
        match (&self.error, self.action.as_str()) {
            (Some(error), _) => (format!("{title}: {error}"), true),
            (None, "kept") => (format!("{title}: not changed"), false),
            (None, action) => (format!("{title}: {action}"), false),
        }
    }
}

pub(super) async fn reload(args: ReloadArgs, ui: &Ui) -> Result<(), Failure> {
    let mut client = connect(&args.control).await?;
    let result = client.call("reload", Value::Null, RELOAD_LIMIT).await;
    let result = result.map_err(|error| failure(&error))?;
    let reloaded: Reloaded = read(result)?;
    if args.json {
        ui.json(&reloaded)?;
    } else {
        for warning in &reloaded.warnings {
            ui.warn(warning);
        }
        for service in &reloaded.services {
            match service.line() {
                (line, true) => ui.warn(line),
                (line, false) => ui.note(line),
            }
        }
    }
    let failed = reloaded
        .services
        .iter()
        .filter(|service| service.error.is_some())
        .count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "a service does not run")),
        _ => Err(Failure::new(
            Exit::Failed,
            format!("{failed} services do not run"),
        )),
    }
}

pub(super) async fn stop(args: StopArgs, ui: &Ui) -> Result<(), Failure> {
    let mut signals = Stop::new()?;
    let mut client = connect(&args.control).await?;
    let step = ui.step("stopping `eepkit run`");
    let limit = args.timeout.0;
    let stopping = async {
        match client.call("stop", Value::Null, limit).await {
            Ok(_) | Err(ClientError::Closed) => Ok(()),
            Err(ClientError::Timeout(_)) => Err(Failure::new(
                Exit::TimedOut,
                format!("it still runs after {}", ui::duration(limit)),
            )
            .hint(
                "`eepkit status` shows what it waits for; a SIGTERM to its process ends it at once",
            )),
            Err(error) => Err(failure(&error)),
        }
    };
    signals.or(stopping).await?;
    step.done("stopped")
}

/// The pause between attempts to connect to a program that starts.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// The time that the daemon has to report a limit that has passed.
const GRACE: Duration = Duration::from_secs(5);

/// The limit of a reload. Chosen because stopping the services that have changed takes up to some
/// seconds each.
const RELOAD_LIMIT: Duration = Duration::from_secs(120);
