//! Being told to stop: SIGINT (Ctrl-C) and SIGTERM.

use crate::{exit::Exit, failure::Failure};

/// Listens for the signals that ask the program to stop, from its making on.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Listens for the signal that asks the program to read its configuration again: SIGHUP.
#[derive(Debug)]
pub(crate) struct Reload {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Reload {
    /// Takes the signal over; its default action no longer ends the process.
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

    /// There is no such signal.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Leaves the signal its default action.
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
    /// Cancel safe: a signal that nobody waited for is reported to the next who waits.
    pub(crate) async fn told(&mut self) {
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
    /// Takes the signals over; their default action no longer ends the process.
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

    /// Takes Ctrl-C over; its default action no longer ends the process.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for a signal; tells with which code an unfinished program ends.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal that nobody waited for is told to the next who waits.
    pub(crate) async fn told(&mut self) -> Exit {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
        #[cfg(not(unix))]
        {
            // Where the system cannot tell about Ctrl-C, it ends the process by itself.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Exit::Interrupted
        }
    }

    /// Runs `work`, unless a signal comes first.
    pub(crate) async fn or<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            exit = self.told() => Err(Failure::new(exit, "stopped by a signal")),
        }
    }
}
