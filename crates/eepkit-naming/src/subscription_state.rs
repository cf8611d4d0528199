//! What is stored about a subscription.

use eepkit_wire::{DecodeError, Reader};

use crate::{
    address_book::AddressBook, store_error::StoreError, subscription_url::SubscriptionUrl,
};

/// What is stored about a subscription between runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionState {
    /// The `ETag` of the list that was merged.
    pub etag: Option<String>,
    /// The `Last-Modified` of the list that was merged.
    pub last_modified: Option<String>,
    /// The time of the last success, in seconds since the epoch.
    pub fetched: Option<u64>,
    /// The time of the last attempt, in seconds since the epoch.
    pub attempted: Option<u64>,
    /// The number of failures since the last success.
    pub failures: u32,
    /// The result of the last attempt, for users.
    pub result: String,
}

impl SubscriptionState {
    /// The form of the store: a version, numbers, texts with their lengths in two bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for time in [self.fetched, self.attempted] {
            out.extend(time.unwrap_or(0).to_be_bytes());
        }
        out.extend(self.failures.to_be_bytes());
        let etag = self.etag.as_deref().unwrap_or_default();
        let last_modified = self.last_modified.as_deref().unwrap_or_default();
        for text in [etag, last_modified, &self.result] {
            let fits = |end: &usize| text.is_char_boundary(*end);
            let end = (0..=text.len().min(MAX_TEXT)).rev().find(fits).unwrap_or(0);
            out.extend((end as u16).to_be_bytes());
            out.extend(&text.as_bytes()[..end]);
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |why| DecodeError::Invalid {
            what: "subscription",
            why,
        };
        let mut r = Reader::new(bytes);
        if r.u8("subscription")? != VERSION {
            return Err(invalid("written by a newer version"));
        }
        let mut time = || Ok(Some(r.u64("subscription")?).filter(|&time| time != 0));
        let (fetched, attempted) = (time()?, time()?);
        let failures = r.u32("subscription")?;
        let mut text = || {
            let length = usize::from(r.u16("subscription")?);
            let text = std::str::from_utf8(r.take(length, "subscription")?);
            text.map(str::to_owned)
                .map_err(|_| invalid("not valid utf-8"))
        };
        Ok(Self {
            etag: Some(text()?).filter(|text| !text.is_empty()),
            last_modified: Some(text()?).filter(|text| !text.is_empty()),
            fetched,
            attempted,
            failures,
            result: text()?,
        })
    }
}

impl AddressBook {
    /// Stores a subscription with its state.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn save_subscription(
        &self,
        url: &SubscriptionUrl,
        state: &SubscriptionState,
    ) -> Result<(), StoreError> {
        self.put_subscription(url.as_str(), Some(&state.to_bytes()))
    }

    /// Removes a stored subscription. Its names stay.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn remove_subscription(&self, url: &SubscriptionUrl) -> Result<(), StoreError> {
        self.put_subscription(url.as_str(), None)
    }

    /// The stored subscriptions with their states, sorted by address.
    ///
    /// # Errors
    ///
    /// If the database fails or a value is damaged.
    pub fn saved_subscriptions(
        &self,
    ) -> Result<Vec<(SubscriptionUrl, SubscriptionState)>, StoreError> {
        let mut found = Vec::new();
        for (url, state) in self.subscriptions()? {
            let Ok(url) = url.parse() else {
                return Err(StoreError::Damaged(DecodeError::Invalid {
                    what: "subscription",
                    why: "not an address",
                }));
            };
            found.push((url, SubscriptionState::from_bytes(&state)?));
        }
        Ok(found)
    }
}

/// The version of the store's form.
const VERSION: u8 = 1;

/// The largest length of a stored text, in bytes. Longer ones are cut.
const MAX_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_stored_with_their_states() {
        let books = AddressBook::in_memory().unwrap();
        let url: SubscriptionUrl = SubscriptionUrl::DEFAULT.parse().unwrap();
        let other: SubscriptionUrl = "file:///tmp/hosts.txt".parse().unwrap();
        let state = SubscriptionState {
            etag: Some("\"a#b\"".to_owned()),
            last_modified: None,
            fetched: Some(5),
            attempted: Some(6),
            failures: 1,
            result: "é".repeat(3000),
        };
        books.save_subscription(&url, &state).unwrap();
        books
            .save_subscription(&other, &SubscriptionState::default())
            .unwrap();
        let saved = books.saved_subscriptions().unwrap();
        assert_eq!(saved[0], (other.clone(), SubscriptionState::default()));
        let cut = SubscriptionState {
            result: "é".repeat(2048),
            ..state
        };
        assert_eq!(saved[1], (url, cut));
        books.remove_subscription(&other).unwrap();
        assert_eq!(books.saved_subscriptions().unwrap().len(), 1);
    }
}
