//! The current link of a session, and whether the session is closing.

use std::{collections::VecDeque, sync::Arc};

use eepkit_link::LostReason;
use tokio::time::Instant;

use crate::error::{AcceptError, OpenError, StreamError};

/// The links of a session so far, and its end.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    epoch: u64,
    /// Why past links were lost, by epoch; at most [`REMEMBERED_LOSSES`].
    losses: VecDeque<(u64, LostReason)>,
    ending: Ending,
}

/// Whether and how the session ends.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// The session is open.
    No,
    /// The session is closing. Written data is still sent, until this instant at the latest.
    Flushing(Instant),
    /// The session was closed (`None`) or failed with this error.
    Over(Option<Arc<OpenError>>),
}

/// Why the link that a stream belongs to is no longer in use.
#[derive(Debug)]
pub(crate) enum Gone {
    /// It broke.
    Lost(LostReason),
    /// The session ended.
    Ended,
}

impl Lifecycle {
    pub(super) const fn new() -> Self {
        Self {
            epoch: 0,
            losses: VecDeque::new(),
            ending: Ending::No,
        }
    }

    /// The number of links so far. A stream belongs to the link on which it was opened.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Whether the session has neither ended nor started to close.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.ending, Ending::No)
    }

    pub(super) const fn begin_epoch(&mut self) {
        self.epoch += 1;
    }

    pub(super) fn end_epoch(&mut self, reason: LostReason) {
        if self.losses.len() == REMEMBERED_LOSSES {
            self.losses.pop_front();
        }
        self.losses.push_back((self.epoch, reason));
    }

    pub(super) fn flush_until(&mut self, end: Instant) {
        self.ending = Ending::Flushing(end);
    }

    pub(super) fn end(&mut self, failure: Option<Arc<OpenError>>) {
        self.ending = Ending::Over(failure);
    }

    /// Why the link of `epoch`, which must not be the current one, is no longer in use.
    pub(super) fn why_gone(&self, epoch: u64) -> Gone {
        if let Ending::Over(_) = self.ending {
            return Gone::Ended;
        }
        let reason = self
            .losses
            .iter()
            .find_map(|(lost, reason)| (*lost == epoch).then(|| reason.clone()));
        Gone::Lost(reason.unwrap_or_else(|| LostReason::Connection("some time ago".to_owned())))
    }

    /// The error that ends accepting, if the session is closing or has ended.
    pub(crate) fn accept_error(&self) -> Option<AcceptError> {
        match &self.ending {
            Ending::No => None,
            Ending::Flushing(_) | Ending::Over(None) => Some(AcceptError::Closed),
            Ending::Over(Some(failure)) => Some(AcceptError::SessionFailed(failure.clone())),
        }
    }
}

impl From<Gone> for StreamError {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Lost(reason) => Self::SessionLost(reason),
            Gone::Ended => Self::SessionClosed,
        }
    }
}

/// Lost links whose reason is kept for streams that were open on them. Chosen because the exact
/// reason does not matter for a stream that was not used during 16 later losses.
const REMEMBERED_LOSSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_each_lost_link_is_kept() {
        let mut lifecycle = Lifecycle::new();
        for why in ["first", "second"] {
            lifecycle.begin_epoch();
            lifecycle.end_epoch(LostReason::Connection(why.to_owned()));
        }
        let reason = |epoch| match lifecycle.why_gone(epoch) {
            Gone::Lost(LostReason::Connection(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(1), "first");
        assert_eq!(reason(2), "second");
    }

    #[test]
    fn only_the_last_losses_are_kept() {
        let mut lifecycle = Lifecycle::new();
        for _ in 0..100 {
            lifecycle.begin_epoch();
            lifecycle.end_epoch(LostReason::Stopped);
        }
        assert_eq!(lifecycle.losses.len(), REMEMBERED_LOSSES);
        assert!(matches!(
            lifecycle.why_gone(1),
            Gone::Lost(LostReason::Connection(_))
        ));
        assert!(matches!(
            lifecycle.why_gone(100),
            Gone::Lost(LostReason::Stopped)
        ));
    }

    #[test]
    fn an_ended_session_is_reported_before_a_lost_link() {
        let mut lifecycle = Lifecycle::new();
        lifecycle.begin_epoch();
        lifecycle.end_epoch(LostReason::Stopped);
        lifecycle.end(None);
        assert!(matches!(lifecycle.why_gone(1), Gone::Ended));
        assert!(matches!(
            lifecycle.accept_error(),
            Some(AcceptError::Closed)
        ));
    }
}
