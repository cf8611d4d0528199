//! Signals that stop the program: SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed).

#[cfg(unix)]
use std::{fs::File, time::Duration};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{exit::Exit, failure::Failure};

/// Receives the signals that stop the program, from its creation on.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    /// `None` if SIGHUP is ignored, or reloads the configuration.
    #[cfg(unix)]
    hangup: Option<Signal>,
}

/// Receives the signal that reloads the configuration: SIGHUP.
///
/// A terminal that is closed sends the same signal. It then stops the program.
#[derive(Debug)]
pub(crate) struct Reload {
    #[cfg(unix)]
    hangup: Option<Signal>,
    /// Whether the program was started from a terminal.
    #[cfg(unix)]
    has_terminal: bool,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// Reload the configuration.
    Reload,
    /// Stop: the terminal was closed.
    Stop,
}

impl Reload {
    /// Handles the signal from now on. Its default action no longer ends the process.
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            hangup: Some(watch(SignalKind::hangup())?),
            has_terminal: has_terminal(),
        })
    }

    /// The system has no such signal.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Never receives the signal.
    pub(crate) fn never() -> Self {
        Self {
            #[cfg(unix)]
            hangup: None,
            #[cfg(unix)]
            has_terminal: false,
        }
    }

    /// Waits for the signal.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal that arrives while no call waits is reported to the next call.
    pub(crate) async fn received(&mut self) -> HangUp {
        #[cfg(unix)]
        if let Some(hangup) = &mut self.hangup
            && hangup.recv().await.is_some()
        {
            if !self.has_terminal {
                return HangUp::Reload;
            }
            // The kernel sends the signal just before it detaches the terminal.
            tokio::time::sleep(DETACHING).await;
            return match has_terminal() {
                true => HangUp::Reload,
                false => HangUp::Stop,
            };
        }
        std::future::pending().await
    }
}

impl Stop {
    /// Handles the signals from now on. Their default action no longer ends the process. SIGHUP
    /// remains ignored if it is, as in a program that was started with `nohup`.
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Self, Failure> {
        let hangup = match is_hangup_ignored() {
            true => None,
            false => Some(watch(SignalKind::hangup())?),
        };
        Ok(Self {
            hangup,
            ..Self::without_hangup()?
        })
    }

    /// Handles all signals except SIGHUP, which [`Reload`] handles.
    #[cfg(unix)]
    pub(crate) fn without_hangup() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            hangup: None,
        })
    }

    /// Handles Ctrl-C from now on. Its default action no longer ends the process.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Handles Ctrl-C from now on. Its default action no longer ends the process.
    #[cfg(not(unix))]
    pub(crate) fn without_hangup() -> Result<Self, Failure> {
        Self::new()
    }

    /// Waits for a signal. Returns the exit code for an unfinished program.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal that arrives while no call waits is reported to the next call.
    pub(crate) async fn received(&mut self) -> Exit {
        #[cfg(unix)]
        {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => Exit::Interrupted,
                _ = self.terminate.recv() => Exit::Terminated,
                _ = hangup => Exit::HungUp,
            }
        }
        #[cfg(not(unix))]
        {
            // If the system cannot report Ctrl-C, it ends the process itself.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Exit::Interrupted
        }
    }

    /// Waits for a signal that ends the orderly stop, too. SIGHUP does not: a shell whose terminal is
    /// closed sends it a second time.
    ///
    /// # Cancel safety
    ///
    /// As for [`Stop::received`].
    pub(crate) async fn insisted(&mut self) {
        while self.received().await == Exit::HungUp {}
    }

    /// Runs `work` unless a signal arrives first.
    pub(crate) async fn or<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            exit = self.received() => Err(Failure::new(exit, "stopped by a signal")),
        }
    }
}

#[cfg(unix)]
fn watch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::from_error(Exit::Failed, "cannot watch for signals", &error))
}

/// Whether SIGHUP was ignored when the program started. Linux reports it; elsewhere it counts as not
/// ignored.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1, SIGHUP.
    ignored.is_some_and(|mask| mask & 1 != 0)
}

/// Whether the process has a controlling terminal.
#[cfg(unix)]
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Chosen far above the microseconds that the kernel takes between the signal and the end of the
/// terminal, and too short for a user to notice.
#[cfg(unix)]
const DETACHING: Duration = Duration::from_millis(100);
