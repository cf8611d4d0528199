//! Host names for emissary. It queries this book when a client looks up a name. It answers look-ups
//! by hash only if it has a book, which may be empty.

use std::{future::Future, pin::Pin};

use eepkit_naming::HostBook;
use emissary_core::runtime::AddressBook;

/// Implements emissary's address book with a [`HostBook`].
pub(crate) struct Hosts(pub(crate) HostBook);

impl AddressBook for Hosts {
    fn resolve_base64(&self, host: String) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> {
        let found = self.0.get(&host).map(|destination| destination.to_base64());
        Box::pin(std::future::ready(found))
    }

    /// The router expects only the hash, without `.b32.i2p`.
    fn resolve_base32(&self, host: &str) -> Option<String> {
        let address = self.0.get(host)?.to_b32();
        let hash = address.strip_suffix(".b32.i2p").unwrap_or(&address);
        Some(hash.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use eepkit_wire::{PrivateKeys, SignatureType};

    use super::*;

    #[tokio::test]
    async fn look_ups_return_the_destination_and_its_hash() {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rand::rng()).unwrap();
        let destination = keys.destination().clone();
        let book = HostBook::new();
        book.insert("a.i2p", destination.clone()).unwrap();
        let hosts = Hosts(book);

        assert_eq!(
            hosts.resolve_base64("a.i2p".into()).await,
            Some(destination.to_base64())
        );
        let hash = hosts.resolve_base32("a.i2p").unwrap();
        assert_eq!(format!("{hash}.b32.i2p"), destination.to_b32());
        assert_eq!(hosts.resolve_base64("b.i2p".into()).await, None);
    }
}
