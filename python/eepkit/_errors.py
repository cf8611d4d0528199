"""One exception for each kind of error of the library."""

from __future__ import annotations

import errno
from typing import Optional


class I2PError(OSError):
    """The base of all exceptions of this package.

    ``kind`` is the name of the kind, ``hint`` is what a user can do about it, or ``None``, and
    ``is_transient`` states whether the same call may succeed later without any change.
    """

    kind: str = "io"
    hint: Optional[str] = None
    is_transient: bool = False

    def __init__(self, text: str = "", hint: Optional[str] = None) -> None:
        super().__init__(text)
        self.text = text
        if hint is not None:
            self.hint = hint
        if self._errno is not None:
            self.errno = self._errno

    _errno: Optional[int] = None

    def __str__(self) -> str:
        return f"{self.text}: {self.hint}" if self.hint else self.text

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.text, self.hint))


class AddressInUse(I2PError):
    """Another listener uses the port, or another session of the router uses the destination."""

    kind = "address_in_use"
    _errno = errno.EADDRINUSE


class BadInput(I2PError, ValueError):
    """An argument or an option is invalid."""

    kind = "bad_input"
    _errno = errno.EINVAL


class Closed(I2PError):
    """The session, the listener or the router was closed by this program."""

    kind = "closed"
    _errno = errno.ENOTCONN


class Denied(I2PError, PermissionError):
    """The user name, the password or the key is missing or wrong."""

    kind = "denied"
    _errno = errno.EACCES


class IncompatibleEncryption(I2PError, ConnectionError):
    """This side and the peer have no encryption type in common."""

    kind = "incompatible_encryption"


class IoError(I2PError):
    """A file could not be read, parsed or written."""

    kind = "io"
    _errno = errno.EIO


class LeaseSetNotFound(I2PError, ConnectionError):
    """The network has no lease set for the destination: it is offline or does not exist."""

    kind = "lease_set_not_found"
    _errno = errno.EHOSTUNREACH


class Limit(I2PError):
    """A limit was reached."""

    kind = "limit"
    _errno = errno.EAGAIN


class Locked(I2PError, PermissionError):
    """The lease set of the destination is encrypted, and the router has no key for it."""

    kind = "locked"
    _errno = errno.EACCES


class NameNotFound(I2PError):
    """The host name is unknown."""

    kind = "name_not_found"
    _errno = errno.ENOENT


class NetworkUnreachable(I2PError, ConnectionError):
    """The embedded router could not join the network."""

    kind = "network_unreachable"
    _errno = errno.ENETUNREACH


class NoTunnels(I2PError, ConnectionError):
    """The router has no tunnels for the session."""

    kind = "no_tunnels"
    _errno = errno.ENETUNREACH


class PeerUnreachable(I2PError, ConnectionError):
    """The peer stopped answering, or never answered although its lease set is published."""

    kind = "peer_unreachable"
    _errno = errno.EHOSTUNREACH


class Protocol(I2PError):
    """The peer or the router violated the protocol."""

    kind = "protocol"
    _errno = errno.EPROTO


class Refused(I2PError, ConnectionRefusedError):
    """The peer has no listener on the port, or it rejects this destination."""

    kind = "refused"
    _errno = errno.ECONNREFUSED


class Reset(I2PError, ConnectionResetError):
    """The peer reset the stream."""

    kind = "reset"
    _errno = errno.ECONNRESET


class RouterRefused(I2PError, ConnectionError):
    """The router refused the request."""

    kind = "router_refused"
    _errno = errno.ECONNREFUSED


class RouterUnreachable(I2PError, ConnectionError):
    """The router cannot be reached."""

    kind = "router_unreachable"
    _errno = errno.ENETUNREACH


class SessionLost(I2PError, ConnectionAbortedError):
    """The link between the session and its router broke."""

    kind = "session_lost"
    _errno = errno.ECONNABORTED


class Timeout(I2PError, TimeoutError):
    """The operation did not finish in time."""

    kind = "timeout"
    _errno = errno.ETIMEDOUT


class Unsupported(I2PError):
    """The router or this library does not support the operation."""

    kind = "unsupported"
    _errno = errno.ENOTSUP


BY_KIND: dict[str, type[I2PError]] = {
    error.kind: error
    for error in (
        AddressInUse,
        BadInput,
        Closed,
        Denied,
        IncompatibleEncryption,
        IoError,
        LeaseSetNotFound,
        Limit,
        Locked,
        NameNotFound,
        NetworkUnreachable,
        NoTunnels,
        PeerUnreachable,
        Protocol,
        Refused,
        Reset,
        RouterRefused,
        RouterUnreachable,
        SessionLost,
        Timeout,
        Unsupported,
    )
}

for _kind in (
    "lease_set_not_found",
    "limit",
    "network_unreachable",
    "no_tunnels",
    "peer_unreachable",
    "reset",
    "router_unreachable",
    "session_lost",
    "timeout",
):
    BY_KIND[_kind].is_transient = True


def make(kind: str, text: str, hint: Optional[str]) -> I2PError:
    """The exception for an error of the compiled part."""
    return BY_KIND.get(kind, I2PError)(text, hint)
