"""The interface of i2plib, with a router inside.

Names, parameters and defaults are those of i2plib 0.0.14. ``loop`` is accepted and not used. See
``docs/python.md`` for the differences.
"""

from __future__ import annotations

from . import aiosam, exceptions, log, sam, tunnel, utils
from .__version__ import (
    __author__,
    __author_email__,
    __copyright__,
    __description__,
    __license__,
    __title__,
    __url__,
    __version__,
)
from ._routing import use
from .aiosam import (
    Session,
    StreamAcceptor,
    StreamConnection,
    create_session,
    dest_lookup,
    get_sam_socket,
    new_destination,
    stream_accept,
    stream_connect,
)
from .exceptions import (
    CantReachPeer,
    DuplicatedDest,
    DuplicatedId,
    I2PError,
    InvalidId,
    InvalidKey,
    KeyNotFound,
    PeerNotFound,
    Timeout,
)
from .sam import Destination, PrivateKey
from .tunnel import ClientTunnel, ServerTunnel
from .utils import get_sam_address

__all__ = [
    "CantReachPeer",
    "ClientTunnel",
    "Destination",
    "DuplicatedDest",
    "DuplicatedId",
    "I2PError",
    "InvalidId",
    "InvalidKey",
    "KeyNotFound",
    "PeerNotFound",
    "PrivateKey",
    "ServerTunnel",
    "Session",
    "StreamAcceptor",
    "StreamConnection",
    "Timeout",
    "__author__",
    "__author_email__",
    "__copyright__",
    "__description__",
    "__license__",
    "__title__",
    "__url__",
    "__version__",
    "aiosam",
    "create_session",
    "dest_lookup",
    "exceptions",
    "get_sam_address",
    "get_sam_socket",
    "log",
    "new_destination",
    "sam",
    "stream_accept",
    "stream_connect",
    "tunnel",
    "use",
    "utils",
]
