//! Forms of the proxy's own pages. Each can be used once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit_naming::AddressHelper;
use rand::RngExt as _;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

/// What a form does when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// The name and its destination.
    pub(super) helper: AddressHelper,
    /// The URL that is opened afterwards.
    pub(super) then: String,
    /// Whether the name has another destination, which is replaced.
    pub(super) replaces: bool,
}

/// The forms that were displayed and not sent yet.
#[derive(Default)]
pub(super) struct Forms(Mutex<VecDeque<Entry>>);

struct Entry {
    nonce: String,
    offer: Offer,
    since: Instant,
}

impl Forms {
    /// Adds a form, and returns its nonce.
    pub(super) fn add(&self, offer: Offer) -> String {
        let bytes: [u8; 16] = rand::rng().random();
        let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = self.lock();
        forms.retain(|entry| entry.since.elapsed() < LIFE);
        if forms.len() >= MAX_FORMS {
            forms.pop_front();
        }
        forms.push_back(Entry {
            nonce: nonce.clone(),
            offer,
            since: Instant::now(),
        });
        nonce
    }

    /// Removes the form with this nonce.
    pub(super) fn take(&self, nonce: &str) -> Option<Offer> {
        let mut forms = self.lock();
        let at = forms
            .iter()
            .position(|entry| bool::from(entry.nonce.as_bytes().ct_eq(nonce.as_bytes())))?;
        let entry = forms.remove(at)?;
        (entry.since.elapsed() < LIFE).then_some(entry.offer)
    }

    /// A panic while the lock is held leaves the list consistent: each change is one insertion or
    /// removal.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chosen as long enough to compare a destination with that of another source.
const LIFE: Duration = Duration::from_secs(600);
/// Chosen so that a site that opens the page again and again does not take more than a megabyte.
const MAX_FORMS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        let url = format!("http://a.i2p/?i2paddresshelper={}.b32.i2p", "a".repeat(52));
        Offer {
            helper: AddressHelper::from_url(&url)
                .expect("valid")
                .expect("a helper"),
            then: "http://a.i2p/".to_owned(),
            replaces: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_form_is_used_once_and_expires() {
        let forms = Forms::default();
        let (one, other) = (forms.add(offer()), forms.add(offer()));
        assert_ne!(one, other);
        assert_eq!(forms.take("x"), None);
        assert_eq!(forms.take(&one), Some(offer()));
        assert_eq!(forms.take(&one), None);
        tokio::time::advance(LIFE).await;
        assert_eq!(forms.take(&other), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_forms_is_bounded() {
        let forms = Forms::default();
        let first = forms.add(offer());
        for _ in 0..MAX_FORMS {
            forms.add(offer());
        }
        assert_eq!(forms.lock().len(), MAX_FORMS);
        assert_eq!(forms.take(&first), None);
    }
}
