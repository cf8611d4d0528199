//! Signals that stop the program: SIGINT (Ctrl-C) and SIGTERM.

use crate::{exit::Exit, failure::Failure};

/// Receives the signals that stop the program, from its creation on.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Receives the signal that reloads the configuration: SIGHUP.
#[derive(Debug)]
pub(crate) struct Reload {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Reload {
    /// Handles the signal from now on. Its default action no longer ends the process.
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let hangup = signal(SignalKind::hangup()).map_err(|error| {
            Failure::from_error(Exit::Failed, "cannot watch for signals", &error)
        })?;
        Ok(Self {
            hangup: Some(hangup),
        })
    }

    /// The system has no such signal.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Never receives the signal, which keeps its default action.
    pub(crate) fn never() -> Self {
        Self {
            #[cfg(unix)]
            hangup: None,
        }
    }

    /// Waits for the signal.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal that arrives while no call waits is reported to the next call.
    pub(crate) async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(hangup) = &mut self.hangup
            && hangup.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Stop {
    /// Handles the signals from now on. Their default action no longer ends the process.
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let watch = |kind| {
            signal(kind).map_err(|error| {
                Failure::from_error(Exit::Failed, "cannot watch for signals", &error)
            })
        };
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// Handles Ctrl-C from now on. Its default action no longer ends the process.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for a signal. Returns the exit code for an unfinished program.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal that arrives while no call waits is reported to the next call.
    pub(crate) async fn received(&mut self) -> Exit {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
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
