//! Sources of names that a session asks before its router.

use std::{fmt, pin::Pin};

use eepkit_naming::{AddressBook, ResolveError, Target};

use crate::{
    address::Host,
    error::{AddressError, LookupError},
};

/// Resolves host names for sessions: an [`AddressBook`], or a connection to a program that has one.
///
/// [`Router::with_names`](crate::Router::with_names) sets it. Names that it does not have are looked
/// up with the router.
pub trait NameSource: fmt::Debug + Send + Sync + 'static {
    /// Resolves a name in lower case to a destination or a hash. `None` if the source does not have
    /// the name.
    ///
    /// The future resolves to [`LookupError`] if the name cannot be used or the source fails. The
    /// session drops the future after the time limit of its look-ups.
    fn resolve<'a>(&'a self, name: &'a str) -> ResolveFuture<'a>;
}

/// The future of [`NameSource::resolve`].
pub type ResolveFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Host>, LookupError>> + Send + 'a>>;

impl NameSource for AddressBook {
    /// Blocks for the microseconds of a read of the store.
    fn resolve<'a>(&'a self, name: &'a str) -> ResolveFuture<'a> {
        let found = match Self::resolve(self, name) {
            Ok(resolution) => match Host::try_from(resolution.target) {
                Ok(host) => Ok(Some(host)),
                Err(error) => Err(error.into()),
            },
            Err(ResolveError::Store(error)) => {
                tracing::warn!(%error, "the address book cannot be read");
                Err(LookupError::NameSource(error.to_string()))
            }
            // The router may have the name, or an error of its own for it.
            Err(_) => Ok(None),
        };
        Box::pin(std::future::ready(found))
    }
}

/// What an address book has for a name. The address of an encrypted lease set is an error, because
/// no session can look it up.
impl TryFrom<Target> for Host {
    type Error = AddressError;

    fn try_from(target: Target) -> Result<Self, AddressError> {
        match target {
            Target::Destination(destination) => Ok(Self::Destination(destination)),
            Target::Hash(hash) => Ok(Self::Hash(hash)),
            _ => Err(AddressError::EncryptedLeaseSet),
        }
    }
}
