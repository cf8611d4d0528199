//! User output: data on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    args::{ColorWhen, Global},
    failure::Failure,
};

/// Emphasis for the most important part of a line.
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The two outputs of the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    quiet: bool,
    /// Whether standard error has a progress line: it is a terminal, and no log lines are written
    /// to it.
    animated: bool,
    /// The output for finished steps. In `eepkit demo` they are data.
    steps: Channel,
}

/// An output of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Out,
    Err,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            ColorWhen::Auto => anstream::ColorChoice::Auto,
            ColorWhen::Always => anstream::ColorChoice::Always,
            ColorWhen::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self {
            quiet: global.quiet,
            animated: !global.quiet && global.verbose == 0 && io::stderr().is_terminal(),
            steps: Channel::Err,
        }
    }

    /// The same outputs, with finished steps on `channel`.
    pub(crate) fn with_steps_on(self, channel: Channel) -> Self {
        Self {
            steps: channel,
            ..self
        }
    }

    /// Prints a line of data on standard output.
    pub(crate) fn data(&self, line: impl Display) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Prints one JSON object on a separate line on standard output.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value)
            .map_err(|error| Failure::output(&io::Error::other(error)))?;
        self.data(line)
    }

    /// Prints a line for the user on standard error.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.quiet {
            to_stderr(format_args!("{line}"));
        }
    }

    /// Prints a line on standard error even with `--quiet`.
    pub(crate) fn warn(&self, line: impl Display) {
        to_stderr(format_args!("{HINT}warning:{HINT:#} {line}"));
    }

    /// Prints `error:` and `hint:` lines.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        to_stderr(format_args!("{BAD}error:{BAD:#} {failure}"));
        for hint in failure.hints() {
            to_stderr(format_args!("{HINT}hint:{HINT:#} {hint}"));
        }
    }

    /// Starts a step that takes some time.
    pub(crate) fn step(&self, what: impl Into<String>) -> Step {
        let what = what.into();
        let line = self.animated.then(|| moving_line(&what));
        if line.is_none() && !self.quiet {
            to_stderr(format_args!("{what} ..."));
        }
        Step {
            ui: *self,
            line,
            started: Instant::now(),
            shown: what,
        }
    }
}

/// A step in progress. If it is dropped without [`Step::done`], its progress line disappears.
#[derive(Debug)]
pub(crate) struct Step {
    ui: Ui,
    line: Option<ProgressBar>,
    started: Instant,
    shown: String,
}

impl Step {
    /// Updates the progress line. The same text twice is printed once.
    pub(crate) fn update(&mut self, what: impl Into<String>) {
        let what = what.into();
        if what == self.shown {
            return;
        }
        match &self.line {
            Some(line) => line.set_message(what.clone()),
            None => self.ui.note(format_args!("{what} ...")),
        }
        self.shown = what;
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Finishes the step successfully, and prints the result and the elapsed time.
    pub(crate) fn done(mut self, what: impl Display) -> Result<(), Failure> {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
        }
        let time = format!("{:>8}", duration(self.elapsed()));
        let text = format!("{GOOD}done{GOOD:#} {FAINT}{time}{FAINT:#}  {what}");
        match self.ui.steps {
            Channel::Out => self.ui.data(text),
            Channel::Err => {
                self.ui.note(text);
                Ok(())
            }
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
        }
    }
}

fn moving_line(what: &str) -> ProgressBar {
    // A spinner needs at most ten frames per second.
    const FRAME: Duration = Duration::from_millis(100);

    let line = ProgressBar::new_spinner();
    line.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        line.set_style(style);
    }
    line.set_message(what.to_owned());
    line.enable_steady_tick(FRAME);
    line
}

fn to_stderr(line: impl Display) {
    // If standard error is closed, the error cannot be reported.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Formats a duration: `0.8 ms`, `12 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `15 days 1 h`.
pub(crate) fn duration(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1_000.0;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else if time < Duration::from_secs(100) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        let seconds = time.as_secs();
        match seconds {
            0..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
            3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
            _ => format!("{} days {} h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

/// Formats a number of bytes in powers of 1024.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(crate) fn bytes(count: u64) -> String {
    const KIB: f64 = 1024.0;

    let count_f = count as f64;
    if count < 1024 {
        format!("{count} bytes")
    } else if count_f < KIB * KIB {
        format!("{:.1} KiB", count_f / KIB)
    } else if count_f < KIB * KIB * KIB {
        format!("{:.1} MiB", count_f / KIB / KIB)
    } else {
        format!("{:.1} GiB", count_f / KIB / KIB / KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_or_three_digits() {
        for (micros, text) in [
            (0, "0.0 ms"),
            (840, "0.8 ms"),
            (12_300, "12 ms"),
            (999_700, "1.0 s"),
            (1_240_000, "1.2 s"),
            (200_000_000, "3 min 20 s"),
            (7_500_000_000, "2 h 5 min"),
            (1_300_000_000_000, "15 days 1 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn bytes_are_counted_in_powers_of_1024() {
        for (count, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (4 << 20, "4.0 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
