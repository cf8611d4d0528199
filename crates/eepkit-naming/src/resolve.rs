//! Resolution of what users type: names, base32 addresses and destinations.

use std::str::FromStr;

use crate::{
    address_book::{AddressBook, Found},
    host_name::{HostName, HostNameError},
    store_error::StoreError,
    target::{Target, TargetError},
};

/// What a user typed: a name to look up, or an address that needs no book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A host name.
    Name(HostName),
    /// A destination in base64 or a base32 address.
    Target(Target),
}

impl FromStr for Query {
    type Err = QueryError;

    /// Parses a name in any form that [`HostName`] accepts, a base32 address of either kind, with
    /// or without `.alt`, or a destination in base64. White space around the text is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let without_alt = text
            .len()
            .checked_sub(ALT.len())
            .and_then(|cut| text.split_at_checked(cut))
            .filter(|(_, end)| end.eq_ignore_ascii_case(ALT))
            .map_or(text, |(start, _)| start);
        match without_alt.parse() {
            Ok(target) => Ok(Self::Target(target)),
            Err(TargetError::Name) => Ok(Self::Name(text.parse()?)),
            // An international name is no address, but becomes a name.
            Err(_) if !text.is_ascii() => Ok(Self::Name(text.parse()?)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The reason why a text can be neither looked up nor used as an address.
///
/// A base32 address of the wrong length or with a wrong checksum is such an error, and is never
/// looked up as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not a host name.
    #[error(transparent)]
    Name(#[from] HostNameError),
    /// The text is not an address.
    #[error(transparent)]
    Address(#[from] TargetError),
}

/// What a query resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The destination, or the address by which a router finds it.
    pub target: Target,
    /// The entry that answered; `None` if the query was an address.
    pub found: Option<Found>,
}

/// The reason why a query was not resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The query is malformed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No book has the name.
    #[error("{0} is not in the address book")]
    NotFound(HostName),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AddressBook {
    /// Resolves a name, a base32 address or a destination without the network.
    ///
    /// Base32 addresses are replaced by their destination if a book has it, or if it was remembered
    /// ([`AddressBook::remember_blinded`]). Otherwise a router must look them up: an address of an
    /// encrypted lease set only resolves on routers that support them.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    ///
    /// ```
    /// use eepkit_naming::{AddressBook, ResolveError};
    ///
    /// let books = AddressBook::in_memory()?;
    /// let error = books.resolve("stats.i2p").unwrap_err();
    /// assert!(matches!(error, ResolveError::NotFound(_)));
    /// // 53 characters are a typing error.
    /// let address = format!("{}.b32.i2p", "a".repeat(53));
    /// let error = books.resolve(&address).unwrap_err();
    /// assert!(matches!(error, ResolveError::Query(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve(&self, text: &str) -> Result<Resolution, ResolveError> {
        self.resolve_query(text.parse()?)
    }

    /// Resolves a query, as [`AddressBook::resolve`] does.
    ///
    /// # Errors
    ///
    /// [`ResolveError`].
    pub fn resolve_query(&self, query: Query) -> Result<Resolution, ResolveError> {
        let (target, found) = match query {
            Query::Target(target) => (target, None),
            Query::Name(name) => match self.look_up(&name)? {
                None => return Err(ResolveError::NotFound(name)),
                Some(found) => (found.entry.target().clone(), Some(found)),
            },
        };
        let known = match &target {
            Target::Destination(_) => None,
            Target::Hash(hash) => self.destination(*hash)?,
            // A secret or a key of the client is needed in any case, so the address stays.
            Target::Blinded(address)
                if address.is_secret_required() || address.is_client_key_required() =>
            {
                None
            }
            Target::Blinded(address) => self.blinded_destination(address.key())?,
        };
        let target = known.map_or(target, Target::Destination);
        Ok(Resolution { target, found })
    }
}

/// The pseudo domain of RFC 9476.
const ALT: &str = ".alt";

#[cfg(test)]
mod tests {
    use eepkit_wire::{BlindedAddress, Destination, PrivateKeys, SignatureType};

    use super::*;
    use crate::{Book, Entry};

    fn destination() -> Destination {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
        keys.destination().clone()
    }

    #[test]
    fn every_form_of_an_address_resolves_without_a_book() {
        let books = AddressBook::in_memory().unwrap();
        let destination = destination();
        let target = |text: &str| books.resolve(text).unwrap().target;
        let hash = Target::Hash(destination.hash());
        let b32 = destination.to_b32();
        assert_eq!(target(&destination.to_base64()), destination.clone().into());
        for text in [b32.clone(), b32.to_uppercase(), format!(" {b32}.alt\n")] {
            assert_eq!(target(&text), hash);
        }
        let blinded =
            BlindedAddress::new(destination.signing_key().clone(), SignatureType::REDDSA).unwrap();
        let b33 = blinded.to_b33();
        assert_eq!(target(&b33), Target::Blinded(blinded.clone()));
        assert_eq!(target(&b33.to_uppercase()), Target::Blinded(blinded));
    }

    #[test]
    fn addresses_with_typing_errors_are_errors_and_no_unknown_names() {
        let books = AddressBook::in_memory().unwrap();
        let destination = destination();
        let blinded =
            BlindedAddress::new(destination.signing_key().clone(), SignatureType::REDDSA).unwrap();
        let mut b33 = blinded.to_b33();
        let last = if b33.starts_with('a') { "b" } else { "a" };
        b33.replace_range(..1, last);
        let base64 = destination.to_base64();
        for text in [
            format!("{}.b32.i2p", "a".repeat(51)),
            format!("{}.b32.i2p", "a".repeat(53)),
            format!("{}.b32.i2p", "a".repeat(54)),
            format!("{}.b32.i2p", "a".repeat(55)),
            format!("{}1.b32.i2p", "a".repeat(51)),
            b33,
            base64[..400].to_owned(),
            format!("{base64}x"),
            "example.com".to_owned(),
            String::new(),
        ] {
            let error = books.resolve(&text).unwrap_err();
            assert!(matches!(error, ResolveError::Query(_)), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_resolved_in_every_form() {
        let books = AddressBook::in_memory().unwrap();
        let destination = destination();
        let entry = Entry::new(destination.clone());
        for name in ["a.i2p", "bücher.i2p"] {
            books
                .put(Book::User, &name.parse().unwrap(), &entry)
                .unwrap();
        }
        for text in [
            "A.i2p",
            " a.i2p.alt ",
            "www.a.i2p",
            "bücher.i2p",
            "BÜCHER.i2p.alt",
        ] {
            let resolution = books.resolve(text).unwrap();
            assert_eq!(resolution.target, destination.clone().into(), "{text}");
            assert_eq!(resolution.found.unwrap().book, Book::User);
        }
    }

    #[test]
    fn addresses_of_known_destinations_need_no_router() {
        let books = AddressBook::in_memory().unwrap();
        let [known, remembered] = [destination(), destination()];
        let hash = Target::Hash(known.hash());
        let address = |destination: &Destination| {
            BlindedAddress::new(destination.signing_key().clone(), SignatureType::REDDSA).unwrap()
        };
        let put = |name: &str, target: Target| {
            let name = name.parse().unwrap();
            books.put(Book::Shared, &name, &Entry::new(target)).unwrap();
        };
        put("a.i2p", known.clone().into());
        put("hash.i2p", hash);
        put("blinded.i2p", Target::Blinded(address(&remembered)));
        let secret = address(&remembered).with_secret_required(true);

        let target = |text: &str| books.resolve(text).unwrap().target;
        assert_eq!(target(&known.to_b32()), known.clone().into());
        assert_eq!(target("hash.i2p"), known.into());
        let blinded = Target::Blinded(address(&remembered));
        assert_eq!(target("blinded.i2p"), blinded);
        books.remember_blinded(&remembered).unwrap();
        assert_eq!(target("blinded.i2p"), remembered.into());
        assert_eq!(target(&secret.to_b33()), Target::Blinded(secret));
    }
}
