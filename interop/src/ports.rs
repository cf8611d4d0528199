//! Ports for programs that cannot be told to listen on any free one.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

/// A port of this address that is free for TCP and UDP.
///
/// It is not in the range from which systems take the ports of outgoing connections and of sockets
/// that are bound to port 0. So nothing but another caller of this function is likely to take it
/// before the program that it is meant for does.
///
/// # Errors
///
/// Fails if none of a hundred ports is free.
pub fn free_port(ip: Ipv4Addr) -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different ports, because tests run side by side.
    let first = std::process::id().wrapping_mul(PORTS_PER_PROCESS) % COUNT;
    let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u32::from(FIRST) + (first + offset) % COUNT;
        let port = u16::try_from(port).unwrap_or(FIRST);
        let at = (ip, port);
        match TcpListener::bind(at).and_then(|_| UdpSocket::bind(at)) {
            Ok(_) => return Ok(port),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// The ports from which one is chosen. Chosen above those of most services, and below the range of
/// outgoing connections, which begins at 32,768 in Linux.
const FIRST: u16 = 12_000;
const COUNT: u32 = 20_000;

/// The distance of the first ports of two processes with consecutive ids, more than most tests need.
const PORTS_PER_PROCESS: u32 = 101;

const ATTEMPTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_chosen_twice_or_while_it_is_in_use() -> io::Result<()> {
        let mut chosen = Vec::new();
        for _ in 0..50 {
            let port = free_port(Ipv4Addr::LOCALHOST)?;
            assert!((FIRST..32_768).contains(&port), "{port}");
            chosen.push(port);
        }
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, chosen[49].wrapping_add(1)));
        let next = free_port(Ipv4Addr::LOCALHOST)?;
        assert_ne!(next, chosen[49].wrapping_add(1));
        chosen.push(next);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 51);
        Ok(())
    }
}
