//! Sockets that are bound before a router uses them.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// The number of inbound connections that the system queues until they are accepted. Chosen as the
/// usual system limit.
pub(crate) const LISTEN_BACKLOG: i32 = 128;

/// Creates a non-blocking socket that is bound to `address`.
pub(crate) fn bound_socket(
    address: SocketAddr,
    kind: Type,
    protocol: Protocol,
) -> io::Result<Socket> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM && cfg!(unix) {
        // A restarted router can then bind its port while old connections are in TIME_WAIT. On
        // Windows the option would allow two routers to share the port.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Creates a TCP socket that is bound to `address` and listens.
pub(crate) fn listening_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = bound_socket(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}
