//! Progress reports.

use std::{io::Write as _, process::ExitCode, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// On a terminal, two progress lines: the current step and the completed share. Otherwise one line
/// per finished step.
#[derive(Debug)]
pub(crate) struct Ui {
    bars: MultiProgress,
    all: ProgressBar,
    step: ProgressBar,
}

impl Ui {
    /// For a run of this many transfers.
    pub(crate) fn new(transfers: u64) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let all = bars.add(ProgressBar::new(transfers));
        all.set_style(style(
            "{elapsed_precise} [{wide_bar}] {pos}/{len} transfers",
        ));
        let step = bars.add(ProgressBar::new_spinner());
        for bar in [&all, &step] {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bars, all, step }
    }

    /// Starts a step without a measure of progress.
    pub(crate) fn doing(&self, what: &str) {
        self.step.set_style(style("{spinner} {msg}"));
        self.step.set_message(what.to_owned());
    }

    /// Starts a transfer.
    pub(crate) fn transferring(&self, what: &str, bytes: u64) {
        self.step
            .set_style(style("{spinner} {msg} {bytes}/{total_bytes}"));
        self.step.set_length(bytes);
        self.step.set_position(0);
        self.step.set_message(what.to_owned());
    }

    /// Updates the progress of the transfer.
    pub(crate) fn transferred(&self, bytes: u64) {
        self.step.set_position(bytes);
    }

    /// Ends the transfer.
    pub(crate) fn finished(&self) {
        self.all.inc(1);
    }

    /// Prints a permanent line.
    pub(crate) fn say(&self, line: &str) {
        if self.bars.is_hidden() {
            say(line);
        } else {
            // Fails only if the terminal is gone.
            let _ = self.bars.println(line);
        }
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.step.finish_and_clear();
        self.all.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are the constants above.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A line on standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reports why the program failed.
pub(crate) fn fail(why: &str) -> ExitCode {
    say(&format!("error: {why}"));
    ExitCode::FAILURE
}
