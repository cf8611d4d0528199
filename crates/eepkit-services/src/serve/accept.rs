//! The accept loop.

use std::{io, time::Duration};

use eepkit_link::LogLimit;
use tokio::time::sleep;
use tracing::{debug, warn};

/// A source of connections.
pub(super) trait Accept: Sync {
    type Connection: Send;

    /// Waits for a connection. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// Accepts connections for ever, and passes them to `taken`.
///
/// An error that concerns a single connection is ignored. After any other error, usually a lack of
/// file descriptors, the loop pauses. The pause doubles up to a second. Until files are free again,
/// waiting clients stay in the queue of the system.
pub(super) async fn accept_on<A: Accept>(listener: &A, taken: impl Fn(A::Connection) + Send) {
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok(connection) => {
                pause = FIRST_PAUSE;
                taken(connection);
            }
            Err(error) if concerns_one_connection(&error) => {
                debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                // A client that makes the limit of descriptors be reached again and again must not
                // fill the log.
                static LIMIT: LogLimit = LogLimit::new();
                match LIMIT.admit() {
                    Some(left_out) => warn!(%error, left_out, "cannot accept connections for now"),
                    None => debug!(%error, "still cannot accept connections"),
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether an error of `accept` concerns the connection that it would have returned, and not the
/// listener. Source: accept(2), section "Error handling".
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

/// Pauses after an error. Chosen so that a lack of file descriptors uses almost no CPU time, and a
/// short one goes unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Returns these results, the last first, and then waits for ever.
    struct Script(Mutex<Vec<io::Result<u32>>>);

    impl Accept for Script {
        type Connection = u32;

        async fn accept(&self) -> io::Result<u32> {
            let next = self.0.lock().expect("no panic").pop();
            match next {
                Some(next) => next,
                None => std::future::pending().await,
            }
        }
    }

    async fn play(mut steps: Vec<io::Result<u32>>) -> Vec<(u32, u128)> {
        steps.reverse();
        let began = Instant::now();
        let taken = Mutex::new(Vec::new());
        let script = Script(Mutex::new(steps));
        let accepting = accept_on(&script, |number| {
            let at = began.elapsed().as_millis();
            taken.lock().expect("no panic").push((number, at));
        });
        let _ = tokio::time::timeout(Duration::from_secs(60), accepting).await;
        taken.into_inner().expect("no panic")
    }

    fn out_of_files() -> io::Result<u32> {
        // EMFILE.
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_continues_with_growing_pauses_without_free_files() {
        let steps = vec![
            Ok(1),
            out_of_files(),
            out_of_files(),
            out_of_files(),
            Ok(2),
            out_of_files(),
            Ok(3),
        ];
        assert_eq!(play(steps).await, [(1, 0), (2, 70), (3, 80)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_never_longer_than_a_second() {
        let mut steps: Vec<_> = (0..20).map(|_| out_of_files()).collect();
        steps.push(Ok(1));
        let taken = play(steps).await;
        // Pauses of 10 to 640 ms, and then 13 pauses of a second.
        assert_eq!(taken, [(1, 1270 + 13_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_causes_no_pause() {
        let gone = || Err(io::ErrorKind::ConnectionAborted.into());
        assert_eq!(play(vec![gone(), gone(), Ok(1)]).await, [(1, 0)]);
    }
}
