//! The destinations of a tunnel, of which each connection reaches one.

use std::time::Duration;

use eepkit::{Address, ConnectError, ConnectOptions, ErrorKind, Session, Stream};
use rand::seq::SliceRandom as _;
use tracing::debug;

/// The destinations of a tunnel.
#[derive(Debug, Clone)]
pub(crate) struct Destinations {
    addresses: Vec<Address>,
    /// The time limit for one destination.
    limit: Duration,
}

impl Destinations {
    pub(crate) fn new(addresses: Vec<Address>, limit: Duration) -> Self {
        Self { addresses, limit }
    }

    /// Opens a stream to one of the destinations, chosen at random. If it cannot be reached, the
    /// others are tried.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] of the last destination, or of the session.
    pub(crate) async fn connect(&self, session: &Session) -> Result<Stream, ConnectError> {
        let mut order: Vec<&Address> = self.addresses.iter().collect();
        order.shuffle(&mut rand::rng());
        let options = ConnectOptions::new().timeout(self.limit);
        let mut result = Err(ConnectError::Closed);
        for (index, address) in order.iter().enumerate() {
            result = session.connect_with(*address, &options).await;
            match &result {
                Err(error) if is_of_the_peer(error.kind()) => {
                    let left = order.len() - index - 1;
                    debug!(%error, left, "a destination of a tunnel cannot be reached");
                }
                _ => break,
            }
        }
        result
    }

    /// Pings the destinations in turn, without end.
    pub(crate) async fn keep_alive(&self, session: impl Fn() -> Session, interval: Duration) {
        loop {
            for address in &self.addresses {
                tokio::time::sleep(interval).await;
                if let Err(error) = session().ping(address).await {
                    debug!(%error, "a destination of a tunnel does not answer a ping");
                }
            }
        }
    }
}

/// Whether another destination may be reached in spite of this error.
fn is_of_the_peer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::IncompatibleEncryption
            | ErrorKind::LeaseSetNotFound
            | ErrorKind::Locked
            | ErrorKind::NameNotFound
            | ErrorKind::PeerUnreachable
            | ErrorKind::Refused
            | ErrorKind::Reset
            | ErrorKind::Timeout
    )
}
