"""I2P for Python: streams, datagrams, and a router inside the program.

    import asyncio, eepkit

    async def main():
        async with eepkit.Router.embedded() as router, router.session() as session:
            reader, writer = await session.connect("i2p-projekt.i2p", 80)
            writer.write(b"GET / HTTP/1.0\\r\\nHost: i2p-projekt.i2p\\r\\n\\r\\n")
            print(await reader.read())

    asyncio.run(main())

``eepkit.sync`` has the same interface for threads, with sockets as streams. ``eepkit.i2plib`` has
the interface of i2plib. ``eepkit.connectors`` has transports for HTTP clients.
"""

from __future__ import annotations

try:
    from . import _native
except ImportError as _error:
    # Otherwise it exists and cannot be loaded, and the error has the reason.
    if _error.name != __name__:
        raise
    raise ImportError(
        f"{__path__[0]} is the source of eepkit, without its compiled part. To use the installed package, "
        "start Python in another directory. To use the source, run `maturin develop --release` in python/.",
        name=_error.name,
        path=_error.path,
    ) from None

from ._aio import (
    DatagramSocket,
    Devnet,
    Listener,
    Router,
    SamBridge,
    Server,
    Session,
)
from ._common import (
    AnonymousDatagram,
    AuthenticatedDatagram,
    ClaimedDatagram,
    Datagram,
    default_directory,
)
from ._errors import (
    AddressInUse,
    BadInput,
    Closed,
    Denied,
    I2PError,
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
from ._native import AddressBook, Destination, PrivateKeys, Status, __version__
from ._streams import StreamWriter

__all__ = [
    "AddressBook",
    "AddressInUse",
    "AnonymousDatagram",
    "AuthenticatedDatagram",
    "BadInput",
    "ClaimedDatagram",
    "Closed",
    "Datagram",
    "DatagramSocket",
    "Denied",
    "Destination",
    "Devnet",
    "I2PError",
    "IncompatibleEncryption",
    "IoError",
    "LeaseSetNotFound",
    "Limit",
    "Listener",
    "Locked",
    "NameNotFound",
    "NetworkUnreachable",
    "NoTunnels",
    "PeerUnreachable",
    "PrivateKeys",
    "Protocol",
    "Refused",
    "Reset",
    "Router",
    "RouterRefused",
    "RouterUnreachable",
    "SamBridge",
    "Server",
    "Session",
    "SessionLost",
    "Status",
    "StreamWriter",
    "Timeout",
    "Unsupported",
    "__version__",
    "default_directory",
]
