"""The interface for threads. Streams are sockets.

Every call that waits can be interrupted with Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from . import _native
from ._calls import wait
from ._common import (
    DEFAULT_ROUTER,
    Datagram,
    DatagramSocketBase,
    PathLike,
    RouterBase,
    SessionBase,
    To,
    datagram,
    embedded_options,
    option_text,
    reply_address,
    session_options,
)
from ._errors import Closed
from ._native import AddressBook, Destination, PrivateKeys, Status
from ._streams import Socket

__all__ = [
    "AddressBook",
    "DatagramSocket",
    "Destination",
    "Devnet",
    "Listener",
    "PrivateKeys",
    "Router",
    "SamBridge",
    "Session",
    "Socket",
    "Status",
]


class Router(RouterBase):
    """A router, on which sessions are opened. See ``eepkit.Router`` for the options."""

    @classmethod
    def attach(
        cls,
        url: str = DEFAULT_ROUTER,
        *,
        user: Optional[str] = None,
        password: Optional[str] = None,
        names: Optional[AddressBook] = None,
    ) -> Router:
        """A router that runs already. Connects only when a session is opened."""
        return cls(_named(_native.Router.attach(url, user, password), names))

    @classmethod
    def from_env(cls, *, names: Optional[AddressBook] = None) -> Router:
        """The router at the address in ``EEPKIT_ROUTER``, by default I2CP on this machine."""
        return cls(_named(_native.Router.from_env(), names))

    @classmethod
    def embedded(
        cls,
        directory: Optional[PathLike] = None,
        *,
        names: Optional[AddressBook] = None,
        **options: Any,
    ) -> Router:
        """Starts a router in this process."""
        prepared = embedded_options(directory, **options)
        return cls(_named(wait(lambda done: _native.embedded(prepared, done)), names))

    @classmethod
    def attach_or_start(
        cls,
        url: str = DEFAULT_ROUTER,
        directory: Optional[PathLike] = None,
        *,
        names: Optional[AddressBook] = None,
        **options: Any,
    ) -> Router:
        """The router at ``url`` if one answers there within five seconds, else one in this process."""
        prepared = embedded_options(directory, **options)
        native = wait(lambda done: _native.attach_or_start(url, prepared, done))
        return cls(_named(native, names))

    @classmethod
    def simulated(
        cls,
        profile: str = "local",
        *,
        seed: int = 0,
        delay: Optional[float] = None,
        loss: Optional[float] = None,
        names: Optional[AddressBook] = None,
    ) -> Router:
        """A simulated network in real time, for tests."""
        return cls(_named(_native.Router.simulated(profile, seed, delay, loss), names))

    @staticmethod
    def devnet(
        routers: int = 3,
        *,
        tunnel_length: Optional[int] = None,
        seed: Optional[int] = None,
        hosts: Optional[Mapping[str, Destination]] = None,
    ) -> Devnet:
        """Starts a private network of real routers in this process, on loopback."""
        names = list((hosts or {}).items())
        return Devnet(
            wait(lambda done: _native.devnet(routers, tunnel_length, seed, names, done))
        )

    def session(self, *, wait: bool = True, **options: Any) -> Session:
        """Opens a session, and returns when it is ready. With ``wait=False`` it returns at once."""
        prepared = session_options(**options)
        native = _wait(lambda done: _native.open_session(self._native, prepared, wait, done))
        return Session(native, self)

    def ready(self, timeout: float = 300.0) -> Status:
        """Waits until a router in this process has tunnels."""
        watch = self._watch()
        status: Status = wait(lambda done: watch.ready(timeout, done))
        return status

    def states(self) -> Iterator[Status]:
        """The status of a router in this process, now and after each change, until it is stopped."""
        watch = self._watch()
        status: Optional[Status] = watch.current()
        while status is not None:
            yield status
            status = None if status.is_over else wait(watch.changed)

    def probe(self, timeout: float = 5.0) -> Optional[str]:
        """Connects without opening a session. Returns the name of the program, if it reports it."""
        program: Optional[str] = wait(lambda done: self._native.probe(timeout, done))
        return program

    def sam_bridge(
        self,
        address: Optional[str] = "127.0.0.1:0",
        *,
        options: Optional[Mapping[str, object]] = None,
    ) -> SamBridge:
        """Starts a SAM bridge on this router. ``None`` serves this process only."""
        pairs = [(key, option_text(value)) for key, value in (options or {}).items()]
        native = wait(lambda done: _native.sam_bridge(self._native, address, pairs, done))
        return SamBridge(native, self)

    def kill(self) -> None:
        """Stops a router of a private network at once, as a crash would."""
        wait(self._native.kill)

    def restart(self) -> None:
        """Starts a killed router of a private network again, with the same identity."""
        wait(self._native.restart)

    def shutdown(self) -> None:
        """Closes the sessions of this object, and stops a router in this process."""
        wait(self._native.shutdown)

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()


class Devnet:
    """A private network of real routers in this process."""

    def __init__(self, native: _native.Devnet) -> None:
        self._native = native
        self.routers = [Router(router) for router in native.routers()]

    @property
    def private_network(self) -> tuple[int, list[bytes]]:
        """For ``Router.embedded(private_network=...)``, which then joins this network."""
        return self._native.private_network()

    def stop(self) -> None:
        wait(self._native.stop)

    def __enter__(self) -> Devnet:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class SamBridge:
    """A SAM bridge for programs in any language."""

    def __init__(self, native: _native.SamBridge, router: RouterBase) -> None:
        self._native = native
        self._router = router

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and the port."""
        addresses = self._native.addresses
        if not addresses:
            raise Closed("the bridge serves this process only, so it has no address")
        return addresses[0]

    def stop(self) -> None:
        wait(self._native.stop)

    def __enter__(self) -> SamBridge:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Session(SessionBase):
    """A destination that is online."""

    def connect(
        self,
        address: To,
        port: Optional[int] = None,
        *,
        local_port: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Socket:
        """Opens a stream, and returns a socket in blocking mode without a time limit."""
        return Socket._of(
            wait(lambda done: self._native.connect(address, port, local_port, timeout, done))
        )

    def listen(self, port: int = 0, *, backlog: Optional[int] = None) -> Listener:
        """Accepts streams on a port, or with 0 on all ports without another listener."""
        return Listener(self._native.listen(port, backlog), self)

    def datagrams(
        self,
        format: str = "datagram2",
        port: int = 0,
        *,
        protocol: Optional[int] = None,
        queue: Optional[int] = None,
    ) -> DatagramSocket:
        """Binds a port for datagrams: ``raw``, ``datagram1``, ``datagram2`` or ``datagram3``."""
        return DatagramSocket(self._native.datagrams(format, port, protocol, queue), self)

    def lookup(self, name: To) -> Destination:
        """Finds the destination of a name or of a ``.b32.i2p`` address."""
        found: Destination = wait(lambda done: self._native.lookup(name, done))
        return found

    def lease_set_options(self, address: To) -> dict[str, str]:
        """The options in the lease set of a destination, such as service records."""
        return dict(wait(lambda done: self._native.lease_set_options(address, done)))

    def ping(self, address: To, *, timeout: Optional[float] = None) -> float:
        """Pings a peer. Returns the round-trip time in seconds."""
        time: float = wait(lambda done: self._native.ping(address, timeout, done))
        return time

    def ready(self, timeout: float = 300.0) -> Status:
        """Waits until peers can reach the session."""
        watch = self._native.watch()
        status: Status = wait(lambda done: watch.ready(timeout, done))
        return status

    def states(self) -> Iterator[Status]:
        """The status of the session, now and after each change, until it has ended."""
        watch = self._native.watch()
        status: Optional[Status] = watch.current()
        while status is not None:
            yield status
            status = None if status.is_over else wait(watch.changed)

    def close(self) -> None:
        """Refuses new streams, delivers written data and notifies the router."""
        wait(self._native.close)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Listener:
    """Streams that peers open: an iterator of sockets."""

    def __init__(self, native: _native.Listener, session: Session) -> None:
        self._native = native
        self._session = session

    @property
    def port(self) -> int:
        return self._native.port

    def accept(self, timeout: Optional[float] = None) -> tuple[Socket, tuple[str, int]]:
        """Waits for the next stream. Returns its socket, and the address and port of the peer."""
        connection: Optional[_native.Connection] = wait(self._native.accept, timeout)
        if connection is None:
            raise Closed("the listener or its session was closed")
        return Socket._of(connection), (connection.peer.b32, connection.peer_port)

    def close(self) -> None:
        """Stops listening. Threads that wait for a stream get the end."""
        self._native.close()

    def __iter__(self) -> Iterator[Socket]:
        while True:
            try:
                yield self.accept()[0]
            except Closed:
                return

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class DatagramSocket(DatagramSocketBase):
    """Datagrams of one format."""

    def send(
        self,
        payload: bytes,
        address: To,
        port: Optional[int] = None,
        *,
        from_port: Optional[int] = None,
        protocol: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> None:
        """Sends a datagram. Nothing reports whether it arrives."""
        wait(
            lambda done: self._native.send(
                payload, address, port, from_port, protocol, timeout, done
            )
        )

    def reply(self, to: Datagram, payload: bytes) -> None:
        """Sends to the sender of a datagram, and for ``datagram3`` to the claimed one."""
        self.send(payload, reply_address(to), to.from_port, from_port=to.to_port)

    def receive(self, timeout: Optional[float] = None) -> Datagram:
        return datagram(wait(self._native.receive, timeout))

    def close(self) -> None:
        self._native.close()

    def __enter__(self) -> DatagramSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


# `Router.session` has a parameter `wait`.
_wait = wait


def _named(native: _native.Router, names: Optional[AddressBook]) -> _native.Router:
    return native if names is None else native.with_names(names)
