//! Look-ups that the link has been asked for.

use std::collections::HashMap;

use eepkit_link::{LinkLookupError, LookupAnswer};
use tokio::sync::oneshot;

/// What a look-up ends with.
pub(crate) type LookupResult = Result<LookupAnswer, LinkLookupError>;

/// Who waits for which look-up. Bounded by the permits of [`super::Shared::lookup_permits`].
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: HashMap<u32, oneshot::Sender<LookupResult>>,
    last: u32,
}

impl Lookups {
    /// An id for a look-up of the driver, which keeps its own list of them.
    pub(crate) fn next_id(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// Begins a look-up: its id, and where the answer comes.
    pub(super) fn begin(&mut self) -> (u32, oneshot::Receiver<LookupResult>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id();
        self.waiting.insert(id, sender);
        (id, receiver)
    }

    /// Passes an answer on to who waits for it, if anybody still does.
    pub(crate) fn finish(&mut self, id: u32, result: LookupResult) {
        if let Some(waiter) = self.waiting.remove(&id) {
            let _ = waiter.send(result);
        }
    }

    /// Closes the channels of all look-ups: their link is lost.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_answer_reaches_who_asked() {
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
