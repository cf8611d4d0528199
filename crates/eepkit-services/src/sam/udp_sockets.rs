//! The UDP sockets of a bridge.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::{net::UdpSocket, sync::OnceCell};

/// The sockets from which datagrams are forwarded: those on which the bridge listens, or a separate
/// one if none of them reaches the address.
pub(super) struct UdpSockets {
    listening: Vec<Arc<UdpSocket>>,
    own_v4: OnceCell<Arc<UdpSocket>>,
    own_v6: OnceCell<Arc<UdpSocket>>,
}

impl UdpSockets {
    pub(super) fn new(listening: Vec<Arc<UdpSocket>>) -> Self {
        Self {
            listening,
            own_v4: OnceCell::new(),
            own_v6: OnceCell::new(),
        }
    }

    /// Returns a socket that can send to an address.
    pub(super) async fn towards(&self, to: SocketAddr) -> io::Result<&Arc<UdpSocket>> {
        let reaching = |socket: &&Arc<UdpSocket>| {
            socket
                .local_addr()
                .is_ok_and(|from| reaches(from.ip(), to.ip()))
        };
        if let Some(socket) = self.listening.iter().find(reaching) {
            return Ok(socket);
        }
        let (own, from) = match to {
            SocketAddr::V4(_) => (&self.own_v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (&self.own_v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        own.get_or_try_init(|| async { UdpSocket::bind((from, 0)).await.map(Arc::new) })
            .await
    }
}

/// Whether a socket that is bound to `from` can send to `to`. A loopback socket does not reach
/// other machines, and a socket of another interface does not reach loopback.
fn reaches(from: IpAddr, to: IpAddr) -> bool {
    from.is_ipv4() == to.is_ipv4()
        && (from.is_unspecified() || from.is_loopback() == to.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_forwarded_from_a_socket_that_reaches_the_address() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (from, to, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", true),
            ("127.0.0.1", "192.0.2.1", false),
            ("127.0.0.1", "::1", false),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "192.0.2.1", true),
            ("0.0.0.0", "::1", false),
            ("192.0.2.1", "192.0.2.2", true),
            ("192.0.2.1", "127.0.0.1", false),
            ("::1", "::1", true),
            ("::1", "2001:db8::1", false),
            ("::", "2001:db8::1", true),
        ] {
            assert_eq!(reaches(ip(from), ip(to)), expected, "{from} to {to}");
        }
    }
}
