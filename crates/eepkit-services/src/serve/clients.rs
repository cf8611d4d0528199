//! The number of connections of each client.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the connections of clients.
#[derive(Debug)]
pub(super) struct Clients {
    limit: usize,
    counts: Arc<Counts>,
}

/// The number of connections of each client that has one.
type Counts = Mutex<HashMap<Client, usize>>;

/// A client: an address, or the first 64 bits of an IPv6 address. `None` stands for all Unix sockets.
type Client = Option<IpAddr>;

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    client: Client,
    counts: Arc<Counts>,
}

impl Clients {
    /// Sets the maximum number of connections of one client.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    /// Counts a connection, if its client has not reached the limit. IPv4-mapped addresses count as
    /// IPv4.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Option<Place> {
        let client = address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address => address,
        });
        let mut counts = lock(&self.counts);
        let count = counts.get(&client).copied().unwrap_or(0);
        if count >= self.limit {
            return None;
        }
        counts.insert(client, count + 1);
        Some(Place {
            client,
            counts: self.counts.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// A panic while the lock is held leaves the table consistent: each change is one operation.
fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<Client, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().expect(address))
    }

    #[test]
    fn a_client_at_its_limit_does_not_affect_others() {
        let clients = Clients::new(2);
        let held = [
            clients.admit(at("192.0.2.1")),
            clients.admit(at("::ffff:192.0.2.1")),
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(clients.admit(at("192.0.2.1")).is_none());
        assert!(clients.admit(at("192.0.2.2")).is_some());
        assert!(clients.admit(None).is_some());
        drop(held);
        assert!(clients.admit(at("192.0.2.1")).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let clients = Clients::new(1);
        let _held = clients.admit(at("2001:db8::1"));
        assert!(clients.admit(at("2001:db8::2:3")).is_none());
        assert!(clients.admit(at("2001:db8:0:1::1")).is_some());
        // Loopback has one address.
        let _held = clients.admit(at("::1"));
        assert!(clients.admit(at("::2")).is_some());
    }

    #[test]
    fn clients_without_connections_take_no_memory() {
        let clients = Clients::new(1);
        for number in 0..1000_u32 {
            let address = IpAddr::V4(number.into());
            drop(clients.admit(Some(address)));
            let _refused = clients.admit(at("192.0.2.1"));
        }
        assert!(lock(&clients.counts).is_empty());
        let none = Clients::new(0);
        assert!(none.admit(at("192.0.2.1")).is_none());
        assert!(lock(&none.counts).is_empty());
    }
}
