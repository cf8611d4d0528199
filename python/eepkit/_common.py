"""What the interfaces for asyncio and for threads have in common."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from . import _native
from ._calls import exiting
from ._errors import BadInput, Unsupported
from ._native import AddressBook, Destination, PrivateKeys, Status

PathLike = Union[str, "os.PathLike[str]"]
To = Union[str, Destination]

DEFAULT_ROUTER = "i2cp://127.0.0.1:7654"

# The routers of this process, which are shut down at its exit.
_routers: weakref.WeakSet[RouterBase] = weakref.WeakSet()

# The time limit of closing sessions and routers at the exit of the interpreter. Chosen because a
# program should exit within a second.
_EXIT_SECONDS = 0.5


def default_directory() -> Path:
    """The directory of the embedded router, unless another one is given."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "eepkit" / "python"


def embedded_options(
    directory: Optional[PathLike],
    *,
    ntcp2: Optional[int] = None,
    ssu2: Optional[int] = None,
    transit_tunnels: Optional[int] = None,
    bandwidth: Optional[int] = None,
    tunnel_length: Optional[int] = None,
    reseed: Union[bool, PathLike] = True,
    port_mapping: bool = True,
    hosts: Optional[Mapping[str, Destination]] = None,
    private_network: Optional[tuple[int, list[bytes]]] = None,
) -> dict[str, Any]:
    path = default_directory() if directory is None else Path(os.fspath(directory))
    return {
        "directory": path,
        "ntcp2": ntcp2,
        "ssu2": ssu2,
        "transit_tunnels": transit_tunnels,
        "no_transit": transit_tunnels == 0,
        "bandwidth": bandwidth,
        "tunnel_length": tunnel_length,
        "reseed_file": None if isinstance(reseed, bool) else Path(os.fspath(reseed)),
        "never_reseed": reseed is False,
        "port_mapping": port_mapping,
        "hosts": list((hosts or {}).items()),
        "private_network": private_network,
    }


def session_options(
    *,
    keys: Union[PrivateKeys, PathLike, None] = None,
    signature_type: Union[str, int, None] = None,
    preset: Optional[str] = None,
    nickname: Optional[str] = None,
    tunnel_length: Optional[int] = None,
    tunnel_quantity: Optional[int] = None,
    options: Optional[Mapping[str, object]] = None,
    hosts: Optional[Mapping[str, Destination]] = None,
    backlog: Optional[int] = None,
    open_timeout: Optional[float] = None,
    connect_timeout: Optional[float] = None,
    lookup_timeout: Optional[float] = None,
    linger: Optional[float] = None,
    verify: bool = True,
) -> dict[str, Any]:
    pairs: list[tuple[str, str]] = []
    for name, value in (
        ("length", tunnel_length),
        ("quantity", tunnel_quantity),
        ("nickname", nickname),
    ):
        if value is not None:
            pairs += [(f"inbound.{name}", str(value)), (f"outbound.{name}", str(value))]
    pairs += [(key, option_text(value)) for key, value in (options or {}).items()]
    given = isinstance(keys, PrivateKeys)
    return {
        "keys": keys if given else None,
        "key_file": None if keys is None or given else Path(os.fspath(keys)),  # type: ignore[arg-type]
        "signature_type": None if signature_type is None else str(signature_type),
        "preset": preset,
        "options": pairs,
        "hosts": list((hosts or {}).items()),
        "backlog": backlog,
        "open_timeout": open_timeout,
        "connect_timeout": connect_timeout,
        "lookup_timeout": lookup_timeout,
        "linger": linger,
        "verify": verify,
    }


def option_text(value: object) -> str:
    """An option as the I2P documentation writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class RouterBase:
    """A router, on which sessions are opened."""

    def __init__(self, native: _native.Router) -> None:
        self._native = native
        _routers.add(self)

    @property
    def name(self) -> str:
        """A short name for people, such as ``i2cp://127.0.0.1:7654``."""
        return self._native.name

    @property
    def open_sessions(self) -> int:
        """The number of sessions that were opened through this object and have not ended."""
        return self._native.sessions

    @property
    def status(self) -> Status:
        """The status of a router in this process. Others report that of sessions only."""
        return self._watch().current()

    def _watch(self) -> _native.RouterWatch:
        watch = self._native.watch()
        if watch is None:
            raise Unsupported(
                "the router runs outside of this process, so it reports only the status of sessions"
            )
        return watch

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class SessionBase:
    """A destination that is online."""

    def __init__(self, native: _native.Session, router: RouterBase) -> None:
        self._native = native
        # A router in this process runs as long as its sessions.
        self._router = router

    @property
    def destination(self) -> Destination:
        return self._native.destination

    @property
    def keys(self) -> PrivateKeys:
        """The private keys. Save them to use the destination again."""
        return self._native.keys

    @property
    def status(self) -> Status:
        return self._native.watch().current()

    def set_tunnel_quantity(self, inbound: int, outbound: int) -> None:
        """Requests 1 to 16 tunnels in each direction."""
        self._native.set_tunnel_quantity(inbound, outbound)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.destination.b32}>"


class Datagram:
    """A received datagram. The class states what is known about its sender."""

    __slots__ = ("payload", "from_port", "to_port", "protocol")

    def __init__(self, received: _native.Received) -> None:
        self.payload = received.payload
        self.from_port = received.from_port
        self.to_port = received.to_port
        self.protocol = received.protocol

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.payload)} bytes>"


class AuthenticatedDatagram(Datagram):
    """A datagram whose signature proves its ``sender``."""

    __slots__ = ("sender",)

    def __init__(self, received: _native.Received, sender: Destination) -> None:
        super().__init__(received)
        self.sender = sender


class ClaimedDatagram(Datagram):
    """A datagram that only claims its sender: ``claimed_sender`` is a ``.b32.i2p`` address.

    A reply reaches the owner of the address, whether or not it is the sender.
    """

    __slots__ = ("claimed_sender",)

    def __init__(self, received: _native.Received, claimed_sender: str) -> None:
        super().__init__(received)
        self.claimed_sender = claimed_sender


class AnonymousDatagram(Datagram):
    """A raw datagram, which does not contain its sender."""

    __slots__ = ()


def datagram(received: _native.Received) -> Datagram:
    if received.sender is not None:
        return AuthenticatedDatagram(received, received.sender)
    if received.claimed_sender is not None:
        return ClaimedDatagram(received, received.claimed_sender)
    return AnonymousDatagram(received)


def reply_address(to: Datagram) -> To:
    if isinstance(to, AuthenticatedDatagram):
        return to.sender
    if isinstance(to, ClaimedDatagram):
        return to.claimed_sender
    raise BadInput("a raw datagram does not contain its sender, so there is no address to reply to")


class DatagramSocketBase:
    """Sends and receives datagrams of one format."""

    def __init__(self, native: _native.DatagramSocket, session: SessionBase) -> None:
        self._native = native
        self._session = session

    @property
    def port(self) -> int:
        return self._native.port

    @property
    def protocol(self) -> int:
        return self._native.protocol

    @property
    def format(self) -> str:
        return self._native.format

    @property
    def max_payload(self) -> int:
        """The longest payload in bytes."""
        return self._native.max_payload

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.format} on port {self.port}>"


def _stop() -> None:
    exiting.set()
    routers = [router._native for router in list(_routers)]
    _native.stop(routers, _EXIT_SECONDS)


atexit.register(_stop)

__all__ = ["AddressBook", "Destination", "PrivateKeys", "Status"]
