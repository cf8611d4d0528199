//! What a connection waits for, if it is there.

use eepkit::{DatagramSocket, ReceiveError, ReceivedDatagram, SessionWatch};
use eepkit_sam::{Failure, Style};
use tokio::time::{Instant, sleep_until};

use super::done::SESSION_OVER;

/// Waits for a datagram.
pub(super) async fn receive(
    mailbox: Option<&(Style, DatagramSocket)>,
) -> Result<ReceivedDatagram, ReceiveError> {
    match mailbox {
        Some((_, socket)) => socket.recv_from().await,
        None => std::future::pending().await,
    }
}

/// Waits for a change of the session's state. Returns the reason if the session has ended.
pub(super) async fn session_over(watch: &mut Option<SessionWatch>) -> Option<Failure> {
    let Some(watch) = watch else {
        return std::future::pending().await;
    };
    match watch.changed().await {
        Some(state) if !state.stage().is_over() => None,
        Some(state) => Some(Failure::error(match state.problem() {
            Some(problem) => format!("the session is over: {problem}"),
            None => SESSION_OVER.to_owned(),
        })),
        None => Some(Failure::error(SESSION_OVER)),
    }
}

/// Waits for a time.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
