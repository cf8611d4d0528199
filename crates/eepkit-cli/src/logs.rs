//! Log lines on standard error.

use std::{
    collections::HashMap,
    env, fmt, io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Event, Level, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::args::Global;

/// Starts logging according to `-v`, `-q` or RUST_LOG.
pub(crate) fn start(global: &Global) {
    let filter = match env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::builder().parse_lossy(filter),
        _ => EnvFilter::new(directives(global)),
    };
    let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let format = tracing_subscriber::fmt::format()
        .with_target(global.verbose > 1)
        .with_ansi(ansi);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .event_format(Limited::new(format))
        .init();
}

/// Formats lines, and leaves out those of a kind of which there are too many. A kind is a place in
/// the source. Routers, peers and clients can cause many lines as often as they like, which must not
/// fill the disk.
struct Limited<F> {
    format: F,
    kinds: Mutex<HashMap<Identifier, Kind>>,
}

/// The lines of one kind.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// The begin of the current [`PERIOD`].
    since: Instant,
    /// The number of lines in the period.
    lines: u64,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is written. So many were left out before it.
    Write {
        left_out: u64,
    },
    /// It is the last one that is written in this period.
    WriteLast,
    LeaveOut,
}

impl<F> Limited<F> {
    fn new(format: F) -> Self {
        Self {
            format,
            kinds: Mutex::default(),
        }
    }

    fn judge(&self, kind: Identifier, level: Level) -> Verdict {
        let most = match level {
            Level::ERROR | Level::WARN | Level::INFO => MOST,
            _ => MOST_WITH_DEBUGGING,
        };
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(kind).or_insert(Kind {
            since: now,
            lines: 0,
        });
        let mut left_out = 0;
        if now.saturating_duration_since(kind.since) >= PERIOD {
            left_out = kind.lines.saturating_sub(most);
            *kind = Kind {
                since: now,
                lines: 0,
            };
        }
        kind.lines += 1;
        match kind.lines {
            lines if lines < most => Verdict::Write { left_out },
            lines if lines == most => Verdict::WriteLast,
            _ => Verdict::LeaveOut,
        }
    }
}

impl<F, S, N> FormatEvent<S, N> for Limited<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        match self.judge(about.callsite(), *about.level()) {
            Verdict::LeaveOut => Ok(()),
            Verdict::Write { left_out: 0 } => self.format.format_event(context, writer, event),
            Verdict::Write { left_out } => {
                writeln!(writer, "({left_out} lines like the next one were left out)")?;
                self.format.format_event(context, writer, event)
            }
            Verdict::WriteLast => {
                self.format.format_event(context, writer.by_ref(), event)?;
                let seconds = PERIOD.as_secs();
                writeln!(
                    writer,
                    "(more lines like this one are left out for {seconds} s)"
                )
            }
        }
    }
}

/// The time over which lines of a kind are counted.
const PERIOD: Duration = Duration::from_secs(10);

/// The number of lines of one kind that are written in a [`PERIOD`]. Chosen so that a burst is seen,
/// and a day of a flood takes less than 20 megabytes.
const MOST: u64 = 10;

/// As [`MOST`], for lines that only developers switch on.
const MOST_WITH_DEBUGGING: u64 = 1000;

/// The embedded router logs much more than eepkit, and warns of conditions that are normal on its
/// network. It is therefore logged only from -vv.
fn directives(global: &Global) -> &'static str {
    match (global.quiet, global.verbose) {
        (true, _) => "off",
        (false, 0) => "error,emissary=off",
        (false, 1) => "info,emissary=error",
        (false, 2) => "debug,emissary=info",
        (false, _) => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().expect("no panic");
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_kind_is_cut_and_other_lines_are_not() {
        let written = Written::default();
        let target = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || target.clone())
            .event_format(Limited::new(
                tracing_subscriber::fmt::format().without_time(),
            ))
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        for second in 0..25 {
            for _ in 0..1000 {
                tracing::warn!("the clock is wrong");
            }
            if second % 10 == 0 {
                tracing::warn!("something else");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let text = written.0.lock().expect("no panic").clone();
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text.matches("the clock is wrong").count(), 30);
        assert_eq!(text.matches("something else").count(), 3);
        assert_eq!(
            text.matches("(9990 lines like the next one were left out)")
                .count(),
            2
        );
        assert_eq!(text.matches("left out for 10 s").count(), 3);
    }
}
