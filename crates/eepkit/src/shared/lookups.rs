//! Look-ups that were requested from the link.

use std::collections::HashMap;

use eepkit_link::{LinkLookupError, LookupAnswer};
use tokio::sync::oneshot;

/// The result of a look-up.
pub(crate) type LookupResult = Result<LookupAnswer, LinkLookupError>;

/// The look-ups in progress with their waiters. Bounded by the permits of
/// [`super::Shared::lookup_permits`].
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: HashMap<u32, oneshot::Sender<LookupResult>>,
    last: u32,
}

impl Lookups {
    /// An id for a look-up of the driver, which has its own list of look-ups.
    pub(crate) fn next_id(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// Begins a look-up. Returns its id and the receiver of the answer.
    pub(super) fn begin(&mut self) -> (u32, oneshot::Receiver<LookupResult>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id();
        self.waiting.insert(id, sender);
        (id, receiver)
    }

    /// Sends an answer to the waiter of the look-up, if there still is one.
    pub(crate) fn finish(&mut self, id: u32, result: LookupResult) {
        if let Some(waiter) = self.waiting.remove(&id) {
            let _ = waiter.send(result);
        }
    }

    /// Closes the channels of all look-ups, because their link is lost.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_answer_reaches_its_waiter() {
        let mut lookups = Lookups::default();
        let (first, one) = lookups.begin();
        let (second, two) = lookups.begin();
        lookups.finish(second, Err(LinkLookupError::Locked));
        lookups.finish(first, Err(LinkLookupError::NameNotFound));
        assert_eq!(one.await, Ok(Err(LinkLookupError::NameNotFound)));
        assert_eq!(two.await, Ok(Err(LinkLookupError::Locked)));
    }

    #[tokio::test]
    async fn a_lost_link_closes_the_channels() {
        let mut lookups = Lookups::default();
        let (_, answer) = lookups.begin();
        lookups.clear();
        assert!(answer.await.is_err());
    }
}
