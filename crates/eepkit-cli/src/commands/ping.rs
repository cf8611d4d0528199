//! `eepkit ping`: measures the round trip to a destination.

use std::time::Duration;

use eepkit::{Address, PingError, PingOptions};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::online::{self, Online};
use crate::{args::PingArgs, exit::Exit, failure::Failure, stop::Stop, ui, ui::Ui};

/// The JSON objects that `--json` prints, one per line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Answer {
        version: u32,
        seq: u64,
        rtt_ms: f64,
    },
    Lost {
        version: u32,
        seq: u64,
        why: &'a str,
    },
    Summary(Summary),
}

#[derive(Debug, Serialize)]
struct Summary {
    version: u32,
    sent: u64,
    answered: u64,
    rtt_min_ms: Option<f64>,
    rtt_mean_ms: Option<f64>,
    rtt_max_ms: Option<f64>,
}

/// The statistics of the answers.
#[derive(Debug, Default)]
struct Replies {
    sent: u64,
    answered: u64,
    least: Duration,
    most: Duration,
    sum: Duration,
}

impl Replies {
    fn answer(&mut self, rtt: Duration) {
        self.least = if self.answered == 0 {
            rtt
        } else {
            self.least.min(rtt)
        };
        self.most = self.most.max(rtt);
        self.sum += rtt;
        self.answered += 1;
    }

    fn mean(&self) -> Duration {
        if self.answered == 0 {
            return Duration::ZERO;
        }
        self.sum.div_f64(self.answered as f64)
    }

    fn summary(&self) -> Summary {
        let rtt = |time| (self.answered > 0).then(|| millis(time));
        Summary {
            version: 1,
            sent: self.sent,
            answered: self.answered,
            rtt_min_ms: rtt(self.least),
            rtt_mean_ms: rtt(self.mean()),
            rtt_max_ms: rtt(self.most),
        }
    }
}

pub(super) async fn run(args: PingArgs, ui: &Ui) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let peer = online::address(&args.peer)?;
    let online = stop
        .or(Online::open(&args.router, &args.session, None, ui))
        .await?;
    let mut replies = Replies::default();
    let result = stop.or(ping(&args, &peer, &online, &mut replies, ui)).await;
    online.close_or_stop(&mut stop).await;
    match result {
        // Without a count, a signal is the normal end.
        Err(failure) if failure.is_signal() && args.count.is_none() => {}
        result => result?,
    }
    conclude(&args, &online::shown(&peer), &replies, ui)
}

async fn ping(
    args: &PingArgs,
    peer: &Address,
    online: &Online,
    replies: &mut Replies,
    ui: &Ui,
) -> Result<(), Failure> {
    let shown = online::shown(peer);
    let mut seq = 0;
    let mut next = Instant::now();
    while args.count.is_none_or(|count| seq < count) {
        sleep_until(next).await;
        next = Instant::now() + args.interval.0;
        seq += 1;
        replies.sent += 1;
        let options = PingOptions::new()
            .payload(seq.to_be_bytes().to_vec())
            .timeout(args.timeout.0);
        match online.session.ping_with(peer, &options).await {
            Ok(rtt) => {
                replies.answer(rtt);
                if args.json {
                    ui.json(&Line::Answer {
                        version: 1,
                        seq,
                        rtt_ms: millis(rtt),
                    })?;
                } else {
                    let time = ui::duration(rtt);
                    ui.data(format_args!("answer from {shown}: seq={seq} time={time}"))?;
                }
            }
            // The peer may answer the next ping.
            Err(error @ (PingError::Timeout(_) | PingError::NoTunnels(_))) => {
                let why = error.to_string();
                if args.json {
                    ui.json(&Line::Lost {
                        version: 1,
                        seq,
                        why: &why,
                    })?;
                } else {
                    ui.data(format_args!("seq={seq}: {why}"))?;
                }
            }
            Err(error) => {
                return Err(Failure::from_kind(
                    error.kind(),
                    &format!("cannot ping {shown}"),
                    &error,
                ));
            }
        }
    }
    Ok(())
}

fn conclude(args: &PingArgs, peer: &str, replies: &Replies, ui: &Ui) -> Result<(), Failure> {
    if args.json {
        ui.json(&Line::Summary(replies.summary()))?;
    } else {
        ui.data(format_args!(
            "{} sent, {} answered",
            replies.sent, replies.answered
        ))?;
        if replies.answered > 0 {
            ui.data(format_args!(
                "round trip: least {}, mean {}, most {}",
                ui::duration(replies.least),
                ui::duration(replies.mean()),
                ui::duration(replies.most)
            ))?;
        }
    }
    if replies.sent > 0 && replies.answered == 0 {
        return Err(Failure::new(Exit::Unreachable, format!("{peer} did not answer"))
            .hint("it may be offline, or told not to answer pings; `eepkit connect` is the surer test"));
    }
    Ok(())
}

/// Converts to milliseconds, with microsecond resolution.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_mean_and_max_rtt_are_counted() {
        let mut replies = Replies::default();
        for millis in [30, 10, 20] {
            replies.answer(Duration::from_millis(millis));
        }

        let summary = replies.summary();

        assert_eq!(summary.rtt_min_ms, Some(10.0));
        assert_eq!(summary.rtt_mean_ms, Some(20.0));
        assert_eq!(summary.rtt_max_ms, Some(30.0));
    }

    #[test]
    fn without_answers_there_is_no_round_trip() {
        let replies = Replies {
            sent: 3,
            ..Replies::default()
        };

        assert_eq!(replies.summary().rtt_mean_ms, None);
    }
}
