//! Probes: datagrams at fixed rates, and the loss, delay and order of their arrival.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::{Load, OPEN, State, create_output, lab::Lab, until_signal};
use crate::{args::ProbeOptions, prerequisites, ui::Ui, wire::ProbePlan, wire::SessionKind};

/// The result of one rate and size.
#[derive(Debug, Serialize)]
struct Step {
    network: String,
    link: String,
    transport: &'static str,
    hops: u8,
    round: u32,
    rate: u32,
    size: usize,
    burst: u64,
    summary: Summary,
    seconds: Vec<Summary>,
    /// Packets that the links lost at random, and at full queues.
    lost_packets: (u64, u64),
    /// Share of the time of all cores that was spent working.
    busy: f64,
    /// Lines of the routers' logs with digits replaced by #, and how often each occurred.
    logs: BTreeMap<String, u64>,
    /// Microseconds since the first datagram at which each was sent, and its delay if it arrived.
    datagrams: Vec<(u64, Option<u64>)>,
}

/// Loss, delay and order of some datagrams.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Summary {
    sent: usize,
    lost: usize,
    /// Arrived after a datagram that was sent later.
    reordered: usize,
    /// Milliseconds: minimum, median, 90th and 99th percentile.
    delay: [f64; 4],
    /// The number of runs of consecutive lost datagrams, by their length: 1, 2, 3, 4 and more.
    runs: [usize; 4],
}

/// The number of the first datagram of a probe. Chosen because greetings have lower ones.
const FIRST: u64 = 1000;
/// The difference to the first number of the next step. Chosen because no step sends so many, so that a
/// late datagram of one step does not count in the next.
const STEP: u64 = 100_000_000;

/// The most bytes of one log that are read per step, and the most characters of a line that are compared.
const MAX_LOG: u64 = 64 << 20;
const LINE: usize = 90;

/// Log lines that are printed per step.
const LINES: usize = 12;

/// Probes everything that was requested. Ends early and cleanly on Ctrl-C.
pub(crate) async fn run(options: ProbeOptions) -> Result<(), String> {
    prerequisites::check(&[options.network], &options.lab)?;
    create_output(&options.lab)?;
    let mut steps = Vec::new();
    let done = until_signal(probe(&options, &mut steps)).await;
    let path = options.lab.output.join("probe.jsonl");
    let mut text = String::new();
    for step in &steps {
        text += &serde_json::to_string(step).map_err(|error| error.to_string())?;
        text.push('\n');
    }
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    done
}

async fn probe(options: &ProbeOptions, steps: &mut Vec<Step>) -> Result<(), String> {
    let mut plans = Vec::new();
    for &size in &options.size {
        for &rate in &options.rate {
            let first = FIRST + plans.len() as u64 * STEP;
            plans.push((rate, plan(options, first, rate, size)));
        }
    }
    let rounds = options.links.len() as u64 * u64::from(options.rounds);
    let ui = Ui::new(rounds * plans.len() as u64);
    let state = State::new(&options.lab)?;
    let dir = state.path().join(options.network.as_str());
    let mut logs = Logs::new(&dir, options.lab.routers);
    let mut lab = Lab::start(options.network, &options.lab, &dir).await?;
    ui.say(&format!("{}; {}", lab.version(), LEGEND));
    for link in &options.links {
        lab.set_link(link.clone());
        for round in 1..=options.rounds {
            for line in lab.revive()? {
                ui.say(&line);
            }
            ui.doing(&format!("{link}, round {round}: opening sessions"));
            let pair = match lab.open(SessionKind::Raw, &options.lab, OPEN).await {
                Ok(pair) => pair,
                Err(why) => {
                    ui.say(&format!("{link}, round {round}: no session: {why}"));
                    continue;
                }
            };
            for &(rate, plan) in &plans {
                ui.doing(&format!(
                    "{link}, round {round}: {rate}/s, {} bytes",
                    plan.size
                ));
                logs.skip();
                let before = (Load::now(), lab.counters());
                let mut step = None;
                let probed = lab
                    .probe(&pair, &[plan], |plan, times, arrivals| {
                        step = Some(datagrams(plan, times, arrivals));
                    })
                    .await;
                ui.finished();
                let (Ok(()), Some((datagrams, order))) = (probed.clone(), step) else {
                    let why = probed.err().unwrap_or_default();
                    ui.say(&format!("{link}, round {round}: {rate}/s: {why}"));
                    break;
                };
                let after = lab.counters();
                let step = Step {
                    network: options.network.as_str().to_owned(),
                    link: link.name.clone(),
                    transport: options.lab.transport.as_str(),
                    hops: options.lab.hops,
                    round,
                    rate,
                    size: plan.size,
                    burst: plan.burst,
                    summary: Summary::of(&datagrams, &order),
                    seconds: by_second(&datagrams, &order),
                    lost_packets: (
                        after.lost - before.1.lost,
                        after.overflowed - before.1.overflowed,
                    ),
                    busy: Load::now().since(&before.0).busy,
                    logs: logs.read(),
                    datagrams,
                };
                print(&ui, &step, options.per_second);
                steps.push(step);
            }
            lab.close(pair).await;
        }
    }
    Ok(())
}

fn plan(options: &ProbeOptions, first: u64, rate: u32, size: u16) -> ProbePlan {
    let burst = options.burst.min(rate);
    ProbePlan {
        first,
        count: (options.time.as_secs_f64() * f64::from(rate)) as u64,
        size: size.into(),
        burst: burst.into(),
        interval: Duration::from_secs(1) * burst / rate,
        republish: options
            .republish
            .map(|time| ((time.as_secs_f64() * f64::from(rate)) as u64).max(1)),
    }
}

/// Time of sending and delay of each datagram, and whether it was overtaken.
fn datagrams(
    plan: &ProbePlan,
    times: &[u64],
    arrivals: &[(u64, u64)],
) -> (Vec<(u64, Option<u64>)>, Vec<bool>) {
    let begin = times.first().copied().unwrap_or_default();
    let mut datagrams: Vec<_> = times.iter().map(|time| (time - begin, None)).collect();
    let mut overtaken = vec![false; times.len()];
    let mut newest = 0;
    for &(number, time) in arrivals {
        let Some(index) = number.checked_sub(plan.first) else {
            continue;
        };
        let Ok(index) = usize::try_from(index) else {
            continue;
        };
        let Some((sent, delay)) = datagrams.get_mut(index) else {
            continue;
        };
        // A second copy does not count.
        if delay.is_none() {
            *delay = Some(time.saturating_sub(begin + *sent));
            overtaken[index] = index < newest;
            newest = newest.max(index);
        }
    }
    (datagrams, overtaken)
}

impl Summary {
    fn of(datagrams: &[(u64, Option<u64>)], overtaken: &[bool]) -> Self {
        let mut delays: Vec<u64> = datagrams.iter().filter_map(|&(_, delay)| delay).collect();
        delays.sort_unstable();
        let at = |share: f64| {
            let index = (delays.len() as f64 * share) as usize;
            let delay = delays.get(index.min(delays.len().saturating_sub(1)));
            delay.map_or(f64::NAN, |&delay| delay as f64 / 1e3)
        };
        let mut runs = [0; 4];
        let mut run = 0;
        for arrived in datagrams
            .iter()
            .map(|(_, delay)| delay.is_some())
            .chain([true])
        {
            if !arrived {
                run += 1;
            } else if run > 0 {
                runs[(run - 1).min(3)] += 1;
                run = 0;
            }
        }
        Self {
            sent: datagrams.len(),
            lost: datagrams.len() - delays.len(),
            reordered: overtaken.iter().filter(|&&overtaken| overtaken).count(),
            delay: [at(0.0), at(0.5), at(0.9), at(0.99)],
            runs,
        }
    }

    fn line(&self) -> String {
        let share = |part: usize| part as f64 * 100.0 / self.sent.max(1) as f64;
        let [least, median, most, outlier] = self.delay;
        let [one, two, three, more] = self.runs;
        format!(
            "{:5} sent, {:5.1} % lost ({one} {two} {three} {more}), {:4.1} % reordered, \
             {least:.0} {median:.0} {most:.0} {outlier:.0} ms",
            self.sent,
            share(self.lost),
            share(self.reordered),
        )
    }
}

/// What [`Summary::line`] contains.
const LEGEND: &str = "in brackets: runs of 1, 2, 3 and more lost datagrams; ms: minimum, median, \
                      90th and 99th percentile of the delay";

fn by_second(datagrams: &[(u64, Option<u64>)], overtaken: &[bool]) -> Vec<Summary> {
    let second = |index: usize| datagrams[index].0 / 1_000_000;
    let mut seconds = Vec::new();
    let mut from = 0;
    for index in 1..=datagrams.len() {
        if index == datagrams.len() || second(index) != second(from) {
            seconds.push(Summary::of(
                &datagrams[from..index],
                &overtaken[from..index],
            ));
            from = index;
        }
    }
    seconds
}

fn print(ui: &Ui, step: &Step, per_second: bool) {
    ui.say(&format!(
        "{} {} {} hops {} round {}: {}/s of {} bytes, {} at once: {}; links lost {} + {}; cores {:.0} % busy",
        step.network,
        step.link,
        step.hops,
        step.transport,
        step.round,
        step.rate,
        step.size,
        step.burst,
        step.summary.line(),
        step.lost_packets.0,
        step.lost_packets.1,
        step.busy * 100.0,
    ));
    if per_second {
        for (second, summary) in step.seconds.iter().enumerate() {
            ui.say(&format!("  {second:4} s: {}", summary.line()));
        }
    }
    let mut lines: Vec<_> = step.logs.iter().collect();
    lines.sort_by(|a, b| b.1.cmp(a.1));
    for (line, count) in lines.into_iter().take(LINES) {
        ui.say(&format!("  log {count:6} {line}"));
    }
}

/// The logs of i2pd.
struct Logs {
    files: Vec<(PathBuf, u64)>,
}

impl Logs {
    fn new(dir: &Path, routers: u8) -> Self {
        let log = |router: u8| (dir.join(router.to_string()).join("log"), 0);
        Self {
            files: (0..routers).map(log).collect(),
        }
    }

    /// Skips the lines that exist.
    fn skip(&mut self) {
        for (path, from) in &mut self.files {
            *from = fs::metadata(path).map_or(0, |data| data.len());
        }
    }

    /// Reads and counts the lines that are new.
    fn read(&self) -> BTreeMap<String, u64> {
        let mut lines = BTreeMap::new();
        for (path, from) in &self.files {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|mut file| {
                file.seek(SeekFrom::Start(*from))?;
                file.take(MAX_LOG).read_to_end(&mut bytes)
            });
            // A router without a log has no lines.
            if read.is_err() {
                continue;
            }
            for line in String::from_utf8_lossy(&bytes).lines() {
                *lines.entry(anonymous(line)).or_default() += 1;
            }
        }
        lines
    }
}

/// A log line without time, thread and numbers, to count equal ones.
fn anonymous(line: &str) -> String {
    let text = line.split_once('/').map_or(line, |(_, text)| text);
    let mut out = String::new();
    for c in text.chars().take(LINE) {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !out.ends_with('#') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_late_arrivals_are_counted() {
        let plan = ProbePlan {
            first: FIRST,
            count: 5,
            size: 100,
            burst: 1,
            interval: Duration::from_millis(10),
            republish: None,
        };
        let times = [50, 60, 70, 80, 90];
        let arrivals = [
            (1, 90),
            (FIRST, 1050),
            (FIRST + 4, 1090),
            (FIRST + 1, 2060),
            (FIRST + 1, 3000),
        ];
        let (datagrams, overtaken) = datagrams(&plan, &times, &arrivals);
        let delays: Vec<_> = datagrams.iter().map(|&(_, delay)| delay).collect();
        assert_eq!(delays, [Some(1000), Some(2000), None, None, Some(1000)]);
        let summary = Summary::of(&datagrams, &overtaken);
        assert_eq!((summary.lost, summary.reordered), (2, 1));
        assert_eq!(summary.runs, [0, 1, 0, 0]);
        assert_eq!(summary.delay, [1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn equal_log_lines_have_no_numbers() {
        let line = "12:00:01@123/warn - SSU2: Packet 17 of 3";
        assert_eq!(anonymous(line), "warn - SSU#: Packet # of #");
    }
}
