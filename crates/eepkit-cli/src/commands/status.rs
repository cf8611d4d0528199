//! `eepkit status`: what a running `eepkit run` does.

use std::{fmt::Write as _, io::IsTerminal as _, time::Duration};

use eepkit_services::control::{
    Client, ClientError, Report, RouterReport, ServiceReport, SessionReport, StepReport,
};
use serde_json::Value;
use tokio::time::sleep;

use super::{
    daemon::{connect, failure, read},
    router_clock,
};
use crate::{
    args::StatusArgs,
    failure::Failure,
    stop::Stop,
    ui::{self, BAD, FAINT, GOOD, HINT, STRONG, Ui},
};

pub(super) async fn run(args: StatusArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut client = connect(&args.control).await?;
    if !args.watch {
        let result = client.call("status", Value::Null, LIMIT).await;
        let report: Report = read(result.map_err(|error| failure(&error))?)?;
        return show(&report, args.json, ui);
    }
    let watching = async {
        if !args.json && std::io::stdout().is_terminal() {
            return redraw(&mut client, ui).await;
        }
        let started = client.start("watch", Value::Null).await;
        started.map_err(|error| failure(&error))?;
        let mut first = true;
        while let Some(event) = client.next_event().await.map_err(|error| failure(&error))? {
            let report: Report = read(event)?;
            if !args.json && !first {
                ui.data("")?;
            }
            first = false;
            show(&report, args.json, ui)?;
        }
        Ok(())
    };
    match stop.or(watching).await {
        // A signal is the normal end.
        Err(failure) if failure.is_signal() => Ok(()),
        result => result,
    }
}

/// Draws the status again and again, so that the times in it advance.
async fn redraw(client: &mut Client, ui: &Ui) -> Result<(), Failure> {
    loop {
        let report: Report = match client.call("status", Value::Null, LIMIT).await {
            Ok(report) => read(report)?,
            Err(ClientError::Closed) => {
                ui.note("the program has ended");
                return Ok(());
            }
            Err(error) => return Err(failure(&error)),
        };
        // Clears the terminal.
        ui.data(format_args!(
            "\u{1b}[H\u{1b}[2J{}",
            text(&report).trim_end()
        ))?;
        sleep(REDRAW).await;
    }
}

fn show(report: &Report, json: bool, ui: &Ui) -> Result<(), Failure> {
    match json {
        true => ui.json(report),
        false => ui.data(text(report).trim_end()),
    }
}

/// The state in one line.
pub(super) fn summary(report: &Report) -> String {
    let services = report.services.iter().map(|service| service.name.as_str());
    let services: Vec<&str> = services.collect();
    let router = &report.router;
    let place = match router.embedded {
        true => "router in its process",
        false => router.name.as_str(),
    };
    match services.len() {
        0 => format!("ready: {place}, no services"),
        _ => format!("ready: {place}, {}", services.join(", ")),
    }
}

/// The status for people.
fn text(report: &Report) -> String {
    let mut out = String::new();
    let program = &report.program;
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "{STRONG}eepkit {}{STRONG:#}, process {}, {} for {}",
        program.version,
        program.pid,
        program.phase,
        time(program.uptime_ms)
    );
    if let Some(config) = &program.config {
        let _ = writeln!(out, "configuration: {config}");
    }
    router(&mut out, &report.router);
    let _ = writeln!(out, "\n{STRONG}services{STRONG:#}");
    if report.services.is_empty() {
        let none = match program.phase.as_str() {
            "starting" => "they start when the router is ready",
            _ => "none is enabled",
        };
        let _ = writeln!(out, "  {none}");
    }
    for report in &report.services {
        service(&mut out, report);
    }
    let _ = writeln!(out, "\n{STRONG}sessions{STRONG:#}");
    if report.sessions.is_empty() {
        let _ = writeln!(out, "  none");
    }
    for report in &report.sessions {
        session(&mut out, report);
    }
    if report.ready {
        let _ = writeln!(out, "\n{GOOD}ready{GOOD:#}");
    }
    for what in &report.waiting_for {
        let _ = writeln!(out, "\n{HINT}not ready:{HINT:#} {what}");
    }
    for what in &report.failed {
        let _ = writeln!(out, "\n{BAD}failed:{BAD:#} {what}");
    }
    out
}

fn router(out: &mut String, router: &RouterReport) {
    let _ = writeln!(out, "\n{STRONG}router{STRONG:#} {}", router.name);
    let state = state(router.ready, &router.text);
    let _ = write!(out, "  {state} for {}", time(router.stage_ms));
    if let Some(problem) = &router.problem {
        let _ = write!(out, ": {problem}");
    }
    let _ = writeln!(out);
    if let Some(what) = router.waiting_for.as_ref().filter(|_| router.embedded) {
        let _ = writeln!(out, "  waiting for {what}");
    }
    if let Some(counted) = &router.activity {
        let _ = writeln!(
            out,
            "  {} peers, {}+{} tunnels, {} transit tunnels; {} built, {} failed",
            counted.peers,
            counted.inbound_tunnels,
            counted.outbound_tunnels,
            counted.transit_tunnels,
            counted.tunnels_built,
            counted.tunnel_builds_failed,
        );
    }
    if let Some(protocol) = &router.protocol {
        let program = router.program.as_deref().unwrap_or("unrecognised program");
        let _ = writeln!(out, "  {program}, protocol {protocol}");
    }
    if let Some(ahead) = router
        .clock_ahead_ms
        .filter(|ahead| router_clock::is_wrong(*ahead))
    {
        let difference = router_clock::describe(ahead);
        let _ = writeln!(out, "  {BAD}its clock is {difference} ours{BAD:#}");
    }
    steps(out, &router.stages, None);
}

fn service(out: &mut String, service: &ServiceReport) {
    let word = state(service.state == "running", &service.state);
    let _ = write!(out, "  {}: {word}", service.name);
    if let Some(problem) = &service.problem {
        let _ = write!(out, ": {problem}");
    }
    let places = &service.addresses;
    let listening: Vec<&str> = places
        .tcp
        .iter()
        .chain(&places.unix)
        .map(String::as_str)
        .collect();
    if !listening.is_empty() {
        let _ = write!(out, " at {}", listening.join(", "));
    }
    if !places.i2p.is_empty() {
        let _ = write!(out, ", on I2P at {}", places.i2p.join(", "));
    }
    if !places.udp.is_empty() {
        let _ = write!(out, ", datagrams at {}", places.udp.join(", "));
    }
    let _ = writeln!(out);
    let counted: Vec<String> = service
        .statistics
        .iter()
        .filter(|(_, value)| **value > 0)
        .map(|(name, value)| {
            format!(
                "{} {value}",
                name.trim_end_matches("_total").replace('_', " ")
            )
        })
        .collect();
    if !counted.is_empty() {
        let _ = writeln!(out, "    {FAINT}{}{FAINT:#}", counted.join(", "));
    }
}

fn session(out: &mut String, session: &SessionReport) {
    let name = match &session.nickname {
        Some(nickname) => format!("{} ({nickname})", session.b32),
        None => session.b32.clone(),
    };
    let _ = writeln!(out, "  {name}");
    let word = state(session.ready, &session.text);
    let _ = write!(out, "    {word} for {}", time(session.stage_ms));
    if let Some(problem) = &session.problem {
        let _ = write!(out, ": {problem}");
    }
    if let Some(what) = &session.waiting_for {
        let _ = write!(out, ", waiting for {what}");
    }
    if session.attempt > 1 {
        let _ = write!(out, " (attempt {})", session.attempt);
    }
    let _ = match session.verified.as_str() {
        "found" => write!(out, ", its lease set was found"),
        "not_found" => write!(out, ", {BAD}no look-up has found its lease set{BAD:#}"),
        _ => Ok(()),
    };
    let _ = match session.streams {
        0 => writeln!(out),
        1 => writeln!(out, ", 1 stream"),
        count => writeln!(out, ", {count} streams"),
    };
    steps(out, &session.stages, session.verified_after_ms);
}

/// The times at which stages were reached.
fn steps(out: &mut String, steps: &[StepReport], verified: Option<u64>) {
    // Older ones are in the JSON object.
    let shown = steps.len().saturating_sub(STEPS_SHOWN);
    let mut texts: Vec<String> = steps
        .iter()
        .skip(shown)
        .map(|step| format!("{} {}", step.stage.replace('_', " "), time(step.after_ms)))
        .collect();
    texts.extend(verified.map(|after| format!("found {}", time(after))));
    if !texts.is_empty() {
        let _ = writeln!(out, "    {FAINT}{}{FAINT:#}", texts.join(" > "));
    }
}

fn state(good: bool, word: &str) -> String {
    match good {
        true => format!("{GOOD}{word}{GOOD:#}"),
        false => format!("{HINT}{word}{HINT:#}"),
    }
}

fn time(millis: u64) -> String {
    ui::duration(Duration::from_millis(millis))
}

/// The limit of a request. Chosen because the daemon answers from memory.
const LIMIT: Duration = Duration::from_secs(10);

/// The pause between two drawings of `--watch` on a terminal.
const REDRAW: Duration = Duration::from_secs(1);

/// Stages of a router or a session in the text.
const STEPS_SHOWN: usize = 8;

#[cfg(test)]
mod tests;
