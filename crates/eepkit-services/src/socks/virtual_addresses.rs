//! IP addresses that stand for names on I2P.
//!
//! Some programs ask the proxy for the IP address of a name (Tor's RESOLVE) and connect to that.
//! Hosts on I2P have no IP address, so the proxy answers with one that nobody else has.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

/// The addresses that were answered, with their names.
#[derive(Debug, Default)]
pub(super) struct VirtualAddresses {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<String, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, String>,
    /// The oldest first.
    order: VecDeque<Ipv4Addr>,
    next: u32,
}

impl VirtualAddresses {
    /// The address of a name, which is the same as long as the table has it.
    pub(super) fn address_of(&self, name: &str) -> Ipv4Addr {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = table.by_name.get(name) {
            return *address;
        }
        if table.order.len() >= MAX_NAMES
            && let Some(oldest) = table.order.pop_front()
            && let Some(name) = table.by_address.remove(&oldest)
        {
            table.by_name.remove(&name);
        }
        let address = Ipv4Addr::from(NETWORK | (table.next % HOSTS + 1));
        table.next = table.next.wrapping_add(1);
        table.by_name.insert(name.to_owned(), address);
        table.by_address.insert(address, name.to_owned());
        table.order.push_back(address);
        address
    }

    /// The name that an address stands for.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.by_address.get(&address).cloned()
    }
}

/// 127.192.0.0/10, the network that Tor uses for the same purpose: a program that connects to such
/// an address without the proxy does not leave the machine.
const NETWORK: u32 = 0x7fc0_0000;
const HOSTS: u32 = 0x003f_fffe;

/// Chosen because a browser knows some hundred hosts at a time.
const MAX_NAMES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_one_name_until_the_table_is_full() {
        let addresses = VirtualAddresses::default();
        let first = addresses.address_of("a.i2p");
        assert_eq!(first, Ipv4Addr::new(127, 192, 0, 1));
        assert_eq!(addresses.address_of("a.i2p"), first);
        assert_eq!(addresses.name_of(first.into()).as_deref(), Some("a.i2p"));
        for number in 0..MAX_NAMES {
            addresses.address_of(&format!("{number}.i2p"));
        }
        assert_eq!(addresses.name_of(first.into()), None);
        assert_ne!(addresses.address_of("a.i2p"), first);
        assert_eq!(addresses.name_of(Ipv4Addr::new(127, 0, 0, 1).into()), None);
    }
}
