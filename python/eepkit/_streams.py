"""Streams of I2P as those of asyncio, and as sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Optional, TypeVar

from . import _native
from ._native import Destination

# The limit of the buffer of a reader. Chosen as what a transport reads at once, so that reading
# pauses only if the program is slower than the stream.
LIMIT = 256 * 1024

P = TypeVar("P", bound=asyncio.BaseProtocol)


class StreamWriter(asyncio.StreamWriter):
    """The writer of asyncio, with what I2P adds.

    ``get_extra_info("peername")`` and ``("sockname")`` are pairs of a ``.b32.i2p`` address and a
    port.
    """

    _connection: _native.Connection

    @property
    def peer(self) -> Destination:
        """The destination of the peer, which has proved that it owns it."""
        return self._connection.peer

    @property
    def peer_port(self) -> int:
        return self._connection.peer_port

    @property
    def local_port(self) -> int:
        return self._connection.local_port

    def reset(self) -> None:
        """Aborts both directions: the peer's reads fail, and data that was not sent is lost."""
        self._connection.reset()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        found = extra_info(self._connection, name)
        return super().get_extra_info(name, default) if found is None else found


def extra_info(connection: _native.Connection, name: str) -> Any:
    if name == "peername":
        return (connection.peer.b32, connection.peer_port)
    if name == "sockname":
        return (connection.local.b32, connection.local_port)
    if name == "i2p_peer":
        return connection.peer
    return None


class _Protocol(asyncio.StreamReaderProtocol):
    """Passes the error of a stream on, which its descriptor reports as an end only."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        connection: _native.Connection,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(reader, loop=loop)
        self._reader = reader
        self._connection = connection

    def eof_received(self) -> Optional[bool]:
        error = self._connection.error()
        if error is not None:
            self._reader.set_exception(error)
            return False
        return super().eof_received()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(self._connection.error() or exc)


class _Watching(asyncio.Protocol):
    """Does the same for a protocol of the program."""

    def __init__(self, inner: Any, connection: _native.Connection) -> None:
        self._inner = inner
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def eof_received(self) -> Optional[bool]:
        if self._connection.error() is not None:
            # Closes the transport, which reports the error.
            return False
        closes: Optional[bool] = self._inner.eof_received()
        return closes

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._inner.connection_lost(self._connection.error() or exc)


def socket_of(connection: _native.Connection) -> socket.socket:
    """A plain socket for the bytes of a stream, in blocking mode."""
    return socket.socket(fileno=connection.detach())


async def open_streams(
    connection: _native.Connection, limit: int = LIMIT
) -> tuple[asyncio.StreamReader, StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = _Protocol(reader, connection, loop)
    sock = socket_of(connection)
    try:
        sock.setblocking(False)
        transport, _ = await loop.create_unix_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    writer = StreamWriter(transport, protocol, reader, loop)
    writer._connection = connection
    return reader, writer


async def attach_protocol(
    connection: _native.Connection, factory: Callable[[], P], *, accepted: bool = False
) -> tuple[asyncio.Transport, P]:
    """Connects a protocol of the program with a stream."""
    loop = asyncio.get_running_loop()
    sock = socket_of(connection)
    protocol = factory()
    watching = _Watching(protocol, connection) if isinstance(protocol, asyncio.Protocol) else protocol
    try:
        sock.setblocking(False)
        if accepted:
            transport, _ = await loop.connect_accepted_socket(lambda: watching, sock)
        else:
            transport, _ = await loop.create_unix_connection(lambda: watching, sock=sock)
    except BaseException:
        sock.close()
        raise
    return transport, protocol


class Socket(socket.socket):
    """The socket of a stream. An error of the stream is raised where a socket only ends.

    ``getpeername()`` and ``getsockname()`` return pairs of a ``.b32.i2p`` address and a port.
    """

    _connection: Optional[_native.Connection] = None

    @classmethod
    def _of(cls, connection: _native.Connection) -> Socket:
        made = cls(fileno=connection.detach())
        made._connection = connection
        return made

    @property
    def peer(self) -> Destination:
        """The destination of the peer, which has proved that it owns it."""
        assert self._connection is not None
        return self._connection.peer

    def getpeername(self) -> Any:
        if self._connection is None:
            return super().getpeername()
        return extra_info(self._connection, "peername")

    def getsockname(self) -> Any:
        if self._connection is None:
            return super().getsockname()
        return extra_info(self._connection, "sockname")

    def reset(self) -> None:
        """Aborts both directions: the peer's reads fail, and data that was not sent is lost."""
        if self._connection is not None:
            self._connection.reset()

    def _raise(self) -> None:
        if self._connection is not None:
            error = self._connection.error()
            if error is not None:
                raise error

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data = super().recv(bufsize, flags)
        if not data and bufsize:
            self._raise()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        count = super().recv_into(buffer, nbytes, flags)
        if not count and (nbytes or len(memoryview(buffer))):
            self._raise()
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except BrokenPipeError:
            self._raise()
            raise

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            super().sendall(data, flags)
        except BrokenPipeError:
            self._raise()
            raise
